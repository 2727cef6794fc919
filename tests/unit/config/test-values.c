/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single values: what is taken for what, and all that is refused. */
#include "config/values.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_boolean(void **state) {
    static const char *const yes[] = { "yes", "true", "on", "1" }, *const no[] = { "no", "false", "off", "0" };
    static const char *const bad[] = { "", "Yes", "y", "2", "yes ", "enabled" };
    bool value;

    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(value_boolean(yes[i], &value), 0);
        assert_true(value);
        assert_int_equal(value_boolean(no[i], &value), 0);
        assert_false(value);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(value_boolean(bad[i], &value), -EINVAL);
}

static void test_unsigned(void **state) {
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "01", "0x", "1a", "0xg", "4294967296", "99999999999999999999999"
    };
    uint32_t value;

    assert_int_equal(value_unsigned("0", 10, &value), 0);
    assert_int_equal(value, 0);
    assert_int_equal(value_unsigned("4294967295", UINT32_MAX, &value), 0);
    assert_true(value == UINT32_MAX);
    assert_int_equal(value_unsigned("0x8100aBcD", UINT32_MAX, &value), 0);
    assert_true(value == 0x8100abcd);
    assert_int_equal(value_unsigned("11", 10, &value), -EINVAL);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(value_unsigned(bad[i], UINT32_MAX, &value), -EINVAL);
}

static void test_duration(void **state) {
    static const struct {
        const char *text;
        uint64_t seconds;
    } good[] = { { "0s", 0 },      { "30s", 30 },    { "5min", 300 },         { "6h", 21600 },
                 { "2d", 172800 }, { "1w", 604800 }, { "10000w", 6048000000 } };
    static const char *const bad[] = { "",
                                       "30",
                                       "s",
                                       "-1s",
                                       "+1s",
                                       "1 s",
                                       " 1s",
                                       "1s ",
                                       "1m",
                                       "1M",
                                       "1day",
                                       "1h30min",
                                       "01s",
                                       "1.5h",
                                       "0x10s",
                                       "10001w",
                                       "99999999999999999999s",
                                       "1S" };
    uint64_t value;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        assert_int_equal(value_duration(good[i].text, &value), 0);
        assert_true(value == good[i].seconds);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (value_duration(bad[i], &value) != -EINVAL)
            fail_msg("taken: \"%s\"", bad[i]);
}

static void test_percent(void **state) {
    static const struct {
        const char *text;
        uint32_t permille;
    } good[] = { { "0%", 0 },        { "66%", 660 }, { "12.5%", 125 }, { "100%", 1000 },
                 { "100.0%", 1000 }, { "0.1%", 1 },  { "0.9%", 9 } };
    static const char *const bad[] = { "",    "66",  "%",    "101%", "100.1%", "12.55%", "12.%",
                                       ".5%", "-1%", "066%", "6 %",  "66%%",   "1e1%" };
    uint32_t value;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        assert_int_equal(value_percent(good[i].text, &value), 0);
        assert_int_equal(value, good[i].permille);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (value_percent(bad[i], &value) != -EINVAL)
            fail_msg("taken: \"%s\"", bad[i]);
}

