/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands behind enroller.socket and fetch.socket in a test: it runs on the test's loop, notes what each job asked
 * for, asks identityd what a real enroller would ask, and answers as it was told to. The CA is fakes/fake-pki. */
#pragma once

#include "common/job-protocol.h"
#include "common/packet.h"
#include "fakes/fake-pki.h"

#include <systemd/sd-event.h>

typedef struct Enroller Enroller;

typedef enum ReplyKind {
    REPLY_USUAL,   /* a certificate; to other kinds of jobs: /cacerts, and of a fetch `fetched` */
    REPLY_LATER,   /* 202, in `seconds` */
    REPLY_FAILURE, /* `text`, `permanent`, `rejected`, and Retry-After `seconds` */
    REPLY_CLOSE,   /* ends without a word */
    REPLY_HOLD,    /* nothing until enroller_reply */
} ReplyKind;

/* Strings and CAs are borrowed until the reply has been given. */
typedef struct Reply {
    ReplyKind kind;
    const char *identity;     /* for a job of this identity; NULL: of any */
    const FakeCa *ca;         /* who issues; NULL: the CA of the test */
    FakeIssue issue;          /* of the certificate */
    const char *issued;       /* PEM of what comes instead; "": nothing does */
    const char *beside;       /* PEM of what comes beside the certificate (intermediates); NULL: nothing */
    const char *cacerts;      /* PEM of /cacerts; NULL: the test's CA; "": none */
    const char *server_chain; /* PEM of the server's; NULL: not told */
    BytesView fetched, raw_issued, raw_cacerts; /* bytes as they are; the latter two instead of PKCS#7 */
    uint32_t seconds;
    int64_t clock_ahead; /* 0: not told */
    const char *text;
    bool permanent, rejected;
    /* What /csrattrs had: asked for with CreateRequest. */
    bool has_key_type;
    uint8_t key_type;
    const char *eku[4];
    unsigned signatures; /* of the client's side of TLS that are asked for first */
} Reply;

typedef struct EnrollerJob {
    bool is_fetch; /* it came to fetch.socket */
    bool is_open;
    uint8_t kind;
    char identity[80], servers[512] /* with a blank between two */, user[300], password[128];
    bool has_client_chain, has_server_anchors, has_fingerprint, time_is_floor, allow_tls12;
    bool brings_request; /* one that was made earlier */
    Bytes request;       /* that, or the one that was made when asked for */
    Bytes client_chain;  /* PEM */
    Bytes ocsp_request;  /* DER, of a fetch; empty: a GET */
    int64_t time;
    /* Of the last question. */
    unsigned answers;
    uint16_t status; /* a FailureKind */
    Bytes answer;    /* the payload: of a refusal its text */
    /* for enroller.c */
    Enroller *enroller;
    Reply reply;
    bool has_asked;
    unsigned signatures;
    int fd;
    sd_event_source *io;
} EnrollerJob;

/* Listens in `directory`. Aborts on failure. */
Enroller *enroller_new(sd_event *loop, const char *directory, const FakeCa *ca);
Enroller *enroller_free(Enroller *enroller);

/* What the next job that comes gets, and the one after; without such a word it is REPLY_USUAL with all else zero. */
void enroller_script(Enroller *enroller, const Reply *reply);
/* The same for fetches. */
void enroller_script_fetch(Enroller *enroller, const Reply *reply);

/* Jobs since the start, in the order in which they came. */
unsigned enroller_count(const Enroller *enroller);
EnrollerJob *enroller_job(Enroller *enroller, unsigned index);
/* The last one. */
EnrollerJob *enroller_last(Enroller *enroller);
/* Those of an identity, of a kind (0: any). */
unsigned enroller_count_of(Enroller *enroller, const char *identity, uint8_t kind);
/* What went wrong here; NULL: nothing. */
const char *enroller_fault(const Enroller *enroller);

/* Ends REPLY_HOLD. */
void enroller_reply(EnrollerJob *job, const Reply *reply);
/* Sends a packet of any kind, as one that was taken over may. */
void enroller_send(EnrollerJob *job, uint8_t type, uint16_t scheme, BytesView body);
void enroller_close(EnrollerJob *job);
