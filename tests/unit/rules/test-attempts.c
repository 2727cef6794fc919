/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wait after an attempt: laws 2 to 4 as predicates over lives, what is left of them, failures, and what a CA says;
 * and whole runs of failures to the end and past it. */
#include "rules/attempts.h"

#include "tests/unit/common/test.h"

#define COUNT(array) (sizeof(array) / sizeof(array[0]))
#define HOUR         INT64_C(3600)
#define DAY          INT64_C(86400)
#define T            INT64_C(1700000000)

static const uint32_t randoms[] = { 0, UINT32_MAX / 3, UINT32_MAX };

static ScheduleLife life_of(int64_t lifetime) {
    return (ScheduleLife) { .begin = T, .leaf_end = T + lifetime, .chain_end = T + lifetime };
}

/* The wait after the failure that makes `failures`, with `left` of a life (NULL: none). */
static int64_t wait_of(uint32_t failures, const ScheduleLife *life, int64_t left, AttemptOutcome outcome) {
    Attempts attempts = { .failures = failures - 1 };

    outcome.life = life;
    outcome.now = life ? life->chain_end - left : T;
    attempts_failed(&attempts, &outcome);
    assert_int_equal(attempts.failures, failures);
    assert_int_equal(attempts.next.kind, INSTANT_AT);
    return attempts.next.seconds - outcome.now;
}

/* A plain failure, drawn as far as it goes. */
static int64_t longest(uint32_t failures, const ScheduleLife *life, int64_t left) {
    return wait_of(failures, life, left, (AttemptOutcome) { .random = UINT32_MAX });
}

static int64_t shortest(uint32_t failures, const ScheduleLife *life, int64_t left) {
    return wait_of(failures, life, left, (AttemptOutcome) { .random = 0 });
}

static void typical_waits(void **state) {
    ScheduleLife quarter = life_of(90 * DAY), minute = life_of(60);

    /* a few quick ones … */
    for (uint32_t failures = 1; failures <= ATTEMPTS_QUICK; failures++) {
        assert_int_equal(longest(failures, &quarter, 30 * DAY), INT64_C(30) << (failures - 1));
        assert_int_equal(shortest(failures, &quarter, 30 * DAY), 1);
    }
    /* … then half to nine tenths of what is left */
    for (uint32_t failures = ATTEMPTS_QUICK + 1; failures < 40; failures++) {
        assert_int_equal(longest(failures, &quarter, 30 * DAY), 27 * DAY);
        assert_int_equal(shortest(failures, &quarter, 30 * DAY), 15 * DAY + 1);
    }
    /* One minute of life: the first window is a second, and quick ones stay within a tenth of what is left. */
    assert_int_equal(longest(1, &minute, 20), 1);
    assert_int_equal(longest(2, &minute, 20), 2);
    assert_int_equal(longest(3, &minute, 20), 2);
    assert_int_equal(longest(9, &minute, 20), 18);
    assert_int_equal(longest(9, &minute, 3), 2); /* half to nine tenths of three seconds are one or two */
    assert_int_equal(longest(9, &minute, 2), 2);
    /* the last one before the end, and the one at it */
    assert_int_equal(longest(9, &quarter, 31), 27);
    assert_int_equal(longest(9, &quarter, 30), 31);
    assert_int_equal(shortest(9, &quarter, 30), 31);
    assert_int_equal(shortest(9, &quarter, 0), 1);
    /* Past it, and without any: doubled to an hour. */
    for (uint32_t failures = 1; failures < 40; failures++) {
        int64_t window = failures < 8 ? INT64_C(30) << (failures - 1) : HOUR;
        assert_int_equal(longest(failures, NULL, 0), window < HOUR ? window : HOUR);
        assert_int_equal(longest(failures, &quarter, -1), window < HOUR ? window : HOUR);
        assert_int_equal(shortest(failures, NULL, 0), 1);
    }
}

