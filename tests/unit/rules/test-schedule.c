/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties of the schedule: bounds, determinism, an even spread over a fleet, and no overflow whatever dates come. */
#include "rules/schedule.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define MINUTE INT64_C(60)
#define DAY    INT64_C(86400)
#define YEAR   (365 * DAY)

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static IdentityConfig config_of(uint32_t permille, uint64_t before, uint32_t jitter) {
    return (IdentityConfig) { .renew_at_permille = permille, .renew_before = before, .jitter_permille = jitter };
}

static int64_t renewal(int64_t not_before, int64_t not_after, const IdentityConfig *config, uint64_t device,
                       uint64_t certificate) {
    uint8_t seed[32] = { 0 }, fingerprint[32] = { 0 };

    memcpy(seed, &device, sizeof(device));
    memcpy(fingerprint, &certificate, sizeof(certificate));
    const ScheduleCertificate subject = { not_before, not_after, { fingerprint, sizeof(fingerprint) } };
    return schedule_renewal(&subject, config, (BytesView) { seed, sizeof(seed) });
}

static void test_clock(void **state) {
    assert_int_equal(clock_used(1000, 500, 100), 1000);
    assert_int_equal(clock_used(0, 500, 100), 600); /* no battery: the past */
    assert_int_equal(clock_used(600, 500, 100), 600);
    assert_int_equal(clock_used(-5, 500, -100), 500);
    assert_true(clock_used(0, INT64_MAX, 100) == INT64_MAX);
    assert_true(clock_used(INT64_MIN, INT64_MIN, 0) == INT64_MIN);
}

static void test_renewal_known_points(void **state) {
    IdentityConfig at = config_of(660, 0, 0), before = config_of(0, 14 * DAY, 0);

    assert_int_equal(renewal(0, 100 * DAY, &at, 1, 1), 66 * DAY);
    assert_int_equal(renewal(5000, 5000 + 100 * DAY, &before, 1, 1), 5000 + 86 * DAY);
    /* A certificate shorter than the time before its end: renewed at a tenth of its life. */
    assert_int_equal(renewal(0, 10 * DAY, &before, 1, 1), DAY);
    /* A time before the end that is later than 95 % of the life. */
    before.renew_before = 1;
    assert_int_equal(renewal(0, 100 * DAY, &before, 1, 1), 95 * DAY);
    before.renew_before = UINT64_MAX;
    assert_int_equal(renewal(0, 100 * DAY, &before, 1, 1), 10 * DAY);
}

/* From one minute to ten years, every At= and Jitter=: within At ± Jitter, and between a tenth and 95 % of the life. */
static void test_renewal_bounds(void **state) {
    static const int64_t lives[] = { 10, MINUTE, 7 * MINUTE, 3600, DAY, 7 * DAY, 90 * DAY, YEAR, 10 * YEAR };
    static const uint32_t ats[] = { 100, 101, 500, 660, 900, 949, 950 }, jitters[] = { 0, 1, 25, 100, 300 };
    uint64_t random = 88172645463325252ULL;

    for (size_t l = 0; l < ARRAY_LENGTH(lives); l++)
        for (size_t a = 0; a < ARRAY_LENGTH(ats); a++)
            for (size_t j = 0; j < ARRAY_LENGTH(jitters); j++)
                for (unsigned n = 0; n < 50; n++) {
                    IdentityConfig config = config_of(ats[a], 0, jitters[j]);
                    int64_t start = 1600000000 + (int64_t) (next_random(&random) % 1000000), life = lives[l];
                    int64_t point =
                        renewal(start, start + life, &config, next_random(&random), next_random(&random)) - start;
                    double fraction = (double) point / (double) life, step = 1.0 / (double) life;
                    assert_true(fraction >= 0.1 - step && fraction <= 0.95 + step);
                    double center = ats[a] / 1000.0, width = jitters[j] / 1000.0;
                    if (fraction < center - width - step || fraction > center + width + step)
                        fail_msg("life %lld at %u jitter %u: %f", (long long) life, ats[a], jitters[j], fraction);
                }
}

