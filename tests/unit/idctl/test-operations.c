/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs that change an identity, against good and bad answers: what identityd is asked for, what is printed when,
 * and the exit status. */
#include "service.h"

#include "common/macros.h"

#define YEAR_2100 UINT64_C(4102444800000000) /* 2100-01-01 */

static const ServiceAnswers ready = {
    .state = "ready", .activity = "idle", .generation = 3, .not_after = YEAR_2100, .request = "DER"
};

/* Each asks for its one method, with the option as it was said, and tells what the identity is then. */
static void test_asked(void **state) {
    static const struct {
        const char *line, *asked;
    } cases[] = {
        { "enroll x", "Enroll;" },
        { "enroll --new-key x", "Enroll new-key=true;" },
        { "renew x", "Renew;" },
        { "renew --rotate-key x", "Renew rotate-key=true;" },
        { "renew --keep-key x", "Renew rotate-key=false;" },
        { "reset-clock x", "ResetClock;" },
        { "retire --yes x", "Retire;" },
        { "retire -y x", "Retire;" },
    };
    Service *service = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(service_run(service, &ready, cases[i].line), EXIT_OK);
        assert_string_equal(service->asked, cases[i].asked);
        assert_int_equal(service->interactive, 1);
        expect_out(service, "x: ready, generation 3, serial 0a1b, valid until 2100-01-01 00:00:00 UTC (in ");
        assert_string_equal(service->err.text, "");
        assert_non_null(strchr(service->out.text, '\n'));
        assert_string_equal(strchr(service->out.text, '\n'), "\n"); /* one line */
    }
}

/* Nobody is asked for a password where that is not wanted. */
static void test_no_password(void **state) {
    static const char *const lines[] = {
        "enroll --no-ask-password x",      "renew --no-ask-password x", "request --no-ask-password x",
        "reset-clock --no-ask-password x", "reload --no-ask-password",  "retire --no-ask-password -y x",
        "forget --no-ask-password -y x",
    };
    Service *service = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        assert_int_equal(service_run(service, &ready, lines[i]), EXIT_OK);
        assert_true(service->asked[0] != '\0');
        assert_int_equal(service->interactive, 0);
    }
}

static void test_told(void **state) {
    const ServiceAnswers waiting = {
        .state = "empty", .activity = "waiting", .not_after = YEAR_2100, .next_attempt = YEAR_2100
    };
    const ServiceAnswers empty = { .state = "retired", .activity = "idle" };
    Service *service = *state;

    assert_int_equal(service_run(service, &waiting, "enroll x"), EXIT_OK);
    expect_out(service, "x: pending: the CA has not decided yet. identityd asks again at 2100-01-01 00:00:00 UTC (in ");
    expect_out(service, "); nothing needs to be done here.\n");
    assert_int_equal(service_run(service, &empty, "retire --yes x"), EXIT_OK);
    expect_all(service, "x: retired\n", "");
    assert_int_equal(service_run(service, &ready, "renew --quiet x"), EXIT_OK);
    expect_all(service, "", "");
    assert_int_equal(service_run(service, &ready, "renew --json --quiet x"), EXIT_OK);
    expect_out(service, "\"state\": \"ready\"");
    expect_out(service, "\"not_after\": \"2100-01-01T00:00:00Z\"");
    expect_out(service, "\"next_attempt\": null");
}

/* Whatever is refused, before it or after: one complaint, nothing on standard output, and the status of the error. */
static void test_refused(void **state) {
    static const char *const lines[][2] = {
        { "enroll x", "Enroll" },         { "renew x", "Renew" },
        { "request x", "CreateRequest" }, { "reset-clock x", "ResetClock" },
        { "retire -y x", "Retire" },      { "forget -y x", "Forget" },
        { "reload", "Reload" },
    };
    static const struct {
        const char *name;
        ExitCode code;
    } errors[] = {
        { "org.identityd1.Error.EnrollmentFailed", EXIT_FAILED },
        { "org.identityd1.Error.NoSuchIdentity", EXIT_NOT_FOUND },
        { "org.identityd1.Error.AccessDenied", EXIT_DENIED },
        { "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired", EXIT_DENIED },
    };
    Service *service = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(errors); k++) {
            ServiceAnswers answers = ready;
            answers.refused = lines[i][1];
            answers.error = errors[k].name;
            answers.message = "the words of identityd.";
            assert_int_equal(service_run(service, &answers, lines[i][0]), errors[k].code);
            expect_err(service, ": the words of identityd.");
            assert_string_equal(service->out.text, "");
            assert_string_equal(strchr(service->err.text, '\n'), "\n");
        }
}

