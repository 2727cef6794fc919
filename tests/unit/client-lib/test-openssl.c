/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What OpenSSL's provider gives a program before anything is signed: identityd:NAME, key.pem, and the public half of a
 * key. Key files are encoded here byte by byte, since what is tested must not check itself. */
#include "openssl-fixture.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>

static void test_provider(void **state) {
    assert_string_equal(openssl_provider_version(), IDENTITYD_VERSION);
    assert_int_equal(fake_identityd_opened(fixture.fake), 0); /* loaded, and nobody was asked anything */
}

/* ---- identityd:NAME ---- */

/* The kinds of what a store has, in a row: K a key, C a certificate. "-": it cannot be opened. */
static void read_store(const char *uri, int expect, char ret_kinds[static 16]) {
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, with_identities, NULL, NULL, NULL, NULL, NULL, NULL);
    size_t count = 0;

    if (store && expect != 0)
        assert_int_equal(OSSL_STORE_expect(store, expect), 1);
    while (store && !OSSL_STORE_eof(store) && count < 15) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (!info)
            break;
        ret_kinds[count++] = OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY   ? 'K'
                             : OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_CERT ? 'C'
                                                                                      : '?';
        OSSL_STORE_INFO_free(info);
    }
    ret_kinds[count] = '\0';
    if (!store)
        memcpy(ret_kinds, "-", 2);
    OSSL_STORE_close(store);
}

static void expect_store(const char *uri, int expect, const char *kinds) {
    char found[16];

    read_store(uri, expect, found);
    assert_string_equal(found, kinds);
}

static void test_store(void **state) {
    char *chain = fake_concat(fixture.chain, fixture.ca->pem);

    expect_store("identityd:mqtt", 0, "KC");
    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "long", .generation = 1, .key = fixture.key, .chain = chain });
    expect_store("identityd:long", 0, "KCC");
    expect_store("identityd:long", OSSL_STORE_INFO_CERT, "CC");
    expect_store("identityd:long", OSSL_STORE_INFO_PKEY, "K");
    expect_store("identityd:long", OSSL_STORE_INFO_CRL, "");
    free(chain);
}

static void test_store_certificate(void **state) {
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex("identityd:rsa", with_identities, NULL, NULL, NULL, NULL, NULL, NULL);
    X509 *expected = certificate_of("rsa");

    assert_non_null(store);
    assert_int_equal(OSSL_STORE_expect(store, OSSL_STORE_INFO_CERT), 1);
    OSSL_STORE_INFO *info = OSSL_STORE_load(store);
    assert_non_null(info);
    assert_int_equal(X509_cmp(OSSL_STORE_INFO_get0_CERT(info), expected), 0);
    assert_true(OSSL_STORE_eof(store));
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    X509_free(expected);
}

static void test_store_bad_names(void **state) {
    static const char *const names[] = { "", "../etc", "a/b", "mqtt ", "mqtt;", ".", "\xc3\xa4" };
    char uri[200] = "identityd:";

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        (void) snprintf(uri, sizeof(uri), "identityd:%s", names[i]);
        expect_store(uri, 0, "-");
        assert_queue_says("does not name an identity; the form is identityd:NAME");
    }
    expect_store("identityd:mqtt\n", 0, "-");
    assert_queue_says("identityd:mqtt  does not name an identity"); /* in one line */
    (void) memset(uri + 10, 'a', 65);
    uri[75] = '\0';
    expect_store(uri, 0, "-");
    assert_queue_says("does not name an identity; the form is identityd:NAME");
    assert_int_equal(fake_identityd_opened(fixture.fake), 0); /* nobody was asked */
}

