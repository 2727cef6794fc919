/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By itself, without our include directories: client-lib/openssl has a provider.h of its own. */
#include <openssl/provider.h>

int builtin_providers(OSSL_LIB_CTX *library, OSSL_provider_init_fn *identityd);

/* OpenSSL's own provider, and ours from the objects in this program: 1 if both were loaded. They stay. */
int builtin_providers(OSSL_LIB_CTX *library, OSSL_provider_init_fn *identityd) {
    return library && OSSL_PROVIDER_add_builtin(library, "identityd", identityd) == 1 &&
           OSSL_PROVIDER_load(library, "default") && OSSL_PROVIDER_load(library, "identityd");
}
