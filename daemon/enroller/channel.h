/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to identityd, from this side of common/job-protocol.h: takes the job, asks what a job may ask and no
 * more, and says once how it ended. Calls wait, but never past the deadline of the job. */
#pragma once

#include "common/failure.h"
#include "common/packet.h"
#include "enroller/enroll-job.h"

#define CHANNEL_JOB_SECONDS 10U  /* to wait for the job */
#define CHANNEL_SECONDS     285U /* for all of the job: below JOB_SECONDS_MAX, so that a failure can still be told */

typedef struct Channel Channel;

/* What a job comes to; views are lent to channel_send_result. */
typedef struct EnrollResult {
    BytesView issued, cacerts, server_chain, fetched; /* data NULL: none */
    bool is_later;
    uint32_t later;
    const char *server, *tls; /* NULL: none */
    bool has_clock;
    int64_t clock_ahead;
} EnrollResult;

/* Takes over `fd`, a connected SOCK_SEQPACKET socket, also on failure. */
int channel_new(int fd, Channel **ret);
Channel *channel_free(Channel *channel);
DEFINE_CLEANUP(Channel, channel_free)

/* The job. -ETIMEDOUT, -ECONNRESET (identityd went away), -EPROTO, or what enroll_job_parse says. */
int channel_receive_job(Channel *channel, EnrollRole role, EnrollJob **ret, Failure *ret_failure);

/* Tells identityd at which step the job is. Best effort, and bounded by JOB_PROGRESS_MAX. */
void channel_progress(Channel *channel, const char *step);

/* Milliseconds until the deadline, 0 when it is past. */
unsigned channel_milliseconds_left(const Channel *channel);

/* Whether identityd has gone: then nothing is worth doing any more. */
bool channel_is_closed(const Channel *channel);

/* What /csrattrs asks for in a request. */
typedef struct RequestWish {
    int key_type;     /* a KeyAlgorithm, -1: as configured */
    char *const *eku; /* extended key usages */
    size_t eku_count;
    BytesView binding; /* of the TLS session that is to carry it (JOB_BINDING); empty: it is linked to none */
} RequestWish;

/* Asks for a PKCS#10 request. -EACCES: identityd refused, with its text; -E2BIG: asked too often. */
int channel_create_request(Channel *channel, const RequestWish *wish, Bytes *ret_der, Failure *ret_failure);

/* Asks for a TLS client signature of `type` JOB_PACKET_SIGN_TRANSCRIPT or JOB_PACKET_SIGN_TLS12. Errors as above;
 * -E2BIG after JOB_SIGNATURES_MAX. */
int channel_sign(Channel *channel, uint8_t type, uint16_t scheme, BytesView hash, Bytes *ret_signature,
                 Failure *ret_failure);

/* The last packet: one of them, once. 0 or -errno. */
int channel_send_result(Channel *channel, const EnrollResult *result);
int channel_send_failure(Channel *channel, const Failure *failure, bool may_retry, uint32_t retry_after);
