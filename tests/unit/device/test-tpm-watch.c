/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM that is there, goes, comes back, is another, and hangs: what is known of it, what is said, and when it is
 * looked at. */
#include "device/tpm-watch.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

static const Duty *const no_duties[] = { NULL };

static TpmWatch *start(void **state) {
    Machine *machine = *state;

    machine_start_parts(machine, no_duties);
    return device_tpm(machine->device);
}

/* Looks, and waits for what is seen. */
static void look(Machine *machine) {
    unsigned before = machine->looked;

    device_look_at_tpm(machine->device);
    machine_until(machine, machine->looked > before);
}

static void ignore(void *userdata) {
}

static void ignore_handle(uint64_t id, void *userdata) {
}

static void ignore_generation(const char *identity, uint32_t generation, void *userdata) {
}

static void test_before_the_first_look(void **state) {
    const DeviceCallbacks callbacks = { ignore, ignore, ignore_handle, ignore_generation, ignore_generation, NULL };
    Machine *machine = *state;
    _cleanup_(device_free_p) Device *device = NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(device_new(machine->loop, &callbacks, &device), 0);
    const TpmWatch *watch = device_tpm(device);
    assert_false(tpm_watch_has_looked(watch));
    assert_false(tpm_watch_is_ready(watch));
    assert_false(tpm_watch_is_hung(watch));
    assert_int_equal(tpm_watch_information(watch)->state, TPM_STATE_UNAVAILABLE);
    assert_int_equal(tpm_watch_parent_name(watch).size, 0);
    assert_int_equal(tpm_watch_tasks_failed(watch), 0);
    assert_int_equal(tpm_watch_require(watch, "x cannot be enrolled", &failure), -ENODEV);
    expect_failure(&failure, FAILURE_TPM_UNAVAILABLE,
                   "x cannot be enrolled without its TPM: it has not answered yet since the start.");
}

static void test_ready(void **state) {
    Machine *machine = *state;
    const TpmWatch *watch = start(state);
    const TpmInformation *tpm = tpm_watch_information(watch);
    char id[sizeof tpm->device_id];
    Failure failure = FAILURE_INIT;

    assert_true(tpm_watch_has_looked(watch));
    assert_true(tpm_watch_is_ready(watch));
    assert_int_equal(strlen(tpm->device_id), 64);
    assert_true(tpm->vendor[0] && tpm->firmware[0]);
    assert_true(tpm_watch_parent_name(watch).size > 0);
    assert_int_equal(tpm_watch_require(watch, "x", &failure), 0);
    assert_int_equal(failure.kind, FAILURE_NONE);
    machine_expect_log(machine, "The TPM is ready: ", 1);
    look(machine); /* nothing is another: nothing is said */
    machine_expect_log(machine, "The TPM", 1);
    machine_settle(machine);
    machine_pass(machine, 3600); /* and never again while all is well */
    assert_int_equal(machine->looked, 2);
    strcpy(id, tpm->device_id);
    machine_stop(machine);
    watch = start(state);
    assert_string_equal(tpm_watch_information(watch)->device_id, id);
}

