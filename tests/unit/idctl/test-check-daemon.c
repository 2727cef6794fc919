/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* `idctl check` beside something that answers as identityd would: what it finds out about the TPM, the clock, the
 * identities that run and the way to their CAs, with what to do. */
#include "service.h"

#include "common/macros.h"
#include "fakes/fake-pki.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#define YEAR_2100 UINT64_C(4102444800000000) /* 2100-01-01 */

static char root[] = "/tmp/identityd-check-XXXXXX";

static const char *const good_manager[][2] = {
    { "TpmState", "ready" },
    { "TpmVendor", "Fine TPMs" },
    { "DeviceId", "0123abcd" },
    { NULL, NULL },
};
static const ServiceRow rows[] = { { "x", "ready", "idle", YEAR_2100, 0 }, { NULL } };
static const ServiceAnswers good = {
    .state = "ready",
    .activity = "idle",
    .generation = 3,
    .not_after = YEAR_2100,
    .manager = good_manager,
    .rows = rows,
    .probed = "server: https://ca.example/\nclock: 3\n",
};

static void configure(const char *name, const char *text) {
    char path[128];
    (void) snprintf(path, sizeof path, "%s/identities/%s.conf", root, name);
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fprintf(file, "[Identity]\nSubject=CN=%s\n[Enrollment]\n%sAnchors=%s/ca.pem\n", name, text, root) > 0);
    assert_int_equal(fclose(file), 0);
}

static void forget(const char *name) {
    char path[128];

    (void) snprintf(path, sizeof path, "%s/identities/%s.conf", root, name);
    assert_true(unlink(path) == 0 || errno == ENOENT);
}

#define EST "Server=https://ca.example/.well-known/est\n"

static ExitCode check(Service *service, const ServiceAnswers *answers) {
    return service_run(service, answers, "check --no-ask-password");
}

static void expect_no(const Service *service, const char *words) {
    if (strstr(service->out.text, words))
        fail_msg("'%s' is in:\n%s", words, service->out.text);
}

static void test_good(void **state) {
    Service *service = *state;

    configure("x", EST);
    assert_int_equal(check(service, &good), EXIT_OK);
    expect_out(service, "ready, Fine TPMs");
    expect_out(service, "0123abcd");
    expect_out(service, "server: https://ca.example/");
    expect_out(service, "to 3 s");
    assert_string_equal(service->asked, "ProbeServer x;");
    forget("x");
}

static void test_tpm(void **state) {
    static const struct {
        const char *state, *problem, *device_id, *told[3], *untold;
    } cases[] = {
        { "unavailable",
          "no such file",
          "",
          { "unavailable: no such file", "may the user identityd open", "not known without the TPM" },
          "none" },
        { "replaced",
          "another one",
          "77",
          { "replaced: another one", "idctl enroll --new-key", "77" },
          "not known without the TPM" },
        { "lockout",
          "too often",
          "",
          { "lockout: too often", "recovers by itself", "not known without the TPM" },
          NULL },
        { "strange", "", "", { "strange: ", "not known without the", "TPM" }, "Is there a TPM" },
        { "ready", "", "", { "ready", "there is none", "EndorsementAuthCredential=" }, "not known without the TPM" },
    };
    Service *service = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *const manager[][2] = { { "TpmState", cases[i].state },
                                           { "TpmProblem", cases[i].problem },
                                           { "DeviceId", cases[i].device_id },
                                           { "TpmVendor", "" },
                                           { NULL, NULL } };
        ServiceAnswers answers = good;
        answers.manager = manager;
        ExitCode code = check(service, &answers);
        if (strcmp(cases[i].state, "ready") != 0)
            assert_int_equal(code, EXIT_FAILED);
        for (size_t k = 0; k < ARRAY_LENGTH(cases[i].told); k++)
            expect_out(service, cases[i].told[k]);
        if (cases[i].untold)
            expect_no(service, cases[i].untold);
        expect_no(service, "TPM           ready, ");
    }
}

static void test_identityd_does_not_answer(void **state) {
    Service *service = *state;
    ServiceAnswers answers = good;

    answers.refused = "Get";
    answers.error = "org.freedesktop.DBus.Error.Failed";
    answers.message = "out of sorts";
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "does not answer: out of sorts");
    expect_out(service, "systemctl start identityd.service");
    expect_no(service, "ProbeServer");
    assert_string_equal(service->asked, ""); /* nothing more is asked */
    answers.refused = "ListIdentities";
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "does not list its identities: ");
}

