/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What idctl wait makes of what it is told: whether an identity is where it is wanted, may still get there, or will not
 * by itself; and the words for it. Pure. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* No time at which it gives up. */
#define WAIT_FOR_EVER UINT64_MAX

typedef struct WaitFacts {
    const char *state, *activity, *last_error; /* as of org.identityd1.Identity */
    uint64_t next_attempt;                     /* µs since the epoch, 0: none */
    bool ready_by_itself;
} WaitFacts;

typedef enum WaitVerdict {
    WAIT_REACHED,
    WAIT_GOES_ON,
    WAIT_IN_VAIN, /* somebody has to act first */
} WaitVerdict;

/* Whether such a state exists. */
bool wait_state_is_known(const char *state);

/* "60s", "2h" or "infinity": µs, at least a second; -EINVAL. */
int wait_timeout_parse(const char *text, uint64_t *ret);

/* That a wait is in vain is known of `ready` alone: any other state may be brought about by somebody else. */
WaitVerdict wait_judge(const char *wanted, const WaitFacts *facts);

/* "it is empty, waiting; next attempt at …; last error: …", without a full stop. `now`: µs since the epoch. The caller
 * frees; NULL without memory. */
char *wait_describe(const WaitFacts *facts, uint64_t now);

/* What somebody has to do where a wait is in vain; one or two sentences with their full stop. Never NULL. */
const char *wait_advice(const WaitFacts *facts);
