/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Anchors that end, files that identityd's user may not read, and credentials that are not there, on real files. */
#include "idctl/check-files.h"

#include "fakes/fake-pki.h"
#include "found.h"

#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DAY    86400L
#define NOBODY 65534U

static char directory[] = "/tmp/idctl-check-XXXXXX";

static const FileReader ourselves = { .is_other = false };

static const char *path_of(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];

    assert_true(snprintf(path, sizeof paths[0], "%s/%s", directory, name) < (int) sizeof paths[0]);
    return path;
}

static char *write_file(const char *name, const char *text, mode_t mode) {
    const char *path = path_of(name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(path, mode), 0);
    return (char *) path;
}

/* A bundle of CAs that end in so many days, 0-terminated. */
static char *write_bundle(const char *name, const long *days) {
    char *text = strdup("");

    for (; *days; days++) {
        char common_name[32];
        (void) snprintf(common_name, sizeof common_name, "ca%ld", *days);
        FakeCa *ca = fake_ca_new_dated(common_name, NULL, -400 * DAY, *days * DAY);
        char *more = fake_concat(text, ca->pem);
        free(text);
        text = more;
        fake_ca_free(ca);
    }
    char *path = write_file(name, text, 0644);
    free(text);
    return path;
}

static void check(const IdentityConfig *config, const FileReader *reader, Findings *findings) {
    check_anchors(config, reader, time(NULL), findings);
}

static void test_ends(void **state) {
    static const struct {
        long days[4];
        bool good;
        FindingVerdict verdict;
        const char *text;
    } cases[] = {
        { { 365, 0 }, true, FINDING_OK, NULL },
        { { 365, 31, 0 }, true, FINDING_OK, NULL },
        { { 29, 0 }, false, FINDING_WARNING, "\"CN=ca29\" ends at " },
        { { 365, 29, 20, 0 }, false, FINDING_WARNING, "\"CN=ca20\" ends at " }, /* the first to end */
        { { -1, 0 }, false, FINDING_FAILED, "all 1 certificates have ended, \"CN=ca-1\" at " },
        { { -1, -5, 0 }, false, FINDING_FAILED, "all 2 certificates have ended, \"CN=ca-5\" at " },
        { { 365, -1, 0 }, false, FINDING_WARNING, "1 of 2 certificates have ended, \"CN=ca-1\" at " },
        { { 5, -1, 365, 0 }, false, FINDING_WARNING, "1 of 3 certificates have ended" },
    };
    Findings findings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        for (size_t set = 0; set < 3; set++) {
            static const char *const keys[] = { "[Enrollment] Anchors=", "[Enrollment] ServerAnchors=",
                                                "[Peers] Anchors=" };
            IdentityConfig config = { .name = (char *) "x" };
            char **const sets[] = { &config.anchors, &config.server_anchors, &config.peers_anchors };
            *sets[set] = write_bundle("bundle.pem", cases[i].days);
            check(&config, &ourselves, &findings);
            if (cases[i].good)
                expect_nothing(&findings);
            else {
                assert_int_equal(findings.count, 1);
                assert_int_equal(strncmp(findings.list[0].text, keys[set], strlen(keys[set])), 0);
                expect_only(&findings, cases[i].verdict, cases[i].text, "the CA");
            }
        }
}

/* One file that three keys name has one fault. */
static void test_one_file(void **state) {
    Findings findings = { 0 };
    char *path = write_bundle("bundle.pem", (const long[]) { -1, 0 });
    const IdentityConfig config = {
        .name = (char *) "x", .anchors = path, .server_anchors = path, .peers_anchors = path
    };

    check(&config, &ourselves, &findings);
    expect_only(&findings, FINDING_FAILED, "[Enrollment] Anchors=", "present certificates");
}

static void test_no_certificates(void **state) {
    Findings findings = { 0 };
    IdentityConfig config = { .name = (char *) "x", .anchors = write_file("text", "no certificate\n", 0644) };

    check(&config, &ourselves, &findings);
    expect_only(&findings, FINDING_FAILED, "holds no certificates", "as PEM");
    config.anchors = (char *) path_of("nothing");
    check(&config, &ourselves, &findings);
    expect_only(&findings, FINDING_FAILED, "cannot be read: No such file", "correct the path");
}

