/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd against an enroller that does not keep to the protocol: whatever it sends, the job ends with one failure,
 * and nothing that the job does not allow is passed on. */
#include "tests/unit/work/job-fixture.h"

#include <sys/mman.h>

#include "tests/unit/signing/linger.h"

static void test_result(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL, step = BYTES_NULL;
    _cleanup_close_ int fd = bytes_to_memfd("issued", bytes_view_string("12345"));

    job_begin(f, JOB_KIND_ENROLL, false);
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

    job_begin(f, JOB_KIND_ENROLL, false);
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

    job_begin(f, JOB_KIND_ENROLL, false);
    f->peer = close_safe(f->peer);
    job_run(f);
    assert_broken(f, "ended without a result");
}

static void test_unknown_type(void **state) {
    Fixture *f = *state;

    job_begin(f, JOB_KIND_ENROLL, false);
    send_packet(f, 0x7f, 0, (BytesView) { NULL, 0 }, -1);
    assert_broken(f, "unknown type");
}

static void test_short_packet(void **state) {
    Fixture *f = *state;

    job_begin(f, JOB_KIND_ENROLL, false);
    assert_int_equal(send(f->peer, "abc", 3, 0), 3);
    job_run(f);
    assert_broken(f, "malformed");
}

static void test_too_many_signatures(void **state) {
    Fixture *f = *state;
    uint8_t hash[32] = { 0 };

    job_begin(f, JOB_KIND_REENROLL, false);
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

    job_begin(f, JOB_KIND_ENROLL, false);
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
        job_setup(&inner);
        Fixture *f = inner;
        uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { 1 };
        _cleanup_bytes_ Bytes body = BYTES_NULL;
        assert_int_equal(tlv_append(&body, JOB_BINDING, (BytesView) { binding, sizes[i] }), 0);
        job_begin(f, JOB_KIND_ENROLL, false);
        for (unsigned n = 0; n < JOB_LINKED_REQUESTS_MAX; n++)
            send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
        assert_int_equal(f->questions, JOB_LINKED_REQUESTS_MAX);
        assert_int_equal(f->failures, 0);
        send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
        assert_int_equal(f->questions, JOB_LINKED_REQUESTS_MAX);
        assert_broken(f, "does not allow");
        job_teardown(&inner);
    }
}

/* One that is linked to nothing does not come after another one. */
static void test_unlinked_after_linked(void **state) {
    Fixture *f = *state;
    uint8_t binding[JOB_TLS_EXPORTER_SIZE] = { 1 };
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append(&body, JOB_BINDING, (BytesView) { binding, sizeof binding }), 0);
    job_begin(f, JOB_KIND_ENROLL, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, bytes_view(&body), -1);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 1);
    assert_broken(f, "does not allow");
}

static void test_digest(void **state) {
    Fixture *f = *state;
    uint8_t digest[32] = { 0 };

    job_begin(f, JOB_KIND_REENROLL, false);
    send_packet(f, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { digest, sizeof digest }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

static void test_digest_where_allowed(void **state) {
    Fixture *f = *state;
    uint8_t digest[32] = { 0 };

    job_begin(f, JOB_KIND_REENROLL, true);
    send_packet(f, JOB_PACKET_SIGN_TLS12, 0x0403, (BytesView) { digest, sizeof digest }, -1);
    assert_int_equal(f->questions, 1);
    assert_int_equal(f->failures, 0);
}

static void test_fetch_asks(void **state) {
    Fixture *f = *state;

    job_begin(f, JOB_KIND_FETCH, false);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

/* A look at the server and /cacerts have no key to ask for. */
static void test_asks_where_nobody_answers(void **state) {
    JobCallbacks silent = job_callbacks;
    Fixture *f = *state;

    silent.progress = NULL;
    silent.question = NULL;
    job_begin_with(f, JOB_KIND_CACERTS, false, &silent);
    send_packet(f, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 }, -1);
    assert_broken(f, "does not allow");
}

static void test_unknown_scheme(void **state) {
    Fixture *f = *state;

    job_begin(f, JOB_KIND_REENROLL, false);
    send_packet(f, JOB_PACKET_SIGN_TRANSCRIPT, 0x1234, (BytesView) { NULL, 0 }, -1);
    assert_int_equal(f->questions, 0);
    assert_broken(f, "does not allow");
}

/* What is shown on the bus, which ends its connection for what is no UTF-8. */
static void test_text_that_is_none(void **state) {
    static const uint8_t odd[] = { 0xff, 0xfe, 0xc0, 'x', '\n', 0x1b };
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    job_begin(f, JOB_KIND_PROBE, false);
    assert_int_equal(tlv_append(&body, JOB_RESULT_SERVER, (BytesView) { odd, sizeof odd }), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), -1);
    assert_int_equal(f->results, 1);
    assert_string_equal(f->server, "???x ?");
}

static void test_unsealed(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    _cleanup_close_ int fd = memfd_create("open", MFD_CLOEXEC);

    job_begin(f, JOB_KIND_ENROLL, false);
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
        job_setup(&inner);
        Fixture *f = inner;
        job_begin(f, JOB_KIND_ENROLL, false);
        peers[i] = linger_send_as(f->peer, types[i], 3600);
        if (types[i] != 0) { /* else: the job is given up before it is read */
            job_run(f);
            assert_broken(f, "malformed");
        }
        job_teardown(&inner);
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

    job_begin(f, JOB_KIND_ENROLL, false);
    assert_int_equal(tlv_append_u8(&body, JOB_RESULT_ISSUED_FD, 0), 0);
    assert_int_equal(tlv_append_u32(&body, JOB_RESULT_LATER, 3), 0);
    send_packet(f, JOB_PACKET_RESULT, 0, bytes_view(&body), fd);
    assert_broken(f, "not as agreed");
}

static void test_progress_without_end(void **state) {
    Fixture *f = *state;
    _cleanup_bytes_ Bytes step = BYTES_NULL;

    job_begin(f, JOB_KIND_ENROLL, false);
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
    assert_int_equal(job_start(&f->loop, JOB_LINE_ENROLLER, &job_callbacks, f, &f->job), 0);
    assert_int_equal(f->failures, 0);
    job_run(f);
    assert_broken(f, "identityd-enroller.socket");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, job_setup, job_teardown)

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
        TEST(test_text_that_is_none),
        TEST(test_unsealed),
        TEST(test_lingering_descriptors),
        TEST(test_later_and_issued),
        TEST(test_progress_without_end),
        TEST(test_no_enroller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
