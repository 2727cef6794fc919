/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enroller's end of its socket, with the test as identityd: how often it may ask, which answers it takes, what it
 * says last, and until when it waits by a clock that the test puts forward. */
#include "enroller/channel.h"

#include "common/job-protocol.h"
#include "common/scheme.h"
#include "common/tlv.h"
#include "support.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static _Atomic time_t ahead, ahead_by_reading; /* s; the latter is added with each look at the clock */

/* The channel's clock. */
int clock_gettime(clockid_t clock, struct timespec *ret) {
    int r = (int) syscall(SYS_clock_gettime, clock, ret);

    if (r == 0 && clock == CLOCK_BOOTTIME) {
        ahead += ahead_by_reading;
        ret->tv_sec += ahead;
    }
    return r;
}

typedef struct Line {
    int theirs; /* identityd's */
    Channel *channel;
    PacketBuffer buffer;
} Line;

static void line_new(Line *line) {
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    ahead = ahead_by_reading = 0;
    line->theirs = fds[0];
    assert_int_equal(channel_new(fds[1], &line->channel), 0);
    assert_true(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
    assert_true(fcntl(fds[1], F_GETFD) & FD_CLOEXEC);
}

static void line_clear(Line *line) {
    channel_free(line->channel);
    close_safe(line->theirs);
}
#define _cleanup_line_ _cleanup_(line_clear)

/* Answers before it is asked: the serial numbers count from 1. */
static void answer(Line *line, uint8_t type, uint32_t serial, uint16_t status, size_t size) {
    static uint8_t bytes[PACKET_PAYLOAD_MAX];
    const PacketHeader header = { .type = type | JOB_PACKET_ANSWER, .serial = serial, .status = status };

    memset(bytes, 'a', sizeof bytes);
    assert_int_equal(packet_send(line->theirs, &header, (BytesView) { bytes, size }, NULL, 0), 0);
}

/* What the enroller said; its type. */
static uint8_t heard(Line *line, Packet *ret) {
    assert_int_equal(fcntl(line->theirs, F_SETFL, O_NONBLOCK), 0);
    return packet_receive(line->theirs, &line->buffer, true, ret) == PACKET_RECEIVED ? ret->header.type : 0;
}

static int create(Line *line, const RequestWish *wish, size_t *ret_size, Failure *ret_failure) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    int r = channel_create_request(line->channel, wish, &der, ret_failure);

    if (ret_size)
        *ret_size = der.size;
    return r;
}

static int sign(Line *line, size_t *ret_size, Failure *ret_failure) {
    _cleanup_bytes_ Bytes signature = BYTES_NULL;
    int r =
        channel_sign(line->channel, JOB_PACKET_SIGN_TLS12, 0x0403, bytes_view_string("hash"), &signature, ret_failure);

    if (ret_size)
        *ret_size = signature.size;
    return r;
}

static const RequestWish plain = { .key_type = -1 };

static void test_one_request(void **state) {
    _cleanup_line_ Line line;
    Failure failure = FAILURE_INIT;
    Packet packet = PACKET_INIT;

    line_new(&line);
    answer(&line, JOB_PACKET_CREATE_REQUEST, 1, 0, 10);
    assert_int_equal(create(&line, &plain, NULL, &failure), 0);
    assert_int_equal(heard(&line, &packet), JOB_PACKET_CREATE_REQUEST);
    assert_int_equal(packet.header.serial, 1);
    assert_int_equal(packet.payload.size, 0); /* nothing is asked for */
    assert_int_equal(create(&line, &plain, NULL, &failure), -E2BIG);
    assert_string_equal(failure.text, "The job has had its certificate request already (1).");
    assert_int_equal(heard(&line, &packet), 0);
}

