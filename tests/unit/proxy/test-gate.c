/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The identity behind a proxy, as identityd has it and as it changes: what each state and each refusal means for
 * connections, and that the gate opens again by itself. */
#include "proxy/gate.h"

#include "common/names.h"

#include "lab.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define CHANGES_MAX 64U

typedef struct Fixture {
    sd_event *event;
    Workers *workers;
    Gate *gate;
    GateState changes[CHANGES_MAX];
    uint32_t generations[CHANGES_MAX];
    unsigned count; /* of changes that were told */
    GateState wanted;
    uint32_t wanted_generation;
} Fixture;

static void on_change(GateState state, void *userdata) {
    Fixture *fixture = userdata;

    assert_true(fixture->count < CHANGES_MAX);
    assert_int_equal(gate_state(fixture->gate), state); /* who is told may ask */
    fixture->generations[fixture->count] = gate_generation(fixture->gate);
    fixture->changes[fixture->count++] = state;
}

static void open_gate(Fixture *fixture, const char *identity) {
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(workers_new(fixture->event, 1, &fixture->workers), 0);
    assert_int_equal(
        gate_new(fixture->event, fixture->workers, identity, "tls-client", on_change, fixture, &fixture->gate), 0);
}

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    if (!fixture)
        return -1;
    *state = fixture;
    return lab_setup_identity(NULL);
}

static int teardown(void **state) {
    Fixture *fixture = *state;

    if (fixture->workers)
        assert_true(workers_stop(fixture->workers, 30));
    assert_null(gate_free(fixture->gate));
    workers_free(fixture->workers);
    sd_event_unref(fixture->event);
    free(fixture);
    return lab_teardown_identity(NULL);
}

static bool is_as_wanted(void *userdata) {
    const Fixture *fixture = userdata;

    return fixture->count > 0 && gate_state(fixture->gate) == fixture->wanted &&
           gate_generation(fixture->gate) >= fixture->wanted_generation;
}

static void await(Fixture *fixture, GateState wanted) {
    fixture->wanted = wanted;
    lab_loop_until(fixture->event, is_as_wanted, fixture);
}

static bool was_told(void *userdata) {
    return ((const Fixture *) userdata)->count > 0;
}

/* The first answer, whatever it is. */
static void await_first(Fixture *fixture) {
    lab_loop_until(fixture->event, was_told, fixture);
}

static void refuse(const char *name) {
    fake_identityd_refuse(lab.fake, name, "the test says no");
}

static void assert_reason(const Fixture *fixture, const char *part) {
    if (!strstr(gate_reason(fixture->gate), part))
        fail_msg("expected \"%s\" in \"%s\"", part, gate_reason(fixture->gate));
}

/* ---- opening ---- */

static void test_before_the_answer(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    assert_int_equal(gate_state(fixture->gate), GATE_AWAY);
    assert_int_equal(gate_generation(fixture->gate), 0);
    assert_null(gate_credentials(fixture->gate));
    assert_reason(fixture, "it was not opened yet");
    assert_int_equal(fixture->count, 0);
}

static void test_open(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await_first(fixture);
    assert_int_equal(fixture->changes[0], GATE_OPEN);
    assert_int_equal(gate_generation(fixture->gate), 1);
    assert_string_equal(gate_reason(fixture->gate), "");
    assert_non_null(gate_credentials(fixture->gate));
    assert_int_equal(gate_is_hopeless(fixture->gate), EXIT_OK);
}

static void test_a_new_generation(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await(fixture, GATE_OPEN);
    lab_set_identity(1, "ready"); /* nothing new */
    lab_loop_for(fixture->event, 100);
    assert_int_equal(fixture->count, 1);
    lab_set_identity(2, "ready");
    fixture->wanted_generation = 2;
    await(fixture, GATE_OPEN);
    assert_int_equal(fixture->count, 2);
    assert_int_equal(fixture->generations[1], 2);
}

/* ---- states ---- */

