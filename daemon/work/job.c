/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One job at the enroller. Everything that arrives is checked for order, number, size and shape before anybody sees it;
 * the first thing that is not as written ends the job. An enroller that was taken over chooses what it sends: nothing
 * here waits for what stands behind a descriptor of its. */
#include "work/job.h"

#include "common/tlv.h"
#include "work/job-reader.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

struct Job {
    JobLoop *shared;
    JobLine line;
    bool has_place;
    Job *next; /* in line, while it has none */
    sd_event_source *io, *timeout;
    int socket;
    JobCallbacks callbacks;
    void *userdata;
    uint8_t kind;
    bool allow_tls12, may_ask, ended, takes_no_answer;
    unsigned progress, requests, signatures;
    char last_step[64];
};

/* ---- waiting for one's turn ---- */

static int on_turn(sd_event_source *source, void *userdata);

/* In a turn of its own: whoever frees or starts a job is in the middle of something. */
static int arm_turn(JobLoop *loop) {
    if (!loop->turn)
        return sd_event_add_defer(loop->loop, &loop->turn, on_turn, loop); /* once */
    return sd_event_source_set_enabled(loop->turn, SD_EVENT_ONESHOT);
}

static void leave_line(Job *job) {
    JobLoop *loop = job->shared;
    Job *before = NULL;

    if (job->has_place) {
        loop->lines[job->line].taken--;
        job->has_place = false;
        if (loop->lines[job->line].first)
            (void) arm_turn(loop); /* which was armed for that one already: this cannot fail */
        return;
    }
    for (Job *one = loop->lines[job->line].first; one; before = one, one = one->next) {
        if (one != job)
            continue;
        *(before ? &before->next : &loop->lines[job->line].first) = job->next;
        if (loop->lines[job->line].last == job)
            loop->lines[job->line].last = before;
        return;
    }
}

void job_loop_clear(JobLoop *loop) {
    loop->turn = sd_event_source_disable_unref(loop->turn);
}

Job *job_free(Job *job) {
    if (!job)
        return NULL;
    sd_event_source_disable_unref(job->io);
    sd_event_source_disable_unref(job->timeout);
    if (job->socket >= 0)
        (void) closer_close_socket(job->shared->closer, job->socket, NULL, NULL);
    leave_line(job);
    free(job);
    return NULL;
}

/* ---- the end ---- */

static void job_fail(Job *job, const Failure *failure, bool permanent, uint32_t retry_after) {
    if (job->ended)
        return;
    job->ended = true;
    if (job->io)
        (void) sd_event_source_set_enabled(job->io, SD_EVENT_OFF);
    if (job->timeout)
        (void) sd_event_source_set_enabled(job->timeout, SD_EVENT_OFF);
    job->callbacks.failed(failure, permanent, retry_after, job->userdata);
}

static void job_broken(Job *job, const char *what) {
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, -EPROTO, FAILURE_ENROLLMENT_FAILED, "The enroller %s%s%s; see its own log entries.",
                       what, job->last_step[0] ? " at the step " : "", job->last_step);
    job_fail(job, &failure, false, 0);
}

/* ---- sending the job ---- */

typedef struct JobBody {
    Bytes tlvs;
    int fds[PACKET_FDS_MAX];
    uint8_t fd_count;
} JobBody;

static void job_body_clear(JobBody *body) {
    if (body->tlvs.data) /* it may hold the password */
        explicit_bzero(body->tlvs.data, body->tlvs.size);
    bytes_clear(&body->tlvs);
    for (uint8_t i = 0; i < body->fd_count; i++)
        close_safe(body->fds[i]);
}

static int job_body_file(JobBody *body, uint16_t tag, BytesView content) {
    if (content.size == 0)
        return 0;
    assert(body->fd_count < PACKET_FDS_MAX);
    int fd = bytes_to_memfd("identityd-job", content);
    if (fd < 0)
        return fd;
    body->fds[body->fd_count] = fd;
    return tlv_append_u8(&body->tlvs, tag, body->fd_count++);
}

