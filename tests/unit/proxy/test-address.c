/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the proxy may listen and connect: every form, and every one that is refused. */
#include "proxy/address.h"

#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void assert_text(const ProxyAddress *address, const char *expected) {
    char text[PROXY_ADDRESS_TEXT];
    proxy_address_text(address, text);
    assert_string_equal(text, expected);
}

/* A port of this machine alone, and only where the admin said so. */
static void test_loopback(void **state) {
    static const char *const loopback[] = { "127.0.0.1:80", "127.1.2.3:0", "127.255.255.255:1", "[::1]:65535" };
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(loopback); i++) {
        assert_int_equal(proxy_address_parse_plain(loopback[i], true, &address), EXIT_OK);
        assert_true(proxy_address_is_loopback(&address));
        assert_false(proxy_address_is_path(&address));
        assert_text(&address, loopback[i]);
        assert_int_equal(proxy_address_parse_plain(loopback[i], false, &address), EXIT_USAGE);
    }
}

/* Without TLS never, with TLS always. */
static void test_elsewhere(void **state) {
    static const char *const elsewhere[] = {
        "0.0.0.0:80", "126.255.255.255:80",    "128.0.0.1:80", "192.0.2.1:80",
        "[::]:80",    "[::ffff:127.0.0.1]:80", "[fe80::1]:80", "[::2]:80",
    };
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(elsewhere); i++) {
        assert_int_equal(proxy_address_parse_plain(elsewhere[i], true, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_plain(elsewhere[i], false, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_tls(elsewhere[i], &address), EXIT_OK);
        assert_false(proxy_address_is_loopback(&address));
        assert_text(&address, elsewhere[i]);
    }
}

/* A name may mean several addresses, or another one tomorrow. */
static void test_names_are_no_addresses(void **state) {
    static const char *const names[] = {
        "localhost:80",  "127.1:80",      "0x7f000001:80", "2130706433:80", "[127.0.0.1]:x", "[::1%lo]:80",
        "127.0.0.1 :80", " 127.0.0.1:80", "[::1]x:80",     "::1:80",        "127.0.0.1",     ":80",
    };
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        assert_int_equal(proxy_address_parse_plain(names[i], true, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_tls(names[i], &address), EXIT_USAGE);
    }
}

static void test_ports(void **state) {
    static const char *const wrong[] = {
        "65536", "-1", "+1", " 1", "1 ", "1x", "0x50", "http", "99999999999999999999"
    };
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        char text[64];
        snprintf(text, sizeof text, "127.0.0.1:%s", wrong[i]);
        assert_int_equal(proxy_address_parse_plain(text, true, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_tls(text, &address), EXIT_USAGE);
    }
    assert_int_equal(proxy_address_parse_tls("127.0.0.1:0", &address), EXIT_OK);
    assert_int_equal(proxy_address_parse_tls("127.0.0.1:65535", &address), EXIT_OK);
    assert_int_equal(ntohs(address.ipv4.sin_port), 65535);
}

static void test_paths(void **state) {
    char longest[109] = "/", too_long[110] = "/";
    ProxyAddress address;

    assert_int_equal(proxy_address_parse_plain("/run/x", false, &address), EXIT_OK);
    assert_true(proxy_address_is_path(&address));
    assert_false(proxy_address_is_loopback(&address));
    assert_text(&address, "/run/x");
    assert_int_equal(proxy_address_parse_plain("/run/127.0.0.1:80", true, &address), EXIT_OK);
    assert_true(proxy_address_is_path(&address));
    memset(longest + 1, 'a', 106);
    assert_int_equal(proxy_address_parse_plain(longest, false, &address), EXIT_OK);
    assert_text(&address, longest);
    memset(too_long + 1, 'a', 107);
    assert_int_equal(proxy_address_parse_plain(too_long, false, &address), EXIT_USAGE);
}

static void test_paths_that_are_refused(void **state) {
    static const char *const wrong[] = { "", "x", "./x", "../x", "~/x", "@abstract", "/", "/run/", "unix" };
    ProxyAddress address;

    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        assert_int_equal(proxy_address_parse_plain(wrong[i], false, &address), EXIT_USAGE);
        assert_int_equal(proxy_address_parse_plain(wrong[i], true, &address), EXIT_USAGE);
    }
    /* Nobody would know whom it lets in. */
    assert_int_equal(proxy_address_parse_tls("/run/x", &address), EXIT_USAGE);
}

/* What was there stays where something is refused. */
static void test_nothing_changes_on_refusal(void **state) {
    ProxyAddress address;

    assert_int_equal(proxy_address_parse_plain("/run/x", false, &address), EXIT_OK);
    assert_int_equal(proxy_address_parse_plain("192.0.2.1:1", true, &address), EXIT_USAGE);
    assert_int_equal(proxy_address_parse_plain("127.0.0.1:1", false, &address), EXIT_USAGE);
    assert_int_equal(proxy_address_parse_plain("/run/", false, &address), EXIT_USAGE);
    assert_int_equal(proxy_address_parse_tls("localhost:1", &address), EXIT_USAGE);
    assert_text(&address, "/run/x");
}

static void test_other_families(void **state) {
    ProxyAddress address = { .size = sizeof address.any };

    address.any.sa_family = AF_UNSPEC;
    assert_text(&address, "an unnamed socket");
    assert_false(proxy_address_is_path(&address) || proxy_address_is_loopback(&address));
    /* One end of a pair: the family alone. */
    address = (ProxyAddress) { .path = { .sun_family = AF_UNIX }, .size = offsetof(struct sockaddr_un, sun_path) };
    assert_text(&address, "an unnamed socket");
}

static void test_who_is_there(void **state) {
    char text[PROXY_ADDRESS_TEXT], expected[PROXY_ADDRESS_TEXT];
    struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof any;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    proxy_address_of_peer(fds[0], text);
    snprintf(expected, sizeof expected, "uid %u (process %d)", getuid(), getpid());
    assert_string_equal(text, expected);
    close(fds[0]);
    close(fds[1]);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *) &any, sizeof any), 0);
    assert_int_equal(listen(listener, 1), 0);
    proxy_address_of_peer(listener, text); /* nobody is */
    assert_string_equal(text, "somebody");
    assert_int_equal(getsockname(listener, (struct sockaddr *) &any, &size), 0);
    assert_int_equal(connect(client, (struct sockaddr *) &any, sizeof any), 0);
    proxy_address_of_peer(client, text);
    snprintf(expected, sizeof expected, "127.0.0.1:%u", ntohs(any.sin_port));
    assert_string_equal(text, expected);
    close(listener);
    close(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loopback),
        cmocka_unit_test(test_elsewhere),
        cmocka_unit_test(test_names_are_no_addresses),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_paths_that_are_refused),
        cmocka_unit_test(test_nothing_changes_on_refusal),
        cmocka_unit_test(test_other_families),
        cmocka_unit_test(test_who_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
