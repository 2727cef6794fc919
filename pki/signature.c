/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of certificates, CRLs and OCSP answers. What is acceptable is a list here, not the policy file of a
 * machine. */
#include "pki/signature.h"

#include "pki/asn1.h"

#include <gnutls/abstract.h>
#include <string.h>

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

bool certificate_is_signed_by(const Certificate *certificate, const Certificate *signer, bool weak_too) {
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    BytesView content;
    DerItem signed_part;
    int algorithm = gnutls_x509_crt_get_signature_algorithm(certificate->crt);
    size_t size = 0;

    if (algorithm < 0)
        return false;
    if (der_open_sequence(bytes_view(&certificate->der), &content) < 0 || der_next(&content, &signed_part) <= 0)
        return false;
    if (gnutls_x509_crt_get_signature(certificate->crt, NULL, &size) != GNUTLS_E_SHORT_MEMORY_BUFFER)
        return false;
    signature.data = malloc(size);
    if (!signature.data || gnutls_x509_crt_get_signature(certificate->crt, (char *) signature.data, &size) < 0)
        return false;
    signature.size = size;
    return signature_verify(signer, (gnutls_sign_algorithm_t) algorithm, signed_part.whole, bytes_view(&signature),
                            weak_too);
}

/* Those that chain.c or GnuTLS acts on. certificatePolicies and inhibitAnyPolicy restrict nothing where any policy will
 * do; policyConstraints can demand one, and are not understood. */
static const char *const understood[] = {
    GNUTLS_X509EXT_OID_BASIC_CONSTRAINTS,
    GNUTLS_X509EXT_OID_KEY_USAGE,
    GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE,
    GNUTLS_X509EXT_OID_SAN,
    GNUTLS_X509EXT_OID_NAME_CONSTRAINTS,
    GNUTLS_X509EXT_OID_CRT_POLICY,
    "2.5.29.54", /* inhibitAnyPolicy; GnuTLS has another number */
    GNUTLS_X509EXT_OID_AUTHORITY_KEY_ID,
    GNUTLS_X509EXT_OID_SUBJECT_KEY_ID,
    GNUTLS_X509EXT_OID_CRL_DIST_POINTS,
    GNUTLS_X509EXT_OID_AUTHORITY_INFO_ACCESS,
};

bool certificate_unknown_critical(const Certificate *certificate, char *ret_oid, size_t size) {
    for (unsigned i = 0;; i++) {
        char oid[ASN1_OID_MAX];
        size_t oid_size = sizeof(oid);
        unsigned critical = 0;
        bool known = false;
        int r = gnutls_x509_crt_get_extension_info(certificate->crt, i, oid, &oid_size, &critical);

        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            return false;
        if (r < 0) {
            strncpy(ret_oid, "unreadable", size - 1);
            ret_oid[size - 1] = 0;
            return true;
        }
        for (size_t k = 0; k < ARRAY_LENGTH(understood); k++)
            known = known || strcmp(oid, understood[k]) == 0;
        if (critical && !known) {
            strncpy(ret_oid, oid, size - 1);
            ret_oid[size - 1] = 0;
            return true;
        }
    }
}

int certificate_key_usage(const Certificate *certificate, unsigned *ret) {
    unsigned usage = 0, critical;
    int r = gnutls_x509_crt_get_key_usage(certificate->crt, &usage, &critical);

    if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        usage = ~0U;
    else if (r < 0)
        return -EBADMSG;
    *ret = usage;
    return 0;
}
