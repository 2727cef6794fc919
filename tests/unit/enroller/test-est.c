/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enroller against the lab CA: every way in, and what it gets. */
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
static Bytes chain; /* of a certificate that was issued to the device */

/* An order that works, authenticated by a user. */
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

/* An order that works, authenticated by the certificate. */
static Order certificate_order(uint8_t kind) {
    return (Order) {
        .kind = kind,
        .servers = { lab.url },
        .anchors = bytes_view(&anchors),
        .device = &device,
        .client_chain = bytes_view(&chain),
    };
}

static void assert_issued(const Outcome *outcome) {
    _cleanup_certificates_ CertificateList list = pkcs7_list(&outcome->issued);

    assert_result(outcome);
    assert_non_null(certificate_list_find_spki(&list, bytes_view(&device.spki)));
    assert_string_equal(outcome->server, lab.url);
}

static void test_enroll_with_basic(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    run_job(&order, &outcome);
    assert_issued(&outcome);
    /* Protocol, key exchange and cipher, in words. */
    assert_memory_equal(outcome.tls, "TLS1.3 ECDHE-", 13);
    assert_true(strstr(outcome.tls, " AES-") || strstr(outcome.tls, " CHACHA20-"));
    assert_string_equal(outcome.steps, "cacerts csrattrs request simpleenroll ");
    assert_int_equal(outcome.requests, 1);
    assert_int_equal(outcome.transcripts + outcome.digests, 0);
    assert_int_equal(outcome.key_type, -1);
    assert_non_null(strstr(outcome.tls, "TLS1.3 "));
    if (chain.size == 0)
        chain = outcome_chain(&outcome, &device);
}

static void test_reenroll_with_certificate(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = certificate_order(JOB_KIND_REENROLL);

    run_job(&order, &outcome);
    assert_issued(&outcome);
    assert_string_equal(outcome.steps, "cacerts csrattrs request simplereenroll ");
    assert_true(outcome.transcripts >= 1);
    assert_int_equal(outcome.digests, 0);
}

static void test_label(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    char url[300];

    (void) snprintf(url, sizeof url, "%s/line-1/", lab.url); /* the slash at the end is not doubled */
    order.servers[0] = url;
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_true(lab_log_count(&lab, "label=line-1") >= 2);
}

static void test_cacerts_and_probe(void **state) {
    _cleanup_outcome_ Outcome cacerts, probe;
    Order order = good_order(JOB_KIND_CACERTS);

    run_job(&order, &cacerts);
    assert_result(&cacerts);
    _cleanup_certificates_ CertificateList list = pkcs7_list(&cacerts.cacerts);
    assert_true(list.count >= 2);
    assert_int_equal(cacerts.issued.size, 0);
    /* What the server showed comes along: it is the lab CA's. */
    _cleanup_certificates_ CertificateList server = { 0 };
    Failure failure = FAILURE_INIT;
    assert_int_equal(certificate_list_from_pem(bytes_view(&cacerts.server_chain), CHAIN_MAX, &server, &failure), 0);
    assert_true(server.count >= 1);
    assert_non_null(strstr(server.list[0]->subject, "EST server"));
    order.kind = JOB_KIND_PROBE;
    run_job(&order, &probe);
    assert_result(&probe);
    assert_true(bytes_view_equal(bytes_view(&probe.cacerts), bytes_view(&cacerts.cacerts)));
    assert_int_equal(probe.server_chain.size, 0);
    assert_non_null(strstr(probe.tls, "TLS1."));
    assert_string_equal(probe.server, lab.url);
    assert_true(probe.has_clock); /* the server's is ours, but for the second that its Date is cut to */
    assert_in_range((int64_t) probe.clock_ahead + 1, 0, 60);
}

/* The same request again, byte for byte: none is asked for, and /csrattrs does not matter any more. */
static void test_earlier_request(void **state) {
    _cleanup_outcome_ Outcome outcome;
    _cleanup_bytes_ Bytes request = device_request(&device, NULL, NULL);
    Order order = good_order(JOB_KIND_ENROLL);

    order.request = bytes_view(&request);
    run_job(&order, &outcome);
    assert_issued(&outcome);
    assert_int_equal(outcome.requests, 0);
    assert_string_equal(outcome.steps, "cacerts simpleenroll ");
}

