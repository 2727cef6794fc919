/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What survives a restart, and what a state file that cannot be written or read means. */
#include "identity/record.h"

#include "tests/unit/device/certify.h"

#include <sys/stat.h>

static const Duty *const table[] = { &loading_duty, NULL };

static Identity *start(void **state) {
    return machine_start_alone(*state, "", table);
}

static Identity *restart(void **state) {
    machine_stop(*state);
    return start(state);
}

static void test_before_load(void **state) {
    Machine *machine = *state;
    _cleanup_(identity_free_p) Identity *identity = NULL;

    machine_start_parts(machine, table);
    assert_int_equal(identity_new(&machine->context, "x", &identity), 0);
    assert_null(identity_store(identity));
    assert_int_equal(identity_save(identity), -ENODATA);
    assert_string_equal(identity_error(identity), "");
    assert_false(identity_is_retired(identity));
    assert_int_equal(identity_attempts(identity)->failures, 0);
}

static void test_survives(void **state) {
    Identity *identity = start(state);
    const Attempts attempts = { .failures = 7, .next = { INSTANT_AT, 1234567890 }, .last_success = 1234567000 };
    const IdentityRevocation revocation = { false, true, 1234560000 };

    identity_set_attempts(identity, &attempts);
    assert_int_equal(identity_flush(identity) & CHANGED_PROPERTIES, CHANGED_PROPERTIES);
    identity_set_revocation(identity, &revocation);
    identity_set_host_name(identity, "host.example");
    identity_set_clock_floor(identity, 1700000000);
    identity_set_error(identity, "it failed.");
    identity_set_settings(identity, "abc");
    assert_int_equal(identity_save(identity), 0);
    identity = restart(state);
    assert_int_equal(identity_attempts(identity)->failures, 7);
    assert_int_equal(identity_attempts(identity)->next.kind, INSTANT_AT);
    assert_int_equal(identity_attempts(identity)->next.seconds, 1234567890);
    assert_int_equal(identity_attempts(identity)->last_success, 1234567000);
    assert_true(identity_revocation(identity).hold);
    assert_false(identity_revocation(identity).revoked);
    assert_int_equal(identity_revocation(identity).at, 1234560000);
    assert_string_equal(identity_host_name(identity), "host.example");
    assert_int_equal(identity_clock_floor(identity), 1700000000);
    assert_string_equal(identity_error(identity), "it failed.");
    assert_string_equal(identity_settings(identity), "abc");
}

/* Setters change what is in memory; identity_save writes it. */
static void test_not_saved(void **state) {
    Identity *identity = start(state);

    identity_set_host_name(identity, "host.example");
    identity_set_settings(identity, "abc");
    identity = restart(state);
    assert_string_equal(identity_host_name(identity), "");
    assert_string_equal(identity_settings(identity), "");
}

static void test_never_and_at_once(void **state) {
    Identity *identity = start(state);
    Attempts attempts = { .failures = 1, .next = instant_never(), .last_success = 0 };

    identity_set_attempts(identity, &attempts);
    assert_int_equal(identity_save(identity), 0);
    identity = restart(state);
    assert_int_equal(identity_attempts(identity)->next.kind, INSTANT_NEVER);
    attempts.next = instant_at_once();
    identity_set_attempts(identity, &attempts);
    assert_int_equal(identity_save(identity), 0);
    identity = restart(state);
    assert_true(instant_is_due(identity_attempts(identity)->next, identity_now(identity)));
}

/* Longer than there is room for: cut, and a state file that can be read again. */
static void test_long_texts(void **state) {
    Identity *identity = start(state);
    char text[2000];

    memset(text, 'e', sizeof text - 1U);
    text[sizeof text - 1U] = '\0';
    identity_set_error(identity, text);
    identity_set_host_name(identity, text);
    identity_set_settings(identity, text);
    size_t error = strlen(identity_error(identity)), host = strlen(identity_host_name(identity));
    assert_true(error > 500 && error < sizeof((StoredState *) NULL)->last_error);
    assert_int_equal(identity_save(identity), 0);
    identity = restart(state);
    assert_int_equal(strlen(identity_error(identity)), error);
    assert_int_equal(strlen(identity_host_name(identity)), host);
    assert_int_equal(strlen(identity_settings(identity)), 64);
}

/* What a CA or a file said may be no text: nothing of it reaches a terminal or the bus. */
static void test_error_is_clean(void **state) {
    Identity *identity = start(state);

    (void) identity_flush(identity);
    identity_set_error(identity, "a\nb\x1b[2J\xff");
    assert_null(strpbrk(identity_error(identity), "\n\x1b\xff"));
    assert_int_equal(identity_flush(identity), CHANGED_PROPERTIES);
    identity_set_error(identity, "a\nb\x1b[2J\xff"); /* the same again is no change */
    assert_int_equal(identity_flush(identity), 0);
    identity_set_error(identity, NULL);
    assert_string_equal(identity_error(identity), "");
    assert_int_equal(identity_flush(identity), CHANGED_PROPERTIES);
}

