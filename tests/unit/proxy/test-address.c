/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the proxy may listen and connect: every form, and every one that is refused. */
#include "proxy/address.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
