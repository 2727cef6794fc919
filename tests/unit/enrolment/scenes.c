/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How tests of the enrolment begin, and go on. */
#include "tests/unit/enrolment/scenes.h"

#include "enrolment/enrolment.h"

Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

void start(Machine *machine, const char *more) {
    machine_configure(machine, "x", more);
    machine_start(machine);
}

void start_ready(Machine *machine, const char *more) {
    start(machine, more);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
}

void start_with_life(Machine *machine, const char *more, long ends) {
    const Reply first = { .issue = { .starts = -60, .ends = ends } };

    enroller_script(machine->enroller, &first);
    start_ready(machine, more);
    assert_int_equal(enroller_count(machine->enroller), 1);
}

void pass_to_next(Machine *machine) {
    Instant when = enrolment_when(x_of(machine));

    assert_int_equal(when.kind, INSTANT_AT);
    int64_t wait = when.seconds - identity_now(x_of(machine));
    machine_pass(machine, (wait > 0 ? wait : 0) + 1);
}
