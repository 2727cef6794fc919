/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl request and install, the way to a CA that no network leads to: what is written of a request and where, and what
 * of a file with certificates reaches identityd. */
#include "lab.h"
#include "service.h"

#include "common/macros.h"

#include <stdlib.h>
#include <sys/stat.h>

static const ServiceAnswers ready = {
    .state = "ready", .activity = "idle", .generation = 2, .not_after = 4102444800000000, .request = "DER\x01"
};
static const char pem[] = "-----BEGIN CERTIFICATE REQUEST-----\nREVSAQ==\n-----END CERTIFICATE REQUEST-----\n";

typedef struct Lab {
    Service *service;
    char directory[64];
    LabCertificate root, leaf;
} Lab;

static void expect_file(const char *path, const char *expected) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;

    assert_int_equal(bytes_read_file(path, 65536, &bytes), 0);
    assert_string_equal((const char *) bytes.data, expected);
}

static void test_request(void **state) {
    const Lab *lab = *state;

    assert_int_equal(service_run(lab->service, &ready, "request x"), EXIT_OK);
    expect_all(lab->service, pem, "");
    assert_string_equal(lab->service->asked, "CreateRequest;");
    assert_int_equal(service_run(lab->service, &ready, "request x --der --new-key"), EXIT_OK);
    expect_all(lab->service, "DER\x01", "");
    assert_string_equal(lab->service->asked, "CreateRequest new-key=true;");
    assert_int_equal(service_run(lab->service, &ready, "request x --out x.csr"), EXIT_OK);
    expect_all(lab->service, "", "");
    expect_file("x.csr", pem);
    assert_int_equal(service_run(lab->service, &ready, "request x --der -o x.der"), EXIT_OK);
    expect_file("x.der", "DER\x01");
}

/* A request that was refused leaves the file that is there, and one that cannot be written is told. */
static void test_request_refused(void **state) {
    const Lab *lab = *state;
    ServiceAnswers answers = ready;

    answers.refused = "CreateRequest";
    answers.error = "org.identityd1.Error.TpmUnavailable";
    answers.message = "no TPM.";
    assert_int_equal(service_run(lab->service, &answers, "request x --out x.csr"), EXIT_FAILED);
    expect_err(lab->service, ": cannot create a request: no TPM.\n");
    expect_file("x.csr", pem);
    assert_int_equal(service_run(lab->service, &ready, "request x --out absent/x.csr"), EXIT_FAILED);
    expect_err(lab->service, ": cannot write absent/x.csr: No such file or directory.\n");
}

static void write_pem(FILE *file, gnutls_x509_crt_t certificate) {
    gnutls_datum_t text;

    assert_true(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &text) >= 0);
    assert_int_equal(fwrite(text.data, 1, text.size, file), text.size);
    gnutls_free(text.data);
}

static void write_chain(const char *path, const LabCertificate *first, const LabCertificate *second) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    write_pem(file, first->certificate);
    if (second)
        write_pem(file, second->certificate);
    assert_int_equal(fclose(file), 0);
}

static void test_install(void **state) {
    const Lab *lab = *state;
    static const char *const files[] = { "chain.pem", "reversed.pem" };

    write_chain(files[0], &lab->leaf, &lab->root);
    write_chain(files[1], &lab->root, &lab->leaf);
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        char line[64];
        (void) snprintf(line, sizeof line, "install x %s", files[i]);
        assert_int_equal(service_run(lab->service, &ready, line), EXIT_OK);
        assert_string_equal(lab->service->asked, "InstallCertificate leaf first, 2;");
        expect_out(lab->service, "x: ready, generation 2, serial 0a1b, valid until 2100-01-01 00:00:00 UTC (in ");
    }
    write_chain("leaf.pem", &lab->leaf, NULL);
    assert_int_equal(service_run(lab->service, &ready, "install --json x leaf.pem"), EXIT_OK);
    assert_string_equal(lab->service->asked, "InstallCertificate leaf first, 1;");
    expect_out(lab->service, "\"state\": \"ready\"");
}

/* Files first, so that nobody is asked for a password in vain; then the name; then identityd's word. */
static void test_install_refused(void **state) {
    const Lab *lab = *state;
    ServiceAnswers answers = ready;

    assert_int_equal(service_run(lab->service, &ready, "install y absent.pem"), EXIT_FAILED);
    expect_err(lab->service, ": cannot open absent.pem: No such file or directory.\n");
    assert_int_equal(service_run(lab->service, &ready, "install x x.csr"), EXIT_FAILED);
    expect_err(lab->service, "x.csr");
    assert_int_equal(service_run(lab->service, &ready, "install y leaf.pem"), EXIT_NOT_FOUND);
    assert_int_equal(service_run(lab->service, &ready, "install No.Name leaf.pem"), EXIT_USAGE);
    assert_string_equal(lab->service->asked, "");
    answers.refused = "InstallCertificate";
    answers.error = "org.identityd1.Error.InvalidArgument";
    answers.message = "the key is another";
    assert_int_equal(service_run(lab->service, &answers, "install x leaf.pem"), EXIT_FAILED);
    expect_err(lab->service, ": cannot install the certificate: the key is another.\n");
    assert_string_equal(lab->service->out.text, "");
}

static void refuse_once(Service *service, const char *member) {
    if (strcmp(member, "InstallCertificate") == 0 && strchr(service->asked, ';') != strrchr(service->asked, ';'))
        service->answers.refused = NULL;
}

/* What identityd did not keep while polkit was asked is sent once more, and not without end. */
static void test_install_again(void **state) {
    const Lab *lab = *state;
    ServiceAnswers answers = ready;

    answers.refused = "InstallCertificate";
    answers.error = "org.identityd1.Error.SendAgain";
    answers.message = "send it again";
    assert_int_equal(service_run(lab->service, &answers, "install x chain.pem"), EXIT_FAILED);
    assert_string_equal(lab->service->asked, "InstallCertificate leaf first, 2;InstallCertificate leaf first, 2;");
    expect_err(lab->service, ": cannot install the certificate: send it again.\n");
    answers.before_reply = refuse_once;
    assert_int_equal(service_run(lab->service, &answers, "install x chain.pem"), EXIT_OK);
    assert_string_equal(lab->service->asked, "InstallCertificate leaf first, 2;InstallCertificate leaf first, 2;");
    expect_out(lab->service, "x: ready, generation 2");
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);
    const unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);

    assert_non_null(lab);
    strcpy(lab->directory, "/tmp/identityd-test.XXXXXX");
    assert_non_null(mkdtemp(lab->directory));
    assert_int_equal(chdir(lab->directory), 0);
    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, bits, 20, NULL, &lab->root);
    lab_certificate_new("x", false, GNUTLS_PK_ECDSA, bits, 10, &lab->root, &lab->leaf);
    lab->service = service_new();
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;
    char command[96];

    service_free(lab->service);
    lab_certificate_clear(&lab->leaf);
    lab_certificate_clear(&lab->root);
    assert_int_equal(chdir("/"), 0);
    (void) snprintf(command, sizeof command, "rm -r %s", lab->directory);
    free(lab);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request),         cmocka_unit_test(test_request_refused), cmocka_unit_test(test_install),
        cmocka_unit_test(test_install_refused), cmocka_unit_test(test_install_again),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
