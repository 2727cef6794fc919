/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When something is due: never, at once, or at a second of the clock. A type, since 0 and 1 are seconds too, and
 * "never" and "at once" mistaken for them have been faults. A zeroed object says never. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef enum InstantKind { INSTANT_NEVER, INSTANT_AT_ONCE, INSTANT_AT } InstantKind;

typedef struct Instant {
    InstantKind kind;
    int64_t seconds; /* since the epoch; of INSTANT_AT only */
} Instant;

static inline Instant instant_never(void) {
    return (Instant) { INSTANT_NEVER, 0 };
}

static inline Instant instant_at_once(void) {
    return (Instant) { INSTANT_AT_ONCE, 0 };
}

static inline Instant instant_at(int64_t seconds) {
    return (Instant) { INSTANT_AT, seconds };
}

/* Whether it has come by `now`. */
static inline bool instant_is_due(Instant instant, int64_t now) {
    return instant.kind == INSTANT_AT_ONCE || (instant.kind == INSTANT_AT && instant.seconds <= now);
}

static inline bool instant_is_before(Instant a, Instant b) {
    if (a.kind == INSTANT_NEVER || b.kind == INSTANT_AT_ONCE)
        return false;
    if (a.kind == INSTANT_AT_ONCE || b.kind == INSTANT_NEVER)
        return true;
    return a.seconds < b.seconds;
}

static inline Instant instant_earlier(Instant a, Instant b) {
    return instant_is_before(b, a) ? b : a;
}

static inline Instant instant_later(Instant a, Instant b) {
    return instant_is_before(a, b) ? b : a;
}

/* For files and for people, who know seconds alone: 0 for never, `now` for at once. */
static inline int64_t instant_to_seconds(Instant instant, int64_t now) {
    return instant.kind == INSTANT_AT ? instant.seconds : instant.kind == INSTANT_AT_ONCE ? now : 0;
}

static inline Instant instant_from_seconds(int64_t seconds) {
    return seconds == 0 ? instant_never() : instant_at(seconds);
}