/* `.device` is for the next start, and written when something in it is another. */
static void test_kept(void **state) {
    Machine *machine = *state;
    char *before, *after;
    struct stat first, second;

    (void) start(state);
    before = machine_read(machine, "state/.device");
    assert_non_null(before);
    assert_int_equal(stat(machine_path(machine, "state/.device"), &first), 0);
    look(machine);
    assert_int_equal(stat(machine_path(machine, "state/.device"), &second), 0);
    assert_int_equal(first.st_ino, second.st_ino); /* not once more */
    machine_stop(machine);

    machine_write(machine, "state/.device", "nonsense");
    (void) start(state);
    machine_expect_log(machine, "the device ID is computed anew", 1);
    after = machine_read(machine, "state/.device");
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_not_kept(void **state) {
    Machine *machine = *state;

    assert_int_equal(mkdir(machine_path(machine, "state/.device"), 0700), 0);
    const TpmWatch *watch = start(state);
    assert_true(tpm_watch_is_ready(watch));
    machine_expect_log(machine, "The device ID is not kept for the next start", 1);
}

static void test_away_and_back(void **state) {
    Machine *machine = *state;
    TpmWatch *watch = start(state);
    char id[65], vendor[65];
    Failure failure = FAILURE_INIT;

    snprintf(id, sizeof id, "%s", tpm_watch_information(watch)->device_id);
    snprintf(vendor, sizeof vendor, "%s", tpm_watch_information(watch)->vendor);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine);
    assert_false(tpm_watch_is_ready(watch));
    assert_true(tpm_watch_has_looked(watch));
    assert_int_equal(tpm_watch_information(watch)->state, TPM_STATE_UNAVAILABLE);
    assert_string_equal(tpm_watch_information(watch)->device_id, id);
    assert_string_equal(tpm_watch_information(watch)->vendor, vendor);
    assert_true(tpm_watch_problem(watch)[0]);
    assert_int_equal(tpm_watch_require(watch, "x cannot be enrolled", &failure), -ENODEV);
    expect_failure(&failure, FAILURE_TPM_UNAVAILABLE, tpm_watch_problem(watch));
    machine_expect_log(machine, ". It is tried again until it can.", 1);
    /* It is tried until it can, and that is not said each time. */
    for (unsigned i = 0; i < 4; i++) {
        unsigned before = machine->looked;
        clock_pass(60);
        machine_until(machine, machine->looked > before);
    }
    machine_expect_log(machine, "The TPM cannot be used: ", 1);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    clock_pass(60);
    machine_until(machine, tpm_watch_is_ready(watch));
    machine_expect_log(machine, "The TPM is ready: ", 2);
}

/* After 1, 2, 4 … seconds, and a minute at most. */
static void test_patience(void **state) {
    static const unsigned waits[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
    Machine *machine = *state;

    (void) start(state);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(waits); i++) {
        unsigned before = machine->looked;
        if (waits[i] > 2) {
            machine_pass(machine, waits[i] - 2);
            assert_int_equal(machine->looked, before);
            clock_pass(2);
        } else
            clock_pass(waits[i]);
        machine_until(machine, machine->looked == before + 1);
    }
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    look(machine); /* patience begins anew */
    unsigned before = machine->looked;
    clock_pass(1);
    machine_until(machine, machine->looked == before + 1);
}

static void test_replaced(void **state) {
    Machine *machine = *state;
    const TpmWatch *watch = start(state);
    _cleanup_bytes_ Bytes parent = BYTES_NULL;
    char id[65], *before = machine_read(machine, "state/.device"), *after;

    assert_int_equal(bytes_copy(tpm_watch_parent_name(watch), &parent), 0);
    snprintf(id, sizeof id, "%s", tpm_watch_information(watch)->device_id);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    look(machine);
    machine_until(machine, tpm_watch_is_ready(watch));
    assert_false(bytes_view_equal(tpm_watch_parent_name(watch), bytes_view(&parent)));
    assert_string_not_equal(tpm_watch_information(watch)->device_id, id);
    after = machine_read(machine, "state/.device");
    assert_string_not_equal(before, after); /* the next start does not bring the other chip's ID back */
    free(before);
    free(after);
}

/* One that is asked for while a look is under way comes after it, once. */
static void test_look_while_looking(void **state) {
    Machine *machine = *state;

    (void) start(state);
    for (unsigned i = 0; i < 5; i++)
        device_look_at_tpm(machine->device);
    machine_settle(machine);
    assert_int_equal(machine->looked, 3);
}

/* A look that ends as identityd does, and after which another was asked for: the thread is no more. */
static void test_stop_while_looking(void **state) {
    Machine *machine = *state;

    (void) start(state);
    device_look_at_tpm(machine->device);
    device_look_at_tpm(machine->device);
    for (unsigned i = 0; i < 100; i++) { /* it looks, and main does not hear of it */
        usleep(2000);
        if (i > 50 && signing_busy_since(device_signing(machine->device)) == 0)
            break;
    }
    machine_stop(machine);
    assert_int_equal(machine->looked, 2);
}

