/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* % specifiers of Subject=, SubjectAltName= and User=. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>

#define SPECIFIERS_EXPANDED_MAX 1024U /* bytes of an expanded value */

/* Values that specifiers stand for; NULL: unknown, and its use is an error that says why (`…_problem`). */
typedef struct Specifiers {
    const char *device_id, *device_id_problem; /* %d */
    const char *host_name;                     /* %H */
    const char *machine_id;                    /* %m */
    const char *serial, *serial_problem;       /* %s */
} Specifiers;

/* Expands % specifiers; %% is a percent sign. `escape_dn`: values are escaped for RFC 4514. -EINVAL with
 * `ret_problem` (static or owned by `specifiers`) for an unknown or unavailable one; -E2BIG above
 * SPECIFIERS_EXPANDED_MAX bytes, with `ret_problem` too; -ENOMEM. */
int specifiers_expand(const char *template, const Specifiers *specifiers, bool escape_dn, char **ret,
                      const char **ret_problem);

/* Whether `template` contains the specifier. */
bool specifiers_uses(const char *template, char specifier);
