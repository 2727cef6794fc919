/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties of the schedule: bounds, determinism, an even spread over a fleet, echoes that die out, and no overflow
 * whatever dates come. */
#include "rules/schedule.h"

#include "tests/unit/common/test.h"

#include <math.h>

#define COUNT(array) (sizeof(array) / sizeof(array[0]))
#define MINUTE       INT64_C(60)
#define DAY          INT64_C(86400)
#define YEAR         (365 * DAY)
#define T            INT64_C(1700000000)
#define HALF         (UINT64_C(1) << 63)

static uint64_t next_random(uint64_t *random) {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static ScheduleSettings settings_of(uint32_t permille, uint64_t before, uint32_t jitter) {
    return (ScheduleSettings) { .renew_at_permille = permille, .renew_before = before, .jitter_permille = jitter };
}

static ScheduleLife life_of(int64_t begin, int64_t end) {
    return (ScheduleLife) { .begin = begin, .leaf_end = end, .chain_end = end };
}

static int64_t renewal(int64_t lifetime, const ScheduleSettings *settings, uint64_t share) {
    ScheduleLife life = life_of(T, T + lifetime);

    return schedule_renewal(&life, settings, share) - T;
}

/* Law 6: from when it came, where that can be believed. */
static void what_counts_as_life(void **state) {
    static const struct {
        int64_t received, begin;
    } rows[] = { { 0, T },
                 { T + 60 * DAY, T + 60 * DAY },
                 { T - 1, T },
                 { T, T },
                 { T + 90 * DAY, T },
                 { T + YEAR, T },
                 { T + 1, T + 1 },
                 { T + 90 * DAY - 1, T + 90 * DAY - 1 } };

    for (size_t i = 0; i < COUNT(rows); i++) {
        ScheduleLife life = schedule_life(T, T + 100 * DAY, T + 90 * DAY, rows[i].received);
        assert_int_equal(life.begin, rows[i].begin);
        assert_int_equal(life.chain_end, T + 90 * DAY);
        assert_int_equal(life.leaf_end, T + 100 * DAY);
        assert_int_equal(life.late, 0);
        assert_int_equal(schedule_lifetime(&life), T + 90 * DAY - rows[i].begin);
    }
    ScheduleLife leaf_first = schedule_life(T, T + 5, T + 90 * DAY, 0), negative = life_of(T, T - 1);
    assert_int_equal(leaf_first.chain_end, T + 5);
    assert_int_equal(schedule_life(-5, T, T, 0).begin, -5);
    assert_int_equal(schedule_lifetime(&negative), 0);
}

static void known_points(void **state) {
    ScheduleSettings at = settings_of(660, 0, 0), before = settings_of(0, 14 * DAY, 0);

    assert_int_equal(renewal(100 * DAY, &at, HALF), 66 * DAY);
    assert_int_equal(renewal(100 * DAY, &before, HALF), 86 * DAY);
    /* A certificate shorter than the time before its end: renewed at a tenth of its life. */
    assert_int_equal(renewal(10 * DAY, &before, HALF), DAY);
    /* A time before the end that is later than 95 % of the life. */
    before.renew_before = 1;
    assert_int_equal(renewal(100 * DAY, &before, HALF), 95 * DAY);
    before.renew_before = UINT64_MAX;
    assert_int_equal(renewal(100 * DAY, &before, HALF), 10 * DAY);
    /* the ends of the window */
    at.jitter_permille = 100;
    assert_int_equal(renewal(100 * DAY, &at, 0), 56 * DAY);
    assert_int_equal(renewal(100 * DAY, &at, UINT64_MAX), 76 * DAY);
    assert_int_equal(renewal(0, &at, HALF), 0);
}

/* From ten seconds to ten years, every At= and Jitter=, late or not: between a tenth and 95 % of the life, and where it
 * is not late within At ± Jitter. */
static void bounds(void **state) {
    static const int64_t lives[] = { 10, MINUTE, 7 * MINUTE, 3600, DAY, 7 * DAY, 90 * DAY, YEAR, 10 * YEAR },
                         lates[] = { 0, 1, 100, 3600, 7 * DAY, 70 * DAY, INT64_MAX };
    static const uint32_t ats[] = { 100, 101, 500, 660, 900, 949, 950 }, jitters[] = { 0, 1, 25, 100, 300 };
    uint64_t random = 88172645463325252ULL;

    for (size_t i = 0; i < COUNT(lives) * COUNT(ats) * COUNT(jitters) * COUNT(lates) * 8; i++) {
        uint32_t at = ats[i % COUNT(ats)], jitter = jitters[i / COUNT(ats) % COUNT(jitters)];
        int64_t lifetime = lives[i / COUNT(ats) / COUNT(jitters) % COUNT(lives)];
        int64_t late = lates[i / COUNT(ats) / COUNT(jitters) / COUNT(lives) % COUNT(lates)];
        ScheduleSettings settings = settings_of(at, 0, jitter);
        ScheduleLife life = life_of(T, T + lifetime);
        life.late = late;
        uint64_t share = next_random(&random);
        int64_t point = schedule_renewal(&life, &settings, share) - T;
        double fraction = (double) point / (double) lifetime, step = 1.0 / (double) lifetime;
        assert_true(fraction >= 0.1 - step && fraction <= 0.95 + step);
        assert_int_equal(point, schedule_renewal(&life, &settings, share) - T);
        double center = at / 1000.0, width = jitter / 1000.0;
        if (late == 0 && (fraction < center - width - step || fraction > center + width + step))
            fail_msg("life %lld at %u jitter %u: %f", (long long) lifetime, at, jitter, fraction);
    }
}

/* What came late is due again when it would have been in time, or one round later. */
static void late_ones_keep_their_turn(void **state) {
    ScheduleSettings settings = settings_of(660, 0, 0);

    for (int64_t late = 0; late < 200 * DAY; late += DAY / 2) {
        ScheduleLife life = life_of(T, T + 100 * DAY);
        life.late = late;
        int64_t from_due = schedule_renewal(&life, &settings, HALF) - (T - late), round = 66 * DAY;
        if (late % round <= 56 * DAY)
            assert_int_equal(from_due % round, 0);
        else /* less than a tenth of the life would be left between the two: law 5 */
            assert_int_equal(from_due, late + 10 * DAY);
    }
    ScheduleLife early = life_of(T, T + 100 * DAY);
    early.late = -5;
    assert_int_equal(schedule_renewal(&early, &settings, HALF), T + 66 * DAY);
}

/* Chi-square over 100 bins. With 99 degrees of freedom 149 is passed by chance in one of a thousand; the seeds are
 * fixed, so the test is not a matter of luck. */
typedef struct Spread {
    unsigned bins[100], count;
} Spread;

static void spread_add(Spread *spread, int64_t point, int64_t from, int64_t to) {
    assert_true(point >= from && point <= to);
    spread->bins[(point - from) * 100 / (to - from + 1)]++;
    spread->count++;
}

static void expect_even(const Spread *spread) {
    double chi = 0, mean = spread->count / 100.0;

    for (size_t i = 0; i < 100; i++)
        chi += pow(spread->bins[i] - mean, 2) / mean;
    if (chi > 149 || chi < 50)
        fail_msg("chi-square %f", chi);
}

static void expect_even_renewals(const ScheduleSettings *settings, int64_t life, int64_t from, int64_t to) {
    Spread spread = { 0 };
    uint64_t random = 42;

    for (unsigned i = 0; i < 100000; i++)
        spread_add(&spread, renewal(life, settings, next_random(&random)), from, to);
    expect_even(&spread);
}

static void a_fleet_spreads_evenly(void **state) {
    ScheduleSettings settings = settings_of(660, 0, 100), before = settings_of(0, 14 * DAY, 100);

    expect_even_renewals(&settings, 100 * DAY, 56 * DAY, 76 * DAY);
    expect_even_renewals(&before, 100 * DAY, 76 * DAY, 95 * DAY);      /* cut off at 95 %, and even up to there */
    expect_even_renewals(&before, 7 * DAY, DAY * 7 / 10, DAY * 7 / 5); /* the whole window would be before a tenth */
    settings.renew_at_permille = 950;
    expect_even_renewals(&settings, 100 * DAY, 85 * DAY, 95 * DAY);
}

static void a_fleet_below_one_intermediate(void **state) {
    Spread spread = { 0 };
    uint64_t random = 7;

    for (unsigned i = 0; i < 90000; i++)
        spread_add(&spread, schedule_chain_end_delay(next_random(&random)), 0, SCHEDULE_CHAIN_END_GAP - 1);
    expect_even(&spread);
    assert_int_equal(schedule_chain_end_delay(0), 0);
    assert_int_equal(schedule_chain_end_delay(UINT64_MAX), SCHEDULE_CHAIN_END_GAP - 1);
}

/* ---- devices that were off ---- */

static void on_time_nothing_moves(void **state) {
    ScheduleLife life = life_of(T, T + 100 * DAY);

    assert_int_equal(schedule_awake(&life, T + 60 * DAY, 0, 100, UINT64_MAX), T + 60 * DAY);
    assert_int_equal(schedule_awake(&life, T + 60 * DAY, T + 50 * DAY, 100, UINT64_MAX), T + 60 * DAY);
    assert_int_equal(schedule_awake(&life, T + 60 * DAY, T + 60 * DAY, 100, UINT64_MAX), T + 60 * DAY);
    assert_int_equal(schedule_awake(&life, -50, 0, 100, UINT64_MAX), -50);
    /* Past the end nothing waits, and who wants no jitter gets none. */
    assert_int_equal(schedule_awake(&life, T + 60 * DAY, T + 100 * DAY, 100, UINT64_MAX), T + 60 * DAY);
    assert_int_equal(schedule_awake(&life, T + 60 * DAY, T + 61 * DAY, 0, UINT64_MAX), T + 61 * DAY);
}

static void late_devices_spread(void **state) {
    ScheduleLife life = life_of(T, T + 100 * DAY);
    int64_t wanted = T + 60 * DAY;
    static const struct {
        int64_t missed, window;
        uint32_t jitter;
    } rows[] = {
        { 1, 8, 100 },
        { 60, 480, 100 },
        { DAY / 4, 2 * DAY, 100 },
        { DAY - 1, (40 * DAY - DAY + 1) / 10, 100 },
        { DAY - 1, (40 * DAY - DAY + 1) / 10, 300 }, /* at most a tenth of what is left */
        { DAY - 1, (40 * DAY - DAY + 1) / 20, 50 },
        { DAY, 39 * DAY / 20, 100 },
        { 2 * DAY, 38 * DAY / 40, 100 },
        { 30 * DAY, 10 * DAY / 10 >> 30, 100 },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        int64_t awake = wanted + rows[i].missed, least = INT64_MAX, most = 0;
        uint64_t random = 5;
        for (unsigned n = 0; n < 2000; n++) {
            int64_t delay = schedule_awake(&life, wanted, awake, rows[i].jitter, next_random(&random)) - awake;
            least = delay < least ? delay : least;
            most = delay > most ? delay : most;
        }
        assert_true(least >= 0 && least <= rows[i].window / 100 + 1);
        assert_in_range(most, rows[i].window * 99 / 100, rows[i].window + 1);
    }
}

/* Devices that are off when their part of the first morning comes do not meet on the second. */
static void each_morning_anew(void **state) {
    ScheduleLife life = life_of(T, T + 100 * DAY);
    int64_t wanted = T + 60 * DAY, awake = wanted + DAY + DAY / 3;
    Spread spread = { 0 };

    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t share = HALF + i * (HALF / 100000); /* the later half of the first morning */
        int64_t delay = schedule_awake(&life, wanted, awake, 100, share) - awake;
        spread_add(&spread, delay, 0, (life.chain_end - awake) / 20 + 1);
    }
    double mean = spread.count / 100.0;
    for (size_t i = 0; i < 100; i++)
        assert_true(spread.bins[i] < mean * 1.2);
    /* Whose share is nothing comes first on the first morning, and not on all the others. */
    assert_int_equal(schedule_awake(&life, wanted, wanted + DAY / 2, 100, 0), wanted + DAY / 2);
    bool moves = false;
    for (int64_t days = 1; days < 9; days++)
        moves = moves || schedule_awake(&life, wanted, wanted + days * DAY, 100, 0) > wanted + days * DAY;
    assert_true(moves);
}