static void test_requests_for_connections(void **state) {
    _cleanup_line_ Line line;
    Failure failure = FAILURE_INIT;
    Packet packet = PACKET_INIT;
    char *const eku[] = { (char *) (uintptr_t) "1.2.3", (char *) (uintptr_t) "1.2.4" };
    const RequestWish wish = {
        .key_type = 0, .eku = eku, .eku_count = 2, .binding = bytes_view_string("twelve bytes")
    };
    _cleanup_bytes_ Bytes expected = BYTES_NULL;

    line_new(&line);
    assert_int_equal(tlv_append_u8(&expected, JOB_KEY_TYPE, 0), 0);
    assert_int_equal(tlv_append_string(&expected, JOB_EXTENSION_EKU, "1.2.3"), 0);
    assert_int_equal(tlv_append_string(&expected, JOB_EXTENSION_EKU, "1.2.4"), 0);
    assert_int_equal(tlv_append(&expected, JOB_BINDING, wish.binding), 0);
    for (uint32_t i = 1; i <= JOB_LINKED_REQUESTS_MAX; i++) {
        answer(&line, JOB_PACKET_CREATE_REQUEST, i, 0, 10);
        assert_int_equal(create(&line, &wish, NULL, &failure), 0);
        assert_int_equal(heard(&line, &packet), JOB_PACKET_CREATE_REQUEST);
        assert_int_equal(packet.header.serial, i);
        assert_true(bytes_view_equal(packet.payload, bytes_view(&expected)));
    }
    assert_int_equal(create(&line, &wish, NULL, &failure), -E2BIG);
    assert_non_null(strstr(failure.text, "One job gets 4 certificate requests"));
}

static void test_signatures(void **state) {
    _cleanup_line_ Line line;
    Failure failure = FAILURE_INIT;
    Packet packet = PACKET_INIT;
    size_t size;

    line_new(&line);
    for (uint32_t i = 1; i <= JOB_SIGNATURES_MAX; i++) {
        answer(&line, JOB_PACKET_SIGN_TLS12, i, 0, SIGNATURE_MAX);
        assert_int_equal(sign(&line, &size, &failure), 0);
        assert_int_equal(size, SIGNATURE_MAX);
        assert_int_equal(heard(&line, &packet), JOB_PACKET_SIGN_TLS12);
        assert_int_equal(packet.header.scheme, 0x0403);
        assert_true(bytes_view_equal(packet.payload, bytes_view_string("hash")));
    }
    assert_int_equal(sign(&line, NULL, &failure), -E2BIG);
    assert_non_null(strstr(failure.text, "One job gets 4 TLS signatures"));
}

