/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to get a certificate by EST, from its first step to its outcome. The old generation stays live until the
 * new one is committed; what is made on the way (key, request) is kept under pending/, so that a restart or a "later"
 * goes on with the same. For this room alone. Files: attempt.c, authentication.c (what it shows the CA), questions.c
 * (what the enroller may ask of it). */
#pragma once

#include "identity/identity.h"
#include "rules/plan.h"
#include "work/key-tasks.h"
#include "work/work.h"

typedef struct Attempt Attempt;

typedef enum AttemptResult {
    ATTEMPT_DONE,    /* the new generation is current */
    ATTEMPT_PUT_OFF, /* the CA has taken the request (202) */
    ATTEMPT_EARLY,   /* a certificate came that begins later: it is kept */
    ATTEMPT_FAILED,
} AttemptResult;

typedef struct AttemptEnd {
    AttemptResult result;
    Failure failure;              /* of ATTEMPT_FAILED */
    bool permanent;               /* the CA will not answer that request in another way */
    uint32_t told;                /* Retry-After, seconds; 0: none */
    int64_t wasted_lifetime;      /* of a certificate that was refused here; 0: none */
    int64_t begins;               /* of ATTEMPT_EARLY */
    bool waits_for_authenticator; /* of ATTEMPT_FAILED: the identity that authenticates is not ready; see
                                     attempt_authenticate */
} AttemptEnd;

/* How it is done: a plan's part. */
typedef struct AttemptStart {
    PlanMeans means;
    bool present_names, new_key, drop_pending;
    /* Called once, in a later turn of the loop, after which the attempt is the callee's to free. */
    void (*ended)(Attempt *attempt, const AttemptEnd *end, void *userdata);
    void *userdata;
} AttemptStart;

/* Begins one. On failure nothing has begun, and nobody is called. */
int attempt_begin(Identity *identity, const AttemptStart *start, Attempt **ret, AttemptEnd *ret_end);
Attempt *attempt_free(Attempt *attempt);
DEFINE_CLEANUP(Attempt, attempt_free)

const AttemptStart *attempt_start(const Attempt *attempt);
bool attempt_keeps_key(const Attempt *attempt);      /* the present generation's key is certified anew */
bool attempt_is_reenrolment(const Attempt *attempt); /* authenticated by the certificate itself: /simplereenroll */
/* It goes on with a request that the CA had taken. */
bool attempt_is_resumed(const Attempt *attempt);

/* ---- what its files share ---- */

struct Attempt {
    Identity *identity;
    AttemptStart start;
    bool has_pending; /* pending/ holds this attempt's key */
    bool is_resumed;
    bool is_linked; /* its request was made for one TLS session, and is made again for another */
    StoredPending pending;
    TpmKey *key;
    /* of authentication.c */
    uint64_t authenticator; /* instance of the identity whose key authenticates; 0: none */
    uint32_t authenticator_generation;
    TpmKey *authenticator_key;
    Bytes authenticator_chain; /* PEM */
    char *credential, *user;   /* with which it authenticates over HTTP; NULL: it does not */
    bool waits_for_authenticator;
    /* what runs */
    Job *job;
    TpmTask *task;
    /* of questions.c: the one that is being answered */
    uint8_t question_type;
    uint32_t question_serial;
    Failure own_failure; /* what was refused to the enroller, in our words */
};

/* authentication.c: fills in what the attempt authenticates with. Fails where that is not to be had just now: the
 * identity that it names is not ready (its becoming so ends the wait), the credential cannot be read, or nothing is
 * left that may. */
int attempt_authenticate(Attempt *attempt, Failure *ret_failure);
/* The password for its job, read anew; NULL where it needs none. */
int attempt_password(const Attempt *attempt, Secret **ret, Failure *ret_failure);

/* questions.c: JobCallbacks.question; `userdata` is the Attempt. */
void attempt_question(const JobQuestion *question, void *userdata);