/* The way to a CA that is refused, fails, or fails for two in the same way. */
static void test_servers(void **state) {
    static const ServiceRow both[] = { { "x", "ready", "idle", YEAR_2100, 0 },
                                       { "y", "ready", "idle", YEAR_2100, 0 },
                                       { NULL } };
    Service *service = *state;
    ServiceAnswers answers = good;

    answers.rows = both;
    answers.refused = "ProbeServer";
    answers.error = "org.identityd1.Error.EnrollmentFailed";
    answers.message = "nobody is there";
    configure("x", EST);
    configure("y", EST);
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "nobody is there");
    expect_out(service, "Without the CA there is no renewal.");
    expect_out(service, "as with x");
    assert_string_equal(service->asked, "ProbeServer x;ProbeServer y;");
    answers.error = "org.identityd1.Error.AccessDenied";
    answers.message = "not you";
    (void) check(service, &answers);
    expect_out(service, "not you");
    expect_out(service, "Run idctl check as root to have the CA tried.");
    expect_no(service, "Without the CA");
    forget("y");
    answers = good;
    configure("x", "Protocol=manual\n");
    (void) check(service, &answers);
    expect_out(service, "none: Protocol=manual");
    assert_string_equal(service->asked, "");
    configure("x", EST);
    answers.state = "retired"; /* and needs no CA */
    (void) check(service, &answers);
    assert_string_equal(service->asked, "");
    answers.state = "misconfigured";
    (void) check(service, &answers);
    assert_string_equal(service->asked, "");
    forget("x");
}

static void test_clock(void **state) {
    Service *service = *state;
    ServiceAnswers answers = good;

    answers.not_before = YEAR_2100;
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "but a certificate begins at 2100-01-01 00:00:00 UTC");
    expect_out(service, "The clock is behind");
    answers.not_before = 1;
    (void) check(service, &answers);
    expect_out(service, " synchronized");
    expect_no(service, "The clock is behind");
}

/* Configured and not running, running and not configured, and what is half. */
static void test_who_is_there(void **state) {
    Service *service = *state;
    ServiceAnswers answers = good;

    (void) check(service, &answers);
    expect_out(service, "identityd has this identity, but no file configures it");
    expect_out(service, "idctl reload");
    configure("x", EST);
    answers.untold = "State";
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "identityd does not have it: Bad message");
    answers = good;
    answers.refused = "GetAll";
    answers.error = "org.freedesktop.DBus.Error.UnknownObject";
    answers.message = "no such object";
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "identityd does not have it: no such object");
    configure("x", "Nonsense=1\n");
    assert_int_equal(check(service, &answers), EXIT_FAILED);
    expect_out(service, "identityd does not have it: it follows from the above");
    forget("x");
    assert_int_equal(service_run(service, &good, "check --no-ask-password nobody"), EXIT_NOT_FOUND);
    assert_int_equal(service_run(service, &good, "check --no-ask-password --json x"),
                     service_run(service, &good, "check --no-ask-password x"));
}

static int setup(void **state) {
    char path[128];

    assert_non_null(mkdtemp(root));
    (void) snprintf(path, sizeof path, "%s/identities", root);
    assert_int_equal(mkdir(path, 0700), 0);
    FakeCa *ca = fake_ca_new("root", NULL);
    (void) snprintf(path, sizeof path, "%s/ca.pem", root);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_true(fputs(ca->pem, file) >= 0);
    assert_int_equal(fclose(file), 0);
    fake_ca_free(ca);
    assert_int_equal(setenv("CONFIGURATION_DIRECTORY", root, 1), 0);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", root, 1), 0);
    *state = service_new();
    return 0;
}

static int teardown(void **state) {
    char path[128];

    service_free(*state);
    (void) snprintf(path, sizeof path, "%s/ca.pem", root);
    assert_int_equal(unlink(path), 0);
    (void) snprintf(path, sizeof path, "%s/identities", root);
    return rmdir(path) == 0 && rmdir(root) == 0 ? 0 : -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),    cmocka_unit_test(test_tpm),   cmocka_unit_test(test_identityd_does_not_answer),
        cmocka_unit_test(test_servers), cmocka_unit_test(test_clock), cmocka_unit_test(test_who_is_there),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
