/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A key.pem that names an identity, as the provider decodes it: PEM through OpenSSL, with other blocks before and
 * behind, and the DER in it. What is taken for a reference is what the daemon would have written for that name, byte
 * for byte. Nobody serves any identity here: what is found cannot be opened, and that is the end of the search. */
#include "fuzz.h"

#include "common/key-reference.h"
#include "openssl/cryptography.h"

#include <openssl/decoder.h>
#include <openssl/err.h>
#include <string.h>

OSSL_provider_init_fn OSSL_provider_init;
int builtin_providers(OSSL_LIB_CTX *library, OSSL_provider_init_fn *identityd); /* openssl-builtin.c */

static OSSL_LIB_CTX *library(void) {
    static OSSL_LIB_CTX *context; /* kept: made once */

    if (context)
        return context;
    require(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1) == 0);
    context = OSSL_LIB_CTX_new();
    require(builtin_providers(context, OSSL_provider_init) == 1);
    return context;
}

/* The way of every program that is given the path of a key. */
static void decode(const uint8_t *data, size_t size) {
    const unsigned char *at = data;
    EVP_PKEY *key = NULL;
    OSSL_DECODER_CTX *decoder =
        OSSL_DECODER_CTX_new_for_pkey(&key, NULL, NULL, NULL, EVP_PKEY_KEYPAIR, library(), "provider=identityd");

    require(decoder);
    (void) OSSL_DECODER_from_data(decoder, &at, &size);
    require(!key); /* of ours alone: nobody serves one */
    OSSL_DECODER_CTX_free(decoder);
    ERR_clear_error();
}

static void check_reference(const uint8_t *der, size_t size) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    KeyReference reference;
    unsigned char *again = NULL;
    size_t again_size = 0;

    if (crypto_read_reference(der, size, &reference) < 0)
        return;
    require(identity_name_is_valid(reference.name) &&
            key_reference_to_pem(reference.name, reference.generation, &pem) == 0);
    require(crypto_pem_to_der((const char *) pem.data, pem.size, KEY_REFERENCE_LABEL, &again, &again_size));
    require(again_size == size && memcmp(again, der, size) == 0);
    OPENSSL_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    unsigned char *der = NULL;
    size_t der_size = 0;

    check_reference(data, size);
    if (size > 0 && crypto_pem_to_der((const char *) data, size, KEY_REFERENCE_LABEL, &der, &der_size))
        check_reference(der, der_size);
    OPENSSL_free(der);
    decode(data, size);
    return 0;
}
