/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store loader for identityd:NAME: the private key (a reference into the TPM), then the certificates of the chain.
 */
#include "openssl/cryptography.h"

#include "client-lib/entry.h"
#include "common/names.h"

#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

#define URI_PREFIX "identityd:"
#define PEM_END    "-----END CERTIFICATE-----"

typedef struct StoreContext {
    ProviderContext *provider;
    IdentityKey *key;
    bool key_given;
    int expected;     /* OSSL_STORE_INFO_…; 0: all */
    const char *rest; /* of the chain */
} StoreContext;

static void *store_open(void *provctx, const char *uri) {
    PRESERVE_ERRNO;
    StoreContext *context;
    const char *name = uri && strncmp(uri, URI_PREFIX, strlen(URI_PREFIX)) == 0 ? uri + strlen(URI_PREFIX) : uri;

    if (!identity_name_is_valid(name)) {
        provider_error(provctx, REASON_IDENTITY, "%.80s does not name an identity; the form is identityd:NAME",
                       uri ? uri : "nothing");
        return NULL;
    }
    context = calloc(1, sizeof *context);
    if (!context)
        return NULL;
    context->provider = provctx;
    context->key = identity_key_open(provctx, name, 0);
    if (!context->key) {
        free(context);
        return NULL;
    }
    context->rest = identity_key_chain(context->key);
    return context;
}

static const OSSL_PARAM *settable_params(void *provctx) {
    PRESERVE_ERRNO;
    static const OSSL_PARAM params[] = { OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL), OSSL_PARAM_END };

    return params;
}

static int set_params(void *data, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    StoreContext *context = data;
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);

    return !p || OSSL_PARAM_get_int(p, &context->expected);
}

static bool expects(const StoreContext *context, int what) {
    return context->expected == 0 || context->expected == what;
}

static int load_key(StoreContext *context, OSSL_CALLBACK *callback, void *argument) {
    IdentityKey *key = identity_key_ref(context->key);
    int type = OSSL_OBJECT_PKEY;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *) (identity_key_public(key)->rsa ? "RSA" : "EC"),
                               identity_key_public(key)->rsa ? 3 : 2),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof key),
        OSSL_PARAM_END,
    };
    int r = callback(params, argument);

    identity_key_unref(key); /* NULL when it was taken */
    return r;
}

static int load_certificate(StoreContext *context, OSSL_CALLBACK *callback, void *argument) {
    const char *begin = context->rest, *end = strstr(begin, PEM_END);
    unsigned char *der = NULL;
    size_t size = 0;
    int type = OSSL_OBJECT_CERT;

    context->rest = "";
    if (!end)
        return 0;
    end += strlen(PEM_END);
    context->rest = end + strspn(end, "\r\n");
    if (!crypto_pem_to_der(begin, (size_t) (context->rest - begin), "CERTIFICATE", &der, &size))
        return 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, size),
        OSSL_PARAM_END,
    };
    int r = callback(params, argument);
    OPENSSL_free(der);
    return r;
}

static int store_load(void *data, OSSL_CALLBACK *callback, void *argument, OSSL_PASSPHRASE_CALLBACK *passphrase,
                      void *passphrase_argument) {
    PRESERVE_ERRNO;
    StoreContext *context = data;

    if (!context->key_given) {
        context->key_given = true;
        if (expects(context, OSSL_STORE_INFO_PKEY) || context->expected == OSSL_STORE_INFO_PUBKEY)
            return load_key(context, callback, argument);
    }
    if (expects(context, OSSL_STORE_INFO_CERT))
        return load_certificate(context, callback, argument);
    context->rest = "";
    return 0;
}

static int store_eof(void *data) {
    PRESERVE_ERRNO;
    const StoreContext *context = data;

    return context->key_given && (context->rest[0] == '\0' || !expects(context, OSSL_STORE_INFO_CERT));
}

static int store_close(void *data) {
    PRESERVE_ERRNO;
    StoreContext *context = data;

    identity_key_unref(context->key);
    free(context);
    return 1;
}

const OSSL_DISPATCH store_functions[] = {
    { OSSL_FUNC_STORE_OPEN, FUNCTION(store_open) },
    { OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS, FUNCTION(settable_params) },
    { OSSL_FUNC_STORE_SET_CTX_PARAMS, FUNCTION(set_params) },
    { OSSL_FUNC_STORE_LOAD, FUNCTION(store_load) },
    { OSSL_FUNC_STORE_EOF, FUNCTION(store_eof) },
    { OSSL_FUNC_STORE_CLOSE, FUNCTION(store_close) },
    { 0, NULL },
};
