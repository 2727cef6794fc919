/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CMS as idctl writes it: OpenSSL must accept it with every scheme, and both OpenSSL and idctl must refuse what was
 * changed. */
#include "idctl/cms.h"
#include "idctl/signature.h"
#include "pki/signed-data.h"

#include "lab.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <cmocka.h>

typedef struct Lab {
    char directory[64];
    LabCertificate root, stranger, intermediate, p256, p384, rsa;
} Lab;

static const char content[] = "line one\nline two\r\n";

static void write_file(const Lab *lab, const char *name, BytesView data) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", lab->directory, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite(data.data, 1, data.size, file), data.size);
    assert_int_equal(fclose(file), 0);
}

static bool openssl_accepts(const Lab *lab) {
    char command[512];
    snprintf(command, sizeof command,
             "cd %s && openssl cms -verify -binary -inform DER -in cms -content content -CAfile root -out verified "
             ">/dev/null 2>&1 && cmp -s content verified",
             lab->directory);
    int status = system(command);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 0;
}

static void make_cms(const LabCertificate *leaf, const CertificateList *chain, const SignatureScheme *scheme,
                     int64_t time, Bytes *ret) {
    _cleanup_bytes_ Bytes attributes = BYTES_NULL;
    uint8_t digest[64];
    _cleanup_certificate_ Certificate *own = lab_certificate_read(leaf);
    gnutls_privkey_t key;
    gnutls_datum_t signature;

    int size = scheme_digest(scheme, content, sizeof content - 1, digest);
    assert_true(size > 0);
    assert_int_equal(cms_signed_attributes((BytesView) { digest, (size_t) size }, time, &attributes), 0);
    /* A SET: the `data-raw` purpose refuses what is one whole SEQUENCE. */
    assert_int_equal(attributes.data[0], 0x31);
    assert_true(gnutls_privkey_init(&key) >= 0);
    assert_true(gnutls_privkey_import_x509(key, leaf->key, 0) >= 0);
    gnutls_datum_t data = { attributes.data, (unsigned) attributes.size };
    gnutls_sign_algorithm_t algorithm =
        scheme->padding == SCHEME_ECDSA
            ? scheme->hash == SCHEME_SHA256 ? GNUTLS_SIGN_ECDSA_SHA256 : GNUTLS_SIGN_ECDSA_SHA384
        : scheme->padding == SCHEME_RSA_PKCS1 ? scheme->hash == SCHEME_SHA256   ? GNUTLS_SIGN_RSA_SHA256
                                                : scheme->hash == SCHEME_SHA384 ? GNUTLS_SIGN_RSA_SHA384
                                                                                : GNUTLS_SIGN_RSA_SHA512
        : scheme->hash == SCHEME_SHA256       ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA256
        : scheme->hash == SCHEME_SHA384       ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA384
                                              : GNUTLS_SIGN_RSA_PSS_RSAE_SHA512;
    assert_true(gnutls_privkey_sign_data2(key, algorithm, 0, &data, &signature) >= 0);
    assert_int_equal(
        signature_check(own, scheme, bytes_view(&attributes), (BytesView) { signature.data, signature.size }), 0);
    assert_int_equal(cms_signed_data(&(CmsSignature) { scheme, chain, bytes_view(&attributes),
                                                       (BytesView) { signature.data, signature.size } },
                                     ret),
                     0);
    gnutls_free(signature.data);
    gnutls_privkey_deinit(key);
}

/* The subject of the one signer, the caller's; NULL: not verified, and why is in `ret`. */
static char *signer_of(const LabCertificate *anchor, const Bytes *cms, const char *text, Verdict *ret) {
    _cleanup_certificates_ CertificateList anchors = { 0 };
    _cleanup_signed_data_ SignedData *signed_data = NULL;
    _cleanup_(signed_data_verdict_clear) SignedDataVerdict verdict;
    Failure failure = FAILURE_INIT;
    char *subject = NULL;

    lab_chain(&anchors, 1, (const LabCertificate *[]) { anchor });
    const SignedDataRequest request = { .content = bytes_view_string(text),
                                        .chain = { .anchors = &anchors, .now = time(NULL) } };
    assert_true(signed_data_is(bytes_view(cms)));
    if (signed_data_parse(bytes_view(cms), &signed_data, &failure) < 0)
        fail_msg("%s", failure.text);
    int r = signed_data_verify(signed_data, &request, &verdict);
    *ret = verdict.verdict;
    assert_int_equal(r == 0, ret->kind == VERDICT_GOOD);
    assert_int_equal(r == 0, ret->failure.text[0] == '\0');
    if (r == 0) {
        assert_int_equal(verdict.count, 1);
        subject = strdup(verdict.signers[0].certificate->subject);
    }
    return subject;
}

