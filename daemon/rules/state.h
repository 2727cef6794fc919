/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an identity can do, and what is being done about it (docs/design.md §5). The table is pure. */
#pragma once

#include "common/failure.h"

#include <stdbool.h>

typedef enum IdentityState {
    STATE_EMPTY,       /* no certificate yet */
    STATE_READY,       /* a valid one, and a key that signs: the only state in which anything is signed */
    STATE_EXPIRED,     /* its own certificate is past its end; the chain may end before it, and that changes no state */
    STATE_REVOKED,     /* by its CA, also for a while (hold); outranks expired and unavailable */
    STATE_UNAVAILABLE, /* the TPM is away, locked or another one, or the disk cannot be read; also before the first look
                        */
    STATE_RETIRED,     /* an admin destroyed the key: there is nothing that could come back by itself */
    STATE_MISCONFIGURED, /* what it may do is not known, so nobody may use it; hides every other state until mended */
    _STATE_COUNT,
    _STATE_INVALID = -1,
} IdentityState;

typedef enum IdentityEvent {
    EVENT_INSTALLED, /* a generation was committed (from revoked, retired and replaced: with a new key) */
    EVENT_EXPIRED,   /* NotAfter passed by the time of §10 */
    EVENT_UNEXPIRED, /* and came back */
    EVENT_REVOKED,
    EVENT_HOLD_ENDED,       /* certificateHold was lifted */
    EVENT_TPM_LOST,         /* missing, lockout or replaced; or what is on the disk cannot be read just now */
    EVENT_TPM_BACK_EMPTY,   /* the TPM is there and fits; the identity has no certificate */
    EVENT_TPM_BACK_READY,   /* … has a valid one */
    EVENT_TPM_BACK_EXPIRED, /* … has an expired one */
    EVENT_TPM_BACK_REVOKED, /* … has a revoked one */
    EVENT_RETIRED,
    EVENT_MISCONFIGURED, /* its configuration cannot be read, or asks for what cannot be */
    EVENT_CONFIGURED,    /* and was mended: what it can do is found out anew */
    _EVENT_COUNT,
} IdentityEvent;

typedef enum IdentityActivity {
    ACTIVITY_IDLE,
    ACTIVITY_ENROLLING, /* an attempt runs, and no certificate is in use meanwhile */
    ACTIVITY_RENEWING,  /* an attempt runs, and the present one goes on signing */
    ACTIVITY_WAITING, /* for the next attempt after a failure, for the CA's word after a 202, or for a certificate that
                         begins later */
    _ACTIVITY_COUNT
} IdentityActivity;

const char *identity_state_to_string(IdentityState state);
const char *identity_event_to_string(IdentityEvent event);
const char *identity_activity_to_string(IdentityActivity activity);

/* The next state: `state` itself where the event changes nothing; _STATE_INVALID where it must not happen (the caller
 * refuses or logs its own bug). */
IdentityState identity_state_next(IdentityState state, IdentityEvent event);

bool identity_state_signs(IdentityState state);

/* The failure with which a request is refused in this state; FAILURE_NONE when it signs. `replaced` selects between
 * TPM_REPLACED and TPM_UNAVAILABLE. */
FailureKind identity_state_failure(IdentityState state, bool replaced);
