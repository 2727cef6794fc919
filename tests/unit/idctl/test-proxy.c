/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pure parts of idctl proxy: arguments and their bounds, addresses, names of peers. */
#include "proxy/address.h"
#include "proxy/peer-name.h"
#include "proxy/settings.h"
#include "idctl/verbs.h"

#include "lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#define WORDS_MAX 48U

/* The settings that a command line gives; borrowed from it, so that words are literals. */
static ExitCode parse(const char *const *words, ProxySettings *ret) {
    char *argv[WORDS_MAX + 1] = { (char *) "proxy" };
    Command command;
    int argc = 1;

    for (; words[argc - 1]; argc++) {
        assert_true((unsigned) argc < WORDS_MAX);
        argv[argc] = (char *) (uintptr_t) words[argc - 1];
    }
    ExitCode code = command_parse(&idctl_program, &verb_proxy, argc, argv, &command);
    return code == _EXIT_CONTINUE ? proxy_settings_parse(&command, ret) : code;
}

#define WORDS(...)  ((const char *const[]) { __VA_ARGS__, NULL })
#define CLIENT(...) WORDS("mqtt", "--connect", "broker.example:8883", __VA_ARGS__)
#define SERVER(...) WORDS("mqtt", "--server", "--connect", "/run/app.sock", __VA_ARGS__)

static void test_usual(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(parse(CLIENT("--listen", "/run/mqtt.sock"), &settings), EXIT_OK);
    assert_string_equal(settings.identity, "mqtt");
    assert_false(settings.server || settings.loopback || settings.quiet || settings.require_crl);
    assert_true(settings.listens && proxy_address_is_path(&settings.listen));
    assert_string_equal(settings.peer.host, "broker.example");
    assert_string_equal(settings.name, "broker.example");
    assert_int_equal(settings.mode, 0600);
    assert_int_equal(settings.limits.connections, 256);
    assert_int_equal(settings.limits.buffer, 16384);
    assert_int_equal(settings.limits.handshake, 30);
    assert_int_equal(settings.limits.idle, 43200);
    assert_int_equal(settings.limits.half_closed, 60);
    assert_int_equal(settings.limits.drain, 10);
}

static void test_everything(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(
        parse(SERVER("--listen", "[::]:8443", "--allow-uri", "urn:x", "--allow-cn", "a", "--allow-cn", "b, c",
                     "--max-connections", "4096", "--buffer-size", "1024", "--handshake-timeout", "1", "--idle-timeout",
                     "0", "--half-closed-timeout", "86400", "--drain-timeout", "0", "--require-crl", "--quiet"),
              &settings),
        EXIT_OK);
    assert_true(settings.server && settings.require_crl && settings.quiet);
    assert_null(settings.name);
    assert_int_equal(settings.allowed_count, 3);
    assert_int_equal(settings.allowed[0].kind, PROXY_NAME_CN);
    assert_string_equal(settings.allowed[0].name, "a");
    assert_string_equal(settings.allowed[1].name, "b, c");
    assert_int_equal(settings.allowed[2].kind, PROXY_NAME_URI);
    assert_int_equal(settings.limits.connections, 4096);
    assert_int_equal(settings.limits.buffer, 1024);
    assert_int_equal(settings.limits.idle, 0);
    assert_int_equal(settings.limits.drain, 0);
}

static void test_passed_sockets(void **state) {
    _cleanup_proxy_settings_ ProxySettings settings = { 0 };

    assert_int_equal(parse(CLIENT("--name", "other.example"), &settings), EXIT_OK);
    assert_false(settings.listens);
    assert_string_equal(settings.name, "other.example");
}

static void test_refusals(void **state) {
    const char *const *lines[] = {
        WORDS("mqtt"),
        WORDS("Mqtt", "--connect", "broker.example:8883"),
        WORDS("mqtt", "--connect", "broker.example"),
        WORDS("mqtt", "--connect", "::1:80"),
        WORDS("mqtt", "--server", "--connect", "relative.sock"),
        WORDS("mqtt", "--server", "--connect", "127.0.0.1:80"),
        WORDS("mqtt", "--server", "--loopback", "--connect", "192.0.2.1:80"),
        CLIENT("--listen", ""),
        CLIENT("--listen", "@abstract"),
        CLIENT("--listen", "/run/"),
        CLIENT("--listen", "127.0.0.1:80"),
        CLIENT("--listen", "0.0.0.0:80", "--loopback"),
        CLIENT("--listen", "localhost:80", "--loopback"),
        CLIENT("--listen", "127.0.0.1:65536", "--loopback"),
        CLIENT("--listen", "127.0.0.1:-1", "--loopback"),
        CLIENT("--mode", "0660"),
        CLIENT("--listen", "127.0.0.1:80", "--loopback", "--mode", "0660"),
        CLIENT("--listen", "/run/a", "--mode", "1777"),
        CLIENT("--listen", "/run/a", "--mode", "rw"),
        CLIENT("--listen", "/run/a", "--mode", ""),
        CLIENT("--allow-cn", "a"),
        CLIENT("--name", ""),
        SERVER("--listen", "/run/tls.sock"),
        SERVER("--listen", "example.org:443"),
        SERVER("--listen", "0.0.0.0:http"),
        SERVER("--name", "a"),
        SERVER("--allow-dns", ""),
    };
    static const char *const numbers[][3] = {
        { "--max-connections", "0", "4097" },
        { "--buffer-size", "1023", "1048577" },
        { "--handshake-timeout", "0", "601" },
        { "--idle-timeout", "-1", "604801" },
        { "--half-closed-timeout", "0", "86401" },
        { "--drain-timeout", "", "601" },
        { "--idle-timeout", "5s", "99999999999999999999" },
    };
    ProxySettings settings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        assert_int_equal(parse(lines[i], &settings), EXIT_USAGE);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++) {
        assert_int_equal(parse(CLIENT(numbers[i][0], numbers[i][1]), &settings), EXIT_USAGE);
        assert_int_equal(parse(CLIENT(numbers[i][0], numbers[i][2]), &settings), EXIT_USAGE);
    }
}

