/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enroller's side of common/job-protocol.h, by script. */
#include "tests/unit/device/enroller.h"

#include "common/names.h"
#include "common/tlv.h"

#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#define JOBS_MAX   128U
#define SCRIPT_MAX 128U

typedef struct Script {
    Reply list[SCRIPT_MAX];
    bool is_given[SCRIPT_MAX];
    unsigned count;
} Script;

typedef struct Listener {
    Enroller *enroller;
    bool is_fetch;
    int fd;
    sd_event_source *io;
    char path[108];
    Script script;
} Listener;

struct Enroller {
    sd_event *loop;
    const FakeCa *ca;
    Listener listeners[2];
    EnrollerJob jobs[JOBS_MAX];
    unsigned count;
    PacketBuffer buffer;
    char fault[256];
};

static void fault(Enroller *enroller, const char *what, int r) {
    if (!enroller->fault[0])
        (void) snprintf(enroller->fault, sizeof enroller->fault, "the test's enroller: %s (%s)", what, strerror(-r));
}

/* ---- sending ---- */

void enroller_close(EnrollerJob *job) {
    job->io = sd_event_source_disable_unref(job->io);
    job->fd = close_safe(job->fd);
    job->is_open = false;
}

static void send_packet(EnrollerJob *job, const PacketHeader *header, const Bytes *body, const int *fds, size_t count) {
    int r = packet_send(job->fd, header, bytes_view(body), fds, count);

    if (r < 0 && r != -EPIPE && r != -ECONNRESET)
        fault(job->enroller, "cannot send", r);
}

void enroller_send(EnrollerJob *job, uint8_t type, uint16_t scheme, BytesView body) {
    const PacketHeader header = { .type = type, .serial = 1, .scheme = scheme };
    _cleanup_bytes_ Bytes copy = BYTES_NULL;

    assert(bytes_append(&copy, body) >= 0);
    send_packet(job, &header, &copy, NULL, 0);
}

typedef struct Result {
    Bytes body;
    int fds[PACKET_FDS_MAX];
    size_t count;
} Result;

static void result_clear(Result *result) {
    bytes_clear(&result->body);
    while (result->count > 0)
        close_safe(result->fds[--result->count]);
}

static void add_file(Result *result, uint16_t tag, BytesView content) {
    int fd = bytes_to_memfd("result", content);

    assert(fd >= 0);
    assert(tlv_append_u8(&result->body, tag, (uint8_t) result->count) >= 0);
    result->fds[result->count++] = fd;
}

static void add_pkcs7(Result *result, uint16_t tag, const char *pem, BytesView raw) {
    if (raw.size > 0) {
        add_file(result, tag, raw);
        return;
    }
    if (!pem || pem[0] == '\0')
        return;
    gnutls_datum_t der = fake_pkcs7(pem);
    add_file(result, tag, (BytesView) { der.data, der.size });
    gnutls_free(der.data);
}

static void add_issued(const EnrollerJob *job, Result *result) {
    const Reply *reply = &job->reply;
    const gnutls_datum_t request = { job->request.data, (unsigned) job->request.size };
    _cleanup_free_ char *leaf = NULL, *all = NULL;

    if (reply->issued || reply->raw_issued.size > 0) {
        add_pkcs7(result, JOB_RESULT_ISSUED_FD, reply->issued, reply->raw_issued);
        return;
    }
    leaf = fake_ca_certify(reply->ca ? reply->ca : job->enroller->ca, request, &reply->issue);
    all = fake_concat(leaf, reply->beside ? reply->beside : "");
    add_pkcs7(result, JOB_RESULT_ISSUED_FD, all, (BytesView) { NULL, 0 });
}

static bool is_enrolment(const EnrollerJob *job) {
    return job->kind == JOB_KIND_ENROLL || job->kind == JOB_KIND_REENROLL;
}

static void send_result(EnrollerJob *job) {
    const PacketHeader header = { .type = JOB_PACKET_RESULT };
    const Reply *reply = &job->reply;
    _cleanup_(result_clear) Result result = { .count = 0 };

    if (job->is_fetch)
        add_file(&result, JOB_RESULT_FETCHED_FD, reply->fetched);
    else
        add_pkcs7(&result, JOB_RESULT_CACERTS_FD, reply->cacerts ? reply->cacerts : job->enroller->ca->pem,
                  reply->raw_cacerts);
    if (reply->server_chain)
        add_file(&result, JOB_RESULT_CHAIN_FD, bytes_view_string(reply->server_chain));
    if (is_enrolment(job) && reply->kind == REPLY_USUAL)
        add_issued(job, &result);
    if (reply->kind == REPLY_LATER)
        assert(tlv_append_u32(&result.body, JOB_RESULT_LATER, reply->seconds) >= 0);
    assert(tlv_append_string(&result.body, JOB_RESULT_SERVER, "https://ca.example/") >= 0);
    assert(tlv_append_string(&result.body, JOB_RESULT_TLS, "TLS1.3") >= 0);
    if (reply->clock_ahead != 0)
        assert(tlv_append_u64(&result.body, JOB_RESULT_CLOCK_AHEAD, (uint64_t) reply->clock_ahead) >= 0);
    send_packet(job, &header, &result.body, result.fds, result.count);
    enroller_close(job);
}

