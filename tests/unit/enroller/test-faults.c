/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each way in which the lab CA misbehaves on purpose, and the sentence that it gets. */
#include "support.h"

#include "common/scheme.h"
#include "pki/chain.h"
#include "pki/csr.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static Lab lab;
static Device device;
static Bytes anchors;
static Bytes chain;

static Order good_order(uint8_t kind) {
    return (Order) {
        .kind = kind,
        .servers = { lab.url },
        .anchors = bytes_view(&anchors),
        .device = &device,
        .user = "device",
        .password = "secret of the factory",
    };
}

typedef struct Case {
    const char *fault; /* words for `control fault` */
    const char *text;  /* of the failure */
    bool may_retry;
    uint32_t after;
} Case;

static void check_case(const Case *c) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    char words[512], url[320];

    (void) snprintf(words, sizeof words, "fault %s", c->fault);
    lab_control(&lab, words);
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_failed(&outcome, c->text, c->may_retry);
    assert_int_equal(outcome.after, c->after);
    (void) snprintf(url, sizeof url, "%s/", lab.url);
    assert_memory_equal(outcome.text, url, strlen(url)); /* which server, which step */
}

static void check_cases(const Case *cases, size_t count) {
    for (size_t i = 0; i < count; i++) {
        print_message("           %s\n", cases[i].fault);
        check_case(&cases[i]);
    }
}

static void test_status(void **state) {
    static const Case cases[] = {
        { "simpleenroll status code=400 'text=no thanks'",
          "/simpleenroll: expected status 200, but 400 came: \"no thanks", false, 0 },
        { "simpleenroll status code=403 'text=not you'",
          "but 403 came: \"not you\"; the server knows us and does not allow this", false, 0 },
        { "simpleenroll status code=404", "but 404 came", false, 0 },
        { "simpleenroll status code=408", "but 408 came", true, 0 },
        { "simpleenroll status code=429 retry-after=17", "but 429 came", true, 17 },
        { "simpleenroll status code=500 'text=<html>  a\tb</html>'", "but 500 came: \"<html> a b</html>\"", true, 0 },
        { "simpleenroll status code=503 retry-after=90", "but 503 came", true, 90 },
        { "simpleenroll status code=400 retry-after=90", "but 400 came", false, 0 },
        { "simpleenroll status code=204", "but 204 came", true, 0 },
        { "cacerts status code=503 retry-after=5", "/cacerts: expected status 200, but 503 came", true, 5 },
        { "cacerts status code=404", "is the path in Server= right?", false, 0 },
        { "csrattrs status code=500", "/csrattrs: expected status 200, but 500 came", true, 0 },
        { "csrattrs status code=429 retry-after=7", "/csrattrs: expected status 200, but 429 came", true, 7 },
    };

    check_cases(cases, ARRAY_LENGTH(cases));
}

static void test_retry_after_date(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "fault simpleenroll status code=503 retry-after=1000 form=date");
    order.time = time(NULL) + 86400; /* our own clock is off: the server's Date counts */
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_failed(&outcome, "but 503 came", true);
    assert_true(outcome.after > 950 && outcome.after <= 1000);
}

/* Elsewhere is where another origin is: whoever is there gets nothing. */
static void test_redirect_elsewhere(void **state) {
    static const Case cases[] = {
        { "cacerts redirect",
          "/cacerts to https://elsewhere.example/.well-known/est/cacerts; a redirect is followed 3 times and within "
          "the "
          "same scheme, host and port alone",
          false, 0 },
        { "simpleenroll redirect code=307",
          "/simpleenroll: expected status 200, but the server redirects (307) from https", false, 0 },
        { "simpleenroll redirect code=301 location=http://127.0.0.1/", "/simpleenroll to http://127.0.0.1/;", false,
          0 },
        { "simpleenroll redirect location=//127.0.0.1:1/x", "/simpleenroll to https://127.0.0.1:1/x;", false, 0 },
        { "simpleenroll redirect location=http:///", "redirects (302) from ", false, 0 },
        { "simpleenroll redirect code=303 location=/x", "redirects (303) from ", false, 0 },
        { "simpleenroll redirect count=0 code=308 location=simpleenroll",
          "/simpleenroll; a redirect is followed 3 times", false, 0 },
    };

    check_cases(cases, ARRAY_LENGTH(cases));
}