static void assert_refused(const LabCertificate *anchor, const Bytes *cms, const char *text) {
    Verdict verdict;

    assert_null(signer_of(anchor, cms, text, &verdict));
}

static void check_scheme(const Lab *lab, const LabCertificate *leaf, const char *name) {
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_bytes_ Bytes cms = BYTES_NULL;
    Verdict verdict;
    const SignatureScheme *scheme = scheme_by_name(name);

    assert_non_null(scheme);
    lab_chain(&chain, 2, (const LabCertificate *[]) { leaf, &lab->intermediate });
    make_cms(leaf, &chain, scheme, time(NULL), &cms);
    write_file(lab, "cms", bytes_view(&cms));
    write_file(lab, "content", bytes_view_string(content));
    assert_true(openssl_accepts(lab));

    _cleanup_free_ char *signer = signer_of(&lab->root, &cms, content, &verdict);
    if (!signer)
        fail_msg("%s: %s", name, verdict.failure.text);
    assert_string_equal(signer, "CN=leaf");

    /* Another content, other anchors, another signature. */
    write_file(lab, "content", bytes_view_string("line one\nline 2\r\n"));
    assert_false(openssl_accepts(lab));
    assert_refused(&lab->root, &cms, "line 1");
    assert_refused(&lab->root, &cms, "");
    assert_refused(&lab->stranger, &cms, content);
    cms.data[cms.size - 2] ^= 1;
    assert_refused(&lab->root, &cms, content);
}

static void test_every_scheme(void **state) {
    const Lab *lab = *state;
    static const char *const rsa_schemes[] = { "rsa_pkcs1_sha256", "rsa_pkcs1_sha384", "rsa_pkcs1_sha512",
                                               "rsa_pss_rsae_sha256" };

    check_scheme(lab, &lab->p256, "ecdsa_secp256r1_sha256");
    check_scheme(lab, &lab->p384, "ecdsa_secp384r1_sha384");
    for (size_t i = 0; i < ARRAY_LENGTH(rsa_schemes); i++)
        check_scheme(lab, &lab->rsa, rsa_schemes[i]);
}

/* From 2050 on signingTime is a GeneralizedTime; what cannot be written is refused. */
static void test_signing_time(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_bytes_ Bytes cms = BYTES_NULL, attributes = BYTES_NULL;
    uint8_t digest[32] = { 0 };

    lab_chain(&chain, 2, (const LabCertificate *[]) { &lab->p256, &lab->intermediate });
    make_cms(&lab->p256, &chain, scheme_by_id(0x0403), INT64_C(2524608000), &cms);
    assert_non_null(memmem(cms.data, cms.size, "20500101000000Z", 15));
    write_file(lab, "cms", bytes_view(&cms));
    write_file(lab, "content", bytes_view_string(content));
    assert_true(openssl_accepts(lab));
    bytes_clear(&cms);
    make_cms(&lab->p256, &chain, scheme_by_id(0x0403), INT64_C(2524607999), &cms);
    assert_non_null(memmem(cms.data, cms.size,
                           "\x17\x0d"
                           "491231235959Z",
                           15));
    assert_int_equal(cms_signed_attributes((BytesView) { digest, 32 }, INT64_C(300000000000), &attributes), -ERANGE);
}

/* A certificate with issuer name, number and key of `leaf` that its holder made, with another name. */
static void forge(const LabCertificate *leaf, const LabCertificate *false_issuer, LabCertificate *ret) {
    unsigned char serial[64];
    size_t size = sizeof serial;

    *ret = (LabCertificate) { 0 };
    assert_true(gnutls_x509_crt_get_serial(leaf->certificate, serial, &size) >= 0);
    assert_true(gnutls_x509_crt_init(&ret->certificate) >= 0 && gnutls_x509_crt_set_version(ret->certificate, 3) >= 0);
    assert_true(gnutls_x509_crt_set_serial(ret->certificate, serial, size) >= 0);
    assert_true(gnutls_x509_crt_set_dn(ret->certificate, "CN=Release key", NULL) >= 0);
    assert_true(gnutls_x509_crt_set_activation_time(ret->certificate, time(NULL) - 60) >= 0);
    assert_true(gnutls_x509_crt_set_expiration_time(ret->certificate, time(NULL) + 3600) >= 0);
    assert_true(gnutls_x509_crt_set_key(ret->certificate, leaf->key) >= 0);
    assert_true(gnutls_x509_crt_sign2(ret->certificate, false_issuer->certificate, false_issuer->key, GNUTLS_DIG_SHA256,
                                      0) >= 0);
}

