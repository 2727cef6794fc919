/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* That the fixture is one: a device starts, an identity enrols with the scripted enroller, and a restart finds it. */
#include "tests/unit/device/machine.h"

static void test_enrolment(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    assert_int_equal(enroller_count(machine->enroller), 1);
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_ENROLL);
    assert_string_equal(job->identity, "x");
    assert_false(job->has_client_chain);
    machine_expect_log(machine, "Generation 1: CN=x", 1);
    machine_forget_log(machine);
    machine_stop(machine);
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_expect_log(machine, "Generation 1", 0);
}

static void test_parts(void **state) {
    static const Duty *const duties[] = { &loading_duty, NULL };
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    machine_start_parts(machine, duties);
    (void) machine_add(machine, "x");
    machine_await_state(machine, "x", STATE_EMPTY);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_enrolment),
        TEST(test_parts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
