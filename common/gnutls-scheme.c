/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See gnutls-scheme.h, and scheme.h for the digest: whoever only names schemes needs no GnuTLS. */
#include "common/gnutls-scheme.h"

#include "common/macros.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

/* The first of a scheme's rows is what scheme_to_gnutls() gives. */
static const struct {
    gnutls_sign_algorithm_t algorithm;
    uint16_t id;
} rows[] = {
    { GNUTLS_SIGN_ECDSA_SHA256, 0x0403 },        { GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0x0403 },
    { GNUTLS_SIGN_ECDSA_SHA384, 0x0503 },        { GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 0x0503 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0x0804 }, { GNUTLS_SIGN_RSA_PSS_SHA256, 0x0804 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0x0805 }, { GNUTLS_SIGN_RSA_PSS_SHA384, 0x0805 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0x0806 }, { GNUTLS_SIGN_RSA_PSS_SHA512, 0x0806 },
    { GNUTLS_SIGN_RSA_SHA256, 0x0401 },          { GNUTLS_SIGN_RSA_SHA384, 0x0501 },
    { GNUTLS_SIGN_RSA_SHA512, 0x0601 },
};

gnutls_digest_algorithm_t scheme_hash_to_gnutls(SchemeHash hash) {
    return hash == SCHEME_SHA256 ? GNUTLS_DIG_SHA256 : hash == SCHEME_SHA384 ? GNUTLS_DIG_SHA384 : GNUTLS_DIG_SHA512;
}

int scheme_digest(const SignatureScheme *scheme, const void *message, size_t size, uint8_t ret[static 64]) {
    if (gnutls_hash_fast(scheme_hash_to_gnutls(scheme->hash), size > 0 ? message : "", size, ret) < 0)
        return -EIO;
    return (int) scheme->hash;
}

gnutls_sign_algorithm_t scheme_to_gnutls(const SignatureScheme *scheme) {
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].id == scheme->id)
            return rows[i].algorithm;
    return GNUTLS_SIGN_UNKNOWN;
}

const SignatureScheme *scheme_from_gnutls(gnutls_sign_algorithm_t algorithm) {
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].algorithm == algorithm)
            return scheme_by_id(rows[i].id);
    return NULL;
}

const SignatureScheme *scheme_from_gnutls_hash(gnutls_sign_algorithm_t algorithm, const gnutls_datum_t *hash,
                                               uint8_t plain[static 64], BytesView *ret_digest) {
    BytesView digest = { hash->data, hash->size };

    if (algorithm == GNUTLS_SIGN_RSA_RAW) {
        gnutls_digest_algorithm_t name;
        unsigned size = 64;
        if (gnutls_decode_ber_digest_info(hash, &name, plain, &size) < 0)
            return NULL;
        algorithm = gnutls_pk_to_sign(GNUTLS_PK_RSA, name);
        digest = (BytesView) { plain, size };
    }
    const SignatureScheme *scheme = scheme_from_gnutls(algorithm);
    if (!scheme || digest.size != (size_t) scheme->hash)
        return NULL;
    *ret_digest = digest;
    return scheme;
}

int key_information_answer(const KeyInformation *information, unsigned flags) {
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int) information->algorithm;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int) information->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO) {
        const SignatureScheme *scheme = scheme_from_gnutls(GNUTLS_FLAGS_TO_SIGN_ALGO(flags));
        return scheme && information->has_scheme(scheme, information->userdata);
    }
    return -1;
}
