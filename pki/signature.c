/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of certificates, CRLs and OCSP answers. What is acceptable is a list here, not the policy file of a
 * machine. */
#include "pki/signature.h"

#include "pki/asn1.h"

#include <gnutls/abstract.h>

static void pubkey_p(gnutls_pubkey_t *key) {
    if (*key)
        gnutls_pubkey_deinit(*key);
}

bool signature_is_acceptable(gnutls_sign_algorithm_t algorithm) {
    switch ((int) algorithm) {
    case GNUTLS_SIGN_RSA_SHA256:
    case GNUTLS_SIGN_RSA_SHA384:
    case GNUTLS_SIGN_RSA_SHA512:
    case GNUTLS_SIGN_RSA_PSS_SHA256:
    case GNUTLS_SIGN_RSA_PSS_SHA384:
    case GNUTLS_SIGN_RSA_PSS_SHA512:
    case GNUTLS_SIGN_ECDSA_SHA256:
    case GNUTLS_SIGN_ECDSA_SHA384:
    case GNUTLS_SIGN_ECDSA_SHA512:
    case GNUTLS_SIGN_EDDSA_ED25519:
    case GNUTLS_SIGN_EDDSA_ED448:
        return true;
    default:
        return false;
    }
}

const char *signature_name(gnutls_sign_algorithm_t algorithm) {
    const char *name = gnutls_sign_get_name(algorithm);

    return name ?: "an unknown algorithm";
}

/* A signature check must cost little, whoever made the key. */
static bool key_is_bounded(const Certificate *certificate, const char **ret_reason) {
    _cleanup_datum_ gnutls_datum_t modulus = { 0 }, exponent = { 0 };
    unsigned bits = 0;
    int algorithm = gnutls_x509_crt_get_pk_algorithm(certificate->crt, &bits);

    if (algorithm != GNUTLS_PK_RSA && algorithm != GNUTLS_PK_RSA_PSS)
        return true;
    if (bits > RSA_BITS_MAX) {
        *ret_reason = "its RSA key has more than 8192 bits";
        return false;
    }
    if (gnutls_x509_crt_get_pk_rsa_raw(certificate->crt, &modulus, &exponent) < 0) {
        *ret_reason = "its RSA key cannot be read";
        return false;
    }
    if (exponent.size > 9) { /* 8 bytes and a sign */
        *ret_reason = "its RSA key has a public exponent of more than 64 bits";
        return false;
    }
    return true;
}

bool key_is_acceptable(const Certificate *certificate, const char **ret_reason) {
    unsigned bits = 0;

    switch (gnutls_x509_crt_get_pk_algorithm(certificate->crt, &bits)) {
    case GNUTLS_PK_RSA:
    case GNUTLS_PK_RSA_PSS:
        if (bits < 2048) {
            *ret_reason = "its RSA key has fewer than 2048 bits";
            return false;
        }
        return key_is_bounded(certificate, ret_reason);
    case GNUTLS_PK_ECDSA:
        if (bits < 256) {
            *ret_reason = "its elliptic curve has fewer than 256 bits";
            return false;
        }
        return true;
    case GNUTLS_PK_EDDSA_ED25519:
    case GNUTLS_PK_EDDSA_ED448:
        return true;
    default:
        *ret_reason = "its key is of a kind that identityd does not know";
        return false;
    }
}

bool signature_verify(const Certificate *signer, gnutls_sign_algorithm_t algorithm, BytesView data, BytesView signature,
                      bool weak_too) {
    _cleanup_(pubkey_p) gnutls_pubkey_t key = NULL;
    gnutls_datum_t data_datum = datum_from_view(data), signature_datum = datum_from_view(signature);
    unsigned flags = weak_too ? GNUTLS_VERIFY_ALLOW_BROKEN | GNUTLS_VERIFY_ALLOW_SIGN_WITH_SHA1 : 0;
    const char *reason;

    if (weak_too ? !key_is_bounded(signer, &reason)
                 : !signature_is_acceptable(algorithm) || !key_is_acceptable(signer, &reason))
        return false;
    if (gnutls_pubkey_init(&key) < 0 || gnutls_pubkey_import_x509(key, signer->crt, 0) < 0)
        return false;
    return gnutls_pubkey_verify_data2(key, algorithm, flags, &data_datum, &signature_datum) >= 0;
}

static void spki_p(gnutls_x509_spki_t *spki) {
    if (*spki)
        gnutls_x509_spki_deinit(*spki);
}

bool signature_verify_salted(const Certificate *signer, gnutls_sign_algorithm_t algorithm, int salt, BytesView data,
                             BytesView signature) {
    _cleanup_(pubkey_p) gnutls_pubkey_t key = NULL;
    _cleanup_(spki_p) gnutls_x509_spki_t parameters = NULL;
    gnutls_datum_t data_datum = datum_from_view(data), signature_datum = datum_from_view(signature);
    const char *reason;

    if (salt < 0)
        return signature_verify(signer, algorithm, data, signature, false);
    if (!signature_is_acceptable(algorithm) || !key_is_acceptable(signer, &reason) || gnutls_pubkey_init(&key) < 0 ||
        gnutls_pubkey_import_x509(key, signer->crt, 0) < 0 || gnutls_x509_spki_init(&parameters) < 0)
        return false;
    /* Without parameters at the key GnuTLS takes the salt to be as long as the hash. A key that is for RSA-PSS alone
     * has its own, and GnuTLS does not let them be changed. */
    if (gnutls_pubkey_get_pk_algorithm(key, NULL) == GNUTLS_PK_RSA) {
        gnutls_x509_spki_set_rsa_pss_params(parameters, gnutls_sign_get_hash_algorithm(algorithm), (unsigned) salt);
        if (gnutls_pubkey_set_spki(key, parameters, 0) < 0)
            return false;
    }
    return gnutls_pubkey_verify_data2(key, algorithm, 0, &data_datum, &signature_datum) >= 0;
}

bool certificate_is_signed_by(const Certificate *certificate, const Certificate *signer, bool weak_too) {
    return certificate->algorithm != GNUTLS_SIGN_UNKNOWN &&
           signature_verify(signer, certificate->algorithm, certificate->signed_part, certificate->signature, weak_too);
}
