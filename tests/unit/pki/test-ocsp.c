/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OCSP answers of openssl's responder: whose count, for which certificate, and for how long. openssl stamps them with
 * the system's time, so certificates here are made around it. */
#include "pki/revocation.h"

#include "pki/asn1.h"

#include "fixture.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define AROUND(now) .not_before = (now) -DAY, .not_after = (now) + DAY

typedef struct Setting {
    int64_t now;
    Entity ca, leaf, responder;
} Setting;

static Setting *setting_new(void) {
    Setting *setting = calloc(1, sizeof(*setting));

    assert_non_null(setting);
    setting->now = (int64_t) time(NULL);
    setting->ca = ENTITY(.subject = "CN=CA", .ca = true, AROUND(setting->now));
    setting->leaf = ENTITY(.subject = "CN=leaf", .issuer = &setting->ca, .serial = 0xaabb, AROUND(setting->now));
    setting->responder =
        ENTITY(.subject = "CN=Responder", .issuer = &setting->ca, .eku = GNUTLS_KP_OCSP_SIGNING, AROUND(setting->now));
    return setting;
}

static void setting_free(Setting **setting) {
    entity_clear(&(*setting)->ca);
    entity_clear(&(*setting)->leaf);
    entity_clear(&(*setting)->responder);
    free(*setting);
}
#define SETTING _cleanup_(setting_free) Setting *s = setting_new()

static const char good[] = "V\t400101000000Z\t\tAABB\tunknown\t/CN=leaf\n",
                  revoked[] = "R\t400101000000Z\t200101000000Z,keyCompromise\tAABB\tunknown\t/CN=leaf\n",
                  hold[] = "R\t400101000000Z\t200101000000Z,certificateHold\tAABB\tunknown\t/CN=leaf\n",
                  others[] = "V\t400101000000Z\t\tAABC\tunknown\t/CN=leaf\n";

typedef struct Question {
    const Entity *certificate, *ca, *signer;       /* NULL: of the setting; the CA signs */
    const char *index, *options, *request_options; /* the last: what openssl asks, rather than ocsp_request */
} Question;

static Bytes answer(const Setting *s, const Question *question) {
    _cleanup_directory_ char *directory = make_directory();
    const Entity *ca = question->ca ?: &s->ca, *signer = question->signer ?: ca,
                 *certificate = question->certificate ?: &s->leaf;
    _cleanup_certificates_ CertificateList ca_list = LIST(ca->certificate), signer_list = LIST(signer->certificate);
    _cleanup_bytes_ Bytes request = BYTES_NULL;

    assert_int_equal(ocsp_request(certificate->certificate, ca->certificate, &request), 0);
    write_file(directory, "request.der", bytes_view(&request));
    write_file(directory, "index.txt", bytes_view_string(question->index));
    write_pem(directory, "ca.pem", &ca_list);
    write_pem(directory, "signer.pem", &signer_list);
    write_key(directory, "signer.key", signer->key);
    if (question->request_options)
        free(run(NULL, "cd %s && openssl ocsp -issuer ca.pem -serial 0xAABB %s -reqout request.der", directory,
                 question->request_options));
    free(
        run(NULL,
            "cd %s && openssl ocsp -index index.txt -CA ca.pem -rsigner signer.pem -rkey signer.key -reqin request.der "
            "-respout response.der %s",
            directory, question->options ?: "-ndays 1"));
    return read_test_file(directory, "response.der");
}
#define ANSWER(...) answer(s, &(Question) { __VA_ARGS__ })

static void expect_at(const Setting *s, Bytes response, int64_t now, RevocationVerdict expected) {
    RevocationVerdict verdict = (RevocationVerdict) -1;
    int64_t this_update = 0, next_update = 0;
    Failure failure = FAILURE_INIT;

    assert_ok(ocsp_check(bytes_view(&response), s->leaf.certificate, s->ca.certificate, now, &verdict, &this_update,
                         &next_update, &failure),
              failure);
    assert_int_equal(verdict, expected);
    assert_true(this_update >= s->now - 5 && this_update <= s->now + 60);
    assert_true(next_update == 0 || next_update == this_update + DAY);
    bytes_clear(&response);
}

