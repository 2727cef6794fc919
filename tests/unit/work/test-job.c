/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd against an enroller that does not keep to the protocol: whatever it sends, the job ends with one failure,
 * and nothing that the job does not allow is passed on. */
#include "work/job.h"

#include "common/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "tests/unit/signing/linger.h"

typedef struct Fixture {
    char directory[64], path[96];
    int listener, peer;
    JobLoop loop;
    PacketBuffer peer_buffer;
    Job *job;
    uint8_t kind;
    bool allow_tls12;
    unsigned questions, results, failures;
    bool permanent;
    uint32_t after;
    Failure failure;
    char steps[128];
    size_t issued_size;
    bool later;
    char *server; /* of the result */
} Fixture;

static void on_progress(const char *step, void *userdata) {
    Fixture *f = userdata;

    snprintf(f->steps, sizeof f->steps, "%s", step);
}

static void on_question(const JobQuestion *question, void *userdata) {
    Fixture *f = userdata;

    f->questions++;
    job_answer(f->job, question->type, question->serial, NULL, bytes_view_string("answer"));
}

static void on_result(JobResult *result, void *userdata) {
    Fixture *f = userdata;

    f->results++;
    f->issued_size = result->issued.size;
    f->later = result->is_later;
    free(f->server);
    f->server = result->server ? strdup(result->server) : NULL;
}

static void on_failed(const Failure *failure, bool permanent, uint32_t after, void *userdata) {
    Fixture *f = userdata;

    f->failures++;
    f->failure = *failure;
    f->permanent = permanent;
    f->after = after;
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strcpy(f->directory, "/tmp/identityd-job-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/s", f->directory);
    strcpy(address.sun_path, f->path);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(listen(f->listener, 1), 0);
    assert_int_equal(sd_event_new(&f->loop.loop), 0);
    assert_int_equal(closer_new(&f->loop.closer), 0);
    f->peer = -1;
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    job_free(f->job);
    close_safe(f->peer);
    close_safe(f->listener);
    job_loop_clear(&f->loop);
    closer_free(f->loop.closer);
    sd_event_unref(f->loop.loop);
    unlink(f->path);
    rmdir(f->directory);
    free(f->server);
    free(f);
    return 0;
}

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    static const char *const servers[] = { "https://ca.example/.well-known/est", NULL };
    const Fixture *f = userdata;

    order->socket_path = strdup(f->path);
    order->request = (JobRequest) { .kind = f->kind,
                                    .identity = "test",
                                    .servers = servers,
                                    .time = 1,
                                    .allow_tls12 = f->allow_tls12,
                                    .server_anchors = bytes_view_string("PEM") };
    return 0;
}

static const JobCallbacks callbacks = { on_turn, on_progress, on_question, on_result, on_failed };

static void start_with(Fixture *f, uint8_t kind, bool allow_tls12, const JobCallbacks *with) {
    _cleanup_packet_ Packet packet = PACKET_INIT;

    f->kind = kind;
    f->allow_tls12 = allow_tls12;
    assert_int_equal(job_start(&f->loop, JOB_LINE_ENROLLER, with, f, &f->job), 0);
    while (sd_event_run(f->loop.loop, 0) > 0)
        ;
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(f->peer >= 0);
    assert_int_equal(packet_receive(f->peer, &f->peer_buffer, true, &packet), PACKET_RECEIVED);
    assert_int_equal(packet.header.type, JOB_PACKET_JOB);
    assert_int_equal(packet.fd_count, 1);
}

static void start(Fixture *f, uint8_t kind, bool allow_tls12) {
    start_with(f, kind, allow_tls12, &callbacks);
}

static void run(Fixture *f) {
    while (sd_event_run(f->loop.loop, 20000) > 0)
        ;
}

static void send_packet(Fixture *f, uint8_t type, uint16_t scheme, BytesView body, int fd) {
    PacketHeader header = { .type = type, .serial = 7, .scheme = scheme };

    assert_int_equal(packet_send(f->peer, &header, body, &fd, fd >= 0 ? 1 : 0), 0);
    run(f);
}

