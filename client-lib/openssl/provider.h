/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The OpenSSL 3 provider of identityd: what its files share. It knows only keys that are identities: public halves from
 * the certificate, signatures by identityd through libidentityd. No digest and no random number comes from here
 * (docs/facts.md, "OpenSSL": OpenSSL 3.0). */
#pragma once

#include <identityd/identityd.h>

#include <openssl/core.h>
#include <openssl/core_dispatch.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct ProviderContext {
    OSSL_LIB_CTX *_Atomic library; /* cryptography.h */
    const OSSL_CORE_HANDLE *handle;
    OSSL_FUNC_core_new_error_fn *new_error;
    OSSL_FUNC_core_set_error_debug_fn *set_error_debug;
    OSSL_FUNC_core_vset_error_fn *vset_error;
    OSSL_FUNC_BIO_read_ex_fn *bio_read_ex;
    OSSL_FUNC_BIO_gets_fn *bio_gets;
} ProviderContext;

enum {
    REASON_IDENTITY = 1, /* an identity could not be opened */
    REASON_SIGN,         /* identityd did not sign */
    REASON_KEY_FILE,     /* a key reference that is none */
    REASON_UNSUPPORTED,  /* digest, padding or operation that an identity's key does not do */
    REASON_MEMORY,
};

#define PROVIDER_NAME "identityd"

/* ---- provider-error.c ---- */

/* Puts an entry into OpenSSL's error queue. */
void provider_error(ProviderContext *context, uint32_t reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- key.c ---- */

typedef enum IdentityPurpose {
    USE_TLS_CLIENT,
    USE_TLS_SERVER,
    USE_DATA,
    USE_DATA_RAW,
    USE_DIGEST,
    _USE_COUNT
} IdentityPurpose;

typedef struct IdentityKey IdentityKey;

#define PUBLIC_MAX 512U /* bytes of a modulus or point */

/* The public half, as plain numbers. */
typedef struct PublicKey {
    bool rsa;
    unsigned bits;
    const char *group;         /* "P-256", "P-384"; EC only */
    uint8_t point[PUBLIC_MAX]; /* uncompressed; EC */
    size_t point_size;
    uint8_t modulus[PUBLIC_MAX], exponent[16]; /* big-endian; RSA */
    size_t modulus_size, exponent_size;
} PublicKey;

bool public_key_equal(const PublicKey *a, const PublicKey *b);

/* Opens an identity by name: the first of tls-client, tls-server, data, data-raw, digest that the caller is admitted to
 * gives the certificate. `generation` 0: the current one. NULL: the reason is in the error queue. */
IdentityKey *identity_key_open(ProviderContext *context, const char *name, uint32_t generation);
/* An empty object for a public key that is imported. */
IdentityKey *identity_key_new(ProviderContext *context, bool rsa);
IdentityKey *identity_key_ref(IdentityKey *key);
/* Another like it, or NULL: out of memory. */
IdentityKey *identity_key_dup(IdentityKey *key);
/* Whether the public half is a key: a point on its curve, or numbers that RSA can do with. */
bool identity_key_is_valid(const IdentityKey *key);
/* Whether this process is lent it for digests; asks identityd the first time. */
bool identity_key_signs_digests(IdentityKey *key);
void identity_key_unref(IdentityKey *key);
const PublicKey *identity_key_public(const IdentityKey *key);
PublicKey *identity_key_public_for_import(IdentityKey *key);
bool identity_key_is_private(const IdentityKey *key);
/* It was compared with what belongs to it, and remains what it is. */
void identity_key_settle(IdentityKey *key);
/* Makes it the generation whose public key is `wanted`, once, unless it was settled before. May ask identityd. False:
 * no such generation of this identity signs, and it is what it was. */
bool identity_key_become(IdentityKey *key, const PublicKey *wanted);
/* PEM chain of the generation that the key belongs to; borrowed. "" for imported keys. */
const char *identity_key_chain(const IdentityKey *key);

/* Signs `message` (or, with `is_digest`, a digest) with an IANA scheme; opens a credential of the right purpose on
 * first use, and anew after a fork or a restart of identityd. 1 or 0. */
int identity_key_sign(IdentityKey *key, uint16_t scheme, bool is_digest, const void *data, size_t size, void *signature,
                      size_t *signature_size);

/* DER of the AlgorithmIdentifier of an IANA scheme; NULL: none. */
const uint8_t *algorithm_id(uint16_t scheme, size_t *ret_size);

/* ---- dispatch tables ---- */

/* What OpenSSL may call: such a function begins with PRESERVE_ERRNO (client-lib/entry.h). */
#define FUNCTION(f) ((void (*)(void))(f))

extern const OSSL_DISPATCH ec_keymgmt_functions[];
extern const OSSL_DISPATCH rsa_keymgmt_functions[];
extern const OSSL_DISPATCH ecdsa_signature_functions[];
extern const OSSL_DISPATCH rsa_signature_functions[];
extern const OSSL_DISPATCH pem_decoder_functions[];
extern const OSSL_DISPATCH ec_decoder_functions[];
extern const OSSL_DISPATCH rsa_decoder_functions[];
extern const OSSL_DISPATCH store_functions[];