static void test_names(void **state) {
    static const char *const paths[] = { "/a", "/etc/identityd/root.pem", "/a/..b/.c/d..." };
    static const char *const no_paths[] = {
        "", "/", "a", "./a", "/a/", "//a", "/a//b", "/a/../b", "/..", "/.", "/a/."
    };
    static const char *const credentials[] = { "owner", "a.b-c_d", "x@y" };
    static const char *const no_credentials[] = { "", ".", "..", "a/b", "a:b", "a b", "a\tb", "\xc3\xa9" };
    static const char *const addresses[] = { "192.0.2.1", "::1", "2001:db8::5" };
    static const char *const no_addresses[] = { "",      "192.0.2", "192.0.2.256", "fe80::1%eth0",
                                                "[::1]", "0x7f.1",  "1.2.3.4 " };

    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++)
        assert_true(value_is_path(paths[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(no_paths); i++)
        if (value_is_path(no_paths[i]))
            fail_msg("taken: \"%s\"", no_paths[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(credentials); i++)
        assert_true(value_is_credential_name(credentials[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(no_credentials); i++)
        assert_false(value_is_credential_name(no_credentials[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(addresses); i++)
        assert_true(value_is_ip_address(addresses[i]));
    for (size_t i = 0; i < ARRAY_LENGTH(no_addresses); i++)
        assert_false(value_is_ip_address(no_addresses[i]));
}

static void test_dns(void **state) {
    static const char label63[] = "abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz0";
    static const char *const good[] = {
        "a", "ca.example", "x-1.Example", "1.2.3.4a", label63, "xn--bcher-kva.example"
    };
    static const char *const bad[] = { "",
                                       ".",
                                       "a.",
                                       ".a",
                                       "a..b",
                                       "-a",
                                       "a-",
                                       "a-.b",
                                       "a_b",
                                       "*.a",
                                       "a b",
                                       "192.0.2.1",
                                       "1",
                                       "b\xc3\xbc"
                                       "cher.example",
                                       "a/b",
                                       "a%b" };
    char name[300];

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        if (!value_is_dns_name(good[i], strlen(good[i])))
            fail_msg("refused: \"%s\"", good[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (value_is_dns_name(bad[i], strlen(bad[i])))
            fail_msg("taken: \"%s\"", bad[i]);
    memset(name, 'a', sizeof(name));
    for (size_t i = 31; i < sizeof(name); i += 32)
        name[i] = '.';
    assert_true(value_is_dns_name(name, 253));
    assert_false(value_is_dns_name(name, 254));
    memset(name, 'a', 64);
    assert_false(value_is_dns_name(name, 64));
}

static void expect_url(UrlShape shape, const char *text, const char *expected) {
    _cleanup_free_ char *url = NULL;

    int r = value_url(text, shape, &url);
    if (r != (expected ? 0 : -EINVAL))
        fail_msg("\"%s\": %d", text, r);
    if (expected)
        assert_string_equal(url, expected);
    else
        assert_null(url);
}

static void test_url_server(void **state) {
    static const char *const bad[] = {
        "",
        "https://",
        "http://ca.example/",
        "HTTPS://ca.example",
        "https:/ca.example",
        "ca.example",
        "https://user@ca.example/",
        "https://user:pass@ca.example/",
        "https://ca.example:0/",
        "https://ca.example:65536/",
        "https://ca.example:/",
        "https://ca.example:08443/",
        "https://ca.example:8443x/",
        "https://ca.example:-1/",
        "https://ca.example/a?b",
        "https://ca.example/a?",
        "https://ca.example?b",
        "https://ca.example/#f",
        "https://ca.example#f",
        "https://ca.example/a b",
        "https://ca.example/a//b",
        "https://ca.example//",
        "https://ca.example/../a",
        "https://ca.example/a/.",
        "https://ca.example/a/..",
        "https://ca.example/%2e%2e/a",
        "https://ca.example/%2F",
        "https://ca.example/%",
        "https://ca.example/%4",
        "https://ca.example/%zz",
        "https://ca.example/%00",
        "https://ca.example/%0a",
        "https://ca.example/%7F",
        "https://ca.example/%5c",
        "https://ca.example/\\",
        "https://ca.example/<",
        "https://ca.example/\"",
        "https://ca.example/\xc3\xa9",
        "https://ca_x.example/",
        "https://-ca.example/",
        "https://ca.example./",
        "https://[::1/",
        "https://[]/",
        "https://[192.0.2.1]/",
        "https://[fe80::1%25eth0]/",
        "https://::1/",
        "https://192.0.2.999/",
        "https://192.0.2/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://ca.example\\@evil.example/",
        "https:///a",
        "https://:443/",
        "https://*.example/",
        "file:///etc/passwd",
        "https://ca.example/\t",
    };

    expect_url(URL_SERVER, "https://ca.example/.well-known/est/line-1", "https://ca.example/.well-known/est/line-1");
    expect_url(URL_SERVER, "https://ca.example:8443/.well-known/est/", "https://ca.example:8443/.well-known/est");
    expect_url(URL_SERVER, "https://ca.example", "https://ca.example/.well-known/est");
    expect_url(URL_SERVER, "https://ca.example:8443/", "https://ca.example:8443/.well-known/est");
    expect_url(URL_SERVER, "https://192.0.2.1/x", "https://192.0.2.1/x");
    expect_url(URL_SERVER, "https://[2001:db8::1]:65535/x%20y", "https://[2001:db8::1]:65535/x%20y");
    expect_url(URL_SERVER, "https://localhost:1/a/b", "https://localhost:1/a/b");
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_url(URL_SERVER, bad[i], NULL);
}

static void test_url_others(void **state) {
    char longest[VALUE_URL_MAX + 2] = "http://ca.example/";

    expect_url(URL_FETCH, "http://crl.example/a.crl", "http://crl.example/a.crl");
    expect_url(URL_FETCH, "https://crl.example/", "https://crl.example/");
    expect_url(URL_FETCH, "http://crl.example/a?b=c&d=/e?", "http://crl.example/a?b=c&d=/e?");
    expect_url(URL_FETCH, "http://crl.example/a?", "http://crl.example/a?");
    expect_url(URL_FETCH, "http://crl.example", NULL);
    expect_url(URL_FETCH, "http://crl.example?a", NULL);
    expect_url(URL_FETCH, "ldap://crl.example/cn=a", NULL);
    expect_url(URL_FETCH, "http://crl.example/a?b#c", NULL);
    expect_url(URL_FETCH, "http://crl.example/a?%0d", NULL);
    expect_url(URL_PROXY, "http://proxy.example:3128", "http://proxy.example:3128");
    expect_url(URL_PROXY, "http://proxy.example:3128/", "http://proxy.example:3128");
    expect_url(URL_PROXY, "http://proxy.example", NULL);
    expect_url(URL_PROXY, "https://proxy.example:3128", NULL);
    expect_url(URL_PROXY, "socks5://proxy.example:3128", NULL);
    expect_url(URL_PROXY, "http://proxy.example:3128/a", NULL);
    expect_url(URL_PROXY, "http://proxy.example:3128/?", NULL);
    expect_url(URL_PROXY, "http://proxy.example:3128?", NULL);
    expect_url(URL_PROXY, "http://u:p@proxy.example:3128", NULL);

    size_t head = strlen(longest);
    memset(longest + head, 'a', VALUE_URL_MAX - head);
    longest[VALUE_URL_MAX] = '\0';
    expect_url(URL_FETCH, longest, longest);
    longest[VALUE_URL_MAX] = 'a';
    longest[VALUE_URL_MAX + 1] = '\0';
    expect_url(URL_FETCH, longest, NULL);
}

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define PAIRS "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF"

static void test_fingerprint(void **state) {
    static const char *const bad[] = { "",
                                       HEX64,
                                       "sha256:",
                                       "sha1:" HEX64,
                                       "SHA256:" HEX64,
                                       "sha256:" HEX64 "0",
                                       "sha256:" HEX64 "00",
                                       "sha256:0" HEX64,
                                       "sha256:" PAIRS ":",
                                       "sha256:00:1122",
                                       "sha256:" HEX64 ":",
                                       "sha256: " HEX64,
                                       "sha256:0011223344556677:8899aabbccddeeff00112233445566778899aabbccddeeff",
                                       "sha256:g0112233445566778899aabbccddeeff00112233445566778899aabbccddeeff" };
    uint8_t value[32];

    assert_int_equal(value_fingerprint("sha256:" HEX64, value), 0);
    for (size_t i = 0; i < 32; i++)
        assert_int_equal(value[i], (i % 16) * 0x11);
    memset(value, 0, sizeof(value));
    assert_int_equal(value_fingerprint("sha256:" PAIRS, value), 0);
    assert_int_equal(value[31], 0xff);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (value_fingerprint(bad[i], value) != -EINVAL)
            fail_msg("taken: \"%s\"", bad[i]);
}

static void test_words(void **state) {
    _cleanup_strings_ char **words = NULL, **none = NULL;

    assert_int_equal(value_words("  a\tbc   d ", 3, &words), 0);
    assert_int_equal(strings_count(words), 3);
    assert_string_equal(words[1], "bc");
    assert_int_equal(value_words(" ", 0, &none), 0);
    assert_int_equal(strings_count(none), 0);
    char **more = NULL;
    assert_int_equal(value_words("a b c d", 3, &more), -E2BIG);
    assert_null(more);
    assert_int_equal(strings_count(NULL), 0);
    assert_null(strings_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boolean),    cmocka_unit_test(test_unsigned),   cmocka_unit_test(test_duration),
        cmocka_unit_test(test_percent),    cmocka_unit_test(test_names),      cmocka_unit_test(test_dns),
        cmocka_unit_test(test_url_server), cmocka_unit_test(test_url_others), cmocka_unit_test(test_fingerprint),
        cmocka_unit_test(test_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
