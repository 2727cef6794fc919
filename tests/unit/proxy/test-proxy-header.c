/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program is told by the PROXY protocol, byte by byte as its specification has it. What other programs read of
 * it is in tests/integration/test-proxy-foreign.py. */
#include "proxy/proxy-header.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include <arpa/inet.h>

static ProxyAddress at(const char *host, unsigned port) {
    ProxyAddress address = { .size = sizeof address.ipv6 };

    if (inet_pton(AF_INET, host, &address.ipv4.sin_addr) == 1) {
        address.ipv4.sin_family = AF_INET;
        address.ipv4.sin_port = htons((in_port_t) port);
    } else {
        assert_int_equal(inet_pton(AF_INET6, host, &address.ipv6.sin6_addr), 1);
        address.ipv6.sin6_family = AF_INET6;
        address.ipv6.sin6_port = htons((in_port_t) port);
    }
    return address;
}

#define SIGNATURE "0d0a0d0a000d0a515549540a"

static void assert_bytes(const ProxyHeader *header, const char *expected) {
    unsigned char data[PROXY_HEADER_MAX];
    char text[2 * PROXY_HEADER_MAX + 1] = "";

    size_t size = proxy_header_write(header, data);
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", data[i]);
    assert_string_equal(text, expected);
}

static void test_ipv4(void **state) {
    ProxyAddress from = at("192.0.2.1", 0x1234), to = at("198.51.100.2", 443);

    assert_bytes(&(ProxyHeader) { .from = &from, .to = &to }, SIGNATURE "21"
                                                                        "11"
                                                                        "001e"
                                                                        "c0000201"
                                                                        "c6336402"
                                                                        "1234"
                                                                        "01bb"
                                                                        "20000f"
                                                                        "0700000000"
                                                                        "210007"
                                                                        "544c5376312e33");
}

static void test_ipv6(void **state) {
    ProxyAddress from = at("2001:db8::1", 1), to = at("2001:db8::2", 2);

    assert_bytes(&(ProxyHeader) { .from = &from, .to = &to }, SIGNATURE "21"
                                                                        "21"
                                                                        "0036"
                                                                        "20010db8000000000000000000000001"
                                                                        "20010db8000000000000000000000002"
                                                                        "0001"
                                                                        "0002"
                                                                        "20000f"
                                                                        "0700000000"
                                                                        "210007"
                                                                        "544c5376312e33");
}

/* As a listener at [::] has it. */
static void test_ipv4_inside_ipv6(void **state) {
    ProxyAddress from = at("::ffff:192.0.2.1", 0x1234), to = at("::ffff:198.51.100.2", 443);

    assert_bytes(&(ProxyHeader) { .from = &from, .to = &to }, SIGNATURE "21"
                                                                        "11"
                                                                        "001e"
                                                                        "c0000201"
                                                                        "c6336402"
                                                                        "1234"
                                                                        "01bb"
                                                                        "20000f"
                                                                        "0700000000"
                                                                        "210007"
                                                                        "544c5376312e33");
}

/* What cannot be: nothing is made up. */
static void test_no_addresses(void **state) {
    ProxyAddress unnamed = { .path = { .sun_family = AF_UNIX }, .size = sizeof(sa_family_t) },
                 ipv4 = at("192.0.2.1", 1), ipv6 = at("2001:db8::1", 1);
    const ProxyAddress *const pairs[][2] = {
        { &unnamed, &unnamed }, { &ipv4, &ipv6 }, { &ipv6, &ipv4 }, { &ipv4, &unnamed }
    };

    for (size_t i = 0; i < ARRAY_LENGTH(pairs); i++)
        assert_bytes(&(ProxyHeader) { .from = pairs[i][0], .to = pairs[i][1] }, SIGNATURE "21"
                                                                                          "00"
                                                                                          "0012"
                                                                                          "20000f"
                                                                                          "0700000000"
                                                                                          "210007"
                                                                                          "544c5376312e33");
}

static void test_texts(void **state) {
    ProxyAddress from = at("192.0.2.1", 0x1234), to = at("198.51.100.2", 443);
    const ProxyHeader header = { .from = &from,
                                 .to = &to,
                                 .protocol = "h2",
                                 .server_name = "a.b",
                                 .common_name = "me",
                                 .cipher = "TLS_X",
                                 .name = "DNS:c" };

    assert_bytes(&header, SIGNATURE "21"
                                    "11"
                                    "003e"
                                    "c0000201"
                                    "c6336402"
                                    "1234"
                                    "01bb"
                                    "010002"
                                    "6832" /* ALPN */
                                    "020003"
                                    "612e62" /* AUTHORITY */
                                    "20001c"
                                    "0700000000" /* SSL: */
                                    "210007"
                                    "544c5376312e33" /* its version, */
                                    "220002"
                                    "6d65" /* the common name, */
                                    "230005"
                                    "544c535f58" /* the cipher */
                                    "e00005"
                                    "444e533a63"); /* the name */
}

/* Empty ones are none, and what is too long for a text is left out whole. */
static void test_texts_that_are_left_out(void **state) {
    ProxyAddress from = at("192.0.2.1", 0x1234), to = at("198.51.100.2", 443);
    char longest[256], longer[257];
    unsigned char with[PROXY_HEADER_MAX], without[PROXY_HEADER_MAX];

    memset(longest, 'a', 255);
    longest[255] = '\0';
    memset(longer, 'a', 256);
    longer[256] = '\0';
    size_t bare = proxy_header_write(&(ProxyHeader) { .from = &from, .to = &to }, without);
    ProxyHeader empty = {
        .from = &from, .to = &to, .protocol = "", .server_name = "", .common_name = "", .cipher = "", .name = ""
    };
    assert_int_equal(proxy_header_write(&empty, with), bare);
    assert_memory_equal(with, without, bare);
    ProxyHeader long_one = { .from = &from,
                             .to = &to,
                             .protocol = longer,
                             .server_name = longer,
                             .common_name = longer,
                             .cipher = longer,
                             .name = longer };
    assert_int_equal(proxy_header_write(&long_one, with), bare);
    from = at("2001:db8::1", 1);
    to = at("2001:db8::2", 2);
    bare = proxy_header_write(&(ProxyHeader) { .from = &from, .to = &to }, without);
    long_one = (ProxyHeader) { .from = &from,
                               .to = &to,
                               .protocol = longest,
                               .server_name = longest,
                               .common_name = longest,
                               .cipher = longest,
                               .name = longest };
    assert_int_equal(proxy_header_write(&long_one, with), bare + 5 * (3 + 255));
    assert_true(bare + 5 * (3 + 255) <= PROXY_HEADER_MAX); /* there is no more that it could have */
    assert_int_equal(with[14] << 8 | with[15], bare + 5 * (3 + 255) - 16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ipv4),
        cmocka_unit_test(test_ipv6),
        cmocka_unit_test(test_ipv4_inside_ipv6),
        cmocka_unit_test(test_no_addresses),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_texts_that_are_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