static void expect(const Setting *s, Bytes response, RevocationVerdict expected) {
    expect_at(s, response, s->now, expected);
}

static void refuse_at(const Setting *s, Bytes response, int64_t now, int error, const char *reason) {
    RevocationVerdict verdict = (RevocationVerdict) -1;
    int64_t this_update = 7, next_update = 7;
    Failure failure = FAILURE_INIT;

    assert_failure(ocsp_check(bytes_view(&response), s->leaf.certificate, s->ca.certificate, now, &verdict,
                              &this_update, &next_update, &failure),
                   error, failure, reason);
    assert_int_equal(verdict, (RevocationVerdict) -1);
    assert_true(this_update == 7 && next_update == 7);
    bytes_clear(&response);
}

static void refuse(const Setting *s, Bytes response, const char *reason) {
    refuse_at(s, response, s->now, EKEYREJECTED, reason);
}

static void test_verdicts(void **state) {
    SETTING;

    expect(s, ANSWER(.index = good), REVOCATION_GOOD);
    expect(s, ANSWER(.index = revoked), REVOCATION_REVOKED);
    expect(s, ANSWER(.index = hold), REVOCATION_HOLD);
    expect(s, ANSWER(.index = others), REVOCATION_UNKNOWN);
    expect(s, ANSWER(.index = ""), REVOCATION_UNKNOWN);
}

static void test_responder(void **state) {
    SETTING;

    expect(s, ANSWER(.index = good, .signer = &s->responder), REVOCATION_GOOD);
    expect(s, ANSWER(.index = revoked, .signer = &s->responder), REVOCATION_REVOKED);
    expect(s, ANSWER(.index = good, .signer = &s->responder, .options = "-ndays 1 -resp_key_id"), REVOCATION_GOOD);
    expect(s, ANSWER(.index = good, .options = "-ndays 1 -resp_key_id"), REVOCATION_GOOD);
    expect(s, ANSWER(.index = good, .options = "-ndays 1 -resp_no_certs"), REVOCATION_GOOD);
    refuse(s, ANSWER(.index = good, .signer = &s->responder, .options = "-ndays 1 -resp_no_certs"),
           "neither the issuer nor comes with a certificate");
}

