/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An identity's life: a disk that cannot be read just now, what a power cut left half done, retirement, and the set in
 * which identities find each other. */
#include "identity/identity.h"

#include "tests/unit/device/certify.h"
#include "tests/unit/device/clock.h"

#include <sys/stat.h>

static unsigned stopped;
static Failure stopped_why;

static void on_stop(Identity *identity, const Failure *why) {
    stopped++;
    stopped_why = *why;
}

static const Duty watching_duty = { .name = "watching", .stop = on_stop };
static const Duty *const table[] = { &loading_duty, &standing_duty, &watching_duty, NULL };

static Identity *start(void **state) {
    stopped = 0;
    return machine_start_alone(*state, "", table);
}

static Identity *restart(void **state) {
    machine_stop(*state);
    return start(state);
}

static Identity *start_ready(void **state) {
    Identity *identity = start(state);

    (void) machine_certify(*state, identity, &(Certified) { .ca = NULL });
    return identity;
}

/* The disk of x goes away, and comes back. */
static void take_disk(Machine *machine) {
    assert_int_equal(rename(machine_path(machine, "state/x"), machine_path(machine, "state/aside")), 0);
    machine_write(machine, "state/x", "a file");
}

static void give_disk(Machine *machine) {
    assert_int_equal(unlink(machine_path(machine, "state/x")), 0);
    assert_int_equal(rename(machine_path(machine, "state/aside"), machine_path(machine, "state/x")), 0);
}

static bool exists(Machine *machine, const char *path) {
    return access(machine_path(machine, path), F_OK) == 0;
}

/* Which failures are tried again by themselves: those that pass without anybody's doing. */
static void test_what_may_pass(void **state) {
    static const int pass[] = { EIO, EMFILE, ENFILE, ENOMEM, ESTALE, EINTR };

    for (int number = 0; number < 140; number++) {
        bool passes = false;
        for (size_t i = 0; i < ARRAY_LENGTH(pass); i++)
            passes = passes || pass[i] == number;
        assert_int_equal(error_may_pass(-number), passes);
        assert_false(error_may_pass(number));
    }
}

/* ---- life ---- */

static void test_new(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state), *other = NULL;

    assert_string_equal(identity_name(identity), "x");
    assert_ptr_equal(identity_context(identity), &machine->context);
    assert_int_equal(identity_new(&machine->context, "x", &other), 0);
    assert_true(identity_instance(other) != identity_instance(identity)); /* while a name may be given twice */
    assert_null(identity_free(other));
    assert_int_equal(stopped, 1);
    expect_failure(&stopped_why, FAILURE_NOT_READY, "x is no longer configured, or identityd stops.");
    assert_null(identity_free(NULL));
}

/* What is loaded once is not loaded again by a reload: a generation in use stays what it is. */
static void test_reload_keeps_the_generation(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const TpmKey *key = identity_key(identity);

    (void) identity_flush(identity);
    machine_write(machine, "state/x/state", "nonsense");
    identity_load(identity);
    assert_ptr_equal(identity_key(identity), key);
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_false(identity_flush(identity) & CHANGED_GENERATION);
    assert_int_equal(stopped, 0); /* what runs goes on */
}

static void test_fault_stops(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    identity_set_activity(identity, ACTIVITY_RENEWING);
    machine_configure(machine, "x", "[Weather]\n");
    identity_load(identity);
    assert_int_equal(stopped, 1);
    expect_failure(&stopped_why, FAILURE_NOT_READY, "x is out of use: ");
    assert_int_equal(identity_activity(identity), ACTIVITY_IDLE);
}

/* ---- a disk that cannot be read just now ---- */