/* ---- how close two successes may be ---- */

static void earliest(void **state) {
    ScheduleLife life = life_of(T, T + 90 * DAY), ends_first = life;
    ends_first.chain_end = T + 30 * DAY;

    /* law 5 */
    assert_int_equal(schedule_earliest(&life, T, 0), T + 9 * DAY);
    assert_int_equal(schedule_earliest(&ends_first, T, 0), T + 3 * DAY);
    assert_int_equal(schedule_earliest(&ends_first, T, 899), T + 3 * DAY);
    /* where it is not known when it came, of what was left at the success */
    assert_int_equal(schedule_earliest(&life, T + 80 * DAY, 0), T + 81 * DAY);
    assert_int_equal(schedule_earliest(&life, T + 90 * DAY, 0), T + 90 * DAY);
    /* A success after the end of the chain: a quarter of an hour, at this device's part of the gap at the earliest. */
    assert_int_equal(schedule_earliest(&ends_first, T + 40 * DAY, 0), T + 40 * DAY + SCHEDULE_CHAIN_END_GAP);
    assert_int_equal(schedule_earliest(&ends_first, T + 30 * DAY + 1, 899), T + 30 * DAY + 901);
    assert_int_equal(schedule_earliest(&ends_first, T + 30 * DAY + 1, 0), T + 30 * DAY + 901);
    ends_first.begin = ends_first.chain_end - 600;
    assert_int_equal(schedule_earliest(&ends_first, T + 40 * DAY, 0), T + 40 * DAY + 60);
    assert_int_equal(schedule_earliest(&ends_first, T + 30 * DAY + 1, 700), T + 30 * DAY + 701);
}