/* A sibling CA's responder, one without the purpose, one that expired, and more who would like to revoke. */
static void test_wrong_responders(void **state) {
    SETTING;
    const Extension unknown = { "1.2.3.4", "\x05\x00", 2, true };
    _cleanup_entity_ Entity
        sibling = ENTITY(.subject = "CN=Sibling", .ca = true, AROUND(s->now)),
        impostor = ENTITY(.subject = "CN=CA", .ca = true, AROUND(s->now)),
        by_sibling = ENTITY(.subject = "CN=R", .issuer = &sibling, .eku = GNUTLS_KP_OCSP_SIGNING, AROUND(s->now)),
        by_impostor = ENTITY(.subject = "CN=R", .issuer = &impostor, .eku = GNUTLS_KP_OCSP_SIGNING, AROUND(s->now)),
        no_purpose = ENTITY(.subject = "CN=R", .issuer = &s->ca, AROUND(s->now)),
        any_purpose = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_ANY, AROUND(s->now)),
        web = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_TLS_WWW_SERVER, AROUND(s->now)),
        no_usage = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_OCSP_SIGNING,
                          .usage = GNUTLS_KEY_KEY_AGREEMENT, AROUND(s->now)),
        expired = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_OCSP_SIGNING, .not_before = s->now - DAY,
                         .not_after = s->now - 1),
        future = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_OCSP_SIGNING, .not_before = s->now + 600,
                        .not_after = s->now + DAY),
        critical = ENTITY(.subject = "CN=R", .issuer = &s->ca, .eku = GNUTLS_KP_OCSP_SIGNING, .extensions = { unknown },
                          AROUND(s->now)),
        deeper = ENTITY(.subject = "CN=R", .issuer = &s->responder, .eku = GNUTLS_KP_OCSP_SIGNING, AROUND(s->now)),
        myself = ENTITY(.subject = "CN=leaf", .issuer = &s->ca, AROUND(s->now));
    const struct {
        const Entity *signer;
        const char *reason;
    } cases[] = {
        { &sibling, "did not certify" },
        { &by_sibling, "did not certify" },
        { &by_impostor, "did not certify" },
        { &no_purpose, "not certified for OCSP" },
        { &any_purpose, "not certified for OCSP" },
        { &web, "not certified for OCSP" },
        { &no_usage, "key usage does not allow it" },
        { &expired, "not valid at this time" },
        { &future, "not valid at this time" },
        { &critical, "critical extension 1.2.3.4" },
        { &deeper, "did not certify" },
        { &myself, "not certified for OCSP" },
        { &impostor, "did not certify" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        refuse(s, ANSWER(.index = revoked, .signer = cases[i].signer), cases[i].reason);
    refuse(s, ANSWER(.index = revoked, .signer = &impostor, .options = "-ndays 1 -resp_no_certs"),
           "was not made by the key of CN=CA");
}

static void test_about_another(void **state) {
    SETTING;
    _cleanup_entity_ Entity other = ENTITY(.subject = "CN=leaf", .issuer = &s->ca, .serial = 0xaabc, AROUND(s->now)),
                            same_name = ENTITY(.subject = "CN=CA", .ca = true, AROUND(s->now)),
                            their_leaf =
                                ENTITY(.subject = "CN=leaf", .issuer = &same_name, .serial = 0xaabb, AROUND(s->now));

    refuse(s, ANSWER(.index = good, .certificate = &other), "is not about CN=leaf");
    /* equal name of the issuer and equal number, but another key of the issuer; the signer is the right one */
    refuse(s, ANSWER(.index = revoked, .certificate = &their_leaf, .ca = &same_name, .signer = &s->responder),
           "is not about CN=leaf");

    Bytes response = ANSWER(.index = good);
    RevocationVerdict verdict;
    Failure failure = FAILURE_INIT;
    assert_failure(ocsp_check(bytes_view(&response), s->leaf.certificate, s->responder.certificate, s->now, &verdict,
                              NULL, NULL, &failure),
                   EKEYREJECTED, failure, "did not issue the certificate");
    bytes_clear(&response);
}

static void test_times(void **state) {
    SETTING;

    expect_at(s, ANSWER(.index = good), s->now + DAY, REVOCATION_GOOD);
    refuse_at(s, ANSWER(.index = good), s->now + DAY + 120, EKEYREJECTED, "counted until");
    refuse_at(s, ANSWER(.index = revoked), s->now + 2 * DAY, EKEYREJECTED, "too old");
    refuse_at(s, ANSWER(.index = good), s->now - REVOCATION_SKEW - 120, EKEYREJECTED, "from the future");
    /* without nextUpdate */
    expect(s, ANSWER(.index = good, .options = ""), REVOCATION_GOOD);
    expect_at(s, ANSWER(.index = good, .options = " "), s->now + OCSP_AGE_MAX - 60, REVOCATION_GOOD);
    refuse_at(s, ANSWER(.index = good, .options = " "), s->now + OCSP_AGE_MAX + 120, EKEYREJECTED, "has no nextUpdate");
}

static void test_algorithms(void **state) {
    SETTING;
    entity_clear(&s->responder);
    s->responder = ENTITY(.subject = "CN=Responder", .pk = GNUTLS_PK_RSA, .issuer = &s->ca,
                          .eku = GNUTLS_KP_OCSP_SIGNING, AROUND(s->now));
    expect(s, ANSWER(.index = good, .signer = &s->responder, .options = "-ndays 1 -rmd sha256"), REVOCATION_GOOD);
    refuse(s, ANSWER(.index = good, .signer = &s->responder, .options = "-ndays 1 -rmd sha1"), "RSA-SHA1");
}

static void test_malformed(void **state) {
    static const uint8_t try_later[] = { 0x30, 0x03, 0x0a, 0x01, 0x03 },
                         unauthorized[] = { 0x30, 0x03, 0x0a, 0x01, 0x06 };
    SETTING;
    _cleanup_bytes_ Bytes response = ANSWER(.index = good, .signer = &s->responder);
    Bytes copy = BYTES_NULL;

    for (size_t size = 0; size < response.size; size += 3) {
        assert_int_equal(bytes_copy((BytesView) { response.data, size }, &copy), 0);
        refuse_at(s, copy, s->now, EBADMSG, "");
    }
    assert_int_equal(bytes_copy(bytes_view(&response), &copy), 0);
    assert_int_equal(bytes_append(&copy, bytes_view_string("x")), 0);
    refuse_at(s, copy, s->now, EBADMSG, "");
    refuse_at(s, (Bytes) { calloc(1, OCSP_MAX + 1), OCSP_MAX + 1 }, s->now, EBADMSG, "more than 65536");
    assert_int_equal(bytes_copy((BytesView) { try_later, 5 }, &copy), 0);
    refuse_at(s, copy, s->now, EKEYREJECTED, "tryLater");
    assert_int_equal(bytes_copy((BytesView) { unauthorized, 5 }, &copy), 0);
    refuse_at(s, copy, s->now, EKEYREJECTED, "unauthorized");
    /* a flipped bit anywhere is never an answer */
    for (size_t i = 0; i < response.size; i++) {
        RevocationVerdict verdict;
        response.data[i] ^= 1;
        int r = ocsp_check(bytes_view(&response), s->leaf.certificate, s->ca.certificate, s->now, &verdict, NULL, NULL,
                           NULL);
        response.data[i] ^= 1;
        if (r >= 0 && verdict != REVOCATION_GOOD)
            fail_msg("byte %zu", i);
    }
}

static void replace(const Bytes *der, const void *old, size_t old_size, const void *new, size_t size) {
    uint8_t *at = memmem(der->data, der->size, old, old_size);

    assert_non_null(at);
    memcpy(at, new, size);
}

/* A nonce that nobody asked for does no harm. A critical extension, of the answer or of a statement, refuses it,
 * whoever signed. */
static void test_extensions(void **state) {
    static const uint8_t nonce[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02, 0x04, 0x12, 0x04, 0x10 },
                         critical_nonce[] = { 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30,
                                              0x01, 0x02, 0x01, 0x01, 0xff, 0x04, 0x0f },
                         next_update[] = { 0xa0, 0x11, 0x18, 0x0f },
                         critical_extension[] = { 0xa1, 0x11, 0x30, 0x0f, 0x30, 0x0d, 0x06, 0x03, 0x2a, 0x03,
                                                  0x04, 0x01, 0x01, 0xff, 0x04, 0x03, 0x01, 0x02, 0x03 };
    SETTING;
    Bytes with_nonce = ANSWER(.index = good, .request_options = "-nonce"), plain = ANSWER(.index = good);

    expect(s, ANSWER(.index = good, .request_options = "-nonce"), REVOCATION_GOOD);
    replace(&with_nonce, nonce, sizeof(nonce), critical_nonce, sizeof(critical_nonce));
    refuse(s, with_nonce, "critical extension");
    replace(&plain, next_update, sizeof(next_update), critical_extension, sizeof(critical_extension));
    refuse(s, plain, "critical extension");
}

static void test_two_statements(void **state) {
    SETTING;

    refuse_at(s, ANSWER(.index = good, .request_options = "-serial 0xAABB -no_nonce"), s->now, EBADMSG,
              "two statements about CN=leaf");
    expect(s, ANSWER(.index = good, .request_options = "-serial 0xAABC -no_nonce"), REVOCATION_GOOD);
}

static void test_request(void **state) {
    SETTING;
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_bytes_ Bytes request = BYTES_NULL;

    assert_int_equal(ocsp_request(s->leaf.certificate, s->ca.certificate, &request), 0);
    write_file(directory, "request.der", bytes_view(&request));
    _cleanup_free_ char *text = run(NULL, "openssl ocsp -reqin %s/request.der -req_text", directory);
    assert_non_null(strstr(text, "Hash Algorithm: sha1"));
    assert_non_null(strstr(text, "Serial Number: AABB"));
    assert_null(strstr(text, "Nonce"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdicts),
        cmocka_unit_test(test_responder),
        cmocka_unit_test(test_wrong_responders),
        cmocka_unit_test(test_about_another),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_algorithms),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_extensions),
        cmocka_unit_test(test_two_statements),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
