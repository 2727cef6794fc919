/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The second role: CRLs and OCSP answers, from the lab CA and from peers that misbehave. */
#include "peer.h"
#include "support.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static Lab lab;
static char crl_url[256];

static Order fetch_order(const char *url) {
    return (Order) { .kind = JOB_KIND_FETCH, .servers = { url }, .with_fetch_role = true };
}

static void test_crl(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = fetch_order(crl_url);
    gnutls_x509_crl_t crl;

    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_string_equal(outcome.server, crl_url);
    assert_string_equal(outcome.steps, "crl ");
    assert_int_equal(gnutls_x509_crl_init(&crl), 0);
    assert_int_equal(gnutls_x509_crl_import(crl,
                                            &(gnutls_datum_t) { outcome.fetched.data, (unsigned) outcome.fetched.size },
                                            GNUTLS_X509_FMT_DER),
                     0);
    gnutls_x509_crl_deinit(crl);
}

static void check_fault(const char *fault, const char *text) {
    _cleanup_outcome_ Outcome outcome;
    Order order = fetch_order(crl_url);
    char words[256];

    (void) snprintf(words, sizeof words, "fault crl %s", fault);
    lab_control(&lab, words);
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_failed(&outcome, text, true);
    assert_memory_equal(outcome.text, crl_url, strlen(crl_url));
}

static void test_faults(void **state) {
    check_fault("status code=404", ": expected status 200, but 404 came");
    check_fault("status code=503 retry-after=9", ": expected status 200, but 503 came");
    check_fault("redirect", "redirects (302) from http");
    check_fault("cut-off", ": expected a complete answer, but the connection broke off");
    check_fault("huge", ": expected at most 8388608 bytes of body, but more came");
    check_fault("empty", ": expected a file, but the answer is empty");
}

/* All URLs say the same, so any fault moves on. */
static void test_next_url(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = fetch_order("http://127.0.0.1:1/first.crl");
    char missing[300];

    (void) snprintf(missing, sizeof missing, "%s.missing", crl_url);
    order.servers[1] = missing;
    order.servers[2] = crl_url;
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_string_equal(outcome.server, crl_url);
}

static void test_https(void **state) {
    _cleanup_outcome_ Outcome outcome, without, foreign;
    _cleanup_bytes_ Bytes anchors = lab_file(&lab, "server.pem");
    char url[300];
    Order order = fetch_order(url);
    Peer peer;

    (void) snprintf(url, sizeof url, "%s/cacerts", lab.url);
    order.anchors = bytes_view(&anchors);
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_true(outcome.fetched.size > 100);

    order.anchors = (BytesView) { NULL, 0 };
    run_job(&order, &without);
    assert_failed(&without, ": https needs anchors to verify the server with, and there are none", true);

    order.anchors = bytes_view(&anchors);
    peer_start(&peer, &(PeerOptions) { .behaviour = PEER_SILENT, .tls = true });
    (void) snprintf(url, sizeof url, "https://127.0.0.1:%u/crl", peer.port);
    run_job(&order, &foreign);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_failed(&foreign, "the server's certificate does not verify", true);
    assert_int_equal(report.size, 0);
}

/* What is no 200 is told with its number; a redirect, with where it leads. */
static void test_statuses(void **state) {
    static const struct {
        const char *answer, *text;
    } cases[] = {
        { "HTTP/1.1 299 Odd\r\nContent-Length: 0\r\n\r\n", "expected status 200, but 299 came" },
        { "HTTP/1.1 300 Many\r\nLocation: http://a/\r\nContent-Length: 0\r\n\r\n", "redirects (300) from " },
        { "HTTP/1.1 399 Odd\r\nLocation: http://a/\r\nContent-Length: 0\r\n\r\n", "redirects (399) from " },
        { "HTTP/1.1 400 Bad\r\nContent-Length: 4\r\n\r\nwhy?", "expected status 200, but 400 came: \"why?\"" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_outcome_ Outcome outcome;
        char url[128];
        Order order = fetch_order(url);
        Peer peer;
        peer_start(&peer, &(PeerOptions) { .answer = cases[i].answer });
        (void) snprintf(url, sizeof url, "http://127.0.0.1:%u/crl", peer.port);
        run_job(&order, &outcome);
        _cleanup_bytes_ Bytes report = peer_stop(&peer);
        assert_failed(&outcome, cases[i].text, true);
    }
}

static void test_ocsp(void **state) {
    _cleanup_outcome_ Outcome outcome;
    char url[128];
    Order order = fetch_order(url);
    Peer peer;

    peer_start(&peer, &(PeerOptions) { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nanswer" });
    (void) snprintf(url, sizeof url, "http://127.0.0.1:%u/ocsp?a=b", peer.port);
    order.ocsp_request = bytes_view_string("question");
    run_job(&order, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_result(&outcome);
    assert_string_equal(outcome.steps, "ocsp ");
    assert_true(bytes_view_equal(bytes_view(&outcome.fetched), bytes_view_string("answer")));
    assert_memory_equal(report.data, "POST /ocsp?a=b HTTP/1.1\r\n", 25);
    assert_non_null(strstr((char *) report.data, "Content-Type: application/ocsp-request\r\n"));
    assert_non_null(strstr((char *) report.data, "Accept: application/ocsp-response\r\n"));
}

/* Plain http goes through a proxy as http does: the whole URL is asked of it. */
static void test_proxy(void **state) {
    _cleanup_outcome_ Outcome outcome;
    char proxy[64];
    Order order = fetch_order("http://crl.example/x.crl");
    Peer peer;

    peer_start(&peer, &(PeerOptions) { .answer = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ncrl" });
    (void) snprintf(proxy, sizeof proxy, "http://127.0.0.1:%u", peer.port);
    order.proxy = proxy;
    run_job(&order, &outcome);
    _cleanup_bytes_ Bytes report = peer_stop(&peer);
    assert_result(&outcome);
    assert_memory_equal(report.data, "GET http://crl.example/x.crl HTTP/1.1\r\n", 39);
}

static int setup(void **state) {
    lab_start(&lab, NULL);
    _cleanup_bytes_ Bytes url = lab_file(&lab, "crl-url");
    (void) snprintf(crl_url, sizeof crl_url, "%.*s", (int) strcspn((char *) url.data, "\n"), (char *) url.data);
    return 0;
}

static int teardown(void **state) {
    lab_stop(&lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crl),   cmocka_unit_test(test_faults),   cmocka_unit_test(test_next_url),
        cmocka_unit_test(test_https), cmocka_unit_test(test_statuses), cmocka_unit_test(test_ocsp),
        cmocka_unit_test(test_proxy),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