/* Law 5 never keeps the attempt before the end away: it lies before the end for every success before it. */
static void earliest_is_before_the_end(void **state) {
    uint64_t random = 9;

    for (unsigned i = 0; i < 20000; i++) {
        int64_t lifetime = 10 + (int64_t) (next_random(&random) % (uint64_t) YEAR);
        ScheduleLife life = life_of(T, T + lifetime);
        int64_t last = T - DAY + (int64_t) (next_random(&random) % (uint64_t) (DAY + lifetime));
        int64_t when = schedule_earliest(&life, last, 0);
        assert_true(when >= last && when < life.chain_end);
        assert_true(when - last <= lifetime / 10);
    }
}

/* A CA clings to an intermediate that ends before what it issues: renewals come closer, but not without end. */
static void until_an_intermediate_ends(void **state) {
    ScheduleSettings eager = settings_of(100, 0, 0), usual = settings_of(660, 0, 0);
    const ScheduleSettings *both[] = { &eager, &usual };
    static const unsigned counts[] = { 122, 11 }; /* ln(90 d / 20 s) / -ln(0.9), -ln(0.34) */

    for (size_t i = 0; i < 2; i++) {
        unsigned count = 0;
        for (int64_t at = 0, end = 90 * DAY; end - at >= 20; count++) {
            ScheduleLife life = { at, at + 400 * DAY, end, 0 };
            int64_t due = schedule_renewal(&life, both[i], HALF), earliest_at = schedule_earliest(&life, at, 899);
            assert_true(due - at >= (end - at) / 10);
            assert_true(earliest_at <= due);
            at = due;
        }
        assert_in_range(count, counts[i], counts[i] + 3); /* seconds are cut off */
    }
}

