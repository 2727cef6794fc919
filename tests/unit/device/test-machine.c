/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* That the fixture is one: a device starts, an identity enrols with the scripted enroller, and a restart finds it. */
#include "tests/unit/device/machine.h"

#include "tests/unit/device/clock.h"

#include <time.h>

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

/* Time is the test's: a renewal comes when it is passed, and what is issued then is dated then. */
static void test_time(void **state) {
    Machine *machine = *state;
    time_t before = time(NULL);

    machine_configure(machine, "x", "");
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_pass(machine, 3000);
    assert_true(time(NULL) >= before + 3000);
    machine_until(machine, identity_generation(machine_identity(machine, "x")) == 2);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_REENROLL);
    assert_true(identity_leaf(machine_identity(machine, "x"))->not_after >= before + 3000 + 3600);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_enrolment),
        TEST(test_parts),
        TEST(test_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