/* What was done stays done, but cannot be told. */
static void test_bad_answers(void **state) {
    static const struct {
        const char *line, *garbled, *words;
    } cases[] = {
        { "enroll x", "GetIdentity", "cannot understand identityd's answer" },
        { "enroll x", "GetAll", "cannot understand the identity's properties" },
        { "request x", "CreateRequest", "cannot understand identityd's answer" },
        { "reload", "ListIdentities", "cannot list the identities" },
    };
    Service *service = *state;
    ServiceAnswers answers = ready;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        answers.garbled = cases[i].garbled;
        assert_int_equal(service_run(service, &answers, cases[i].line), EXIT_FAILED);
        expect_err(service, cases[i].words);
        assert_string_equal(service->out.text, "");
    }
    answers = ready;
    answers.untold = "ClockSource";
    assert_int_equal(service_run(service, &answers, "renew x"), EXIT_FAILED);
    expect_err(service, "identityd did not tell the property ClockSource of x: its version and idctl's do not fit.");
    assert_string_equal(service->asked, "Renew;");
}

static void test_unknown(void **state) {
    static const char *const lines[] = { "enroll y", "renew y", "request y", "reset-clock y", "retire y" };
    Service *service = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        assert_int_equal(service_run(service, &ready, lines[i]), EXIT_NOT_FOUND);
        expect_err(service, "cannot find the identity: There is no identity 'y'.\n");
        assert_string_equal(service->asked, "");
    }
}

static void work(Service *service, const char *member) {
    if (strcmp(member, "Enroll") != 0)
        return;
    service_changed(service, "x", "Activity", "enrolling", 0);
    service_changed(service, "x", "Activity", "enrolling", 0);
    service_changed(service, "x", "Subject", "CN=another", 0);
    service_changed(service, "other", "Activity", "revoking", 0);
    service_changed(service, "x", "Activity", "waiting", YEAR_2100);
}

/* A line for each change of what is being done with this identity; none with --quiet. */
static void test_progress(void **state) {
    ServiceAnswers answers = ready;
    Service *service = *state;

    answers.before_reply = work;
    assert_int_equal(service_run(service, &answers, "enroll x"), EXIT_OK);
    const char *lines =
        strstr(service->err.text, "x: enrolling\nx: waiting, next attempt 2100-01-01 00:00:00 UTC (in ");
    assert_ptr_equal(lines, service->err.text);
    assert_string_equal(strstr(lines, ")\n"), ")\n"); /* these two are all */
    assert_int_equal(service_run(service, &answers, "enroll -q x"), EXIT_OK);
    expect_all(service, "", "");
}

/* On a terminal it is one line, which is gone afterwards, also where the call failed. */
static void test_progress_on_terminal(void **state) {
    static const char *const errors[] = { NULL, "org.identityd1.Error.EnrollmentFailed" };
    ServiceAnswers answers = ready;
    Service *service = *state;

    answers.before_reply = work;
    answers.message = "no";
    service->typed = "";
    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        answers.error = errors[i];
        answers.refused = errors[i] ? "Enroll" : NULL;
        ExitCode code = service_run(service, &answers, "enroll --no-ask-password x");
        assert_int_equal(code, errors[i] ? EXIT_FAILED : EXIT_OK);
        const char *first = strstr(service->terminal, "\r\033[Kx: enrolling … "), *second, *gone;
        assert_non_null(first);
        second = strstr(first, "\r\033[Kx: waiting, next attempt 2100-01-01 ");
        assert_non_null(second);
        gone = strstr(second + 4, "\r\033[K");
        while (gone && gone[4] == 'x') /* a slow machine draws it again with another time */
            gone = strstr(gone + 4, "\r\033[K");
        assert_non_null(gone);
        assert_true(errors[i] ? strstr(gone, "cannot enroll: no.") != NULL : gone[4] == '\0');
    }
    service->typed = NULL;
}

