/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* After a revocation, on a whole device: AfterRevocation=wait waits for an admin, =enroll makes a new identity with a
 * new key by itself. */
#include "enrolment/asked.h"
#include "tests/unit/revocation/checked.h"

#include <sys/stat.h>

static Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

/* Starts with a manager and all duties, until x is ready, and lets its CA revoke it. */
static void start_and_revoke(Machine *machine, const char *more) {
    const Reply issued = { .issue = BY_CRL };

    enroller_script(machine->enroller, &issued);
    enroller_script(machine->enroller, &issued);
    bring_failure(machine, "get: 503");
    machine_configure(machine, "x", more);
    machine_start(machine);
    machine_until(machine, identity_state(x_of(machine)) == STATE_READY && revocation_failures(x_of(machine)) == 1);
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x_of(machine)), .made = -10, .next = LONG));
    bring(machine,
          CRL(.ca = machine->ca, .listed = identity_leaf(x_of(machine)), .made = 0, .next = LONG, .number = 1));
    machine_pass(machine, 36 * 60);
    machine_until(machine, machine_logged(machine, "x: ready → revoked (revoked)") == 1);
}

static void test_wait(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    start_and_revoke(machine, "[Revocation]\nCheck=crl\n");
    machine_settle(machine);
    for (unsigned i = 0; i < 5; i++)
        machine_pass(machine, 86400);
    expect_state(x_of(machine), STATE_REVOKED, "The CA has revoked CN=x");
    assert_int_equal(enroller_count_of(machine->enroller, "x", JOB_KIND_ENROLL), 1);
    asked_enroll(x_of(machine), true, answer_done, &answer);
    machine_until(machine, answer.calls > 0);
    assert_int_equal(answer.failure.kind, FAILURE_CERTIFICATE_REJECTED); /* the CA's certificate ended long ago */
}

static void test_enroll(void **state) {
    Machine *machine = *state;

    start_and_revoke(machine, "[Revocation]\nCheck=crl\nAfterRevocation=enroll\n");
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    machine_settle(machine);
    expect_state(x_of(machine), STATE_READY, "");
    assert_int_equal(enroller_count_of(machine->enroller, "x", JOB_KIND_ENROLL), 2);
    assert_false(identity_revocation(x_of(machine)).revoked);
    /* The CRL is about the one before, of another serial number; that one's key is gone. */
    assert_true(fetches(machine) >= 3);
    assert_int_equal(access(machine_path(machine, "state/x/generations/1"), F_OK), -1);
    machine_stop(machine);
    machine_start(machine);
    machine_settle(machine);
    expect_state(x_of(machine), STATE_READY, "");
    assert_int_equal(identity_generation(x_of(machine)), 2);
}

/* Where nothing authenticates it but the revoked certificate, the CA decides; where it says no, it is not asked without
 * end. */
static void test_enroll_refused(void **state) {
    Machine *machine = *state;
    const Reply refusal = { .kind = REPLY_FAILURE, .text = "simpleenroll: 403", .permanent = true };
    const Reply issued = { .issue = BY_CRL };

    enroller_script(machine->enroller, &issued);
    for (unsigned i = 0; i < 20; i++)
        enroller_script(machine->enroller, &refusal);
    bring_failure(machine, "get: 503");
    machine_configure(machine, "x", "[Revocation]\nCheck=crl\nAfterRevocation=enroll\n");
    machine_start(machine);
    machine_until(machine, identity_state(x_of(machine)) == STATE_READY && revocation_failures(x_of(machine)) == 1);
    bring(machine, CRL(.ca = machine->ca, .listed = identity_leaf(x_of(machine)), .made = -10, .next = LONG));
    machine_pass(machine, 36 * 60);
    machine_until(machine, enroller_count_of(machine->enroller, "x", JOB_KIND_ENROLL) == 2);
    machine_settle(machine);
    expect_state(x_of(machine), STATE_REVOKED, "simpleenroll: 403");
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
    machine_settle(machine);
    assert_int_equal(enroller_count_of(machine->enroller, "x", JOB_KIND_ENROLL), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, checked_setup, checked_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_wait), TEST(test_enroll), TEST(test_enroll_refused) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