/* Dates from outside can be anything. UBSan watches the sums. */
static void hostile_dates(void **state) {
    static const int64_t dates[] = { INT64_MIN, INT64_MIN + 1,         -YEAR,         -1,       0, 1,
                                     T,         INT64_C(253402300799), INT64_MAX - 1, INT64_MAX };
    static const uint64_t befores[] = { 0, 1, UINT32_MAX, INT64_MAX, UINT64_MAX };
    enum { N = COUNT(dates) };

    for (size_t i = 0; i < N * N * N * N; i++) {
        int64_t begin = dates[i % N], end = dates[i / N % N], other = dates[i / N / N % N], more = dates[i / N / N / N];
        ScheduleLife life = schedule_life(begin, end, other, more);
        life.late = more;
        for (size_t b = 0; b < COUNT(befores); b++) {
            ScheduleSettings settings = settings_of(b == 0 ? 660 : 0, befores[b], UINT32_MAX);
            int64_t point = schedule_renewal(&life, &settings, UINT64_MAX);
            if (schedule_lifetime(&life) > 0)
                assert_true(point >= life.begin && point <= life.chain_end);
            else
                assert_true(point == life.chain_end);
        }
        assert_true(schedule_earliest(&life, other, 899) >= other);
        int64_t late = schedule_awake(&life, begin, more, UINT32_MAX, UINT64_MAX);
        assert_true(late == begin || (late >= more && late <= life.chain_end));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_counts_as_life),
        cmocka_unit_test(known_points),
        cmocka_unit_test(bounds),
        cmocka_unit_test(late_ones_keep_their_turn),
        cmocka_unit_test(a_fleet_spreads_evenly),
        cmocka_unit_test(a_fleet_below_one_intermediate),
        cmocka_unit_test(on_time_nothing_moves),
        cmocka_unit_test(late_devices_spread),
        cmocka_unit_test(each_morning_anew),
        cmocka_unit_test(earliest),
        cmocka_unit_test(earliest_is_before_the_end),
        cmocka_unit_test(until_an_intermediate_ends),
        cmocka_unit_test(hostile_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
