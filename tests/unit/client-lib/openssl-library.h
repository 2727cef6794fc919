/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library context with the provider in it. A file of its own: <openssl/provider.h> is OpenSSL's only where
 * client-lib, which has an openssl/provider.h, too, is not searched for headers. */
#pragma once

#include <openssl/evp.h>

/* A context with "identityd", from `directory`, and "default"; NULL: the error queue says why. */
OSSL_LIB_CTX *openssl_library_new(const char *directory);
void openssl_library_free(OSSL_LIB_CTX *library);

/* The name of the provider whose key it is; borrowed. */
const char *openssl_provider_of(const EVP_PKEY *key);

/* The version that "identityd" says it has; borrowed. NULL: it says none, or that it is not running. */
const char *openssl_provider_version(void);
