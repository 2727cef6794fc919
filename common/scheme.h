/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key algorithms and signature schemes: one table for daemon, library and modules. Schemes are named and
 * numbered as in the IANA registry "TLS SignatureScheme". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum KeyAlgorithm {
    KEY_ECDSA_P256,
    KEY_ECDSA_P384,
    KEY_RSA_2048,
    KEY_RSA_3072,
    _KEY_ALGORITHM_COUNT,
    _KEY_ALGORITHM_INVALID = -1,
} KeyAlgorithm;

/* "ecdsa-p256", "ecdsa-p384", "rsa-2048", "rsa-3072"; NULL for a value out of range. */
const char *key_algorithm_to_string(KeyAlgorithm algorithm);
KeyAlgorithm key_algorithm_from_string(const char *name);

typedef enum SchemeHash {
    SCHEME_SHA256 = 32, /* the value is the digest's length in bytes */
    SCHEME_SHA384 = 48,
    SCHEME_SHA512 = 64,
} SchemeHash;

typedef enum SchemePadding {
    SCHEME_ECDSA,     /* signature: DER SEQUENCE { r, s } */
    SCHEME_RSA_PKCS1, /* signature: modulus-sized, as are PSS ones */
    SCHEME_RSA_PSS,   /* salt length = digest length, MGF1 with the same hash */
} SchemePadding;

typedef struct SignatureScheme {
    uint16_t id;      /* IANA TLS SignatureScheme */
    const char *name; /* its IANA name */
    SchemePadding padding;
    SchemeHash hash;
    bool tls; /* allowed in a TLS 1.3 CertificateVerify, hence for tls-client and tls-server */
} SignatureScheme;

/* ecdsa_secp256r1_sha256 0x0403, ecdsa_secp384r1_sha384 0x0503, rsa_pkcs1_sha256 0x0401, rsa_pkcs1_sha384
 * 0x0501, rsa_pkcs1_sha512 0x0601, rsa_pss_rsae_sha256 0x0804, rsa_pss_rsae_sha384 0x0805,
 * rsa_pss_rsae_sha512 0x0806. Constant objects: never freed. NULL if unknown. */
const SignatureScheme *scheme_by_id(uint16_t id);
const SignatureScheme *scheme_by_name(const char *name);

/* Whether a key of `algorithm` can sign with `scheme`: P-256 only with 0x0403, P-384 only with 0x0503, RSA
 * with every RSA scheme. */
bool scheme_fits(const SignatureScheme *scheme, KeyAlgorithm algorithm);

/* The schemes of an algorithm, best first, at most `SCHEMES_PER_KEY_MAX`; returns how many. */
#define SCHEMES_PER_KEY_MAX 6U
size_t scheme_list(KeyAlgorithm algorithm, const SignatureScheme *ret[static SCHEMES_PER_KEY_MAX]);

/* Largest signature of any scheme and algorithm here, in bytes (RSA-3072). */
#define SIGNATURE_MAX 384U

/* Digest of `message` with the scheme's hash into `ret`, which has room for 64 bytes; returns its length or
 * -EIO if the library refuses (FIPS mode). */
int scheme_digest(const SignatureScheme *scheme, const void *message, size_t size, uint8_t ret[static 64]);
