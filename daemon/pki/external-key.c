/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A GnuTLS private key that is elsewhere. It says and does exactly what the table of schemes has for its algorithm:
 * GnuTLS negotiates nothing that the callback would refuse. */
#include "pki/asn1.h"
#include "pki/chain.h"

#include "common/scheme.h"

#include <gnutls/crypto.h>
#include <string.h>

typedef struct ExternalKey {
    KeyAlgorithm algorithm;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
    ExternalSign sign;
    void *userdata;
} ExternalKey;

/* GnuTLS has two numbers for ECDSA over P-256 with SHA-256, TLS 1.3's and the older one, and two for RSA-PSS. */
static const struct {
    gnutls_sign_algorithm_t algorithm;
    uint16_t scheme_id;
} algorithms[] = {
    { GNUTLS_SIGN_ECDSA_SHA256, 0x0403 },        { GNUTLS_SIGN_ECDSA_SECP256R1_SHA256, 0x0403 },
    { GNUTLS_SIGN_ECDSA_SHA384, 0x0503 },        { GNUTLS_SIGN_ECDSA_SECP384R1_SHA384, 0x0503 },
    { GNUTLS_SIGN_RSA_SHA256, 0x0401 },          { GNUTLS_SIGN_RSA_SHA384, 0x0501 },
    { GNUTLS_SIGN_RSA_SHA512, 0x0601 },          { GNUTLS_SIGN_RSA_PSS_RSAE_SHA256, 0x0804 },
    { GNUTLS_SIGN_RSA_PSS_RSAE_SHA384, 0x0805 }, { GNUTLS_SIGN_RSA_PSS_RSAE_SHA512, 0x0806 },
    { GNUTLS_SIGN_RSA_PSS_SHA256, 0x0804 },      { GNUTLS_SIGN_RSA_PSS_SHA384, 0x0805 },
    { GNUTLS_SIGN_RSA_PSS_SHA512, 0x0806 },
};

static const SignatureScheme *scheme_for(const ExternalKey *key, gnutls_sign_algorithm_t algorithm) {
    for (size_t i = 0; i < ARRAY_LENGTH(algorithms); i++)
        if (algorithms[i].algorithm == algorithm) {
            const SignatureScheme *scheme = scheme_by_id(algorithms[i].scheme_id);
            return scheme && scheme_fits(scheme, key->algorithm) ? scheme : NULL;
        }
    return NULL;
}

/* For RSA PKCS#1 GnuTLS hands over a DigestInfo, and only that says which hash it is. */
static const SignatureScheme *scheme_for_digest_info(const ExternalKey *key, const gnutls_datum_t *info,
                                                     uint8_t digest[64], unsigned *ret_size) {
    gnutls_digest_algorithm_t hash;

    *ret_size = 64;
    if (key->pk != GNUTLS_PK_RSA || gnutls_decode_ber_digest_info(info, &hash, digest, ret_size) < 0)
        return NULL;
    return scheme_for(key, hash == GNUTLS_DIG_SHA256   ? GNUTLS_SIGN_RSA_SHA256
                           : hash == GNUTLS_DIG_SHA384 ? GNUTLS_SIGN_RSA_SHA384
                           : hash == GNUTLS_DIG_SHA512 ? GNUTLS_SIGN_RSA_SHA512
                                                       : GNUTLS_SIGN_UNKNOWN);
}

static int sign_hash(gnutls_privkey_t privkey, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                     const gnutls_datum_t *hash, gnutls_datum_t *signature) {
    const ExternalKey *key = userdata;
    const SignatureScheme *scheme;
    uint8_t digest[64], result[SIGNATURE_MAX];
    BytesView input = view_from_datum(hash);
    size_t size = sizeof(result);

    if (algorithm == GNUTLS_SIGN_RSA_RAW) {
        unsigned digest_size;
        scheme = scheme_for_digest_info(key, hash, digest, &digest_size);
        input = (BytesView) { digest, digest_size };
    } else {
        scheme = scheme_for(key, algorithm);
    }
    if (!scheme || input.size != (size_t) scheme->hash)
        return GNUTLS_E_UNSUPPORTED_SIGNATURE_ALGORITHM;
    if (key->sign(scheme->id, input, result, &size, key->userdata) < 0 || size == 0 || size > sizeof(result))
        return GNUTLS_E_PK_SIGN_FAILED;
    signature->data = gnutls_malloc(size);
    if (!signature->data)
        return GNUTLS_E_MEMORY_ERROR;
    memcpy(signature->data, result, size);
    signature->size = (unsigned) size;
    return 0;
}

static int info(gnutls_privkey_t privkey, unsigned flags, void *userdata) {
    const ExternalKey *key = userdata;

    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO)
        return (int) key->pk;
    if (flags & GNUTLS_PRIVKEY_INFO_PK_ALGO_BITS)
        return (int) key->bits;
    if (flags & GNUTLS_PRIVKEY_INFO_HAVE_SIGN_ALGO)
        return scheme_for(key, (gnutls_sign_algorithm_t) GNUTLS_FLAGS_TO_SIGN_ALGO(flags)) != NULL;
    return -1;
}

static void deinit(gnutls_privkey_t privkey, void *userdata) {
    free(userdata);
}

static int read_algorithm(BytesView spki, ExternalKey *key) {
    gnutls_datum_t datum = datum_from_view(spki);
    gnutls_pubkey_t public_key;
    int pk;

    if (gnutls_pubkey_init(&public_key) < 0)
        return -ENOMEM;
    if (gnutls_pubkey_import(public_key, &datum, GNUTLS_X509_FMT_DER) < 0) {
        gnutls_pubkey_deinit(public_key);
        return -EBADMSG;
    }
    pk = gnutls_pubkey_get_pk_algorithm(public_key, &key->bits);
    gnutls_pubkey_deinit(public_key);
    if (pk == GNUTLS_PK_ECDSA && key->bits == 256)
        key->algorithm = KEY_ECDSA_P256;
    else if (pk == GNUTLS_PK_ECDSA && key->bits == 384)
        key->algorithm = KEY_ECDSA_P384;
    else if (pk == GNUTLS_PK_RSA && key->bits == 2048)
        key->algorithm = KEY_RSA_2048;
    else if (pk == GNUTLS_PK_RSA && key->bits == 3072)
        key->algorithm = KEY_RSA_3072;
    else
        return -ENOTSUP;
    key->pk = (gnutls_pk_algorithm_t) pk;
    return 0;
}

int external_key_new(BytesView spki, ExternalSign sign, void *userdata, gnutls_privkey_t *ret) {
    _cleanup_free_ ExternalKey *key = NULL;
    gnutls_privkey_t privkey;
    int r;

    key = malloc(sizeof(*key));
    if (!key)
        return -ENOMEM;
    *key = (ExternalKey) { .sign = sign, .userdata = userdata };
    r = read_algorithm(spki, key);
    if (r < 0)
        return r;
    if (gnutls_privkey_init(&privkey) < 0)
        return -ENOMEM;
    if (gnutls_privkey_import_ext4(privkey, key, NULL, sign_hash, NULL, deinit, info, 0) < 0) {
        gnutls_privkey_deinit(privkey);
        return -EIO;
    }
    (void) TAKE_PTR(key);
    *ret = privkey;
    return 0;
}
