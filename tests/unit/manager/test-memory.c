/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that runs out, at each place in turn: what is asked for then fails as a whole and is said, or is done; and the
 * next time it works. (The sanitizers look for what is lost on the way.) */
#include "manager/manager.h"

#include "manager/timer.h"
#include "manager/view.h"
#include "tests/unit/device/machine.h"
#include "tests/unit/device/memory.h"

static Identity *start_ready(Machine *machine) {
    machine_configure(machine, "x", "");
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    return machine_identity(machine, "x");
}

static void test_view(void **state) {
    const Identity *identity = start_ready(*state);
    unsigned failed = 0;

    for (bool fails = true; fails; failed++) {
        _cleanup_identity_view_ IdentityView view = { .generation = 77 };
        memory_fail_after(failed);
        int r = identity_view(identity, &view);
        fails = memory_is_back();
        assert_int_equal(r, fails ? -ENOMEM : 0);
        assert_int_equal(view.generation, fails ? 77 : 1);
    }
    assert_int_equal(failed, 4); /* three lists */
}

static void nothing(void *userdata) {
}

static void test_timer(void **state) {
    static const Duty *const none[] = { NULL };
    Machine *machine = *state;
    unsigned failed = 0;

    machine_start_parts(machine, none);
    const TimerOptions options = { machine->loop, machine->set, nothing, nothing, NULL };
    for (bool fails = true; fails; failed++) {
        Timer *timer = NULL;
        memory_fail_after(failed);
        int r = timer_new(&options, &timer);
        fails = memory_is_back();
        assert_int_equal(r, fails ? -ENOMEM : 0);
        assert_int_equal(!timer, fails);
        timer_free(timer);
    }
    assert_true(failed >= 2);
}

/* What the timer needs of the loop is not to be had. */
static void test_timer_without_descriptors(void **state) {
    static const Duty *const none[] = { NULL };
    Machine *machine = *state;
    Timer *timer = NULL;

    machine_start_parts(machine, none);
    const TimerOptions without_loop = { NULL, machine->set, nothing, nothing, NULL };
    assert_true(timer_new(&without_loop, &timer) < 0);
    assert_null(timer);
}

static void test_reset_clock(void **state) {
    Identity *identity = start_ready(*state);
    const Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    memory_fail_after(0);
    assert_int_equal(manager_reset_clock(machine->manager, identity, &failure), -ENOMEM);
    assert_true(memory_is_back());
    expect_failure(&failure, FAILURE_INTERNAL, "Resetting the clock");
    assert_true(identity_clock_floor(identity) > 0);
}

/* A reload says so where it did not go to its end, and does not say so where it did. */
static void test_reload(void **state) {
    Machine *machine = *state;
    unsigned refused = 0;

    (void) start_ready(machine);
    for (unsigned i = 0, fails = 1; fails; i++) {
        Failure failure = FAILURE_INIT;
        machine_configure(machine, "y", "");
        memory_fail_after(i);
        int r = manager_reload(machine->manager, &failure);
        fails = memory_is_back();
        if (r < 0 || !identity_set_find(manager_identities(machine->manager), "y", NULL))
            assert_true(r < 0 && failure.kind != FAILURE_NONE && failure.text[0]);
        else
            assert_int_equal(failure.kind, FAILURE_NONE);
        refused += r < 0;
        assert_true(identity_set_find(manager_identities(machine->manager), "x", NULL));
        /* With memory it comes to where it would have come. */
        assert_int_equal(unlink(machine_path(machine, "etc/identities/y.conf")), 0);
        failure = FAILURE_INIT;
        assert_int_equal(manager_reload(machine->manager, &failure), 0);
        assert_null(identity_set_find(manager_identities(machine->manager), "y", NULL));
        assert_int_equal(identity_set_count(manager_identities(machine->manager)), 1);
    }
    assert_true(refused > 5);
    machine_await_state(machine, "x", STATE_READY);
}

/* A start comes up or not at all. */
static void test_new(void **state) {
    Machine *machine = *state;
    unsigned refused = 0;

    machine_configure(machine, "x", "");
    for (unsigned i = 0, fails = 1; fails; i++) {
        Manager *manager = NULL;
        memory_fail_after(i);
        int r = manager_new(machine->loop, &manager);
        fails = memory_is_back();
        assert_true(r == 0 || (r < 0 && fails));
        assert_int_equal(!manager, r < 0);
        refused += r < 0;
        manager_free(manager);
    }
    assert_true(refused > 20);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_view),        TEST(test_timer),  TEST(test_timer_without_descriptors),
        TEST(test_reset_clock), TEST(test_reload), TEST(test_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
