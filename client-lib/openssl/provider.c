/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Entry point of the provider, and its tables. */
#include "openssl/provider.h"

#include "client-lib/entry.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define PROVIDER_PROPERTIES "provider=identityd"

static const OSSL_ITEM reason_strings[] = {
    { REASON_IDENTITY, (char *) "the identity cannot be used" },
    { REASON_SIGN, (char *) "identityd did not sign" },
    { REASON_KEY_FILE, (char *) "not a reference to an identity" },
    { REASON_UNSUPPORTED, (char *) "not possible with the key of an identity" },
    { REASON_MEMORY, (char *) "out of memory" },
    { 0, NULL },
};

static const OSSL_ALGORITHM keymgmt_algorithms[] = {
    { "EC:id-ecPublicKey:1.2.840.10045.2.1", PROVIDER_PROPERTIES, ec_keymgmt_functions, "EC keys of identities" },
    { "RSA:rsaEncryption:1.2.840.113549.1.1.1", PROVIDER_PROPERTIES, rsa_keymgmt_functions, "RSA keys of identities" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM signature_algorithms[] = {
    { "ECDSA", PROVIDER_PROPERTIES, ecdsa_signature_functions, "ECDSA by identityd" },
    { "RSA:rsaEncryption:1.2.840.113549.1.1.1", PROVIDER_PROPERTIES, rsa_signature_functions, "RSA by identityd" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM decoder_algorithms[] = {
    { "DER", PROVIDER_PROPERTIES ",input=pem", pem_decoder_functions, "key.pem of an identity" },
    { "EC", PROVIDER_PROPERTIES ",input=der", ec_decoder_functions, "the reference in it (EC)" },
    { "RSA", PROVIDER_PROPERTIES ",input=der", rsa_decoder_functions, "the reference in it (RSA)" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM store_algorithms[] = {
    { "identityd", PROVIDER_PROPERTIES, store_functions, "identityd:NAME" },
    { NULL, NULL, NULL, NULL },
};

static const OSSL_ALGORITHM *query_operation(void *provctx, int operation, int *no_cache) {
    PRESERVE_ERRNO;

    *no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keymgmt_algorithms;
    case OSSL_OP_SIGNATURE:
        return signature_algorithms;
    case OSSL_OP_DECODER:
        return decoder_algorithms;
    case OSSL_OP_STORE:
        return store_algorithms;
    default:
        return NULL;
    }
}

static const OSSL_PARAM *gettable_params(void *provctx) {
    PRESERVE_ERRNO;
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_NAME, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_VERSION, OSSL_PARAM_UTF8_PTR, NULL, 0),
        OSSL_PARAM_DEFN(OSSL_PROV_PARAM_STATUS, OSSL_PARAM_INTEGER, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

static int get_params(void *provctx, OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    OSSL_PARAM *p;

    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_NAME)) && !OSSL_PARAM_set_utf8_ptr(p, PROVIDER_NAME))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_VERSION)) && !OSSL_PARAM_set_utf8_ptr(p, IDENTITYD_VERSION))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PROV_PARAM_STATUS)) && !OSSL_PARAM_set_int(p, 1))
        return 0;
    return 1;
}

static const OSSL_ITEM *get_reason_strings(void *provctx) {
    PRESERVE_ERRNO;

    return reason_strings;
}

static void teardown(void *provctx) {
    PRESERVE_ERRNO;
    ProviderContext *context = provctx;

    OSSL_LIB_CTX_free(context->library);
    free(context);
}

static const OSSL_DISPATCH provider_functions[] = {
    { OSSL_FUNC_PROVIDER_TEARDOWN, FUNCTION(teardown) },
    { OSSL_FUNC_PROVIDER_GETTABLE_PARAMS, FUNCTION(gettable_params) },
    { OSSL_FUNC_PROVIDER_GET_PARAMS, FUNCTION(get_params) },
    { OSSL_FUNC_PROVIDER_QUERY_OPERATION, FUNCTION(query_operation) },
    { OSSL_FUNC_PROVIDER_GET_REASON_STRINGS, FUNCTION(get_reason_strings) },
    { 0, NULL },
};

_public_ OSSL_provider_init_fn OSSL_provider_init;

/* Nothing is opened here: programs that load the provider by their configuration and never touch an identity pay
 * nothing. */
int OSSL_provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *in, const OSSL_DISPATCH **out,
                       void **provctx) {
    PRESERVE_ERRNO;
    ProviderContext *context = calloc(1, sizeof *context);

    if (!context)
        return 0;
    context->handle = handle;
    for (; in->function_id != 0; in++)
        switch (in->function_id) {
        case OSSL_FUNC_CORE_NEW_ERROR:
            context->new_error = OSSL_FUNC_core_new_error(in);
            break;
        case OSSL_FUNC_CORE_SET_ERROR_DEBUG:
            context->set_error_debug = OSSL_FUNC_core_set_error_debug(in);
            break;
        case OSSL_FUNC_CORE_VSET_ERROR:
            context->vset_error = OSSL_FUNC_core_vset_error(in);
            break;
        case OSSL_FUNC_BIO_READ_EX:
            context->bio_read_ex = OSSL_FUNC_BIO_read_ex(in);
            break;
        case OSSL_FUNC_BIO_GETS:
            context->bio_gets = OSSL_FUNC_BIO_gets(in);
            break;
        default:
            break;
        }
    *provctx = context;
    *out = provider_functions;
    return 1;
}
