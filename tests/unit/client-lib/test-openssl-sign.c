/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures through OpenSSL's provider: with each scheme, and what is refused with which words. OpenSSL's own provider
 * verifies, with the certificate; the fake's keys are software keys. */
#include "openssl-fixture.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#define LONG_MESSAGE (IDENTITYD_MESSAGE_MAX + 4464U) /* more than a handle takes: its hash is what is signed */

typedef struct Scheme {
    const char *identity, *digest;
    int padding; /* RSA */
} Scheme;

static const Scheme schemes[] = {
    { "mqtt", "SHA256", 0 },
    { "p384", "SHA384", 0 },
    /* ECDSA with a hash that is not as long as the curve, as TLS 1.2 with some peers wants it */
    { "mqtt", "SHA384", 0 },
    { "mqtt", "SHA512", 0 },
    { "p384", "SHA256", 0 },
    { "p384", "SHA512", 0 },
    { "rsa", "SHA256", RSA_PKCS1_PADDING },
    { "rsa", "SHA2-384", RSA_PKCS1_PADDING },
    { "rsa", "sha512", RSA_PKCS1_PADDING },
    { "rsa", "SHA256", RSA_PKCS1_PSS_PADDING },
    { "rsa", "SHA384", RSA_PKCS1_PSS_PADDING },
    { "rsa", "SHA512", RSA_PKCS1_PSS_PADDING },
};
#define SCHEMES (sizeof(schemes) / sizeof(*schemes))

static uint8_t message[LONG_MESSAGE];

static EVP_MD_CTX *begin(EVP_PKEY *key, const Scheme *scheme, EVP_PKEY_CTX **ret) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestSignInit_ex(context, ret, scheme->digest, with_identities, NULL, key, NULL), 1);
    if (scheme->padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(*ret, scheme->padding), 1);
    return context;
}

/* 1: OpenSSL's own provider takes the signature as one of the certificate's key. */
static int check(const Scheme *scheme, size_t size, const uint8_t *signature, size_t signature_size) {
    X509 *certificate = certificate_of(scheme->identity);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_context = NULL;

    assert_int_equal(EVP_DigestVerifyInit_ex(context, &pkey_context, scheme->digest, NULL, NULL,
                                             X509_get0_pubkey(certificate), NULL),
                     1);
    if (scheme->padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_context, scheme->padding), 1);
    if (scheme->padding == RSA_PKCS1_PSS_PADDING)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, RSA_PSS_SALTLEN_DIGEST), 1);
    int r = EVP_DigestVerify(context, signature, signature_size, message, size);
    EVP_MD_CTX_free(context);
    X509_free(certificate);
    return r == 1;
}

/* The same by our own provider. */
static int check_ourselves(EVP_PKEY *key, const Scheme *scheme, size_t size, const uint8_t *signature,
                           size_t signature_size) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pkey_context = NULL;

    assert_int_equal(EVP_DigestVerifyInit_ex(context, &pkey_context, scheme->digest, with_identities, NULL, key, NULL),
                     1);
    if (scheme->padding)
        assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_context, scheme->padding), 1);
    int r = EVP_DigestVerify(context, signature, signature_size, message, size);
    EVP_MD_CTX_free(context);
    return r == 1;
}

static int sign_message(EVP_PKEY *key, const Scheme *scheme, size_t size, uint8_t signature[static 512],
                        size_t *ret_size) {
    EVP_PKEY_CTX *pkey_context = NULL;
    EVP_MD_CTX *context = begin(key, scheme, &pkey_context);

    *ret_size = 512;
    int r = EVP_DigestSign(context, signature, ret_size, message, size);
    EVP_MD_CTX_free(context);
    return r;
}