/* The same request goes where the server sends it, three times. */
static void test_redirect_within(void **state) {
    static const char *const faults[] = {
        "cacerts redirect location=/.well-known/est/line-2/cacerts",
        "cacerts redirect code=303 location=/.well-known/est/line-2/cacerts",
        "csrattrs redirect location=line-2/csrattrs",
        "simpleenroll redirect code=307 location=/.well-known/est/line-2/simpleenroll",
        "simpleenroll redirect code=302 count=3 location=line-2/../simpleenroll#part",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        _cleanup_outcome_ Outcome outcome;
        Order order = good_order(JOB_KIND_ENROLL);
        char words[128];

        (void) snprintf(words, sizeof words, "fault %s", faults[i]);
        lab_control(&lab, words);
        unsigned before = lab_log_count(&lab, "label=line-2");
        run_job(&order, &outcome);
        lab_control(&lab, "clear");
        assert_result(&outcome);
        assert_true(lab_log_count(&lab, "label=line-2") > before || strstr(faults[i], "count=3"));
        assert_int_equal(outcome.requests, 1);
    }
}

static void test_broken_transport(void **state) {
    static const Case cases[] = {
        { "cacerts cut-off", "/cacerts: expected a complete answer, but the connection broke off", true, 0 },
        { "csrattrs cut-off", "", true, 0 }, /* text checked below, where there is an answer to cut */
        { "simpleenroll cut-off", "/simpleenroll: expected a complete answer, but the connection broke off", true, 0 },
        { "cacerts huge", "/cacerts: expected at most 1573888 bytes of body, but more came", true, 0 },
        { "simpleenroll huge", "/simpleenroll: expected at most 394240 bytes of body, but more came", true, 0 },
        { "csrattrs huge size=100000", "/csrattrs: expected ", true, 0 },
    };

    lab_control(&lab, "csrattrs key-p256");
    check_cases(cases, ARRAY_LENGTH(cases));
    lab_control(&lab, "csrattrs none");
}

/* A request that may have been acted on is not sent to the next server; a question may be. */
static void test_broken_and_next_server(void **state) {
    _cleanup_outcome_ Outcome request, question;
    Order order = good_order(JOB_KIND_ENROLL);

    order.servers[1] = lab.url;
    lab_control(&lab, "fault simpleenroll cut-off");
    unsigned before = lab_log_count(&lab, " simpleenroll ");
    run_job(&order, &request);
    assert_failed(&request, "/simpleenroll: expected a complete answer, but the connection broke off", true);
    assert_int_equal(lab_log_count(&lab, " simpleenroll "), before + 2); /* the challenge, and the one */

    lab_control(&lab, "fault cacerts cut-off");
    run_job(&order, &question);
    assert_result(&question);
}

static void test_body(void **state) {
    static const Case cases[] = {
        { "cacerts not-base64", "/cacerts: expected application/pkcs7-mime in base64, but what came is not base64 (",
          true, 0 },
        { "simpleenroll not-base64",
          "/simpleenroll: expected application/pkcs7-mime in base64, but what came is not base64 (", true, 0 },
        { "simpleenroll not-base64", ": \"<html>%% &*() not base64 </html>\")", true, 0 },
        { "cacerts empty", "not base64 (application/pkcs7-mime; smime-type=certs-only, 0 bytes: \"\")", true, 0 },
        { "simpleenroll empty", "/simpleenroll: expected application/pkcs7-mime in base64", true, 0 },
        { "cacerts not-pkcs7", "/cacerts: expected certificates as PKCS#7, but they cannot be read: ", true, 0 },
        { "simpleenroll not-pkcs7", "/simpleenroll: expected certificates as PKCS#7, but they cannot be read: ", true,
          0 },
        { "cacerts no-certificates", "/cacerts: expected certificates as PKCS#7, but they cannot be read: ", true, 0 },
        { "simpleenroll no-certificates",
          "/simpleenroll: expected certificates as PKCS#7, but they cannot be read: ", true, 0 },
    };

    check_cases(cases, ARRAY_LENGTH(cases));
}

