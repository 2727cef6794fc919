/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A signing thread on a real swtpm with one identity, what it called back, and a holder's side of handles that is
 * written from the protocol alone: raw sockets, no common/packet. */
#pragma once

#include "fakes/swtpm.h"
#include "signing/signing.h"
#include "tests/unit/common/test.h"

#include <stdatomic.h>

#define EVENTS_MAX 64U

typedef struct GenerationEvent {
    char identity[80];
    uint32_t generation;
} GenerationEvent;

typedef struct Bench {
    Swtpm *swtpm;
    sd_event *loop;
    Signing *signing;
    TpmKey *keys[3]; /* P-256, P-256, RSA-2048 if it was asked for */
    int chain_fd, anchors_fd;
    uint64_t next_id;
    unsigned closed, troubles;
    uint64_t last_closed;
    int failed; /* what the last handle was closed for that had to be */
    FailureKind last_trouble;
    GenerationEvent used[EVENTS_MAX], unused[EVENTS_MAX];
    unsigned used_count, unused_count;
} Bench;

/* Group setups: a bench with the identity "demo", generation 1, ready. */
int bench_start(void **state);
int bench_start_with_rsa(void **state);
int bench_start_with_grace(void **state, uint64_t grace);
int bench_start_with_faults(void **state);   /* with RSA, behind tcti-fault */
int bench_start_with_one_slot(void **state); /* the same, and one key loaded at a time */
int bench_stop(void **state);

/* Describes "demo" with a generation's key (keys[generation - 1]); to be changed and passed to signing_set_identity. */
SigningIdentity bench_identity(const Bench *bench, uint32_t generation);

/* Opens a handle of "demo"; the holder's end, and its id in bench->next_id - 1. */
int bench_open(Bench *bench, Purpose purpose);

/* Opens a handle of that identity; the holder's end. */
int bench_open_of(Bench *bench, const char *identity, Purpose purpose);
/* The same for `data`, for that user. */
int bench_open_for(Bench *bench, const char *identity, uid_t uid);

/* What tcti-fault.c does from now on, and how many commands of that name it has passed on since the last call of
 * either. Only behind tcti-fault. */
void bench_inject(Bench *bench, const char *faults);
unsigned bench_commands(Bench *bench, const char *name);

/* Holds the thread up, as a long TPM command does, from when this returns until it is let go. */
typedef struct Hold Hold;
Hold *bench_hold(Bench *bench);
void bench_let_go(Bench *bench, Hold *hold);

/* Turns main's loop until `*counter` is `wanted`; fails the test after ten seconds. */
void bench_wait(Bench *bench, const unsigned *counter, unsigned wanted);
/* Until everything that was said to the thread so far has taken effect, and what it said about that has arrived. */
void bench_settle(Bench *bench);
/* Until so many handles are open. */
void bench_wait_handles(Bench *bench, unsigned wanted);
/* Turns it for a while: for what must not happen. */
void bench_idle(Bench *bench, unsigned milliseconds);

/* ---- the holder ---- */

typedef struct Answer {
    uint8_t type;
    uint16_t status;
    uint32_t serial, generation;
    uint16_t scheme;
    uint8_t payload[65536];
    size_t size;
    int fds[8];
    size_t fd_count;
} Answer;

void holder_raw(int fd, const void *data, size_t size, unsigned fd_count);
void holder_send(int fd, uint8_t type, uint32_t serial, uint32_t generation, uint16_t scheme, BytesView payload);
/* Waits up to ten seconds. False: the handle was closed. */
bool holder_receive(int fd, Answer *ret);
/* Skips unasked States. */
bool holder_receive_answer(int fd, Answer *ret);
/* Fails the test unless the handle is closed within ten seconds, whatever comes before that. */
void holder_expect_closed(int fd);
void answer_clear(Answer *answer);

/* SignMessage by a handle; fails the test unless a signature comes that the key accepts. */
void holder_sign_message(int fd, const TpmKey *key, uint32_t generation, const char *message);

bool verifies(const TpmKey *key, uint16_t scheme, BytesView message, BytesView signature);
/* A value of a State by its tag; fails the test if there is not exactly one. */
BytesView state_value(const Answer *state, uint16_t tag);

double seconds(void);
unsigned count_fds(void);
