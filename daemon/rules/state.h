/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an identity can do, and what is being done about it (docs/design.md §5). The table is pure. */
#pragma once

#include "common/failure.h"

#include <stdbool.h>

typedef enum IdentityState {
    STATE_EMPTY,
    STATE_READY,
    STATE_EXPIRED,
    STATE_REVOKED,
    STATE_UNAVAILABLE,
    STATE_RETIRED,
    STATE_MISCONFIGURED,
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
    ACTIVITY_ENROLLING,
    ACTIVITY_RENEWING,
    ACTIVITY_WAITING,
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