static unsigned times_in(const char *text, const char *part) {
    unsigned count = 0;

    for (const char *at = strstr(text, part); at; at = strstr(at + 1, part))
        count++;
    return count;
}

/* /csrattrs that is refused or cannot be read wants nothing, and the log says so once. */
static void check_attributes(const char *fault, int key_type, const char *said) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    char words[128];

    (void) snprintf(words, sizeof words, "fault csrattrs %s", fault);
    lab_control(&lab, words);
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_result(&outcome);
    unsigned notes = times_in(outcome.log, "/csrattrs cannot be read, so the CA is taken to want nothing");
    if (outcome.key_type != key_type || notes != (said ? 1 : 0) || (said && !strstr(outcome.log, said)))
        fail_msg("%s: key type %d, log: %s", fault, outcome.key_type, outcome.log);
}

static void test_attributes(void **state) {
    lab_control(&lab, "csrattrs key-p256");
    check_attributes("status code=400", -1, "status 400");
    check_attributes("status code=401", KEY_ECDSA_P256, NULL); /* it is asked once more, with the password */
    check_attributes("status code=401 count=2", -1, "status 401");
    check_attributes("status code=403 'text=not \x1b you'", -1, "status 403, text/plain, 10 bytes: \"not ? you\"");
    check_attributes("status code=404", -1, NULL);
    check_attributes("status code=405", -1, "status 405");
    check_attributes("status code=501", -1, "status 501");
    check_attributes("not-base64", -1, "status 200");
    check_attributes("blank", -1, "status 200");
    check_attributes("empty", -1, NULL);
    check_attributes("trailing", KEY_ECDSA_P256, NULL);
    lab_control(&lab, "csrattrs none");
}

/* The request is asked for when the TLS session is there, and names it. A refusal says what it was linked by. */
static void test_proof_of_possession(void **state) {
    static const Case refused = { "simpleenroll status code=403",
                                  "; the request was linked to its TLS 1.3 session by tls-exporter", false, 0 };
    static const Case refused_12 = { "connection tls12 count=0",
                                     "; the request was linked to its TLS session by tls-unique", false, 0 };
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "csrattrs oids");
    check_case(&refused);
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_int_equal(outcome.binding_size, JOB_TLS_EXPORTER_SIZE);
    assert_non_null(strstr(outcome.steps, "csrattrs simpleenroll request "));
    order.password = "wrong";
    outcome_clear(&outcome);
    run_job(&order, &outcome);
    assert_failed(&outcome, "; the server does not accept this user and password, or not the proof of possession",
                  false);
    order = good_order(JOB_KIND_ENROLL);
    lab_control(&lab, "csrattrs proof"); /* refused: the request of this test is linked to nothing */
    check_case(&refused_12);
    lab_control(&lab, "csrattrs none");
    outcome_clear(&outcome);
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_int_equal(outcome.binding_size, 0);
}

/* One that a CA had taken is posted as it was, whatever /csrattrs says by now. */
static void test_proof_of_a_given_request(void **state) {
    _cleanup_bytes_ Bytes request = BYTES_NULL;
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    request = device_request(order.device, order.subject, order.dns);
    order.request = bytes_view(&request);
    lab_control(&lab, "csrattrs proof");
    run_job(&order, &outcome);
    lab_control(&lab, "csrattrs none");
    assert_failed(&outcome, "but 403 came: \"The request was refused: the request has no challengePassword.\"", false);
    assert_int_equal(outcome.requests, 0);
}

/* Servers of RFC 7030 decode a request only where it says that it is base64. */
static void test_transfer_encoding(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "fault simpleenroll wants-encoding");
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_result(&outcome);
}

static void test_certificate(void **state) {
    static const Case cases[] = {
        { "simpleenroll wrong-key",
          "expected a certificate for the public key of our request, but the one that came (\"", true, 0 },
        { "simpleenroll expired", "has expired already; compare the clocks of the CA and this device", true, 0 },
        { "simpleenroll ca-certificate", "/simpleenroll: ", true, 0 },
    };

    check_cases(cases, ARRAY_LENGTH(cases));
}

