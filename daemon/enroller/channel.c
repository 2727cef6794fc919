/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Blocking calls over a non-blocking socket, each bounded by the job's deadline. */
#include "enroller/channel.h"

#include "common/job-protocol.h"
#include "common/scheme.h"
#include "common/tlv.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

struct Channel {
    int fd;
    uint32_t serial;
    unsigned progress, requests, signatures;
    uint64_t deadline; /* CLOCK_BOOTTIME, milliseconds: a suspended job is as late as identityd thinks it is */
    PacketBuffer buffer;
};

static uint64_t milliseconds_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t) now.tv_sec * 1000U + (uint64_t) now.tv_nsec / 1000000U;
}

int channel_new(int fd, Channel **ret) {
    Channel *channel = calloc(1, sizeof *channel);

    if (!channel) {
        close_safe(fd);
        return -ENOMEM;
    }
    channel->fd = fd;
    channel->deadline = milliseconds_now() + CHANNEL_SECONDS * 1000U;
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) {
        int r = -errno;
        channel_free(channel);
        return r;
    }
    *ret = channel;
    return 0;
}

Channel *channel_free(Channel *channel) {
    if (!channel)
        return NULL;
    close_safe(channel->fd);
    explicit_bzero(&channel->buffer, sizeof channel->buffer);
    free(channel);
    return NULL;
}

unsigned channel_milliseconds_left(const Channel *channel) {
    uint64_t now = milliseconds_now();

    return now >= channel->deadline ? 0 : (unsigned) (channel->deadline - now);
}

bool channel_is_closed(const Channel *channel) {
    struct pollfd poll_fd = { .fd = channel->fd, .events = POLLRDHUP };

    return poll(&poll_fd, 1, 0) > 0 && poll_fd.revents & (POLLHUP | POLLRDHUP | POLLERR);
}

/* ---- packets ---- */

static int channel_wait(const Channel *channel, short events, unsigned milliseconds) {
    struct pollfd poll_fd = { .fd = channel->fd, .events = events };
    uint64_t until = milliseconds_now() + milliseconds;

    for (;;) {
        uint64_t now = milliseconds_now();
        int r = poll(&poll_fd, 1, now >= until ? 0 : (int) (until - now));
        if (r > 0)
            return 0;
        if (r == 0)
            return -ETIMEDOUT;
        if (errno != EINTR)
            return -errno;
    }
}

static int channel_send(Channel *channel, const PacketHeader *header, BytesView payload, const int *fds,
                        size_t fd_count) {
    for (;;) {
        int r = packet_send(channel->fd, header, payload, fds, fd_count);
        if (r != -EAGAIN)
            return r;
        r = channel_wait(channel, POLLOUT, channel_milliseconds_left(channel));
        if (r < 0)
            return r;
    }
}

static int channel_receive(Channel *channel, unsigned milliseconds, bool fds_allowed, Packet *ret,
                           Failure *ret_failure) {
    for (;;) {
        int r = channel_wait(channel, POLLIN, milliseconds);
        if (r == -ETIMEDOUT)
            return failure_set(ret_failure, r, FAILURE_INTERNAL, "identityd did not answer within %u seconds.",
                               milliseconds / 1000U);
        if (r < 0)
            return failure_errno(ret_failure, r, "Waiting for identityd");
        r = packet_receive(channel->fd, &channel->buffer, fds_allowed, ret);
        if (r == PACKET_RECEIVED)
            return 0;
        if (r == PACKET_CLOSED)
            return failure_set(ret_failure, -ECONNRESET, FAILURE_INTERNAL, "identityd closed the connection.");
        if (r < 0)
            return failure_errno(ret_failure, r, "Receiving a packet from identityd");
    }
}

int channel_receive_job(Channel *channel, EnrollRole role, EnrollJob **ret, Failure *ret_failure) {
    _cleanup_packet_ Packet packet = PACKET_INIT;

    int r = channel_receive(channel, CHANNEL_JOB_SECONDS * 1000U, true, &packet, ret_failure);
    if (r >= 0)
        r = enroll_job_parse(&packet, role, ret, ret_failure);
    explicit_bzero(&channel->buffer, sizeof channel->buffer); /* it held the password */
    return r;
}

