/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See crl-id.h. */
#include "revocation/crl-id.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

int crl_id(BytesView whose, const char *url, char ret[static CRL_ID_SIZE]) {
    _cleanup_bytes_ Bytes both = BYTES_NULL;
    uint8_t digest[32];
    int r = bytes_append(&both, whose);

    if (r >= 0)
        r = bytes_append(&both, bytes_view_string(url));
    if (r < 0)
        return r;
    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, both.data, both.size, digest) < 0)
        return -EIO;
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { digest, sizeof digest });
    if (!hex)
        return -ENOMEM;
    strcpy(ret, hex);
    return 0;
}