static int job_body_client(JobBody *body, const JobRequest *request) {
    const SignatureScheme *schemes[SCHEMES_PER_KEY_MAX];

    if (request->client_chain.size == 0)
        return 0;
    int r = job_body_file(body, JOB_CLIENT_CHAIN_FD, request->client_chain);
    size_t count = scheme_list(request->client_algorithm, schemes);
    for (size_t i = 0; r >= 0 && i < count; i++)
        if (schemes[i]->tls || request->allow_tls12)
            r = tlv_append_u16(&body->tlvs, JOB_CLIENT_SCHEME, schemes[i]->id);
    return r;
}

static int job_body_proxy(Bytes *tlvs, const JobRequest *request) {
    int r = tlv_append_string(tlvs, JOB_PROXY, request->proxy);

    if (r >= 0 && request->proxy_user)
        r = tlv_append_string(tlvs, JOB_PROXY_USER, request->proxy_user);
    if (r >= 0 && request->proxy_user)
        r = tlv_append(tlvs, JOB_PROXY_PASSWORD, secret_view(request->proxy_password));
    return r;
}

static int job_body_build(JobBody *body, const JobRequest *request) {
    Bytes *tlvs = &body->tlvs;
    int r = tlv_append_u8(tlvs, JOB_KIND, request->kind);

    if (r >= 0)
        r = tlv_append_string(tlvs, JOB_IDENTITY, request->identity);
    for (size_t i = 0; r >= 0 && request->servers[i]; i++)
        r = tlv_append_string(tlvs, JOB_SERVER, request->servers[i]);
    if (r >= 0)
        r = job_body_file(body, JOB_SERVER_ANCHORS_FD, request->server_anchors);
    if (r >= 0 && request->fingerprint)
        r = tlv_append(tlvs, JOB_FINGERPRINT, (BytesView) { request->fingerprint, 32 });
    if (r >= 0)
        r = job_body_proxy(tlvs, request);
    if (r >= 0)
        r = tlv_append_u64(tlvs, JOB_TIME, request->time);
    if (r >= 0 && request->time_is_floor)
        r = tlv_append_u8(tlvs, JOB_TIME_IS_FLOOR, 1);
    if (r >= 0)
        r = job_body_client(body, request);
    if (r >= 0 && request->password)
        r = tlv_append_string(tlvs, JOB_USER, request->user);
    if (r >= 0 && request->password)
        r = tlv_append(tlvs, JOB_PASSWORD, secret_view(request->password));
    if (r >= 0 && request->request.size > 0)
        r = tlv_append(tlvs, JOB_REQUEST, request->request);
    if (r >= 0 && request->allow_tls12)
        r = tlv_append_u8(tlvs, JOB_ALLOW_TLS12, 1);
    if (r >= 0 && request->ocsp_request.size > 0)
        r = tlv_append(tlvs, JOB_OCSP_REQUEST, request->ocsp_request);
    return r;
}

/* ---- receiving ---- */

static void job_on_result(Job *job, const Packet *packet) {
    _cleanup_(job_result_clear) JobResult result = { 0 };

    if (job_read_result(packet, job->kind, &result) < 0) {
        job_broken(job, "sent a result that is not as agreed");
        return;
    }
    job->ended = true;
    (void) sd_event_source_set_enabled(job->io, SD_EVENT_OFF);
    (void) sd_event_source_set_enabled(job->timeout, SD_EVENT_OFF);
    job->callbacks.result(&result, job->userdata);
}

static void job_on_failure(Job *job, const Packet *packet) {
    Failure failure = FAILURE_INIT;
    JobFailure said;

    if (job_read_failure(packet, &said) < 0) {
        job_broken(job, "sent a failure that is not as agreed");
        return;
    }
    (void) failure_set(&failure, -EIO, said.rejected ? FAILURE_CERTIFICATE_REJECTED : FAILURE_ENROLLMENT_FAILED, "%s",
                       said.text);
    job_fail(job, &failure, said.permanent, said.after);
}