static void test_store_cannot_open(void **state) {
    expect_store("identityd:nobody", 0, "-");
    assert_queue_says("identityd:nobody: ");
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.AccessDenied", "uid 4711 is not admitted");
    unsigned before = fake_identityd_opened(fixture.fake);
    expect_store("identityd:mqtt", 0, "-");
    assert_int_equal(fake_identityd_opened(fixture.fake) - before, 5); /* each purpose */
    assert_queue_says("identityd:mqtt: it is lent to this process for no purpose; the last that was tried: uid 4711 is "
                      "not admitted");
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    fake_identityd_leave_bus(fixture.fake);
    expect_store("identityd:mqtt", 0, "-");
    assert_queue_says("identityd is not running (systemctl status identityd)");
    fake_identityd_join_bus(fixture.fake);
    expect_store("identityd:mqtt", 0, "KC");
}

static void test_store_bad_certificates(void **state) {
    static const char *const chains[] = {
        NULL,
        "no PEM",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nAAAA\n",
    };

    for (size_t i = 0; i < sizeof(chains) / sizeof(*chains); i++) {
        fake_identityd_set(fixture.fake,
                           &(FakeIdentity) { .name = "bad", .generation = 1, .key = fixture.key, .chain = chains[i] });
        expect_store("identityd:bad", 0, "-");
        assert_queue_says("identityd:bad: its certificate could not be read");
    }
}

/* ---- key.pem ---- */

typedef struct Der {
    unsigned char bytes[2048];
    size_t size;
} Der;

static Der reference(const char *mark, const char *name, size_t name_size) {
    size_t mark_size = strlen(mark);
    Der der = { .bytes = { 0x30, (unsigned char) (4 + mark_size + name_size), 0x0c, (unsigned char) mark_size },
                .size = 4 };

    memcpy(der.bytes + der.size, mark, mark_size);
    der.size += mark_size;
    der.bytes[der.size++] = 0x0c;
    der.bytes[der.size++] = (unsigned char) name_size;
    memcpy(der.bytes + der.size, name, name_size);
    der.size += name_size;
    return der;
}

static Der good_reference(void) {
    return reference("org.identityd1", "mqtt", 4);
}

static EVP_PKEY *read_text(const char *text) {
    BIO *bio = BIO_new_mem_buf(text, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, with_identities, NULL);

    BIO_free(bio);
    return key;
}

static EVP_PKEY *read_reference(const Der *der) {
    BIO *bio = BIO_new(BIO_s_mem());

    assert_true(PEM_write_bio(bio, "IDENTITYD PRIVATE KEY", "", der->bytes, (long) der->size) > 0);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, with_identities, NULL);
    BIO_free(bio);
    return key;
}

#define NO_NAME "is cut off, too long, or does not hold the name of an identity"

static void expect_no_reference(const Der *der) {
    EVP_PKEY *key = read_reference(der);

    assert_null(key);
    assert_queue_says(NO_NAME);
}

static void test_key_file(void **state) {
    static const struct {
        const char *name, *type;
        int bits;
    } table[] = { { "mqtt", "EC", 256 }, { "p384", "EC", 384 }, { "rsa", "RSA", 2048 } };

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        Der der = reference("org.identityd1", table[i].name, strlen(table[i].name));
        EVP_PKEY *key = read_reference(&der), *other = must_load(table[i].name);
        assert_non_null(key);
        assert_true(EVP_PKEY_is_a(key, table[i].type));
        assert_int_equal(EVP_PKEY_get_bits(key), table[i].bits);
        assert_string_equal(openssl_provider_of(key), "identityd");
        assert_int_equal(EVP_PKEY_eq(key, other), 1);
        EVP_PKEY_free(other);
        EVP_PKEY_free(key);
    }
}

