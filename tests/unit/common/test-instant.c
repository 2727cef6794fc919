/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of instants: at once, every second there is, never; and that no second is mistaken for either. */
#include "common/instant.h"

#include "tests/unit/common/test.h"

static Instant all[] = {
    { INSTANT_AT_ONCE, 0 }, { INSTANT_AT, INT64_MIN },  { INSTANT_AT, -1 },        { INSTANT_AT, 0 },
    { INSTANT_AT, 1 },      { INSTANT_AT, 1700000000 }, { INSTANT_AT, INT64_MAX }, { INSTANT_NEVER, 0 },
};
enum { COUNT = sizeof(all) / sizeof(all[0]) };

static bool is_same(Instant a, Instant b) {
    return a.kind == b.kind && a.seconds == b.seconds;
}

static void they_are_ordered(void **state) {
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < COUNT; j++) {
            assert_int_equal(instant_is_before(all[i], all[j]), i < j);
            assert_true(is_same(instant_earlier(all[i], all[j]), all[i < j ? i : j]));
            assert_true(is_same(instant_later(all[i], all[j]), all[i > j ? i : j]));
        }
}

static void when_they_are_due(void **state) {
    for (size_t i = 0; i < COUNT; i++) {
        int64_t at = all[i].kind == INSTANT_AT ? all[i].seconds : 0;
        assert_int_equal(instant_is_due(all[i], at), all[i].kind != INSTANT_NEVER);
        if (all[i].kind == INSTANT_AT && at > INT64_MIN)
            assert_false(instant_is_due(all[i], at - 1));
        assert_int_equal(instant_is_due(all[i], INT64_MAX), all[i].kind != INSTANT_NEVER);
    }
    assert_false(instant_is_due(instant_never(), INT64_MAX));
    assert_true(instant_is_due(instant_at_once(), INT64_MIN));
}

static void makers_and_files(void **state) {
    assert_int_equal((Instant) { 0 }.kind, INSTANT_NEVER); /* a zeroed object says never */
    assert_int_equal(instant_never().kind, INSTANT_NEVER);
    assert_int_equal(instant_at_once().kind, INSTANT_AT_ONCE);
    assert_true(is_same(instant_at(0), all[3]));
    assert_int_equal(instant_to_seconds(instant_never(), 5), 0);
    assert_int_equal(instant_to_seconds(instant_at_once(), 5), 5);
    assert_int_equal(instant_to_seconds(instant_at(7), 5), 7);
    assert_int_equal(instant_from_seconds(0).kind, INSTANT_NEVER);
    assert_true(is_same(instant_from_seconds(1), instant_at(1)));
    assert_true(is_same(instant_from_seconds(-1), instant_at(-1)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_ordered),
        cmocka_unit_test(when_they_are_due),
        cmocka_unit_test(makers_and_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
