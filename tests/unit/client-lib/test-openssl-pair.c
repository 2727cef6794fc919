/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A certificate and a key that a program loads one after the other while a renewal comes in between: OpenSSL's provider
 * makes them a pair, once, and leaves alone what is none. */
#include "openssl-fixture.h"

#include "common/key-reference.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

static X509 *read_certificate(const char *chain) {
    BIO *bio = BIO_new_mem_buf(chain, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

/* As the daemon writes it; generation 0: current.pem. */
static EVP_PKEY *read_key_file(const char *name, uint32_t generation) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_int_equal(key_reference_to_pem(name, generation, &pem), 0);
    BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, with_identities, NULL);
    BIO_free(bio);
    return key;
}

static EVP_PKEY *must_read(const char *name, uint32_t generation) {
    EVP_PKEY *key = read_key_file(name, generation);

    if (!key) {
        ERR_print_errors_fp(stderr);
        fail_msg("the key file of %s, generation %u, cannot be loaded", name, generation);
    }
    return key;
}

static bool is_pair(const char *chain, const EVP_PKEY *key) {
    X509 *certificate = read_certificate(chain);
    bool pair = X509_check_private_key(certificate, key) == 1;

    X509_free(certificate);
    ERR_clear_error();
    return pair;
}

/* Signs, and wants the signature to be by the key of that certificate. */
static void expect_signature_of(const char *chain, EVP_PKEY *key) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t size = sizeof(signature);

    if (EVP_DigestSignInit_ex(context, NULL, "SHA256", with_identities, NULL, key, NULL) <= 0 ||
        EVP_DigestSign(context, signature, &size, (const unsigned char *) "message", 7) <= 0) {
        ERR_print_errors_fp(stderr);
        fail_msg("it does not sign");
    }
    EVP_MD_CTX_free(context);
    assert_true(verify(chain, "message", 7, signature, size) >= 0);
}

static void expect_none(EVP_PKEY *key) {
    unsigned char signature[512];
    size_t size = sizeof(signature);
    EVP_MD_CTX *context = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestSignInit_ex(context, NULL, "SHA256", with_identities, NULL, key, NULL), 1);
    assert_true(EVP_DigestSign(context, signature, &size, (const unsigned char *) "message", 7) <= 0);
    EVP_MD_CTX_free(context);
}

static void test_the_file_names_it(void **state) {
    set_generation(2, "ready");
    EVP_PKEY *old = must_read("mqtt", 1), *next = must_read("mqtt", 2), *current = must_read("mqtt", 0);

    expect_signature_of(fixture.chain, old); /* without a certificate beside it */
    expect_signature_of(fixture.next_chain, next);
    expect_signature_of(fixture.next_chain, current);
    assert_true(is_pair(fixture.chain, old));
    assert_true(is_pair(fixture.next_chain, next));
    EVP_PKEY_free(old);
    EVP_PKEY_free(next);
    EVP_PKEY_free(current);
}

/* chain.pem, the renewal, key.pem. */
static void test_certificate_first(void **state) {
    set_generation(2, "ready");
    EVP_PKEY *key = must_read("mqtt", 2), *current = must_read("mqtt", 0), *uri = must_load("mqtt");

    assert_true(is_pair(fixture.chain, key));
    expect_signature_of(fixture.chain, key);
    assert_true(is_pair(fixture.chain, current));
    expect_signature_of(fixture.chain, current);
    assert_true(is_pair(fixture.chain, uri));
    expect_signature_of(fixture.chain, uri);
    EVP_PKEY_free(key);
    EVP_PKEY_free(current);
    EVP_PKEY_free(uri);
}

/* key.pem, the renewal, chain.pem; or even key.pem loaded before. */
static void test_key_first(void **state) {
    EVP_PKEY *loaded = must_read("mqtt", 1);

    set_generation(2, "ready");
    EVP_PKEY *read = must_read("mqtt", 1);
    assert_true(is_pair(fixture.next_chain, read));
    expect_signature_of(fixture.next_chain, read);
    unsigned before = fake_identityd_opened(fixture.fake);
    assert_true(is_pair(fixture.next_chain, loaded));
    assert_int_equal(fake_identityd_opened(fixture.fake) - before, 1); /* asked once more: it knew no second one */
    expect_signature_of(fixture.next_chain, loaded);
    EVP_PKEY_free(read);
    EVP_PKEY_free(loaded);
}

/* What a program uses already does not change under it. */
static void test_settled(void **state) {
    set_generation(2, "ready");
    EVP_PKEY *compared = must_read("mqtt", 2), *used = must_read("mqtt", 2), *chosen = must_read("mqtt", 2);

    assert_true(is_pair(fixture.next_chain, compared));
    assert_false(is_pair(fixture.chain, compared));
    expect_signature_of(fixture.next_chain, used);
    assert_false(is_pair(fixture.chain, used));
    assert_true(is_pair(fixture.chain, chosen));
    assert_false(is_pair(fixture.next_chain, chosen));
    unsigned before = fake_identityd_opened(fixture.fake);
    assert_false(is_pair(fixture.rsa_chain, chosen));
    assert_int_equal(fake_identityd_opened(fixture.fake), before); /* and nobody is asked any more */
    expect_signature_of(fixture.chain, chosen);
    EVP_PKEY_free(compared);
    EVP_PKEY_free(used);
    EVP_PKEY_free(chosen);
}

