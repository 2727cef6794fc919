/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the purpose `data-raw` does not sign, since somebody could take the signature for one of TLS (1.0 to 1.3, DTLS),
 * of IKEv2, of SSH, of a TPM, of a certificate, a CRL, an OCSP response or a request for a certificate (PKCS#10, SCEP,
 * CMC). It compares as those do who verify: what they mask or ignore is not looked at, and what they allow in several
 * forms is refused in all of them. It knows these shapes, and no others. */
#pragma once

#include "common/bytes.h"

/* Why `message` is refused: a clause about "it", static; NULL if it may be signed. */
const char *raw_refusal(BytesView message);
