/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who counts as one, for limits: local users by their uid, IPv4 by address, IPv6 by /64. */
#include "proxy/source.h"

#include "lab.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

static ProxySource of(const char *text) {
    ProxyAddress address = { .size = sizeof address.ipv6 };

    if (inet_pton(AF_INET, text, &address.ipv4.sin_addr) == 1)
        address.ipv4.sin_family = AF_INET;
    else if (inet_pton(AF_INET6, text, &address.ipv6.sin6_addr) == 1)
        address.ipv6.sin6_family = AF_INET6;
    return proxy_source_of_address(&address);
}

static void test_addresses(void **state) {
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        { "192.0.2.1", "192.0.2.1", true },
        { "192.0.2.1", "192.0.2.2", false },
        { "::ffff:192.0.2.1", "192.0.2.1", true }, /* a listener at [::] sees IPv4 so */
        { "::ffff:192.0.2.1", "::ffff:192.0.2.2", false },
        { "2001:db8:1:2:3:4:5:6", "2001:db8:1:2::1", true }, /* all these addresses one machine may have */
        { "2001:db8:1:2::1", "2001:db8:1:3::1", false },
        { "2001:db8::1", "192.0.2.1", false },
        { "::1", "127.0.0.1", false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        ProxySource a = of(cases[i].a), b = of(cases[i].b);
        assert_int_equal(proxy_source_compare(&a, &b) == 0, cases[i].same);
        assert_int_equal(proxy_source_compare(&a, &b), -proxy_source_compare(&b, &a));
        assert_int_equal(proxy_source_compare(&a, &a), 0);
    }
}

/* The order is one: what is smaller than the smaller one is smaller. */
static void test_order(void **state) {
    const ProxySource all[] = { of("0.0.0.1"),      of("0.0.1.0"), of("255.0.0.0"),        of("2001:db8::"),
                                of("2001:db8:1::"), of("fe80::1"), proxy_source_of_uid(0), proxy_source_of_uid(1000) };

    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        for (size_t j = 0; j < ARRAY_LENGTH(all); j++)
            for (size_t k = 0; k < ARRAY_LENGTH(all); k++)
                if (proxy_source_compare(&all[i], &all[j]) < 0 && proxy_source_compare(&all[j], &all[k]) < 0)
                    assert_true(proxy_source_compare(&all[i], &all[k]) < 0);
}

static void test_users(void **state) {
    ProxySource root = proxy_source_of_uid(0), other = proxy_source_of_uid(1000), address = of("232.3.0.0");

    assert_int_equal(proxy_source_compare(&root, &root), 0);
    assert_int_not_equal(proxy_source_compare(&root, &other), 0);
    assert_int_not_equal(proxy_source_compare(&address, &other), 0); /* which has the same bytes */
}

static void assert_text(ProxySource source, const char *expected) {
    char text[PROXY_SOURCE_TEXT];

    proxy_source_text(&source, text);
    assert_string_equal(text, expected);
}

static void test_texts(void **state) {
    assert_text(of("192.0.2.1"), "192.0.2.1");
    assert_text(of("2001:db8:1:2:3::4"), "2001:db8:1:2::/64");
    assert_text(proxy_source_of_uid(1000), "uid 1000");
    assert_text((ProxySource) { .kind = PROXY_SOURCE_UNKNOWN }, "somebody");
}

static void test_peers(void **state) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    int pair[2];
    ProxySource expected = proxy_source_of_uid(getuid());

    lab_pair(pair);
    ProxySource source = proxy_source_of_peer(pair[0]);
    assert_int_equal(proxy_source_compare(&source, &expected), 0);
    close(pair[0]);
    close(pair[1]);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &size), 0);
    source = proxy_source_of_peer(client); /* not connected yet */
    assert_int_equal(source.kind, PROXY_SOURCE_UNKNOWN);
    assert_int_equal(connect(client, (struct sockaddr *) &address, size), 0);
    source = proxy_source_of_peer(client);
    expected = of("127.0.0.1");
    assert_int_equal(proxy_source_compare(&source, &expected), 0);
    close(client);
    close(listener);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses), cmocka_unit_test(test_order), cmocka_unit_test(test_users),
        cmocka_unit_test(test_texts),     cmocka_unit_test(test_peers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