static void job_on_question(Job *job, const Packet *packet) {
    char *strings[JOB_EKU_MAX] = { NULL };
    JobQuestion question = { .serial = packet->header.serial, .type = packet->header.type, .key_type = -1 };
    bool good;

    if (question.type == JOB_PACKET_CREATE_REQUEST)
        good = job_read_create(packet, &question, strings) >= 0 &&
               job->requests++ < (question.binding.size > 0 ? JOB_LINKED_REQUESTS_MAX : JOB_REQUESTS_MAX);
    else {
        question.scheme = scheme_by_id(packet->header.scheme);
        question.payload = packet->payload;
        good = job->signatures++ < JOB_SIGNATURES_MAX && question.scheme &&
               (question.type == JOB_PACKET_SIGN_TRANSCRIPT || job->allow_tls12);
    }
    if (!job->may_ask || !good)
        job_broken(job, "asked for something that its job does not allow");
    else
        job->callbacks.question(&question, job->userdata);
    for (size_t i = 0; i < JOB_EKU_MAX; i++)
        free(strings[i]);
}

static void job_on_progress(Job *job, const Packet *packet) {
    _cleanup_free_ char *step = NULL;

    if (job->progress++ >= JOB_PROGRESS_MAX || job_read_step(packet, sizeof job->last_step - 1U, &step) < 0) {
        job_broken(job, "sent a progress report that is not as agreed");
        return;
    }
    strcpy(job->last_step, step);
    if (job->callbacks.progress)
        job->callbacks.progress(step, job->userdata);
}

static void job_dispose(int fd, void *userdata) {
    closer_close(userdata, fd, NULL, NULL);
}

static int job_on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Job *job = userdata;
    _cleanup_packet_ Packet packet = PACKET_INIT;
    const PacketMemfds memfds = { JOB_PACKET_RESULT, job_dispose, job->shared->closer };
    int r = packet_receive_memfds(fd, &job->shared->buffer, &memfds, &packet);

    if (r == PACKET_NONE)
        return 0;
    if (r == PACKET_CLOSED || r == -ECONNRESET) {
        job_broken(job, "ended without a result");
        return 0;
    }
    if (r < 0) {
        job_broken(job, "sent a malformed packet");
        return 0;
    }
    switch (packet.header.type) {
    case JOB_PACKET_PROGRESS:
        job_on_progress(job, &packet);
        break;
    case JOB_PACKET_CREATE_REQUEST:
    case JOB_PACKET_SIGN_TRANSCRIPT:
    case JOB_PACKET_SIGN_TLS12:
        job_on_question(job, &packet);
        break;
    case JOB_PACKET_RESULT:
        job_on_result(job, &packet);
        break;
    case JOB_PACKET_FAILURE:
        job_on_failure(job, &packet);
        break;
    default:
        job_broken(job, "sent a packet of an unknown type");
    }
    return 0;
}

static int job_on_timeout(sd_event_source *source, uint64_t usec, void *userdata) {
    Job *job = userdata;

    job_broken(job, job->takes_no_answer ? "does not take the answer to what it asked for"
                                         : "took longer than 300 seconds and was given up");
    return 0;
}

static int job_connect(const char *path, Failure *ret_failure) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    if (strlen(path) >= sizeof address.sun_path)
        return failure_set(ret_failure, -ENAMETOOLONG, FAILURE_ENROLLMENT_FAILED,
                           "The enroller's socket %s has too long a path.", path);
    strcpy(address.sun_path, path);
    _cleanup_close_ int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return failure_errno(ret_failure, -errno, "Creating a socket for the enroller");
    if (connect(fd, (struct sockaddr *) &address, sizeof address) < 0) {
        int r = -errno;
        return failure_set(
            ret_failure, r, FAILURE_ENROLLMENT_FAILED,
            "No enroller answers at %s (%s); start identityd-enroller.socket and identityd-fetch.socket.", path,
            strerror(-r));
    }
    return TAKE_FD(fd);
}

