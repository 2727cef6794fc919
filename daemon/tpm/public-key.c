/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Public areas of the TPM as the rest of the world sees public keys: Names and SubjectPublicKeyInfo. Pure. */
#include "tpm/internal.h"

#include <gnutls/crypto.h>
#include <string.h>
#include <tss2/tss2_mu.h>

#define RSA_EXPONENT_DEFAULT 65537U

static int digest_of(TPMI_ALG_HASH algorithm, gnutls_digest_algorithm_t *ret) {
    switch (algorithm) {
    case TPM2_ALG_SHA256:
        *ret = GNUTLS_DIG_SHA256;
        return 32;
    case TPM2_ALG_SHA384:
        *ret = GNUTLS_DIG_SHA384;
        return 48;
    case TPM2_ALG_SHA512:
        *ret = GNUTLS_DIG_SHA512;
        return 64;
    default:
        return -EINVAL;
    }
}

int tpm_name_of(const TPM2B_PUBLIC *public, TPM2B_NAME *ret) {
    uint8_t area[sizeof(TPMT_PUBLIC)];
    size_t size = 0;
    gnutls_digest_algorithm_t digest;
    int length = digest_of(public->publicArea.nameAlg, &digest);
    TPM2B_NAME name = { .size = 0 };

    if (length < 0)
        return length;
    if (Tss2_MU_TPMT_PUBLIC_Marshal(&public->publicArea, area, sizeof area, &size) != TSS2_RC_SUCCESS)
        return -EINVAL;
    name.name[0] = (uint8_t) (public->publicArea.nameAlg >> 8);
    name.name[1] = (uint8_t) (public->publicArea.nameAlg & 0xffU);
    if (gnutls_hash_fast(digest, area, size, name.name + 2) < 0)
        return -EIO;
    name.size = (uint16_t) (2 + length);
    *ret = name;
    return 0;
}

bool tpm_name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b) {
    return a->size == b->size && memcmp(a->name, b->name, a->size) == 0;
}

int tpm_name_from_bytes(BytesView bytes, TPM2B_NAME *ret) {
    TPM2B_NAME name = { .size = (uint16_t) bytes.size };
    gnutls_digest_algorithm_t digest;

    if (bytes.size < 2 || bytes.size > sizeof name.name ||
        digest_of((TPMI_ALG_HASH) (bytes.data[0] << 8 | bytes.data[1]), &digest) != (int) bytes.size - 2)
        return -EINVAL;
    memcpy(name.name, bytes.data, bytes.size);
    *ret = name;
    return 0;
}

static int import_ecc(const TPMT_PUBLIC *public, gnutls_pubkey_t key) {
    const TPMS_ECC_POINT *point = &public->unique.ecc;
    gnutls_ecc_curve_t curve;
    size_t length;
    uint8_t x[48] = { 0 }, y[48] = { 0 };
    gnutls_datum_t x_datum, y_datum;

    switch (public->parameters.eccDetail.curveID) {
    case TPM2_ECC_NIST_P256:
        curve = GNUTLS_ECC_CURVE_SECP256R1;
        length = 32;
        break;
    case TPM2_ECC_NIST_P384:
        curve = GNUTLS_ECC_CURVE_SECP384R1;
        length = 48;
        break;
    default:
        return -EINVAL;
    }
    if (point->x.size == 0 || point->x.size > length || point->y.size == 0 || point->y.size > length)
        return -EINVAL;
    /* Some TPMs leave leading zeros out. */
    memcpy(x + length - point->x.size, point->x.buffer, point->x.size);
    memcpy(y + length - point->y.size, point->y.buffer, point->y.size);
    x_datum = (gnutls_datum_t) { x, (unsigned int) length };
    y_datum = (gnutls_datum_t) { y, (unsigned int) length };
    return gnutls_pubkey_import_ecc_raw(key, curve, &x_datum, &y_datum) < 0 ? -EINVAL : 0;
}

static int import_rsa(const TPMT_PUBLIC *public, gnutls_pubkey_t key) {
    const TPM2B_PUBLIC_KEY_RSA *modulus = &public->unique.rsa;
    uint32_t exponent = public->parameters.rsaDetail.exponent;
    uint8_t e[4];
    gnutls_datum_t m_datum = { (uint8_t *) modulus->buffer, modulus->size }, e_datum = { e, sizeof e };

    if (exponent == 0)
        exponent = RSA_EXPONENT_DEFAULT;
    for (size_t i = 0; i < sizeof e; i++)
        e[i] = (uint8_t) (exponent >> (24U - 8U * i));
    while (e_datum.size > 1 && e_datum.data[0] == 0) {
        e_datum.data++;
        e_datum.size--;
    }
    if (modulus->size < 256 || modulus->size > sizeof modulus->buffer || !(modulus->buffer[0] & 0x80U))
        return -EINVAL;
    return gnutls_pubkey_import_rsa_raw(key, &m_datum, &e_datum) < 0 ? -EINVAL : 0;
}

int tpm_public_import(const TPMT_PUBLIC *public, gnutls_pubkey_t *ret) {
    _cleanup_pubkey_ gnutls_pubkey_t key = NULL;
    int r;

    if (gnutls_pubkey_init(&key) < 0)
        return -ENOMEM;
    switch (public->type) {
    case TPM2_ALG_ECC:
        r = import_ecc(public, key);
        break;
    case TPM2_ALG_RSA:
        r = import_rsa(public, key);
        break;
    default:
        r = -EINVAL;
    }
    if (r < 0)
        return r;
    *ret = TAKE_PTR(key);
    return 0;
}

int tpm_public_spki(const TPMT_PUBLIC *public, Bytes *ret) {
    _cleanup_pubkey_ gnutls_pubkey_t key = NULL;
    gnutls_datum_t der = { NULL, 0 };
    int r = tpm_public_import(public, &key);

    if (r < 0)
        return r;
    if (gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &der) < 0)
        return -EINVAL;
    r = bytes_copy((BytesView) { der.data, der.size }, ret);
    gnutls_free(der.data);
    return r;
}
