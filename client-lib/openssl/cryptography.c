/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* X.509, hashes, verification and the ASN.1 of references by OpenSSL. */
#include "openssl/cryptography.h"

#include "common/key-reference.h"
#include "common/macros.h"

#include <openssl/asn1t.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

DEFINE_CLEANUP(BIO, BIO_free)
DEFINE_CLEANUP(X509, X509_free)
DEFINE_CLEANUP(BIGNUM, BN_free)
DEFINE_CLEANUP(EC_GROUP, EC_GROUP_free)
DEFINE_CLEANUP(EC_POINT, EC_POINT_free)
DEFINE_CLEANUP(EVP_MD, EVP_MD_free)
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free)
DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free)
DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free)
DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free)

OSSL_LIB_CTX *crypto_library(ProviderContext *context) {
    OSSL_LIB_CTX *library = context->library, *none = NULL;

    if (library)
        return library;
    library = OSSL_LIB_CTX_new();
    if (library && !atomic_compare_exchange_strong(&context->library, &none, library)) { /* another thread was faster */
        OSSL_LIB_CTX_free(library);
        library = none;
    }
    return library;
}

/* ---- the public half ---- */

static bool read_number(const EVP_PKEY *key, const char *name, uint8_t *to, size_t room, size_t *ret_size) {
    _cleanup_(BN_free_p) BIGNUM *number = NULL;

    if (!EVP_PKEY_get_bn_param(key, name, &number) || BN_num_bytes(number) > (int) room)
        return false;
    *ret_size = (size_t) BN_bn2bin(number, to);
    return true;
}

static bool read_coordinate(const EVP_PKEY *key, const char *name, uint8_t *to, unsigned length) {
    _cleanup_(BN_free_p) BIGNUM *number = NULL;

    return EVP_PKEY_get_bn_param(key, name, &number) && BN_bn2binpad(number, to, (int) length) == (int) length;
}

static bool read_ec(const EVP_PKEY *key, PublicKey *public) {
    char group[32] = "";

    if (!EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, NULL))
        return false;
    unsigned length = strcmp(group, SN_X9_62_prime256v1) == 0 ? 32 : strcmp(group, SN_secp384r1) == 0 ? 48 : 0;
    public->rsa = false;
    public->group = length == 32 ? "P-256" : "P-384";
    public->bits = length * 8U;
    public->point[0] = 4; /* SEC 1: uncompressed */
    public->point_size = 1U + 2U * length;
    return length > 0 && read_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_X, public->point + 1, length) &&
           read_coordinate(key, OSSL_PKEY_PARAM_EC_PUB_Y, public->point + 1 + length, length);
}

static bool read_rsa(const EVP_PKEY *key, PublicKey *public) {
    public->rsa = true;
    bool good =
        read_number(key, OSSL_PKEY_PARAM_RSA_N, public->modulus, sizeof public->modulus, &public->modulus_size) &&
        read_number(key, OSSL_PKEY_PARAM_RSA_E, public->exponent, sizeof public->exponent, &public->exponent_size);
    public->bits = (unsigned) public->modulus_size * 8U;
    return good;
}

static bool read_key(const EVP_PKEY *key, PublicKey *ret) {
    *ret = (PublicKey) { .rsa = false };
    return key && (EVP_PKEY_is_a(key, "EC") ? read_ec(key, ret) : EVP_PKEY_is_a(key, "RSA") && read_rsa(key, ret));
}

bool crypto_read_public(ProviderContext *context, const char *pem, PublicKey *ret) {
    OSSL_LIB_CTX *library = crypto_library(context);
    _cleanup_(BIO_free_p) BIO *bio = BIO_new_mem_buf(pem, -1);
    _cleanup_(X509_free_p) X509 *leaf = library ? X509_new_ex(library, NULL) : NULL;

    ERR_set_mark(); /* likewise */
    const EVP_PKEY *key = bio && leaf && PEM_read_bio_X509(bio, &leaf, NULL, NULL) ? X509_get0_pubkey(leaf) : NULL;
    ERR_pop_to_mark();
    return read_key(key, ret);
}