static void test_rekey(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = certificate_order(JOB_KIND_REENROLL);
    Device fresh;

    device_new(&fresh, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    order.subject_device = &fresh;
    run_job(&order, &outcome);
    assert_result(&outcome);
    _cleanup_certificates_ CertificateList list = pkcs7_list(&outcome.issued);
    assert_non_null(certificate_list_find_spki(&list, bytes_view(&fresh.spki)));
    device_clear(&fresh);
}

/* ---- 202 ---- */

static void test_later(void **state) {
    _cleanup_outcome_ Outcome seconds, date, missing;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "fault simpleenroll pending retry-after=77");
    run_job(&order, &seconds);
    assert_result(&seconds);
    assert_true(seconds.is_later);
    assert_int_equal(seconds.later, 77);
    assert_int_equal(seconds.issued.size, 0);
    lab_control(&lab, "forget-pending");

    lab_control(&lab, "fault simpleenroll pending retry-after=3600 form=date");
    run_job(&order, &date);
    assert_result(&date);
    assert_true(date.later > 3500 && date.later <= 3600);
    lab_control(&lab, "forget-pending");

    lab_control(&lab, "fault simpleenroll pending form=none");
    run_job(&order, &missing);
    assert_result(&missing);
    assert_true(missing.is_later);
    assert_int_equal(missing.later, 300);
    lab_control(&lab, "forget-pending");
}

static void test_later_then_issued(void **state) {
    _cleanup_outcome_ Outcome first, second;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "fault simpleenroll pending retry-after=0");
    run_job(&order, &first);
    assert_true(first.is_later);
    order.request = bytes_view(&first.request);
    run_job(&order, &second);
    assert_issued(&second);
}

/* ---- /csrattrs ---- */

static void check_csrattrs(const char *variant, int key_type, const char *eku) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);
    char words[64];

    (void) snprintf(words, sizeof words, "csrattrs %s", variant);
    lab_control(&lab, words);
    run_job(&order, &outcome);
    lab_control(&lab, "csrattrs none");
    if (!outcome.has_result || outcome.key_type != key_type || strcmp(outcome.eku, eku) != 0)
        fail_msg("%s: key type %d, eku \"%s\": %s", variant, outcome.key_type, outcome.eku, outcome.text);
}

static void test_csrattrs(void **state) {
    check_csrattrs("no-content", -1, "");
    check_csrattrs("empty", -1, "");
    check_csrattrs("oids", KEY_ECDSA_P384, "");
    check_csrattrs("key-p256", KEY_ECDSA_P256, "");
    check_csrattrs("key-p384", KEY_ECDSA_P384, "");
    check_csrattrs("key-rsa2048", KEY_RSA_2048, "");
    check_csrattrs("key-rsa3072", KEY_RSA_3072, "");
    check_csrattrs("key-rsa4096", -1, "");
    check_csrattrs("usage", -1, EKU_CLIENT_AUTH " ");
    check_csrattrs("unknown", -1, "");
}

static void test_csrattrs_foreign_name(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "csrattrs foreign-name");
    run_job(&order, &outcome);
    lab_control(&lab, "csrattrs none");
    assert_failed(&outcome, "/csrattrs: the CA wants a SubjectAltName, which this identity's request does not have",
                  false);
    assert_null(strstr(outcome.steps, "simpleenroll"));
}

/* ---- authentication ---- */

static void test_wrong_password(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    order.password = "guessed";
    run_job(&order, &outcome);
    assert_failed(&outcome,
                  "/simpleenroll: expected status 200, but 401 came: \"Authentication is wanted.\"; the server does "
                  "not accept this "
                  "user and password",
                  false);
}

static void test_no_credential(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    order.user = order.password = NULL;
    run_job(&order, &outcome);
    assert_failed(&outcome, "but 401 came", false);
    assert_non_null(strstr(outcome.text, "wants a user and password"));
}