static void test_bad_references(void **state) {
    static const char nul[] = { 'm', 'q', 0, 't' };
    const struct {
        const char *name;
        size_t size;
    } names[] = { { "", 0 }, { nul, 4 }, { "../x", 4 }, { "a b", 3 }, { "a\n", 2 } };
    Der der = good_reference();

    for (size_t size = 1; size < der.size; size++) {
        Der cut = der;
        cut.size = size;
        expect_no_reference(&cut);
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        der = reference("org.identityd1", names[i].name, names[i].size);
        expect_no_reference(&der);
    }
    der = reference("org.identityd2", "mqtt", 4);
    expect_no_reference(&der);
    der = good_reference();
    der.size++; /* something behind it */
    expect_no_reference(&der);
    der = good_reference();
    der.bytes[1] += 2; /* a third element */
    memcpy(der.bytes + der.size, "\x05", 2);
    der.size += 2;
    expect_no_reference(&der);
    static const struct {
        unsigned char bytes[8];
        size_t size;
    } generations[] = {
        { { 2, 1, 0 }, 3 },    { { 2, 1, 0x80 }, 3 },       { { 2, 2, 0, 1 }, 4 }, { { 2, 5, 1, 0, 0, 0, 0 }, 7 },
        { { 12, 1, '1' }, 3 }, { { 2, 1, 1, 2, 1, 1 }, 6 },
    };
    for (size_t i = 0; i < sizeof(generations) / sizeof(*generations); i++) {
        der = good_reference();
        memcpy(der.bytes + der.size, generations[i].bytes, generations[i].size);
        der.bytes[1] = (unsigned char) (der.bytes[1] + generations[i].size);
        der.size += generations[i].size;
        expect_no_reference(&der);
    }
    der = good_reference();
    der.bytes[4 + 14] = 0x13; /* PrintableString */
    expect_no_reference(&der);
    der = good_reference();
    memmove(der.bytes + 2, der.bytes + 1, der.size - 1);
    der.bytes[1] = 0x81; /* BER: a length in the long form where the short one does */
    der.size++;
    expect_no_reference(&der);
    assert_int_equal(fake_identityd_opened(fixture.fake), 0);
}

static void test_bad_blocks(void **state) {
    static const char begin[] = "-----BEGIN IDENTITYD PRIVATE KEY-----\n";
    static char text[70000];

    assert_null(read_text(begin));
    assert_queue_says(NO_NAME);
    assert_null(read_text("-----BEGIN IDENTITYD PRIVATE KEY-----\n-----END IDENTITYD PRIVATE KEY-----\n"));
    assert_queue_says(NO_NAME);
    assert_null(read_text("-----BEGIN IDENTITYD PRIVATE KEY-----\n====\n-----END IDENTITYD PRIVATE KEY-----\n"));
    assert_queue_says(NO_NAME);
    memset(text, 'A', sizeof(text) - 1); /* longer than any reference, in lines and in one */
    memcpy(text, begin, strlen(begin));
    assert_null(read_text(text));
    assert_queue_says(NO_NAME);
    for (size_t i = 100; i < sizeof(text); i += 64)
        text[i] = '\n';
    assert_null(read_text(text));
    assert_queue_says(NO_NAME);
}

static void test_other_keys(void **state) {
    char *pem = fake_key_pem(fixture.next_key);
    EVP_PKEY *key = read_text(pem);

    assert_non_null(key);
    assert_string_equal(openssl_provider_of(key), "default");
    EVP_PKEY_free(key);
    assert_null(read_text("nothing in here"));
    assert_queue_is_silent_about("IDENTITYD");
    assert_null(read_text("-----BEGIN IDENTITYD PRIVATE KEYS-----\nAAAA\n-----END IDENTITYD PRIVATE KEYS-----\n"));
    assert_queue_is_silent_about("IDENTITYD");
    assert_int_equal(fake_identityd_opened(fixture.fake), 0);
    free(pem);
}

static void test_key_file_of_nobody(void **state) {
    Der der = reference("org.identityd1", "nobody", 6);

    assert_null(read_reference(&der));
    assert_queue_says("identityd:nobody: ");
}

/* ---- the public half ---- */

