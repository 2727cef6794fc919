/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What time it is for a trust domain, the identities with the same anchors (docs/design.md §10, clock). Pure: seconds
 * since the epoch, and microseconds of CLOCK_BOOTTIME, come in as parameters. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CLOCK_MAX   (INT32_MAX * 100LL) /* what lies later is no instant that anybody has seen */
#define CLOCK_SKEW  300 /* seconds that a CA's clock may be ahead of ours: not every CA backdates what it issues */
#define CLOCK_SLACK 60  /* seconds that the system clock may be behind a floor before it counts as behind */

/* An instant that is certainly past, and grows with the time since that was learned. */
typedef struct ClockFloor {
    int64_t at;     /* seconds */
    uint64_t since; /* µs of CLOCK_BOOTTIME at which `at` was learned */
} ClockFloor;

/* The floor by now. A `since` that lies ahead is of another boot, and adds nothing. */
int64_t clock_floor_now(const ClockFloor *floor, uint64_t boot);

/* The time in use: the system clock's, but never below the floor. */
int64_t clock_in_use(int64_t realtime, const ClockFloor *floor, uint64_t boot);

/* Whether the system clock is behind what is certainly past. Asked at the start and when the clock was set, and not in
 * between: what an authority says meanwhile must not make the clock look wrong. */
bool clock_is_behind(int64_t realtime, const ClockFloor *floor, uint64_t boot);

/* The floor after `instant` was learned from something that an authority of the domain has signed. Nothing beyond the
 * time in use is learned, unless the clock `is_behind`. True: `ret` is higher than `floor`. */
typedef struct ClockNow {
    int64_t realtime;
    uint64_t boot;
    bool is_behind;
} ClockNow;
bool clock_learn(const ClockFloor *floor, const ClockNow *now, int64_t instant, ClockFloor *ret);

/* What a stored floor counts for: at least the build time, and at most the end of the chain that it stands beside
 * (`chain_end`, 0: none), so that a damaged file expires nothing. */
int64_t clock_floor_bounded(int64_t stored, int64_t build_time, int64_t chain_end);

/* The time to verify a certificate with that begins at `not_before`: by a clock that is behind, "not yet valid" proves
 * nothing, and a little ahead is tolerated. That tolerance is never learned from. */
int64_t clock_to_verify(int64_t in_use, bool is_behind, int64_t not_before);

/* The same for a signed statement (a CRL, an OCSP answer) that was made at `made`. */
int64_t clock_to_judge(int64_t to_verify, bool is_behind, int64_t made);
