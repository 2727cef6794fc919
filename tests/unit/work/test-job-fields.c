/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd against an enroller whose packets have other fields than were agreed: one by one, each ends the job. */
#include "tests/unit/work/job-fixture.h"

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
        job_setup(&inner);
        job_begin(inner, JOB_KIND_ENROLL, false);
        send_packet(inner, JOB_PACKET_RESULT, 0, bodies[i], -1);
        assert_broken(inner, "not as agreed");
        job_teardown(&inner);
    }
}

/* A job of its own for each body: a packet of that type which breaks it. */
static void expect_broken_by(uint8_t type, const BytesView *bodies, size_t count, const char *text) {
    for (size_t i = 0; i < count; i++) {
        void *inner = NULL;
        job_setup(&inner);
        job_begin(inner, JOB_KIND_ENROLL, false);
        send_packet(inner, type, 0, bodies[i], -1);
        assert_int_equal(((Fixture *) inner)->questions, 0);
        assert_broken(inner, text);
        job_teardown(&inner);
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
    job_begin(f, JOB_KIND_ENROLL, false);
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
        job_setup(&inner);
        Fixture *f = inner;
        job_begin(f, cases[i].job, false);
        send_packet(f, cases[i].packet, 0, cases[i].body, fd);
        if (f->failures != 1)
            fail_msg("case %zu was taken", i);
        assert_int_equal(f->questions, 0);
        assert_broken(f, cases[i].what);
        job_teardown(&inner);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, job_setup, job_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_bad_results),
        cmocka_unit_test(test_bad_requests),
        TEST(test_full_request),
        cmocka_unit_test(test_bad_failures),
        cmocka_unit_test(test_fields_that_are_not_agreed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