/* The same device and certificate: the same point. Another device, or another certificate: another one. */
static void test_renewal_is_a_function(void **state) {
    IdentityConfig config = config_of(660, 0, 100);
    unsigned same_device = 0, same_certificate = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        int64_t point = renewal(0, YEAR, &config, i, 7);
        assert_int_equal(point, renewal(0, YEAR, &config, i, 7));
        same_certificate += point == renewal(0, YEAR, &config, i + 1, 7);
        same_device += point == renewal(0, YEAR, &config, i, 8);
    }
    assert_true(same_device < 3 && same_certificate < 3);
}

/* Chi-square over 100 bins with consecutive numbers as seeds, the least random thing a fleet could have. With 99
 * degrees of freedom 149 is passed by chance in one of a thousand; the seeds are fixed, so the test is not a matter of
 * luck. */
static void expect_even(const IdentityConfig *config, int64_t life, int64_t from, int64_t to) {
    enum { DEVICES = 100000, BINS = 100 };
    unsigned bins[BINS] = { 0 };
    double chi = 0;

    for (uint64_t i = 0; i < DEVICES; i++) {
        int64_t point = renewal(0, life, config, i, 42);
        int64_t bin = (point - from) * BINS / (to - from + 1);
        assert_true(point >= from && point <= to && bin >= 0 && bin < BINS);
        bins[bin]++;
    }
    for (size_t i = 0; i < BINS; i++)
        chi += pow(bins[i] - (double) DEVICES / BINS, 2) / ((double) DEVICES / BINS);
    if (chi > 149 || chi < 50)
        fail_msg("chi-square %f", chi);
}

static void test_fleet_spreads_evenly(void **state) {
    IdentityConfig config = config_of(660, 0, 100), before = config_of(0, 14 * DAY, 100);

    expect_even(&config, 100 * DAY, 56 * DAY, 76 * DAY);
    expect_even(&before, 100 * DAY, 76 * DAY, 95 * DAY);      /* cut off at 95 %, and even up to there */
    expect_even(&before, 7 * DAY, DAY * 7 / 10, DAY * 7 / 5); /* the whole window would be before a tenth */
    config.renew_at_permille = 950;
    expect_even(&config, 100 * DAY, 85 * DAY, 95 * DAY);
}

/* ---- retries ---- */

static void test_retry_window(void **state) {
    static const uint32_t randoms[] = { 0, 1, UINT32_MAX / 2, UINT32_MAX };
    int64_t now = 1700000000;

    for (unsigned failures = 1; failures < 80; failures++)
        for (size_t i = 0; i < ARRAY_LENGTH(randoms); i++) {
            int64_t delay = schedule_retry(now, failures, now - YEAR, now + 100 * DAY, 0, randoms[i]) - now;
            int64_t window = failures < 40 ? INT64_C(30) << (failures - 1) : INT64_MAX;
            int64_t most = window < DAY ? window : DAY; /* a tenth of what is left would be ten days */
            assert_true(delay >= 1 && delay <= most);
            if (randoms[i] == UINT32_MAX)
                assert_true(delay >= most - 1 - most / 1000000);
        }
}

/* Never further apart than a tenth of what is left, down to a second. */
static void test_retry_remaining(void **state) {
    uint64_t random = 1;

    for (unsigned i = 0; i < 20000; i++) {
        int64_t left = (int64_t) (next_random(&random) % (uint64_t) (1 + (1 << (next_random(&random) % 30)))) + 1;
        int64_t delay = schedule_retry(0, 1 + (unsigned) (next_random(&random) % 50), -left, left, 0,
                                       (uint32_t) next_random(&random));
        assert_true(delay >= 1 && delay <= (left / 10 > 1 ? left / 10 : 1));
    }
}

