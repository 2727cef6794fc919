/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An attempt at EST enrolment; shared by enrolment.c (the attempt itself), enrolment-authentication.c and
 * enrolment-question.c (parts of it), and lifecycle.c (when one begins, and who asks for one). */
#pragma once

#include "manager/internal.h"

#include <gnutls/crypto.h>

struct Enrolment {
    Identity *identity;
    uint64_t id;
    bool renewal;     /* simplereenroll */
    bool copy_names;  /* Subject and SAN of the present certificate */
    bool has_pending; /* pending/ holds this attempt's key */
    bool resumed;     /* it goes on with a request that the CA has taken */
    StoredPending pending;
    TpmKey *key;
    uint64_t authenticator; /* instance; 0: none */
    uint32_t authenticator_generation;
    TpmKey *authenticator_key;
    Bytes authenticator_chain; /* PEM */
    char *credential, *user;   /* with which it authenticates over HTTP; NULL: it does not */
    Job *job;
    Failure own_failure;
    Operation *operations;
};

/* What an answer that arrives later is matched with. */
typedef struct EnrolmentToken {
    Manager *manager;
    uint64_t identity, enrolment;
    uint8_t type;
    uint32_t serial;
} EnrolmentToken;

typedef struct EnrolmentStart {
    bool renewal, copy_names, new_key, drop_pending;
    Operation **operations; /* taken over; may be NULL */
} EnrolmentStart;

/* Whether there will be an attempt, once the TPM is there, without anybody asking. */
bool enrolment_comes_by_itself(Identity *identity);

/* Begins an attempt; none may be running. What happens is told through operations, state and log. */
void enrolment_begin(Identity *identity, const EnrolmentStart *start);

/* Ends the attempt as failed: counts, schedules the next one, tells everybody. Frees it. */
void enrolment_fail(Enrolment *enrolment, const Failure *failure, bool permanent, uint32_t retry_after);

void enrolment_fail_errno(Enrolment *enrolment, int r, const char *what);

Enrolment *enrolment_free(Enrolment *enrolment);

/* The attempt that a token was made for; NULL if that is over. */
Enrolment *enrolment_by_token(const EnrolmentToken *token);
/* The caller frees; NULL for want of memory. `question` may be NULL. */
EnrolmentToken *enrolment_token(Enrolment *enrolment, const JobQuestion *question);

/* ---- enrolment-authentication.c ---- */

/* Fills in what the attempt authenticates with. Fails where that is not to be had just now: the identity that it names
 * is not ready (its becoming so ends the wait), the credential cannot be read, or nothing is left that may. */
int enrolment_prepare(Enrolment *enrolment, Failure *ret_failure);

/* The password for its job, read anew; NULL where it needs none. */
int enrolment_password(const Enrolment *enrolment, Secret **ret, Failure *ret_failure);

/* ---- enrolment-question.c ---- */

/* JobCallbacks.question; `userdata` is the Enrolment. */
void enrolment_question(const JobQuestion *question, void *userdata);

/* ---- enrolment.c ---- */

/* Fills in key and parent Name; 0 or -errno. */
int pending_from_key(const TpmKey *key, StoredPending *pending);
