/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Law 1, over every combination of when a certificate begins and ends, what it may be used for, and what there is. */
#include "rules/successor.h"

#include "rules/clock.h"

#include "tests/unit/common/test.h"

#define DAY    INT64_C(86400)
#define T      INT64_C(1700000000)
#define CLIENT SUCCESSOR_CLIENT
#define SERVER SUCCESSOR_SERVER

static const SuccessorLife present = { T - 60 * DAY, T + 30 * DAY, CLIENT | SERVER };

static SuccessorVerdict judge(const SuccessorLife *live, int64_t not_before, int64_t chain_end, unsigned usages,
                              unsigned lent) {
    const SuccessorFacts facts = {
        .now = T, .present = live, .candidate = { not_before, chain_end, usages }, .lent = lent
    };
    return successor_judge(&facts);
}

static void typical_ones(void **state) {
    static const struct {
        int64_t begins, ends; /* from now */
        unsigned usages, lent;
        SuccessorVerdict beside, alone; /* a live one; with none */
    } rows[] = {
        { 0, 90 * DAY, CLIENT | SERVER, CLIENT, SUCCESSOR_GOOD, SUCCESSOR_GOOD },
        { -DAY, 90 * DAY, CLIENT, CLIENT, SUCCESSOR_GOOD, SUCCESSOR_GOOD },
        { 0, 30 * DAY, CLIENT, 0, SUCCESSOR_GOOD, SUCCESSOR_GOOD }, /* a CA that clamps to its own end */
        { 0, 30 * DAY - 1, CLIENT, 0, SUCCESSOR_ENDS_EARLIER, SUCCESSOR_GOOD },
        { 0, 10, CLIENT, 0, SUCCESSOR_ENDS_EARLIER, SUCCESSOR_GOOD },
        { 0, 9, CLIENT, 0, SUCCESSOR_ENDS_TOO_SOON, SUCCESSOR_ENDS_TOO_SOON },
        { -90 * DAY, -DAY, CLIENT, 0, SUCCESSOR_ENDS_TOO_SOON, SUCCESSOR_ENDS_TOO_SOON },
        { 1, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_GOOD },
        { CLOCK_SKEW, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_GOOD },
        { CLOCK_SKEW + 1, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_WAITS },
        { 7 * DAY, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_WAITS },
        { 7 * DAY + 1, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_BEGINS_TOO_LATE },
        { 30 * DAY, 90 * DAY, CLIENT, 0, SUCCESSOR_WAITS, SUCCESSOR_BEGINS_TOO_LATE },
        { 30 * DAY + 1, 90 * DAY, CLIENT, 0, SUCCESSOR_BEGINS_TOO_LATE, SUCCESSOR_BEGINS_TOO_LATE },
        { 5 * DAY, 5 * DAY + 9, CLIENT, 0, SUCCESSOR_ENDS_TOO_SOON, SUCCESSOR_ENDS_TOO_SOON },
        { 0, 90 * DAY, CLIENT, CLIENT | SERVER, SUCCESSOR_LACKS_USAGE, SUCCESSOR_GOOD },
        { 0, 90 * DAY, CLIENT, SERVER, SUCCESSOR_LACKS_USAGE, SUCCESSOR_GOOD },
        { 0, 90 * DAY, 0, 0, SUCCESSOR_GOOD, SUCCESSOR_GOOD },
        { 1, 90 * DAY, CLIENT, SERVER, SUCCESSOR_LACKS_USAGE, SUCCESSOR_GOOD },
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        SuccessorVerdict beside = judge(&present, T + rows[i].begins, T + rows[i].ends, rows[i].usages, rows[i].lent),
                         alone = judge(NULL, T + rows[i].begins, T + rows[i].ends, rows[i].usages, rows[i].lent);
        if (beside != rows[i].beside || alone != rows[i].alone)
            fail_msg("row %zu: %d and %d", i, beside, alone);
    }
}

/* Each refusal has a reason, and each reason refuses. */
static void only_for_a_reason(void **state) {
    static const int64_t begins[] = { -900 * DAY, -1, 0, 1, 299, 301, DAY, 8 * DAY, 31 * DAY },
                         lasts[] = { -1, 0, 9, 10, 60, DAY, 29 * DAY, 30 * DAY, 90 * DAY, 3650 * DAY };

    for (size_t b = 0; b < sizeof(begins) / sizeof(begins[0]); b++)
        for (size_t l = 0; l < sizeof(lasts) / sizeof(lasts[0]); l++)
            for (unsigned bits = 0; bits < 512; bits++) {
                SuccessorLife live = present;
                live.usages = bits & 3;
                const SuccessorFacts facts = {
                    .now = T,
                    .clock_is_behind = bits & 128,
                    .is_the_present_one = bits & 256,
                    .present = bits & 64 ? &live : NULL,
                    .candidate = { T + begins[b], T + lasts[l], bits >> 2 & 3 },
                    .lent = bits >> 4 & 3,
                };
                int64_t from = begins[b] > 0 ? begins[b] : 0;
                bool begun = facts.clock_is_behind || begins[b] <= (facts.present ? 0 : CLOCK_SKEW);
                bool too_late = !begun && begins[b] > (facts.present ? 30 * DAY : 7 * DAY);
                bool lacks = facts.present && (live.usages & facts.lent & ~facts.candidate.usages);
                SuccessorVerdict verdict = successor_judge(&facts);
                assert_int_equal(successor_is_refused(verdict),
                                 facts.is_the_present_one || lasts[l] - from < SUCCESSOR_LEFT_MIN || lacks || too_late);
                if (successor_is_refused(verdict))
                    continue;
                assert_int_equal(verdict == SUCCESSOR_WAITS, !begun);
                if (begun)
                    assert_int_equal(verdict == SUCCESSOR_ENDS_EARLIER, facts.present && lasts[l] < 30 * DAY);
            }
}

static void the_same_one_comes_first(void **state) {
    const SuccessorFacts facts = { .now = T, .is_the_present_one = true, .present = &present, .candidate = present };

    assert_int_equal(successor_judge(&facts), SUCCESSOR_IS_THE_SAME);
    assert_true(successor_is_refused(SUCCESSOR_IS_THE_SAME) && successor_is_refused(SUCCESSOR_LACKS_USAGE));
    assert_false(successor_is_refused(SUCCESSOR_GOOD) || successor_is_refused(SUCCESSOR_WAITS));
}

static void hostile_dates(void **state) {
    static const int64_t dates[] = { INT64_MIN, -1, 0, T, INT64_MAX };

    for (size_t i = 0; i < 125; i++) {
        const SuccessorLife live = { dates[i % 5], dates[i / 5 % 5], 0 };
        (void) judge(&live, dates[i / 25], dates[i % 5], 0, 0);
        (void) judge(NULL, dates[i / 25], dates[i % 5], 0, 0);
    }
    assert_int_equal(judge(NULL, INT64_MAX, INT64_MIN, 0, 0), SUCCESSOR_ENDS_TOO_SOON);
    assert_int_equal(judge(NULL, INT64_MIN, INT64_MAX, 0, 0), SUCCESSOR_GOOD);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typical_ones),
        cmocka_unit_test(only_for_a_reason),
        cmocka_unit_test(the_same_one_comes_first),
        cmocka_unit_test(hostile_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