static void test_disk_away(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    machine_stop(machine);
    take_disk(machine);
    machine_forget_log(machine);
    identity = start(state);
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    assert_null(identity_store(identity));
    assert_true(identity_error(identity)[0]);
    machine_expect_log(machine, ". It is tried again.", 1);
    assert_null(identity_fault(identity)); /* it is no fault of the configuration */
    Failure failure = FAILURE_INIT;
    assert_int_equal(identity_retire(identity, &failure), -EBADMSG);
    expect_failure(&failure, FAILURE_NOT_READY, "x cannot be retired: ");
    /* Tried again a second later, and once in a minute at last. */
    for (unsigned i = 0; i < 8; i++) {
        int64_t wait = identity_when(identity).seconds - identity_now(identity);
        assert_int_equal(identity_when(identity).kind, INSTANT_AT);
        assert_true(wait >= (i < 5 ? (1 << i) - 1 : 31) && wait <= (i < 6 ? 1 << i : 60));
        identity_run_due(identity);
        machine_expect_log(machine, "It is tried again.", i + 1); /* not before it is time */
        clock_pass(wait + 1);
        identity_run_due(identity);
        machine_expect_log(machine, "It is tried again.", i + 2);
    }
    give_disk(machine);
    clock_pass(61);
    identity_run_due(identity);
    assert_int_equal(identity_generation(identity), 1);
    assert_true(identity_flush(identity) & CHANGED_GENERATION);
    assert_int_not_equal(identity_state(identity), STATE_UNAVAILABLE);
    assert_true(identity_when(identity).kind != INSTANT_AT_ONCE);
}

/* A reload tries at once, and patience begins anew. */
static void test_disk_away_and_reload(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    machine_stop(machine);
    take_disk(machine);
    identity = start(state);
    for (unsigned i = 0; i < 5; i++) {
        clock_pass(60);
        identity_run_due(identity);
    }
    identity_load(identity);
    assert_true(identity_when(identity).seconds - identity_now(identity) <= 1);
    assert_int_equal(identity_state(identity), STATE_UNAVAILABLE);
    give_disk(machine);
    identity_load(identity);
    assert_int_not_equal(identity_state(identity), STATE_UNAVAILABLE);
    assert_int_equal(identity_generation(identity), 1);
}

/* By a clock that began in 1970, too, a second is a second. */
static void test_disk_away_and_clock_behind(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);

    machine_stop(machine);
    take_disk(machine);
    clock_set(-realtime_seconds());
    identity = start(state);
    machine_expect_log(machine, ". It is tried again.", 1);
    for (unsigned i = 0; i < 3; i++)
        identity_run_due(identity);
    machine_expect_log(machine, ". It is tried again.", 1);
    clock_pass(2);
    identity_run_due(identity);
    machine_expect_log(machine, "It is tried again.", 2);
}

/* ---- power cuts ---- */

/* The commit came through, the state file did not. */
static void test_commit_was_cut(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const IdentityRevocation revoked = { true, false, 5 };
    const Attempts attempts = { .failures = 4, .next = { INSTANT_AT, realtime_seconds() + 1000 }, .last_success = 5 };
    char *before;

    identity_set_revocation(identity, &revoked);
    identity_set_attempts(identity, &attempts);
    identity_set_error(identity, "revoked.");
    assert_int_equal(identity_save(identity), 0);
    before = machine_read(machine, "state/x/state");
    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    machine_stop(machine);
    machine_write(machine, "state/x/state", "%s", before);
    free(before);
    for (unsigned i = 0; i < 2; i++) {
        identity = restart(state);
        assert_int_equal(identity_state(identity), STATE_READY); /* it leads out of `revoked` all the same */
        assert_int_equal(identity_generation(identity), 2);
        assert_int_equal(record_of_generation(identity), 2);
        assert_int_equal(identity_attempts(identity)->failures, 0);
        assert_int_equal(identity_attempts(identity)->next.kind, INSTANT_NEVER);
        assert_string_equal(identity_error(identity), "");
    }
}

