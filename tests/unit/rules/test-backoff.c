/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patience at home: doubled, bounded, forgotten after a success, and not held up by a clock that was elsewhere. */
#include "rules/backoff.h"

#include "tests/unit/common/test.h"

static const BackoffPolicy policy = { .first = 5, .most = 300 };

static void doubles_up_to_a_bound(void **state) {
    static const int64_t waits[] = { 5, 10, 20, 40, 80, 160, 300, 300, 300 };
    Backoff backoff = { 0 };
    int64_t now = 1700000000;

    assert_true(instant_is_due(backoff_when(&backoff, &policy, now), now));
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        backoff_failed(&backoff, &policy, now);
        Instant when = backoff_when(&backoff, &policy, now);
        assert_int_equal(when.kind, INSTANT_AT);
        assert_int_equal(when.seconds, now + waits[i]);
        assert_int_equal(backoff.failures, i + 1);
        now = when.seconds;
    }
    backoff_succeeded(&backoff);
    assert_int_equal(backoff_when(&backoff, &policy, now).kind, INSTANT_AT_ONCE);
    backoff_failed(&backoff, &policy, now);
    assert_int_equal(backoff_when(&backoff, &policy, now).seconds, now + 5);
}

static void a_clock_set_back_does_not_hold_it_up(void **state) {
    Backoff backoff = { 0 };

    for (unsigned i = 0; i < 9; i++)
        backoff_failed(&backoff, &policy, 1700000000);
    assert_int_equal(backoff_when(&backoff, &policy, 1700000000).kind, INSTANT_AT);
    assert_int_equal(backoff_when(&backoff, &policy, 1699999999).kind, INSTANT_AT_ONCE);
    assert_int_equal(backoff_when(&backoff, &policy, 0).kind, INSTANT_AT_ONCE);
    assert_true(instant_is_due(backoff_when(&backoff, &policy, 1800000000), 1800000000));
}

static void sums_saturate(void **state) {
    const BackoffPolicy eternal = { .first = INT64_MAX, .most = INT64_MAX };
    Backoff backoff = { .failures = UINT32_MAX };

    backoff_failed(&backoff, &policy, INT64_MAX - 1);
    assert_int_equal(backoff.failures, UINT32_MAX);
    assert_true(backoff.next.seconds == INT64_MAX);
    backoff_failed(&backoff, &eternal, 10);
    assert_true(backoff.next.seconds == INT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_up_to_a_bound),
        cmocka_unit_test(a_clock_set_back_does_not_hold_it_up),
        cmocka_unit_test(sums_saturate),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
