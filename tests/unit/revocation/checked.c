/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The duty with those that it needs. */
#include "tests/unit/revocation/checked.h"

static const Duty *const table[] = { &loading_duty, &standing_duty, &revocation_duty, NULL };

static Bytes kept[128]; /* what scripts borrow */
static size_t kept_count;

int checked_setup(void **state) {
    return machine_setup(state);
}

int checked_teardown(void **state) {
    int r = machine_teardown(state);

    while (kept_count > 0)
        bytes_clear(&kept[--kept_count]);
    return r;
}

Identity *start(Machine *machine, const char *more) {
    machine_configure(machine, "x", more);
    machine_start_parts(machine, table);
    return machine_add(machine, "x");
}

Identity *start_certified(Machine *machine, const char *more, FakeIssue issue) {
    Identity *identity = start(machine, more);

    (void) machine_certify(machine, identity, &(Certified) { .issue = issue });
    return identity;
}

Identity *start_with_intermediate(Machine *machine, const char *more, const FakeCa *intermediate, FakeIssue issue) {
    Identity *identity = start(machine, more);

    (void) machine_certify(machine, identity,
                           &(Certified) { .ca = intermediate, .issue = issue, .beside = intermediate->pem });
    return identity;
}

Identity *restart(Machine *machine, const char *more) {
    machine_stop(machine);
    return start(machine, more);
}

void bring(Machine *machine, Bytes statement) {
    assert_true(kept_count < ARRAY_LENGTH(kept));
    kept[kept_count++] = statement;
    const Reply reply = { .fetched = bytes_view(&statement) };
    enroller_script_fetch(machine->enroller, &reply);
}

void bring_failure(Machine *machine, const char *text) {
    const Reply reply = { .kind = REPLY_FAILURE, .text = text };

    enroller_script_fetch(machine->enroller, &reply);
}

unsigned fetches(const Machine *machine) {
    unsigned count = 0;

    for (unsigned i = 0; i < enroller_count(machine->enroller); i++)
        count += enroller_job(machine->enroller, i)->is_fetch;
    return count;
}

void await_fetches(Machine *machine, unsigned count) {
    machine_until(machine, fetches(machine) >= count);
    machine_settle(machine);
    assert_int_equal(fetches(machine), count);
}

int64_t next_in(const Identity *identity) {
    Instant when = revocation_duty.when(identity);

    assert_int_equal(when.kind, INSTANT_AT);
    return when.seconds - identity_now(identity);
}

void expect_state(const Identity *identity, IdentityState state, const char *error) {
    if (identity_state(identity) != state || !strstr(identity_error(identity), error))
        fail_msg("%s, error '%s'", identity_state_to_string(identity_state(identity)), identity_error(identity));
    if (error[0] == '\0')
        assert_string_equal(identity_error(identity), "");
}
