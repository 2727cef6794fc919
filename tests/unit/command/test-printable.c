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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
