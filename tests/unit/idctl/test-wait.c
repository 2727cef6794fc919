/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What idctl wait decides, state by state, and the words for it. */
#include "command/command.h"
#include "idctl/verbs.h"
#include "idctl/wait-rules.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

static const char *const states[] = {
    "ready", "empty", "expired", "revoked", "unavailable", "retired", "misconfigured"
};

static WaitFacts facts_of(const char *state, bool ready_by_itself) {
    return (WaitFacts) { .state = state, .activity = "idle", .last_error = "", .ready_by_itself = ready_by_itself };
}

static void test_states(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        assert_true(wait_state_is_known(states[i]));
    assert_false(wait_state_is_known("Ready"));
    assert_false(wait_state_is_known("idle"));
    assert_false(wait_state_is_known(""));
}

/* Every state that is wanted against every one that there is. */
static void test_verdicts(void **state) {
    for (size_t wanted = 0; wanted < ARRAY_LENGTH(states); wanted++)
        for (size_t present = 0; present < ARRAY_LENGTH(states); present++)
            for (int by_itself = 0; by_itself < 2; by_itself++) {
                const WaitFacts facts = facts_of(states[present], by_itself);
                WaitVerdict expected = wanted == present           ? WAIT_REACHED
                                       : wanted == 0 && !by_itself ? WAIT_IN_VAIN
                                                                   : WAIT_GOES_ON;
                assert_int_equal(wait_judge(states[wanted], &facts), expected);
            }
}

static void test_timeouts(void **state) {
    static const struct {
        const char *text;
        uint64_t usec; /* 0: refused */
    } cases[] = {
        { "1s", 1000000 },
        { "60s", 60000000 },
        { "5min", 300000000 },
        { "2h", UINT64_C(7200000000) },
        { "infinity", WAIT_FOR_EVER },
        { "0s", 0 },
        { "60", 0 },
        { "", 0 },
        { "-1s", 0 },
        { "1 s", 0 },
        { "Infinity", 0 },
        { "1.5h", 0 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        uint64_t usec = 0;
        assert_int_equal(wait_timeout_parse(cases[i].text, &usec), cases[i].usec ? 0 : -EINVAL);
        assert_int_equal(usec, cases[i].usec);
    }
}

static void expect_text(const WaitFacts *facts, const char *expected) {
    char *text = wait_describe(facts, 0);

    assert_non_null(text);
    assert_string_equal(text, expected);
    free(text);
}

static void test_words(void **state) {
    WaitFacts facts = facts_of("empty", true);

    assert_int_equal(setenv("TZ", "UTC", 1), 0);
    expect_text(&facts, "it is empty");
    facts.activity = "enrolling";
    expect_text(&facts, "it is empty, enrolling");
    facts.activity = "waiting";
    facts.next_attempt = UINT64_C(1700000000000000);
    expect_text(&facts, "it is empty, waiting; next attempt at 2023-11-14 22:13:20 UTC");
    facts.last_error = "the CA says no.";
    expect_text(&facts, "it is empty, waiting; next attempt at 2023-11-14 22:13:20 UTC; last error: the CA says no");
    facts = facts_of("misconfigured", false);
    facts.last_error = "x.conf:3: unknown";
    expect_text(&facts, "it is misconfigured; last error: x.conf:3: unknown");
}

/* Whatever state it is stuck in, the text names a command that leads out, as idctl has it. */
static void test_advice(void **state) {
    for (size_t i = 1; i < ARRAY_LENGTH(states); i++) {
        const WaitFacts facts = facts_of(states[i], false);
        const char *advice = wait_advice(&facts);
        assert_non_null(strstr(advice, "\"idctl "));
        assert_int_equal(advice[strlen(advice) - 1], '.');
    }
    const WaitFacts unknown = facts_of("asleep", false); /* of a later identityd */
    assert_non_null(strstr(wait_advice(&unknown), "idctl show"));
    assert_int_equal(wait_judge("ready", &unknown), WAIT_IN_VAIN);
}

static ExitCode wait_for(char *const *arguments) {
    Command command;
    char *argv[12] = { (char *) "wait" };
    int argc = 1;

    for (; arguments[argc - 1]; argc++)
        argv[argc] = arguments[argc - 1];
    ExitCode code = command_parse(&idctl_program, &verb_wait, argc, argv, &command);
    return code == _EXIT_CONTINUE ? verb_wait.run(&command) : code;
}
#define WAIT(...) wait_for((char *[]) { __VA_ARGS__, NULL })
#define S(text)   ((char *) (text))

/* Before anybody is asked: there is no bus here. */
static void test_usage(void **state) {
    assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/none", 1), 0);
    assert_int_equal(wait_for((char *[]) { NULL }), EXIT_USAGE);
    assert_int_equal(WAIT(S("--state=Ready"), S("x")), EXIT_USAGE);
    assert_int_equal(WAIT(S("--timeout=60"), S("x")), EXIT_USAGE);
    assert_int_equal(WAIT(S("x"), S("No Name")), EXIT_USAGE);
    assert_int_equal(WAIT(S("x"), S("--timeout"), S("infinity")), EXIT_FAILED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_states), cmocka_unit_test(test_verdicts), cmocka_unit_test(test_timeouts),
        cmocka_unit_test(test_words),  cmocka_unit_test(test_advice),   cmocka_unit_test(test_usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