bool crypto_read_spki(ProviderContext *context, const uint8_t *der, size_t size, PublicKey *ret) {
    OSSL_LIB_CTX *library = crypto_library(context);
    const unsigned char *end = der;

    ERR_set_mark(); /* likewise */
    _cleanup_(EVP_PKEY_free_p) EVP_PKEY *key = library ? d2i_PUBKEY_ex(NULL, &end, (long) size, library, NULL) : NULL;
    ERR_pop_to_mark();
    return end == der + size && read_key(key, ret);
}

static bool is_odd(const uint8_t *number, size_t size) {
    return size > 0 && number[size - 1] & 1;
}

bool crypto_public_is_valid(ProviderContext *context, const PublicKey *key) {
    OSSL_LIB_CTX *library = crypto_library(context);

    if (key->rsa)
        return is_odd(key->modulus, key->modulus_size) && is_odd(key->exponent, key->exponent_size) &&
               (key->exponent_size > 1 || key->exponent[0] > 1);
    ERR_set_mark(); /* what is wrong is said by whoever wanted it */
    _cleanup_(EC_GROUP_free_p) EC_GROUP *group =
        library ? EC_GROUP_new_by_curve_name_ex(library, NULL, key->bits == 384 ? NID_secp384r1 : NID_X9_62_prime256v1)
                : NULL;
    _cleanup_(EC_POINT_free_p) EC_POINT *point = group ? EC_POINT_new(group) : NULL;
    bool good = point && EC_POINT_oct2point(group, point, key->point, key->point_size, NULL) > 0;
    ERR_pop_to_mark();
    return good;
}

/* ---- hashes ---- */

bool crypto_hash_begin(ProviderContext *context, const char *name, EVP_MD_CTX **running) {
    OSSL_LIB_CTX *library = crypto_library(context);
    _cleanup_(EVP_MD_free_p) EVP_MD *hash = library ? EVP_MD_fetch(library, name, NULL) : NULL;

    if (!*running)
        *running = EVP_MD_CTX_new();
    return hash && *running && EVP_DigestInit_ex2(*running, hash, NULL) > 0;
}

/* ---- verification ---- */

static bool push_numbers(OSSL_PARAM_BLD *builder, const PublicKey *key, BIGNUM *modulus, BIGNUM *exponent) {
    if (!key->rsa)
        return OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME, key->group, 0) &&
               OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, key->point, key->point_size);
    return modulus && exponent && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, modulus) &&
           OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, exponent);
}

