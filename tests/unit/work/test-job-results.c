/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each field of a result, taken as it was said: files and texts at their bounds, and beyond them. And how a proxy is
 * told of in a job. */
#include "tests/unit/work/job-fixture.h"

#include "common/secret.h"

typedef struct Taken {
    unsigned results;
    Bytes file; /* the one there is */
    bool has[4];
    bool is_later, has_clock;
    uint32_t later;
    int64_t clock_ahead;
    char *server, *tls;
} Taken;

static Taken taken;

static void on_result(JobResult *result, void *userdata) {
    const Bytes *files[] = { &result->issued, &result->cacerts, &result->fetched, &result->server_chain };
    const bool has[] = { result->has_issued, result->has_cacerts, result->has_fetched, result->has_server_chain };

    taken.results++;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        taken.has[i] = has[i];
        if (has[i])
            assert_int_equal(bytes_copy(bytes_view(files[i]), &taken.file), 0);
    }
    taken.is_later = result->is_later;
    taken.later = result->later;
    taken.has_clock = result->has_clock;
    taken.clock_ahead = result->clock_ahead;
    taken.server = result->server ? strdup(result->server) : NULL;
    taken.tls = result->tls ? strdup(result->tls) : NULL;
}

static void taken_clear(void) {
    bytes_clear(&taken.file);
    free(taken.server);
    free(taken.tls);
    taken = (Taken) { .results = 0 };
}

/* A job of its own that ends with this result; whether it was taken. */
static bool ends_with(uint8_t kind, BytesView body, int fd) {
    const JobCallbacks callbacks = { job_callbacks.prepare, NULL, NULL, on_result, job_callbacks.failed };
    void *inner = NULL;

    taken_clear();
    job_setup(&inner);
    Fixture *f = inner;
    job_begin_with(f, kind, false, &callbacks);
    send_packet(f, JOB_PACKET_RESULT, 0, body, fd);
    assert_int_equal(taken.results + f->failures, 1);
    if (f->failures > 0)
        assert_non_null(strstr(f->failure.text, "not as agreed"));
    job_teardown(&inner);
    return taken.results == 1;
}

static void test_files(void **state) {
    static const struct {
        uint8_t kind;
        uint16_t tag;
        size_t maximum, place; /* in what was taken */
    } files[] = {
        { JOB_KIND_ENROLL, JOB_RESULT_ISSUED_FD, JOB_ISSUED_MAX, 0 },
        { JOB_KIND_CACERTS, JOB_RESULT_CACERTS_FD, JOB_CACERTS_MAX, 1 },
        { JOB_KIND_FETCH, JOB_RESULT_FETCHED_FD, JOB_FETCH_MAX, 2 },
        { JOB_KIND_CACERTS, JOB_RESULT_CHAIN_FD, JOB_CHAIN_MAX, 3 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        for (size_t more = 0; more < 2; more++) {
            _cleanup_bytes_ Bytes body = BYTES_NULL;
            size_t size = files[i].maximum + more;
            _cleanup_free_ uint8_t *content = malloc(size);
            memset(content, 'a', size);
            _cleanup_close_ int fd = bytes_to_memfd("result", (BytesView) { content, size });
            assert_int_equal(tlv_append_u8(&body, files[i].tag, 0), 0);
            assert_int_equal(ends_with(files[i].kind, bytes_view(&body), fd), more == 0);
            if (more > 0)
                continue;
            assert_true(bytes_view_equal(bytes_view(&taken.file), (BytesView) { content, size }));
            for (size_t k = 0; k < ARRAY_LENGTH(taken.has); k++)
                assert_int_equal(taken.has[k], k == files[i].place);
        }
    taken_clear();
}

static void test_texts(void **state) {
    static const struct {
        uint16_t tag;
        size_t maximum;
    } texts[] = { { JOB_RESULT_SERVER, JOB_URL_MAX }, { JOB_RESULT_TLS, 256 } };
    char text[JOB_URL_MAX + 2];

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        for (size_t size = texts[i].maximum; size <= texts[i].maximum + 1; size++) {
            _cleanup_bytes_ Bytes body = BYTES_NULL;
            memset(text, 'a', size);
            text[size] = '\0';
            assert_int_equal(tlv_append_u32(&body, JOB_RESULT_LATER, 5), 0);
            assert_int_equal(tlv_append_string(&body, texts[i].tag, text), 0);
            assert_int_equal(ends_with(JOB_KIND_ENROLL, bytes_view(&body), -1), size == texts[i].maximum);
            if (size > texts[i].maximum)
                continue;
            assert_string_equal(texts[i].tag == JOB_RESULT_TLS ? taken.tls : taken.server, text);
            assert_null(texts[i].tag == JOB_RESULT_TLS ? taken.server : taken.tls);
        }
    taken_clear();
}

static void test_numbers(void **state) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append_u32(&body, JOB_RESULT_LATER, 77), 0);
    assert_true(ends_with(JOB_KIND_ENROLL, bytes_view(&body), -1));
    assert_true(taken.is_later && taken.later == 77 && !taken.has_clock);
    assert_int_equal(tlv_append_u64(&body, JOB_RESULT_CLOCK_AHEAD, (uint64_t) -3), 0);
    assert_true(ends_with(JOB_KIND_ENROLL, bytes_view(&body), -1));
    assert_true(taken.has_clock && taken.clock_ahead == -3);
    taken_clear();
}