static void test_public_half(void **state) {
    static const struct {
        const char *name, *digest;
        int bits, security, size;
    } table[] = {
        { "mqtt", "SHA256", 256, 128, 73 },
        { "p384", "SHA384", 384, 192, 105 },
        { "rsa", "SHA256", 2048, 112, 256 },
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
        EVP_PKEY *key = must_load(table[i].name);
        X509 *certificate = certificate_of(table[i].name);
        char digest[32];
        assert_int_equal(EVP_PKEY_get_bits(key), table[i].bits);
        assert_int_equal(EVP_PKEY_get_security_bits(key), table[i].security);
        assert_int_equal(EVP_PKEY_get_size(key), table[i].size);
        assert_true(EVP_PKEY_get_default_digest_name(key, digest, sizeof(digest)) > 0);
        assert_string_equal(digest, table[i].digest);
        assert_int_equal(X509_check_private_key(certificate, key), 1);
        assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), key), 1);
        X509_free(certificate);
        EVP_PKEY_free(key);
    }
}

static void test_numbers(void **state) {
    static const char *const numbers[] = { OSSL_PKEY_PARAM_RSA_N, OSSL_PKEY_PARAM_RSA_E };
    EVP_PKEY *rsa = must_load("rsa"), *ec = must_load("mqtt");
    X509 *rsa_certificate = certificate_of("rsa"), *ec_certificate = certificate_of("mqtt");
    unsigned char point[65], expected[65], small[64];
    size_t size = 0;
    char group[32];

    for (size_t i = 0; i < 2; i++) {
        BIGNUM *number = NULL, *wanted = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(rsa, numbers[i], &number), 1);
        assert_int_equal(EVP_PKEY_get_bn_param(X509_get0_pubkey(rsa_certificate), numbers[i], &wanted), 1);
        assert_int_equal(BN_cmp(number, wanted), 0);
        BN_free(number);
        BN_free(wanted);
    }
    OSSL_PARAM params[] = { OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, small, sizeof(small)), OSSL_PARAM_END };
    assert_int_equal(EVP_PKEY_get_params(rsa, params), 0); /* no room for 256 bytes */
    assert_int_equal(params[0].return_size, 256);
    assert_int_equal(EVP_PKEY_get_group_name(ec, group, sizeof(group), NULL), 1);
    assert_string_equal(group, "prime256v1");
    assert_int_equal(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &size), 1);
    assert_int_equal(size, sizeof(point));
    assert_int_equal(EVP_PKEY_get_octet_string_param(X509_get0_pubkey(ec_certificate), OSSL_PKEY_PARAM_PUB_KEY,
                                                     expected, sizeof(expected), &size),
                     1);
    assert_memory_equal(point, expected, sizeof(point));
    assert_int_equal(EVP_PKEY_get_octet_string_param(ec, OSSL_PKEY_PARAM_PUB_KEY, small, sizeof(small), &size), 0);
    X509_free(rsa_certificate);
    X509_free(ec_certificate);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(ec);
}

static void test_other_certificates(void **state) {
    EVP_PKEY *ec = must_load("mqtt"), *rsa = must_load("rsa");
    X509 *p384 = certificate_of("p384");
    BIO *bio = BIO_new_mem_buf(fixture.next_chain, -1);
    X509 *next = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    assert_int_equal(X509_check_private_key(next, ec), 0); /* the same curve, another point */
    assert_int_equal(X509_check_private_key(p384, ec), 0);
    assert_int_equal(X509_check_private_key(next, rsa), 0);
    assert_int_not_equal(EVP_PKEY_eq(ec, rsa), 1);
    X509_free(next);
    X509_free(p384);
    BIO_free(bio);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}

static EVP_PKEY *import(const char *type, OSSL_PARAM *params) {
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(with_identities, type, "provider=identityd");
    EVP_PKEY *key = NULL;

    assert_int_equal(EVP_PKEY_fromdata_init(context), 1);
    if (EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) != 1)
        assert_null(key);
    EVP_PKEY_CTX_free(context);
    return key;
}

