/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Distinguished names as RFC 5280 §7.1 compares them. Internal to pki/. */
#pragma once

#include "common/bytes.h"

typedef enum NameMatch {
    NAME_DIFFERS,
    NAME_UNCLEAR, /* what decides it would be the string preparation of RFC 4518, or is malformed: whoever permits takes
                   * it for different, whoever excludes for a match */
    NAME_MATCHES,
} NameMatch;

/* Whether the RDNs of `name` begin with those of `base`; both are DER Names. Every Name is below an empty one. */
NameMatch name_is_below(BytesView name, BytesView base);

/* A form in which two DER Names are the same bytes if they are the same name; of what is malformed, if their bytes are.
 * What is the same by tables of Unicode alone is not the same here. `ret` is owned by the caller. -ENOMEM. */
int name_form(BytesView name, Bytes *ret);

/* The RFC 4514 text; "" for an empty Name, "#" and the DER in hex for one that has no such form: two different names
 * never share one. `ret` is owned by the caller. -ENOMEM. */
int name_to_text(BytesView name, char **ret);