/* Marked as retired, and the files are there still. */
static void test_retirement_was_cut(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    Failure failure = FAILURE_INIT;
    char *key = machine_read(machine, "state/x/generations/1/key.pem"),
         *chain = machine_read(machine, "state/x/generations/1/chain.pem"),
         *parent = machine_read(machine, "state/x/generations/1/parent");

    assert_int_equal(identity_retire(identity, &failure), 0);
    assert_false(exists(machine, "state/x/generations/1"));
    machine_stop(machine);
    (void) mkdir(machine_path(machine, "state/x/generations"), 0700);
    assert_int_equal(mkdir(machine_path(machine, "state/x/generations/1"), 0700), 0);
    machine_write(machine, "state/x/generations/1/key.pem", "%s", key);
    machine_write(machine, "state/x/generations/1/chain.pem", "%s", chain);
    machine_write(machine, "state/x/generations/1/parent", "%s", parent);
    assert_int_equal(symlink("generations/1", machine_path(machine, "state/x/current")), 0);
    free(key);
    free(chain);
    free(parent);
    identity = start(state);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    assert_int_equal(identity_generation(identity), 0);
    assert_null(identity_key(identity));
    assert_false(exists(machine, "state/x/generations/1/key.pem"));
}

/* Retired and through: what is pending was begun after it, and stays. */
static void test_pending_after_a_retirement(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    _cleanup_(stored_pending_clear) StoredPending pending = { .reenroll = false };
    Failure failure = FAILURE_INIT;

    assert_int_equal(identity_retire(identity, &failure), 0);
    _cleanup_tpm_key_ TpmKey *key = machine_key(machine);
    assert_int_equal(tpm_key_to_pem(key, &pending.key_pem), 0);
    assert_int_equal(bytes_copy(tpm_key_parent_name(key), &pending.parent_name), 0);
    assert_int_equal(store_pending_save(identity_store(identity), &pending, &failure), 0);
    identity = restart(state);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    assert_true(exists(machine, "state/x/pending/key.pem"));
}

/* ---- adoption and the end ---- */

static void test_adopt(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    const Attempts attempts = { .failures = 3, .next = { INSTANT_AT, 5 }, .last_success = 0 };

    identity_set_attempts(identity, &attempts);
    identity_set_error(identity, "it failed.");
    (void) identity_flush(identity);
    (void) machine_certify(machine, identity, &(Certified) { .issue = { .starts = -50, .ends = 1000 } });
    assert_int_equal(identity_flush(identity) & (CHANGED_GENERATION | CHANGED_STATE | CHANGED_WAY_OUT),
                     CHANGED_GENERATION | CHANGED_STATE);
    assert_string_equal(identity_error(identity), "");
    assert_int_equal(identity_attempts(identity)->failures, 0);
    assert_int_equal(identity_attempts(identity)->next.kind, INSTANT_NEVER);
    assert_true(identity_now(identity) - identity_attempts(identity)->last_success <= 2);
    /* Its beginning is certainly past. */
    assert_int_equal(identity_clock_floor(identity), identity_leaf(identity)->not_before);
    identity = restart(state);
    assert_true(identity_attempts(identity)->last_success > 0);
}

/* Committed is committed: a state file that cannot be written is said, and the certificate is used. */
static void test_adopt_without_a_state_file(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    _cleanup_certificates_ CertificateList chain = { 0 };
    TpmKey *key = machine_key(machine);

    chain = machine_issue(machine, key, &(Certified) { .ca = NULL });
    assert_int_equal(unlink(machine_path(machine, "state/x/state")), 0);
    assert_int_equal(mkdir(machine_path(machine, "state/x/state"), 0700), 0);
    assert_true(identity_adopt(identity, 2, key, &chain) < 0);
    assert_int_equal(chain.count, 0);
    assert_int_equal(identity_generation(identity), 2);
    assert_int_equal(identity_state(identity), STATE_READY);
    machine_expect_log(machine, "state/x/state cannot be written: ", 1);
}

