/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom a peer's certificate names: what programs decide by. */
#include "client-lib/verify.h"
#include "common/macros.h"
#include "fakes/fake-pki.h"
#include "identityd/identityd.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct {
    FakeCa *ca;
    gnutls_privkey_t key;
    char *chain;
} world;

static int setup_world(void **state) {
    world.ca = fake_ca_new("Fake Root", NULL);
    world.key = fake_key_new(FAKE_KEY_P384);
    world.chain =
        fake_ca_issue(world.ca, world.key, &(FakeRequest) { .common_name = "a", .dns = "a.example", .server = true });
    return 0;
}

static int teardown_world(void **state) {
    fake_ca_free(world.ca);
    gnutls_privkey_deinit(world.key);
    free(world.chain);
    return 0;
}

static void assert_error_says(const char *part) {
    if (!strstr(identityd_last_error(), part))
        fail_msg("'%s' does not say '%s'", identityd_last_error(), part);
}

static identityd_peer *read_peer(const FakeRequest *request) {
    char *pem = fake_ca_issue(world.ca, world.key, request);
    gnutls_datum_t der = fake_pem_to_der(pem);
    identityd_peer *peer = NULL;

    assert_int_equal(peer_new(&der, &peer), 0);
    memset(der.data, 0, der.size); /* nothing is borrowed */
    gnutls_free(der.data);
    free(pem);
    return peer;
}

static void test_peer(void **state) {
    identityd_peer *peer =
        read_peer(&(FakeRequest) { .common_name = "pump 7", .dns = "pump.example", .uri = "urn:pump:7" });
    const char *const *names = identityd_peer_names(peer);

    assert_string_equal(identityd_peer_subject(peer), "CN=pump 7");
    assert_int_equal(strlen(identityd_peer_sha256(peer)), 64);
    assert_int_equal(strspn(identityd_peer_sha256(peer), "0123456789abcdef"), 64);
    assert_string_equal(names[0], "dns:pump.example");
    assert_string_equal(names[1], "uri:urn:pump:7");
    assert_null(names[2]);
    assert_null(identityd_peer_free(peer));
    peer = read_peer(&(FakeRequest) { .common_name = "nameless" });
    assert_null(identityd_peer_names(peer)[0]);
    identityd_peer_free(peer);
    assert_null(identityd_peer_free(NULL));
}

/* What is no text is not handed on as one, and does not hide what is. */
static void test_names_that_are_no_text(void **state) {
    static const unsigned char bytes[] = { 0, '\n', 0x1f, 0x7f, 0x80, 0xff };
    char *pem = fake_ca_issue(world.ca, world.key,
                              &(FakeRequest) { .common_name = "x", .dns = "pump.example", .uri = "urn:pump:7" });
    gnutls_datum_t der = fake_pem_to_der(pem);
    unsigned char *uri = memmem(der.data, der.size, "urn:pump:7", 10);
    identityd_peer *peer = NULL;

    assert_non_null(uri);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        uri[5] = bytes[i];
        assert_int_equal(peer_new(&der, &peer), 0);
        assert_string_equal(identityd_peer_names(peer)[0], "dns:pump.example");
        assert_null(identityd_peer_names(peer)[1]);
        peer = identityd_peer_free(peer);
    }
    gnutls_free(der.data);
    free(pem);
}

/* A DNS name in a certificate, made one of another kind by its tag. */
static void test_kinds_of_names(void **state) {
    static const struct {
        const char *text;
        uint8_t kind; /* of GeneralName */
        const char *name;
    } cases[] = {
        { "abcd", 7, "ip:97.98.99.100" },
        { "abcdefghijklmnop", 7, "ip:6162:6364:6566:6768:696a:6b6c:6d6e:6f70" },
        { "abc", 7, NULL },
        { "abcde", 7, NULL },
        { "abcdefghijklmno", 7, NULL },
        { "abcdefghijklmnopq", 7, NULL },
        { "abcd", 1, "mail:abcd" },
        { "abcd", 2, "dns:abcd" },
        { "abcd", 6, "uri:abcd" },
        { "abcd", 8, NULL }, /* a registered ID */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char *pem = fake_ca_issue(world.ca, world.key, &(FakeRequest) { .common_name = "x", .dns = cases[i].text });
        gnutls_datum_t der = fake_pem_to_der(pem);
        unsigned char *text = memmem(der.data, der.size, cases[i].text, strlen(cases[i].text));
        identityd_peer *peer = NULL;
        assert_non_null(text);
        assert_int_equal(text[-2], 0x82);
        text[-2] = (unsigned char) (0x80 | cases[i].kind);
        assert_int_equal(peer_new(&der, &peer), 0);
        const char *name = identityd_peer_names(peer)[0];
        if (cases[i].name)
            assert_string_equal(name, cases[i].name);
        else
            assert_null(name);
        identityd_peer_free(peer);
        gnutls_free(der.data);
        free(pem);
    }
}

static void test_fingerprint(void **state) {
    gnutls_datum_t der = fake_pem_to_der(world.chain);
    uint8_t digest[32];
    char hex[65];
    identityd_peer *peer = NULL;

    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, der.data, der.size, digest), 0);
    for (size_t i = 0; i < sizeof(digest); i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    assert_int_equal(peer_new(&der, &peer), 0);
    assert_string_equal(identityd_peer_sha256(peer), hex);
    identityd_peer_free(peer);
    gnutls_free(der.data);
}

static void test_no_peer(void **state) {
    gnutls_datum_t der = fake_pem_to_der(world.chain);
    identityd_peer *peer = NULL;

    for (unsigned size = 0; size < der.size; size += 7) {
        assert_true(peer_new(&(gnutls_datum_t) { der.data, size }, &peer) < 0);
        assert_null(peer);
        assert_error_says("reading the peer's names");
    }
    gnutls_free(der.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer),           cmocka_unit_test(test_names_that_are_no_text),
        cmocka_unit_test(test_kinds_of_names), cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_no_peer),
    };

    return cmocka_run_group_tests(tests, setup_world, teardown_world);
}
