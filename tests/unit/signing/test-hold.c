/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* signing/hold: which generations a handle still holds, step by step in made-up time. */
#include "signing/hold.h"

#include "tests/unit/common/test.h"

#include <stdlib.h>

#define GRACE 60

static uint32_t oldest(GenerationHold *hold, uint64_t now, uint64_t expected_next) {
    uint64_t next;
    uint32_t result = generation_hold_settle(hold, now, GRACE, &next);
    assert_true(next == expected_next);
    return result;
}

static void shown(void **state) {
    GenerationHold hold = { 0 };

    assert_int_equal(oldest(&hold, 0, UINT64_MAX), 0);
    generation_hold_shown(&hold, 0); /* opened before there was a certificate */
    assert_int_equal(oldest(&hold, 0, UINT64_MAX), 0);
    generation_hold_shown(&hold, 3);
    assert_int_equal(oldest(&hold, 0, UINT64_MAX), 3);
    generation_hold_shown(&hold, 4); /* being shown a newer one moves nothing */
    assert_int_equal(oldest(&hold, 1000000, UINT64_MAX), 3);
}

static void moves_on_after_the_grace_time(void **state) {
    GenerationHold hold = { 0 };

    generation_hold_shown(&hold, 1);
    assert_false(generation_hold_used(&hold, 1, 10));
    assert_true(generation_hold_used(&hold, 2, 100));
    assert_int_equal(oldest(&hold, 100, 160), 1);
    assert_int_equal(oldest(&hold, 159, 160), 1);
    assert_false(generation_hold_used(&hold, 2, 150)); /* the new one does not lengthen it */
    assert_int_equal(oldest(&hold, 160, UINT64_MAX), 2);
    assert_int_equal(oldest(&hold, 1000, UINT64_MAX), 2);
}

static void an_older_use_lengthens_it(void **state) {
    GenerationHold hold = { 0 };

    generation_hold_shown(&hold, 1);
    assert_true(generation_hold_used(&hold, 2, 100));
    assert_true(generation_hold_used(&hold, 1, 150)); /* a handshake that had begun before */
    assert_int_equal(oldest(&hold, 170, 210), 1);
    assert_true(generation_hold_used(&hold, 3, 200));
    assert_int_equal(oldest(&hold, 259, 260), 1);
    assert_true(generation_hold_used(&hold, 2, 230)); /* between the two */
    assert_int_equal(oldest(&hold, 289, 290), 1);
    assert_int_equal(oldest(&hold, 290, UINT64_MAX), 3);
}

static void comes_back(void **state) {
    GenerationHold hold = { 0 };

    assert_false(generation_hold_used(&hold, 5, 0)); /* used before it was shown */
    assert_int_equal(oldest(&hold, 0, UINT64_MAX), 5);
    assert_true(generation_hold_used(&hold, 4, 100));
    assert_int_equal(oldest(&hold, 100, 160), 4);
    assert_int_equal(oldest(&hold, 160, UINT64_MAX), 5);
}

/* A pair of files was read before the handle was opened, and replaced in between. */
static void first_signs_with_an_older_one(void **state) {
    GenerationHold hold = { 0 };

    generation_hold_shown(&hold, 5);
    (void) generation_hold_used(&hold, 4, 100);
    assert_int_equal(oldest(&hold, 100000, UINT64_MAX), 4); /* it holds that, without end */
    assert_true(generation_hold_used(&hold, 5, 200000));
    assert_int_equal(oldest(&hold, 200000, 200060), 4);
    assert_int_equal(oldest(&hold, 200060, UINT64_MAX), 5);
}

static void no_overflow(void **state) {
    GenerationHold hold = { 0 };
    uint64_t next;

    generation_hold_shown(&hold, 1);
    generation_hold_used(&hold, 2, 100);
    assert_int_equal(generation_hold_settle(&hold, UINT64_MAX, UINT64_MAX, &next), 1);
    assert_true(next == UINT64_MAX);
    assert_int_equal(generation_hold_settle(&hold, 100, 0, &next), 2);
}

/* Against an oracle that keeps the whole history. */
static void random_histories(void **state) {
    srandom(1);
    for (unsigned round = 0; round < 2000; round++) {
        GenerationHold hold = { 0 };
        uint32_t low = 1, high = 1;
        uint64_t now = 0, last = 0;
        generation_hold_shown(&hold, 1);
        for (unsigned step = 0; step < 30; step++) {
            now += (uint64_t) random() % 40;
            if (low != high && now >= last + GRACE)
                low = high;
            uint64_t next;
            assert_int_equal(generation_hold_settle(&hold, now, GRACE, &next), low);
            uint32_t used = (uint32_t) random() % 4 + 1;
            generation_hold_used(&hold, used, now);
            if (used != high)
                last = now;
            low = used < low ? used : low;
            high = used > high ? used : high;
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shown),
        cmocka_unit_test(moves_on_after_the_grace_time),
        cmocka_unit_test(an_older_use_lengthens_it),
        cmocka_unit_test(comes_back),
        cmocka_unit_test(first_signs_with_an_older_one),
        cmocka_unit_test(no_overflow),
        cmocka_unit_test(random_histories),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
