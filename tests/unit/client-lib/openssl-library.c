/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A library context with the provider in it. */
#include "openssl-library.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/provider.h>

static OSSL_PROVIDER *ours, *theirs;

OSSL_LIB_CTX *openssl_library_new(const char *directory) {
    OSSL_LIB_CTX *library = OSSL_LIB_CTX_new();

    if (library && OSSL_PROVIDER_set_default_search_path(library, directory) &&
        (ours = OSSL_PROVIDER_load(library, "identityd")) && (theirs = OSSL_PROVIDER_load(library, "default")))
        return library;
    openssl_library_free(library);
    return NULL;
}

void openssl_library_free(OSSL_LIB_CTX *library) {
    if (ours)
        OSSL_PROVIDER_unload(ours);
    if (theirs)
        OSSL_PROVIDER_unload(theirs);
    ours = theirs = NULL;
    OSSL_LIB_CTX_free(library);
}

const char *openssl_provider_of(const EVP_PKEY *key) {
    return OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(key));
}

const char *openssl_provider_version(void) {
    char *version = NULL, *name = NULL;
    int status = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_NAME, &name, 0),
        OSSL_PARAM_utf8_ptr(OSSL_PROV_PARAM_VERSION, &version, 0),
        OSSL_PARAM_int(OSSL_PROV_PARAM_STATUS, &status),
        OSSL_PARAM_END,
    };

    return OSSL_PROVIDER_get_params(ours, params) && status == 1 && name ? version : NULL;
}
