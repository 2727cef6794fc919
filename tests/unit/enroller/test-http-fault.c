/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libcurl's failures mean: for each the sentence, the error, and whether another server or another time may do. */
#include "enroller/http-session.h"
#include "support.h"

#include <stdio.h>
#include <string.h>

static const HttpRequest get = { .maximum = 1000 }, post = { .content_type = "application/pkcs10", .maximum = 1000 };
static const HttpSettings direct = { .server = "https://a/" },
                          proxied = { .server = "https://a/", .proxy = "http://p:1" },
                          known = { .server = "https://a/", .proxy = "http://p:1", .proxy_user = "u" };
static HttpResponse response = { .challenge = "Digest" };

typedef struct Case {
    CURLcode code;
    const HttpSettings *settings;
    const HttpRequest *request;
    bool is_sent;
    const char *error; /* libcurl's text */
    int r;
    bool try_next, is_permanent;
    const char *text;
} Case;

static void expect(const HttpSession *session, CURLcode code, const Case *wanted) {
    EnrollFault fault = ENROLL_FAULT_INIT;

    fault.retry_after = 9;
    int r = http_fault_from_curl(session, code, &fault);
    if (r != wanted->r || !strstr(fault.failure.text, wanted->text))
        fail_msg("%d: %d, %s", code, r, fault.failure.text);
    if (fault.try_next != wanted->try_next || fault.is_permanent != wanted->is_permanent)
        fail_msg("%s: next %d, permanent %d", fault.failure.text, fault.try_next, fault.is_permanent);
    assert_int_equal(fault.retry_after, 0);
}

static void test_of_libcurl(void **state) {
    static const Case cases[] = {
        { CURLE_OUT_OF_MEMORY, &direct, &get, false, "", -ENOMEM, false, false, "Talking to the server" },
        { CURLE_WRITE_ERROR, &direct, &get, true, "", -ENOMEM, false, false, "Talking to the server" },
        { CURLE_COULDNT_RESOLVE_HOST, &direct, &get, false, "Could not resolve", -ECONNREFUSED, true, false,
          "the server was not reached (Could not resolve)" },
        { CURLE_COULDNT_RESOLVE_PROXY, &proxied, &get, false, "", -ECONNREFUSED, true, false,
          "the server was not reached (" },
        { CURLE_COULDNT_CONNECT, &direct, &get, false, "Failed to connect to a port 1 after 17 ms: refused",
          -ECONNREFUSED, true, false, "(Failed to connect to a port 1: refused)" },
        { CURLE_COULDNT_CONNECT, &direct, &get, false, "Failed after ms", -ECONNREFUSED, true, false,
          "(Failed after ms)" },
        { CURLE_COULDNT_CONNECT, &direct, &get, false, "Failed after 17 s", -ECONNREFUSED, true, false,
          "(Failed after 17 s)" },
        { CURLE_COULDNT_CONNECT, &direct, &get, false, "refused after 5 ms", -ECONNREFUSED, true, false, "(refused)" },
        { CURLE_OPERATION_TIMEDOUT, &direct, &get, true, "slow", -ETIMEDOUT, false, false,
          "the server did not complete one (slow)" },
        { CURLE_OPERATION_TIMEDOUT, &direct, &get, false, "slow", -ETIMEDOUT, true, false,
          "no connection came about (slow)" },
        { CURLE_SSL_CONNECT_ERROR, &direct, &get, false, "gnutls_handshake() failed: An unexpected version",
          -ECONNREFUSED, true, false, "the TLS handshake failed: An unexpected version" },
        { CURLE_SSL_CERTPROBLEM, &direct, &get, false, "", -ECONNREFUSED, true, false,
          "the TLS handshake failed: no reason given" },
        { CURLE_SSL_CONNECT_ERROR, &direct, &get, false, "odd", -ECONNREFUSED, true, false,
          "the TLS handshake failed: odd" },
        { CURLE_RECV_ERROR, &direct, &get, true, "an alert", -ECONNRESET, true, false,
          "but the connection broke off (an alert)" },
        { CURLE_SEND_ERROR, &direct, &post, true, "unexpected TLS packet", -ECONNRESET, false, false,
          "but the connection broke off (unexpected TLS packet)" },
        { CURLE_GOT_NOTHING, &direct, &post, false, "x", -ECONNRESET, true, false, "broke off (x)" },
        { CURLE_PARTIAL_FILE, &proxied, &post, true, "x", -ECONNRESET, false, false, "broke off (x)" },
        { CURLE_RECV_ERROR, &proxied, &post, false, "CONNECT tunnel failed, response 403", -ECONNREFUSED, true, false,
          "the proxy http://p:1 did not connect us to the server (CONNECT tunnel failed, response 403)" },
        { CURLE_RECV_ERROR, &proxied, &post, false, "response 407", -ECONNREFUSED, true, false,
          "it wants ProxyUser= and ProxyCredential=" },
        { CURLE_RECV_ERROR, &known, &post, false, "response 407", -ECONNREFUSED, true, false,
          "it does not accept ProxyUser= and ProxyCredential=" },
        { CURLE_WEIRD_SERVER_REPLY, &direct, &get, true, "weird", -EPROTO, false, false,
          "expected an HTTP answer, but libcurl says: weird" },
        { CURLE_UNSUPPORTED_PROTOCOL, &direct, &get, false, "", -EPROTO, true, false,
          "expected an HTTP answer, but libcurl says: " },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        HttpSession session = { .settings = cases[i].settings,
                                .request = cases[i].request,
                                .response = &response,
                                .is_sent = cases[i].is_sent };
        (void) snprintf(session.error, sizeof session.error, "%s", cases[i].error);
        expect(&session, cases[i].code, &cases[i]);
    }
}

/* What is known of our own comes before anything that libcurl says; the first of it that there is. */
static void test_of_our_own(void **state) {
    HttpSession session = { .settings = &direct, .request = &get, .response = &response, .is_too_large = true };

    session.header_bytes = HTTP_HEADERS_MAX;
    expect(&session, CURLE_RECV_ERROR,
           &(Case) { .r = -EFBIG, .text = "expected at most 1000 bytes of body, but more came" });
    session.header_bytes = HTTP_HEADERS_MAX + 1;
    expect(&session, CURLE_RECV_ERROR,
           &(Case) { .r = -EFBIG, .text = "expected at most 65536 bytes of headers, but more came" });
    session.is_asked_again = true;
    expect(&session, CURLE_RECV_ERROR,
           &(Case) { .r = -EPROTO, .text = "the server asks for user and password again and again (\"Digest\")" });
    session.body_error = -EOPNOTSUPP;
    (void) failure_set(&session.body_failure, -EOPNOTSUPP, FAILURE_ENROLLMENT_FAILED, "no binding");
    expect(&session, CURLE_RECV_ERROR, &(Case) { .r = -EOPNOTSUPP, .text = "no binding" });
    (void) failure_set(&session.server_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, "a stranger");
    expect(&session, CURLE_RECV_ERROR, &(Case) { .r = -EKEYREJECTED, .try_next = true, .text = "a stranger" });
    session.is_cancelled = true;
    expect(&session, CURLE_RECV_ERROR, &(Case) { .r = -ECANCELED, .text = "identityd closed the connection" });
    assert_int_equal(http_fault(NULL, -EIO, true, true), -EIO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_libcurl),
        cmocka_unit_test(test_of_our_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
