/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments by table, times and texts as idctl shows them, endpoints, and exit statuses by error name. */
#include "idctl/bus.h"
#include "idctl/command.h"
#include "idctl/network.h"
#include "idctl/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static const Option options[] = {
    { "json", 'j', NULL, "x" },
    { "out", 'o', "FILE", "x" },
    { "one", 0, "NAME", "x", true },
    { "two", 0, "NAME", "x", true },
    { NULL },
};
static const Verb verb = {
    .name = "try", .synopsis = "A [B]", .summary = "x", .options = options, .minimum = 1, .maximum = 2
};

/* The command borrows from argv, which therefore has to live as long. */
#define ARGV(...)           ((char *[]) { (char *) "try", __VA_ARGS__, NULL })
#define PARSE(command, ...) command_parse(&verb, (int) ARRAY_LENGTH(ARGV(__VA_ARGS__)) - 1, ARGV(__VA_ARGS__), command)

static void test_parse(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "a", (char *) "--out=f", (char *) "b"), _EXIT_CONTINUE);
    assert_int_equal(command.count, 2);
    assert_string_equal(command.arguments[0], "a");
    assert_string_equal(command.arguments[1], "b");
    assert_string_equal(command_value(&command, "out"), "f");
    assert_false(command_has(&command, "json"));
    assert_int_equal(PARSE(&command, (char *) "-jo", (char *) "f", (char *) "--", (char *) "-q"), _EXIT_CONTINUE);
    assert_true(command_has(&command, "json"));
    assert_false(command_has(&command, "quiet"));
    assert_string_equal(command.arguments[0], "-q");
}

static void test_parse_refusals(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "--frob", (char *) "a"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "a", (char *) "--out"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "--json=yes", (char *) "a"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "-j"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "a", (char *) "b", (char *) "c"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "--help"), EXIT_OK);
}

static void test_repeated(void **state) {
    size_t one = 0, two = 0;
    Command command;

    assert_int_equal(
        PARSE(&command, (char *) "--one=a", (char *) "x", (char *) "--two", (char *) "b", (char *) "--one=c"),
        _EXIT_CONTINUE);
    assert_string_equal(command_next(&command, "one", &one), "a");
    assert_string_equal(command_next(&command, "two", &two), "b");
    assert_string_equal(command_next(&command, "one", &one), "c");
    assert_null(command_next(&command, "one", &one));
    assert_null(command_next(&command, "two", &two));
    assert_string_equal(command_value(&command, "one"), "c");
}

static void test_texts(void **state) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } durations[] = { { 0, "0 seconds" },      { 1, "1 second" },   { 119, "119 seconds" },  { 120, "2 minutes" },
                      { 7199, "119 minutes" }, { 7200, "2 hours" }, { 2 * 86400, "2 days" }, { 63115200, "2 years" } };
    char duration[32];

    for (size_t i = 0; i < ARRAY_LENGTH(durations); i++)
        assert_string_equal(duration_to_text(durations[i].seconds * 1000000U, duration), durations[i].text);
    _cleanup_free_ char *clean = text_printable("a\x1b[0mb\nc\x7f\xc2\x9b"
                                                "dü");
    assert_string_equal(clean, "a?[0mb c???dü");
    _cleanup_free_ char *bytes = text_printable("\x9b\xff \u202e\u2066\u2067x");
    assert_string_equal(bytes, "?? ?????????x");
    _cleanup_free_ char *never = time_to_text(0, 5), *far = time_to_text(UINT64_MAX, 1);
    assert_string_equal(never, "-");
    assert_non_null(far);
    _cleanup_json_ json_t *none = time_to_json(0), *some = time_to_json(UINT64_C(1700000000000000));
    assert_true(json_is_null(none));
    assert_string_equal(json_string_value(some), "2023-11-14T22:13:20Z");
}

static void test_endpoints(void **state) {
    static const struct {
        const char *text, *host, *port;
    } good[] = { { "a.example:443", "a.example", "443" },
                 { "[::1]:https", "::1", "https" },
                 { "127.0.0.1:1", "127.0.0.1", "1" } };
    static const char *const bad[] = { "", "host", ":443", "host:", "::1:443", "[]:443", "[::1]", "[::1:443" };

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

static void test_exit_codes(void **state) {
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.AccessDenied"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.freedesktop.DBus.Error.AccessDenied"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.freedesktop.DBus.Error.InteractiveAuthorizationRequired"), EXIT_DENIED);
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.NoSuchIdentity"), EXIT_NOT_FOUND);
    assert_int_equal(bus_error_exit_code("org.identityd1.Error.Revoked"), EXIT_FAILED);
    assert_int_equal(bus_error_exit_code("com.example.Whatever"), EXIT_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_parse_refusals), cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_texts), cmocka_unit_test(test_endpoints),      cmocka_unit_test(test_exit_codes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
