/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures. A message is kept up to the 64 KiB that a handle takes, since identityd wants to see what it signs;
 * beside it runs the hash, for longer messages, and for ECDSA with a hash that is not as long as the curve: both need
 * the purpose `digest`. */
#include "openssl/cryptography.h"

#include "client-lib/entry.h"
#include "common/macros.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct Digest {
    const char *name, *alias;
    size_t size;
    uint16_t ecdsa, pkcs1, pss; /* IANA schemes, of ECDSA for what an AlgorithmIdentifier says */
} Digest;

static const Digest digests[] = {
    { "SHA256", "SHA2-256", 32, 0x0403, 0x0401, 0x0804 },
    { "SHA384", "SHA2-384", 48, 0x0503, 0x0501, 0x0805 },
    { "SHA512", "SHA2-512", 64, 0x0603, 0x0601, 0x0806 },
};

typedef struct SignatureContext {
    ProviderContext *provider;
    IdentityKey *key;
    const Digest *digest;
    bool pss;
    uint8_t *message;
    size_t message_size;
    bool too_long;
    EVP_MD_CTX *hash; /* NULL: nothing begun */
} SignatureContext;

static void *newctx(void *provctx, const char *properties) {
    PRESERVE_ERRNO;
    SignatureContext *context = calloc(1, sizeof *context);

    if (context)
        context->provider = provctx;
    return context;
}

static void reset(SignatureContext *context) {
    free(context->message);
    context->message = NULL;
    context->message_size = 0;
    context->too_long = false;
    EVP_MD_CTX_free(context->hash);
    context->hash = NULL;
}

static void freectx(void *data) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!context)
        return;
    reset(context);
    identity_key_unref(context->key);
    free(context);
}

static void *dupctx(void *data) {
    PRESERVE_ERRNO;
    const SignatureContext *context = data;
    SignatureContext *copy = newctx((void *) context->provider, NULL);

    if (!copy)
        return NULL;
    *copy = (SignatureContext) {
        .provider = context->provider, .digest = context->digest, .pss = context->pss, .too_long = context->too_long
    };
    if (context->key)
        copy->key = identity_key_ref(context->key);
    if (context->hash && (copy->hash = EVP_MD_CTX_new()) && !EVP_MD_CTX_copy_ex(copy->hash, context->hash)) {
        freectx(copy);
        return NULL;
    }
    if (context->message) {
        copy->message = malloc(IDENTITYD_MESSAGE_MAX);
        if (copy->message)
            memcpy(copy->message, context->message, context->message_size);
        copy->message_size = context->message_size;
    }
    if ((context->hash && !copy->hash) || (context->message && !copy->message)) {
        freectx(copy);
        return NULL;
    }
    return copy;
}

/* ---- parameters ---- */

static const Digest *find_digest(const char *name) {
    for (size_t i = 0; i < ARRAY_LENGTH(digests); i++)
        if (strcasecmp(name, digests[i].name) == 0 || strcasecmp(name, digests[i].alias) == 0)
            return &digests[i];
    return NULL;
}

static int set_digest(SignatureContext *context, const char *name) {
    const Digest *digest = find_digest(name);

    if (digest && context->hash && digest != context->digest) {
        provider_error(context->provider, REASON_UNSUPPORTED, "%s was begun: it cannot become %.32s",
                       context->digest->name, name);
        return 0;
    }
    if (digest) {
        context->digest = digest;
        return 1;
    }
    provider_error(context->provider, REASON_UNSUPPORTED,
                   "an identity's key signs with SHA-256, SHA-384 or SHA-512, not with %.32s", name);
    return 0;
}

#define WORD_MAX 64U

/* A word that may stand where a number could; false: there is none, or a longer one than any that is known. */
static bool get_word(const OSSL_PARAM *p, char ret[static WORD_MAX]) {
    return OSSL_PARAM_get_utf8_string(p, &ret, WORD_MAX) > 0;
}