static void send_failure(EnrollerJob *job, const char *text) {
    const PacketHeader header = { .type = JOB_PACKET_FAILURE };
    const Reply *reply = &job->reply;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert(tlv_append_string(&body, JOB_FAILURE_TEXT, text) >= 0);
    assert(tlv_append_u8(&body, JOB_FAILURE_RETRY, !reply->permanent) >= 0);
    if (reply->seconds > 0)
        assert(tlv_append_u32(&body, JOB_FAILURE_AFTER, reply->seconds) >= 0);
    if (reply->rejected)
        assert(tlv_append_u8(&body, JOB_FAILURE_REJECTED, 1) >= 0);
    send_packet(job, &header, &body, NULL, 0);
    enroller_close(job);
}

/* ---- asking ---- */

static void ask_for_signature(EnrollerJob *job) {
    static const uint8_t hash[32] = { 1, 2, 3 };

    job->signatures++;
    enroller_send(job, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, sizeof hash });
}

static void ask_for_request(EnrollerJob *job) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    job->has_asked = true;
    if (job->reply.has_key_type)
        assert(tlv_append_u8(&body, JOB_KEY_TYPE, job->reply.key_type) >= 0);
    for (size_t i = 0; i < ARRAY_LENGTH(job->reply.eku) && job->reply.eku[i]; i++)
        assert(tlv_append_string(&body, JOB_EXTENSION_EKU, job->reply.eku[i]) >= 0);
    enroller_send(job, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body));
}

/* The next step of a job. */
static void go_on(EnrollerJob *job) {
    ReplyKind kind = job->reply.kind;

    if (kind == REPLY_HOLD)
        return;
    if (kind == REPLY_CLOSE)
        enroller_close(job);
    else if (kind == REPLY_FAILURE)
        send_failure(job, job->reply.text ? job->reply.text : "simpleenroll: 500");
    else if (job->signatures < job->reply.signatures)
        ask_for_signature(job);
    else if (is_enrolment(job) && job->request.size == 0 && !job->reply.issued && !job->has_asked)
        ask_for_request(job);
    else
        send_result(job);
}

void enroller_reply(EnrollerJob *job, const Reply *reply) {
    job->reply = *reply;
    go_on(job);
}

static void take_answer(EnrollerJob *job, const Packet *packet) {
    bool is_request = packet->header.type == (JOB_PACKET_CREATE_REQUEST | JOB_PACKET_ANSWER);

    job->answers++;
    job->status = packet->header.status;
    bytes_clear(&job->answer);
    assert(bytes_copy(packet->payload, &job->answer) >= 0);
    if (job->status == 0 && is_request) {
        bytes_clear(&job->request);
        assert(bytes_copy(packet->payload, &job->request) >= 0);
    }
    if (job->status != 0 && job->reply.kind != REPLY_HOLD)
        send_failure(job, "identityd refused what its CA needs");
    else
        go_on(job);
}

/* ---- jobs ---- */

/* Appends, with a blank between two; what does not fit is cut. */
static void take_text(char *text, size_t size, BytesView value) {
    size_t used = strlen(text);

    if (used > 0 && used < size - 1U)
        text[used++] = ' ';
    size_t room = size - 1U - used, length = value.size < room ? value.size : room;
    memcpy(text + used, value.data, length);
    text[used + length] = '\0';
}

static void take_field(EnrollerJob *job, const Packet *packet, uint16_t tag, BytesView value) {
    uint64_t time = 0;

    switch (tag) {
    case JOB_KIND:
        job->kind = value.data[0];
        break;
    case JOB_IDENTITY:
        take_text(job->identity, sizeof job->identity, value);
        break;
    case JOB_SERVER:
        take_text(job->servers, sizeof job->servers, value);
        break;
    case JOB_SERVER_ANCHORS_FD:
        job->has_server_anchors = true;
        break;
    case JOB_FINGERPRINT:
        job->has_fingerprint = true;
        break;
    case JOB_TIME:
        assert(tlv_value_u64(value, &time) >= 0);
        job->time = (int64_t) time;
        break;
    case JOB_TIME_IS_FLOOR:
        job->time_is_floor = true;
        break;
    case JOB_CLIENT_CHAIN_FD:
        job->has_client_chain = true;
        assert(bytes_from_memfd(packet->fds[value.data[0]], JOB_CHAIN_MAX, &job->client_chain) >= 0);
        break;
    case JOB_USER:
        take_text(job->user, sizeof job->user, value);
        break;
    case JOB_PASSWORD:
        take_text(job->password, sizeof job->password, value);
        break;
    case JOB_REQUEST:
        job->brings_request = true;
        assert(bytes_copy(value, &job->request) >= 0);
        break;
    case JOB_OCSP_REQUEST:
        assert(bytes_copy(value, &job->ocsp_request) >= 0);
        break;
    case JOB_ALLOW_TLS12:
        job->allow_tls12 = true;
        break;
    default:
        break;
    }
}