static void assert_broken(Fixture *f, const char *text) {
    assert_int_equal(f->failures, 1);
    assert_int_equal(f->results, 0);
    assert_int_equal(f->failure.kind, FAILURE_ENROLLMENT_FAILED);
    assert_non_null(strstr(f->failure.text, text));
    assert_false(f->permanent);
}

static void test_result(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL, step = BYTES_NULL;
    _cleanup_close_ int fd = bytes_to_memfd("issued", bytes_view_string("12345"));

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(tlv_append_string(&step, JOB_STEP, "cacerts"), 0);
    send_packet(f, JOB_PACKET_PROGRESS, 0, bytes_view(&step), -1);
    assert_string_equal(f->steps, "cacerts");
    assert_int_equal(tlv_append_u8(&body, JOB_RESULT_ISSUED_FD, 0), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), fd);
    assert_int_equal(f->results, 1);
    assert_int_equal(f->issued_size, 5);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), fd); /* a second result is not heard */
    assert_int_equal(f->results, 1);
    assert_int_equal(f->failures, 0);
}

static void test_failure_as_said(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(tlv_append_string(&body, JOB_FAILURE_TEXT, "simpleenroll: expected 200, got 401."), 0);
    assert_int_equal(tlv_append_u8(&body, JOB_FAILURE_RETRY, 0), 0);
    assert_int_equal(tlv_append_u32(&body, JOB_FAILURE_AFTER, 17), 0);
    send_packet(f, JOB_PACKET_FAILURE, 0, bytes_view(&body), -1);
    assert_int_equal(f->failures, 1);
    assert_true(f->permanent);
    assert_int_equal(f->after, 17);
    assert_non_null(strstr(f->failure.text, "401"));
}

static void test_gone(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_ENROLL, false);
    f->peer = close_safe(f->peer);
    run(f);
    assert_broken(f, "ended without a result");
}

static void test_unknown_type(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_ENROLL, false);
    send_packet(f, 0x7f, 0, (BytesView) { NULL, 0 }, -1);
    assert_broken(f, "unknown type");
}

static void test_short_packet(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(send(f->peer, "abc", 3, 0), 3);
    run(f);
    assert_broken(f, "malformed");
}

static void test_too_many_signatures(void **state) {
    Fixture *f = *state;
    uint8_t hash[32] = { 0 };

    start(f, JOB_KIND_REENROLL, false);
    for (unsigned i = 0; i < JOB_SIGNATURES_MAX; i++)
        send_packet(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, sizeof hash }, -1);
    assert_int_equal(f->questions, JOB_SIGNATURES_MAX);
    assert_int_equal(f->failures, 0);
    send_packet(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x0403, (BytesView) { hash, sizeof hash }, -1);
    assert_int_equal(f->questions, JOB_SIGNATURES_MAX);
    assert_broken(f, "does not allow");
}

static void test_too_many_requests(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_ENROLL, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 1);
    assert_broken(f, "does not allow");
}

/* Those that are linked to a TLS session are made anew for the next one, and not without end. */
static void test_linked_requests(void **state) {
    static const uint8_t sizes[] = { JOB_TLS_UNIQUE_SIZE, JOB_TLS_EXPORTER_SIZE };

    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++) {
        void *inner = NULL;
        setup(&inner);
        Fixture *f = inner;
        uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { 1 };
        _cleanup_bytes_ Bytes body = BYTES_NULL;
        assert_int_equal(tlv_append(&body, JOB_BINDING, (BytesView) { binding, sizes[i] }), 0);
        start(f, JOB_KIND_ENROLL, false);
        for (unsigned n = 0; n < JOB_LINKED_REQUESTS_MAX; n++)
            send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
        assert_int_equal(f->questions, JOB_LINKED_REQUESTS_MAX);
        assert_int_equal(f->failures, 0);
        send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
        assert_int_equal(f->questions, JOB_LINKED_REQUESTS_MAX);
        assert_broken(f, "does not allow");
        teardown(&inner);
    }
}

