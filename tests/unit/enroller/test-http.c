/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What no server may get, and what none may do to us: hostile peers, proxies, and the limits of one exchange. */
#include "enroller/http.h"
#include "peer.h"
#include "support.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define REQUEST_MAX 1000U

static CertificateList list_of(const Bytes *pem) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    if (certificate_list_from_pem(bytes_view(pem), 8, &list, &failure) < 0)
        fail_msg("%s", failure.text);
    return list;
}

/* One exchange, in this process. */
static int exchange(const Peer *peer, HttpSettings settings, HttpResponse *ret, EnrollFault *ret_fault) {
    _cleanup_certificates_ CertificateList anchors = list_of(&peer->certificate);
    _cleanup_(http_session_free_p) HttpSession *http = NULL;
    char url[128];
    HttpRequest request = { .url = url, .maximum = REQUEST_MAX };

    (void) snprintf(url, sizeof url, "%s://127.0.0.1:%u/x", settings.allow_http ? "http" : "https", peer->port);
    settings.server = url;
    settings.now = time(NULL);
    if (!settings.anchors)
        settings.anchors = &anchors;
    if (!settings.connect_milliseconds)
        settings.connect_milliseconds = 10000;
    if (!settings.total_milliseconds)
        settings.total_milliseconds = 20000;
    *ret_fault = ENROLL_FAULT_INIT;
    assert_int_equal(http_session_new(&settings, &http, &ret_fault->failure), 0);
    return http_exchange(http, &request, ret, ret_fault);
}

static void check_fault(const PeerOptions *options, int wanted, const char *text) {
    _cleanup_http_response_ HttpResponse response = { 0 };
    EnrollFault fault;
    Peer peer;

    peer_start(&peer, options);
    /* Only who says nothing is waited for in vain; the others must be heard out, however slow the machine. */
    int r = exchange(&peer,
                     (HttpSettings) { .allow_http = !options->tls,
                                      .connect_milliseconds = 60000,
                                      .total_milliseconds = options->behaviour == PEER_SILENT ? 3000 : 60000 },
                     &response, &fault);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    if (r != wanted || !strstr(fault.failure.text, text))
        fail_msg("wanted %d \"%s\", got %d: %s", wanted, text, r, fault.failure.text);
}

static void test_answers(void **state) {
    _cleanup_http_response_ HttpResponse response = { 0 };
    EnrollFault fault;
    Peer peer;

    peer_start(&peer,
               &(PeerOptions) { .tls = true,
                                .answer = "HTTP/1.1 429 Slow\r\nRetry-After: 33\r\nContent-Type: text/\x01plain\r\n"
                                          "Content-Length: 2\r\n\r\nhi" });
    assert_int_equal(exchange(&peer, (HttpSettings) { 0 }, &response, &fault), 0);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_int_equal(response.status, 429);
    assert_true(response.has_retry_after);
    assert_int_equal(response.retry_after, 33);
    assert_string_equal(response.content_type, "text/?plain");
    assert_true(bytes_view_equal(bytes_view(&response.body), bytes_view_string("hi")));
    assert_non_null(strstr((char *) report.data, "GET /x HTTP/1.1\r\n"));
    assert_null(strstr((char *) report.data, "Authorization"));
    assert_false(response.has_clock);
}

/* By how much our clock is off by the server's word; what is no date says nothing. */
static void test_clock(void **state) {
    static const struct {
        const char *date;
        bool is_date;
        int64_t when;
    } cases[] = {
        { "Tue, 14 Nov 2023 22:13:20 GMT", true, 1700000000 },
        { "Fri, 31 Dec 2100 00:00:00 GMT", true, INT64_C(4133894400) },
        { "noon", false, 0 },
        { "", false, 0 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_http_response_ HttpResponse response = { 0 };
        char answer[256];
        EnrollFault fault;
        Peer peer;
        (void) snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\nDate: %s\r\nContent-Length: 2\r\n\r\nhi",
                        cases[i].date);
        int64_t before = time(NULL);
        peer_start(&peer, &(PeerOptions) { .tls = true, .answer = answer });
        assert_int_equal(exchange(&peer, (HttpSettings) { 0 }, &response, &fault), 0);
        _cleanup_bytes_ Bytes report = peer_stop(&peer);
        assert_int_equal(response.has_clock, cases[i].is_date);
        if (cases[i].is_date)
            assert_true(response.clock_ahead >= before - cases[i].when &&
                        response.clock_ahead <= (int64_t) time(NULL) - cases[i].when);
    }
}