static Reply next_reply(Script *script, const EnrollerJob *job) {
    for (unsigned i = 0; i < script->count; i++)
        if (!script->is_given[i] &&
            (!script->list[i].identity || strcmp(script->list[i].identity, job->identity) == 0)) {
            script->is_given[i] = true;
            return script->list[i];
        }
    return (Reply) { .kind = REPLY_USUAL };
}

static void take_job(EnrollerJob *job, const Packet *packet) {
    TlvReader reader = { packet->payload };
    uint16_t tag;
    BytesView value;

    while (tlv_read(&reader, &tag, &value) > 0)
        take_field(job, packet, tag, value);
    job->reply = next_reply(&job->enroller->listeners[job->is_fetch].script, job);
    go_on(job);
}

static int on_io(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    EnrollerJob *job = userdata;
    _cleanup_packet_ Packet packet = PACKET_INIT;
    int r = packet_receive(fd, &job->enroller->buffer, true, &packet);

    if (r == PACKET_NONE)
        return 0;
    if (r != PACKET_RECEIVED) {
        if (r < 0 && r != -ECONNRESET)
            fault(job->enroller, "cannot receive", r);
        enroller_close(job);
    } else if (packet.header.type == JOB_PACKET_JOB)
        take_job(job, &packet);
    else
        take_answer(job, &packet);
    return 0;
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    const Listener *listener = userdata;
    Enroller *enroller = listener->enroller;
    EnrollerJob *job = &enroller->jobs[enroller->count];

    assert(enroller->count < JOBS_MAX);
    enroller->count++;
    *job = (EnrollerJob) { .enroller = enroller, .is_fetch = listener->is_fetch, .is_open = true };
    job->fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    assert(job->fd >= 0);
    assert(sd_event_add_io(enroller->loop, &job->io, job->fd, EPOLLIN, on_io, job) >= 0);
    return 0;
}

/* ---- life ---- */

static void listen_at(Listener *listener, const char *directory, const char *name) {
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    assert((size_t) snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, name) <
           sizeof address.sun_path);
    strcpy(listener->path, address.sun_path);
    listener->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert(listener->fd >= 0 && bind(listener->fd, (struct sockaddr *) &address, sizeof address) == 0);
    assert(listen(listener->fd, 16) == 0);
    assert(sd_event_add_io(listener->enroller->loop, &listener->io, listener->fd, EPOLLIN, on_connection, listener) >=
           0);
}

Enroller *enroller_new(sd_event *loop, const char *directory, const FakeCa *ca) {
    Enroller *enroller = calloc(1, sizeof *enroller);

    assert(enroller);
    enroller->loop = loop;
    enroller->ca = ca;
    for (unsigned i = 0; i < 2; i++) {
        enroller->listeners[i].enroller = enroller;
        enroller->listeners[i].is_fetch = i > 0;
        listen_at(&enroller->listeners[i], directory, i > 0 ? IDENTITYD_FETCH_SOCKET : IDENTITYD_ENROLLER_SOCKET);
    }
    return enroller;
}

Enroller *enroller_free(Enroller *enroller) {
    if (!enroller)
        return NULL;
    for (unsigned i = 0; i < enroller->count; i++) {
        enroller_close(&enroller->jobs[i]);
        bytes_clear(&enroller->jobs[i].request);
        bytes_clear(&enroller->jobs[i].client_chain);
        bytes_clear(&enroller->jobs[i].ocsp_request);
        bytes_clear(&enroller->jobs[i].answer);
    }
    for (unsigned i = 0; i < 2; i++) {
        sd_event_source_disable_unref(enroller->listeners[i].io);
        close_safe(enroller->listeners[i].fd);
        (void) unlink(enroller->listeners[i].path);
    }
    free(enroller);
    return NULL;
}

static void add(Script *script, const Reply *reply) {
    assert(script->count < SCRIPT_MAX);
    script->list[script->count++] = *reply;
}

void enroller_script(Enroller *enroller, const Reply *reply) {
    add(&enroller->listeners[0].script, reply);
}

void enroller_script_fetch(Enroller *enroller, const Reply *reply) {
    add(&enroller->listeners[1].script, reply);
}

unsigned enroller_count(const Enroller *enroller) {
    return enroller->count;
}

EnrollerJob *enroller_job(Enroller *enroller, unsigned index) {
    assert(index < enroller->count);
    return &enroller->jobs[index];
}

EnrollerJob *enroller_last(Enroller *enroller) {
    return enroller_job(enroller, enroller->count - 1U);
}

unsigned enroller_count_of(Enroller *enroller, const char *identity, uint8_t kind) {
    unsigned count = 0;

    for (unsigned i = 0; i < enroller->count; i++)
        count += strcmp(enroller->jobs[i].identity, identity) == 0 && (kind == 0 || enroller->jobs[i].kind == kind);
    return count;
}

const char *enroller_fault(const Enroller *enroller) {
    return enroller->fault[0] ? enroller->fault : NULL;
}