void channel_progress(Channel *channel, const char *step) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    if (channel->progress >= JOB_PROGRESS_MAX || tlv_append_string(&body, JOB_STEP, step) < 0)
        return;
    channel->progress++;
    (void) channel_send(channel, &(PacketHeader) { .type = JOB_PACKET_PROGRESS }, bytes_view(&body), NULL, 0);
}

/* ---- questions ---- */

static int channel_ask(Channel *channel, uint8_t type, uint16_t scheme, BytesView body, Bytes *ret,
                       Failure *ret_failure) {
    _cleanup_packet_ Packet packet = PACKET_INIT;
    PacketHeader header = { .type = type, .serial = ++channel->serial, .scheme = scheme };

    int r = channel_send(channel, &header, body, NULL, 0);
    if (r < 0)
        return failure_errno(ret_failure, r, "Asking identityd");
    r = channel_receive(channel, channel_milliseconds_left(channel), false, &packet, ret_failure);
    if (r < 0)
        return r;
    if (packet.header.type != (type | JOB_PACKET_ANSWER) || packet.header.serial != header.serial)
        return failure_set(ret_failure, -EPROTO, FAILURE_INTERNAL, "identityd answered something that was not asked.");
    if (packet.header.status != 0)
        return failure_set(
            ret_failure, -EACCES, packet.header.status < _FAILURE_KIND_COUNT ? packet.header.status : FAILURE_INTERNAL,
            "%.*s", (int) packet.payload.size, packet.payload.size > 0 ? (const char *) packet.payload.data : "");
    r = bytes_copy(packet.payload, ret);
    return r < 0 ? failure_errno(ret_failure, r, "Keeping identityd's answer") : 0;
}

int channel_create_request(Channel *channel, const RequestWish *wish, Bytes *ret_der, Failure *ret_failure) {
    _cleanup_bytes_ Bytes body = BYTES_NULL, der = BYTES_NULL;
    bool is_linked = wish->binding.size > 0;
    int r = 0;

    if (channel->requests >= (is_linked ? JOB_LINKED_REQUESTS_MAX : JOB_REQUESTS_MAX))
        return failure_set(ret_failure, -E2BIG, FAILURE_INTERNAL,
                           is_linked ? "One job gets %u certificate requests, each for one connection, and the CA's "
                                       "server closed them all: does it keep its connections open?"
                                     : "The job has had its certificate request already (%u).",
                           is_linked ? JOB_LINKED_REQUESTS_MAX : JOB_REQUESTS_MAX);
    if (wish->key_type >= 0)
        r = tlv_append_u8(&body, JOB_KEY_TYPE, (uint8_t) wish->key_type);
    for (size_t i = 0; r >= 0 && i < wish->eku_count; i++)
        r = tlv_append_string(&body, JOB_EXTENSION_EKU, wish->eku[i]);
    if (r >= 0 && is_linked)
        r = tlv_append(&body, JOB_BINDING, wish->binding);
    if (r < 0)
        return failure_errno(ret_failure, r, "Writing a question to identityd");
    channel->requests++;
    r = channel_ask(channel, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), &der, ret_failure);
    if (r < 0)
        return r;
    if (der.size == 0 || der.size > JOB_REQUEST_MAX)
        return failure_set(ret_failure, -EPROTO, FAILURE_INTERNAL, "identityd sent a certificate request of %zu bytes.",
                           der.size);
    *ret_der = der;
    der = BYTES_NULL;
    return 0;
}

