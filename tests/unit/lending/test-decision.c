/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one place where access is decided: what it says to who asks, and what to the journal. */
#include "lending/internal.h"

#include "device/log.h"
#include "tests/unit/device/journal.h"
#include "tests/unit/lending/lent.h"

#define ACCESS "[Access]\ndata-raw=user:1000 unit:a.service\n"

typedef struct Asked {
    int result;
    AccessDecision decision;
    Failure failure;
} Asked;

/* Asks for `data-raw`; what is admitted is said by who asks, once nothing refuses it any more. */
static Asked ask(Machine *machine, const Caller *caller, bool units) {
    const AccessQuestion question = { x_of(machine), PURPOSE_DATA_RAW, caller, units };
    Asked asked = { .failure = FAILURE_INIT };

    journal_begin();
    asked.result = decision_make(manager_lending(machine->manager), &question, &asked.decision, &asked.failure);
    if (asked.result == 0) {
        assert_string_equal(journal_field("MESSAGE"), "");
        decision_log(manager_lending(machine->manager), &question, &asked.decision);
    }
    journal_end();
    return asked;
}

static Caller caller_in(const char *unit) {
    Caller caller = caller_of(1007);

    caller.unit = strdup(unit);
    caller.unit_is_known = true;
    caller.pid = 4711;
    return caller;
}

static void test_admitted(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_of(1000);

    start_ready(machine, ACCESS);
    Asked asked = ask(machine, &caller, true);
    assert_int_equal(asked.result, 0);
    assert_true(asked.decision.admitted);
    assert_false(asked.decision.by_unit);
    assert_int_equal(asked.failure.kind, FAILURE_NONE);
    assert_string_equal(journal_field("MESSAGE"), "x: Granted for data-raw to uid 1000, pid 0 (user:1000).");
    assert_string_equal(journal_field("MESSAGE_ID"), MESSAGE_ACCESS_GRANTED);
    assert_string_equal(journal_field("PRIORITY"), "6");
    assert_string_equal(journal_field("IDENTITYD_IDENTITY"), "x");
    assert_string_equal(journal_field("IDENTITYD_CALLER_UID"), "1000");
    assert_string_equal(journal_field("IDENTITYD_CALLER_PID"), "0");
    assert_string_equal(journal_field("IDENTITYD_CALLER_UNIT"), "");
    assert_string_equal(journal_field("IDENTITYD_PURPOSE"), "data-raw");
}

static void test_unit(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_in("a.service");

    start_ready(machine, ACCESS);
    Asked asked = ask(machine, &caller, true);
    assert_int_equal(asked.result, 0);
    assert_true(asked.decision.by_unit);
    assert_string_equal(journal_field("MESSAGE"),
                        "x: Granted for data-raw to uid 1007, pid 4711, unit a.service (unit:a.service).");
    assert_string_equal(journal_field("IDENTITYD_CALLER_PID"), "4711");
    assert_string_equal(journal_field("IDENTITYD_CALLER_UNIT"), "a.service");
}

static void test_refused(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_in("a.service");

    start_ready(machine, ACCESS);
    Asked asked = ask(machine, &caller, false); /* units do not count here */
    assert_int_equal(asked.result, -EACCES);
    expect_failure(&asked.failure, FAILURE_ACCESS_DENIED, "x is not lent to you for data-raw: ");
    assert_string_equal(journal_field("MESSAGE_ID"), MESSAGE_ACCESS_DENIED);
    assert_string_equal(journal_field("PRIORITY"), "5");
    assert_string_equal(journal_field("IDENTITYD_CALLER_UID"), "1007");
    assert_string_equal(journal_field("IDENTITYD_CALLER_UNIT"), "a.service");
}

/* Nothing is decided by a configuration that nobody can read. */
static void test_misconfigured(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_of(1000);

    start_ready(machine, ACCESS);
    reload_with(machine, ACCESS "[Weather]\n");
    Asked asked = ask(machine, &caller, true);
    assert_int_equal(asked.result, -EBADMSG);
    assert_false(asked.decision.admitted);
    expect_failure(&asked.failure, FAILURE_NOT_READY, "x is out of use: ");
    assert_string_equal(journal_field("MESSAGE"), "");
    const AccessCounters counters = access_log_counters(lending_log(manager_lending(machine->manager)));
    assert_int_equal(counters.granted + counters.refused, 0);
}

/* systemd did not answer: that is no refusal, neither in the text nor among the refusals. */
static void test_not_known(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_of(1007);

    start_ready(machine, ACCESS);
    Asked asked = ask(machine, &caller, true);
    assert_int_equal(asked.result, -EIO);
    assert_false(asked.decision.admitted);
    expect_failure(
        &asked.failure, FAILURE_LOOKUP_FAILED,
        "Whether x may be lent to you for data-raw could not be found out: the system's service manager did not "
        "say in which unit the caller is, which unit:a.service asks. Ask again;");
    assert_string_equal(journal_field("MESSAGE_ID"), MESSAGE_ACCESS_UNKNOWN);
    assert_string_equal(journal_field("PRIORITY"), "4");
    const AccessCounters counters = access_log_counters(lending_log(manager_lending(machine->manager)));
    assert_int_equal(counters.granted + counters.refused, 0);
    for (unsigned i = 0; i < LINE_LIMIT_BURST; i++)
        asked = ask(machine, &caller, true);
    assert_string_equal(journal_field("MESSAGE"), ""); /* enough was said */
}

/* Nor does it take away what was lent when it was known. */
static void test_not_known_any_more(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller caller = caller_of(1000);
    Failure failure = FAILURE_INIT;
    _cleanup_close_ int fd = -1;

    start_ready(machine, ACCESS);
    const HandleRequest request = { x_of(machine), PURPOSE_DATA_RAW, &caller };
    assert_int_equal(handles_open(manager_lending(machine->manager), &request, &fd, &failure), 0);
    reload_with(machine, "[Access]\ndata-raw=unit:a.service\n"); /* in which unit it is was never asked */
    machine_settle(machine);
    machine_expect_log(machine, "its configuration admits it no more", 0);
    reload_with(machine, "[Access]\ndata-raw=user:1001\n");
    machine_settle(machine);
    machine_expect_log(machine, "its configuration admits it no more", 1);
}

static void test_new_and_free(void **state) {
    Machine *machine = *state;
    Lending *lending = NULL;
    _cleanup_caller_ Caller caller = caller_of(1000);
    _cleanup_close_ int fd = -1, other = -1;
    Failure failure = FAILURE_INIT;

    assert_null(lending_free(NULL));
    start_ready(machine, ACCESS);
    assert_int_equal(lending_new(machine->device, &lending), 0);
    assert_non_null(lending_log(lending));
    const HandleRequest request = { x_of(machine), PURPOSE_DATA_RAW, &caller };
    assert_int_equal(handles_open(lending, &request, &fd, &failure), 0);
    assert_int_equal(handles_open(lending, &request, &other, &failure), 0);
    assert_null(lending_free(lending));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_admitted),           TEST(test_unit),         TEST(test_refused),
        TEST(test_misconfigured),      TEST(test_new_and_free), TEST(test_not_known),
        TEST(test_not_known_any_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
