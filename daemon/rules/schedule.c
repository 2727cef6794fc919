/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The instant of renewal, and how close two successes may be. */
#include "rules/schedule.h"

#include "rules/seconds.h"

#define EARLIEST_PART 10 /* two successes are this part of the lifetime apart */

#define DAY                86400
#define AWAKE_PERMILLE_MAX 100                           /* of what is left, over which late devices spread */
#define AWAKE_MISSED       8                             /* times what was missed */
#define AWAKE_MULTIPLIER   UINT64_C(6364136223846793005) /* of a linear congruential generator (Knuth, MMIX) */

/* `value` ≥ 0. */
static int64_t permille_of(int64_t value, uint32_t permille) {
    return (int64_t) ((__int128) value * permille / 1000);
}

/* 0 to `range` - 1. */
static int64_t part_of(uint64_t share, uint64_t range) {
    return (int64_t) (((unsigned __int128) share * range) >> 64);
}

ScheduleLife schedule_life(int64_t not_before, int64_t leaf_end, int64_t chain_end, int64_t received) {
    bool is_within = received != 0 && received > not_before && received < chain_end;

    return (ScheduleLife) {
        .begin = is_within ? received : not_before,
        .leaf_end = leaf_end,
        .chain_end = seconds_least(chain_end, leaf_end),
    };
}

int64_t schedule_lifetime(const ScheduleLife *life) {
    return seconds_most(seconds_subtract(life->chain_end, life->begin), 0);
}

int64_t schedule_renewal(const ScheduleLife *life, const ScheduleSettings *settings, uint64_t share) {
    int64_t lifetime = schedule_lifetime(life);

    if (lifetime == 0)
        return life->chain_end;
    int64_t low = permille_of(lifetime, SCHEDULE_AT_PERMILLE_MIN),
            high = permille_of(lifetime, SCHEDULE_AT_PERMILLE_MAX);
    int64_t before = settings->renew_before > INT64_MAX ? INT64_MAX : (int64_t) settings->renew_before;
    int64_t at = settings->renew_at_permille > 0 ? permille_of(lifetime, settings->renew_at_permille)
                                                 : seconds_subtract(lifetime, before);
    int64_t jitter = permille_of(lifetime, settings->jitter_permille < 1000 ? settings->jitter_permille : 1000);

    /* The window is cut to the bounds before a point is chosen in it, never the point: else many would meet at a bound.
     */
    at = seconds_clamp(at, low, high);
    at = seconds_clamp(at - (at > 0 && life->late > 0 ? life->late % at : 0), low, high);
    int64_t from = seconds_clamp(seconds_subtract(at, jitter), low, high),
            to = seconds_clamp(seconds_add(at, jitter), low, high);
    return seconds_add(life->begin, from + part_of(share, (uint64_t) (to - from) + 1));
}

int64_t schedule_awake(const ScheduleLife *life, int64_t wanted, int64_t awake, uint32_t jitter_permille,
                       uint64_t share) {
    int64_t left = seconds_subtract(life->chain_end, awake), missed = seconds_subtract(awake, wanted);

    if (awake <= 0 || missed <= 0 || left <= 0)
        return wanted;
    uint32_t permille = jitter_permille < AWAKE_PERMILLE_MAX ? jitter_permille : AWAKE_PERMILLE_MAX;
    int64_t window = permille_of(left, permille);
    if (missed < window / AWAKE_MISSED)
        window = missed * AWAKE_MISSED;
    /* Another part of the window each day: those whose part is a late one are left, and would be together again. */
    for (int64_t days = missed / DAY; days > 0 && window > 0; days--) {
        window /= 2;
        share = share * AWAKE_MULTIPLIER + 1;
    }
    return seconds_add(awake, part_of(share, (uint64_t) window + 1));
}

int64_t schedule_chain_end_delay(uint64_t share) {
    return part_of(share, SCHEDULE_CHAIN_END_GAP);
}

int64_t schedule_earliest(const ScheduleLife *life, int64_t last_success, int64_t chain_end_delay) {
    int64_t lifetime = schedule_lifetime(life), left = seconds_subtract(life->chain_end, last_success);

    /* Law 6 once more: where it is not known when the generation came, what was left at the success is. */
    if (left >= 0)
        return seconds_add(last_success, seconds_least(lifetime, left) / EARLIEST_PART);
    int64_t gap = seconds_least(lifetime / EARLIEST_PART, SCHEDULE_CHAIN_END_GAP),
            ended = seconds_add(seconds_add(life->chain_end, 1), chain_end_delay);
    return seconds_most(seconds_add(last_success, gap), ended);
}