static void expect_signature(EVP_PKEY *key, const Scheme *scheme, size_t size) {
    uint8_t signature[512];
    size_t signature_size;

    if (sign_message(key, scheme, size, signature, &signature_size) != 1) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s with %s does not sign %zu bytes", scheme->identity, scheme->digest, size);
    }
    assert_true(check(scheme, size, signature, signature_size));
    assert_true(check_ourselves(key, scheme, size, signature, signature_size));
    signature[signature_size - 1] ^= 1;
    assert_false(check_ourselves(key, scheme, size, signature, signature_size));
    signature[signature_size - 1] ^= 1;
    message[0] ^= 1;
    assert_false(size > 0 && check_ourselves(key, scheme, size, signature, signature_size));
    message[0] ^= 1;
}

static void expect_no_signature(EVP_PKEY *key, const char *says) {
    uint8_t signature[512];
    size_t size;

    ERR_clear_error();
    assert_int_not_equal(sign_message(key, &schemes[0], 20, signature, &size), 1);
    assert_queue_says(says);
}

/* ---- what is signed ---- */

static void test_schemes(void **state) {
    static const size_t sizes[] = { 0, 1, 130, IDENTITYD_MESSAGE_MAX, IDENTITYD_MESSAGE_MAX + 1, LONG_MESSAGE };

    for (size_t i = 0; i < SCHEMES; i++) {
        EVP_PKEY *key = must_load(schemes[i].identity);
        for (size_t j = 0; j < sizeof(sizes) / sizeof(*sizes); j++)
            expect_signature(key, &schemes[i], sizes[j]);
        EVP_PKEY_free(key);
    }
}

static void test_parts(void **state) {
    EVP_PKEY *key = must_load("mqtt");
    EVP_PKEY_CTX *pkey_context = NULL;
    EVP_MD_CTX *context = begin(key, &schemes[0], &pkey_context);
    uint8_t signature[512];
    size_t size = 0, asked = fake_identityd_asked(fixture.fake);

    assert_int_equal(EVP_DigestSignUpdate(context, message, 60), 1);
    assert_int_equal(EVP_DigestSignUpdate(context, message, 0), 1);
    assert_int_equal(EVP_DigestSignUpdate(context, message + 60, 40), 1);
    assert_int_equal(EVP_DigestSignFinal(context, NULL, &size), 1);
    assert_int_equal(size, EVP_PKEY_get_size(key));
    assert_int_equal(fake_identityd_asked(fixture.fake), asked); /* a question of size is answered here */
    size = 10;
    assert_int_not_equal(EVP_DigestSignFinal(context, signature, &size), 1);
    assert_queue_says("has no room in 10");
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

/* The part that leads over what a handle takes is not the first. */
static void test_parts_of_a_long_message(void **state) {
    static const size_t parts[][2] = {
        { IDENTITYD_MESSAGE_MAX, 1 }, { 1, IDENTITYD_MESSAGE_MAX }, { 40000, 25536 }, { 40000, 25537 }
    };
    EVP_PKEY *key = must_load("mqtt");

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        EVP_PKEY_CTX *pkey_context = NULL;
        EVP_MD_CTX *context = begin(key, &schemes[0], &pkey_context);
        uint8_t signature[512];
        size_t size = sizeof(signature);
        assert_int_equal(EVP_DigestSignUpdate(context, message, parts[i][0]), 1);
        assert_int_equal(EVP_DigestSignUpdate(context, message + parts[i][0], parts[i][1]), 1);
        assert_int_equal(EVP_DigestSignFinal(context, signature, &size), 1);
        assert_true(check(&schemes[0], parts[i][0] + parts[i][1], signature, size));
        EVP_MD_CTX_free(context);
    }
    EVP_PKEY_free(key);
}