static void test_retire(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    const Attempts attempts = { .failures = 3, .next = { INSTANT_AT, 5 }, .last_success = 0 };
    Failure failure = FAILURE_INIT;

    identity_set_attempts(identity, &attempts);
    identity_set_activity(identity, ACTIVITY_WAITING);
    (void) identity_flush(identity);
    assert_int_equal(identity_retire(identity, &failure), 0);
    assert_int_equal(failure.kind, FAILURE_NONE);
    assert_int_equal(stopped, 1);
    expect_failure(&stopped_why, FAILURE_RETIRED, "x was retired.");
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    assert_int_equal(identity_activity(identity), ACTIVITY_IDLE);
    assert_int_equal(identity_attempts(identity)->failures, 0);
    assert_int_equal(identity_generation(identity), 0);
    assert_null(identity_key(identity));
    assert_int_equal(identity_chain(identity)->count, 0); /* nor is it shown, or asked for, any more */
    assert_null(identity_leaf(identity));
    assert_true(identity_flush(identity) & CHANGED_GENERATION);
    assert_false(exists(machine, "state/x/generations/1"));
    assert_true(exists(machine, "state/x/trust/anchors.pem")); /* trust and state stay */
    identity = restart(state);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
}

/* With the mark on the disk it is retired, whether or not every file could be deleted. */
static void test_retire_leaves_files(void **state) {
    Machine *machine = *state;
    Identity *identity = start_ready(state);
    Failure failure = FAILURE_INIT;

    machine_write(machine, "state/x/trash", "in the way");
    assert_int_equal(identity_retire(identity, &failure), 0);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    assert_null(identity_key(identity));
    assert_int_equal(unlink(machine_path(machine, "state/x/trash")), 0);
    identity = restart(state); /* and the next start ends what was begun */
    assert_int_equal(identity_state(identity), STATE_RETIRED);
    assert_false(exists(machine, "state/x/generations/1/key.pem"));
}

/* ---- the set ---- */

static void test_set(void **state) {
    static const char *const names[] = { "m", "b", "z", "a", "x0", "x-1" };
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    (void) start(state);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        machine_configure(machine, names[i], "");
        (void) machine_add(machine, names[i]);
    }
    assert_int_equal(identity_set_count(machine->set), ARRAY_LENGTH(names) + 1);
    for (size_t i = 1; i < identity_set_count(machine->set); i++)
        assert_true(strcmp(identity_name(identity_set_at(machine->set, i - 1)),
                           identity_name(identity_set_at(machine->set, i))) < 0);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        Identity *found = identity_set_find(machine->set, names[i], &failure);
        assert_non_null(found);
        assert_string_equal(identity_name(found), names[i]);
        assert_ptr_equal(identity_set_find_instance(machine->set, identity_instance(found)), found);
    }
    assert_null(identity_set_find(machine->set, "xx", &failure));
    expect_failure(&failure, FAILURE_NO_SUCH_IDENTITY,
                   "There is no identity xx; `idctl list` shows those that are configured.");
    assert_null(identity_set_find(machine->set, "", NULL));
    assert_null(identity_set_find_instance(machine->set, 0));
}

static void test_set_remove(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state);
    uint64_t instance = identity_instance(identity);

    machine_configure(machine, "y", "");
    Identity *other = machine_add(machine, "y");
    assert_ptr_equal(identity_set_remove(machine->set, 0), identity);
    assert_int_equal(stopped, 0); /* it is given back as it is */
    identity_free(identity);
    assert_null(identity_set_find_instance(machine->set, instance));
    assert_ptr_equal(identity_set_at(machine->set, 0), other);
    assert_ptr_not_equal(machine_add(machine, "x"), NULL);
    assert_null(identity_set_find_instance(machine->set, instance)); /* not one that has its name meanwhile */
    identity_set_clear(machine->set);
    assert_int_equal(identity_set_count(machine->set), 0);
    assert_int_equal(stopped, 3);
    identity_set_clear(NULL);
    assert_null(identity_set_free(NULL));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_may_pass),
        TEST(test_new),
        TEST(test_reload_keeps_the_generation),
        TEST(test_fault_stops),
        TEST(test_disk_away),
        TEST(test_disk_away_and_reload),
        TEST(test_disk_away_and_clock_behind),
        TEST(test_commit_was_cut),
        TEST(test_retirement_was_cut),
        TEST(test_pending_after_a_retirement),
        TEST(test_adopt),
        TEST(test_adopt_without_a_state_file),
        TEST(test_retire),
        TEST(test_retire_leaves_files),
        TEST(test_set),
        TEST(test_set_remove),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
