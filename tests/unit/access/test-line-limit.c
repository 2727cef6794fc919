/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The lines of a user, by a clock that the test turns. */
#include "access/access.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define SECOND 1000000U

/* How many of `count` lines are let through. */
static unsigned let_through(LineLimit *limit, LineKind kind, uid_t uid, uint64_t now, unsigned count) {
    unsigned admitted = 0;

    for (unsigned i = 0; i < count; i++)
        admitted += line_limit_admits(limit, kind, uid, now);
    return admitted;
}

static void assert_nothing_due(LineLimit *limit, uint64_t now) {
    LineSummary summary;

    assert_false(line_limit_take(limit, now, &summary));
}

static void test_burst_and_summary(void **state) {
    _cleanup_line_limit_ LineLimit *limit = NULL;
    const uint64_t begun = 5 * SECOND, over = begun + LINE_LIMIT_WINDOW;
    LineSummary summary;

    assert_int_equal(line_limit_new(&limit), 0);
    assert_int_equal(let_through(limit, LINE_REFUSED, 1000, begun, LINE_LIMIT_BURST), LINE_LIMIT_BURST);
    assert_int_equal(line_limit_next(limit), UINT64_MAX); /* all was said: no timer */
    assert_int_equal(let_through(limit, LINE_REFUSED, 1000, begun + 1, 1), 0);
    assert_int_equal(let_through(limit, LINE_REFUSED, 1000, over - 1, 999), 0);
    assert_int_equal(line_limit_next(limit), over);
    assert_nothing_due(limit, over - 1);
    assert_true(line_limit_take(limit, over, &summary));
    assert_int_equal(summary.kind, LINE_REFUSED);
    assert_int_equal(summary.uid, 1000);
    assert_int_equal(summary.count, 1000);
    assert_int_equal(summary.begun, begun);
    assert_false(summary.others);
    assert_nothing_due(limit, over);
    assert_int_equal(line_limit_next(limit), UINT64_MAX);
    /* A new window. */
    assert_int_equal(let_through(limit, LINE_REFUSED, 1000, over, LINE_LIMIT_BURST + 5), LINE_LIMIT_BURST);
    assert_int_equal(line_limit_next(limit), over + LINE_LIMIT_WINDOW);
}

/* The timer is for the window that is over first, whoever came first. */
static void test_first_of_several(void **state) {
    static const uint64_t begun[] = { 7 * SECOND, 5 * SECOND, 9 * SECOND };
    _cleanup_line_limit_ LineLimit *limit = NULL;

    assert_int_equal(line_limit_new(&limit), 0);
    for (uid_t i = 0; i < 3; i++)
        assert_int_equal(let_through(limit, LINE_REFUSED, 1000 + i, begun[i], LINE_LIMIT_BURST + 1), LINE_LIMIT_BURST);
    assert_int_equal(line_limit_next(limit), 5 * SECOND + LINE_LIMIT_WINDOW);
    assert_null(line_limit_free(NULL));
}

/* What is seldom is said each time, for ever. */
static void test_seldom(void **state) {
    _cleanup_line_limit_ LineLimit *limit = NULL;

    assert_int_equal(line_limit_new(&limit), 0);
    for (uint64_t i = 0; i < 1000; i++)
        assert_int_equal(let_through(limit, LINE_REFUSED, 0, i * SECOND, 1), 1);
    assert_nothing_due(limit, UINT64_MAX);
}

/* One's flood takes nothing from another, nor refusals from what is granted. */
static void test_users_and_kinds_are_apart(void **state) {
    _cleanup_line_limit_ LineLimit *limit = NULL;
    unsigned seen = 0;
    LineSummary summary;

    assert_int_equal(line_limit_new(&limit), 0);
    assert_int_equal(let_through(limit, LINE_REFUSED, 1, 0, 100000), LINE_LIMIT_BURST);
    assert_int_equal(let_through(limit, LINE_REFUSED, 2, 0, 3), 3);
    assert_int_equal(let_through(limit, LINE_GRANTED, 1, 0, 40), LINE_LIMIT_BURST);
    assert_int_equal(let_through(limit, LINE_REFUSED, (uid_t) -1, 0, 1), 1); /* unknown to the bus */
    while (line_limit_take(limit, LINE_LIMIT_WINDOW, &summary)) {
        assert_int_equal(summary.uid, 1);
        assert_int_equal(summary.count,
                         summary.kind == LINE_REFUSED ? 100000 - LINE_LIMIT_BURST : 40 - LINE_LIMIT_BURST);
        seen++;
    }
    assert_int_equal(seen, 2);
}

/* More users than places: the rest is bounded together, by kind, and nobody with a place loses his count. */
static void test_more_users_than_places(void **state) {
    _cleanup_line_limit_ LineLimit *limit = NULL;
    unsigned lines = 0, counted = 0, others = 0;
    LineSummary summary;

    assert_int_equal(line_limit_new(&limit), 0);
    for (uid_t uid = 1; uid <= 1000; uid++)
        lines += let_through(limit, LINE_REFUSED, uid, uid, 100);
    assert_int_equal(lines, (LINE_LIMIT_WINDOWS + 1) * LINE_LIMIT_BURST);
    assert_int_equal(let_through(limit, LINE_GRANTED, 1001, 1000, 1), 1);
    while (line_limit_take(limit, LINE_LIMIT_WINDOW + 1000, &summary)) {
        counted += summary.count;
        others += summary.others;
        assert_true(summary.others || summary.uid <= LINE_LIMIT_WINDOWS);
    }
    assert_int_equal(lines + counted, 100000);
    assert_int_equal(others, 1);
    /* Their windows are over: the places are free again. */
    for (uid_t uid = 2000; uid < 2000 + LINE_LIMIT_WINDOWS; uid++)
        assert_int_equal(let_through(limit, LINE_REFUSED, uid, 2 * LINE_LIMIT_WINDOW, 100), LINE_LIMIT_BURST);
}

/* Against plain counting: every line is said or told in a summary, once. */
static void test_nothing_is_lost(void **state) {
    _cleanup_line_limit_ LineLimit *limit = NULL;
    uint64_t random = 88172645463325252ULL, now = 0, lines = 0, told = 0, asked = 0;
    LineSummary summary;

    assert_int_equal(line_limit_new(&limit), 0);
    for (; asked < 300000; asked++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        now += (random >> 20) % 20000;
        while (line_limit_take(limit, now, &summary)) {
            assert_true(now - summary.begun >= LINE_LIMIT_WINDOW);
            told += summary.count;
        }
        lines +=
            line_limit_admits(limit, random >> 60 > 3 ? LINE_REFUSED : LINE_GRANTED, (uid_t) ((random >> 8) % 90), now);
    }
    while (line_limit_take(limit, UINT64_MAX, &summary))
        told += summary.count;
    assert_int_equal(lines + told, asked);
    assert_true(told > asked / 4);
    assert_int_equal(line_limit_next(limit), UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_burst_and_summary),
        cmocka_unit_test(test_first_of_several),
        cmocka_unit_test(test_seldom),
        cmocka_unit_test(test_users_and_kinds_are_apart),
        cmocka_unit_test(test_more_users_than_places),
        cmocka_unit_test(test_nothing_is_lost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
