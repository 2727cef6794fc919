/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How much of the main loop's time calls on the bus may take, by user. Messages come in the order in which the bus got
 * them, and so whoever has a thousand on their way is before everybody else; what is too much of one is refused at
 * once, which costs next to nothing, and the others get their turn. Half of the time is for calls, the other half for
 * what identityd does by itself; that half is shared by those who called within the last second. Pure: the time is
 * given, in microseconds of a clock that only goes on. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ALLOWANCE_BURST    250000U /* µs that somebody may take at once after a pause */
#define ALLOWANCE_PLACES   64U     /* users that are counted on their own; all others have one more together */
#define ALLOWANCE_RECENT   1000000U
#define ALLOWANCE_OF_CALLS 2U /* one part in so many of the time */

typedef struct Allowances Allowances;

/* 0 or -ENOMEM. */
int allowances_new(Allowances **ret);
Allowances *allowances_free(Allowances *allowances);
DEFINE_CLEANUP(Allowances, allowances_free)

/* Whether a call of somebody who is counted as `party` is to be answered now. */
bool allowances_admit(Allowances *allowances, uid_t party, uint64_t now);
/* That such a call took `spent` microseconds. */
void allowances_charge(Allowances *allowances, uid_t party, uint64_t spent, uint64_t now);
