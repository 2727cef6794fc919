/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Single attempts without the duty that begins them, and how they ended. */
#pragma once

#include "enrolment/attempt.h"
#include "tests/unit/device/certify.h"

typedef struct Tried {
    unsigned calls; /* of `ended` */
    bool has_begun; /* else it failed at once */
    AttemptEnd end;
    bool was_resumed, kept_key;
    Attempt *attempt; /* while it runs */
} Tried;

/* Begins one; the outcome is in `tried` later. `how`: ended and userdata are filled in here. */
void tried_begin(Identity *identity, const AttemptStart *how, Tried *tried);
/* The same, until it has ended. */
Tried attempt_try(Machine *machine, Identity *identity, AttemptStart how);
/* Gives it up, if it runs. */
void tried_clear(Tried *tried);
#define _cleanup_tried_ _cleanup_(tried_clear)

/* Fails the test unless it failed so. */
void expect_tried(const Tried *tried, FailureKind kind, const char *text);
/* Fails the test unless it succeeded. */
void expect_done(const Tried *tried);