static void test_retry_special(void **state) {
    /* Without a certificate, and past its expiry: up to an hour. */
    for (unsigned failures = 1; failures < 100; failures++) {
        assert_in_range(schedule_retry(5, failures, 0, 0, 0, UINT32_MAX), 6, 5 + 3600);
        assert_in_range(schedule_retry(1000, failures, 0, 500, 0, UINT32_MAX), 1001, 1000 + 3600);
        assert_in_range(schedule_retry(500, failures, 0, 500, 0, UINT32_MAX), 501, 500 + 3600);
    }
    assert_int_equal(schedule_retry(0, 50, 0, 0, 0, UINT32_MAX), 3600);
    /* One minute of life: the first window is a second, not thirty. */
    assert_int_equal(schedule_retry(40, 1, 0, 60, 0, UINT32_MAX), 41);
    /* Half an hour of life: a sixtieth is 30 s. */
    assert_in_range(schedule_retry(0, 1, 0, 1800, 0, UINT32_MAX), 29, 30);
    assert_in_range(schedule_retry(0, 1, 0, 600, 0, UINT32_MAX), 9, 10);
    /* No failure counted yet is as one. */
    assert_in_range(schedule_retry(0, 0, 0, YEAR, 0, UINT32_MAX), 29, 30);
}

/* Never sooner than Retry-After, whatever else; and not all at that second. */
static void test_retry_after(void **state) {
    static const uint32_t afters[] = { 1, 10, 120, 86400, SCHEDULE_RETRY_AFTER_MAX, UINT32_MAX };
    uint64_t random = 3;
    int64_t lowest = INT64_MAX, highest = 0;

    for (size_t a = 0; a < ARRAY_LENGTH(afters); a++)
        for (unsigned i = 0; i < 2000; i++) {
            int64_t left = (int64_t) (next_random(&random) % (uint64_t) YEAR) - DAY;
            int64_t delay = schedule_retry(0, 1 + i % 60, -YEAR, left, afters[a], (uint32_t) next_random(&random));
            assert_true(delay >= (afters[a] < SCHEDULE_RETRY_AFTER_MAX ? afters[a] : SCHEDULE_RETRY_AFTER_MAX));
            assert_true(delay <= SCHEDULE_GAP_MAX);
        }
    for (unsigned i = 0; i < 2000; i++) {
        int64_t delay = schedule_retry(0, 5, -YEAR, YEAR, 3600, (uint32_t) next_random(&random));
        lowest = delay < lowest ? delay : lowest;
        highest = delay > highest ? delay : highest;
    }
    assert_in_range(lowest, 3600, 3605);
    assert_in_range(highest, 3900, 3961);
}

static void test_earliest(void **state) {
    assert_int_equal(schedule_earliest(1000, 0, 600), 1060);
    assert_int_equal(schedule_earliest(1000, 0, 5), 1000);
    assert_int_equal(schedule_earliest(1000, 600, 0), 1000);
    assert_true(schedule_earliest(INT64_MAX, 0, 600) == INT64_MAX);
    assert_true(schedule_earliest(0, INT64_MIN, INT64_MAX) == INT64_MAX / 10);
}

/* A CA clings to an intermediate that ends before what it issues. */
static void test_earliest_renewal(void **state) {
    int64_t life = 90 * DAY, tenth = 9 * DAY, end = 30 * DAY;
    IdentityConfig eager = config_of(100, 0, 0);

    /* the chain ends with its leaf, or lives long enough: a tenth, and so where that is less than the gap */
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, life, 0), 1000 + tenth);
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, life + DAY, 0), 1000 + tenth);
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, 1000 + tenth, 0), 1000 + tenth);
    assert_int_equal(schedule_earliest_renewal(1000, 0, 600, 1010, 0), 1060);
    /* it ends before that: just then, unless that is at once */
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, 1000 + tenth - 2, 0), 1000 + tenth - 1);
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, 1010, 0), 1000 + SCHEDULE_CHAIN_END_GAP);
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, 0, 0), 1000 + SCHEDULE_CHAIN_END_GAP);

    /* not all at that second, but within the gap */
    assert_int_equal(schedule_earliest_renewal(1000, 0, life, DAY, 700), DAY + 1 + 700);
    assert_int_equal(schedule_earliest_renewal(DAY - 100, 0, life, DAY, 700), DAY + 800);
    assert_int_equal(schedule_earliest_renewal(DAY - 100, 0, life, DAY, 899), DAY + 900);
    assert_int_equal(schedule_earliest_renewal(1000, 0, 600, 1010, 700), 1060);

    int64_t at = 0;
    unsigned count = 0;
    while (at < end) { /* each renewal brings a whole life, and a chain that ends as before */
        int64_t due = renewal(at, end, &eager, 1, count),
                earliest = schedule_earliest_renewal(at, at, at + life, end, SCHEDULE_CHAIN_END_GAP - 1);
        int64_t next = due > earliest ? due : earliest;
        assert_true(next > end || next - at >= tenth);
        assert_true(next <= end + SCHEDULE_CHAIN_END_GAP);
        at = next;
        count++;
    }
    assert_int_equal(count, 4);
}

