/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A GnuTLS private key that is elsewhere. It says and does exactly what the table of schemes has for its algorithm:
 * GnuTLS negotiates nothing that the callback would refuse. */
#include "pki/asn1.h"
#include "pki/chain.h"

#include "common/gnutls-scheme.h"

#include <string.h>

typedef struct ExternalKey {
    KeyAlgorithm algorithm;
    gnutls_pk_algorithm_t pk;
    unsigned bits;
    ExternalSign sign;
    void *userdata;
} ExternalKey;

static bool has_scheme(const SignatureScheme *scheme, const void *userdata) {
    const ExternalKey *key = userdata;

    return scheme_fits(scheme, key->algorithm);
}

static int sign_hash(gnutls_privkey_t privkey, gnutls_sign_algorithm_t algorithm, void *userdata, unsigned flags,
                     const gnutls_datum_t *hash, gnutls_datum_t *signature) {
    const ExternalKey *key = userdata;
    uint8_t plain[64], result[SIGNATURE_MAX];
    size_t size = sizeof(result);
    BytesView input;

    const SignatureScheme *scheme = scheme_from_gnutls_hash(algorithm, hash, plain, &input);
    if (!scheme || !has_scheme(scheme, key))
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

    return key_information_answer(&(KeyInformation) { key->pk, key->bits, has_scheme, key }, flags);
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