/* A certificate that came and was refused is told apart from an enrolment that failed. */
static void test_rejected(void **state) {
    static const struct {
        const char *fault;
        bool rejected;
    } cases[] = {
        { "simpleenroll wrong-key", true },        { "simpleenroll expired", true },
        { "simpleenroll ca-certificate", true },   { "simpleenroll not-base64", false },
        { "simpleenroll status code=403", false }, { "connection server-expired", false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_outcome_ Outcome outcome;
        Order order = good_order(JOB_KIND_ENROLL);
        char words[128];

        (void) snprintf(words, sizeof words, "fault %s", cases[i].fault);
        lab_control(&lab, words);
        run_job(&order, &outcome);
        lab_control(&lab, "clear");
        assert_true(outcome.has_failure);
        assert_int_equal(outcome.rejected, cases[i].rejected);
    }
}

/* A server that says what it is not bothers nobody as long as the body is right. Whether a CA may give other names is
 * the configuration's to say, so identityd compares them. */
static void test_harmless(void **state) {
    static const char *const faults[] = { "simpleenroll content-type", "cacerts content-type",
                                          "simpleenroll with-chain",   "simpleenroll wrong-name",
                                          "simpleenroll wrong-san",    "csrattrs empty",
                                          "cacerts foreign-root" };

    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        _cleanup_outcome_ Outcome outcome;
        Order order = good_order(JOB_KIND_ENROLL);
        char words[128];

        (void) snprintf(words, sizeof words, "fault %s", faults[i]);
        lab_control(&lab, words);
        run_job(&order, &outcome);
        lab_control(&lab, "clear");
        assert_result(&outcome);
    }
}

/* What only identityd can judge, since it has the anchors: passed on, and refused there by the same functions of pki.
 */
static void check_chain_refused(const char *fault, int64_t now, const char *part) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    Failure failure = FAILURE_INIT;
    char words[128];

    (void) snprintf(words, sizeof words, "fault %s", fault);
    lab_control(&lab, words);
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_result(&outcome);
    _cleanup_certificates_ CertificateList issued = pkcs7_list(&outcome.issued), cacerts = pkcs7_list(&outcome.cacerts);
    _cleanup_certificates_ CertificateList trusted = { 0 }, built = { 0 };
    _cleanup_bytes_ Bytes root = lab_file(&lab, "root.pem");
    assert_int_equal(certificate_list_from_pem(bytes_view(&root), 8, &trusted, &failure), 0);
    const Certificate *leaf = certificate_list_find_spki(&issued, bytes_view(&device.spki));
    assert_non_null(leaf);
    if (chain_build(leaf, &cacerts, &trusted, now, &built, NULL, &failure) >= 0 || !strstr(failure.text, part))
        fail_msg("%s: wanted \"%s\": %s", fault, part, failure.text);
}

static void test_chain(void **state) {
    check_chain_refused("simpleenroll no-chain", time(NULL), "no issuer");
    check_chain_refused("simpleenroll not-yet-valid", time(NULL), "not valid until");
    check_chain_refused("cacerts no-intermediate", time(NULL), "no issuer");
}

/* ---- the server's certificate ---- */

/* Neither a byte of HTTP nor our certificate reaches a server that does not verify. */
static void check_connection(const char *kind, const char *text, bool may_retry, bool with_certificate) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(with_certificate ? JOB_KIND_REENROLL : JOB_KIND_ENROLL);
    char words[128];

    if (with_certificate) {
        order.user = order.password = NULL;
        order.client_chain = bytes_view(&chain);
    }
    (void) snprintf(words, sizeof words, "fault connection %s count=0", kind);
    lab_control(&lab, words);
    unsigned before = lab_log_count(&lab, "cacerts");
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_failed(&outcome, text, may_retry);
    assert_int_equal(lab_log_count(&lab, "cacerts"), before);
    assert_int_equal(outcome.transcripts + outcome.digests, 0);
}

static void test_server_certificate(void **state) {
    for (unsigned i = 0; i < 2; i++) {
        check_connection("server-name", "is not for the name 127.0.0.1", true, i);
        check_connection("server-expired", "/cacerts: the server's certificate does not verify: ", true, i);
        check_connection("server-untrusted", "/cacerts: the server's certificate does not verify: ", true, i);
    }
}

