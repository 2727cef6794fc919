/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the purpose `data` signs: a message in one of three framings, each whole, in its one encoding, and recognized
 * from its first byte. What they are for nobody can take for anything else, wherever a signature of the key is
 * believed: their first twelve bytes and more are fixed, so no peer's random number or SPI is among them, and nothing
 * else that is signed anywhere begins with them. */
#pragma once

#include "common/bytes.h"

typedef enum DataFraming {
    DATA_FRAMING_NONE,
    DATA_FRAMING_CMS,       /* 31: SignedAttributes of CMS (RFC 5652 §5.4) over plain content */
    DATA_FRAMING_COSE,      /* 84: a Sig_structure of COSE_Sign1 (RFC 9052 §4.4) */
    DATA_FRAMING_IDENTITYD, /* 7e: common/data-frame.h */
} DataFraming;

/* Which it is, for `identity`, whose name stands in identityd's own. For DATA_FRAMING_NONE `ret_reason`, which may be
 * NULL, is what is wrong: a clause about "it", static. */
DataFraming data_recognize(const char *identity, BytesView message, const char **ret_reason);
