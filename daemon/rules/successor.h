/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a certificate takes the place of the one that is there (docs/design.md §10, law 1). That it verifies, is for
 * our key and carries the right names is known before this is asked. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Of a generation, as peers see it. Usages: bits of SUCCESSOR_CLIENT, SUCCESSOR_SERVER that its chain allows. */
#define SUCCESSOR_CLIENT (1U << 0)
#define SUCCESSOR_SERVER (1U << 1)
typedef struct SuccessorLife {
    int64_t not_before, chain_end;
    unsigned usages;
} SuccessorLife;

#define SUCCESSOR_WAIT_MAX (7 * 86400) /* seconds that a certificate may begin ahead, where none works meanwhile */
#define SUCCESSOR_LEFT_MIN 10 /* seconds of life that a certificate must have left, or there is no time to renew it */

typedef struct SuccessorFacts {
    int64_t now;                  /* the time in use */
    bool clock_is_behind;         /* then "not yet begun" proves nothing */
    bool is_the_present_one;      /* the very same certificate */
    const SuccessorLife *present; /* one that works; NULL: none does */
    SuccessorLife candidate;
    unsigned lent; /* usages for which the identity is lent */
} SuccessorFacts;

typedef enum SuccessorVerdict {
    SUCCESSOR_GOOD,
    SUCCESSOR_ENDS_EARLIER, /* good, with a warning: the CA has shortened its lifetimes */
    SUCCESSOR_WAITS,        /* good once it begins; until then the present one stays */
    SUCCESSOR_IS_THE_SAME,  /* the rest are refusals */
    SUCCESSOR_ENDS_TOO_SOON,
    SUCCESSOR_BEGINS_TOO_LATE,
    SUCCESSOR_LACKS_USAGE, /* one that the present one has, and the identity is lent for */
} SuccessorVerdict;

SuccessorVerdict successor_judge(const SuccessorFacts *facts);

static inline bool successor_is_refused(SuccessorVerdict verdict) {
    return verdict >= SUCCESSOR_IS_THE_SAME;
}
