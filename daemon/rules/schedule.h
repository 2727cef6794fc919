/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When a certificate is renewed (docs/design.md §10, laws 5 and 6). Pure: times are seconds since the epoch by the
 * clock that is in use for the identity, and come in as parameters. */
#pragma once

#include "common/instant.h"

/* The life of a generation as all schedules reckon it. */
typedef struct ScheduleLife {
    int64_t begin;     /* when it came: what was left then is its lifetime (law 6) */
    int64_t leaf_end;  /* NotAfter of the certificate */
    int64_t chain_end; /* the earliest NotAfter of its chain: from then on peers refuse it; at most leaf_end */
    int64_t late;      /* Attempts.late of when it came; 0 where that is not known */
} ScheduleLife;

/* `received`: when the generation was committed, 0 where that is not known. One that does not lie within the life (the
 * clock was elsewhere) is not believed: then the life begins with `not_before`. `late` is 0. */
ScheduleLife schedule_life(int64_t not_before, int64_t leaf_end, int64_t chain_end, int64_t received);

/* Seconds from begin to chain_end, at least 0. */
int64_t schedule_lifetime(const ScheduleLife *life);

/* [Renewal] At= and Jitter=. */
typedef struct ScheduleSettings {
    uint32_t renew_at_permille; /* of the lifetime; 0: `renew_before` counts */
    uint64_t renew_before;      /* seconds before the end */
    uint32_t jitter_permille;   /* of the lifetime, to either side */
} ScheduleSettings;

#define SCHEDULE_AT_PERMILLE_MIN 100U
#define SCHEDULE_AT_PERMILLE_MAX 950U

/* The instant of renewal: At= of the lifetime, moved by up to ± Jitter= of it; never before a tenth of the lifetime has
 * passed, never later than 95 % of it. `share` is this device's part of 2^64 for this certificate: the same device
 * always picks the same point, and a fleet spreads evenly.
 *
 * Reckoned from when the certificate was due, not from when it came: what an outage has pushed together, the next
 * renewal pulls apart again. */
int64_t schedule_renewal(const ScheduleLife *life, const ScheduleSettings *settings, uint64_t share);

/* `wanted`, or somewhat later where it went by before `awake`: since then nothing has kept us from coming in time (the
 * start of the daemon, the end of a suspend, the last time that the clock was set; 0: not known). A fleet that is
 * switched on at one hour does not come at one minute: it spreads over Jitter= of what is left of the chain, at most a
 * tenth and eight times what was missed, and over half of that after each day that a device has missed, because some
 * are never on for long. */
int64_t schedule_awake(const ScheduleLife *life, int64_t wanted, int64_t awake, uint32_t jitter_permille,
                       uint64_t share);

/* Seconds after the end of a chain within which a fleet renews, whose intermediate ends for all at one second. */
#define SCHEDULE_CHAIN_END_GAP 900
/* This device's part of them: 0 to SCHEDULE_CHAIN_END_GAP - 1. */
int64_t schedule_chain_end_delay(uint64_t share);

/* Law 5: the earliest instant for another success after one at `last_success`: a tenth of the lifetime later, and of
 * what was left then where that is less. A success that left a chain that has ended is of no use to peers: then a
 * quarter of an hour counts, where that is less, and not before this device's part of the gap (`chain_end_delay`). */
int64_t schedule_earliest(const ScheduleLife *life, int64_t last_success, int64_t chain_end_delay);