static void expect_ec_import(const char *group, size_t point_size, uint8_t form, bool secret, bool good) {
    uint8_t number[32] = { 1 }, point[200] = { 0 };
    size_t unused = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) (uintptr_t) group, strlen(group)),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, point_size),
        secret ? (OSSL_PARAM) OSSL_PARAM_BN(OSSL_PKEY_PARAM_PRIV_KEY, number, sizeof(number))
               : (OSSL_PARAM) OSSL_PARAM_END,
        OSSL_PARAM_END,
    };

    /* A point of that curve, as the peer of another form would write it; P-521 is one that identities do not have. */
    EVP_PKEY *owner = EVP_EC_gen(strcmp(group, "P-521") == 0 ? "P-521" : strstr(group, "384") ? "P-384" : "P-256");
    assert_int_equal(EVP_PKEY_get_octet_string_param(owner, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &unused), 1);
    EVP_PKEY_free(owner);
    point[0] = form;
    EVP_PKEY *key = import("EC", params);
    if ((key != NULL) != good)
        fail_msg("%s with %zu bytes, form %u: %s", group, point_size, form, key ? "taken" : "refused");
    EVP_PKEY_free(key);
}

/* Keys come in to be compared and to verify: public ones, whole, and as OpenSSL exports them. */
static void test_import(void **state) {
    static uint8_t number[600];

    expect_ec_import("P-256", 65, 4, false, true);
    expect_ec_import("prime256v1", 65, 4, false, true);
    expect_ec_import("secp384r1", 97, 4, false, true);
    expect_ec_import("P-256", 65, 4, true, false); /* with a private half, which stays with its owner */
    expect_ec_import("P-256", 33, 2, false, false);
    expect_ec_import("P-256", 65, 6, false, false);
    expect_ec_import("P-256", 64, 4, false, false);
    expect_ec_import("P-256", 97, 4, false, false);
    expect_ec_import("P-384", 65, 4, false, false);
    expect_ec_import("P-521", 133, 4, false, false);
    memset(number, 3, sizeof(number));
    number[0] = 2; /* the least of the modulus' and of the exponent's bytes: not odd */
    OSSL_PARAM even[] = { OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, number, 256),
                          OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, number + 1, 3), OSSL_PARAM_END };
    assert_null(import("RSA", even));
    number[0] = 1;
    even[1] = (OSSL_PARAM) OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, number, 1);
    assert_null(import("RSA", even)); /* whose exponent is 1 */
    number[0] = 3;
    for (size_t size = 500; size < 530; size++) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, number, size),
            OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, number, 3),
            OSSL_PARAM_END,
        };
        EVP_PKEY *key = import("RSA", params);
        assert_true((key != NULL) == (size <= 512));
        EVP_PKEY_free(key);
        params[1] = (OSSL_PARAM) OSSL_PARAM_END;
        assert_null(import("RSA", params)); /* without an exponent */
    }
}

/* Off the curve, by one bit, and without a value. */
static void test_import_of_no_key(void **state) {
    uint8_t point[65], number[256];
    size_t size = 0;
    EVP_PKEY *owner = EVP_EC_gen("P-256");
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) (uintptr_t) "P-256", 5),
                            OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)), OSSL_PARAM_END };

    assert_int_equal(EVP_PKEY_get_octet_string_param(owner, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point), &size), 1);
    EVP_PKEY *key = import("EC", params);
    assert_non_null(key);
    EVP_PKEY_free(key);
    point[64] ^= 1;
    assert_null(import("EC", params));
    point[64] ^= 1;
    params[1].data = NULL;
    assert_null(import("EC", params));
    params[1].data = point;
    params[0].data = NULL;
    assert_null(import("EC", params));
    memset(number, 3, sizeof(number));
    OSSL_PARAM rsa[] = { OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 256),
                         OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, number, 3), OSSL_PARAM_END };
    assert_null(import("RSA", rsa));
    rsa[0].data = number;
    rsa[1].data = NULL;
    assert_null(import("RSA", rsa));
    EVP_PKEY_free(owner);
}

