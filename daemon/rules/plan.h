/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes next for an identity by itself: nothing, a first enrolment, a renewal, a fall back, or going on with what
 * the CA has taken; authenticated how, with which key, from when on, and why (docs/design.md §10). Pure. */
#pragma once

#include "rules/attempts.h"
#include "rules/state.h"

#include <stdbool.h>

/* Work that is kept under pending/. */
typedef enum PlanPending {
    PENDING_NOTHING,
    PENDING_ENROLMENT, /* a request that the CA has taken (202) … */
    PENDING_RENEWAL,   /* … and one for /simplereenroll */
    PENDING_ISSUED,    /* a certificate that came and has not begun */
} PlanPending;

typedef struct PlanFacts {
    int64_t now;
    IdentityState state;
    bool is_possible;          /* EST, a TPM that can be used, and no attempt is under way */
    bool hold;                 /* `revoked` is a hold, which ends by itself */
    bool enrols_if_revoked;    /* AfterRevocation=enroll */
    bool rotates_key;          /* RotateKey=yes */
    bool has_enrolment_means;  /* [Enrollment] Authenticate= is set */
    bool is_renewed_by_others; /* [Renewal] Authenticate= names another identity or a credential */
    bool boot_renewal;         /* the clock started behind: one renewal is tried (docs/design.md §10, clock) */
    PlanPending pending;
    bool pending_same_key;    /* its key is that of the present generation */
    int64_t pending_begins;   /* of PENDING_ISSUED: its NotBefore */
    const ScheduleLife *life; /* of the present generation, also of an expired one; NULL: none */
    int64_t renewal;          /* schedule_renewal of it */
    int64_t chain_end_delay;
    int64_t awake; /* as schedule_awake takes it, with the share and Jitter= that `renewal` was reckoned with */
    uint64_t share;
    uint32_t jitter_permille;
    Attempts attempts;
} PlanFacts;

typedef enum PlanStep {
    PLAN_NOTHING,
    PLAN_ENROL,     /* as for the first time, with the names of the configuration */
    PLAN_RENEW,     /* with the names of the present certificate */
    PLAN_FALL_BACK, /* the same, authenticated like a first enrolment */
    PLAN_RESUME,    /* the request that the CA has taken, once more */
    PLAN_INSTALL,   /* the certificate that came and has begun by now */
} PlanStep;

typedef enum PlanMeans {
    MEANS_ENROLMENT, /* [Enrollment] Authenticate=, nothing if that is not set */
    MEANS_RENEWAL,   /* [Renewal] Authenticate= */
    MEANS_ITSELF,    /* the present certificate: /simplereenroll */
} PlanMeans;

typedef struct Plan {
    PlanStep step;
    PlanMeans means;
    bool present_names; /* Subject and SAN of the present certificate, else those of the configuration */
    bool new_key;
    bool drop_pending; /* what is under pending/ was begun in another way */
    Instant from;
    const char *why; /* for the log and for people: one word or a few */
} Plan;

void plan_next(const PlanFacts *facts, Plan *ret);

/* Whether it gets to `ready` without anybody, or is: it waits for time, the CA or the TPM, and for no admin.
 * is_possible is to say what is possible once the TPM can be used and nothing is under way. `is_replaced`:
 * `unavailable`, because the TPM is another one. */
bool plan_gets_ready(const PlanFacts *facts, bool is_replaced);

/* When the present certificate is to be renewed, retries aside; never, where it is not by itself. */
Instant plan_renewal(const PlanFacts *facts);

/* Whether the chain is refused by peers already. */
bool plan_chain_has_ended(const PlanFacts *facts);
