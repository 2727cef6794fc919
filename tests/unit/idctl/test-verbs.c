/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each verb from its command line: what is refused before anybody is asked, and what is said where there is no bus.
 * Nothing here has a bus, so that a verb that asked too early would end otherwise. */
#include "idctl/verbs.h"

#include "common/macros.h"
#include "said.h"

#include <stdlib.h>

static const Verb *const verbs[] = {
    &verb_check,   &verb_connect, &verb_enroll, &verb_forget, &verb_install, &verb_list,
    &verb_metrics, &verb_monitor, &verb_reload, &verb_renew,  &verb_request, &verb_reset_clock,
    &verb_retire,  &verb_show,    &verb_sign,   &verb_verify, &verb_version, &verb_wait,
};

static const Verb *verb_of(const char *name) {
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++)
        if (strcmp(verbs[i]->name, name) == 0)
            return verbs[i];
    fail_msg("no verb %s", name);
    return NULL;
}

/* Runs one command line, words between single spaces; what it says on standard error is in `said`. */
static ExitCode run(const char *line, Said *said) {
    char copy[256], *argv[16] = { NULL }, *position = NULL;
    Command command;
    Said output;
    int argc = 0;

    assert_true(snprintf(copy, sizeof copy, "%s", line) < (int) sizeof copy);
    for (char *word = strtok_r(copy, " ", &position); word; word = strtok_r(NULL, " ", &position))
        argv[argc++] = word;
    said_begin(stderr, said);
    said_begin(stdout, &output);
    const Verb *verb = verb_of(argv[0]);
    ExitCode code = command_parse(&idctl_program, verb, argc, argv, &command);
    if (code == _EXIT_CONTINUE)
        code = verb->run(&command);
    const char *printed = said_end(&output);
    (void) said_end(said);
    if (code == EXIT_USAGE && printed[0])
        fail_msg("%s: its complaint is on standard output: %s", line, printed);
    return code;
}

/* Status 2, nobody asked, and the text says which word is wrong or what is wanted. */
static void test_usage(void **state) {
    static const struct {
        const char *line, *words;
    } cases[] = {
        { "check a b", "check takes" },
        { "check --expires-in", "expires-in" },
        { "check --expires-in 14 a", "--expires-in 14: must be" },
        { "check --expires-in 0d", "--expires-in 0d: must be" },
        { "check --expires-in 14d --config", "exclude each other" },
        { "check Not.Valid", "cannot be the name" },
        { "connect a", "HOST:PORT" },
        { "connect a b c", "HOST:PORT" },
        { "connect a nowhere", "HOST:PORT" },
        { "connect --json a b:1", "--check" },
        { "enroll", "IDENTITY" },
        { "enroll a b", "IDENTITY" },
        { "enroll --new-key=yes a", "new-key" },
        { "forget", "NAME" },
        { "forget a b", "NAME" },
        { "install a", "FILE" },
        { "list a", "list takes" },
        { "list --frob", "frob" },
        { "metrics a", "metrics takes" },
        { "monitor a b", "IDENTITY" },
        { "reload a", "reload takes" },
        { "renew", "IDENTITY" },
        { "renew --rotate-key --keep-key a", "exclude" },
        { "request", "IDENTITY" },
        { "reset-clock", "IDENTITY" },
        { "retire", "IDENTITY" },
        { "show", "IDENTITY" },
        { "show a b", "IDENTITY" },
        { "sign a", "FILE" },
        { "sign --raw --cms a b", "exclude" },
        { "verify a", "verify" },
        { "verify --peer a:1 --chain b c", "verify" },
        { "version a", "version takes" },
        { "wait", "IDENTITY" },
        { "wait --state up a", "--state up" },
        { "wait --timeout 5 a", "--timeout 5: must be" },
        { "wait a A", "\"A\" cannot be the name" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Said said;
        ExitCode code = run(cases[i].line, &said);
        if (code != EXIT_USAGE || !strstr(said.text, cases[i].words))
            fail_msg("%s: %d, %s", cases[i].line, (int) code, said.text);
    }
}

/* Without a bus each says so, with the variable that may be wrong, and nothing else. */
static void test_no_bus(void **state) {
    static const char *const lines[] = {
        "list",           "list --json",        "show a", "monitor",       "wait a",  "enroll a",
        "renew a",        "request a",          "reload", "reset-clock a", "metrics", "forget --yes a",
        "retire --yes a", "list --all --quiet",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        Said said;
        ExitCode code = run(lines[i], &said);
        const char *end = strchr(said.text, '\n');
        if (code != EXIT_FAILED || !strstr(said.text, "cannot reach the system bus") ||
            !strstr(said.text, "DBUS_SYSTEM_BUS_ADDRESS") || !end || end[1])
            fail_msg("%s: %d, %s", lines[i], (int) code, said.text);
    }
}

static void test_help(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(verbs); i++) {
        char name[32], option[] = "--help", *argv[] = { name, option, NULL };
        Command command;
        Said output;
        (void) snprintf(name, sizeof name, "%s", verbs[i]->name);
        said_begin(stdout, &output);
        assert_int_equal(command_parse(&idctl_program, verbs[i], 2, argv, &command), EXIT_OK);
        const char *text = said_end(&output);
        assert_non_null(strstr(text, verbs[i]->summary));
        assert_non_null(strstr(text, "See idctl(1)."));
        for (const Option *one = verbs[i]->options; one && one->name; one++)
            assert_non_null(strstr(text, one->help));
    }
}

static int setup(void **state) {
    return setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nowhere/bus", 1) < 0 || setenv("NO_COLOR", "1", 1) < 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_no_bus),
        cmocka_unit_test(test_help),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