static int set_padding(SignatureContext *context, const OSSL_PARAM *p) {
    int mode = 0;

    char text[WORD_MAX];

    if (get_word(p, text))
        mode = strcasecmp(text, OSSL_PKEY_RSA_PAD_MODE_PSS) == 0       ? RSA_PKCS1_PSS_PADDING
               : strcasecmp(text, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0 ? RSA_PKCS1_PADDING
                                                                       : 0;
    else if (!OSSL_PARAM_get_int(p, &mode))
        return 0;
    context->pss = mode == RSA_PKCS1_PSS_PADDING;
    if (mode == RSA_PKCS1_PSS_PADDING || mode == RSA_PKCS1_PADDING)
        return 1;
    provider_error(context->provider, REASON_UNSUPPORTED, "an identity's RSA key pads with PKCS#1 v1.5 or PSS only");
    return 0;
}

/* TLS and X.509 want the salt as long as the digest; that is what the TPM makes. */
static int check_salt(SignatureContext *context, const OSSL_PARAM *p) {
    char word[WORD_MAX];
    int length = 0;

    if (get_word(p, word)) {
        if (strcmp(word, OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST) == 0 ||
            strcmp(word, OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO) == 0 || strcmp(word, "auto-digestmax") == 0) /* OpenSSL 3.1 */
            return 1;
        length = atoi(word);
    } else if (!OSSL_PARAM_get_int(p, &length))
        return 0;
    if (length == RSA_PSS_SALTLEN_DIGEST || length == RSA_PSS_SALTLEN_AUTO ||
        (context->digest && (size_t) length == context->digest->size))
        return 1;
    provider_error(context->provider, REASON_UNSUPPORTED,
                   "the PSS salt of an identity's key is as long as the digest (-1)");
    return 0;
}

/* The mask of PSS is made with the digest itself: TPMs know no other. */
static int check_mask(const SignatureContext *context, const OSSL_PARAM *p) {
    char name[WORD_MAX];

    if (get_word(p, name) && find_digest(name) == context->digest)
        return 1;
    provider_error(context->provider, REASON_UNSUPPORTED, "the PSS mask of an identity's key is made with its digest");
    return 0;
}

static int set_params(void *data, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;
    const OSSL_PARAM *p;
    char name[WORD_MAX];

    if (!params)
        return 1;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST)) &&
        (!get_word(p, name) || !set_digest(context, name)))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) && !set_padding(context, p))
        return 0;
    if ((p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST)) && !check_mask(context, p))
        return 0;
    return !(p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN)) || check_salt(context, p);
}

static const OSSL_PARAM *settable_params(void *data, void *provctx) {
    PRESERVE_ERRNO;
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

static const OSSL_PARAM *gettable_params(void *data, void *provctx) {
    PRESERVE_ERRNO;
    static const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_END,
    };
    return params;
}

static uint16_t scheme_of(const SignatureContext *context) {
    const PublicKey *public = identity_key_public(context->key);

    if (!context->digest)
        return 0;
    if (public->rsa)
        return context->pss ? context->digest->pss : context->digest->pkcs1;
    return public->bits == 384 ? 0x0503 : 0x0403;
}

/* What TPMs sign by themselves; any other digest for ECDSA is brought to the length of the curve first. */
static bool suits(const SignatureContext *context) {
    const PublicKey *public = identity_key_public(context->key);

    return public->rsa || context->digest->size * 8U == public->bits;
}

/* OSSL_SIGNATURE_PARAM_PAD_MODE is a number or a word, as the asker likes. */
static int get_padding(const SignatureContext *context, OSSL_PARAM *p) {
    if (p->data_type == OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_set_utf8_string(p,
                                          context->pss ? OSSL_PKEY_RSA_PAD_MODE_PSS : OSSL_PKEY_RSA_PAD_MODE_PKCSV15);
    return OSSL_PARAM_set_int(p, context->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING);
}

static int get_params(void *data, OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;
    OSSL_PARAM *p;
    size_t size = 0;

    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST)) &&
        !OSSL_PARAM_set_utf8_string(p, context->digest ? context->digest->name : ""))
        return 0;
    if ((p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_PAD_MODE)) && !get_padding(context, p))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    if (!p)
        return 1;
    if (!context->key || !context->digest)
        return 0;
    const uint8_t *der =
        algorithm_id(identity_key_public(context->key)->rsa ? scheme_of(context) : context->digest->ecdsa, &size);
    return der && OSSL_PARAM_set_octet_string(p, der, size);
}

/* ---- beginning ---- */