/* Each answer that is refused, to a request and to a wish for a signature. */
static void test_answers(void **state) {
    static const struct {
        uint8_t type;
        uint32_t serial;
        uint16_t status;
        size_t request_size, signature_size;
        int r;
        FailureKind kind;
        const char *text;
    } cases[] = {
        { 0, 1, 0, JOB_REQUEST_MAX, 1, 0, FAILURE_NONE, "" },
        { 0, 1, 0, 1, SIGNATURE_MAX, 0, FAILURE_NONE, "" },
        { 0, 1, 0, 0, 0, -EPROTO, FAILURE_INTERNAL, " of 0 bytes." },
        { 0, 1, 0, JOB_REQUEST_MAX + 1, SIGNATURE_MAX + 1, -EPROTO, FAILURE_INTERNAL, "identityd sent a " },
        { 0, 2, 0, 1, 1, -EPROTO, FAILURE_INTERNAL, "identityd answered something that was not asked." },
        { 0, 0, 0, 1, 1, -EPROTO, FAILURE_INTERNAL, "identityd answered something that was not asked." },
        { 1, 1, 0, 1, 1, -EPROTO, FAILURE_INTERNAL, "identityd answered something that was not asked." },
        { 0, 1, FAILURE_BUSY, 3, 3, -EACCES, FAILURE_BUSY, "aaa" },
        { 0, 1, _FAILURE_KIND_COUNT - 1, 3, 3, -EACCES, _FAILURE_KIND_COUNT - 1, "aaa" },
        { 0, 1, _FAILURE_KIND_COUNT, 3, 3, -EACCES, FAILURE_INTERNAL, "aaa" },
        { 0, 1, 0xffff, 0, 0, -EACCES, FAILURE_INTERNAL, "" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (int signs = 0; signs < 2; signs++) {
            _cleanup_line_ Line line;
            Failure failure = FAILURE_INIT;
            uint8_t type = signs ? JOB_PACKET_SIGN_TLS12 : JOB_PACKET_CREATE_REQUEST;
            size_t size = 0;
            line_new(&line);
            answer(&line, type + cases[i].type, cases[i].serial, cases[i].status,
                   signs ? cases[i].signature_size : cases[i].request_size);
            int r = signs ? sign(&line, &size, &failure) : create(&line, &plain, &size, &failure);
            if (r != cases[i].r || failure.kind != cases[i].kind || !strstr(failure.text, cases[i].text))
                fail_msg("case %zu: %d %d %s", i, r, failure.kind, failure.text);
            assert_int_equal(size, r < 0 ? 0 : signs ? cases[i].signature_size : cases[i].request_size);
        }
}

static void test_descriptors_and_no_answer(void **state) {
    _cleanup_line_ Line line;
    const PacketHeader header = { .type = JOB_PACKET_SIGN_TLS12 | JOB_PACKET_ANSWER, .serial = 1 };
    Failure failure = FAILURE_INIT;

    line_new(&line);
    assert_int_equal(packet_send(line.theirs, &header, bytes_view_string("a"), (int[]) { STDERR_FILENO }, 1), 0);
    assert_int_equal(sign(&line, NULL, &failure), -EPROTO);
    assert_non_null(strstr(failure.text, "Receiving a packet from identityd"));
    line_clear(&line);
    line_new(&line);
    line.theirs = close_safe(line.theirs);
    assert_int_equal(sign(&line, NULL, &failure), -EPIPE);
    assert_non_null(strstr(failure.text, "Asking identityd"));
}

static void test_deadline(void **state) {
    _cleanup_line_ Line line;
    Failure failure = FAILURE_INIT;
    EnrollJob *job = NULL;

    line_new(&line);
    unsigned left = channel_milliseconds_left(line.channel);
    assert_true(left <= CHANNEL_SECONDS * 1000U && left > (CHANNEL_SECONDS - 60) * 1000U);
    ahead = CHANNEL_SECONDS - 60;
    assert_true(channel_milliseconds_left(line.channel) > 0);
    ahead = CHANNEL_SECONDS;
    assert_int_equal(channel_milliseconds_left(line.channel), 0);
    assert_int_equal(sign(&line, NULL, &failure), -ETIMEDOUT);
    assert_string_equal(failure.text, "identityd did not answer within 0 seconds.");
    ahead_by_reading = CHANNEL_JOB_SECONDS; /* by the second look there is nothing left to wait */
    assert_int_equal(channel_receive_job(line.channel, ENROLL_ROLE_EST, &job, &failure), -ETIMEDOUT);
    assert_string_equal(failure.text, "identityd did not answer within 10 seconds.");
    line_clear(&line);

    /* Nor does it wait for room longer. */
    line_new(&line);
    unsigned sent = 0;
    const EnrollResult result = { .server = "https://ca.example/" };
    ahead = CHANNEL_SECONDS;
    int r = 0;
    while (r == 0 && ++sent < 100000)
        r = channel_send_result(line.channel, &result);
    assert_int_equal(r, -ETIMEDOUT);
    assert_true(sent > 1);
}

static void test_whether_it_is_closed(void **state) {
    _cleanup_line_ Line line;

    line_new(&line);
    assert_false(channel_is_closed(line.channel));
    answer(&line, JOB_PACKET_SIGN_TLS12, 1, 0, 1); /* something to read is no end */
    assert_false(channel_is_closed(line.channel));
    line.theirs = close_safe(line.theirs);
    assert_true(channel_is_closed(line.channel));
}

static void test_progress(void **state) {
    _cleanup_line_ Line line;
    Packet packet = PACKET_INIT;
    TlvReader reader;
    BytesView step;
    uint16_t tag;

    line_new(&line);
    for (unsigned i = 0; i < JOB_PROGRESS_MAX + 10; i++) {
        channel_progress(line.channel, "cacerts");
        assert_int_equal(heard(&line, &packet), i < JOB_PROGRESS_MAX ? JOB_PACKET_PROGRESS : 0);
    }
    line_clear(&line);
    line_new(&line);
    channel_progress(line.channel, "cacerts");
    assert_int_equal(heard(&line, &packet), JOB_PACKET_PROGRESS);
    reader = (TlvReader) { packet.payload };
    assert_int_equal(tlv_read(&reader, &tag, &step), 1);
    assert_int_equal(tag, JOB_STEP);
    assert_true(bytes_view_equal(step, bytes_view_string("cacerts")));
}

/* The bytes of a memfd that a field names. */
static void expect_file(const Packet *packet, BytesView number, const char *content) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;

    assert_int_equal(number.size, 1);
    assert_true(number.data[0] < packet->fd_count);
    assert_int_equal(bytes_from_memfd(packet->fds[number.data[0]], 100, &bytes), 0);
    assert_true(bytes_view_equal(bytes_view(&bytes), bytes_view_string(content)));
}

static void test_results(void **state) {
    static const uint16_t tags[] = { JOB_RESULT_ISSUED_FD,  JOB_RESULT_CACERTS_FD, JOB_RESULT_CHAIN_FD,
                                     JOB_RESULT_FETCHED_FD, JOB_RESULT_LATER,      JOB_RESULT_SERVER,
                                     JOB_RESULT_TLS,        JOB_RESULT_CLOCK_AHEAD };
    static const char *const contents[] = { "issued", "cacerts", "chain", "fetched" };
    const EnrollResult nothing = { 0 }, all = {
        .issued = bytes_view_string("issued"),
        .cacerts = bytes_view_string("cacerts"),
        .server_chain = bytes_view_string("chain"),
        .fetched = bytes_view_string("fetched"),
        .is_later = true,
        .later = 77,
        .server = "https://ca.example/",
        .tls = "TLS1.3",
        .has_clock = true,
        .clock_ahead = -3,
    };
    _cleanup_line_ Line line;
    Packet packet = PACKET_INIT;
    BytesView value;
    uint64_t clock;
    uint32_t later;
    uint16_t tag;

    line_new(&line);
    assert_int_equal(channel_send_result(line.channel, &nothing), 0);
    assert_int_equal(heard(&line, &packet), JOB_PACKET_RESULT);
    assert_int_equal(packet.payload.size + packet.fd_count, 0);
    assert_int_equal(channel_send_result(line.channel, &all), 0);
    assert_int_equal(heard(&line, &packet), JOB_PACKET_RESULT);
    TlvReader reader = { packet.payload };
    for (size_t i = 0; i < ARRAY_LENGTH(tags); i++) {
        assert_int_equal(tlv_read(&reader, &tag, &value), 1);
        assert_int_equal(tag, tags[i]);
        if (i < ARRAY_LENGTH(contents))
            expect_file(&packet, value, contents[i]);
        else if (tag == JOB_RESULT_LATER)
            assert_true(tlv_value_u32(value, &later) == 0 && later == 77);
        else if (tag == JOB_RESULT_CLOCK_AHEAD)
            assert_true(tlv_value_u64(value, &clock) == 0 && (int64_t) clock == -3);
        else
            assert_true(bytes_view_equal(value, bytes_view_string(tag == JOB_RESULT_TLS ? all.tls : all.server)));
    }
    assert_int_equal(tlv_read(&reader, &tag, &value), 0);
    packet_clear(&packet);
}

static void expect_failure(const Failure *failure, bool may_retry, uint32_t after, const Bytes *expected) {
    _cleanup_line_ Line line;
    Packet packet = PACKET_INIT;

    line_new(&line);
    answer(&line, JOB_PACKET_SIGN_TLS12, 1, 0, 1); /* unread, which would reset the connection */
    assert_int_equal(channel_send_failure(line.channel, failure, may_retry, after), 0);
    line.channel = channel_free(line.channel);
    assert_int_equal(heard(&line, &packet), JOB_PACKET_FAILURE);
    assert_true(bytes_view_equal(packet.payload, bytes_view(expected)));
}

static void test_failures(void **state) {
    const Failure busy = { FAILURE_BUSY, "It is busy." }, rejected = { FAILURE_CERTIFICATE_REJECTED, "" };
    _cleanup_bytes_ Bytes plain_one = BYTES_NULL, full = BYTES_NULL;

    assert_int_equal(tlv_append_string(&plain_one, JOB_FAILURE_TEXT, "It is busy."), 0);
    assert_int_equal(tlv_append_u8(&plain_one, JOB_FAILURE_RETRY, 0), 0);
    expect_failure(&busy, false, 0, &plain_one);
    assert_int_equal(tlv_append_string(&full, JOB_FAILURE_TEXT, "The job failed."), 0);
    assert_int_equal(tlv_append_u8(&full, JOB_FAILURE_RETRY, 1), 0);
    assert_int_equal(tlv_append_u32(&full, JOB_FAILURE_AFTER, 1), 0);
    assert_int_equal(tlv_append_u8(&full, JOB_FAILURE_REJECTED, 1), 0);
    expect_failure(&rejected, true, 1, &full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_request),
        cmocka_unit_test(test_requests_for_connections),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_descriptors_and_no_answer),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_whether_it_is_closed),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_results),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
