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
    if (certificate->key_algorithm != GNUTLS_PK_RSA && certificate->key_algorithm != GNUTLS_PK_RSA_PSS)
        return true;
    if (certificate->key_bits > RSA_BITS_MAX) {
        *ret_reason = "its RSA key has more than 8192 bits";
        return false;
    }
    if (certificate->exponent_size == 0) {
        *ret_reason = "its RSA key cannot be read";
        return false;
    }
    if (certificate->exponent_size > 9) { /* 8 bytes and a sign */
        *ret_reason = "its RSA key has a public exponent of more than 64 bits";
        return false;
    }
    return true;
}

bool key_is_acceptable(const Certificate *certificate, const char **ret_reason) {
    switch ((int) certificate->key_algorithm) {
    case GNUTLS_PK_RSA:
    case GNUTLS_PK_RSA_PSS:
        if (certificate->key_bits < 2048) {
            *ret_reason = "its RSA key has fewer than 2048 bits";
            return false;
        }
        return key_is_bounded(certificate, ret_reason);
    case GNUTLS_PK_ECDSA:
        if (certificate->key_bits < 256) {
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

int certificate_pubkey(const Certificate *certificate, gnutls_pubkey_t *ret) {
    _cleanup_(pubkey_p) gnutls_pubkey_t key = NULL;
    gnutls_datum_t spki = datum_from_view(certificate->spki);

    if (gnutls_pubkey_init(&key) < 0)
        return -ENOMEM;
    int r = gnutls_pubkey_import(key, &spki, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return r == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
    *ret = TAKE_PTR(key);
    return 0;
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
    if (certificate_pubkey(signer, &key) < 0)
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
    if (!signature_is_acceptable(algorithm) || !key_is_acceptable(signer, &reason) ||
        certificate_pubkey(signer, &key) < 0 || gnutls_x509_spki_init(&parameters) < 0)
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
