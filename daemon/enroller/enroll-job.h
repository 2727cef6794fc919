/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one job that this process was started for, as common/job-protocol.h writes it: parsed whole, checked whole, and
 * constant afterwards. It comes from identityd, which is trusted; the checks are for our own bugs on either side, and
 * so that each role does what it is for and nothing else. */
#pragma once

#include "common/failure.h"
#include "common/job-protocol.h"
#include "common/packet.h"
#include "common/secret.h"
#include "pki/certificate.h"

#define JOB_SCHEMES_MAX      16U
#define JOB_USER_MAX         256U
#define JOB_OCSP_REQUEST_MAX 4096U

typedef enum EnrollRole {
    ENROLL_ROLE_EST,   /* everything but JOB_KIND_FETCH */
    ENROLL_ROLE_FETCH, /* JOB_KIND_FETCH alone: no credential, no question to identityd */
} EnrollRole;

typedef struct EnrollJob {
    uint8_t kind;                   /* JOB_KIND_… */
    char *identity;                 /* for messages */
    char *servers[JOB_SERVERS_MAX]; /* EST: without a trailing slash */
    size_t server_count;
    CertificateList server_anchors; /* empty: bootstrap by fingerprint, or http */
    bool has_fingerprint;
    uint8_t fingerprint[32];
    char *proxy;      /* NULL: none */
    char *proxy_user; /* NULL: the proxy asks nobody */
    Secret *proxy_password;
    int64_t time;                 /* what certificates are judged by, seconds since the epoch */
    bool time_is_floor;           /* the clock is behind: "not yet valid" proves nothing */
    CertificateList client_chain; /* leaf first; empty: no TLS client authentication */
    uint16_t schemes[JOB_SCHEMES_MAX];
    size_t scheme_count;
    char *user; /* NULL: no HTTP authentication */
    Secret *password;
    Bytes request;      /* PKCS#10 DER made earlier; empty: ask for one */
    Bytes ocsp_request; /* empty: GET */
    bool allow_tls12;
} EnrollJob;

/* Parses the body of a JOB_PACKET_JOB with its descriptors, which stay the packet's. -EBADMSG: what is not as agreed,
 * kind INTERNAL since identityd made it, or INVALID_ARGUMENT for what comes from an admin's configuration (a URL, a
 * proxy, anchors). */
int enroll_job_parse(const Packet *packet, EnrollRole role, EnrollJob **ret, Failure *ret_failure);
EnrollJob *enroll_job_free(EnrollJob *job);
DEFINE_CLEANUP(EnrollJob, enroll_job_free)