/* A whole fleet below one intermediate: chi-square as above. */
static void test_fleet_below_one_intermediate(void **state) {
    enum { DEVICES = 90000, BINS = 100 };
    unsigned bins[BINS] = { 0 };
    double chi = 0;

    for (uint64_t i = 0; i < DEVICES; i++) {
        const ScheduleCertificate certificate = { .fingerprint = { (const uint8_t *) "certificate", 11 } };
        int64_t delay = schedule_chain_end_delay(&certificate, (BytesView) { (const uint8_t *) &i, sizeof(i) });
        assert_true(delay >= 0 && delay < SCHEDULE_CHAIN_END_GAP);
        bins[delay * BINS / SCHEDULE_CHAIN_END_GAP]++;
    }
    for (size_t i = 0; i < BINS; i++)
        chi += pow(bins[i] - (double) DEVICES / BINS, 2) / ((double) DEVICES / BINS);
    if (chi > 149 || chi < 50)
        fail_msg("chi-square %f", chi);
}

/* Dates from outside can be anything. UBSan watches the sums. */
static void test_hostile_dates(void **state) {
    static const int64_t dates[] = { INT64_MIN,  INT64_MIN + 1,         -YEAR,         -1,       0, 1,
                                     1700000000, INT64_C(253402300799), INT64_MAX - 1, INT64_MAX };
    static const uint64_t befores[] = { 1, UINT32_MAX, INT64_MAX, UINT64_MAX };
    static const unsigned failures[] = { 0, 1, 2, 62, 63, 64, 65, UINT32_MAX };

    for (size_t b = 0; b < ARRAY_LENGTH(dates); b++)
        for (size_t a = 0; a < ARRAY_LENGTH(dates); a++) {
            int64_t not_before = dates[b], not_after = dates[a];
            for (size_t i = 0; i <= ARRAY_LENGTH(befores); i++) {
                IdentityConfig config = config_of(i == 0 ? 660 : 0, i == 0 ? 0 : befores[i - 1], 300);
                int64_t point = renewal(not_before, not_after, &config, b, a);
                if (not_after > not_before)
                    assert_true(point >= not_before && point <= not_after);
                else
                    assert_true(point == not_after);
            }
            for (size_t n = 0; n < ARRAY_LENGTH(dates); n++) {
                (void) clock_used(dates[n], dates[a], dates[b]);
                assert_true(schedule_earliest(dates[n], not_before, not_after) >= dates[n]);
                for (size_t e = 0; e < ARRAY_LENGTH(dates); e++)
                    assert_true(schedule_earliest_renewal(dates[n], not_before, not_after, dates[e], 899) >= dates[n]);
                for (size_t f = 0; f < ARRAY_LENGTH(failures); f++) {
                    int64_t next = schedule_retry(dates[n], failures[f], not_before, not_after, UINT32_MAX, UINT32_MAX);
                    assert_true(next > dates[n] || next == INT64_MAX);
                    next = schedule_retry(dates[n], failures[f], not_before, not_after, 0, UINT32_MAX);
                    assert_true(next > dates[n] || next == INT64_MAX);
                }
            }
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_renewal_known_points),
        cmocka_unit_test(test_renewal_bounds),
        cmocka_unit_test(test_renewal_is_a_function),
        cmocka_unit_test(test_fleet_spreads_evenly),
        cmocka_unit_test(test_retry_window),
        cmocka_unit_test(test_retry_remaining),
        cmocka_unit_test(test_retry_special),
        cmocka_unit_test(test_retry_after),
        cmocka_unit_test(test_earliest),
        cmocka_unit_test(test_earliest_renewal),
        cmocka_unit_test(test_fleet_below_one_intermediate),
        cmocka_unit_test(test_hostile_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