static EVP_PKEY *make_key(OSSL_LIB_CTX *library, const PublicKey *key) {
    _cleanup_(OSSL_PARAM_BLD_free_p) OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    _cleanup_(BN_free_p) BIGNUM *modulus = BN_bin2bn(key->modulus, (int) key->modulus_size, NULL);
    _cleanup_(BN_free_p) BIGNUM *exponent = BN_bin2bn(key->exponent, (int) key->exponent_size, NULL);
    _cleanup_(OSSL_PARAM_free_p) OSSL_PARAM *params = NULL;
    _cleanup_(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *making = NULL;
    EVP_PKEY *made = NULL;

    if (!builder || !push_numbers(builder, key, modulus, exponent) || !(params = OSSL_PARAM_BLD_to_param(builder)) ||
        !(making = EVP_PKEY_CTX_new_from_name(library, key->rsa ? "RSA" : "EC", NULL)) ||
        EVP_PKEY_fromdata_init(making) <= 0 || EVP_PKEY_fromdata(making, &made, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        return NULL;
    return made;
}

bool crypto_verify(ProviderContext *context, const PublicKey *key, const SignedHash *signed_hash) {
    OSSL_LIB_CTX *library = crypto_library(context);
    _cleanup_(EVP_MD_free_p) EVP_MD *hash = library ? EVP_MD_fetch(library, signed_hash->digest, NULL) : NULL;
    _cleanup_(EVP_PKEY_free_p) EVP_PKEY *public = hash ? make_key(library, key) : NULL;
    _cleanup_(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *verification =
        public ? EVP_PKEY_CTX_new_from_pkey(library, public, NULL) : NULL;

    if (!verification || EVP_PKEY_verify_init(verification) <= 0 ||
        EVP_PKEY_CTX_set_signature_md(verification, hash) <= 0)
        return false;
    if (key->rsa && (EVP_PKEY_CTX_set_rsa_padding(verification,
                                                  signed_hash->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) <= 0 ||
                     (signed_hash->pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(verification, RSA_PSS_SALTLEN_DIGEST) <= 0)))
        return false;
    return EVP_PKEY_verify(verification, signed_hash->signature, signed_hash->signature_size, signed_hash->hash,
                           signed_hash->hash_size) == 1;
}

/* ---- key references ---- */

bool crypto_pem_to_der(const char *pem, size_t size, const char *label, unsigned char **ret, size_t *ret_size) {
    _cleanup_(BIO_free_p) BIO *bio = BIO_new_mem_buf(pem, (int) size);
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long length = 0;
    bool found = false;

    ERR_set_mark(); /* what is wrong is said by whoever wanted it */
    if (bio && PEM_read_bio(bio, &name, &header, &der, &length) > 0) {
        found = strcmp(name, label) == 0 && !header[0] && length > 0;
        OPENSSL_free(name);
        OPENSSL_free(header);
    }
    ERR_pop_to_mark();
    if (!found) {
        OPENSSL_free(der);
        return false;
    }
    *ret = der;
    *ret_size = (size_t) length;
    return true;
}

static const ASN1_STRING *text_at(const ASN1_SEQUENCE_ANY *sequence, int place) {
    const ASN1_TYPE *element = sk_ASN1_TYPE_value(sequence, place);

    return element && element->type == V_ASN1_UTF8STRING ? element->value.utf8string : NULL;
}

static bool text_is(const ASN1_STRING *text, const char *word) {
    return text && (size_t) ASN1_STRING_length(text) == strlen(word) &&
           memcmp(ASN1_STRING_get0_data(text), word, strlen(word)) == 0;
}

static bool read_generation(const ASN1_SEQUENCE_ANY *sequence, uint32_t *ret) {
    const ASN1_TYPE *element = sk_ASN1_TYPE_value(sequence, 2);
    uint64_t number = 0;

    if (sk_ASN1_TYPE_num(sequence) == 2) {
        *ret = 0;
        return true;
    }
    if (sk_ASN1_TYPE_num(sequence) != 3 || element->type != V_ASN1_INTEGER ||
        !ASN1_INTEGER_get_uint64(&number, element->value.integer) || number == 0 || number > UINT32_MAX)
        return false;
    *ret = (uint32_t) number;
    return true;
}

static int read_reference(const ASN1_SEQUENCE_ANY *sequence, KeyReference *ret) {
    const ASN1_STRING *text = text_at(sequence, 1);
    KeyReference read = { .generation = 0 };

    if (!text_is(text_at(sequence, 0), KEY_REFERENCE_MARK))
        return -ENOMSG;
    size_t size = text ? (size_t) ASN1_STRING_length(text) : 0;
    if (size == 0 || size > IDENTITY_NAME_MAX || memchr(ASN1_STRING_get0_data(text), '\0', size) ||
        !read_generation(sequence, &read.generation))
        return -EBADMSG;
    memcpy(read.name, ASN1_STRING_get0_data(text), size);
    if (!identity_name_is_valid(read.name))
        return -EBADMSG;
    *ret = read;
    return 0;
}

/* What d2i takes may be BER. */
static bool is_der(const ASN1_SEQUENCE_ANY *sequence, const unsigned char *der, size_t size) {
    unsigned char *again = NULL;
    int length = i2d_ASN1_SEQUENCE_ANY(sequence, &again);
    bool same = length > 0 && (size_t) length == size && memcmp(again, der, size) == 0;

    OPENSSL_free(again);
    return same;
}

int crypto_read_reference(const unsigned char *der, size_t size, KeyReference *ret) {
    const unsigned char *end = der;
    int r = -ENOMSG;

    if (size == 0 || size > KEY_REFERENCE_MAX)
        return -ENOMSG;
    ERR_set_mark(); /* other people's keys are no errors */
    ASN1_SEQUENCE_ANY *sequence = d2i_ASN1_SEQUENCE_ANY(NULL, &end, (long) size);
    ERR_pop_to_mark();
    if (sequence && end == der + size && is_der(sequence, der, size))
        r = read_reference(sequence, ret);
    sk_ASN1_TYPE_pop_free(sequence, ASN1_TYPE_free);
    return r;
}