static void test_digest(void **state) {
    static const char *const schemes[] = { "digest", "digest-md5" };

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++) {
        const char *const arguments[] = { "USER", "--http-auth", schemes[i], NULL };
        _cleanup_outcome_ Outcome outcome, refused;
        Lab other;

        lab_start(&other, arguments);
        _cleanup_bytes_ Bytes root = lab_file(&other, "server.pem");
        Order order = good_order(JOB_KIND_ENROLL);
        order.servers[0] = other.url;
        order.anchors = bytes_view(&root);
        run_job(&order, &outcome);
        assert_result(&outcome);
        order.password = "guessed";
        run_job(&order, &refused);
        assert_failed(&refused, "401", false);
        lab_stop(&other);
    }
}

/* Servers that say too little, or what nobody knows, and take Basic all the same. */
static void check_authentication(const char *scheme, const char *refusal, const char *guess_refusal) {
    const char *const arguments[] = { "USER", "--http-auth", scheme, NULL };
    _cleanup_outcome_ Outcome outcome, refused;
    Lab other;

    lab_start(&other, arguments);
    _cleanup_bytes_ Bytes root = lab_file(&other, "server.pem");
    Order order = good_order(JOB_KIND_ENROLL);
    order.servers[0] = other.url;
    order.anchors = bytes_view(&root);
    run_job(&order, &outcome);
    if (refusal)
        assert_failed(&outcome, refusal, strstr(refusal, "again and again") != NULL);
    else
        assert_result(&outcome);
    order.password = "guessed";
    run_job(&order, &refused);
    assert_failed(&refused, guess_refusal, strstr(guess_refusal, "again and again") != NULL);
    assert_true(lab_log_count(&other, " 401 ") <= 12); /* for two jobs: bounded */
    lab_stop(&other);
}

static void test_odd_authentication(void **state) {
    static const char refused[] = "the server does not accept this user and password";
    static const char not_sent[] = "the password was not sent: the server asks for another way of authentication";
    static const char loop[] = "/simpleenroll: expected an answer, but the server asks for user and password again and "
                               "again (\"Digest realm=";

    check_authentication("silent", NULL, refused);
    check_authentication("unknown", NULL, refused);
    check_authentication("foreign", not_sent, not_sent);
    check_authentication("stale", loop, loop);
}

static void test_revoked_certificate(void **state) {
    _cleanup_outcome_ Outcome issued, outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    order.subject = "CN=to be revoked";
    run_job(&order, &issued);
    assert_result(&issued);
    _cleanup_bytes_ Bytes revoked = outcome_chain(&issued, &device);
    lab_control(&lab, "revoke 'name=to be revoked'");
    order = certificate_order(JOB_KIND_REENROLL);
    order.client_chain = bytes_view(&revoked);
    order.subject = "CN=to be revoked";
    run_job(&order, &outcome);
    assert_failed(&outcome, "403", false);
    assert_non_null(strstr(outcome.text, "revoked"));
}

/* RSA signs TLS 1.3 with PSS only. */
static void test_rsa_client(void **state) {
    _cleanup_outcome_ Outcome issued, outcome, foreign;
    Order order = good_order(JOB_KIND_ENROLL);
    Device rsa;

    device_new(&rsa, GNUTLS_PK_RSA, 2048);
    order.device = &rsa;
    order.subject = "CN=rsa device";
    run_job(&order, &issued);
    assert_result(&issued);
    _cleanup_bytes_ Bytes rsa_chain = outcome_chain(&issued, &rsa);
    order = (Order) {
        .kind = JOB_KIND_REENROLL,
        .servers = { lab.url },
        .anchors = bytes_view(&anchors),
        .device = &rsa,
        .subject = "CN=rsa device",
        .client_chain = bytes_view(&rsa_chain),
    };
    run_job(&order, &outcome);
    assert_result(&outcome);
    assert_true(outcome.transcripts >= 1);
    rsa.scheme = 0x0806; /* a scheme that the test device cannot do: identityd refuses */
    run_job(&order, &foreign);
    assert_failed(&foreign, "the signature for client authentication could not be made: the TPM is away", true);
    device_clear(&rsa);
}

