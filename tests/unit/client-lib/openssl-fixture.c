/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The OpenSSL provider for tests. */
#include "openssl-fixture.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <stdio.h>

OSSL_LIB_CTX *with_identities;

static gnutls_privkey_t p384_key;
static char *p384_chain;

int setup_provider(void **state) {
    setup_all(state);
    p384_key = fake_key_new(FAKE_KEY_P384);
    p384_chain = fake_ca_issue(fixture.ca, p384_key, &(FakeRequest) { .common_name = "p384", .client = true });
    with_identities = openssl_library_new(OPENSSL_PROVIDER_DIRECTORY);
    if (!with_identities)
        ERR_print_errors_fp(stderr);
    assert_non_null(with_identities);
    return 0;
}

int teardown_provider(void **state) {
    openssl_library_free(with_identities);
    gnutls_privkey_deinit(p384_key);
    free(p384_chain);
    return teardown_all(state);
}

int setup_identities(void **state) {
    setup(state);
    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "p384", .generation = 1, .key = p384_key, .chain = p384_chain });
    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "rsa", .generation = 1, .key = fixture.rsa_key, .chain = fixture.rsa_chain });
    ERR_clear_error();
    return 0;
}

EVP_PKEY *load_identity(const char *name) {
    char uri[128];
    EVP_PKEY *key = NULL;

    (void) snprintf(uri, sizeof(uri), "identityd:%s", name);
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(uri, with_identities, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = store ? OSSL_STORE_load(store) : NULL;
    if (info)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    return key;
}

EVP_PKEY *must_load(const char *name) {
    EVP_PKEY *key = load_identity(name);

    if (!key) {
        ERR_print_errors_fp(stderr);
        fail_msg("%s cannot be loaded", name);
    }
    return key;
}

X509 *certificate_of(const char *name) {
    const char *chain = strcmp(name, "rsa") == 0    ? fixture.rsa_chain
                        : strcmp(name, "p384") == 0 ? p384_chain
                                                    : fixture.chain;
    BIO *bio = BIO_new_mem_buf(chain, -1);
    X509 *certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(certificate);
    return certificate;
}

/* The texts of the whole queue, which is empty afterwards. */
static void take_queue(char ret[static 4096]) {
    const char *data;
    unsigned long code;
    size_t used = 0;

    ret[0] = '\0';
    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, NULL)) != 0 && used < 4096)
        used += (size_t) snprintf(ret + used, 4096 - used, "%s | %s\n", ERR_reason_error_string(code), data);
}

void assert_queue_says(const char *part) {
    char queue[4096];

    take_queue(queue);
    if (!strstr(queue, part))
        fail_msg("the queue does not say '%s' but:\n%s", part, queue);
}

void assert_queue_is_silent_about(const char *part) {
    char queue[4096];

    take_queue(queue);
    if (strstr(queue, part))
        fail_msg("the queue says '%s':\n%s", part, queue);
}