static void job_order_clear(JobOrder *order) {
    free(order->socket_path);
    bytes_clear(&order->server_anchors);
    bytes_clear(&order->ocsp_request);
    secret_free(order->password);
    secret_free(order->proxy_password);
}

/* Prepares, connects and sends. */
static int job_send(Job *job, Failure *ret_failure) {
    _cleanup_(job_order_clear) JobOrder order = { .socket_path = NULL };
    _cleanup_(job_body_clear) JobBody body = { 0 };
    sd_event *loop = job->shared->loop;
    PacketHeader header = { .type = JOB_PACKET_JOB, .serial = 1 };

    int r = job->callbacks.prepare(&order, job->userdata, ret_failure);
    if (r < 0)
        return r;
    job->kind = order.request.kind;
    job->allow_tls12 = order.request.allow_tls12;
    job->may_ask = job->callbacks.question && order.request.kind != JOB_KIND_FETCH;
    r = job_body_build(&body, &order.request);
    if (r < 0)
        return failure_errno(ret_failure, r, "Writing the job for the enroller");
    job->socket = job_connect(order.socket_path, ret_failure);
    if (job->socket < 0)
        return job->socket;
    r = packet_send(job->socket, &header, bytes_view(&body.tlvs), body.fds, body.fd_count);
    if (r < 0)
        return failure_errno(ret_failure, r, "Sending the job to the enroller");
    r = sd_event_add_io(loop, &job->io, job->socket, EPOLLIN, job_on_io, job);
    if (r >= 0)
        r = sd_event_add_time_relative(loop, &job->timeout, CLOCK_BOOTTIME, JOB_SECONDS_MAX * 1000000ULL, 0,
                                       job_on_timeout, job);
    return r < 0 ? failure_errno(ret_failure, r, "Waiting for the enroller") : 0;
}

/* In the order in which they came. A job that fails may be freed by whom it tells, and others may be started. */
static int on_turn(sd_event_source *source, void *userdata) {
    JobLoop *loop = userdata;

    for (JobLine line = 0; line < _JOB_LINE_COUNT; line++)
        while (loop->lines[line].first && loop->lines[line].taken < JOB_PLACES) {
            Job *job = loop->lines[line].first;
            Failure failure = FAILURE_INIT;
            leave_line(job);
            job->has_place = true;
            loop->lines[line].taken++;
            if (job_send(job, &failure) < 0)
                job_fail(job, &failure, false, 0);
        }
    return 0;
}

int job_start(JobLoop *loop, JobLine line, const JobCallbacks *callbacks, void *userdata, Job **ret) {
    Job *job = calloc(1, sizeof *job);

    if (!job)
        return -ENOMEM;
    int r = arm_turn(loop);
    if (r < 0) {
        free(job);
        return r;
    }
    job->socket = -1;
    job->shared = loop;
    job->line = line;
    job->callbacks = *callbacks;
    job->userdata = userdata;
    *(loop->lines[line].last ? &loop->lines[line].last->next : &loop->lines[line].first) = job;
    loop->lines[line].last = job;
    *ret = job;
    return 0;
}

void job_answer(Job *job, uint8_t type, uint32_t serial, const Failure *failure, BytesView body) {
    PacketHeader header = { .type = (uint8_t) (type | JOB_PACKET_ANSWER), .serial = serial };

    if (failure && failure->kind != FAILURE_NONE) {
        header.status = (uint16_t) failure->kind;
        body = bytes_view_string(failure->text);
    }
    if (packet_send(job->socket, &header, body, NULL, 0) >= 0)
        return;
    job->takes_no_answer = true;
    (void) sd_event_source_set_time_relative(job->timeout, 0);
}
