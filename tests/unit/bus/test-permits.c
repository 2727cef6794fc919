/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is permitted is permitted once, to one, for a while. */
#include "bus/permits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define MINUTE (PERMIT_SECONDS * 1000000ULL)

static const PermitOf mine = { ":1.7", "install", "mqtt" };

static void test_once(void **state) {
    Permits permits = { 0 };

    assert_false(permits_take(&permits, mine, 1));
    permits_note(&permits, mine, 1);
    assert_true(permits_take(&permits, mine, 2));
    assert_false(permits_take(&permits, mine, 3));
    permits_note(&permits, mine, 1);
    permits_note(&permits, mine, 2); /* twice is once */
    assert_true(permits_take(&permits, mine, 3));
    assert_false(permits_take(&permits, mine, 4));
}

static void test_of_nobody_else(void **state) {
    static const PermitOf others[] = {
        { ":1.70", "install", "mqtt" }, { ":1.", "install", "mqtt" }, { ":1.7", "retire", "mqtt" },
        { ":1.7", "install", "mqt" },   { ":1.7", "install", NULL },
    };
    Permits permits = { 0 };

    permits_note(&permits, mine, 1);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        assert_false(permits_take(&permits, others[i], 2));
    assert_true(permits_take(&permits, mine, 2));
    permits_note(&permits, others[4], 1);
    assert_true(permits_take(&permits, (PermitOf) { ":1.7", "install", NULL }, 2));
}

static void test_ends(void **state) {
    Permits permits = { 0 };

    permits_note(&permits, mine, 5);
    assert_false(permits_take(&permits, mine, 5 + MINUTE));
    permits_note(&permits, mine, 5);
    assert_true(permits_take(&permits, mine, 4 + MINUTE));
}

static void test_oldest_goes(void **state) {
    Permits permits = { 0 };
    char names[PERMITS_MAX + 1U][24];

    for (unsigned i = 0; i <= PERMITS_MAX; i++) {
        (void) snprintf(names[i], sizeof names[i], ":1.%u", i);
        permits_note(&permits, (PermitOf) { names[i], "install", "mqtt" }, 10 + i);
    }
    for (unsigned i = 0; i <= PERMITS_MAX; i++)
        assert_int_equal(permits_take(&permits, (PermitOf) { names[i], "install", "mqtt" }, 40), i > 0);
}

static void test_too_long(void **state) {
    const PermitOf long_one = { ":1.345678901234567890123", "install", NULL };
    Permits permits = { 0 };

    permits_note(&permits, long_one, 1);
    assert_false(permits_take(&permits, long_one, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once),        cmocka_unit_test(test_of_nobody_else), cmocka_unit_test(test_ends),
        cmocka_unit_test(test_oldest_goes), cmocka_unit_test(test_too_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
