/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether one distinguished name is below another (RFC 5280 §4.2.1.10, §7.1). Internal to pki/. */
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
