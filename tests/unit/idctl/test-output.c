/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times as idctl shows them, and exit statuses by error name. */
#include "idctl/bus.h"
#include "idctl/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_texts(void **state) {
    static const struct {
        uint64_t seconds;
        const char *text;
    } durations[] = { { 0, "0 seconds" },      { 1, "1 second" },   { 119, "119 seconds" },  { 120, "2 minutes" },
                      { 7199, "119 minutes" }, { 7200, "2 hours" }, { 2 * 86400, "2 days" }, { 63115200, "2 years" } };
    char duration[32];

    for (size_t i = 0; i < ARRAY_LENGTH(durations); i++)
        assert_string_equal(duration_to_text(durations[i].seconds * 1000000U, duration), durations[i].text);
    _cleanup_free_ char *never = time_to_text(0, 5), *far = time_to_text(UINT64_MAX, 1);
    assert_string_equal(never, "-");
    assert_non_null(far);
    _cleanup_json_ json_t *none = time_to_json(0), *some = time_to_json(UINT64_C(1700000000000000));
    assert_true(json_is_null(none));
    assert_string_equal(json_string_value(some), "2023-11-14T22:13:20Z");
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
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_exit_codes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
