/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of states (docs/design.md §5). Rules that it follows: retired ends only by a new generation; revoked
 * outranks expired and unavailable, and ends only by a new generation or the end of a hold; events that may arrive late
 * (a CRL for what was retired meanwhile) change nothing; a faulty configuration hides all else until it is mended; what
 * contradicts the state is invalid. */
#include "rules/state.h"

#include <stddef.h>
#include <string.h>

static const char *const state_names[_STATE_COUNT] = {
    [STATE_EMPTY] = "empty",
    [STATE_READY] = "ready",
    [STATE_EXPIRED] = "expired",
    [STATE_REVOKED] = "revoked",
    [STATE_UNAVAILABLE] = "unavailable",
    [STATE_RETIRED] = "retired",
    [STATE_MISCONFIGURED] = "misconfigured",
};

static const char *const event_names[_EVENT_COUNT] = {
    [EVENT_INSTALLED] = "installed",
    [EVENT_EXPIRED] = "expired",
    [EVENT_UNEXPIRED] = "unexpired",
    [EVENT_REVOKED] = "revoked",
    [EVENT_HOLD_ENDED] = "hold-ended",
    [EVENT_TPM_LOST] = "tpm-lost",
    [EVENT_TPM_BACK_EMPTY] = "tpm-back-empty",
    [EVENT_TPM_BACK_READY] = "tpm-back-ready",
    [EVENT_TPM_BACK_EXPIRED] = "tpm-back-expired",
    [EVENT_TPM_BACK_REVOKED] = "tpm-back-revoked",
    [EVENT_RETIRED] = "retired",
    [EVENT_MISCONFIGURED] = "misconfigured",
    [EVENT_CONFIGURED] = "configured",
};

static const char *const activity_names[_ACTIVITY_COUNT] = {
    [ACTIVITY_IDLE] = "idle",
    [ACTIVITY_ENROLLING] = "enrolling",
    [ACTIVITY_RENEWING] = "renewing",
    [ACTIVITY_WAITING] = "waiting",
};

const char *identity_state_to_string(IdentityState state) {
    return (unsigned) state < _STATE_COUNT ? state_names[state] : NULL;
}

const char *identity_event_to_string(IdentityEvent event) {
    return (unsigned) event < _EVENT_COUNT ? event_names[event] : NULL;
}

const char *identity_activity_to_string(IdentityActivity activity) {
    return (unsigned) activity < _ACTIVITY_COUNT ? activity_names[activity] : NULL;
}

#define EMPTY STATE_EMPTY
#define READY STATE_READY
#define EXP   STATE_EXPIRED
#define REV   STATE_REVOKED
#define UNAV  STATE_UNAVAILABLE
#define RET   STATE_RETIRED
#define MISC  STATE_MISCONFIGURED
#define WRONG _STATE_INVALID

/* clang-format off */
static const IdentityState table[_EVENT_COUNT][_STATE_COUNT] = {
    /* from:                      EMPTY  READY  EXPIRED REVOKED UNAVAILABLE RETIRED MISCONFIGURED */
    [EVENT_INSTALLED]        = { READY, READY, READY,  READY,  READY,      READY,  WRONG },
    [EVENT_EXPIRED]          = { WRONG, EXP,   EXP,    REV,    UNAV,       RET,    MISC  },
    [EVENT_UNEXPIRED]        = { WRONG, READY, READY,  REV,    UNAV,       RET,    MISC  },
    [EVENT_REVOKED]          = { REV,   REV,   REV,    REV,    REV,        RET,    MISC  },
    [EVENT_HOLD_ENDED]       = { WRONG, WRONG, WRONG,  READY,  UNAV,       RET,    MISC  },
    [EVENT_TPM_LOST]         = { UNAV,  UNAV,  UNAV,   REV,    UNAV,       RET,    MISC  },
    [EVENT_TPM_BACK_EMPTY]   = { EMPTY, WRONG, WRONG,  WRONG,  EMPTY,      RET,    MISC  },
    [EVENT_TPM_BACK_READY]   = { WRONG, READY, READY,  WRONG,  READY,      RET,    MISC  },
    [EVENT_TPM_BACK_EXPIRED] = { WRONG, EXP,   EXP,    WRONG,  EXP,        RET,    MISC  },
    [EVENT_TPM_BACK_REVOKED] = { WRONG, REV,   REV,    REV,    REV,        RET,    MISC  },
    [EVENT_RETIRED]          = { RET,   RET,   RET,    RET,    RET,        RET,    RET   },
    [EVENT_MISCONFIGURED]    = { MISC,  MISC,  MISC,   MISC,   MISC,       MISC,   MISC  },
    [EVENT_CONFIGURED]       = { EMPTY, READY, EXP,    REV,    UNAV,       RET,    UNAV  },
};
/* clang-format on */

IdentityState identity_state_next(IdentityState state, IdentityEvent event) {
    if ((unsigned) state >= _STATE_COUNT || (unsigned) event >= _EVENT_COUNT)
        return _STATE_INVALID;
    return table[event][state];
}

bool identity_state_signs(IdentityState state) {
    return state == STATE_READY;
}

FailureKind identity_state_failure(IdentityState state, bool replaced) {
    switch (state) {
    case STATE_READY:
        return FAILURE_NONE;
    case STATE_EMPTY:
        return FAILURE_NOT_READY;
    case STATE_EXPIRED:
        return FAILURE_EXPIRED;
    case STATE_REVOKED:
        return FAILURE_REVOKED;
    case STATE_UNAVAILABLE:
        return replaced ? FAILURE_TPM_REPLACED : FAILURE_TPM_UNAVAILABLE;
    case STATE_RETIRED:
        return FAILURE_RETIRED;
    case STATE_MISCONFIGURED:
        return FAILURE_NOT_READY;
    default:
        return FAILURE_INTERNAL;
    }
}