/* The name that is shown is that of the certificate which was verified, wherever another one of the same number stands.
 */
static void test_forged_name(void **state) {
    const Lab *lab = *state;
    LabCertificate false_intermediate, forged;

    lab_certificate_new("intermediate", true, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 100,
                        NULL, &false_intermediate);
    forge(&lab->p256, &false_intermediate, &forged);
    const LabCertificate *orders[][4] = {
        { &forged, &lab->p256, &lab->intermediate, &false_intermediate },
        { &lab->p256, &forged, &false_intermediate, &lab->intermediate },
    };
    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
        _cleanup_certificates_ CertificateList chain = { 0 };
        _cleanup_bytes_ Bytes cms = BYTES_NULL;
        Verdict verdict;
        lab_chain(&chain, 4, orders[i]);
        make_cms(&lab->p256, &chain, scheme_by_id(0x0403), time(NULL), &cms);
        _cleanup_free_ char *signer = signer_of(&lab->root, &cms, content, &verdict);
        assert_non_null(signer);
        assert_string_equal(signer, "CN=leaf");
    }
    _cleanup_certificates_ CertificateList alone = { 0 };
    _cleanup_bytes_ Bytes cms = BYTES_NULL;
    lab_chain(&alone, 2, (const LabCertificate *[]) { &forged, &false_intermediate });
    make_cms(&lab->p256, &alone, scheme_by_id(0x0403), time(NULL), &cms);
    assert_refused(&lab->root, &cms, content);
    lab_certificate_clear(&forged);
    lab_certificate_clear(&false_intermediate);
}

static void test_refusals(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ CertificateList none = { 0 };
    _cleanup_bytes_ Bytes cms = BYTES_NULL;
    _cleanup_certificate_ Certificate *p256 = lab_certificate_read(&lab->p256);
    uint8_t byte = 0x31;

    assert_int_equal(cms_signed_data(&(CmsSignature) { scheme_by_id(0x0403), &none, { &byte, 1 }, { &byte, 1 } }, &cms),
                     -EINVAL);
    _cleanup_certificates_ CertificateList chain = { 0 };
    lab_chain(&chain, 1, (const LabCertificate *[]) { &lab->rsa });
    assert_int_equal(
        cms_signed_data(&(CmsSignature) { scheme_by_id(0x0805), &chain, { &byte, 1 }, { &byte, 1 } }, &cms), -EINVAL);
    /* A scheme of another key. */
    assert_int_equal(signature_check(p256, scheme_by_id(0x0503), bytes_view_string("x"), (BytesView) { &byte, 1 }),
                     -ENOTSUP);
    assert_int_equal(signature_check(p256, scheme_by_id(0x0403), bytes_view_string("x"), (BytesView) { &byte, 1 }),
                     -EBADMSG);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);
    gnutls_datum_t pem;

    assert_non_null(lab);
    strcpy(lab->directory, "/tmp/identityd-test-cms.XXXXXX");
    assert_non_null(mkdtemp(lab->directory));
    unsigned curve256 = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, curve256, 100, NULL, &lab->root);
    lab_certificate_new("stranger", true, GNUTLS_PK_ECDSA, curve256, 100, NULL, &lab->stranger);
    lab_certificate_new("intermediate", true, GNUTLS_PK_ECDSA, curve256, 100, &lab->root, &lab->intermediate);
    lab_certificate_new("leaf", false, GNUTLS_PK_ECDSA, curve256, 100, &lab->intermediate, &lab->p256);
    lab_certificate_new("leaf", false, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), 100,
                        &lab->intermediate, &lab->p384);
    lab_certificate_new("leaf", false, GNUTLS_PK_RSA, 2048, 100, &lab->intermediate, &lab->rsa);
    assert_true(gnutls_x509_crt_export2(lab->root.certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    write_file(lab, "root", (BytesView) { pem.data, pem.size });
    gnutls_free(pem.data);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    char command[128];

    snprintf(command, sizeof command, "rm -r %s", lab->directory);
    assert_int_equal(system(command), 0);
    LabCertificate *all[] = { &lab->root, &lab->stranger, &lab->intermediate, &lab->p256, &lab->p384, &lab->rsa };
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        lab_certificate_clear(all[i]);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_scheme),
        cmocka_unit_test(test_signing_time),
        cmocka_unit_test(test_forged_name),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