static void test_states(void **state) {
    static const struct {
        const char *word;
        GateState state;
        const char *reason;
    } cases[] = {
        { "expired", GATE_SHUT, "its certificate has expired" },
        { "unavailable", GATE_SHUT, "the TPM is unavailable" },
        { "misconfigured", GATE_SHUT, "its configuration file has a mistake" },
        { "empty", GATE_SHUT, "it has no certificate yet" },
        { "sleeping", GATE_SHUT, "its state is not known to this program" },
        { "revoked", GATE_ENDED, "its certificate was revoked by the CA, or put on hold" },
        { "retired", GATE_ENDED, "it was retired and its key destroyed" },
    };
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        lab_set_identity(1, "ready");
        await(fixture, GATE_OPEN);
        assert_string_equal(gate_reason(fixture->gate), "");
        lab_set_identity(1, cases[i].word);
        await(fixture, cases[i].state);
        assert_string_equal(gate_reason(fixture->gate), cases[i].reason);
        assert_int_equal(gate_is_hopeless(fixture->gate), EXIT_OK);
        assert_non_null(gate_credentials(fixture->gate)); /* sessions that stand have them */
    }
}

/* For another reason it is told again, since the log has to say why. */
static void test_shut_for_another_reason(void **state) {
    Fixture *fixture = *state;

    lab_set_identity(1, "empty");
    open_gate(fixture, "demo");
    await(fixture, GATE_SHUT);
    lab_set_identity(1, "empty");
    lab_loop_for(fixture->event, 100);
    assert_int_equal(fixture->count, 1);
    lab_set_identity(1, "unavailable");
    for (unsigned i = 0; i < 50 && fixture->count < 2; i++)
        lab_loop_for(fixture->event, 20);
    assert_int_equal(fixture->count, 2);
    assert_reason(fixture, "TPM");
}

/* ---- what identityd says to the opening ---- */

typedef struct Answer {
    const char *error; /* of D-Bus */
    GateState state;
    ExitCode hopeless;
} Answer;

static const Answer answers[] = {
    { IDENTITYD_ERROR_PREFIX "AccessDenied", GATE_ENDED, EXIT_DENIED },
    { IDENTITYD_ERROR_PREFIX "PurposeViolation", GATE_ENDED, EXIT_DENIED },
    { IDENTITYD_ERROR_PREFIX "NoSuchIdentity", GATE_ENDED, EXIT_NOT_FOUND },
    { IDENTITYD_ERROR_PREFIX "Revoked", GATE_ENDED, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "Retired", GATE_ENDED, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "NotReady", GATE_SHUT, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "Expired", GATE_SHUT, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "TpmUnavailable", GATE_SHUT, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "InvalidArgument", GATE_SHUT, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "Busy", GATE_AWAY, EXIT_OK },
    { IDENTITYD_ERROR_PREFIX "LimitsExceeded", GATE_AWAY, EXIT_OK },
    { "org.freedesktop.DBus.Error.NoReply", GATE_AWAY, EXIT_OK },
};

/* A proxy that never could be does not wait for ever; one that may be some day does. */
static void test_refusals_at_the_start(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        Fixture fixture = { 0 };
        refuse(answers[i].error);
        open_gate(&fixture, "demo");
        await_first(&fixture);
        assert_int_equal(fixture.changes[0], answers[i].state);
        assert_int_equal(gate_is_hopeless(fixture.gate), answers[i].hopeless);
        assert_non_null(gate_reason(fixture.gate)[0] ? gate_reason(fixture.gate) : NULL);
        assert_null(gate_credentials(fixture.gate));
        assert_true(workers_stop(fixture.workers, 30));
        gate_free(fixture.gate);
        workers_free(fixture.workers);
        sd_event_unref(fixture.event);
    }
}

static void test_no_such_identity(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "nobody");
    await_first(fixture);
    assert_int_equal(gate_is_hopeless(fixture->gate), EXIT_NOT_FOUND);
    assert_reason(fixture, "nobody");
}

/* It was open once: an admin who took the right away may give it back. */
static void test_access_withdrawn(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await(fixture, GATE_OPEN);
    refuse(IDENTITYD_ERROR_PREFIX "AccessDenied");
    fake_identityd_close_handles(lab.fake);
    await(fixture, GATE_ENDED);
    assert_int_equal(gate_is_hopeless(fixture->gate), EXIT_OK);
    assert_reason(fixture, "the test says no");
    /* Each refusal is an entry in identityd's journal: it is not asked again soon. */
    unsigned opened = fake_identityd_opened(lab.fake);
    lab_loop_for(fixture->event, 1200);
    assert_int_equal(fake_identityd_opened(lab.fake), opened);
}

/* ---- away and back ---- */