static void test_identityd_refuses(void **state) {
    _cleanup_outcome_ Outcome request, signature;
    Order order = good_order(JOB_KIND_ENROLL);

    order.refuse_request = true;
    run_job(&order, &request);
    assert_failed(&request, "The certificate request was not made: the TPM is away", true);
    order = certificate_order(JOB_KIND_REENROLL);
    order.refuse_signature = true;
    run_job(&order, &signature);
    assert_failed(&signature, "the signature for client authentication could not be made: the TPM is away", true);
    assert_int_equal(signature.transcripts, 1);
}

/* ---- bootstrap ---- */

static void root_fingerprint(uint8_t ret[static 32]) {
    _cleanup_bytes_ Bytes pem = lab_file(&lab, "root.pem");
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_from_pem(bytes_view(&pem), 8, &list, &failure), 0);
    assert_int_equal(certificate_fingerprint(list.list[0], ret), 0);
}

static void test_bootstrap(void **state) {
    _cleanup_outcome_ Outcome outcome, strict, wrong;
    Order order = good_order(JOB_KIND_ENROLL);
    uint8_t fingerprint[32];

    root_fingerprint(fingerprint);
    order.anchors = (BytesView) { NULL, 0 };
    order.fingerprint = fingerprint;
    run_job(&order, &outcome);
    assert_issued(&outcome);
    assert_string_equal(outcome.steps, "bootstrap cacerts cacerts csrattrs request simpleenroll ");

    order.time = 1000000000; /* a device that has never known the time */
    order.time_is_floor = true;
    outcome_clear(&outcome);
    run_job(&order, &outcome);
    assert_issued(&outcome);

    order.time_is_floor = false;
    run_job(&order, &strict);
    assert_failed(&strict, "it is not valid yet", true);
    order.time = 0;

    fingerprint[0] ^= 1;
    unsigned before = lab_log_count(&lab, "simpleenroll");
    run_job(&order, &wrong);
    assert_failed(&wrong, "/cacerts: ", true);
    assert_string_equal(wrong.steps, "bootstrap cacerts ");
    assert_int_equal(lab_log_count(&lab, "simpleenroll"), before);
}

/* The provisional session shows nothing of us: no certificate. */
static void test_bootstrap_without_client_certificate(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = certificate_order(JOB_KIND_REENROLL);
    uint8_t fingerprint[32];

    root_fingerprint(fingerprint);
    fingerprint[31] ^= 1;
    order.anchors = (BytesView) { NULL, 0 };
    order.fingerprint = fingerprint;
    run_job(&order, &outcome);
    assert_failed(&outcome, "/cacerts: ", true);
    assert_int_equal(outcome.transcripts, 0);
}

/* ---- several servers ---- */

static void test_next_server(void **state) {
    _cleanup_outcome_ Outcome outcome, all_bad;
    Order order = certificate_order(JOB_KIND_REENROLL);

    order.servers[0] = "https://127.0.0.1:1/.well-known/est";
    order.servers[1] = "https://nowhere.invalid/.well-known/est";
    order.servers[2] = lab.url;
    run_job(&order, &outcome);
    assert_issued(&outcome);

    order.servers[2] = NULL;
    run_job(&order, &all_bad);
    assert_failed(&all_bad, "https://127.0.0.1:1/.well-known/est/cacerts: the server was not reached (", true);
    assert_non_null(
        strstr(all_bad.text, "; https://nowhere.invalid/.well-known/est/cacerts: the server was not reached ("));
}

/* An answer is an answer: the next server is not asked. */
/* The same work as with one server alone. */
static void test_no_next_server_after_a_good_one(void **state) {
    unsigned asked[2];

    for (unsigned more = 0; more < 2; more++) {
        _cleanup_outcome_ Outcome outcome;
        Order order = good_order(JOB_KIND_ENROLL);
        unsigned before = lab_log_count(&lab, "cacerts");
        order.servers[1] = more ? lab.url : NULL;
        run_job(&order, &outcome);
        assert_result(&outcome);
        asked[more] = lab_log_count(&lab, "cacerts") - before;
    }
    assert_true(asked[0] > 0);
    assert_int_equal(asked[1], asked[0]);
}

