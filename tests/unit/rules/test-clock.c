/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The clock's rules: nobody's word moves time past the time in use, unless the clock was found to be behind. */
#include "rules/clock.h"

#include "tests/unit/common/test.h"

#define SECOND UINT64_C(1000000)
#define DAY    INT64_C(86400)
#define T      INT64_C(1700000000)

static void the_floor_grows(void **state) {
    const ClockFloor floor = { .at = T, .since = 50 * SECOND };

    assert_int_equal(clock_floor_now(&floor, 50 * SECOND), T);
    assert_int_equal(clock_floor_now(&floor, 51 * SECOND - 1), T);
    assert_int_equal(clock_floor_now(&floor, 51 * SECOND), T + 1);
    assert_int_equal(clock_floor_now(&floor, 150 * SECOND), T + 100);
    /* of another boot */
    assert_int_equal(clock_floor_now(&floor, 0), T);
    assert_int_equal(clock_floor_now(&floor, 49 * SECOND), T);
    assert_true(clock_floor_now(&(ClockFloor) { INT64_MAX, 0 }, UINT64_MAX) == INT64_MAX);
}

static void the_time_in_use(void **state) {
    const ClockFloor floor = { .at = T, .since = 0 };

    assert_int_equal(clock_in_use(T + 5, &floor, 0), T + 5);
    assert_int_equal(clock_in_use(0, &floor, 0), T);
    assert_int_equal(clock_in_use(0, &floor, 100 * SECOND), T + 100);
    assert_int_equal(clock_in_use(INT64_MIN, &floor, 0), T);
}

static void when_it_is_behind(void **state) {
    const ClockFloor floor = { .at = T, .since = 0 };

    assert_false(clock_is_behind(T, &floor, 0));
    assert_false(clock_is_behind(T - CLOCK_SLACK, &floor, 0));
    assert_true(clock_is_behind(T - CLOCK_SLACK - 1, &floor, 0));
    assert_true(clock_is_behind(T - CLOCK_SLACK, &floor, SECOND));
    assert_false(clock_is_behind(T + DAY, &floor, 0));
    assert_false(clock_is_behind(INT64_MAX, &floor, 0));
}

/* Realtime, floor and what is learned, each before, at and after the others. */
static void learning(void **state) {
    static const int64_t around[] = { -400 * DAY, -DAY, -61, -1, 0, 1, 61, DAY, 400 * DAY };
    enum { N = sizeof(around) / sizeof(around[0]) };
    const uint64_t boot = 70 * SECOND;
    unsigned learned = 0;

    for (size_t i = 0; i < N * N * 2; i++)
        for (size_t j = 0; j < N; j++) {
            const ClockFloor floor = { .at = T, .since = 60 * SECOND };
            const ClockNow now = { .realtime = T + around[i % N], .boot = boot, .is_behind = i / N % 2 };
            int64_t in_use = clock_in_use(now.realtime, &floor, boot), instant = T + around[j];
            ClockFloor ret = { -1, 1 };
            bool is_higher = clock_learn(&floor, &now, instant, &ret);
            int64_t expected = now.is_behind || instant < in_use ? instant : in_use;
            assert_int_equal(is_higher, expected > T + 10);
            assert_int_equal(ret.at, is_higher ? expected : -1);
            assert_int_equal(ret.since, is_higher ? boot : 1);
            /* No word moves the time in use, while the clock is right. */
            if (is_higher && !now.is_behind)
                assert_int_equal(clock_in_use(now.realtime, &ret, boot), in_use);
            /* And what was learned makes no clock look wrong that was not. */
            if (is_higher && !now.is_behind && !clock_is_behind(now.realtime, &floor, boot))
                assert_false(clock_is_behind(now.realtime, &ret, boot));
            learned += is_higher;
        }
    assert_true(learned > 100);
}

static void nobody_has_seen_the_end_of_time(void **state) {
    const ClockFloor floor = { .at = T, .since = 0 };
    const ClockNow now = { .realtime = 0, .boot = 0, .is_behind = true };
    ClockFloor ret = { 1, 1 };

    assert_false(clock_learn(&floor, &now, CLOCK_MAX, &ret));
    assert_false(clock_learn(&floor, &now, INT64_MAX, &ret));
    assert_int_equal(ret.at, 1);
    assert_true(clock_learn(&floor, &now, CLOCK_MAX - 1, &ret));
    assert_true(clock_floor_bounded(CLOCK_MAX, T, T + DAY) == T);
}

static void a_damaged_floor_expires_nothing(void **state) {
    assert_int_equal(clock_floor_bounded(T + 5, T, T + DAY), T + 5);
    assert_int_equal(clock_floor_bounded(T - 5, T, T + DAY), T);
    assert_int_equal(clock_floor_bounded(T + 2 * DAY, T, T + DAY), T + DAY);
    assert_int_equal(clock_floor_bounded(T + 2 * DAY, T, 0), T + 2 * DAY);
    assert_int_equal(clock_floor_bounded(T + 2 * DAY, T, T - DAY), T); /* never before the build */
    assert_int_equal(clock_floor_bounded(INT64_MIN, T, 0), T);
}

static void not_yet_valid(void **state) {
    assert_int_equal(clock_to_verify(T, false, T - DAY), T);
    assert_int_equal(clock_to_verify(T, false, T), T);
    assert_int_equal(clock_to_verify(T, false, T + CLOCK_SKEW), T + CLOCK_SKEW);
    assert_int_equal(clock_to_verify(T, false, T + CLOCK_SKEW + 1), T);
    assert_int_equal(clock_to_verify(T, true, T + 400 * DAY), T + 400 * DAY);
    assert_int_equal(clock_to_verify(T, true, T - 400 * DAY), T);
    assert_int_equal(clock_to_judge(T, false, T + 1), T);
    assert_int_equal(clock_to_judge(T, true, T + 1), T + 1);
    assert_int_equal(clock_to_judge(T, true, T - 1), T);
    assert_true(clock_to_verify(INT64_MAX, false, INT64_MAX) == INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_floor_grows),
        cmocka_unit_test(the_time_in_use),
        cmocka_unit_test(when_it_is_behind),
        cmocka_unit_test(learning),
        cmocka_unit_test(nobody_has_seen_the_end_of_time),
        cmocka_unit_test(a_damaged_floor_expires_nothing),
        cmocka_unit_test(not_yet_valid),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
