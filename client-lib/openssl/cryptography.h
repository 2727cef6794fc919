/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the provider itself needs of cryptography: X.509, hashes and verification by OpenSSL, in a library context of
 * its own. The program's context would come back to this very provider; and what a program never touches is never made.
 */
#pragma once

#include "openssl/provider.h"

#include "common/names.h"

#include <openssl/evp.h>

/* The context, made when first asked for; NULL: out of memory. Thread-safe. */
OSSL_LIB_CTX *crypto_library(ProviderContext *context);

/* The public half of the first certificate in `pem`. False: it cannot be read, or is no key that an identity has. */
bool crypto_read_public(ProviderContext *context, const char *pem, PublicKey *ret);

/* Likewise of a DER SubjectPublicKeyInfo. */
bool crypto_read_spki(ProviderContext *context, const uint8_t *der, size_t size, PublicKey *ret);

/* A point on its curve; an odd modulus and an odd exponent above 1. */
bool crypto_public_is_valid(ProviderContext *context, const PublicKey *key);

/* Begins a hash, by OpenSSL's name, in `*running`, which is made if need be and freed with EVP_MD_CTX_free(). */
bool crypto_hash_begin(ProviderContext *context, const char *name, EVP_MD_CTX **running);

typedef struct SignedHash {
    const char *digest; /* OpenSSL's name */
    bool pss;           /* RSA */
    const unsigned char *hash, *signature;
    size_t hash_size, signature_size;
} SignedHash;

/* Whether the signature is by the key. */
bool crypto_verify(ProviderContext *context, const PublicKey *key, const SignedHash *signed_hash);

/* The first PEM block with `label` in `pem` as DER, which OPENSSL_free() frees. */
bool crypto_pem_to_der(const char *pem, size_t size, const char *label, unsigned char **ret, size_t *ret_size);

/* What the DER of a key reference says (common/key-reference.h). -ENOMSG: something else, not meant for us; -EBADMSG:
 * ours, but malformed. */
typedef struct KeyReference {
    char name[IDENTITY_NAME_MAX + 1U];
    uint32_t generation; /* 0: whichever is current */
} KeyReference;
int crypto_read_reference(const unsigned char *der, size_t size, KeyReference *ret);