/* From one beginning two messages go on, and neither hears of the other's. */
static void test_copies(void **state) {
    static const size_t begun[] = { 100, LONG_MESSAGE - 100 };
    EVP_PKEY *key = must_load("mqtt");

    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY_CTX *pkey_context = NULL;
        EVP_MD_CTX *context = begin(key, &schemes[0], &pkey_context), *copy = EVP_MD_CTX_new();
        uint8_t signature[512];
        size_t size = sizeof(signature);
        assert_int_equal(EVP_DigestSignUpdate(context, message, begun[i]), 1);
        assert_int_equal(EVP_MD_CTX_copy_ex(copy, context), 1);
        assert_int_equal(EVP_DigestSignUpdate(context, message + begun[i], 100), 1);
        assert_int_equal(EVP_DigestSignFinal(context, signature, &size), 1);
        assert_true(check(&schemes[0], begun[i] + 100, signature, size));
        EVP_MD_CTX_free(context);
        size = sizeof(signature);
        assert_int_equal(EVP_DigestSignUpdate(copy, message + begun[i], 7), 1);
        assert_int_equal(EVP_DigestSignFinal(copy, signature, &size), 1);
        assert_true(check(&schemes[0], begun[i] + 7, signature, size));
        EVP_MD_CTX_free(copy);
    }
    EVP_PKEY_free(key);
}

static void test_digest(void **state) {
    EVP_PKEY *key = must_load("mqtt");
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(with_identities, key, NULL);
    uint8_t digest[32], signature[512];
    unsigned digest_size = 0;
    size_t size = sizeof(signature);

    assert_int_equal(EVP_Digest(message, 50, digest, &digest_size, EVP_sha256(), NULL), 1);
    assert_int_equal(EVP_PKEY_sign_init(context), 1);
    assert_int_equal(EVP_PKEY_sign(context, NULL, &size, digest, sizeof(digest)), 1);
    assert_int_equal(size, 73);
    size = sizeof(signature);
    assert_int_equal(EVP_PKEY_sign(context, signature, &size, digest, sizeof(digest)), 1);
    assert_true(check(&schemes[0], 50, signature, size));
    for (size_t wrong = 0; wrong < 64; wrong++) {
        size = sizeof(signature);
        if (wrong == sizeof(digest))
            continue;
        assert_int_not_equal(EVP_PKEY_sign(context, signature, &size, message, wrong), 1);
        assert_queue_says("bytes is not one of SHA256");
    }
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(key);
}

/* What stands in certificates and requests beside the signature: as OpenSSL itself has it for such a key. */
static void test_algorithm_identifiers(void **state) {
    EVP_PKEY *plain[3] = { EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_RSA_gen(2048) };

    for (size_t i = 0; i < SCHEMES; i++) {
        const char *name = schemes[i].identity;
        EVP_PKEY *loaded = must_load(name), *keys[2] = { loaded, plain[strcmp(name, "mqtt") == 0   ? 0
                                                                       : strcmp(name, "p384") == 0 ? 1
                                                                                                   : 2] };
        uint8_t der[2][128];
        OSSL_PARAM params[2][2] = {
            { OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der[0], sizeof(der[0])), OSSL_PARAM_END },
            { OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, der[1], sizeof(der[1])), OSSL_PARAM_END },
        };
        for (size_t j = 0; j < 2; j++) {
            EVP_MD_CTX *context = EVP_MD_CTX_new();
            EVP_PKEY_CTX *pkey_context = NULL;
            assert_int_equal(EVP_DigestSignInit_ex(context, &pkey_context, schemes[i].digest,
                                                   j == 0 ? with_identities : NULL, NULL, keys[j], NULL),
                             1);
            if (schemes[i].padding)
                assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_context, schemes[i].padding), 1);
            if (schemes[i].padding == RSA_PKCS1_PSS_PADDING)
                assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, RSA_PSS_SALTLEN_DIGEST), 1);
            assert_int_equal(EVP_PKEY_CTX_get_params(pkey_context, params[j]), 1);
            EVP_MD_CTX_free(context);
        }
        EVP_PKEY_free(loaded);
        assert_true(params[0][0].return_size > 0);
        assert_int_equal(params[0][0].return_size, params[1][0].return_size);
        assert_memory_equal(der[0], der[1], params[0][0].return_size);
    }
    for (size_t i = 0; i < 3; i++)
        EVP_PKEY_free(plain[i]);
}

/* ---- what is not ---- */

