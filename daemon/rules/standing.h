/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an identity can do, from all that is known of it, and the event that says so. Pure. */
#pragma once

#include "rules/state.h"

typedef struct StandingFacts {
    bool is_misconfigured;
    bool is_retired;
    bool is_revoked;     /* or on hold */
    bool is_usable;      /* its files can be read, the TPM is there, and it is the one that the key was made in */
    bool has_generation; /* a key with a certificate */
    bool is_expired;     /* by the time in use */
} StandingFacts;

/* The state that the facts amount to. A faulty configuration hides all else; retired outranks revoked, which outranks
 * an unusable TPM, which outranks expired. */
IdentityState standing_state(const StandingFacts *facts);

/* The event that leads from `state` towards what the facts amount to; false: it is that already. One event may not lead
 * all the way: ask until there is none. EVENT_INSTALLED is said by whoever commits a generation, never here. */
bool standing_event(IdentityState state, const StandingFacts *facts, IdentityEvent *ret);
#define STANDING_EVENTS_MAX 3U /* that it takes at most */