/* One that is linked to nothing does not come after another one. */
static void test_unlinked_after_linked(void **state) {
    Fixture *f = *state;
    uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { 1 };
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append(&body, JOB_BINDING, (BytesView) { binding, sizeof binding }), 0);
    start(f, JOB_KIND_ENROLL, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 1);
    assert_broken(f, "does not allow");
}

static void test_digest(void **state) {
    Fixture *f = *state;
    uint8_t digest[32] = { 0 };

    start(f, JOB_KIND_REENROLL, false);
    send_packet(f, JOB_PACKET_SIGN_DIGEST, 0x0403, (BytesView) { digest, sizeof digest }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

static void test_digest_where_allowed(void **state) {
    Fixture *f = *state;
    uint8_t digest[32] = { 0 };

    start(f, JOB_KIND_REENROLL, true);
    send_packet(f, JOB_PACKET_SIGN_DIGEST, 0x0403, (BytesView) { digest, sizeof digest }, -1);
    assert_int_equal(f->questions, 1);
    assert_int_equal(f->failures, 0);
}

static void test_fetch_asks(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_FETCH, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

/* A look at the server and /cacerts have no key to ask for. */
static void test_asks_where_nobody_answers(void **state) {
    static const JobCallbacks silent = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    Fixture *f = *state;

    start_with(f, JOB_KIND_CACERTS, false, &silent);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_broken(f, "does not allow");
}

static void test_unknown_scheme(void **state) {
    Fixture *f = *state;

    start(f, JOB_KIND_REENROLL, false);
    send_packet(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x1234, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

static void test_bad_results(void **state) {
    static const uint8_t cut[] = { JOB_RESULT_LATER, 0, 4, 0, 0, 0, 1 };
    static const uint8_t no_such_descriptor[] = { JOB_RESULT_ISSUED_FD, 0, 1, 0, 0, 0, 2 };
    static const uint8_t wrong_size[] = { JOB_RESULT_LATER, 0, 1, 0, 0, 0, 9 };
    static const uint8_t short_clock[] = { JOB_RESULT_CLOCK_AHEAD, 0, 4, 0, 0, 0, 0, 0, 0, 9 };
    const BytesView bodies[] = { { cut, sizeof cut },
                                 { no_such_descriptor, sizeof no_such_descriptor },
                                 { wrong_size, sizeof wrong_size },
                                 { short_clock, sizeof short_clock } };

    for (size_t i = 0; i < ARRAY_LENGTH(bodies); i++) {
        void *inner = NULL;
        setup(&inner);
        start(inner, JOB_KIND_ENROLL, false);
        send_packet(inner, JOB_PACKET_RESULT, 0, bodies[i], -1);
        assert_broken(inner, "not as agreed");
        teardown(&inner);
    }
}

/* A job of its own for each body: a packet of that type which breaks it. */
static void expect_broken_by(uint8_t type, const BytesView *bodies, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++) {
        void *inner = NULL;
        setup(&inner);
        start(inner, JOB_KIND_ENROLL, false);
        send_packet(inner, type, 0, bodies[i], -1);
        assert_int_equal(((Fixture *) inner)->questions, 0);
        assert_broken(inner, text);
        teardown(&inner);
    }
}

/* Of a request: a key type that there is, extended key usages within bounds, and nothing else. */
static void test_bad_requests(void **state) {
    static const uint8_t no_such_type[] = { JOB_KEY_TYPE, 0, 1, 0, 0, 0, _KEY_ALGORITHM_COUNT };
    static const uint8_t long_type[] = { JOB_KEY_TYPE, 0, 2, 0, 0, 0, 0, 0 };
    static const uint8_t unknown[] = { JOB_RESULT_LATER, 0, 4, 0, 0, 0, 1, 0, 0, 0 };
    static const uint8_t cut[] = { JOB_EXTENSION_EKU, 0, 4, 0, 0, 0, '1' };
    static const uint8_t no_usage[] = { JOB_EXTENSION_EKU, 0, 0, 0, 0, 0 };
    static const uint8_t two_in_one[] = { JOB_EXTENSION_EKU, 0, 3, 0, 0, 0, '1', 0, '2' };
    _cleanup_bytes_ Bytes many = BYTES_NULL, long_usage = BYTES_NULL;
    char usage[130] = "";

    for (unsigned i = 0; i < JOB_EKU_MAX + 1U; i++)
        assert_int_equal(tlv_append_string(&many, JOB_EXTENSION_EKU, "1.2.3"), 0);
    memset(usage, '1', sizeof usage - 1U);
    assert_int_equal(tlv_append_string(&long_usage, JOB_EXTENSION_EKU, usage), 0);
    const BytesView bodies[] = {
        { no_such_type, sizeof no_such_type },
        { long_type, sizeof long_type },
        { unknown, sizeof unknown },
        { cut, sizeof cut },
        { no_usage, sizeof no_usage },
        { two_in_one, sizeof two_in_one },
        bytes_view(&many),
        bytes_view(&long_usage),
    };
    expect_broken_by(JOB_PACKET_CREATE_REQUEST, bodies, ARRAY_LENGTH(bodies), "does not allow");
}

/* All that a request may say, up to the bounds. */
static void test_full_request(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    char usage[129] = "";

    memset(usage, '1', sizeof usage - 1U);
    assert_int_equal(tlv_append_u8(&body, JOB_KEY_TYPE, _KEY_ALGORITHM_COUNT - 1), 0);
    for (unsigned i = 0; i < JOB_EKU_MAX; i++)
        assert_int_equal(tlv_append_string(&body, JOB_EXTENSION_EKU, usage), 0);
    start(f, JOB_KIND_ENROLL, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
    assert_int_equal(f->questions, 1);
    assert_int_equal(f->failures, 0);
}

static void test_bad_failures(void **state) {
    static const uint8_t no_text[] = { JOB_FAILURE_RETRY, 0, 1, 0, 0, 0, 0 };
    static const uint8_t long_retry[] = { JOB_FAILURE_RETRY, 0, 2, 0, 0, 0, 0, 0 };
    static const uint8_t short_after[] = { JOB_FAILURE_AFTER, 0, 1, 0, 0, 0, 9 };
    static const uint8_t long_rejected[] = { JOB_FAILURE_REJECTED, 0, 2, 0, 0, 0, 1, 0 };
    static const uint8_t empty_text[] = { JOB_FAILURE_TEXT, 0, 0, 0, 0, 0 };
    static const uint8_t cut[] = { JOB_FAILURE_TEXT, 0, 4, 0, 0, 0, 'x' };
    const BytesView ends[] = { { long_retry, sizeof long_retry },
                               { short_after, sizeof short_after },
                               { long_rejected, sizeof long_rejected },
                               { cut, sizeof cut } };
    const BytesView alone[] = { { NULL, 0 }, { no_text, sizeof no_text }, { empty_text, sizeof empty_text } };

    expect_broken_by(JOB_PACKET_FAILURE, alone, ARRAY_LENGTH(alone), "not as agreed");
    for (size_t i = 0; i < ARRAY_LENGTH(ends); i++) { /* behind a text that is well */
        _cleanup_bytes_ Bytes body = BYTES_NULL;
        assert_int_equal(tlv_append_string(&body, JOB_FAILURE_TEXT, "text"), 0);
        assert_int_equal(bytes_append(&body, ends[i]), 0);
        const BytesView whole = bytes_view(&body);
        expect_broken_by(JOB_PACKET_FAILURE, &whole, 1, "not as agreed");
    }
}

/* Whatever is unknown, out of place or there twice: it could count for something one day, in a reader that knows it. */
static void test_fields_that_are_not_agreed(void **state) {
#define FIELD(tag, ...) tag, 0, sizeof((uint8_t[]) { __VA_ARGS__ }), 0, 0, 0, __VA_ARGS__
#define BODY(...)                                                                                                      \
    { (const uint8_t[]) { __VA_ARGS__ }, sizeof((uint8_t[]) { __VA_ARGS__ }) }
    const struct {
        uint8_t job, packet;
        BytesView body;
        bool with_file;
        const char *what;
    } cases[] = {
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(63, 1)), false, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(0xff, 0xff, 0, 0, 0, 0), false, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(JOB_STEP, 'x')), false, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT,
          BODY(FIELD(JOB_RESULT_LATER, 1, 0, 0, 0), FIELD(JOB_RESULT_LATER, 9, 0, 0, 0)), false, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_TLS, 'a'), FIELD(JOB_RESULT_TLS, 'b')), false,
          "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_FETCHED_FD, 0)), true, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_TLS, 'a')), true, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_ISSUED_FD, 0), FIELD(JOB_RESULT_CACERTS_FD, 0)),
          true, "result" },
        { JOB_KIND_PROBE, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_ISSUED_FD, 0)), true, "result" },
        { JOB_KIND_CACERTS, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_LATER, 1, 0, 0, 0)), false, "result" },
        { JOB_KIND_FETCH, JOB_PACKET_RESULT, BODY(FIELD(JOB_RESULT_CACERTS_FD, 0)), true, "result" },
        { JOB_KIND_ENROLL, JOB_PACKET_FAILURE, BODY(FIELD(JOB_FAILURE_TEXT, 'x'), FIELD(63, 1)), false, "failure" },
        { JOB_KIND_ENROLL, JOB_PACKET_FAILURE, BODY(FIELD(JOB_FAILURE_TEXT, 'x'), FIELD(JOB_FAILURE_TEXT, 'y')), false,
          "failure" },
        { JOB_KIND_ENROLL, JOB_PACKET_FAILURE, BODY(FIELD(JOB_FAILURE_TEXT, 'x'), FIELD(JOB_FAILURE_RETRY, 2)), false,
          "failure" },
        { JOB_KIND_ENROLL, JOB_PACKET_FAILURE, BODY(FIELD(JOB_FAILURE_RETRY, 1)), false, "failure" },
        { JOB_KIND_ENROLL, JOB_PACKET_PROGRESS, BODY(FIELD(JOB_STEP, 'x'), FIELD(JOB_STEP, 'y')), false,
          "progress report" },
        { JOB_KIND_ENROLL, JOB_PACKET_PROGRESS, BODY(FIELD(JOB_STEP, 'x'), FIELD(63, 1)), false, "progress report" },
        { JOB_KIND_ENROLL, JOB_PACKET_CREATE_REQUEST, BODY(FIELD(JOB_KEY_TYPE, 0), FIELD(JOB_KEY_TYPE, 1)), false,
          "does not allow" },
        { JOB_KIND_ENROLL, JOB_PACKET_CREATE_REQUEST, BODY(FIELD(63, 0)), false, "does not allow" },
        { JOB_KIND_ENROLL, JOB_PACKET_CREATE_REQUEST, BODY(FIELD(JOB_BINDING, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
          false, "does not allow" },
        { JOB_KIND_ENROLL, JOB_PACKET_CREATE_REQUEST, BODY(FIELD(JOB_BINDING, 'c', 'h', 'o', 's', 'e', 'n')), false,
          "does not allow" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_close_ int fd = cases[i].with_file ? bytes_to_memfd("file", bytes_view_string("12345")) : -1;
        void *inner = NULL;
        setup(&inner);
        Fixture *f = inner;
        start(f, cases[i].job, false);
        send_packet(f, cases[i].packet, 0, cases[i].body, fd);
        if (f->failures != 1)
            fail_msg("case %zu was taken", i);
        assert_int_equal(f->questions, 0);
        assert_broken(f, cases[i].what);
        teardown(&inner);
    }
}

/* What is shown on the bus, which ends its connection for what is no UTF-8. */
static void test_text_that_is_none(void **state) {
    static const uint8_t odd[] = { 0xff, 0xfe, 0xc0, 'x', '\n', 0x1b };
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    start(f, JOB_KIND_PROBE, false);
    assert_int_equal(tlv_append(&body, JOB_RESULT_SERVER, (BytesView) { odd, sizeof odd }), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), -1);
    assert_int_equal(f->results, 1);
    assert_string_equal(f->server, "???x ?");
}

