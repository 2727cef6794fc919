/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files of certificates in every form and order, what is left out of them and what is refused. */
#include "idctl/certificates.h"

#include "lab.h"

#include <gnutls/pkcs7.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

typedef struct Lab {
    LabCertificate root, intermediate, leaf, expired, stranger;
} Lab;

static void append_pem(Bytes *bytes, const LabCertificate *certificate) {
    gnutls_datum_t pem;
    assert_true(gnutls_x509_crt_export2(certificate->certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    assert_int_equal(bytes_append(bytes, (BytesView) { pem.data, pem.size }), 0);
    gnutls_free(pem.data);
}

static int parse(BytesView data, CertificateList *ret) {
    Failure failure = FAILURE_INIT;
    LeftOut left_out;

    int r = certificates_parse(data, ret, &left_out, &failure);
    if (r < 0)
        assert_true(failure.text[0]);
    else
        assert_int_equal(left_out.count, 0);
    return r;
}

static void test_pem_in_any_order(void **state) {
    const Lab *lab = *state;
    const LabCertificate *orders[][3] = { { &lab->leaf, &lab->intermediate, &lab->root },
                                          { &lab->root, &lab->intermediate, &lab->leaf },
                                          { &lab->intermediate, &lab->leaf, &lab->root } };

    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
        _cleanup_certificates_ CertificateList certificates = { 0 };
        _cleanup_bytes_ Bytes pem = BYTES_NULL;
        assert_int_equal(bytes_append(&pem, bytes_view_string("# a remark\n")), 0);
        for (size_t k = 0; k < 3; k++)
            append_pem(&pem, orders[i][k]);
        assert_int_equal(parse(bytes_view(&pem), &certificates), 0);
        assert_int_equal(certificates.count, 3);
        certificates_leaf_first(&certificates);
        assert_string_equal(certificates.list[0]->subject, "CN=leaf");
    }
}

/* A CA's own chain has no leaf that is no CA: the one that issued none of the others goes first. */
static void test_chain_of_cas(void **state) {
    const Lab *lab = *state;
    _cleanup_certificates_ CertificateList certificates = { 0 };

    lab_chain(&certificates, 2, (const LabCertificate *[]) { &lab->root, &lab->intermediate });
    certificates_leaf_first(&certificates);
    assert_string_equal(certificates.list[0]->subject, "CN=intermediate");
    assert_string_equal(certificates.list[1]->subject, "CN=root");
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
        _cleanup_certificates_ CertificateList certificates = { 0 };
        _cleanup_bytes_ Bytes data = BYTES_NULL;
        make_pkcs7(lab, (gnutls_x509_crt_fmt_t) format, &data);
        assert_int_equal(parse(bytes_view(&data), &certificates), 0);
        assert_int_equal(certificates.count, 3);
        certificates_leaf_first(&certificates);
        assert_string_equal(certificates.list[0]->subject, "CN=leaf");
    }
    _cleanup_certificates_ CertificateList single = { 0 };
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_certificate_ Certificate *root = lab_certificate_read(&lab->root);
    assert_int_equal(bytes_copy(bytes_view(&root->der), &der), 0);
    assert_int_equal(parse(bytes_view(&der), &single), 0);
    certificates_leaf_first(&single);
    assert_string_equal(single.list[0]->subject, "CN=root");
}

static void test_refusals(void **state) {
    _cleanup_certificates_ CertificateList certificates = { 0 };
    _cleanup_free_ char *huge = malloc(CERTIFICATES_FILE_MAX + 1);
    static const char *const bad[] = { "", "hello", "0",
                                       "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
                                       "-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n" };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        assert_int_equal(parse(bytes_view_string(bad[i]), &certificates), -EBADMSG);
    assert_non_null(huge);
    memset(huge, 'x', CERTIFICATES_FILE_MAX + 1);
    assert_int_equal(parse((BytesView) { (uint8_t *) huge, CERTIFICATES_FILE_MAX + 1 }, &certificates), -EBADMSG);
    assert_int_equal(certificates.count, 0);
}