static void test_foreign_anchors(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    Lab other;

    lab_start(&other, NULL);
    _cleanup_bytes_ Bytes foreign = lab_file(&other, "server.pem");
    lab_stop(&other);
    order.anchors = bytes_view(&foreign);
    run_job(&order, &outcome);
    assert_failed(&outcome, "/cacerts: the server's certificate does not verify: ", true);
}

static void test_tls12(void **state) {
    _cleanup_outcome_ Outcome user, outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    check_connection("tls12",
                     "/cacerts: expected TLS 1.3, which client authentication needs, but the server does not speak it",
                     false, true);
    lab_control(&lab, "fault connection tls12 count=0");
    run_job(&order, &user); /* without a client key TLS 1.2 will do */
    assert_result(&user);
    assert_non_null(strstr(user.tls, "TLS1.2 "));
    order.user = order.password = NULL;
    order.kind = JOB_KIND_REENROLL;
    order.client_chain = bytes_view(&chain);
    order.allow_tls12 = true;
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_result(&outcome);
    assert_true(outcome.digests >= 1);
    assert_int_equal(outcome.transcripts, 0);
}

/* With AllowTLS12 and a server of today it is TLS 1.3, and no bare digest is signed. */
static void test_tls12_allowed_but_not_used(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_REENROLL);

    order.user = order.password = NULL;
    order.client_chain = bytes_view(&chain);
    order.allow_tls12 = true;
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_true(outcome.transcripts >= 1);
    assert_int_equal(outcome.digests, 0);
}

/* As libest is by default: the certificate alone does not renew. */
static void test_renewal_that_wants_a_password(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_REENROLL);

    order.user = order.password = NULL;
    order.client_chain = bytes_view(&chain);
    lab_control(&lab, "fault simplereenroll status code=401");
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_failed(&outcome, "[Renewal] Authenticate=credential:NAME renews by password", false);
}

static void test_tls12_rsa(void **state) {
    _cleanup_outcome_ Outcome issued, outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    Device rsa;

    device_new(&rsa, GNUTLS_PK_RSA, 2048);
    order.device = &rsa;
    run_job(&order, &issued);
    assert_result(&issued);
    _cleanup_bytes_ Bytes rsa_chain = outcome_chain(&issued, &rsa);
    order.kind = JOB_KIND_REENROLL;
    order.user = order.password = NULL;
    order.client_chain = bytes_view(&rsa_chain);
    order.allow_tls12 = true;
    lab_control(&lab, "fault connection tls12 count=0");
    run_job(&order, &outcome);
    lab_control(&lab, "clear");
    assert_result(&outcome);
    assert_true(outcome.digests >= 1);
    device_clear(&rsa);
}

static int setup(void **state) {
    static const char *const arguments[] = { "USER", NULL };
    Outcome outcome;

    lab_start(&lab, arguments);
    anchors = lab_file(&lab, "server.pem");
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    Order order = good_order(JOB_KIND_ENROLL);
    run_job(&order, &outcome);
    assert_result(&outcome);
    chain = outcome_chain(&outcome, &device);
    outcome_clear(&outcome);
    return 0;
}

static int teardown(void **state) {
    lab_stop(&lab);
    device_clear(&device);
    bytes_clear(&anchors);
    bytes_clear(&chain);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_status),
        cmocka_unit_test(test_retry_after_date),
        cmocka_unit_test(test_redirect_elsewhere),
        cmocka_unit_test(test_redirect_within),
        cmocka_unit_test(test_broken_transport),
        cmocka_unit_test(test_broken_and_next_server),
        cmocka_unit_test(test_body),
        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_transfer_encoding),
        cmocka_unit_test(test_proof_of_possession),
        cmocka_unit_test(test_proof_of_a_given_request),
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_rejected),
        cmocka_unit_test(test_harmless),
        cmocka_unit_test(test_chain),
        cmocka_unit_test(test_server_certificate),
        cmocka_unit_test(test_foreign_anchors),
        cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_tls12_allowed_but_not_used),
        cmocka_unit_test(test_renewal_that_wants_a_password),
        cmocka_unit_test(test_tls12_rsa),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