static void test_salt(void **state) {
    Machine *machine = *state;
    TpmWatch *watch = start(state);
    char id[65];

    snprintf(id, sizeof id, "%s", tpm_watch_information(watch)->device_id);
    tpm_watch_look(watch, "an owner");
    machine_until(machine, machine->looked == 2);
    assert_int_equal(strlen(tpm_watch_information(watch)->device_id), 64);
    assert_string_not_equal(tpm_watch_information(watch)->device_id, id);
    tpm_watch_look(watch, "an owner"); /* and the same for the look that follows */
    tpm_watch_look(watch, NULL);
    machine_settle(machine);
    assert_string_equal(tpm_watch_information(watch)->device_id, id);
}

static void test_note(void **state) {
    static const FailureKind others[] = { FAILURE_NONE,    FAILURE_INTERNAL, FAILURE_NOT_READY,
                                          FAILURE_REVOKED, FAILURE_STORAGE,  FAILURE_INVALID_ARGUMENT };
    Machine *machine = *state;
    TpmWatch *watch = start(state);
    Failure failure = { .kind = FAILURE_TPM_UNAVAILABLE, .text = "it does not answer." };

    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        const Failure other = { .kind = others[i] };
        assert_false(tpm_watch_note(watch, &other));
        tpm_watch_note_task(watch, &other);
    }
    machine_settle(machine);
    assert_int_equal(machine->looked, 1);
    assert_int_equal(tpm_watch_tasks_failed(watch), 0);

    assert_true(tpm_watch_note(watch, &failure));
    machine_until(machine, machine->looked == 2);
    /* Within the second: not at once, but at its end, and once for all that came. */
    failure.kind = FAILURE_TPM_REPLACED;
    assert_false(tpm_watch_note(watch, &failure));
    tpm_watch_note_task(watch, &failure);
    machine_settle(machine);
    assert_int_equal(machine->looked, 2);
    assert_int_equal(tpm_watch_tasks_failed(watch), 1);
    clock_pass(1);
    machine_until(machine, machine->looked == 3);
    machine_pass(machine, 10);
    assert_int_equal(machine->looked, 3);
    tpm_watch_note_task(watch, &failure);
    machine_until(machine, machine->looked == 4);
    assert_int_equal(tpm_watch_tasks_failed(watch), 2);
}

/* ---- a TPM that hangs ---- */

static void test_hung(void **state) {
    Machine *machine = *state;
    TpmWatch *watch = start(state);
    Failure failure = FAILURE_INIT;

    tpm_watch_answers(watch); /* it was not said that it hangs: nothing is */
    assert_int_equal(swtpm_suspend(machine->swtpm), 0);
    device_look_at_tpm(machine->device);
    machine_until(machine, signing_busy_since(device_signing(machine->device)) != 0);
    clock_pass(TPM_HUNG_SECONDS - 2);
    assert_false(tpm_watch_is_hung(watch));
    assert_int_equal(tpm_watch_require(watch, "x cannot be enrolled", &failure), 0);
    clock_pass(3);
    assert_true(tpm_watch_is_hung(watch));
    assert_true(tpm_watch_is_ready(watch)); /* as last seen */
    assert_int_equal(tpm_watch_require(watch, "x cannot be enrolled", &failure), -ENODEV);
    expect_failure(&failure, FAILURE_TPM_UNAVAILABLE, "x cannot be enrolled without its TPM: " TPM_HUNG_TEXT);
    assert_int_equal(machine->tpm_changed, 0); /* a question says nothing */
    tpm_watch_say_hung(watch);
    tpm_watch_say_hung(watch);
    assert_int_equal(machine->tpm_changed, 1);
    machine_expect_log(machine, "The TPM has not answered for half a minute", 1);

    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_until(machine, machine->looked == 2);
    assert_false(tpm_watch_is_hung(watch));
    tpm_watch_answers(watch);
    tpm_watch_answers(watch);
    assert_int_equal(machine->tpm_changed, 2);
    machine_expect_log(machine, "The TPM answers again", 1);
    machine_until(machine, machine->looked == 3); /* it is looked at: it may be another by now */
    tpm_watch_say_hung(watch);
    machine_expect_log(machine, "The TPM has not answered for half a minute", 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_before_the_first_look), TEST(test_ready),    TEST(test_kept),     TEST(test_not_kept),
        TEST(test_away_and_back),         TEST(test_patience), TEST(test_replaced), TEST(test_look_while_looking),
        TEST(test_stop_while_looking),    TEST(test_salt),     TEST(test_note),     TEST(test_hung),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