static void test_limits(void **state) {
    char large[REQUEST_MAX + 200];

    check_fault(&(PeerOptions) { .behaviour = PEER_CLOSES, .tls = true }, -ECONNRESET,
                "expected a complete answer, but the connection broke off");
    check_fault(&(PeerOptions) { .behaviour = PEER_SILENT, .tls = true }, -ETIMEDOUT,
                "expected an answer in time, but the server did not complete one");
    check_fault(&(PeerOptions) { .behaviour = PEER_SILENT, .tls = false }, -ETIMEDOUT, "did not complete one");
    check_fault(&(PeerOptions) { .behaviour = PEER_FLOODS, .tls = true, .answer = "HTTP/1.1 100 Continue\r\n\r\n" },
                -EFBIG, "expected at most 65536 bytes of headers, but more came");
    check_fault(
        &(PeerOptions) { .behaviour = PEER_FLOODS, .tls = false, .answer = "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n" },
        -EPROTO, "expected an HTTP answer");
    check_fault(&(PeerOptions) { .tls = true, .answer = "SSH-2.0-OpenSSH\r\n" }, -EPROTO, "expected an HTTP answer");
    check_fault(&(PeerOptions) { .tls = true, .answer = "" }, -ECONNRESET, "broke off");
    (void) snprintf(large, sizeof large, "HTTP/1.1 200 OK\r\n\r\n%0*d", (int) REQUEST_MAX + 1, 7);
    check_fault(&(PeerOptions) { .tls = true, .answer = large }, -EFBIG,
                "expected at most 1000 bytes of body, but more came");
}

/* A challenge is answered with the password; what stands in its body is thrown away, but not without end. */
static void test_challenge_flood(void **state) {
    _cleanup_http_response_ HttpResponse response = { 0 };
    _cleanup_secret_ Secret *password = NULL;
    EnrollFault fault;
    Peer peer;

    assert_int_equal(secret_new(bytes_view_string("secret"), &password), 0);
    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_FLOODS,
                                       .tls = true,
                                       .answer = "HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"x\"\r\n"
                                                 "Content-Length: 1000000000\r\n\r\n0123456789" });
    int r = exchange(&peer, (HttpSettings) { .user = "device", .password = password }, &response, &fault);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_int_equal(r, -EFBIG);
    assert_non_null(strstr(fault.failure.text, "expected at most 1000 bytes of body, but more came"));
}

/* A flood of header lines within one answer. */
static void test_header_flood(void **state) {
    size_t size = 100000;
    char *answer = malloc(size + 1);
    static const char line[] = "X-Flood: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n";

    (void) snprintf(answer, size, "HTTP/1.1 200 OK\r\n");
    for (size_t at = strlen(answer); at + sizeof line < size; at += sizeof line - 1)
        memcpy(answer + at, line, sizeof line);
    check_fault(&(PeerOptions) { .tls = true, .answer = answer }, -EFBIG, "expected at most 65536 bytes of headers");
    free(answer);
}

static void test_exactly_maximum(void **state) {
    _cleanup_http_response_ HttpResponse response = { 0 };
    char answer[REQUEST_MAX + 100];
    EnrollFault fault;
    Peer peer;

    (void) snprintf(answer, sizeof answer, "HTTP/1.1 200 OK\r\n\r\n%0*d", (int) REQUEST_MAX, 7);
    peer_start(&peer, &(PeerOptions) { .tls = true, .answer = answer });
    assert_int_equal(exchange(&peer, (HttpSettings) { 0 }, &response, &fault), 0);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_int_equal(response.body.size, REQUEST_MAX);
}

/* ---- nothing goes to a server that does not verify ---- */

static void check_nothing_sent(const Order *order, const PeerOptions *options, const char *text) {
    _cleanup_outcome_ Outcome outcome;
    Order copy = *order;
    char url[128];
    Peer peer;

    peer_start(&peer, options);
    (void) snprintf(url, sizeof url, "https://127.0.0.1:%u/.well-known/est", peer.port);
    copy.servers[0] = url;
    run_job(&copy, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_failed(&outcome, text, true);
    if (report.size != 0)
        fail_msg("the server got: %s", (char *) report.data);
    assert_int_equal(outcome.transcripts + outcome.digests, 0);
}

static Bytes other_anchors(void) {
    Peer peer;
    Bytes pem = BYTES_NULL;

    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_CLOSES, .tls = true });
    assert_int_equal(bytes_copy(bytes_view(&peer.certificate), &pem), 0);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    return pem;
}