static int init(SignatureContext *context, const char *digest, void *key, const OSSL_PARAM params[]) {
    reset(context);
    if (key) {
        identity_key_ref(key);
        identity_key_unref(context->key);
        context->key = key;
    }
    if (!context->key)
        return 0;
    if (digest && digest[0] && !set_digest(context, digest))
        return 0;
    if (!context->digest) {
        const PublicKey *public = identity_key_public(context->key);
        context->digest = !public->rsa && public->bits == 384 ? &digests[1] : &digests[0];
    }
    return set_params(context, params);
}

/* Forgets what it was given. */
static int restart(SignatureContext *context) {
    context->message_size = 0;
    context->too_long = false;
    return crypto_hash_begin(context->provider, context->digest->name, &context->hash);
}

static int sign_init(void *data, void *key, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;

    return init(data, NULL, key, params);
}

static int begin(SignatureContext *context, const char *digest, void *key, const OSSL_PARAM params[]) {
    if (!init(context, digest, key, params))
        return 0;
    context->message = malloc(IDENTITYD_MESSAGE_MAX);
    if (!context->message || !restart(context)) {
        reset(context);
        provider_error(context->provider, REASON_MEMORY, "no room for a message");
        return 0;
    }
    return 1;
}

/* TLS 1.2 tries the digests that its peer knows one after the other: it comes to the one that suits the key if what
 * would be refused later is refused here. */
static int digest_sign_init(void *data, const char *digest, void *key, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!begin(context, digest, key, params))
        return 0;
    if (suits(context) || identity_key_signs_digests(context->key))
        return 1;
    provider_error(context->provider, REASON_UNSUPPORTED, "this key of %u bits signs with SHA%u here, not with %s",
                   identity_key_public(context->key)->bits, identity_key_public(context->key)->bits,
                   context->digest->name);
    reset(context);
    return 0;
}

static int digest_verify_init(void *data, const char *digest, void *key, const OSSL_PARAM params[]) {
    PRESERVE_ERRNO;

    return begin(data, digest, key, params);
}

static int digest_update(void *data, const unsigned char *bytes, size_t size) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!context->hash || (!bytes && size > 0) || !EVP_DigestUpdate(context->hash, bytes, size))
        return 0;
    if (size > IDENTITYD_MESSAGE_MAX - context->message_size)
        context->too_long = true;
    if (!context->too_long && size > 0) {
        memcpy(context->message + context->message_size, bytes, size);
        context->message_size += size;
    }
    return 1;
}

/* ---- signing ---- */

static size_t signature_room(const SignatureContext *context) {
    const PublicKey *public = identity_key_public(context->key);

    return public->rsa ? public->modulus_size : 2U * ((public->bits + 7U) / 8U) + 9U;
}

/* FIPS 186-4 §6.4: of a digest that is longer than the order of the curve ECDSA takes the leftmost bits; a shorter one
 * is a smaller number. The TPM sees one of its own length that stands for the same number. */
static size_t fit_to_curve(const SignatureContext *context, const uint8_t *digest, uint8_t fitted[static 64]) {
    size_t size = context->digest->size, wanted = identity_key_public(context->key)->bits / 8U;

    memset(fitted, 0, 64);
    if (size < wanted)
        memcpy(fitted + (wanted - size), digest, size);
    else
        memcpy(fitted, digest, wanted);
    return wanted;
}

static int finish(SignatureContext *context, bool is_digest, const void *bytes, size_t size, unsigned char *signature,
                  size_t *ret_size, size_t room) {
    uint8_t made[IDENTITYD_SIGNATURE_MAX], fitted[64];
    size_t made_size = sizeof made;
    uint16_t scheme = scheme_of(context);

    if (scheme == 0) {
        provider_error(context->provider, REASON_UNSUPPORTED, "this key does not sign with %s",
                       context->digest ? context->digest->name : "no digest");
        return 0;
    }
    if (is_digest && (size != context->digest->size || !bytes)) {
        provider_error(context->provider, REASON_UNSUPPORTED, "a digest of %zu bytes is not one of %s", size,
                       context->digest->name);
        return 0;
    }
    if (is_digest && !suits(context)) {
        size = fit_to_curve(context, bytes, fitted);
        bytes = fitted;
    }
    if (!identity_key_sign(context->key, scheme, is_digest, bytes, size, made, &made_size))
        return 0;
    if (made_size > room) {
        provider_error(context->provider, REASON_UNSUPPORTED, "a signature of %zu bytes has no room in %zu", made_size,
                       room);
        return 0;
    }
    memcpy(signature, made, made_size);
    *ret_size = made_size;
    return 1;
}