static void test_check(void **state) {
    static const char *const names[] = { "mqtt", "p384", "rsa" };

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        EVP_PKEY *key = must_load(names[i]);
        EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(with_identities, key, NULL);
        assert_int_equal(EVP_PKEY_public_check(context), 1);
        assert_int_equal(EVP_PKEY_private_check(context), 1);
        assert_int_equal(EVP_PKEY_pairwise_check(context), 1);
        assert_int_equal(EVP_PKEY_check(context), 1);
        EVP_PKEY_CTX_free(context);
        EVP_PKEY_free(key);
    }
}

/* A copy is the same key, and goes on when the first is gone. */
static void test_copy(void **state) {
    uint8_t signature[128];
    size_t size = sizeof(signature);
    EVP_PKEY *key = must_load("mqtt"), *copy = EVP_PKEY_dup(key);
    X509 *certificate = certificate_of("mqtt");

    assert_non_null(copy);
    EVP_PKEY_free(key);
    assert_string_equal(openssl_provider_of(copy), "identityd");
    assert_int_equal(X509_check_private_key(certificate, copy), 1);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit_ex(context, NULL, "SHA256", with_identities, NULL, copy, NULL), 1);
    assert_int_equal(EVP_DigestSign(context, signature, &size, (const uint8_t *) "x", 1), 1);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(copy);
    /* and of a public key alone */
    uint8_t point[65];
    assert_int_equal(EVP_PKEY_get_octet_string_param(X509_get0_pubkey(certificate), OSSL_PKEY_PARAM_PUB_KEY, point,
                                                     sizeof(point), &size),
                     1);
    OSSL_PARAM params[] = { OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) (uintptr_t) "P-256", 5),
                            OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof(point)), OSSL_PARAM_END };
    EVP_PKEY *public = import("EC", params), *again = EVP_PKEY_dup(public);
    assert_non_null(again);
    EVP_PKEY_free(public);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(certificate), again), 1);
    EVP_PKEY_free(again);
    X509_free(certificate);
}

static void test_private_half_does_not_come_out(void **state) {
    static const char *const names[] = { "mqtt", "rsa" };
    static const char *const secrets[] = { OSSL_PKEY_PARAM_PRIV_KEY, OSSL_PKEY_PARAM_RSA_D };

    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY *key = must_load(names[i]);
        BIO *bio = BIO_new(BIO_s_mem());
        BIGNUM *number = NULL;
        OSSL_PARAM *params = NULL;
        unsigned char *der = NULL;
        assert_int_equal(EVP_PKEY_get_bn_param(key, secrets[i], &number), 0);
        assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params), 0);
        assert_true(i2d_PrivateKey(key, &der) <= 0);
        assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 0);
        assert_int_equal(BIO_pending(bio), 0);
        assert_int_equal(EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params), 1);
        assert_null(OSSL_PARAM_locate(params, secrets[i]));
        OSSL_PARAM_free(params);
        BIO_free(bio);
        EVP_PKEY_free(key);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_identities, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_provider),
        TEST(test_store),
        TEST(test_store_certificate),
        TEST(test_store_bad_names),
        TEST(test_store_cannot_open),
        TEST(test_store_bad_certificates),
        TEST(test_key_file),
        TEST(test_bad_references),
        TEST(test_bad_blocks),
        TEST(test_other_keys),
        TEST(test_key_file_of_nobody),
        TEST(test_public_half),
        TEST(test_numbers),
        TEST(test_other_certificates),
        TEST(test_import),
        TEST(test_import_of_no_key),
        TEST(test_check),
        TEST(test_copy),
        TEST(test_private_half_does_not_come_out),
    };

    return cmocka_run_group_tests(tests, setup_provider, teardown_provider);
}
