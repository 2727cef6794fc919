/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Key management: the public half of an identity's key is exported and compared, the private half never: an export that
 * asks for it fails, upon which OpenSSL comes back to our own signature functions. Nothing is generated here. */
#include "openssl/provider.h"

#include "client-lib/entry.h"
#include "common/macros.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <string.h>

#define SIGNATURE_DER_OVERHEAD 9U /* SEQUENCE and two INTEGERs, each with a possible leading zero */

static void *ec_new(void *provctx) {
    PRESERVE_ERRNO;

    return identity_key_new(provctx, false);
}

static void *rsa_new(void *provctx) {
    PRESERVE_ERRNO;

    return identity_key_new(provctx, true);
}

static void key_free(void *key) {
    PRESERVE_ERRNO;

    identity_key_unref(key);
}

/* The decoder and the store hand over the object itself. */
static void *key_load(const void *reference, size_t size) {
    PRESERVE_ERRNO;
    IdentityKey *key;

    if (size != sizeof key)
        return NULL;
    memcpy(&key, reference, sizeof key);
    memset((void *) reference, 0, sizeof key); /* taken, as OpenSSL's own providers do it */
    return key;
}

static void *key_dup(const void *data, int selection) {
    PRESERVE_ERRNO;

    return data ? identity_key_dup((IdentityKey *) (uintptr_t) data) : NULL;
}

static int key_has(const void *data, int selection) {
    PRESERVE_ERRNO;
    const IdentityKey *key = data;
    const PublicKey *public = key ? identity_key_public(key) : NULL;

    if (!key)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && !identity_key_is_private(key))
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY) && public->point_size == 0 && public->modulus_size == 0)
        return 0;
    return 1;
}

static bool parameters_match(const PublicKey *x, const PublicKey *y, int selection) {
    return x->rsa == y->rsa && (x->rsa || !(selection & OSSL_KEYMGMT_SELECT_DOMAIN_PARAMETERS) ||
                                strcmp(x->group ? x->group : "", y->group ? y->group : "") == 0);
}

/* What is private is in the TPM: whether it belongs to the public half identityd has seen to. */
static int key_validate(const void *data, int selection, int check_type) {
    PRESERVE_ERRNO;

    return key_has(data, selection) && identity_key_is_valid(data);
}

/* This is where a program finds out that a certificate and a key belong together, and a renewal between its reading the
 * one and the other does no harm: see key.c. */
static int key_match(const void *a, const void *b, int selection) {
    PRESERVE_ERRNO;
    IdentityKey *one = (IdentityKey *) (uintptr_t) a, *other = (IdentityKey *) (uintptr_t) b;

    if (!a || !b || !parameters_match(identity_key_public(a), identity_key_public(b), selection))
        return 0;
    if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
        return 1;
    if (public_key_equal(identity_key_public(a), identity_key_public(b))) {
        identity_key_settle(one);
        identity_key_settle(other);
        return 1;
    }
    return identity_key_become(one, identity_key_public(b)) || identity_key_become(other, identity_key_public(a));
}

/* ---- parameters ---- */

static const OSSL_PARAM ec_types[] = {
    OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
    OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM rsa_types[] = {
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
    OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
    OSSL_PARAM_END,
};

static const OSSL_PARAM *ec_export_types(int selection) {
    PRESERVE_ERRNO;

    return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? NULL : ec_types;
}

static const OSSL_PARAM *rsa_export_types(int selection) {
    PRESERVE_ERRNO;

    return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? NULL : rsa_types;
}

/* OSSL_PARAM integers are in the machine's order. */
static void to_native(const uint8_t *big, size_t size, uint8_t *ret) {
    for (size_t i = 0; i < size; i++)
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        ret[i] = big[size - 1 - i];
#else
        ret[i] = big[i];
#endif
}

static int key_export(void *data, int selection, OSSL_CALLBACK *callback, void *argument) {
    PRESERVE_ERRNO;
    const PublicKey *public = identity_key_public(data);
    uint8_t modulus[PUBLIC_MAX], exponent[sizeof public->exponent];

    if (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY || !callback)
        return 0;
    if (!public->rsa && !public->group)
        return 0; /* nothing was imported */
    if (public->rsa) {
        to_native(public->modulus, public->modulus_size, modulus);
        to_native(public->exponent, public->exponent_size, exponent);
        OSSL_PARAM params[] = {
            OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, modulus, public->modulus_size),
            OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, exponent, public->exponent_size),
            OSSL_PARAM_END,
        };
        return callback(params, argument);
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) public->group, strlen(public->group)),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *) public->point, public->point_size),
        OSSL_PARAM_END,
    };
    return callback(params, argument);
}

static size_t import_number(const OSSL_PARAM *param, uint8_t *big, size_t room) {
    size_t size;

    if (!param || param->data_type != OSSL_PARAM_UNSIGNED_INTEGER || !param->data || param->data_size == 0 ||
        param->data_size > room)
        return 0;
    uint8_t plain[PUBLIC_MAX];
    to_native(param->data, param->data_size, plain); /* its own inverse */
    for (size = param->data_size; size > 1 && plain[param->data_size - size] == 0; size--)
        ;
    memcpy(big, plain + param->data_size - size, size);
    return size;
}

static int import_rsa(PublicKey *public, const OSSL_PARAM params[]) {
    public->modulus_size =
        import_number(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_N), public->modulus, sizeof public->modulus);
    public->exponent_size = import_number(OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_E), public->exponent,
                                          sizeof public->exponent);
    public->bits = (unsigned) public->modulus_size * 8U;
    return public->modulus_size > 0 && public->exponent_size > 0;
}

