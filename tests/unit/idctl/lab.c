/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See lab.h. */
#include "lab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

void lab_certificate_new(const char *common_name, bool ca, gnutls_pk_algorithm_t algorithm, unsigned bits, int days,
                         const LabCertificate *issuer, LabCertificate *ret) {
    static unsigned char serial = 0x80; /* its first bit makes a leading zero byte necessary */
    time_t now = time(NULL);

    assert_true(gnutls_x509_privkey_init(&ret->key) >= 0);
    assert_true(gnutls_x509_privkey_generate(ret->key, algorithm, bits, 0) >= 0);
    assert_true(gnutls_x509_crt_init(&ret->certificate) >= 0);
    gnutls_x509_crt_t certificate = ret->certificate;
    assert_true(gnutls_x509_crt_set_version(certificate, 3) >= 0);
    unsigned char number[2] = { 0x00, ++serial };
    assert_true(gnutls_x509_crt_set_serial(certificate, number, sizeof number) >= 0);
    assert_true(gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, common_name,
                                              (unsigned) strlen(common_name)) >= 0);
    gnutls_x509_crt_set_activation_time(certificate, days < 0 ? now + (time_t) days * 2 * 86400 : now - 3600);
    gnutls_x509_crt_set_expiration_time(certificate, now + (time_t) days * 86400);
    assert_true(gnutls_x509_crt_set_basic_constraints(certificate, ca, -1) >= 0);
    assert_true(
        gnutls_x509_crt_set_key_usage(certificate, ca ? GNUTLS_KEY_KEY_CERT_SIGN : GNUTLS_KEY_DIGITAL_SIGNATURE) >= 0);
    assert_true(gnutls_x509_crt_set_key(certificate, ret->key) >= 0);
    if (!ca)
        assert_true(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, "host.example", 12, 0) >= 0);
    assert_true(gnutls_x509_crt_sign2(certificate, issuer ? issuer->certificate : certificate,
                                      issuer ? issuer->key : ret->key, GNUTLS_DIG_SHA256, 0) >= 0);
}

void lab_certificate_clear(LabCertificate *certificate) {
    gnutls_x509_crt_deinit(certificate->certificate);
    gnutls_x509_privkey_deinit(certificate->key);
}

Certificate *lab_certificate_read(const LabCertificate *certificate) {
    gnutls_datum_t der;
    Certificate *read;
    Failure failure = FAILURE_INIT;

    assert_true(gnutls_x509_crt_export2(certificate->certificate, GNUTLS_X509_FMT_DER, &der) >= 0);
    if (certificate_from_der((BytesView) { der.data, der.size }, &read, &failure) < 0)
        fail_msg("%s", failure.text);
    gnutls_free(der.data);
    return read;
}

void lab_chain(CertificateList *ret, size_t count, const LabCertificate *const *certificates) {
    CertificateList list = { 0 };

    for (size_t i = 0; i < count; i++)
        assert_int_equal(certificate_list_add(&list, lab_certificate_read(certificates[i])), 0);
    *ret = list;
}
