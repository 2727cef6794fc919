/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an identity can do, what is being done about it, and what is wrong: its state (docs/design.md §5), which changes
 * in one function alone. */
#pragma once

#include "identity/base.h"
#include "rules/state.h"

IdentityState identity_state(const Identity *identity);
/* `unavailable` since this TPM is another than the one that the key was made in. */
bool identity_is_replaced(const Identity *identity);
#define IDENTITY_REPLACED_TEXT                                                                                         \
    "this TPM is not the one that the key was made in; nothing is deleted; `idctl enroll` with a new key leads out"

IdentityActivity identity_activity(const Identity *identity);
void identity_set_activity(Identity *identity, IdentityActivity activity);
void identity_set_error(Identity *identity, const char *text); /* NULL: none */

/* Looks at everything that is known, and passes the events that follow through the table. */
void identity_evaluate(Identity *identity);

/* Refuses with the error of its state, unless it signs. */
int identity_require_ready(const Identity *identity, Failure *ret_failure);

/* The row of the table that says when the clock alone changes the state. */
extern const Duty standing_duty;

/* ---- for this room ---- */

int standing_new(Identity *identity);
void standing_free(Identity *identity);
/* A generation was committed: leads to `ready` from wherever it was. */
void standing_installed(Identity *identity);
/* What is on the disk cannot be read just now: `unavailable` until it can (NULL). */
void standing_set_storage_fault(Identity *identity, const char *text);
/* The generation was dropped: nothing is known of it any more. */
void standing_forget(Identity *identity);
