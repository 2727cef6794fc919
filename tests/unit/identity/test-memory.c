/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that runs out, at each place in turn: an identity is made as a whole or not at all, one that could not be
 * loaded says so and tries again by itself, and what could not be listed is not said to be nothing. (The sanitizers
 * look for what is lost on the way.) */
#include "identity/identity.h"

#include "identity/chosen.h"
#include "identity/forgotten.h"
#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/memory.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

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

static void test_forgotten(void **state) {
    Machine *machine = *state;
    unsigned refused = 0;

    (void) machine_start_alone(machine, "", table);
    for (unsigned i = 0, fails = 1; fails; i++) {
        _cleanup_strings_ char **names = NULL;
        Failure listing = FAILURE_INIT, removing = FAILURE_INIT;

        assert_true(mkdir(machine_path(machine, "state/gone"), 0700) == 0 || errno == EEXIST);
        memory_fail_after(i);
        int r = forgotten_list(machine->device, machine->set, &names, &listing);
        fails = memory_is_back();
        assert_true(r == 0 ? names && strings_contain(names, "gone") : fails && !names && listing.text[0]);
        memory_fail_after(i);
        r = forgotten_remove(machine->device, machine->set, "gone", &removing);
        fails |= memory_is_back();
        if (r < 0) {
            refused++;
            assert_int_not_equal(removing.kind, FAILURE_NONE);
            assert_int_not_equal(removing.kind, FAILURE_NO_SUCH_IDENTITY);
        } else
            assert_true(access(machine_path(machine, "state/gone"), F_OK) < 0);
    }
    assert_true(refused > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_new), TEST(test_set), TEST(test_load), TEST(test_forgotten) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
