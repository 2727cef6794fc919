/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* key.pem of an identity (common/key-reference.h), as PEM or, from OpenSSL's file loader, as the DER in it. So a
 * program that takes the path of a key file reaches the TPM without a change. Anything else in the file is left to
 * other decoders. */
#include "openssl/cryptography.h"

#include "client-lib/entry.h"
#include "common/key-reference.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/core_object.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define KEY_FILE_MAX  (64U * 1024U) /* of text before a block */
#define KEY_LINE_MAX  256U
#define KEY_END       "-----END " KEY_REFERENCE_LABEL "-----"
#define KEY_BLOCK_MAX 1024U /* of a reference: at most KEY_REFERENCE_MAX bytes in base64, and its two lines */
#define KEY_BEGIN     "-----BEGIN " KEY_REFERENCE_LABEL "-----"

typedef struct DecoderContext {
    ProviderContext *provider;
    bool rsa;
} DecoderContext;

static void *decoder_new(void *provctx, bool rsa) {
    DecoderContext *context = calloc(1, sizeof *context);

    if (context)
        *context = (DecoderContext) { provctx, rsa };
    return context;
}

static void *ec_newctx(void *provctx) {
    PRESERVE_ERRNO;

    return decoder_new(provctx, false);
}

static void *rsa_newctx(void *provctx) {
    PRESERVE_ERRNO;

    return decoder_new(provctx, true);
}

static void decoder_freectx(void *context) {
    PRESERVE_ERRNO;

    free(context);
}

static int does_selection(void *provctx, int selection) {
    PRESERVE_ERRNO;

    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static size_t read_all(const DecoderContext *context, OSSL_CORE_BIO *bio, unsigned char *buffer, size_t room) {
    size_t total = 0, got;

    while (total < room && context->provider->bio_read_ex(bio, buffer + total, room - total, &got) > 0 && got > 0)
        total += got;
    return total;
}

/* What is ours ends the search when it is no good: OpenSSL throws away the errors of decoders that only decoded
 * nothing. */
static int malformed(const DecoderContext *context) {
    provider_error(context->provider, REASON_KEY_FILE,
                   "the block " KEY_REFERENCE_LABEL " is cut off, too long, or does not hold the name of an identity");
    return 0;
}

static bool begins(const char *line, const char *with) {
    return strncmp(line, with, strlen(with)) == 0;
}

/* The next PEM block, if it is ours: its size in `block`. 0: another's, or none at all. What follows a block is left
 * unread, and no more than the first line is taken of another's: a file may hold several, and decoders after us go on
 * from here. SIZE_MAX: ours, and no good. */
static size_t read_block(const DecoderContext *context, OSSL_CORE_BIO *bio, char block[static KEY_BLOCK_MAX]) {
    char line[KEY_LINE_MAX];
    size_t read = 0, size = 0;
    int got;

    do {
        got = context->provider->bio_gets(bio, line, sizeof line);
        if (got <= 0 || (read += (size_t) got) > KEY_FILE_MAX)
            return 0;
    } while (!begins(line, "-----BEGIN "));
    if (!begins(line, KEY_BEGIN))
        return 0;
    for (;;) {
        size_t length = strlen(line);
        if (length > KEY_BLOCK_MAX - size)
            return SIZE_MAX;
        memcpy(block + size, line, length);
        size += length;
        if (begins(line, KEY_END))
            return size;
        if (context->provider->bio_gets(bio, line, sizeof line) <= 0)
            return SIZE_MAX;
    }
}

/* The first of the two steps: the block of our label, out of its armour. OpenSSL's own PEM decoder drops labels that it
 * does not know. */
static int decode_pem(void *data, OSSL_CORE_BIO *bio, int selection, OSSL_CALLBACK *callback, void *callback_argument,
                      OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument) {
    PRESERVE_ERRNO;
    const DecoderContext *context = data;
    char block[KEY_BLOCK_MAX];
    KeyReference reference;
    unsigned char *der = NULL;
    size_t der_size = 0, size = read_block(context, bio, block);
    int type = OSSL_OBJECT_PKEY, r;

    if (size == 0)
        return 1;
    if (size == SIZE_MAX)
        return malformed(context);
    if (!crypto_pem_to_der(block, size, KEY_REFERENCE_LABEL, &der, &der_size) ||
        crypto_read_reference(der, der_size, &reference) < 0)
        r = malformed(context);
    else {
        OSSL_PARAM params[] = {
            OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
            OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, der_size),
            OSSL_PARAM_END,
        };
        r = callback(params, callback_argument);
    }
    OPENSSL_free(der);
    return r;
}

/* The second: the reference in it. Other people's DER is none of ours. */
static int decode(void *data, OSSL_CORE_BIO *bio, int selection, OSSL_CALLBACK *callback, void *callback_argument,
                  OSSL_PASSPHRASE_CALLBACK *passphrase, void *passphrase_argument) {
    PRESERVE_ERRNO;
    const DecoderContext *context = data;
    unsigned char der[KEY_REFERENCE_MAX + 1U];
    KeyReference reference;
    int type = OSSL_OBJECT_PKEY;

    int r = crypto_read_reference(der, read_all(context, bio, der, sizeof der), &reference);
    if (r < 0)
        return r == -EBADMSG ? malformed(context) : 1; /* other people's DER is none of ours */
    IdentityKey *key = identity_key_open(context->provider, reference.name, reference.generation);
    if (!key)
        return 0;
    if (identity_key_public(key)->rsa != context->rsa) { /* the twin of this decoder knows it */
        identity_key_unref(key);
        return 1;
    }
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, (char *) (context->rsa ? "RSA" : "EC"),
                               context->rsa ? 3 : 2),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof key),
        OSSL_PARAM_END,
    };
    r = callback(params, callback_argument);
    identity_key_unref(key); /* NULL when it was taken */
    return r;
}

#define DECODER_FUNCTIONS(newctx, decode)                                                                              \
    {                                                                                                                  \
        { OSSL_FUNC_DECODER_NEWCTX, newctx }, { OSSL_FUNC_DECODER_FREECTX, FUNCTION(decoder_freectx) },                \
            { OSSL_FUNC_DECODER_DOES_SELECTION, FUNCTION(does_selection) }, { OSSL_FUNC_DECODER_DECODE, decode }, {    \
            0, NULL                                                                                                    \
        }                                                                                                              \
    }

const OSSL_DISPATCH pem_decoder_functions[] = DECODER_FUNCTIONS(FUNCTION(ec_newctx), FUNCTION(decode_pem));
const OSSL_DISPATCH ec_decoder_functions[] = DECODER_FUNCTIONS(FUNCTION(ec_newctx), FUNCTION(decode));
const OSSL_DISPATCH rsa_decoder_functions[] = DECODER_FUNCTIONS(FUNCTION(rsa_newctx), FUNCTION(decode));
