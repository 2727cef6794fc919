/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Allowances of the loop's time, by an invented clock: whoever asks without end takes no more than his part, and
 * whoever asks now and then is never refused. */
#include "bus/allowances.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND 1000000U

static Allowances *allowances;

static int setup(void **state) {
    return allowances_new(&allowances);
}

static int teardown(void **state) {
    allowances = allowances_free(allowances);
    return 0;
}

/* A call after another, each of `cost`, from `from` to `until`, refused ones at `refusal` each: the time that they
 * took. */
static uint64_t flood(const uid_t *parties, unsigned count, uint64_t cost, uint64_t from, uint64_t until) {
    uint64_t taken = 0;

    for (uint64_t now = from, i = 0; now < until; i++)
        if (allowances_admit(allowances, parties[i % count], now)) {
            now += cost;
            taken += cost;
            allowances_charge(allowances, parties[i % count], cost, now);
        } else
            now += 20;
    return taken;
}

static void test_half_of_the_time(void **state) {
    const uid_t parties[] = { 1000, 1001, 1002 };

    for (unsigned count = 1; count <= 3; count++) {
        assert_int_equal(teardown(state) + setup(state), 0);
        uint64_t taken = flood(parties, count, 1000, SECOND, 21U * SECOND);
        uint64_t half = 10U * SECOND, bursts = count * ALLOWANCE_BURST;
        assert_in_range(taken, half * 9 / 10, half + bursts + count * 1000U);
    }
}

/* Somebody who calls once a second beside floods is never refused, whether or not he was there before. */
static void test_others_get_theirs(void **state) {
    const uid_t parties[] = { 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007 };
    uint64_t now = SECOND;

    for (unsigned i = 0; i < 30; i++) {
        (void) flood(parties, 8, 2000, now, now + SECOND);
        now += SECOND;
        assert_true(allowances_admit(allowances, 2000, now));
        allowances_charge(allowances, 2000, 5000, now + 5000);
        assert_true(allowances_admit(allowances, 3000 + i, now));
    }
}

static void test_burst_and_debt(void **state) {
    uint64_t now = 5U * SECOND;

    assert_true(allowances_admit(allowances, 1000, now));
    allowances_charge(allowances, 1000, ALLOWANCE_BURST - 1U, now);
    assert_true(allowances_admit(allowances, 1000, now));
    allowances_charge(allowances, 1000, 10U * SECOND, now); /* a call that took long is not held against him for ever */
    assert_false(allowances_admit(allowances, 1000, now));
    assert_true(allowances_admit(allowances, 1001, now));
    assert_false(allowances_admit(allowances, 1000, now + ALLOWANCE_BURST));
    assert_true(allowances_admit(allowances, 1000, now + 8U * ALLOWANCE_BURST));
    /* After a long pause there is one burst again, and no more. */
    assert_true(allowances_admit(allowances, 1000, now + 3600U * (uint64_t) SECOND));
    allowances_charge(allowances, 1000, ALLOWANCE_BURST, now + 3600U * (uint64_t) SECOND);
    assert_false(allowances_admit(allowances, 1000, now + 3600U * (uint64_t) SECOND));
}

/* Fractions add up: who asks every microsecond does not starve for it. */
static void test_small_steps(void **state) {
    uint64_t now = SECOND;

    allowances_charge(allowances, 1000, 2U * ALLOWANCE_BURST, now);
    for (uint64_t end = now + 3U * ALLOWANCE_BURST; now < end; now++)
        (void) allowances_admit(allowances, 1000, now);
    assert_true(allowances_admit(allowances, 1000, now));
}

/* More users than places: those who owe keep theirs, so that nobody is new again by having others come. */
static void test_many_users(void **state) {
    uint64_t now = SECOND;

    for (uid_t uid = 1; uid <= ALLOWANCE_PLACES; uid++)
        allowances_charge(allowances, uid, 2U * ALLOWANCE_BURST, now);
    for (uid_t uid = 1000; uid < 3000; uid++)
        allowances_charge(allowances, uid, ALLOWANCE_BURST / 100U, now);
    for (uid_t uid = 1; uid <= ALLOWANCE_PLACES; uid++)
        assert_false(allowances_admit(allowances, uid, now));
    assert_false(allowances_admit(allowances, 4000, now)); /* what all who have no place share is used up */
    now += 600U * (uint64_t) SECOND;
    assert_true(allowances_admit(allowances, 4000, now));
    for (uid_t uid = 1; uid <= ALLOWANCE_PLACES; uid++)
        assert_true(allowances_admit(allowances, uid, now));
    assert_null(allowances_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_half_of_the_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_others_get_theirs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_burst_and_debt, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_users, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