static Device device;

static void test_nothing_for_a_foreign_server(void **state) {
    _cleanup_bytes_ Bytes foreign = other_anchors(), chain = device_self_signed(&device);
    PeerOptions options = { .behaviour = PEER_SILENT, .tls = true, .request_certificate = true };
    Order order = {
        .kind = JOB_KIND_ENROLL,
        .anchors = bytes_view(&foreign),
        .device = &device,
        .user = "device",
        .password = "secret",
    };

    check_nothing_sent(&order, &options, "/cacerts: the server's certificate does not verify: ");
    order.user = order.password = NULL;
    order.client_chain = bytes_view(&chain);
    check_nothing_sent(&order, &options, "/cacerts: the server's certificate does not verify: ");
}

/* The provisional session asks for /cacerts and shows no credential, though the job has one. */
static void test_provisional_session(void **state) {
    _cleanup_outcome_ Outcome outcome;
    uint8_t fingerprint[32] = { 1 };
    char url[128];
    Peer peer;
    Order order = {
        .kind = JOB_KIND_ENROLL,
        .servers = { url },
        .fingerprint = fingerprint,
        .device = &device,
        .user = "device",
        .password = "secret",
    };

    peer_start(&peer,
               &(PeerOptions) {
                   .tls = true,
                   .answer = "HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm=\"x\"\r\nContent-Length: 0\r\n\r\n" });
    (void) snprintf(url, sizeof url, "https://127.0.0.1:%u/.well-known/est", peer.port);
    run_job(&order, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_failed(&outcome, "but 401 came", false);
    assert_non_null(strstr((char *) report.data, "GET /.well-known/est/cacerts "));
    assert_null(strstr((char *) report.data, "Authorization"));
}

static void test_client_refused(void **state) {
    _cleanup_outcome_ Outcome outcome;
    _cleanup_bytes_ Bytes chain = device_self_signed(&device);
    char url[128];
    Peer peer;

    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_REFUSES_CLIENT, .tls = true, .request_certificate = true });
    (void) snprintf(url, sizeof url, "https://127.0.0.1:%u/.well-known/est", peer.port);
    Order order = {
        .kind = JOB_KIND_REENROLL,
        .servers = { url },
        .anchors = bytes_view(&peer.certificate),
        .device = &device,
        .client_chain = bytes_view(&chain),
    };
    run_job(&order, &outcome);
    assert_failed(&outcome, "the connection broke off: the server may not accept our certificate (", true);
    assert_int_equal(outcome.transcripts, 1);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
}

/* A server that would ask for the certificate after the handshake cannot, and says 403. */
static void check_not_asked(bool asks, unsigned status) {
    _cleanup_outcome_ Outcome outcome;
    _cleanup_bytes_ Bytes chain = device_self_signed(&device);
    char url[128], response[128];
    Peer peer;

    (void) snprintf(response, sizeof response, "HTTP/1.1 %u No\r\nContent-Length: 0\r\n\r\n", status);
    peer_start(&peer, &(PeerOptions) { .tls = true, .request_certificate = asks, .answer = response });
    (void) snprintf(url, sizeof url, "https://127.0.0.1:%u/.well-known/est", peer.port);
    Order order = {
        .kind = JOB_KIND_REENROLL,
        .servers = { url },
        .anchors = bytes_view(&peer.certificate),
        .device = &device,
        .client_chain = bytes_view(&chain),
    };
    run_job(&order, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_failed(&outcome, "expected status 200, but 40", false);
    assert_int_equal(strstr(outcome.text, "did not ask for our certificate in the TLS handshake") != NULL, !asks);
    assert_int_equal(outcome.transcripts, asks);
}

static void test_certificate_not_asked(void **state) {
    check_not_asked(false, 401);
    check_not_asked(false, 403);
    check_not_asked(true, 403);
}

/* Each connection costs a signature, and one job has four. */
static void test_signatures_run_out(void **state) {
    _cleanup_outcome_ Outcome outcome;
    _cleanup_bytes_ Bytes chain = device_self_signed(&device);
    Order order = { .kind = JOB_KIND_REENROLL, .device = &device, .client_chain = bytes_view(&chain) };
    char urls[6][128];
    Peer peer;

    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_CLOSES, .tls = true, .request_certificate = true });
    order.anchors = bytes_view(&peer.certificate);
    for (unsigned i = 0; i < ARRAY_LENGTH(urls); i++) {
        /* a long path: whatever words the end of a connection is told in, the faults are too many for one text */
        (void) snprintf(urls[i], sizeof urls[i], "https://127.0.0.1:%u/%0*u", peer.port, 60, i);
        order.servers[i] = urls[i];
    }
    run_job(&order, &outcome);
    assert_failed(&outcome, "One job gets 4 TLS signatures", true);
    assert_non_null(strstr(outcome.text, "…; https://127.0.0.1")); /* the last fault is whole, those before it cut */
    assert_int_equal(outcome.transcripts, 4);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
}

