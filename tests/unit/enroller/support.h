/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the enroller's tests share: identityd's side of the job protocol with a software key, a real identityd-enroller
 * at the other end of a socket, and the lab CA behind it. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"
#include "common/job-protocol.h"
#include "common/packet.h"
#include "pki/certificate.h"

#include <gnutls/abstract.h>
#include <stdbool.h>
#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* cmocka wants the four above first */
#include <cmocka.h>

/* ---- the lab CA ---- */

typedef struct Lab {
    char directory[64];
    pid_t pid;
    char url[256]; /* EST base */
} Lab;

/* Starts `lab-ca serve` in a directory of its own with these arguments (NULL-terminated) and waits until it serves. */
void lab_start(Lab *lab, const char *const *arguments);
void lab_stop(Lab *lab);
/* `lab-ca control DIR WORDS…`: one string, split at spaces. */
void lab_control(const Lab *lab, const char *words);
/* A file of its directory. */
Bytes lab_file(const Lab *lab, const char *name);
/* How many lines of its log contain `text`. */
unsigned lab_log_count(const Lab *lab, const char *text);

/* ---- identityd's side ---- */

typedef struct Device {
    gnutls_privkey_t key;
    Bytes spki;
    uint16_t scheme;
} Device;

void device_new(Device *device, gnutls_pk_algorithm_t algorithm, unsigned bits);
void device_clear(Device *device);
/* A request of this device for `subject` with these SANs as dns names (NULL-terminated list, may be NULL). */
Bytes device_request(const Device *device, const char *subject, const char *const *dns);

/* PEM of a self-signed certificate for its key: enough of a chain where no CA looks at it. */
Bytes device_self_signed(const Device *device);

/* What the job says. Zero means: not said. */
typedef struct Order {
    uint8_t kind;
    const char *servers[JOB_SERVERS_MAX + 1];
    BytesView anchors;
    const uint8_t *fingerprint;
    const char *proxy, *proxy_user, *proxy_password;
    int64_t time; /* 0: now */
    bool time_is_floor;
    BytesView client_chain; /* PEM; then `device` signs */
    const char *user, *password;
    BytesView request;
    bool allow_tls12;
    BytesView ocsp_request;
    const Device *device;         /* signs transcripts (the client chain's key) */
    const Device *subject_device; /* makes the request; NULL: `device` */
    const char *subject;          /* of the request; NULL: "CN=device" */
    const char *const *dns;
    bool refuse_request, refuse_signature;
    bool with_fetch_role;
    unsigned hang_up_after_milliseconds; /* identityd goes away */
    bool answer_wrong_serial, answer_wrong_type, answer_too_much, answer_with_descriptor;
    bool as_listen_fd;                /* the connection is descriptor 3, as systemd passes it */
    void (*while_it_runs)(pid_t pid); /* called once, at its first progress */
    int log_fd;                       /* its standard error; 0: ours. Set by run_job */
} Order;

/* What came of it. */
typedef struct Outcome {
    bool has_result, has_failure;
    Bytes issued, cacerts, server_chain, fetched;
    bool is_later;
    uint32_t later;
    char server[256], tls[256];
    bool has_clock;
    uint64_t clock_ahead;
    char text[FAILURE_TEXT_MAX];
    uint8_t retry, rejected;
    uint32_t after;
    char steps[512]; /* each followed by a space */
    unsigned requests, transcripts, digests;
    int key_type;        /* of CreateRequest; -1: none */
    char eku[256];       /* each followed by a space */
    size_t binding_size; /* of the last CreateRequest */
    Bytes request;       /* what was answered to CreateRequest */
    char log[2048];      /* the start of what it wrote to standard error */
    int status;          /* exit status of the program; -1: killed */
    unsigned milliseconds;
} Outcome;

/* Starts identityd-enroller, does the whole job, waits for its end. */
void run_job(const Order *order, Outcome *ret);
/* Starts it on one end of a socket or on nothing; the caller waits for it. */
pid_t start_enroller(int fd, const Order *order);
void outcome_clear(Outcome *outcome);
#define _cleanup_outcome_ _cleanup_(outcome_clear)

/* The body of the job's packet; descriptors (memfds) go to `fds`. */
Bytes order_body(const Order *order, int fds[PACKET_FDS_MAX], size_t *ret_count);

/* Fails with the whole story unless … */
void assert_result(const Outcome *outcome);
void assert_failed(const Outcome *outcome, const char *part, bool may_retry);

/* Reads certificates of a PKCS#7. */
CertificateList pkcs7_list(const Bytes *der);
/* PEM chain of what was issued, with the CA certificates as far as they are needed: leaf and intermediate. */
Bytes outcome_chain(const Outcome *outcome, const Device *device);
