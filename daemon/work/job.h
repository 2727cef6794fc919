/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd's side of common/job-protocol.h: one connection, one job, every packet from the enroller checked. Of each
 * kind of enroller a few work at a time; further jobs wait in line, without anything of what they will send. */
#pragma once

#include "common/failure.h"
#include "common/job-protocol.h"
#include "common/packet.h"
#include "common/scheme.h"
#include "common/secret.h"
#include "signing/closer.h"

#include <systemd/sd-event.h>

typedef struct Job Job;

/* Below MaxConnections= of the socket units (16): systemd counts an enroller until it has been buried, which may be
 * some time after its answer. Each is a process with a TLS session; more of them would not bring certificates sooner on
 * a small device. */
#define JOB_PLACES 4U

/* Who is waited for: the two sockets. */
typedef enum JobLine { JOB_LINE_ENROLLER, JOB_LINE_FETCH, _JOB_LINE_COUNT } JobLine;

/* What the jobs of one thread share. */
typedef struct JobLoop {
    sd_event *loop;
    Closer *closer; /* of what an enroller sends that is not as agreed */
    PacketBuffer buffer;
    struct {
        unsigned taken;    /* places */
        Job *first, *last; /* who waits for one */
    } lines[_JOB_LINE_COUNT];
    sd_event_source *turn;
} JobLoop;

/* After its last job, before its loop goes. */
void job_loop_clear(JobLoop *loop);

/* What is asked for. */
typedef struct JobRequest {
    uint8_t kind;
    const char *identity;
    const char *const *servers; /* NULL-terminated */
    BytesView server_anchors;   /* PEM, empty: none */
    const uint8_t *fingerprint; /* 32 bytes, or NULL */
    const char *proxy;
    const char *proxy_user; /* NULL: it asks nobody; else with its password */
    const Secret *proxy_password;
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

/* A job on its way out, and what the request may borrow from until it is sent. */
typedef struct JobOrder {
    JobRequest request;
    char *socket_path;
    Bytes server_anchors, ocsp_request;
    Secret *password, *proxy_password;
} JobOrder;

/* What came back; lent during the callback. */
typedef struct JobResult {
    Bytes issued, cacerts, fetched;
    Bytes server_chain; /* PEM: the server's that /cacerts came from, says the enroller */
    bool has_issued, has_cacerts, has_fetched, has_server_chain;
    bool is_later;
    uint32_t later; /* seconds */
    char *server, *tls;
    bool has_clock;
    int64_t clock_ahead; /* seconds by which our clock was ahead of the server's, says the enroller */
} JobResult;

#define JOB_EKU_MAX 16U

typedef struct JobQuestion {
    uint32_t serial;
    uint8_t type; /* JOB_PACKET_CREATE_REQUEST, …_SIGN_TRANSCRIPT, …_SIGN_TLS12 */
    const SignatureScheme *scheme;
    BytesView payload; /* what is to be signed: a transcript's hash, or TLS 1.2's messages */
    int key_type;      /* KeyAlgorithm, -1: as configured */
    const char *eku[JOB_EKU_MAX];
    size_t eku_count;
    BytesView binding; /* of the TLS session that the request is linked to; empty: it is not */
} JobQuestion;

/* `prepare` is called once, when the job's turn has come: what takes room or grows old is got then. If it fails, so
 * does the job. Exactly one of `result` and `failed` is called, last; the callee frees the job, then or later, which
 * gives its place to the next one. Questions are counted and bounded here; each is answered with job_answer. */
typedef struct JobCallbacks {
    int (*prepare)(JobOrder *order, void *userdata, Failure *ret_failure);
    void (*progress)(const char *step, void *userdata);            /* may be NULL */
    void (*question)(const JobQuestion *question, void *userdata); /* NULL: one that asks ends the job */
    void (*result)(JobResult *result, void *userdata);
    void (*failed)(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata);
} JobCallbacks;

/* Puts a job in line. Once there is a place it is prepared, the enroller is connected to and gets it; `failed` tells
 * where that cannot be, with what to do. `loop` outlives the job. Nothing is called back before the loop turns. 0 or
 * -errno. */
int job_start(JobLoop *loop, JobLine line, const JobCallbacks *callbacks, void *userdata, Job **ret);

/* Answers a question: with a body, or with a failure. Where the enroller does not take it, the job fails, in a later
 * turn. */
void job_answer(Job *job, uint8_t type, uint32_t serial, const Failure *failure, BytesView body);

Job *job_free(Job *job);
DEFINE_CLEANUP(Job, job_free)
