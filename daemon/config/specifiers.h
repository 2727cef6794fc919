/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* % specifiers of Subject=, SubjectAltName= and User=. */
#pragma once

#include "common/alternative-name.h"
#include "common/macros.h"

#include <stdbool.h>

#define SPECIFIERS_EXPANDED_MAX 1024U /* bytes of an expanded value */

/* Values that specifiers stand for; NULL: unknown, and its use is an error that says why (`…_problem`). */
typedef struct Specifiers {
    const char *device_id, *device_id_problem; /* %d */
    const char *host_name, *host_name_problem; /* %H */
    const char *machine_id;                    /* %m */
    const char *serial, *serial_problem;       /* %s */
} Specifiers;

/* What the template is: there is no place where a value becomes syntax.
 *   SUBJECT          within a value only: escaped for RFC 4514
 *   DNS              letters, digits, '-', '_' of one label; a host name may have several
 *   IP               none
 *   URI              behind the scheme; in the authority as in a DNS name, behind it percent-encoded
 *   HARDWARE_MODULE  behind the '/'
 *   USER             without ':' (RFC 7617 §2) */
typedef enum SpecifierPlace {
    PLACE_SUBJECT,
    PLACE_DNS,
    PLACE_IP,
    PLACE_URI,
    PLACE_HARDWARE_MODULE,
    PLACE_USER,
} SpecifierPlace;

/* What a SubjectAltName= of that kind is. */
SpecifierPlace specifier_place_of_san(SanKind kind);

/* Expands % specifiers; %% is a percent sign. -EINVAL with `ret_problem` (owned by the caller, one sentence without its
 * full stop): a specifier that is unknown, has no value, must not stand there, or has a value that cannot; -E2BIG above
 * SPECIFIERS_EXPANDED_MAX bytes, with `ret_problem` too; -ENOMEM. */
int specifiers_expand(const char *template, const Specifiers *specifiers, SpecifierPlace place, char **ret,
                      char **ret_problem);

/* Whether `template` contains the specifier. */
bool specifiers_uses(const char *template, char specifier);