/* What a job says of its progress is one text, of as many bytes as are kept of it. */
static void test_steps(void **state) {
    static const char nul[] = { 'a', 0, 'b' };
    char step[65];
    const struct {
        BytesView step;
        bool is_taken;
    } cases[] = {
        { bytes_view_string("cacerts"), true },  { { (uint8_t *) step, 63 }, true },
        { { (uint8_t *) step, 64 }, false },     { { NULL, 0 }, false },
        { { (const uint8_t *) nul, 3 }, false },
    };

    memset(step, 'a', sizeof step);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_bytes_ Bytes body = BYTES_NULL;
        void *inner = NULL;
        job_setup(&inner);
        Fixture *f = inner;
        job_begin(f, JOB_KIND_ENROLL, false);
        assert_int_equal(tlv_append(&body, JOB_STEP, cases[i].step), 0);
        send_packet(f, JOB_PACKET_PROGRESS, 0, bytes_view(&body), -1);
        assert_int_equal(f->failures, !cases[i].is_taken);
        assert_int_equal(strlen(f->steps) > 0, cases[i].is_taken);
        job_teardown(&inner);
    }
}

/* ---- a proxy ---- */

static Secret *proxy_password;
static const char *proxy_user;

static int prepare_with_proxy(JobOrder *order, void *userdata, Failure *ret_failure) {
    int r = job_callbacks.prepare(order, userdata, ret_failure);

    order->request.proxy = "http://proxy:1";
    order->request.proxy_user = proxy_user;
    order->request.proxy_password = proxy_password;
    return r;
}

/* The fields of a job about a proxy, in a row. */
static Bytes proxy_fields(void) {
    const JobCallbacks callbacks = { prepare_with_proxy, NULL, NULL, on_result, job_callbacks.failed };
    _cleanup_packet_ Packet packet = PACKET_INIT;
    Bytes fields = BYTES_NULL;
    void *inner = NULL;
    BytesView value;
    uint16_t tag;

    job_setup(&inner);
    Fixture *f = inner;
    f->kind = JOB_KIND_ENROLL;
    assert_int_equal(job_start(&f->loop, JOB_LINE_ENROLLER, &callbacks, f, &f->job), 0);
    job_run(f);
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_int_equal(packet_receive(f->peer, &f->peer_buffer, true, &packet), PACKET_RECEIVED);
    for (TlvReader reader = { packet.payload }; tlv_read(&reader, &tag, &value) > 0;)
        if (tag == JOB_PROXY || tag == JOB_PROXY_USER || tag == JOB_PROXY_PASSWORD)
            assert_int_equal(tlv_append(&fields, tag, value), 0);
    job_teardown(&inner);
    return fields;
}

static void test_proxy(void **state) {
    _cleanup_bytes_ Bytes expected = BYTES_NULL;
    _cleanup_secret_ Secret *password = NULL;

    assert_int_equal(secret_new(bytes_view_string("hush"), &password), 0);
    proxy_password = password; /* which nobody is told without a user */
    assert_int_equal(tlv_append_string(&expected, JOB_PROXY, "http://proxy:1"), 0);
    _cleanup_bytes_ Bytes without = proxy_fields();
    assert_true(bytes_view_equal(bytes_view(&without), bytes_view(&expected)));
    proxy_user = "branch";
    assert_int_equal(tlv_append_string(&expected, JOB_PROXY_USER, "branch"), 0);
    assert_int_equal(tlv_append_string(&expected, JOB_PROXY_PASSWORD, "hush"), 0);
    _cleanup_bytes_ Bytes with = proxy_fields();
    assert_true(bytes_view_equal(bytes_view(&with), bytes_view(&expected)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files), cmocka_unit_test(test_texts), cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_steps), cmocka_unit_test(test_proxy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
