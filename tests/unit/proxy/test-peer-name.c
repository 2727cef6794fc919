/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which names of a client let it in. */
#include "proxy/peer-name.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

static void add_name(gnutls_x509_crt_t certificate, gnutls_x509_subject_alt_name_t type, const char *data,
                     unsigned size) {
    assert_true(gnutls_x509_crt_set_subject_alt_name(certificate, type, data, size, GNUTLS_FSAN_APPEND) >= 0);
}

/* With names added, as it would arrive. */
static gnutls_x509_crt_t make_client(void) {
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
    add_name(client, GNUTLS_SAN_DNSNAME, "a.example", 9);
    add_name(client, GNUTLS_SAN_URI, "urn:a", 5);
    add_name(client, GNUTLS_SAN_DNSNAME, "b.example", 9);
    add_name(client, GNUTLS_SAN_DNSNAME, "*.wild.example", 14);
    add_name(client, GNUTLS_SAN_DNSNAME, "good.example@.evil.example", 26);
    assert_true(gnutls_x509_crt_sign2(client, client, key, GNUTLS_DIG_SHA256, 0) >= 0);
    assert_true(gnutls_x509_crt_export2(client, GNUTLS_X509_FMT_DER, &der) >= 0);
    gnutls_x509_crt_deinit(client);
    gnutls_x509_privkey_deinit(key);
    char *mark = memmem(der.data, der.size, "example@", 8); /* GnuTLS writes no NUL into a name */
    assert_non_null(mark);
    mark[7] = '\0';
    assert_true(gnutls_x509_crt_init(&client) >= 0);
    assert_true(gnutls_x509_crt_import(client, &der, GNUTLS_X509_FMT_DER) >= 0);
    gnutls_free(der.data);
    return client;
}

static void test_names(void **state) {
    gnutls_x509_crt_t client = make_client();
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
        assert_int_equal(proxy_name_is_allowed(client, &names[i].name, 1), names[i].allowed);
    assert_true(proxy_name_is_allowed(client, NULL, 0));
    const ProxyName several[] = { names[1].name, names[5].name };
    assert_true(proxy_name_is_allowed(client, several, 2));
    assert_false(proxy_name_is_allowed(client, several, 1));
    gnutls_x509_crt_deinit(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
