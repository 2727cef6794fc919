/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The rules of time: one authority's word counts for its own domain, and never beyond the time in use. */
#include "rules/clock.h"

#include "rules/seconds.h"

#define USEC_PER_SECOND 1000000U

int64_t clock_floor_now(const ClockFloor *floor, uint64_t boot) {
    uint64_t passed = boot > floor->since ? boot - floor->since : 0;

    return seconds_add(floor->at, (int64_t) (passed / USEC_PER_SECOND));
}

int64_t clock_in_use(int64_t realtime, const ClockFloor *floor, uint64_t boot) {
    return seconds_most(realtime, clock_floor_now(floor, boot));
}

bool clock_is_behind(int64_t realtime, const ClockFloor *floor, uint64_t boot) {
    return seconds_add(realtime, CLOCK_SLACK) < clock_floor_now(floor, boot);
}

bool clock_learn(const ClockFloor *floor, const ClockNow *now, int64_t instant, ClockFloor *ret) {
    int64_t in_use = clock_in_use(now->realtime, floor, now->boot);

    if (instant >= CLOCK_MAX)
        return false;
    if (!now->is_behind)
        instant = seconds_least(instant, in_use);
    if (instant <= clock_floor_now(floor, now->boot))
        return false;
    *ret = (ClockFloor) { .at = instant, .since = now->boot };
    return true;
}

int64_t clock_floor_bounded(int64_t stored, int64_t build_time, int64_t chain_end) {
    if (stored >= CLOCK_MAX)
        return build_time;
    if (chain_end > 0)
        stored = seconds_least(stored, chain_end);
    return seconds_most(stored, build_time);
}

int64_t clock_to_verify(int64_t in_use, bool is_behind, int64_t not_before) {
    bool is_early = not_before > in_use && (is_behind || not_before <= seconds_add(in_use, CLOCK_SKEW));

    return is_early ? not_before : in_use;
}

int64_t clock_to_judge(int64_t to_verify, bool is_behind, int64_t made) {
    return is_behind ? seconds_most(to_verify, made) : to_verify;
}
