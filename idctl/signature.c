/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See signature.h. */
#include "idctl/signature.h"

#include "common/gnutls-scheme.h"

#include <gnutls/abstract.h>
#include <gnutls/crypto.h>

static void pubkey_deinit(gnutls_pubkey_t *key) {
    if (*key)
        gnutls_pubkey_deinit(*key);
}

size_t signature_schemes(const Certificate *certificate, const SignatureScheme *ret[static SCHEMES_PER_KEY_MAX]) {
    _cleanup_(pubkey_deinit) gnutls_pubkey_t key = NULL;
    gnutls_ecc_curve_t curve = GNUTLS_ECC_CURVE_INVALID;

    if (certificate->key_algorithm == GNUTLS_PK_RSA)
        /* Every size of RSA key has the same schemes. */
        return scheme_list(KEY_RSA_2048, ret);
    if (certificate->key_algorithm != GNUTLS_PK_ECDSA || certificate_pubkey(certificate, &key) < 0 ||
        gnutls_pubkey_export_ecc_raw(key, &curve, NULL, NULL) < 0)
        return 0;
    return curve == GNUTLS_ECC_CURVE_SECP256R1   ? scheme_list(KEY_ECDSA_P256, ret)
           : curve == GNUTLS_ECC_CURVE_SECP384R1 ? scheme_list(KEY_ECDSA_P384, ret)
                                                 : 0;
}

int signature_check(const Certificate *certificate, const SignatureScheme *scheme, BytesView message,
                    BytesView signature) {
    _cleanup_(pubkey_deinit) gnutls_pubkey_t key = NULL;
    gnutls_datum_t data = { (unsigned char *) message.data, (unsigned) message.size };
    gnutls_datum_t value = { (unsigned char *) signature.data, (unsigned) signature.size };
    const SignatureScheme *fitting[SCHEMES_PER_KEY_MAX];
    bool fits = false;

    if (message.size > UINT32_MAX || signature.size > UINT32_MAX) /* GnuTLS counts in unsigned */
        return -EBADMSG;
    size_t count = signature_schemes(certificate, fitting);
    for (size_t i = 0; i < count; i++)
        fits = fits || fitting[i]->id == scheme->id;
    if (!fits)
        return -ENOTSUP;
    int r = certificate_pubkey(certificate, &key);
    if (r < 0)
        return r;
    return gnutls_pubkey_verify_data2(key, scheme_to_gnutls(scheme), 0, &data, &value) < 0 ? -EBADMSG : 0;
}

int signature_digest_fd(int fd, const SignatureScheme *scheme, uint8_t ret[static 64]) {
    _cleanup_free_ uint8_t *buffer = malloc(65536);
    gnutls_hash_hd_t hash;
    ssize_t n;
    int r = 0;

    if (!buffer || gnutls_hash_init(&hash, scheme_hash_to_gnutls(scheme->hash)) < 0)
        return -ENOMEM;
    while ((n = read(fd, buffer, 65536)) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            r = -errno;
            break;
        }
        if (gnutls_hash(hash, buffer, (size_t) n) < 0) {
            r = -EIO;
            break;
        }
    }
    gnutls_hash_deinit(hash, ret);
    return r < 0 ? r : (int) scheme->hash;
}