static void write_file(const char *path, const Bytes *data) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_int_equal(fwrite(data->data, 1, data->size, file), data->size);
    assert_int_equal(fclose(file), 0);
}

/* What cannot be read is left out; where it may be the leaf, the file is refused instead of another one being taken for
 * it. */
static void test_left_out(void **state) {
    const Lab *lab = *state;
    static const char unreadable[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    char path[] = "/tmp/identityd-test.XXXXXX";
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    (void) close(fd);
    for (int first = 0; first < 2; first++) {
        _cleanup_certificates_ CertificateList any = { 0 }, chain = { 0 };
        _cleanup_bytes_ Bytes pem = BYTES_NULL;
        if (first)
            assert_int_equal(bytes_append(&pem, bytes_view_string(unreadable)), 0);
        append_pem(&pem, &lab->leaf);
        if (!first)
            assert_int_equal(bytes_append(&pem, bytes_view_string(unreadable)), 0);
        append_pem(&pem, &lab->intermediate);
        write_file(path, &pem);
        assert_int_equal(certificates_read(path, &any), EXIT_OK);
        assert_int_equal(any.count, 2);
        assert_int_equal(certificates_read_chain(path, &chain), first ? EXIT_FAILED : EXIT_OK);
        assert_int_equal(chain.count, first ? 0 : 2);
    }
    assert_int_equal(unlink(path), 0);
}

/* A CA beside certificates that it did not issue may be the leaf itself. */
static void test_leaf_first(void **state) {
    const Lab *lab = *state;
    static const struct {
        const char *places, *leaf;
    } orders[] = { { "l", "CN=leaf" },       { "ri", "CN=intermediate" }, { "ir", "CN=intermediate" },
                   { "lx", "CN=leaf" },      { "xl", "CN=expired" },      { "sl", "CN=leaf" },
                   { "sr", "CN=stranger" },  { "rs", "CN=root" },         { "rlx", "CN=root" },
                   { "srix", "CN=expired" }, { "iri", "CN=intermediate" } };

    for (size_t i = 0; i < ARRAY_LENGTH(orders); i++) {
        _cleanup_certificates_ CertificateList list = { 0 };
        for (const char *place = orders[i].places; *place; place++) {
            const LabCertificate *one = *place == 'l'   ? &lab->leaf
                                        : *place == 'i' ? &lab->intermediate
                                        : *place == 'r' ? &lab->root
                                        : *place == 's' ? &lab->stranger
                                                        : &lab->expired;
            assert_int_equal(certificate_list_add(&list, lab_certificate_read(one)), 0);
        }
        certificates_leaf_first(&list);
        if (strcmp(list.list[0]->subject, orders[i].leaf) != 0)
            fail_msg("%s: %s", orders[i].places, list.list[0]->subject);
        assert_int_equal(list.count, strlen(orders[i].places));
    }
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);
    unsigned curve = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

    assert_non_null(lab);
    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, curve, 100, NULL, &lab->root);
    lab_certificate_new("intermediate", true, GNUTLS_PK_ECDSA, curve, 100, &lab->root, &lab->intermediate);
    lab_certificate_new("leaf", false, GNUTLS_PK_ECDSA, curve, 100, &lab->intermediate, &lab->leaf);
    lab_certificate_new("expired", false, GNUTLS_PK_ECDSA, curve, -1, &lab->intermediate, &lab->expired);
    lab_certificate_new("stranger", true, GNUTLS_PK_ECDSA, curve, 100, NULL, &lab->stranger);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    LabCertificate *all[] = { &lab->root, &lab->intermediate, &lab->leaf, &lab->expired, &lab->stranger };
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
        lab_certificate_clear(all[i]);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pem_in_any_order), cmocka_unit_test(test_chain_of_cas),
        cmocka_unit_test(test_pkcs7_and_der),    cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_left_out),         cmocka_unit_test(test_leaf_first),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