static void test_a_restart(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await(fixture, GATE_OPEN);
    const identityd_gnutls_credentials *before = gate_credentials(fixture->gate);
    fake_identityd_leave_bus(lab.fake);
    fake_identityd_close_handles(lab.fake);
    await(fixture, GATE_AWAY);
    assert_true(gate_reason(fixture->gate)[0] != '\0');
    fake_identityd_join_bus(lab.fake);
    await(fixture, GATE_OPEN);
    assert_ptr_equal(gate_credentials(fixture->gate), before); /* what began with them goes on */
    assert_int_equal(fixture->changes[1], GATE_AWAY);
    assert_int_equal(fixture->count, 3);
}

static void test_it_may_start_before_identityd(void **state) {
    Fixture *fixture = *state;

    fake_identityd_leave_bus(lab.fake);
    open_gate(fixture, "demo");
    await(fixture, GATE_AWAY);
    assert_int_equal(gate_is_hopeless(fixture->gate), EXIT_OK);
    fake_identityd_join_bus(lab.fake);
    await(fixture, GATE_OPEN);
}

/* identityd that was restarted has to find its TPM first: what waits for it goes on waiting, for a while. */
static void test_not_yet_after_a_restart(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await(fixture, GATE_OPEN);
    refuse(IDENTITYD_ERROR_PREFIX "TpmUnavailable");
    fake_identityd_close_handles(lab.fake);
    await(fixture, GATE_AWAY);
    lab_loop_for(fixture->event, 600);
    assert_int_equal(gate_state(fixture->gate), GATE_AWAY);
    refuse(NULL);
    await(fixture, GATE_OPEN);
}

/* It is asked again, with longer and longer pauses: 250 ms, 500 ms, 1 s. */
static void test_pauses(void **state) {
    Fixture *fixture = *state;

    refuse(IDENTITYD_ERROR_PREFIX "Busy");
    open_gate(fixture, "demo");
    lab_loop_for(fixture->event, 1400);
    assert_in_range(fake_identityd_opened(lab.fake), 2, 4);
    assert_int_equal(fixture->count, 1); /* the same as before is no news */
    refuse(NULL);
    await(fixture, GATE_OPEN);
}

/* An identity that was revoked is closed by identityd; a new enrolment opens the gate without a restart. */
static void test_after_a_revocation(void **state) {
    Fixture *fixture = *state;

    open_gate(fixture, "demo");
    await(fixture, GATE_OPEN);
    lab_set_identity(1, "revoked");
    await(fixture, GATE_ENDED);
    refuse(IDENTITYD_ERROR_PREFIX "Revoked");
    fake_identityd_close_handles(lab.fake);
    lab_loop_for(fixture->event, 400);
    assert_int_equal(gate_state(fixture->gate), GATE_ENDED);
    refuse(NULL);
    lab_set_identity(2, "ready");
    fixture->wanted_generation = 2;
    await(fixture, GATE_OPEN);
}

/* ---- answers that a real identityd would not give ---- */

static void test_wrong_answers(void **state) {
    static const FakeFault faults[] = { FAKE_FAULT_REPLY_WITHOUT_HANDLE, FAKE_FAULT_REPLY_PIPE,
                                        FAKE_FAULT_REPLY_STREAM,         FAKE_FAULT_CLOSE_AT_OPEN,
                                        FAKE_FAULT_WRONG_IDENTITY,       FAKE_FAULT_WRONG_PURPOSE };

    for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
        Fixture fixture = { 0 };
        fake_identityd_set_fault(lab.fake, faults[i]);
        open_gate(&fixture, "demo");
        lab_loop_for(fixture.event, 150);
        assert_int_not_equal(gate_state(fixture.gate), GATE_OPEN);
        fake_identityd_set_fault(lab.fake, FAKE_FAULT_NONE);
        await(&fixture, GATE_OPEN);
        assert_true(workers_stop(fixture.workers, 30));
        gate_free(fixture.gate);
        workers_free(fixture.workers);
        sd_event_unref(fixture.event);
    }
}

static void test_nothing_to_free(void **state) {
    assert_null(gate_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_before_the_answer),
        TEST(test_open),
        TEST(test_a_new_generation),
        TEST(test_states),
        TEST(test_shut_for_another_reason),
        TEST(test_refusals_at_the_start),
        TEST(test_no_such_identity),
        TEST(test_access_withdrawn),
        TEST(test_a_restart),
        TEST(test_it_may_start_before_identityd),
        TEST(test_not_yet_after_a_restart),
        TEST(test_pauses),
        TEST(test_after_a_revocation),
        TEST(test_wrong_answers),
        cmocka_unit_test(test_nothing_to_free),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
