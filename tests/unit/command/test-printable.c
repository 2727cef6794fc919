/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text from elsewhere is made harmless. */
#include "command/printable.h"
#include "common/macros.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static void test_control_characters(void **state) {
    _cleanup_free_ char *clean = printable_copy("a\x1b[0mb\nc\x7f\xc2\x9b"
                                                "dü");
    assert_string_equal(clean, "a?[0mb c???dü");
    _cleanup_free_ char *bytes = printable_copy("\x9b\xff \u202e\u2066\u2067x");
    assert_string_equal(bytes, "?? ?????????x");
}

static char *__attribute__((format(printf, 1, 2))) format(const char *text, ...) {
    va_list arguments;

    va_start(arguments, text);
    char *printable = printable_format(text, arguments);
    va_end(arguments);
    return printable;
}

static void test_formats(void **state) {
    _cleanup_free_ char *text = format("%s and %d", "a\nb", 7), *empty = format("%s", "");

    assert_string_equal(text, "a b and 7");
    assert_string_equal(empty, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