static const int64_t lives[] = { 10, 60, 600, DAY, 30 * DAY, 90 * DAY, 365 * DAY, 3650 * DAY };
static const uint32_t tolds[] = { 0, 1, 10, 60, 61, 3600, 86400, 604800, UINT32_MAX };
static const int64_t wastes[] = { 0, 60, DAY, 90 * DAY, 3650 * DAY, INT64_MAX, -5 };

/* Law 2 over all of it: before the end while there is anything left to wait in, else just behind it. */
static void law_2(void **state) {
    for (size_t l = 0; l < COUNT(lives); l++)
        for (int64_t left = 0; left <= lives[l]; left += left < 70 ? 1 : left / 3)
            for (size_t i = 0; i < COUNT(tolds) * COUNT(wastes) * COUNT(randoms) * 2 * 12; i++) {
                size_t n = i;
                ScheduleLife life = life_of(lives[l]);
                AttemptOutcome outcome = { .told = tolds[n % COUNT(tolds)] };
                outcome.wasted_lifetime = wastes[(n /= COUNT(tolds)) % COUNT(wastes)];
                outcome.random = randoms[(n /= COUNT(wastes)) % COUNT(randoms)];
                outcome.is_put_off = (n /= COUNT(randoms)) % 2;
                int64_t wait = wait_of((uint32_t) (n / 2) + 1, &life, left, outcome);
                int64_t first = lives[l] / 60 < 1 ? 1 : lives[l] / 60 < 30 ? lives[l] / 60 : 30;
                if (left <= first)
                    assert_int_equal(wait, left + 1);
                else
                    assert_true(wait >= 1 && wait <= left - left / 10);
            }
}

/* Laws 3 and 4, where law 2 leaves room for them. */
static void laws_3_and_4(void **state) {
    ScheduleLife life = life_of(3650 * DAY);

    for (size_t i = 0; i < COUNT(tolds) * COUNT(wastes) * COUNT(randoms) * 2 * 12; i++) {
        size_t n = i;
        AttemptOutcome outcome = { .told = tolds[n % COUNT(tolds)] };
        outcome.wasted_lifetime = wastes[(n /= COUNT(tolds)) % COUNT(wastes)];
        outcome.random = randoms[(n /= COUNT(wastes)) % COUNT(randoms)];
        outcome.is_put_off = (n /= COUNT(randoms)) % 2;
        uint32_t failures = (uint32_t) (n / 2) + 1;
        int64_t told = outcome.told, tenth = outcome.wasted_lifetime / 10, latest = 3285 * DAY;
        int64_t alive = wait_of(failures, &life, 3650 * DAY, outcome), dead = wait_of(failures, NULL, 0, outcome);
        assert_true(alive >= (told < latest ? told : latest));
        assert_true(alive >= (tenth < latest ? tenth : latest));
        assert_true(dead >= (told < ATTEMPTS_TOLD_MAX ? told : ATTEMPTS_TOLD_MAX));
        assert_true(dead >= (tenth < ATTEMPTS_WASTED_MAX ? tenth : ATTEMPTS_WASTED_MAX));
        assert_true(dead <= ATTEMPTS_FUTURE_MAX);
    }
}

/* Nothing, and a Retry-After of 0, are a failure's back-off; who is told a time is asked at that time, with a tenth of
 * it for a fleet to spread over, and by no back-off of ours. */
static void what_a_ca_says(void **state) {
    ScheduleLife life = life_of(90 * DAY);

    for (uint32_t failures = 1; failures < 12; failures++)
        for (size_t r = 0; r < COUNT(randoms); r++) {
            int64_t plain = wait_of(failures, &life, 30 * DAY, (AttemptOutcome) { .random = randoms[r] });
            AttemptOutcome nothing = { .is_put_off = true, .random = randoms[r] }, day = nothing, second = nothing;
            day.told = 86400;
            second.told = 1;
            assert_int_equal(wait_of(failures, &life, 30 * DAY, nothing), plain);
            assert_in_range(wait_of(failures, &life, 30 * DAY, day), 86401, 86400 + HOUR);
            int64_t poll = wait_of(failures, &life, 30 * DAY, second);
            assert_int_equal(poll, plain < 60 ? (plain > 1 ? plain : 1) : 60);
        }
    /* A failure with a long Retry-After: one quick try, then what is left is shared. */
    AttemptOutcome hour = { .told = 3600, .random = 0 };
    assert_int_equal(wait_of(1, &life, 30 * DAY, hour), 3601);
    assert_int_equal(wait_of(2, &life, 30 * DAY, hour), 15 * DAY + 1);
    hour.random = UINT32_MAX;
    hour.told = 600;
    assert_int_equal(wait_of(1, &life, 30 * DAY, hour), 660);
    hour.random = 0;
    hour.told = 480;
    assert_int_equal(wait_of(2, &life, 30 * DAY, hour), 481);
}

