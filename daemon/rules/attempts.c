/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The wait after an attempt that brought nothing. */
#include "rules/attempts.h"

#include "rules/seconds.h"

#define WINDOW      30  /* seconds: the first window … */
#define WINDOW_PART 60  /* … but at most this part of the lifetime */
#define QUICK_PART  10  /* quick tries stay within this part of what is left */
#define SPREAD_FROM 500 /* permille of what is left: later tries are drawn from here … */
#define SPREAD_TO   900 /* … to here */
#define POLL_FLOOR  60  /* seconds: a CA that says "in a second" over and over is not asked more often than this */
#define WASTED_PART 10  /* law 4: this part of the lifetime passes */
#define TOLD_PART   10  /* a Retry-After is spread over this part of it more */

/* 1 to `window`, evenly. */
static int64_t draw(int64_t window, uint32_t random) {
    return 1 + (int64_t) (((__int128) window * random) >> 32);
}

static int64_t first_window(const ScheduleLife *life) {
    int64_t lifetime = life ? schedule_lifetime(life) : 0;

    return lifetime > 0 ? seconds_clamp(lifetime / WINDOW_PART, 1, WINDOW) : WINDOW;
}

/* Doubled with each failure, at most `most`. */
static int64_t window_after(uint32_t failures, int64_t first, int64_t most) {
    int64_t window = first;

    for (uint32_t i = 1; i < failures && window < most; i++)
        window *= 2;
    return seconds_clamp(window, 1, seconds_most(most, 1));
}

/* How many tries are quick. After a Retry-After that is longer than any of them only one is: else all that failed in
 * the last hours of an outage would come in the first one after it. */
static uint32_t quick_tries(int64_t first, int64_t left, uint32_t told) {
    return told > window_after(ATTEMPTS_QUICK, first, left / QUICK_PART) ? 1 : ATTEMPTS_QUICK;
}

/* Law 2, without what the CA said, but for how many tries are quick. `left` ≥ 0: of the chain. */
static int64_t backoff_within(uint32_t failures, int64_t first, int64_t left, const AttemptOutcome *outcome) {
    uint32_t random = outcome->random;

    if (failures <= quick_tries(first, left, outcome->told))
        return draw(window_after(failures, first, left / QUICK_PART), random);
    int64_t low = (int64_t) ((__int128) left * SPREAD_FROM / 1000),
            high = (int64_t) ((__int128) left * SPREAD_TO / 1000);
    return low + draw(seconds_most(high - low, 1), random);
}

/* Law 3: `delay`, or what the CA said if that is later. */
static int64_t heed(const AttemptOutcome *outcome, int64_t delay, int64_t first, bool is_alive) {
    int64_t told = is_alive ? outcome->told : seconds_least(outcome->told, ATTEMPTS_TOLD_MAX);

    if (told == 0)
        return delay;
    /* Who puts us off with a time of his own is asked at that time, not by our back-off; but not each second for days.
     */
    if (outcome->is_put_off)
        delay = seconds_least(delay, seconds_least(POLL_FLOOR, 2 * first));
    if (told < delay)
        return delay;
    int64_t spread = seconds_least(told / TOLD_PART, ATTEMPTS_WAIT_MAX);
    return told + (spread > 0 ? draw(spread, outcome->random) : 0);
}

/* Law 4. */
static int64_t wait_after_waste(const AttemptOutcome *outcome, bool is_alive) {
    int64_t wait = seconds_most(outcome->wasted_lifetime / WASTED_PART, 0);

    return is_alive ? wait : seconds_least(wait, ATTEMPTS_WASTED_MAX);
}

static void count_failure(uint32_t *failures) {
    if (*failures < UINT32_MAX)
        (*failures)++;
}

void attempts_failed(Attempts *attempts, const AttemptOutcome *outcome) {
    int64_t left = outcome->life ? seconds_subtract(outcome->life->chain_end, outcome->now) : -1;
    int64_t first = first_window(outcome->life);
    bool is_alive = left >= 0; /* at the second of the end it still is */

    count_failure(&attempts->failures);
    if (is_alive)
        attempts->failures_past_end = 0;
    else
        count_failure(&attempts->failures_past_end);
    int64_t delay = is_alive ? backoff_within(attempts->failures, first, left, outcome)
                             : draw(window_after(attempts->failures, first, ATTEMPTS_WAIT_MAX), outcome->random);
    delay = heed(outcome, delay, first, is_alive);
    delay = seconds_most(delay, wait_after_waste(outcome, is_alive));
    if (is_alive)
        delay = left <= first ? seconds_add(left, 1) /* the one at the end */
                              : seconds_clamp(delay, 1, left - left / QUICK_PART);
    attempts->next = instant_at(seconds_add(outcome->now, delay));
}

void attempts_succeeded(Attempts *attempts, int64_t now, int64_t due) {
    int64_t late = due > 0 ? seconds_most(seconds_subtract(now, due), 0) : 0;

    *attempts = (Attempts) { .last_success = now, .late = late };
}

void attempts_forget(Attempts *attempts) {
    attempts->failures = attempts->failures_past_end = 0;
    attempts->next = instant_never();
}

bool attempts_are_of_another_time(const Attempts *attempts, const ScheduleLife *life, int64_t now) {
    int64_t latest = seconds_add(now, ATTEMPTS_FUTURE_MAX);

    if (attempts->next.kind != INSTANT_AT)
        return false;
    if (life && life->chain_end >= now)
        latest = seconds_most(seconds_add(life->chain_end, 1), now);
    return attempts->next.seconds > latest;
}

Instant attempts_when(const Attempts *attempts, Instant from, const ScheduleLife *life, int64_t now) {
    if (from.kind == INSTANT_NEVER || attempts->next.kind == INSTANT_NEVER ||
        attempts_are_of_another_time(attempts, life, now))
        return from;
    return instant_later(from, attempts->next);
}