/* Root sees every file; the user of identityd does not. */
static void test_readable(void **state) {
    Findings findings = { 0 };
    FileReader reader;

    if (geteuid() != 0)
        skip();
    file_reader_by_uid(NOBODY, &reader);
    assert_true(reader.is_other);
    char *secret = strdup(write_bundle("bundle.pem", (const long[]) { 365, 0 }));
    const IdentityConfig config = { .name = (char *) "x", .anchors = secret };
    assert_int_equal(file_reader_try(&reader, secret), -EACCES); /* the directory is ours alone */
    assert_int_equal(chmod(directory, 0755), 0);
    assert_int_equal(file_reader_try(&reader, secret), 0);
    check(&config, &reader, &findings);
    expect_nothing(&findings);
    assert_int_equal(chmod(secret, 0600), 0);
    check(&config, &reader, &findings);
    expect_only(&findings, FINDING_FAILED, "cannot be read by the user ", "chmod a+r");
    check(&config, &ourselves, &findings);
    expect_nothing(&findings);

    char *paths[] = { write_file("a.conf", "", 0600), write_file("b.conf", "", 0644), NULL };
    check_readable("x", paths, &reader, &findings);
    expect_only(&findings, FINDING_FAILED, "/a.conf may not be read by the user ", "chmod a+r");
    check_readable("x", paths, &ourselves, &findings);
    check_readable("x", NULL, &reader, &findings);
    expect_nothing(&findings);
    assert_int_equal(file_reader_try(&reader, path_of("nothing")), -ENOENT);
    file_reader_by_uid(0, &reader);
    assert_false(reader.is_other);
    free(secret);
}

static void test_credentials(void **state) {
    Findings findings = { 0 };
    const DaemonConfig daemon = { .serial_credential = (char *) "serial", .owner_authorization = (char *) "owner" };
    IdentityConfig config = { .name = (char *) "x", .subject = (char *) "CN=%d" };

    check_credentials(&config, &daemon, directory, &findings);
    expect_nothing(&findings);
    config.authenticate.credential = config.renewal_authenticate.credential = (char *) "password";
    check_credentials(&config, &daemon, directory, &findings);
    expect_only(&findings, FINDING_FAILED,
                "[Enrollment] Authenticate=credential:password: identityd has no such credential", "identityd(8)");
    (void) write_file("password", "x", 0600);
    check_credentials(&config, &daemon, directory, &findings);
    expect_nothing(&findings);
    config.proxy_credential = (char *) "proxy";
    check_credentials(&config, &daemon, directory, &findings);
    expect_only(&findings, FINDING_FAILED, "ProxyCredential=proxy: ", "identityd(8)");
    config.proxy_credential = NULL;
    config.subject = (char *) "CN=%s";
    check_credentials(&config, &daemon, directory, &findings);
    expect_only(&findings, FINDING_FAILED, "SerialCredential=serial: ", "identityd(8)");
    config.subject = (char *) "CN=%%s";
    SanTemplate san = { .value = (char *) "%s.example" };
    check_credentials(&config, &daemon, directory, &findings);
    expect_nothing(&findings);
    config.sans = &san;
    config.san_count = 1;
    check_credentials(&config, &daemon, directory, &findings);
    expect_only(&findings, FINDING_FAILED, "SerialCredential=serial: ", "identityd(8)");
    check_daemon_credentials(&daemon, directory, &findings);
    expect_only(&findings, FINDING_FAILED, "[TPM] OwnerAuthCredential=owner: ", "identityd(8)");
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", directory, 1), 0);
    assert_string_equal(check_credentials_directory(), directory);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_string_equal(check_credentials_directory(), "/run/credentials/identityd.service");
}

static int make_directory(void **state) {
    return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
    static const char *const names[] = { "bundle.pem", "text", "a.conf", "b.conf", "password" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        (void) unlink(path_of(names[i]));
    return rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends),     cmocka_unit_test(test_one_file),    cmocka_unit_test(test_no_certificates),
        cmocka_unit_test(test_readable), cmocka_unit_test(test_credentials),
    };

    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