static void test_digests_that_it_does_not_have(void **state) {
    static const struct {
        const char *identity, *digest, *says;
    } table[] = {
        { "mqtt", "SHA1", "an identity's key signs with SHA-256, SHA-384 or SHA-512, not with SHA1" },
        { "rsa", "SHA3-256", "an identity's key signs with SHA-256, SHA-384 or SHA-512, not with SHA3-256" },
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        EVP_PKEY *key = must_load(table[i].identity);
        EVP_MD_CTX *context = EVP_MD_CTX_new();
        uint8_t signature[512];
        size_t size = sizeof(signature);
        assert_false(EVP_DigestSignInit_ex(context, NULL, table[i].digest, with_identities, NULL, key, NULL) == 1 &&
                     EVP_DigestSign(context, signature, &size, message, 20) == 1);
        assert_queue_says(table[i].says);
        EVP_MD_CTX_free(context);
        EVP_PKEY_free(key);
    }
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
}

/* Whom nobody lends the identity for digests is told at once, so that TLS goes on to a digest that suits the key; and
 * identityd is not asked again for each handshake. */
static int begin_with(EVP_PKEY *key, const char *digest, bool verify) {
    EVP_MD_CTX *context = EVP_MD_CTX_new(); /* each time: it keeps the key that it began with */
    int r = (verify ? EVP_DigestVerifyInit_ex : EVP_DigestSignInit_ex)(context, NULL, digest, with_identities, NULL,
                                                                       key, NULL);

    EVP_MD_CTX_free(context);
    return r;
}

static void test_digests_without_the_right(void **state) {
    EVP_PKEY *key = must_load("p384"), *other = must_load("mqtt");
    unsigned before = fake_identityd_opened(fixture.fake);

    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.AccessDenied", "not for digests");
    for (unsigned i = 0; i < 3; i++) {
        assert_int_not_equal(begin_with(key, "SHA256", false), 1);
        assert_queue_says("this key of 384 bits signs with SHA384 here, not with SHA256");
    }
    assert_int_equal(fake_identityd_opened(fixture.fake) - before, 1);
    assert_int_not_equal(begin_with(other, "SHA512", false), 1);
    assert_queue_says("this key of 256 bits signs with SHA256 here, not with SHA512");
    assert_int_equal(begin_with(key, "SHA384", false), 1);
    assert_int_equal(begin_with(key, "SHA256", true), 1); /* verifying needs no right */
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    assert_int_not_equal(begin_with(key, "SHA256", false), 1);
    EVP_PKEY_free(key);
    key = must_load("p384"); /* loaded anew it is asked for anew */
    assert_int_equal(begin_with(key, "SHA256", false), 1);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}

/* Parameters without a value, and words that are too long. */
static void test_bad_parameters(void **state) {
    static char longer[100];
    static const char *const names[] = { OSSL_SIGNATURE_PARAM_DIGEST, OSSL_SIGNATURE_PARAM_PAD_MODE,
                                         OSSL_SIGNATURE_PARAM_PSS_SALTLEN, OSSL_SIGNATURE_PARAM_MGF1_DIGEST };
    static const Scheme pss = { "rsa", "SHA256", RSA_PKCS1_PSS_PADDING };
    EVP_PKEY *key = must_load("rsa");
    EVP_PKEY_CTX *pkey_context = NULL;
    EVP_MD_CTX *context = begin(key, &pss, &pkey_context);

    memset(longer, 'a', sizeof(longer) - 1);
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        OSSL_PARAM nothing[] = { OSSL_PARAM_utf8_string(names[i], NULL, 0), OSSL_PARAM_END };
        OSSL_PARAM too_long[] = { OSSL_PARAM_utf8_string(names[i], longer, sizeof(longer) - 1), OSSL_PARAM_END };
        OSSL_PARAM octets[] = { OSSL_PARAM_octet_string(names[i], longer, 4), OSSL_PARAM_END };
        assert_true(EVP_PKEY_CTX_set_params(pkey_context, nothing) <= 0);
        assert_true(EVP_PKEY_CTX_set_params(pkey_context, too_long) <= 0);
        assert_true(EVP_PKEY_CTX_set_params(pkey_context, octets) <= 0);
    }
    assert_true(EVP_DigestSignUpdate(context, NULL, 5) <= 0);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