int channel_sign(Channel *channel, uint8_t type, uint16_t scheme, BytesView hash, Bytes *ret_signature,
                 Failure *ret_failure) {
    _cleanup_bytes_ Bytes signature = BYTES_NULL;

    if (channel->signatures >= JOB_SIGNATURES_MAX)
        return failure_set(ret_failure, -E2BIG, FAILURE_INTERNAL,
                           "One job gets %u TLS signatures and the CA's servers asked for more: does the server keep "
                           "its connections open?",
                           JOB_SIGNATURES_MAX);
    channel->signatures++;
    int r = channel_ask(channel, type, scheme, hash, &signature, ret_failure);
    if (r < 0)
        return r;
    if (signature.size == 0 || signature.size > SIGNATURE_MAX)
        return failure_set(ret_failure, -EPROTO, FAILURE_INTERNAL, "identityd sent a signature of %zu bytes.",
                           signature.size);
    *ret_signature = signature;
    signature = BYTES_NULL;
    return 0;
}

/* ---- the end ---- */

typedef struct ResultBody {
    Bytes tlvs;
    int fds[PACKET_FDS_MAX];
    uint8_t fd_count;
} ResultBody;

static void result_body_clear(ResultBody *body) {
    bytes_clear(&body->tlvs);
    for (uint8_t i = 0; i < body->fd_count; i++)
        close_safe(body->fds[i]);
}

static int result_body_file(ResultBody *body, uint16_t tag, BytesView content) {
    if (!content.data)
        return 0;
    int fd = bytes_to_memfd("identityd-result", content);
    if (fd < 0)
        return fd;
    body->fds[body->fd_count] = fd;
    return tlv_append_u8(&body->tlvs, tag, body->fd_count++);
}

int channel_send_result(Channel *channel, const EnrollResult *result) {
    _cleanup_(result_body_clear) ResultBody body = { 0 };

    int r = result_body_file(&body, JOB_RESULT_ISSUED_FD, result->issued);
    if (r >= 0)
        r = result_body_file(&body, JOB_RESULT_CACERTS_FD, result->cacerts);
    if (r >= 0)
        r = result_body_file(&body, JOB_RESULT_CHAIN_FD, result->server_chain);
    if (r >= 0)
        r = result_body_file(&body, JOB_RESULT_FETCHED_FD, result->fetched);
    if (r >= 0 && result->is_later)
        r = tlv_append_u32(&body.tlvs, JOB_RESULT_LATER, result->later);
    if (r >= 0)
        r = tlv_append_string(&body.tlvs, JOB_RESULT_SERVER, result->server);
    if (r >= 0)
        r = tlv_append_string(&body.tlvs, JOB_RESULT_TLS, result->tls);
    if (r >= 0 && result->has_clock)
        r = tlv_append_u64(&body.tlvs, JOB_RESULT_CLOCK_AHEAD, (uint64_t) result->clock_ahead);
    return r < 0 ? r
                 : channel_send(channel, &(PacketHeader) { .type = JOB_PACKET_RESULT }, bytes_view(&body.tlvs),
                                body.fds, body.fd_count);
}

/* A socket that is closed with something unread in it resets the connection, and the last packet is lost with it. */
static void channel_drain(const Channel *channel) {
    uint8_t byte;

    while (recv(channel->fd, &byte, sizeof byte, MSG_DONTWAIT) > 0)
        ;
}

int channel_send_failure(Channel *channel, const Failure *failure, bool may_retry, uint32_t retry_after) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    channel_drain(channel);
    int r = tlv_append_string(&body, JOB_FAILURE_TEXT, failure->text[0] ? failure->text : "The job failed.");
    if (r >= 0)
        r = tlv_append_u8(&body, JOB_FAILURE_RETRY, may_retry ? 1 : 0);
    if (r >= 0 && retry_after > 0)
        r = tlv_append_u32(&body, JOB_FAILURE_AFTER, retry_after);
    if (r >= 0 && failure->kind == FAILURE_CERTIFICATE_REJECTED)
        r = tlv_append_u8(&body, JOB_FAILURE_REJECTED, 1);
    return r < 0 ? r
                 : channel_send(channel, &(PacketHeader) { .type = JOB_PACKET_FAILURE }, bytes_view(&body), NULL, 0);
}
