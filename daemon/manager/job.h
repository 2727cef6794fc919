/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd's side of common/job-protocol.h: one connection, one job, every packet from the enroller checked. */
#pragma once

#include "common/failure.h"
#include "common/job-protocol.h"
#include "common/packet.h"
#include "common/scheme.h"
#include "common/secret.h"
#include "signing/closer.h"

#include <systemd/sd-event.h>

typedef struct Job Job;

/* What the jobs of one thread share. */
typedef struct JobLoop {
    sd_event *loop;
    Closer *closer; /* of what an enroller sends that is not as agreed */
    PacketBuffer buffer;
} JobLoop;

/* What is asked for; lent during job_start. */
typedef struct JobRequest {
    uint8_t kind;
    const char *identity;
    const char *const *servers; /* NULL-terminated */
    BytesView server_anchors;   /* PEM, empty: none */
    const uint8_t *fingerprint; /* 32 bytes, or NULL */
    const char *proxy;
    uint64_t time;
    bool time_is_floor;
    BytesView client_chain; /* PEM, empty: no client authentication */
    KeyAlgorithm client_algorithm;
    const char *user;
    const Secret *password;
    BytesView request; /* PKCS#10 DER that was made earlier */
    bool allow_tls12;
    BytesView ocsp_request;
} JobRequest;

/* What came back; lent during the callback. */
typedef struct JobResult {
    Bytes issued, cacerts, fetched;
    Bytes server_chain; /* PEM: the server's that /cacerts came from, says the enroller */
    bool has_issued, has_cacerts, has_fetched, has_server_chain;
    bool is_later;
    uint32_t later; /* seconds */
    char *server, *tls;
} JobResult;

#define JOB_EKU_MAX 16U

typedef struct JobQuestion {
    uint32_t serial;
    uint8_t type; /* JOB_PACKET_CREATE_REQUEST, …_SIGN_TRANSCRIPT, …_SIGN_DIGEST */
    const SignatureScheme *scheme;
    BytesView hash;
    int key_type; /* KeyAlgorithm, -1: as configured */
    const char *eku[JOB_EKU_MAX];
    size_t eku_count;
} JobQuestion;

/* Exactly one of `result` and `failed` is called, last; the callee frees the job, then or later. Questions are counted
 * and bounded here; each is answered with job_answer. */
typedef struct JobCallbacks {
    void (*progress)(const char *step, void *userdata);            /* may be NULL */
    void (*question)(const JobQuestion *question, void *userdata); /* NULL: one that asks ends the job */
    void (*result)(JobResult *result, void *userdata);
    void (*failed)(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata);
} JobCallbacks;

/* Connects to `socket_path` and sends the job. `loop` outlives it. Nothing is called back before the loop turns.
 * -ECONNREFUSED, -ENOENT, …: kind ENROLLMENT_FAILED, with what to do. */
int job_start(JobLoop *loop, const char *socket_path, const JobRequest *request, const JobCallbacks *callbacks,
              void *userdata, Job **ret, Failure *ret_failure);

/* Answers a question: with a body, or with a failure. */
int job_answer(Job *job, uint8_t type, uint32_t serial, const Failure *failure, BytesView body);

Job *job_free(Job *job);
DEFINE_CLEANUP(Job, job_free)
