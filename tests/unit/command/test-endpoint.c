/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HOST:PORT, in every form. */
#include "command/endpoint.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_endpoints(void **state) {
    static const struct {
        const char *text, *host, *port;
    } good[] = { { "a.example:443", "a.example", "443" },
                 { "[::1]:https", "::1", "https" },
                 { "127.0.0.1:1", "127.0.0.1", "1" } };
    static const char *const bad[] = { "",       "host",  ":443",     "host:", "::1:443", "[]:443",
                                       "[::1]:", "[::1]", "[::1:443", ":",     "::",      "a:b:1" };

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        _cleanup_endpoint_ Endpoint endpoint = { 0 };
        assert_int_equal(endpoint_parse(good[i].text, &endpoint), EXIT_OK);
        assert_string_equal(endpoint.host, good[i].host);
        assert_string_equal(endpoint.port, good[i].port);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        Endpoint endpoint = { 0 };
        assert_int_equal(endpoint_parse(bad[i], &endpoint), EXIT_USAGE);
        assert_null(endpoint.host);
    }
}

/* What was there stays, and clearing twice is once. */
static void test_ownership(void **state) {
    Endpoint endpoint = { 0 };

    assert_int_equal(endpoint_parse("a:1", &endpoint), EXIT_OK);
    char *host = endpoint.host;
    assert_int_equal(endpoint_parse("nothing", &endpoint), EXIT_USAGE);
    assert_ptr_equal(endpoint.host, host);
    endpoint_clear(&endpoint);
    assert_null(endpoint.host);
    assert_null(endpoint.port);
    endpoint_clear(&endpoint);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_endpoints),
        cmocka_unit_test(test_ownership),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
