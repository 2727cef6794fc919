/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enrolment duty: what comes next for an identity (rules/plan), done at its time, and what is asked for in between
 * (asked.h). */
#pragma once

#include "common/instant.h"
#include "enrolment/attempt.h"
#include "enrolment/duties.h"
#include "work/operation.h"

/* What comes next by itself, as rules/plan says. */
void enrolment_plan(const Identity *identity, Plan *ret);

/* When the next attempt comes by itself: at once also where one is under way; never, where none does. */
Instant enrolment_when(const Identity *identity);
/* When the present certificate is to be renewed, retries aside. */
Instant enrolment_renewal_when(const Identity *identity);

/* Whether it gets to `ready` without anybody, or is (rules/plan). */
bool enrolment_gets_ready(const Identity *identity);

/* Attempts since identityd started, and those that failed. */
typedef struct EnrolmentCounters {
    uint64_t attempts, failed;
} EnrolmentCounters;
EnrolmentCounters enrolment_counters(const Identity *identity);

/* The identity `name` became ready: who waits for it to authenticate waits no longer. */
void enrolment_authenticator_ready(Identity *identity, const char *name);

/* From now on nothing keeps it from renewing in time: the start, and when the clock was set by a minute or more. */
void enrolment_note_awake(Identity *identity);

/* The clock started behind what is certainly past: one renewal is tried. */
void enrolment_plan_boot_renewal(Identity *identity);

/* ---- for asked.c ---- */

/* What runs; NULL: nothing. */
const Attempt *enrolment_attempt(const Identity *identity);
/* Begins one; none may be running. `operation` waits for it. */
void enrolment_begin(Identity *identity, const Plan *how, Operation *operation /* taken, may be NULL */);
/* Ends one that came by itself and that nobody waits for, so that another may begin. False: somebody does. */
bool enrolment_give_way(Identity *identity);
/* Waits for the one that runs. */
void enrolment_join(Identity *identity, Operation *operation /* taken */);
