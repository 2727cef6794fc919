/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many lines a minute others may cause, all of them and each. */
#include "proxy/log-limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define START UINT64_C(5000000000)

static LogVerdict decide(LogLimit *limit, uid_t uid, uint64_t now) {
    const ProxySource source = proxy_source_of_uid(uid);
    uint64_t left_out;

    return log_limit_decide(limit, &source, now, &left_out);
}

static void test_one_source(void **state) {
    LogLimit limit = log_limit(40, 1);

    for (unsigned i = 0; i < 9; i++)
        assert_int_equal(decide(&limit, 7, START + i), LOG_LINE);
    assert_int_equal(decide(&limit, 7, START + 9), LOG_LAST_LINE_OF_SOURCE);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(decide(&limit, 7, START + 10), LOG_NO_LINE);
    assert_int_equal(decide(&limit, 7, START + LOG_LIMIT_MICROS - 1), LOG_NO_LINE);
    assert_int_equal(decide(&limit, 7, START + LOG_LIMIT_MICROS), LOG_LINE);
}

/* What one has used up is no loss of the others'. */
static void test_others(void **state) {
    LogLimit limit = log_limit(400, 1);
    unsigned said = 0;

    for (unsigned i = 0; i < 1000; i++)
        (void) decide(&limit, 7, START);
    for (uid_t uid = 1000; uid < 1100; uid++)
        said += decide(&limit, uid, START) != LOG_NO_LINE;
    assert_true(said >= 80); /* few share the counter of that one */
}

static void test_all(void **state) {
    LogLimit limit = log_limit(40, 1);
    unsigned said = 0, last = 0;

    for (uid_t uid = 0; uid < 10000; uid++) {
        LogVerdict verdict = decide(&limit, uid, START + uid);
        said += verdict != LOG_NO_LINE;
        last += verdict == LOG_LAST_LINE;
    }
    assert_int_equal(said, 40);
    assert_int_equal(last, 1);
}

static void test_what_was_left_out_is_told(void **state) {
    LogLimit limit = log_limit(4, 1);
    const ProxySource source = proxy_source_of_uid(7);
    uint64_t left_out = 77;

    assert_int_equal(log_limit_decide(&limit, &source, START, &left_out), LOG_LAST_LINE_OF_SOURCE);
    assert_int_equal(left_out, 0);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(log_limit_decide(&limit, &source, START, &left_out), LOG_NO_LINE);
    assert_int_equal(log_limit_decide(&limit, &source, START + LOG_LIMIT_MICROS, &left_out), LOG_LAST_LINE_OF_SOURCE);
    assert_int_equal(left_out, 5);
    assert_int_equal(log_limit_decide(&limit, &source, START + 2 * LOG_LIMIT_MICROS, &left_out),
                     LOG_LAST_LINE_OF_SOURCE);
    assert_int_equal(left_out, 0); /* once */
}

static void test_no_limit(void **state) {
    LogLimit limit = log_limit(0, 1);

    for (unsigned i = 0; i < 10000; i++)
        assert_int_equal(decide(&limit, 7, START), LOG_LINE);
}

/* One line has to be for somebody. */
static void test_the_smallest_limit(void **state) {
    LogLimit limit = log_limit(1, 1);

    assert_int_equal(decide(&limit, 7, START), LOG_LAST_LINE);
    assert_int_equal(decide(&limit, 8, START), LOG_NO_LINE);
}

/* The counter of a source hangs on the seed: who does not know it cannot use up another's. */
static void test_seeds(void **state) {
    const uid_t first = 7;
    unsigned shared = 0;

    for (uint64_t seed = 0; seed < 640; seed++) {
        LogLimit limit = log_limit(4, seed);
        assert_int_equal(decide(&limit, first, START), LOG_LAST_LINE_OF_SOURCE);
        shared += decide(&limit, 8, START) == LOG_NO_LINE;
    }
    assert_true(shared > 0 && shared < 60); /* one in 64, more or less */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_source), cmocka_unit_test(test_others),
        cmocka_unit_test(test_all),        cmocka_unit_test(test_what_was_left_out_is_told),
        cmocka_unit_test(test_no_limit),   cmocka_unit_test(test_the_smallest_limit),
        cmocka_unit_test(test_seeds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
