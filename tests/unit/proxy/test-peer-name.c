/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which names of a client let it in. */
#include "proxy/peer-name.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void add_name(gnutls_x509_crt_t certificate, gnutls_x509_subject_alt_name_t type, const char *data,
                     unsigned size) {
    assert_true(gnutls_x509_crt_set_subject_alt_name(certificate, type, data, size, GNUTLS_FSAN_APPEND) >= 0);
}

/* With names added, as it would arrive. */
static gnutls_x509_crt_t make_client(char mark_becomes, bool marked_first) {
    gnutls_datum_t der = { NULL, 0 };
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t client;

    assert_true(gnutls_x509_privkey_init(&key) >= 0 && gnutls_x509_crt_init(&client) >= 0);
    assert_true(
        gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) >= 0);
    assert_true(gnutls_x509_crt_set_version(client, 3) >= 0 && gnutls_x509_crt_set_key(client, key) >= 0);
    assert_true(gnutls_x509_crt_set_serial(client, "\1", 1) >= 0);
    assert_true(gnutls_x509_crt_set_dn_by_oid(client, GNUTLS_OID_X520_COMMON_NAME, 0, "client", 6) >= 0);
    gnutls_x509_crt_set_activation_time(client, time(NULL) - 60);
    gnutls_x509_crt_set_expiration_time(client, time(NULL) + 3600);
    if (marked_first)
        add_name(client, GNUTLS_SAN_DNSNAME, "good.example@.evil.example", 26);
    add_name(client, GNUTLS_SAN_DNSNAME, "a.example", 9);
    add_name(client, GNUTLS_SAN_URI, "urn:a", 5);
    add_name(client, GNUTLS_SAN_DNSNAME, "b.example", 9);
    add_name(client, GNUTLS_SAN_DNSNAME, "*.wild.example", 14);
    if (!marked_first)
        add_name(client, GNUTLS_SAN_DNSNAME, "good.example@.evil.example", 26);
    assert_true(gnutls_x509_crt_sign2(client, client, key, GNUTLS_DIG_SHA256, 0) >= 0);
    assert_true(gnutls_x509_crt_export2(client, GNUTLS_X509_FMT_DER, &der) >= 0);
    gnutls_x509_crt_deinit(client);
    gnutls_x509_privkey_deinit(key);
    char *mark = memmem(der.data, der.size, "example@", 8); /* GnuTLS writes no such thing into a name */
    assert_non_null(mark);
    mark[7] = mark_becomes;
    assert_true(gnutls_x509_crt_init(&client) >= 0);
    assert_true(gnutls_x509_crt_import(client, &der, GNUTLS_X509_FMT_DER) >= 0);
    gnutls_free(der.data);
    return client;
}

static void test_names(void **state) {
    gnutls_x509_crt_t client = make_client('\0', false);
    static const struct {
        ProxyName name;
        bool allowed;
    } names[] = {
        { { PROXY_NAME_CN, "client" }, true },
        { { PROXY_NAME_CN, "Client" }, false },
        { { PROXY_NAME_CN, "clien" }, false },
        { { PROXY_NAME_CN, "a.example" }, false },
        { { PROXY_NAME_DNS, "a.example" }, true },
        { { PROXY_NAME_DNS, "B.Example" }, true },
        { { PROXY_NAME_DNS, "c.b.example" }, false },
        { { PROXY_NAME_DNS, "*.wild.example" }, true }, /* as it stands there, and only so */
        { { PROXY_NAME_DNS, "x.wild.example" }, false },
        { { PROXY_NAME_DNS, "urn:a" }, false },
        { { PROXY_NAME_DNS, "good.example" }, false }, /* there it goes on after a NUL */
        { { PROXY_NAME_URI, "urn:a" }, true },
        { { PROXY_NAME_URI, "urn:A" }, false },
        { { PROXY_NAME_URI, "a.example" }, false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_ptr_equal(proxy_name_find(client, &names[i].name, 1), names[i].allowed ? &names[i].name : NULL);
    assert_null(proxy_name_find(client, NULL, 0));
    const ProxyName several[] = { names[1].name, names[5].name };
    assert_ptr_equal(proxy_name_find(client, several, 2), &several[1]);
    assert_null(proxy_name_find(client, several, 1));
    gnutls_x509_crt_deinit(client);
}

/* What a program is told: the name that counted, or the first; nothing that it could take for another. */
static void test_texts(void **state) {
    gnutls_x509_crt_t client = make_client('\0', false), bare;
    const ProxyName names[] = { { PROXY_NAME_CN, "client" },
                                { PROXY_NAME_DNS, "B.Example" },
                                { PROXY_NAME_URI, "urn:a" } };
    static const char *const texts[] = { "CN:client", "DNS:B.Example", "URI:urn:a" };
    char text[PROXY_NAME_TEXT] = "before";

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        proxy_name_text(client, &names[i], text);
        assert_string_equal(text, texts[i]);
    }
    proxy_name_text(client, NULL, text);
    assert_string_equal(text, "DNS:a.example");
    proxy_name_common(client, text);
    assert_string_equal(text, "client");
    assert_true(gnutls_x509_crt_init(&bare) >= 0);
    proxy_name_text(bare, NULL, text);
    assert_string_equal(text, "");
    strcpy(text, "before");
    proxy_name_common(bare, text);
    assert_string_equal(text, "");
    gnutls_x509_crt_deinit(bare);
    gnutls_x509_crt_deinit(client);
}

/* Names of which a program would read something else than what is there. */
static void test_names_that_are_no_texts(void **state) {
    static const char bad[] = { '\0', '\n', '\t', '\033', '\177' };
    char text[PROXY_NAME_TEXT], longer[PROXY_NAME_TEXT];

    for (size_t i = 0; i < sizeof bad; i++) {
        gnutls_x509_crt_t client = make_client(bad[i], true);
        proxy_name_text(client, NULL, text);
        assert_string_equal(text, "DNS:a.example"); /* the next */
        gnutls_x509_crt_deinit(client);
    }
    gnutls_x509_crt_t client = make_client('-', true);
    proxy_name_text(client, NULL, text);
    assert_string_equal(text, "DNS:good.example-.evil.example");
    proxy_name_text(client, &(ProxyName) { PROXY_NAME_URI, "" }, text);
    assert_string_equal(text, ""); /* and no kind without a name */
    memset(longer, 'u', sizeof longer);
    longer[PROXY_NAME_TEXT - 5] = '\0';
    proxy_name_text(client, &(ProxyName) { PROXY_NAME_URI, longer }, text);
    assert_int_equal(strlen(text), PROXY_NAME_TEXT - 1);
    longer[PROXY_NAME_TEXT - 5] = 'u';
    longer[PROXY_NAME_TEXT - 4] = '\0';
    proxy_name_text(client, &(ProxyName) { PROXY_NAME_URI, longer }, text);
    assert_string_equal(text, "");
    gnutls_x509_crt_deinit(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_names_that_are_no_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
