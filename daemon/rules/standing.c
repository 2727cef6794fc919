/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From facts to events. */
#include "rules/standing.h"

IdentityState standing_state(const StandingFacts *facts) {
    if (facts->is_misconfigured)
        return STATE_MISCONFIGURED;
    if (facts->is_retired)
        return STATE_RETIRED;
    if (facts->is_revoked)
        return STATE_REVOKED;
    if (!facts->is_usable)
        return STATE_UNAVAILABLE;
    if (!facts->has_generation)
        return STATE_EMPTY;
    return facts->is_expired ? STATE_EXPIRED : STATE_READY;
}

static IdentityEvent event_to_ready(IdentityState state) {
    if (state == STATE_REVOKED)
        return EVENT_HOLD_ENDED;
    return state == STATE_EXPIRED ? EVENT_UNEXPIRED : EVENT_TPM_BACK_READY;
}

static IdentityEvent event_to_expired(IdentityState state) {
    if (state == STATE_REVOKED)
        return EVENT_HOLD_ENDED;
    return state == STATE_READY ? EVENT_EXPIRED : EVENT_TPM_BACK_EXPIRED;
}

bool standing_event(IdentityState state, const StandingFacts *facts, IdentityEvent *ret) {
    IdentityState wanted = standing_state(facts);

    if (state == wanted)
        return false;
    if (state == STATE_MISCONFIGURED) {
        *ret = EVENT_CONFIGURED;
        return true;
    }
    switch (wanted) {
    case STATE_MISCONFIGURED:
        *ret = EVENT_MISCONFIGURED;
        return true;
    case STATE_RETIRED:
        *ret = EVENT_RETIRED;
        return true;
    case STATE_REVOKED:
        *ret = state == STATE_UNAVAILABLE ? EVENT_TPM_BACK_REVOKED : EVENT_REVOKED;
        break;
    case STATE_UNAVAILABLE:
        *ret = state == STATE_REVOKED ? EVENT_HOLD_ENDED : EVENT_TPM_LOST;
        break;
    case STATE_EMPTY:
        *ret = EVENT_TPM_BACK_EMPTY;
        break;
    case STATE_READY:
        *ret = event_to_ready(state);
        break;
    default:
        *ret = event_to_expired(state);
    }
    /* What contradicts the state (a generation that is gone from under `ready`) leads nowhere, and is told as such. */
    IdentityState next = identity_state_next(state, *ret);
    return next != _STATE_INVALID && next != state;
}
