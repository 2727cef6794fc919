/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The EST jobs (RFC 7030 with RFC 8951 and RFC 9908): /cacerts, /csrattrs, simpleenroll and simplereenroll, at the
 * first of the job's servers that can be reached and verified. */
#pragma once

#include "enroller/channel.h"
#include "enroller/fault.h"

#define EST_CONNECT_MILLISECONDS 30000U /* a TPM may be slow to sign the handshake */
#define EST_TOTAL_MILLISECONDS   60000U /* of one exchange */
#define EST_LATER_SECONDS        300U   /* where a 202 comes without the Retry-After that it must have */

typedef struct EstAnswer {
    Bytes issued, cacerts; /* DER PKCS#7; empty where the job asks for none */
    Bytes server_chain;    /* PEM, leaf first: the server's, of the session that brought `cacerts` */
    bool is_later;
    uint32_t later; /* seconds */
    char *server;   /* base URL that answered */
    char tls[128];
    bool has_clock;
    int64_t clock_ahead; /* of the Date that came with `cacerts` */
} EstAnswer;

/* Does the whole job. 0, or -errno and the fault: which URL, what was expected, what came. */
int est_run(const EnrollJob *job, Channel *channel, EstAnswer *ret, EnrollFault *ret_fault);
void est_answer_clear(EstAnswer *answer);
#define _cleanup_est_answer_ _cleanup_(est_answer_clear)