/* Nobody is asked without end: a whole run of failures from the first renewal to the end, however it is drawn. */
static void a_run_to_the_end(void **state) {
    for (size_t l = 0; l < COUNT(lives); l++)
        for (size_t r = 0; r < COUNT(randoms); r++) {
            ScheduleLife life = life_of(lives[l]);
            Attempts attempts = { .failures_past_end = 3 }; /* of a clock that was beyond the end */
            AttemptOutcome outcome = { .now = T + lives[l] * 66 / 100, .life = &life, .random = randoms[r] };
            int64_t last_before = outcome.now;
            unsigned count = 0, halvings = 1;
            while (outcome.now <= life.chain_end) {
                last_before = outcome.now;
                attempts_failed(&attempts, &outcome);
                assert_int_equal(attempts.failures_past_end, 0);
                assert_true(attempts.next.seconds > outcome.now);
                outcome.now = attempts.next.seconds;
                count++;
            }
            for (int64_t left = lives[l] / 3; left > lives[l] / 60 || left > 30; left /= 2)
                halvings++;
            /* The last draws of a second or two do not halve what is left any more. */
            assert_true(count <= ATTEMPTS_QUICK + halvings + 5);
            assert_int_equal(outcome.now, life.chain_end + 1); /* one at the end */
            assert_true(life.chain_end - last_before <= 30);   /* and one shortly before */
            for (uint32_t i = 1; i < 5; i++) {
                attempts_failed(&attempts, &outcome);
                assert_int_equal(attempts.failures_past_end, i);
                outcome.now = attempts.next.seconds;
            }
        }
}

static void successes_and_news(void **state) {
    Attempts attempts = { .failures = 7, .failures_past_end = 3, .next = instant_at(T + 5), .last_success = T - DAY };

    attempts_forget(&attempts); /* law 7 */
    assert_int_equal(attempts.failures, 0);
    assert_int_equal(attempts.failures_past_end, 0);
    assert_int_equal(attempts.next.kind, INSTANT_NEVER);
    assert_int_equal(attempts.last_success, T - DAY);
    attempts = (Attempts) { .failures = 7, .failures_past_end = 3, .next = instant_at(T + 5), .late = 9 };
    attempts_succeeded(&attempts, T, T - 50);
    assert_int_equal(attempts.failures, 0);
    assert_int_equal(attempts.failures_past_end, 0);
    assert_int_equal(attempts.next.kind, INSTANT_NEVER);
    assert_int_equal(attempts.last_success, T);
    assert_int_equal(attempts.late, 50);
    attempts_succeeded(&attempts, T, T + 50); /* somebody asked for it */
    assert_int_equal(attempts.late, 0);
    attempts.late = 9;
    attempts_succeeded(&attempts, T, 0); /* it replaces nothing; the first second of 1970 is an instant like others */
    assert_int_equal(attempts.late, 0);
    attempts_succeeded(&attempts, T, 1);
    assert_int_equal(attempts.late, T - 1);
}