static int import_ec(PublicKey *public, const OSSL_PARAM params[]) {
    const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME),
                     *point = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PUB_KEY);
    char text[32], *name = text;

    if (!group || !OSSL_PARAM_get_utf8_string(group, &name, sizeof text))
        return 0;
    bool p256 = strcmp(name, "prime256v1") == 0 || strcmp(name, "P-256") == 0;
    bool p384 = strcmp(name, "secp384r1") == 0 || strcmp(name, "P-384") == 0;
    if (!p256 && !p384)
        return 0;
    public->group = p256 ? "P-256" : "P-384";
    public->bits = p256 ? 256 : 384;
    if (!point)
        return 1;
    /* Only uncompressed points are compared: that is what OpenSSL exports. */
    if (point->data_type != OSSL_PARAM_OCTET_STRING || !point->data || point->data_size != 1U + public->bits / 4U ||
        *(const uint8_t *) point->data != 4)
        return 0;
    memcpy(public->point, point->data, point->data_size);
    public->point_size = point->data_size;
    return 1;
}

static int key_import(void *data, int selection, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    PublicKey *public = identity_key_public_for_import(data);

    if (!params || identity_key_is_private(data) ||
        (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY && OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY)))
        return 0;
    bool good = public->rsa ? import_rsa(public, params) : import_ec(public, params);
    return good && ((!public->rsa && public->point_size == 0) || identity_key_is_valid(data));
}

static const OSSL_PARAM *gettable_params(void *provctx) {
    PRESERVE_ERRNO;
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

static int set_number(OSSL_PARAM *p, const uint8_t *big, size_t size) {
    uint8_t native[PUBLIC_MAX] = { 0 };

    p->return_size = size;
    if (!p->data)
        return 1;
    if (p->data_size < size)
        return 0;
    to_native(big, size, native);
    memset(p->data, 0, p->data_size);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(p->data, native, size);
#else
    memcpy((uint8_t *) p->data + p->data_size - size, native, size);
#endif
    p->return_size = p->data_size;
    return 1;
}

static int get_common(const PublicKey *public, OSSL_PARAM params[]) {
    unsigned security = public->rsa ? (public->bits >= 3072 ? 128U : 112U) : public->bits / 2U;
    size_t maximum = public->rsa ? public->modulus_size : 2U * ((public->bits + 7U) / 8U) + SIGNATURE_DER_OVERHEAD;
    const char *digest = !public->rsa && public->bits == 384 ? "SHA384" : "SHA256";
    OSSL_PARAM *p;

    if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_BITS)) && !OSSL_PARAM_set_int(p, (int) public->bits))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_SECURITY_BITS)) && !OSSL_PARAM_set_int(p, (int) security))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_MAX_SIZE)) && !OSSL_PARAM_set_int(p, (int) maximum))
        return 0;
    return !(p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_DEFAULT_DIGEST)) || OSSL_PARAM_set_utf8_string(p, digest);
}

static int key_get_params(void *data, OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    const PublicKey *public = identity_key_public(data);
    OSSL_PARAM *p;

    if (!get_common(public, params))
        return 0;
    if (public->rsa) {
        if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_RSA_N)) &&
            !set_number(p, public->modulus, public->modulus_size))
            return 0;
        return !(p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_RSA_E)) ||
               set_number(p, public->exponent, public->exponent_size);
    }
    if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_GROUP_NAME)) && public->group &&
        !OSSL_PARAM_set_utf8_string(p, public->bits == 256 ? "prime256v1" : "secp384r1"))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_PUB_KEY)) &&
        !OSSL_PARAM_set_octet_string(p, public->point, public->point_size))
        return 0;
    return !(p = OSSL_PARAM_locate(params, OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY)) ||
           OSSL_PARAM_set_octet_string(p, public->point, public->point_size);
}

static const char *ec_operation_name(int operation) {
    PRESERVE_ERRNO;

    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

static const char *rsa_operation_name(int operation) {
    PRESERVE_ERRNO;

    return operation == OSSL_OP_SIGNATURE ? "RSA" : NULL;
}

#define KEYMGMT_COMMON                                                                                                 \
    { OSSL_FUNC_KEYMGMT_FREE, FUNCTION(key_free) }, { OSSL_FUNC_KEYMGMT_LOAD, FUNCTION(key_load) },                    \
        { OSSL_FUNC_KEYMGMT_DUP, FUNCTION(key_dup) }, { OSSL_FUNC_KEYMGMT_VALIDATE, FUNCTION(key_validate) },          \
        { OSSL_FUNC_KEYMGMT_HAS, FUNCTION(key_has) }, { OSSL_FUNC_KEYMGMT_MATCH, FUNCTION(key_match) },                \
        { OSSL_FUNC_KEYMGMT_EXPORT, FUNCTION(key_export) }, { OSSL_FUNC_KEYMGMT_IMPORT, FUNCTION(key_import) },        \
        { OSSL_FUNC_KEYMGMT_GET_PARAMS, FUNCTION(key_get_params) }, {                                                  \
        OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS, FUNCTION(gettable_params)                                                   \
    }

const OSSL_DISPATCH ec_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, FUNCTION(ec_new) },
    KEYMGMT_COMMON,
    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FUNCTION(ec_export_types) },
    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FUNCTION(ec_export_types) },
    { OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FUNCTION(ec_operation_name) },
    { 0, NULL },
};

const OSSL_DISPATCH rsa_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, FUNCTION(rsa_new) },
    KEYMGMT_COMMON,
    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, FUNCTION(rsa_export_types) },
    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, FUNCTION(rsa_export_types) },
    { OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME, FUNCTION(rsa_operation_name) },
    { 0, NULL },
};