static void test_unsealed(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    _cleanup_close_ int fd = memfd_create("open", MFD_CLOEXEC);

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(write(fd, "x", 1), 1);
    assert_int_equal(tlv_append_u8(&body, JOB_RESULT_ISSUED_FD, 0), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), fd);
    assert_broken(f, "not as agreed");
}

/* What is sent instead of a memfd may take an hour to be closed: main does not wait for it, nor does whoever ends the
 * job while such a thing is still in the queue. */
static void test_lingering_descriptors(void **state) {
    static const uint8_t types[] = { JOB_PACKET_RESULT, JOB_PACKET_PROGRESS, JOB_PACKET_CREATE_REQUEST, 0x7f, 0 };
    LingeringPeer peers[ARRAY_LENGTH(types)];
    struct timespec begun, ended;

    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++) {
        void *inner = NULL;
        setup(&inner);
        Fixture *f = inner;
        start(f, JOB_KIND_ENROLL, false);
        peers[i] = linger_send_as(f->peer, types[i], 3600);
        if (types[i] != 0) { /* else: the job is given up before it is read */
            run(f);
            assert_broken(f, "malformed");
        }
        teardown(&inner);
    }
    clock_gettime(CLOCK_MONOTONIC, &ended);
    assert_true(ended.tv_sec - begun.tv_sec < 600);
    for (size_t i = 0; i < ARRAY_LENGTH(types); i++)
        linger_peer_clear(&peers[i]);
}

