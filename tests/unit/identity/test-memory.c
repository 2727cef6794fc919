/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that runs out, at each place in turn: an identity is made as a whole or not at all, and one that could not be
 * loaded says so and tries again by itself. (The sanitizers look for what is lost on the way.) */
#include "identity/identity.h"

#include "identity/chosen.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/memory.h"

static const Duty *const table[] = { &loading_duty, &standing_duty, NULL };

static void test_new(void **state) {
    Machine *machine = *state;
    unsigned failed = 0;

    machine_start_parts(machine, table);
    for (bool fails = true; fails; failed++) {
        _cleanup_(identity_free_p) Identity *identity = NULL;
        memory_fail_after(failed);
        int r = identity_new(&machine->context, "x", &identity);
        fails = memory_is_back();
        assert_int_equal(r, fails ? -ENOMEM : 0);
        assert_int_equal(!identity, fails);
    }
    assert_true(failed > 9); /* itself, its name, six parts, the duties and what they keep */
}

static void test_set(void **state) {
    Machine *machine = *state;
    _cleanup_(identity_free_p) Identity *other = NULL;
    char *names[] = { (char *) "b", (char *) "a", NULL };

    (void) machine_start_alone(machine, "", table);
    assert_int_equal(identity_new(&machine->context, "y", &other), 0);
    memory_fail_after(0);
    assert_int_equal(identity_set_add(machine->set, other), -ENOMEM);
    assert_true(memory_is_back());
    assert_int_equal(identity_set_count(machine->set), 1);
    assert_null(identity_set_find(machine->set, "y", NULL));
    memory_fail_after(0);
    assert_int_equal(chosen_sort(machine->device, machine->set, names), -ENOMEM);
    assert_true(memory_is_back());
    assert_string_equal(names[0], "b");
}

/* Whatever could not be read for want of it: the error says so, and it is loaded again before a minute has passed. */
static void test_load(void **state) {
    Machine *machine = *state;
    unsigned out = 0;

    Identity *identity = machine_start_alone(machine, "", table);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    for (unsigned i = 0, fails = 1; fails; i++) {
        machine_stop(machine);
        machine_start_parts(machine, table);
        machine_until(machine, tpm_watch_is_ready(device_tpm(machine->device)));
        assert_int_equal(identity_new(&machine->context, "x", &identity), 0);
        assert_int_equal(identity_set_add(machine->set, identity), 0);
        memory_fail_after(i);
        identity_load(identity);
        fails = memory_is_back();
        if (identity_state(identity) != STATE_READY) {
            out++;
            assert_true(fails && identity_error(identity)[0]);
            assert_int_equal(identity_when(identity).kind, INSTANT_AT);
            clock_pass(3);
            identity_run_due(identity);
        }
        assert_int_equal(identity_state(identity), STATE_READY);
        assert_int_equal(identity_generation(identity), 1);
    }
    assert_true(out > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_new), TEST(test_set), TEST(test_load) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