/* ---- proxies ---- */

static void test_proxy(void **state) {
    static const char *const arguments[] = { "--open", NULL };
    _cleanup_outcome_ Outcome outcome, refused, missing;
    char proxy[64];
    Lab lab;
    Peer peer;

    lab_start(&lab, arguments);
    _cleanup_bytes_ Bytes anchors = lab_file(&lab, "server.pem");
    Order order = {
        .kind = JOB_KIND_CACERTS,
        .servers = { lab.url },
        .anchors = bytes_view(&anchors),
        .device = &device,
        .proxy = proxy,
        .user = "device",
        .password = "secret",
    };
    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_PROXY });
    (void) snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", peer.port);
    run_job(&order, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_result(&outcome);
    assert_memory_equal(report.data, "CONNECT 127.0.0.1:", 18);
    assert_null(strstr((char *) report.data, "uthorization"));

    peer_start(&peer, &(PeerOptions) { .answer = "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n" });
    (void) snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", peer.port);
    run_job(&order, &refused);
    _cleanup_bytes_ Bytes second = peer_stop(&peer);
    assert_failed(&refused, "did not connect us to the server (CONNECT tunnel failed, response 403)", true);

    run_job(&order, &missing);
    assert_failed(&missing, "the server was not reached (", true);
    assert_null(strstr(missing.text, " ms")); /* the same words each time */
    lab_stop(&lab);
}

/* The proxy's password is for the proxy, the CA's for the CA. */
static void test_proxy_with_password(void **state) {
    static const char *const arguments[] = { "USER", NULL };
    _cleanup_outcome_ Outcome outcome, wrong, nobody;
    char proxy[64];
    Lab lab;
    Peer peer;

    lab_start(&lab, arguments);
    _cleanup_bytes_ Bytes anchors = lab_file(&lab, "server.pem");
    Order order = {
        .kind = JOB_KIND_ENROLL,
        .servers = { lab.url },
        .anchors = bytes_view(&anchors),
        .device = &device,
        .proxy = proxy,
        .proxy_user = "branch",
        .proxy_password = "open: sesame",
        .user = "device",
        .password = "secret of the factory",
    };
    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_PROXY,
                                       .proxy_authorization =
                                           "\r\nProxy-Authorization: Basic YnJhbmNoOm9wZW46IHNlc2FtZQ==\r\n" });
    (void) snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", peer.port);
    run_job(&order, &outcome);
    order.proxy_password = "guessed";
    run_job(&order, &wrong);
    order.proxy_user = order.proxy_password = NULL;
    run_job(&order, &nobody);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_result(&outcome);
    assert_null(strstr((char *) report.data, "\r\nAuthorization"));
    assert_failed(&wrong, "response 407); it does not accept ProxyUser= and ProxyCredential=", true);
    assert_failed(&nobody, "response 407); it wants ProxyUser= and ProxyCredential=", true);
    assert_int_equal(lab_log_count(&lab, "sesame"), 0);
    lab_stop(&lab);
}

static int setup(void **state) {
    assert_int_equal(curl_global_init(CURL_GLOBAL_DEFAULT), 0);
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    return 0;
}

static int teardown(void **state) {
    device_clear(&device);
    curl_global_cleanup();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_header_flood),
        cmocka_unit_test(test_challenge_flood),
        cmocka_unit_test(test_exactly_maximum),
        cmocka_unit_test(test_nothing_for_a_foreign_server),
        cmocka_unit_test(test_provisional_session),
        cmocka_unit_test(test_client_refused),
        cmocka_unit_test(test_certificate_not_asked),
        cmocka_unit_test(test_signatures_run_out),
        cmocka_unit_test(test_proxy),
        cmocka_unit_test(test_proxy_with_password),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