static void test_another_identity(void **state) {
    char *other = fake_ca_issue(fixture.ca, fixture.next_key, &(FakeRequest) { .common_name = "other" });
    EVP_PKEY *key = must_read("mqtt", 1), *rsa = must_read("rsa", 1);

    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "other", .generation = 1, .key = fixture.next_key, .chain = other });
    assert_false(is_pair(other, key));
    assert_false(is_pair(fixture.chain, rsa));
    assert_true(is_pair(fixture.chain, key)); /* its own is one still */
    expect_signature_of(fixture.chain, key);
    EVP_PKEY_free(key);
    EVP_PKEY_free(rsa);
    free(other);
}

static void test_gone(void **state) {
    EVP_PKEY *key = must_read("mqtt", 1);

    assert_true(is_pair(fixture.chain, key));
    set_generation(2, "ready");
    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    assert_null(read_key_file("mqtt", 1));
    assert_queue_says("identityd:mqtt: the key file is of generation 1, which does not sign any more; the current one "
                      "is 2. Read chain.pem and key.pem of /run/identityd/mqtt again; a copy is made of current.pem");
    assert_null(read_key_file("mqtt", 3)); /* nor one that never was */
    assert_queue_says("the key file is of generation 3");
    assert_false(is_pair(fixture.next_chain, key));
    expect_none(key);
    assert_queue_says("identityd:mqtt: generation 1, which this key was loaded with, does not sign any more: load key "
                      "and certificate again, together");
    EVP_PKEY *again = must_read("mqtt", 2);
    assert_true(is_pair(fixture.next_chain, again));
    expect_signature_of(fixture.next_chain, again);
    EVP_PKEY_free(again);
    EVP_PKEY_free(key);
}

/* A renewal and a restart of identityd: what does not sign says what to do, and what has the same key signs. */
static void test_restart(void **state) {
    EVP_PKEY *key = must_read("mqtt", 1), *rsa = must_read("rsa", 1);

    expect_signature_of(fixture.chain, key);
    expect_signature_of(fixture.rsa_chain, rsa);
    fake_identityd_close_handles(fixture.fake);
    set_generation(2, "ready");
    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "rsa", .generation = 2, .key = fixture.rsa_key, .chain = fixture.rsa_chain });
    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    fake_identityd_forget_generation(fixture.fake, "rsa", 1);
    expect_none(key);
    assert_queue_says("load key and certificate again, together");
    expect_signature_of(fixture.rsa_chain, rsa);
    EVP_PKEY_free(key);
    EVP_PKEY_free(rsa);
}

/* The key does not change its kind: OpenSSL has noted what it is. */
static void test_another_kind(void **state) {
    EVP_PKEY *key = must_read("mqtt", 1);

    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "mqtt", .generation = 2, .key = fixture.rsa_key, .chain = fixture.rsa_chain });
    unsigned before = fake_identityd_opened(fixture.fake);
    assert_false(is_pair(fixture.rsa_chain, key));
    assert_int_equal(fake_identityd_opened(fixture.fake), before);
    EVP_PKEY *old = must_read("mqtt", 1), *next = must_read("mqtt", 2);
    assert_true(is_pair(fixture.chain, old));
    assert_true(is_pair(fixture.rsa_chain, next));
    EVP_PKEY_free(old);
    EVP_PKEY_free(next);
    EVP_PKEY_free(key);
}

/* identity.pem: both in one file, for programs that read one. */
static void test_one_file(void **state) {
    _cleanup_bytes_ Bytes both = BYTES_NULL;

    set_generation(2, "ready");
    assert_int_equal(key_reference_to_pem("mqtt", 1, &both), 0);
    assert_int_equal(bytes_append(&both, bytes_view_string(fixture.chain)), 0);
    BIO *bio = BIO_new_mem_buf(both.data, (int) both.size);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, with_identities, NULL);
    BIO_free(bio);
    assert_non_null(key);
    assert_int_equal(bytes_append(&both, (BytesView) { (const uint8_t *) "", 1 }), 0);
    assert_true(is_pair((const char *) both.data, key));
    expect_signature_of(fixture.chain, key);
    EVP_PKEY_free(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_identities, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_the_file_names_it), TEST(test_certificate_first), TEST(test_key_first),
        TEST(test_settled),           TEST(test_another_identity),  TEST(test_gone),
        TEST(test_restart),           TEST(test_another_kind),      TEST(test_one_file),
    };

    return cmocka_run_group_tests(tests, setup_provider, teardown_provider);
}