/* Neither restart nor waiting lets anybody come sooner than was planned; a clock that was elsewhere does. */
static void when_the_next_may_come(void **state) {
    ScheduleLife life = life_of(90 * DAY);
    static const struct {
        Instant from, next;
        bool alive;
        int64_t now; /* from T */
        Instant when;
    } rows[] = {
        { { INSTANT_NEVER, 0 }, { INSTANT_AT, T }, true, 0, { INSTANT_NEVER, 0 } },
        { { INSTANT_AT_ONCE, 0 }, { INSTANT_NEVER, 0 }, true, 0, { INSTANT_AT_ONCE, 0 } },
        { { INSTANT_AT, T + 5 }, { INSTANT_NEVER, 0 }, true, 0, { INSTANT_AT, T + 5 } },
        { { INSTANT_AT_ONCE, 0 }, { INSTANT_AT, T + 5 }, true, 0, { INSTANT_AT, T + 5 } },
        { { INSTANT_AT, T + 9 }, { INSTANT_AT, T + 5 }, true, 0, { INSTANT_AT, T + 9 } },
        { { INSTANT_AT, T + 5 }, { INSTANT_AT, T + 9 }, true, 0, { INSTANT_AT, T + 9 } },
        { { INSTANT_AT, T }, { INSTANT_AT, T + 90 * DAY + 1 }, true, 0, { INSTANT_AT, T + 90 * DAY + 1 } },
        { { INSTANT_AT, T }, { INSTANT_AT, T + 90 * DAY + 2 }, true, 0, { INSTANT_AT, T } },
        { { INSTANT_AT_ONCE, 0 }, { INSTANT_AT, T + 8 * DAY }, false, 0, { INSTANT_AT, T + 8 * DAY } },
        { { INSTANT_AT_ONCE, 0 }, { INSTANT_AT, T + 8 * DAY + 1 }, false, 0, { INSTANT_AT_ONCE, 0 } },
        { { INSTANT_AT, T }, { INSTANT_AT, T + 95 * DAY }, true, 91 * DAY, { INSTANT_AT, T + 95 * DAY } },
        { { INSTANT_AT, T }, { INSTANT_AT, T + 99 * DAY + 1 }, true, 91 * DAY, { INSTANT_AT, T } },
        { { INSTANT_AT, T }, { INSTANT_AT, T + 90 * DAY + 1 }, true, 90 * DAY, { INSTANT_AT, T + 90 * DAY + 1 } },
    };

    for (size_t i = 0; i < COUNT(rows); i++) {
        const Attempts attempts = { .failures = 1, .next = rows[i].next };
        Instant when = attempts_when(&attempts, rows[i].from, rows[i].alive ? &life : NULL, T + rows[i].now);
        if (when.kind != rows[i].when.kind || when.seconds != rows[i].when.seconds)
            fail_msg("row %zu: %d %lld", i, when.kind, (long long) when.seconds);
    }
}

static void hostile_dates(void **state) {
    static const int64_t dates[] = { INT64_MIN, -1, 0, T, INT64_MAX - 1, INT64_MAX };
    enum { N = COUNT(dates) };

    for (size_t i = 0; i < N * N * N * N; i++) {
        ScheduleLife life = { dates[i % N], dates[i / N % N], dates[i / N % N], 0 };
        Attempts attempts = { .failures = UINT32_MAX, .failures_past_end = UINT32_MAX };
        AttemptOutcome outcome = { .now = dates[i / N / N % N], .life = &life, .told = UINT32_MAX };
        outcome.wasted_lifetime = dates[i / N / N / N];
        outcome.random = UINT32_MAX;
        attempts_failed(&attempts, &outcome);
        assert_true(attempts.failures == UINT32_MAX);
        assert_true(attempts.next.seconds > outcome.now || attempts.next.seconds == INT64_MAX);
        (void) attempts_when(&attempts, instant_at_once(), &life, dates[i / N % N]);
        attempts_succeeded(&attempts, outcome.now, outcome.wasted_lifetime);
        assert_true(attempts.late >= 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typical_waits),          cmocka_unit_test(law_2),
        cmocka_unit_test(laws_3_and_4),           cmocka_unit_test(what_a_ca_says),
        cmocka_unit_test(a_run_to_the_end),       cmocka_unit_test(successes_and_news),
        cmocka_unit_test(when_the_next_may_come), cmocka_unit_test(hostile_dates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