static void test_too_many_names(void **state) {
    const char *words[WORDS_MAX] = { "mqtt", "--server", "--connect", "/run/app.sock" };
    ProxySettings settings = { 0 };

    for (size_t i = 0; i < COMMAND_REPEATED_MAX; i++)
        words[4 + i] = "--allow-cn=a";
    assert_int_equal(parse(words, &settings), EXIT_OK);
    words[4 + COMMAND_REPEATED_MAX] = "--allow-dns=a";
    assert_int_equal(parse(words, &settings), EXIT_USAGE);
}

static void assert_text(const ProxyAddress *address, const char *expected) {
    char text[PROXY_ADDRESS_TEXT];
    proxy_address_text(address, text);
    assert_string_equal(text, expected);
}

static void test_addresses(void **state) {
    static const char *const loopback[] = { "127.0.0.1:80", "127.1.2.3:0", "[::1]:65535" };
    static const char *const elsewhere[] = { "0.0.0.0:80", "128.0.0.1:80", "[::]:80", "[::ffff:127.0.0.1]:80",
                                             "[fe80::1]:80" };
    char longest[109] = "/", too_long[110] = "/";
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(loopback); i++) {
        assert_int_equal(proxy_address_parse_plain(loopback[i], true, &address), EXIT_OK);
        assert_true(proxy_address_is_loopback(&address));
        assert_text(&address, loopback[i]);
        assert_int_equal(proxy_address_parse_plain(loopback[i], false, &address), EXIT_USAGE);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(elsewhere); i++) {
        assert_int_equal(proxy_address_parse_plain(elsewhere[i], true, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_tls(elsewhere[i], &address), EXIT_OK);
        assert_false(proxy_address_is_loopback(&address));
    }
    memset(longest + 1, 'a', 106);
    assert_int_equal(proxy_address_parse_plain(longest, false, &address), EXIT_OK);
    assert_text(&address, longest);
    memset(too_long + 1, 'a', 107);
    assert_int_equal(proxy_address_parse_plain(too_long, false, &address), EXIT_USAGE);
}

static void add_name(gnutls_x509_crt_t certificate, gnutls_x509_subject_alt_name_t type, const char *data,
                     unsigned size) {
    assert_true(gnutls_x509_crt_set_subject_alt_name(certificate, type, data, size, GNUTLS_FSAN_APPEND) >= 0);
}

/* With names added, as it would arrive. */
static void make_client(Certificates *ret) {
    LabCertificate client;
    Bytes der = BYTES_NULL;

    lab_certificate_new("client", false, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 1, NULL,
                        &client);
    add_name(client.certificate, GNUTLS_SAN_DNSNAME, "a.example", 9);
    add_name(client.certificate, GNUTLS_SAN_URI, "urn:a", 5);
    add_name(client.certificate, GNUTLS_SAN_DNSNAME, "b.example", 9);
    add_name(client.certificate, GNUTLS_SAN_DNSNAME, "*.wild.example", 14);
    add_name(client.certificate, GNUTLS_SAN_DNSNAME, "good.example@.evil.example", 26);
    assert_int_equal(certificate_to_der(client.certificate, &der), 0);
    char *mark = memmem(der.data, der.size, "example@", 8); /* GnuTLS writes no NUL into a name */
    assert_non_null(mark);
    mark[7] = '\0';
    assert_int_equal(certificates_from_der(&der, 1, ret), 0);
    bytes_clear(&der);
    lab_certificate_clear(&client);
}

static void test_names(void **state) {
    _cleanup_certificates_ Certificates client = { 0 };
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

    make_client(&client);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_int_equal(proxy_name_is_allowed(client.list[0], &names[i].name, 1), names[i].allowed);
    assert_true(proxy_name_is_allowed(client.list[0], NULL, 0));
    const ProxyName several[] = { names[1].name, names[5].name };
    assert_true(proxy_name_is_allowed(client.list[0], several, 2));
    assert_false(proxy_name_is_allowed(client.list[0], several, 1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usual),    cmocka_unit_test(test_everything),     cmocka_unit_test(test_passed_sockets),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_too_many_names), cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