static void test_paddings(void **state) {
    static const Scheme pss = { "rsa", "SHA256", RSA_PKCS1_PSS_PADDING };
    EVP_PKEY *key = must_load("rsa");
    EVP_PKEY_CTX *pkey_context = NULL;
    EVP_MD_CTX *context = begin(key, &pss, &pkey_context);

    assert_true(EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_NO_PADDING) <= 0);
    assert_queue_says("pads with PKCS#1 v1.5 or PSS only");
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_PKCS1_PSS_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, 32), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, RSA_PSS_SALTLEN_DIGEST), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, 20) <= 0);
    assert_queue_says("the PSS salt of an identity's key is as long as the digest (-1)");
    assert_int_equal(EVP_PKEY_CTX_set_rsa_mgf1_md(pkey_context, EVP_sha256()), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md(pkey_context, EVP_sha384()) <= 0);
    assert_queue_says("the PSS mask of an identity's key is made with its digest");
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

/* A hash that is going on cannot become another. */
static void test_digest_changed_on_the_way(void **state) {
    static const Scheme scheme = { "rsa", "SHA256", RSA_PKCS1_PADDING };
    EVP_PKEY *key = must_load("rsa");
    EVP_PKEY_CTX *pkey_context = NULL;
    EVP_MD_CTX *context = begin(key, &scheme, &pkey_context);
    uint8_t signature[512];
    size_t size = sizeof(signature);

    assert_int_equal(EVP_DigestSignUpdate(context, message, sizeof(message)), 1);
    assert_true(EVP_PKEY_CTX_set_signature_md(pkey_context, EVP_sha512()) <= 0);
    assert_queue_says("SHA256 was begun: it cannot become SHA512");
    assert_int_equal(EVP_DigestSignFinal(context, signature, &size), 1);
    assert_true(check(&scheme, sizeof(message), signature, size));
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

/* A public key that another provider's certificate brought: it verifies, and signs nothing. */
static void test_imported(void **state) {
    for (size_t i = 0; i < SCHEMES; i++) {
        X509 *certificate = certificate_of(schemes[i].identity);
        EVP_PKEY *key = must_load(schemes[i].identity), *imported = NULL;
        OSSL_PARAM *params = NULL;
        uint8_t signature[512];
        size_t size;
        assert_int_equal(sign_message(key, &schemes[i], 99, signature, &size), 1);
        assert_int_equal(EVP_PKEY_todata(X509_get0_pubkey(certificate), EVP_PKEY_PUBLIC_KEY, &params), 1);
        EVP_PKEY_CTX *context =
            EVP_PKEY_CTX_new_from_name(with_identities, schemes[i].padding ? "RSA" : "EC", "provider=identityd");
        assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
        assert_int_equal(EVP_PKEY_fromdata(context, &imported, EVP_PKEY_PUBLIC_KEY, params), 1);
        assert_string_equal(openssl_provider_of(imported), "identityd");
        assert_int_equal(EVP_PKEY_eq(imported, key), 1);
        assert_true(check_ourselves(imported, &schemes[i], 99, signature, size));
        assert_false(check_ourselves(imported, &schemes[i], 98, signature, size));
        assert_int_not_equal(sign_message(imported, &schemes[i], 99, signature, &size), 1);
        assert_queue_says("a public key does not sign");
        EVP_PKEY_CTX_free(context);
        OSSL_PARAM_free(params);
        EVP_PKEY_free(imported);
        EVP_PKEY_free(key);
        X509_free(certificate);
    }
}

static void test_refusals(void **state) {
    EVP_PKEY *key = must_load("mqtt"); /* holds a handle for tls-client alone */

    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.AccessDenied", "uid 4711 may not");
    expect_no_signature(key, "identityd:mqtt: uid 4711 may not (what is to be signed is no TLS handshake of a client)");
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    expect_signature(key, &schemes[0], 20);
    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "mqtt",
                                                       .generation = 1,
                                                       .key = fixture.key,
                                                       .chain = fixture.chain,
                                                       .blocked = FAILURE_TPM_UNAVAILABLE });
    expect_no_signature(key, "identityd:mqtt: signing with mqtt for data-raw: the fake blocks this identity");
    set_generation(1, "ready");
    expect_signature(key, &schemes[0], 20);
    EVP_PKEY_free(key);
}