static int sign(void *data, unsigned char *signature, size_t *ret_size, size_t room, const unsigned char *digest,
                size_t size) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!context->key)
        return 0;
    if (!signature) {
        *ret_size = signature_room(context);
        return 1;
    }
    return finish(context, true, digest, size, signature, ret_size, room);
}

static int digest_sign_final(void *data, unsigned char *signature, size_t *ret_size, size_t room) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;
    uint8_t digest[64] = { 0 };

    if (!context->key || !context->hash)
        return 0;
    if (!signature) {
        *ret_size = signature_room(context);
        return 1;
    }
    if (!context->too_long && suits(context))
        return finish(context, false, context->message, context->message_size, signature, ret_size, room);
    bool hashed = EVP_DigestFinal_ex(context->hash, digest, NULL) > 0;
    EVP_MD_CTX_free(context->hash); /* it gave what it had: a second call gets nothing from it */
    context->hash = NULL;
    return hashed && finish(context, true, digest, context->digest->size, signature, ret_size, room);
}

static int digest_sign(void *data, unsigned char *signature, size_t *ret_size, size_t room, const unsigned char *bytes,
                       size_t size) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!signature)
        return digest_sign_final(context, NULL, ret_size, 0);
    int r = digest_update(context, bytes, size) && digest_sign_final(context, signature, ret_size, room);
    return restart(context) && r; /* OpenSSL hands over the context itself, and may use it again */
}

/* ---- verifying ---- */

static int verify(void *data, const unsigned char *signature, size_t signature_size, const unsigned char *digest,
                  size_t size) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;

    if (!context->key || !context->digest || size != context->digest->size || !digest || !signature)
        return 0;
    const SignedHash signed_hash = {
        .digest = context->digest->name,
        .pss = context->pss,
        .hash = digest,
        .hash_size = size,
        .signature = signature,
        .signature_size = signature_size,
    };
    return crypto_verify(context->provider, identity_key_public(context->key), &signed_hash);
}

static int digest_verify_final(void *data, const unsigned char *signature, size_t signature_size) {
    PRESERVE_ERRNO;
    SignatureContext *context = data;
    uint8_t digest[64] = { 0 };

    if (!context->hash || !EVP_DigestFinal_ex(context->hash, digest, NULL))
        return 0;
    return verify(context, signature, signature_size, digest, context->digest->size);
}

#define SIGNATURE_FUNCTIONS                                                                                            \
    {                                                                                                                  \
        { OSSL_FUNC_SIGNATURE_NEWCTX, FUNCTION(newctx) }, { OSSL_FUNC_SIGNATURE_FREECTX, FUNCTION(freectx) },          \
            { OSSL_FUNC_SIGNATURE_DUPCTX, FUNCTION(dupctx) }, { OSSL_FUNC_SIGNATURE_SIGN_INIT, FUNCTION(sign_init) },  \
            { OSSL_FUNC_SIGNATURE_SIGN, FUNCTION(sign) }, { OSSL_FUNC_SIGNATURE_VERIFY_INIT, FUNCTION(sign_init) },    \
            { OSSL_FUNC_SIGNATURE_VERIFY, FUNCTION(verify) },                                                          \
            { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, FUNCTION(digest_sign_init) },                                      \
            { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, FUNCTION(digest_update) },                                       \
            { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, FUNCTION(digest_sign_final) },                                    \
            { OSSL_FUNC_SIGNATURE_DIGEST_SIGN, FUNCTION(digest_sign) },                                                \
            { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, FUNCTION(digest_verify_init) },                                  \
            { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE, FUNCTION(digest_update) },                                     \
            { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL, FUNCTION(digest_verify_final) },                                \
            { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS, FUNCTION(get_params) },                                              \
            { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS, FUNCTION(gettable_params) },                                    \
            { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, FUNCTION(set_params) },                                              \
            { OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS, FUNCTION(settable_params) }, {                                  \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

const OSSL_DISPATCH ecdsa_signature_functions[] = SIGNATURE_FUNCTIONS;
const OSSL_DISPATCH rsa_signature_functions[] = SIGNATURE_FUNCTIONS;