/* The name, or nothing is done. */
static void test_confirmation(void **state) {
    static const char *const verbs[][3] = {
        { "retire --no-ask-password x", "Retire;", "This destroys the key of x for good" },
        { "forget --no-ask-password x", "Forget x;", "removes the keys, certificates and state of x for good" },
    };
    static const char *const wrong[] = { "y\n", "yes\n", "\n", "X\n", "x \n", "\x04" };
    Service *service = *state;

    for (size_t v = 0; v < ARRAY_LENGTH(verbs); v++) {
        service->typed = NULL;
        assert_int_equal(service_run(service, &ready, verbs[v][0]), EXIT_USAGE);
        expect_err(service, "There is no terminal to ask on: say --yes if it is meant.");
        assert_string_equal(service->asked, "");
        for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
            service->typed = wrong[i];
            assert_int_equal(service_run(service, &ready, verbs[v][0]), EXIT_FAILED);
            assert_string_equal(service->asked, "");
            assert_non_null(strstr(service->terminal, "nothing was done."));
        }
        service->typed = "x\n";
        assert_int_equal(service_run(service, &ready, verbs[v][0]), EXIT_OK);
        assert_string_equal(service->asked, verbs[v][1]);
        assert_non_null(strstr(service->terminal, verbs[v][2]));
        assert_non_null(strstr(service->terminal, "Type its name to go on: "));
    }
    service->typed = NULL;
}

/* Nobody is asked to type the name of what does not exist. */
static void test_confirmation_of_unknown(void **state) {
    Service *service = *state;

    service->typed = "y\n";
    assert_int_equal(service_run(service, &ready, "retire --no-ask-password y"), EXIT_NOT_FOUND);
    assert_null(strstr(service->terminal, "Type its name"));
    service->typed = NULL;
}

static void test_reload(void **state) {
    static const ServiceRow before[] = {
        { .name = "a", .state = "ready", .activity = "idle" },
        { .name = "b", .state = "misconfigured", .activity = "idle" },
        { .name = "c", .state = "ready", .activity = "idle" },
        { .name = "x", .state = "ready", .activity = "idle" },
        { .name = NULL },
    };
    static const ServiceRow after[] = {
        { .name = "a", .state = "ready", .activity = "idle" },
        { .name = "b", .state = "ready", .activity = "idle" },
        { .name = "d", .state = "empty", .activity = "idle" },
        { .name = "x", .state = "misconfigured", .activity = "idle" },
        { .name = NULL },
    };
    Service *service = *state;
    ServiceAnswers answers = {
        .rows = before, .rows_after_reload = after, .state = "misconfigured", .last_error = "x.conf:3:\x1b unknown"
    };

    assert_int_equal(service_run(service, &answers, "reload"), EXIT_FAILED);
    expect_all(service,
               "b: back, ready\n"
               "c: gone, for no file configures it any more. Its keys are kept: \"idctl forget c\" removes them.\n"
               "d: new, empty\n"
               "x: out of use, misconfigured: x.conf:3:? unknown\n",
               "");
    answers.last_error = "";
    assert_int_equal(service_run(service, &answers, "reload"), EXIT_FAILED);
    expect_out(service, "x: out of use, misconfigured: see \"idctl check\"\n");
    answers.rows_after_reload = before;
    assert_int_equal(service_run(service, &answers, "reload"), EXIT_OK);
    expect_all(service, "", "");
    answers.rows = NULL;
    answers.rows_after_reload =
        (ServiceRow[]) { { .name = "n", .state = "ready", .activity = "idle" }, { .name = NULL } };
    assert_int_equal(service_run(service, &answers, "reload"), EXIT_OK); /* only good news */
    expect_all(service, "n: new, ready\n", "");
}

static int setup(void **state) {
    *state = service_new();
    return 0;
}

static int teardown(void **state) {
    return service_free(*state) != NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_asked),        cmocka_unit_test(test_no_password),
        cmocka_unit_test(test_told),         cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bad_answers),  cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_progress),     cmocka_unit_test(test_progress_on_terminal),
        cmocka_unit_test(test_confirmation), cmocka_unit_test(test_confirmation_of_unknown),
        cmocka_unit_test(test_reload),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