/* ---- a key that is kept for long ---- */

static void test_restart(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    for (unsigned i = 0; i < 3; i++) {
        expect_signature(key, &schemes[0], 20);
        expect_signature(key, &schemes[0], LONG_MESSAGE); /* another purpose, another handle */
        fake_identityd_close_handles(fixture.fake);
    }
    fake_identityd_leave_bus(fixture.fake);
    expect_no_signature(key, "identityd is not running");
    fake_identityd_join_bus(fixture.fake);
    expect_signature(key, &schemes[0], 20);
    EVP_PKEY_free(key);
}

static void test_closed_at_each_signature(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_CLOSE_AT_SIGN);
    unsigned before = fake_identityd_opened(fixture.fake);
    expect_no_signature(key, "identityd closed the credential handle");
    assert_true(fake_identityd_opened(fixture.fake) - before <= 4); /* once anew, and not for ever */
    EVP_PKEY_free(key);
}

static int sign_in_child(void *key) {
    uint8_t signature[512];
    size_t size;

    return sign_message(key, &schemes[0], 33, signature, &size) == 1 && check(&schemes[0], 33, signature, size) ? 0 : 1;
}

static void test_fork(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    expect_signature(key, &schemes[0], 20);
    expect_child(sign_in_child, key);
    expect_child(sign_in_child, key);
    expect_signature(key, &schemes[0], 20); /* the child's end was no end of the parent's */
    EVP_PKEY_free(key);
}

static int sign_with_handles_taken(void *key) {
    int ends[HANDLES_TAKEN_MAX], count = take_handles_away(ends);

    return count > 0 && sign_in_child(key) == 0 && were_left_alone(ends, count) ? 0 : 1;
}

static void test_handles_closed_by_the_program(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    expect_signature(key, &schemes[0], 20);
    expect_child(sign_with_handles_taken, key);
    EVP_PKEY_free(key);
}

/* Renewed with another key: the old certificate's key does not become the new one's. */
static void test_renewed(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    set_generation(2, "ready");
    expect_signature(key, &schemes[0], 20);
    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    expect_no_signature(key, "identityd:mqtt: ");
    EVP_PKEY_free(key);
}

/* Renewed with the same key: it goes on. */
static void test_renewed_with_the_same_key(void **state) {
    EVP_PKEY *key = must_load("mqtt");

    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "mqtt", .generation = 2, .key = fixture.key, .chain = fixture.chain });
    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    expect_signature(key, &schemes[0], 20);
    EVP_PKEY_free(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_identities, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_schemes),
        TEST(test_parts),
        TEST(test_parts_of_a_long_message),
        TEST(test_copies),
        TEST(test_digest),
        TEST(test_algorithm_identifiers),
        TEST(test_digests_that_it_does_not_have),
        TEST(test_digests_without_the_right),
        TEST(test_bad_parameters),
        TEST(test_paddings),
        TEST(test_digest_changed_on_the_way),
        TEST(test_imported),
        TEST(test_refusals),
        TEST(test_restart),
        TEST(test_closed_at_each_signature),
        TEST(test_fork),
        TEST(test_handles_closed_by_the_program),
        TEST(test_renewed),
        TEST(test_renewed_with_the_same_key),
    };

    for (size_t i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t) (i * 7 + i / 256);
    return cmocka_run_group_tests(tests, setup_provider, teardown_provider);
}