static void test_no_next_server_after_an_answer(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    order.servers[1] = lab.url;
    lab_control(&lab, "fault simpleenroll status code=500");
    run_job(&order, &outcome);
    assert_failed(&outcome, "but 500 came", true);
}

/* ---- the clock ---- */

static void test_clock_behind(void **state) {
    _cleanup_outcome_ Outcome strict, floor;
    Order order = good_order(JOB_KIND_PROBE);

    order.time = 1000000000; /* 2001: before the CA was made */
    run_job(&order, &strict);
    assert_failed(&strict, "the server's certificate does not verify", true);
    assert_non_null(strstr(strict.text, "is not valid until"));
    order.time_is_floor = true;
    run_job(&order, &floor);
    assert_result(&floor);
}

/* A clock that is ahead sees expired certificates, floor or not. */
static void test_clock_ahead(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_PROBE);

    order.time = time(NULL) + 100LL * 365 * 86400;
    order.time_is_floor = true;
    run_job(&order, &outcome);
    assert_failed(&outcome, "expired", true);
}

/* ---- identityd's end ---- */

static void test_identityd_goes_away(void **state) {
    _cleanup_outcome_ Outcome outcome;
    Order order = good_order(JOB_KIND_ENROLL);

    lab_control(&lab, "fault simpleenroll slow seconds=20");
    order.hang_up_after_milliseconds = 1500;
    run_job(&order, &outcome);
    assert_false(outcome.has_result || outcome.has_failure);
    assert_true(outcome.milliseconds < 6000); /* it does not wait for the server */
}

static void test_roles(void **state) {
    _cleanup_outcome_ Outcome est, fetch;
    Order order = good_order(JOB_KIND_ENROLL);

    order.with_fetch_role = true;
    run_job(&order, &est);
    assert_failed(&est, "this role fetches files and does nothing else", false);
    assert_string_equal(est.steps, "");
    order = (Order) { .kind = JOB_KIND_FETCH, .servers = { "http://127.0.0.1:1/crl" } };
    run_job(&order, &fetch);
    assert_failed(&fetch, "this role speaks EST and fetches no files", false);
}

static int setup(void **state) {
    static const char *const arguments[] = { "USER", NULL };

    lab_start(&lab, arguments);
    anchors = lab_file(&lab, "server.pem");
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
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
        cmocka_unit_test(test_enroll_with_basic),
        cmocka_unit_test(test_reenroll_with_certificate),
        cmocka_unit_test(test_label),
        cmocka_unit_test(test_cacerts_and_probe),
        cmocka_unit_test(test_earlier_request),
        cmocka_unit_test(test_rekey),
        cmocka_unit_test(test_later),
        cmocka_unit_test(test_later_then_issued),
        cmocka_unit_test(test_csrattrs),
        cmocka_unit_test(test_csrattrs_foreign_name),
        cmocka_unit_test(test_wrong_password),
        cmocka_unit_test(test_no_credential),
        cmocka_unit_test(test_digest),
        cmocka_unit_test(test_odd_authentication),
        cmocka_unit_test(test_revoked_certificate),
        cmocka_unit_test(test_rsa_client),
        cmocka_unit_test(test_identityd_refuses),
        cmocka_unit_test(test_bootstrap),
        cmocka_unit_test(test_bootstrap_without_client_certificate),
        cmocka_unit_test(test_next_server),
        cmocka_unit_test(test_no_next_server_after_a_good_one),
        cmocka_unit_test(test_no_next_server_after_an_answer),
        cmocka_unit_test(test_clock_behind),
        cmocka_unit_test(test_clock_ahead),
        cmocka_unit_test(test_identityd_goes_away),
        cmocka_unit_test(test_roles),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