static void test_later_and_issued(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    _cleanup_close_ int fd = bytes_to_memfd("issued", bytes_view_string("12345"));

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(tlv_append_u8(&body, JOB_RESULT_ISSUED_FD, 0), 0);
    assert_int_equal(tlv_append_u32(&body, JOB_RESULT_LATER, 3), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), fd);
    assert_broken(f, "not as agreed");
}

static void test_progress_without_end(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes step = BYTES_NULL;

    start(f, JOB_KIND_ENROLL, false);
    assert_int_equal(tlv_append_string(&step, JOB_STEP, "a\nb"), 0);
    for (unsigned i = 0; i < JOB_PROGRESS_MAX; i++) {
        PacketHeader header = { .type = JOB_PACKET_PROGRESS };
        assert_int_equal(packet_send(f->peer, &header, bytes_view(&step), NULL, 0), 0);
        assert_true(sd_event_run(f->loop.loop, 1000000) > 0);
    }
    assert_string_equal(f->steps, "a b");
    assert_int_equal(f->failures, 0);
    send_packet(f, JOB_PACKET_PROGRESS, 0, bytes_view(&step), -1);
    assert_broken(f, "progress report");
}

static void test_no_enroller(void **state) {
    Fixture *f = *state;

    assert_int_equal(unlink(f->path), 0);
    f->kind = JOB_KIND_ENROLL;
    assert_int_equal(job_start(&f->loop, JOB_LINE_ENROLLER, &callbacks, f, &f->job), 0);
    assert_int_equal(f->failures, 0);
    run(f);
    assert_broken(f, "identityd-enroller.socket");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_result),
        TEST(test_failure_as_said),
        TEST(test_gone),
        TEST(test_unknown_type),
        TEST(test_short_packet),
        TEST(test_too_many_signatures),
        TEST(test_too_many_requests),
        TEST(test_linked_requests),
        TEST(test_unlinked_after_linked),
        TEST(test_digest),
        TEST(test_digest_where_allowed),
        TEST(test_fetch_asks),
        TEST(test_asks_where_nobody_answers),
        TEST(test_unknown_scheme),
        TEST(test_bad_results),
        cmocka_unit_test(test_bad_requests),
        TEST(test_full_request),
        cmocka_unit_test(test_bad_failures),
        TEST(test_fields_that_are_not_agreed),
        TEST(test_text_that_is_none),
        TEST(test_unsealed),
        TEST(test_lingering_descriptors),
        TEST(test_later_and_issued),
        TEST(test_progress_without_end),
        TEST(test_no_enroller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