static void spoil_state(Machine *machine) {
    (void) unlink(machine_path(machine, "state/x/state"));
    assert_int_equal(mkdir(machine_path(machine, "state/x/state"), 0700), 0);
}

static void test_not_written(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Failure failure = FAILURE_INIT;

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    spoil_state(machine);
    assert_true(identity_save(identity) < 0);
    machine_expect_log(machine, "error: x: ", 1);
    /* A retirement that cannot be noted leaves all as it is. */
    assert_true(identity_retire(identity, &failure) < 0);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    assert_false(identity_is_retired(identity));
    assert_int_equal(identity_generation(identity), 1);
    assert_int_equal(record_of_generation(identity), 1);
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_int_equal(access(machine_path(machine, "state/x/generations/1/key.pem"), F_OK), 0);
}

/* A file that cannot be read just now, or that a later version wrote, is not overwritten. */
static void test_not_read(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    machine_stop(machine);
    assert_int_equal(rename(machine_path(machine, "state/x"), machine_path(machine, "state/aside")), 0);
    assert_int_equal(symlink("/nowhere/at/all", machine_path(machine, "state/x")), 0);
    identity = start(state);
    assert_null(identity_store(identity));
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    assert_non_null(strstr(identity_error(identity), "state/x cannot be opened"));
    machine_expect_log(machine, "It is tried again.", 1);
    assert_int_equal(identity_save(identity), -ENODATA);
    assert_int_equal(unlink(machine_path(machine, "state/x")), 0);
    assert_int_equal(rename(machine_path(machine, "state/aside"), machine_path(machine, "state/x")), 0);
    identity_load(identity);
    assert_int_equal(identity_state(identity), STATE_READY);
}

/* One that is damaged counts on the side of caution: what may have been revoked does not sign. */
static void test_damaged(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Attempts attempts = { .failures = 7, .last_success = 1234567000 };

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    identity_set_attempts(identity, &attempts);
    assert_int_equal(identity_save(identity), 0);
    machine_stop(machine);
    machine_write(machine, "state/x/state", "nonsense\n");
    identity = start(state);
    machine_expect_log(machine, ". What can be read of it counts, on the side of caution: it is on hold until the CA",
                       1);
    assert_int_equal(identity_generation(identity), 1);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
    assert_true(identity_revocation(identity).hold);
    assert_int_equal(identity_attempts(identity)->failures, 0);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL }); /* a new key leads out */
    assert_int_equal(identity_state(identity), STATE_READY);
    identity = restart(state);
    assert_int_equal(identity_state(identity), STATE_READY);
    machine_expect_log(machine, "What can be read of it counts", 1); /* it was written anew */
}

/* What of_generation is: the generation that the record is about, and of a retired one the highest that there was. */
static void test_of_generation(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    Failure failure = FAILURE_INIT;

    assert_int_equal(record_of_generation(identity), 0);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_int_equal(record_of_generation(identity), 2);
    assert_int_equal(record_last_generation(identity), 2);
    assert_int_equal(identity_retire(identity, &failure), 0);
    assert_true(identity_is_retired(identity));
    assert_int_equal(record_of_generation(identity), 2);
    assert_int_equal(identity_save(identity), 0);
    assert_int_equal(record_of_generation(identity), 2);
    identity = restart(state);
    assert_int_equal(record_of_generation(identity), 2);
    assert_int_equal(machine_certify(machine, identity, &(Certified) { .ca = NULL }), 3); /* never used twice */
    assert_false(identity_is_retired(identity));
    assert_int_equal(record_of_generation(identity), 3);
}

/* A new generation leads out of `revoked`, a hold and `retired`. */
static void test_committed(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const IdentityRevocation revoked = { true, true, 5 };

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    identity_set_revocation(identity, &revoked);
    identity_evaluate(identity);
    assert_int_equal(identity_state(identity), STATE_REVOKED);
    (void) identity_flush(identity);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_false(identity_revocation(identity).revoked || identity_revocation(identity).hold);
    assert_int_equal(identity_revocation(identity).at, 0);
    assert_true(identity_flush(identity) & CHANGED_WAY_OUT);
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    assert_false(identity_flush(identity) & CHANGED_WAY_OUT);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_before_load), TEST(test_survives),       TEST(test_not_saved),   TEST(test_never_and_at_once),
        TEST(test_long_texts),  TEST(test_error_is_clean), TEST(test_not_written), TEST(test_not_read),
        TEST(test_damaged),     TEST(test_of_generation),  TEST(test_committed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
