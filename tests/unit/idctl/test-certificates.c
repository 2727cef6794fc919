/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of certificates in every form and order, and what is refused; chains against anchors, names and time. */
#include "idctl/certificates.h"
#include "idctl/trust.h"

#include "lab.h"

#include <gnutls/pkcs7.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

typedef struct Lab {
    LabCertificate root, intermediate, leaf, expired;
} Lab;

static void append_pem(Bytes *bytes, const LabCertificate *certificate) {
    gnutls_datum_t pem;
    assert_true(gnutls_x509_crt_export2(certificate->certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    assert_int_equal(bytes_append(bytes, (BytesView) { pem.data, pem.size }), 0);
    gnutls_free(pem.data);
}

static void assert_subject(gnutls_x509_crt_t certificate, const char *expected) {
    _cleanup_free_ char *subject = certificate_subject(certificate);
    assert_string_equal(subject, expected);
}

static void test_pem_in_any_order(void **state) {
    const Lab *lab = *state;
    const LabCertificate *orders[][3] = { { &lab->leaf, &lab->intermediate, &lab->root },
                                          { &lab->root, &lab->intermediate, &lab->leaf },
                                          { &lab->intermediate, &lab->leaf, &lab->root } };

    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
        _cleanup_certificates_ Certificates certificates = { 0 };
        _cleanup_bytes_ Bytes pem = BYTES_NULL;
        assert_int_equal(bytes_append(&pem, bytes_view_string("# a remark\n")), 0);
        for (size_t k = 0; k < 3; k++)
            append_pem(&pem, orders[i][k]);
        assert_int_equal(certificates_parse(bytes_view(&pem), &certificates), 0);
        assert_int_equal(certificates.count, 3);
        certificates_leaf_first(&certificates);
        assert_subject(certificates.list[0], "CN=leaf");
    }
}

/* A CA's own chain has no leaf that is no CA: the one that issued none of the others goes first. */
static void test_chain_of_cas(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ Certificates certificates = { 0 };

    lab_chain(&certificates, 2, (const LabCertificate *[]) { &lab->root, &lab->intermediate });
    certificates_leaf_first(&certificates);
    assert_subject(certificates.list[0], "CN=intermediate");
    assert_subject(certificates.list[1], "CN=root");
}

static void make_pkcs7(const Lab *lab, gnutls_x509_crt_fmt_t format, Bytes *ret) {
    gnutls_pkcs7_t pkcs7;
    gnutls_datum_t data;
    assert_true(gnutls_pkcs7_init(&pkcs7) >= 0);
    assert_true(gnutls_pkcs7_set_crt(pkcs7, lab->root.certificate) >= 0);
    assert_true(gnutls_pkcs7_set_crt(pkcs7, lab->leaf.certificate) >= 0);
    assert_true(gnutls_pkcs7_set_crt(pkcs7, lab->intermediate.certificate) >= 0);
    assert_true(gnutls_pkcs7_export2(pkcs7, format, &data) >= 0);
    assert_int_equal(bytes_copy((BytesView) { data.data, data.size }, ret), 0);
    gnutls_free(data.data);
    gnutls_pkcs7_deinit(pkcs7);
}

static void test_pkcs7_and_der(void **state) {
    const Lab *lab = *state;

    for (int format = GNUTLS_X509_FMT_DER; format <= GNUTLS_X509_FMT_PEM; format++) {
        _cleanup_certificates_ Certificates certificates = { 0 };
        _cleanup_bytes_ Bytes data = BYTES_NULL;
        make_pkcs7(lab, (gnutls_x509_crt_fmt_t) format, &data);
        assert_int_equal(certificates_parse(bytes_view(&data), &certificates), 0);
        assert_int_equal(certificates.count, 3);
        certificates_leaf_first(&certificates);
        assert_subject(certificates.list[0], "CN=leaf");
    }
    _cleanup_certificates_ Certificates single = { 0 };
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    assert_int_equal(certificate_to_der(lab->root.certificate, &der), 0);
    assert_int_equal(certificates_parse(bytes_view(&der), &single), 0);
    certificates_leaf_first(&single);
    assert_subject(single.list[0], "CN=root");
}

static void test_refusals(void **state) {
    _cleanup_certificates_ Certificates certificates = { 0 };
    _cleanup_free_ char *huge = malloc(CERTIFICATES_FILE_MAX + 1);
    static const char *const bad[] = { "", "hello", "0",
                                       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                       "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n" };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(certificates_parse(bytes_view_string(bad[i]), &certificates), -EBADMSG);
    assert_non_null(huge);
    memset(huge, 'x', CERTIFICATES_FILE_MAX + 1);
    assert_int_equal(certificates_parse((BytesView) { (uint8_t *) huge, CERTIFICATES_FILE_MAX + 1 }, &certificates),
                     -E2BIG);
    assert_int_equal(certificates.count, 0);
}

static void check(const Trust *trust, const Lab *lab, const LabCertificate *leaf, const char *name,
                  const char *reason) {
    _cleanup_certificates_ Certificates chain = { 0 };
    _cleanup_verdict_ Verdict verdict = { 0 };

    lab_chain(&chain, 2, (const LabCertificate *[]) { leaf, &lab->intermediate });
    trust_verify(trust, &chain, name, NULL, &verdict);
    assert_int_equal(verdict.good, reason == NULL);
    if (reason && !strstr(verdict.reason, reason))
        fail_msg("expected \"%s\" in \"%s\"", reason, verdict.reason);
}

static void test_verification(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ Certificates anchors = { 0 }, others = { 0 }, none = { 0 };
    _cleanup_trust_ Trust *trust = NULL, *strangers = NULL;
    _cleanup_verdict_ Verdict verdict = { 0 };

    lab_chain(&anchors, 1, (const LabCertificate *[]) { &lab->root });
    lab_chain(&others, 1, (const LabCertificate *[]) { &lab->expired });
    assert_int_equal(trust_new(&anchors, &trust), 0);
    assert_int_equal(trust_new(&others, &strangers), 0);
    check(trust, lab, &lab->leaf, NULL, NULL);
    check(trust, lab, &lab->leaf, "host.example", NULL);
    check(trust, lab, &lab->leaf, "other.example", "name");
    check(trust, lab, &lab->expired, NULL, "expired");
    check(strangers, lab, &lab->leaf, NULL, "issuer is unknown");
    trust_verify(trust, &none, NULL, NULL, &verdict);
    assert_false(verdict.good);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);
    unsigned curve = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

    assert_non_null(lab);
    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, curve, 100, NULL, &lab->root);
    lab_certificate_new("intermediate", true, GNUTLS_PK_ECDSA, curve, 100, &lab->root, &lab->intermediate);
    lab_certificate_new("leaf", false, GNUTLS_PK_ECDSA, curve, 100, &lab->intermediate, &lab->leaf);
    lab_certificate_new("expired", false, GNUTLS_PK_ECDSA, curve, -1, &lab->intermediate, &lab->expired);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    LabCertificate *all[] = { &lab->root, &lab->intermediate, &lab->leaf, &lab->expired };
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        lab_certificate_clear(all[i]);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pem_in_any_order), cmocka_unit_test(test_chain_of_cas),
        cmocka_unit_test(test_pkcs7_and_der),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_verification),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
