/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks of the signing thread: where each part of one runs, who is answered when the TPM hangs, and what becomes of
 * them when nobody waits any more or identityd stops. */
#include "work/tpm-task.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <stdatomic.h>

static const Duty *const no_duties[] = { NULL };

typedef struct Seen {
    _Atomic unsigned runs;
    unsigned answers, frees;
    pid_t thread;
    Failure failure;
    char order[16]; /* of the frees */
} Seen;

typedef struct Task {
    TpmTask task;
    Seen *seen;
    bool fails;
    FailureKind kind;
} Task;

static void run(Tpm *tpm, TpmTask *base) {
    const Task *task = (Task *) base;
    TpmInformation information;

    task->seen->thread = gettid();
    if (task->fails)
        (void) failure_set(&base->failure, -EIO, task->kind, "it failed.");
    else
        (void) tpm_probe(tpm, NULL, &information, &base->failure);
    task->seen->runs++;
}

static void answer(TpmTask *base, const Failure *failure) {
    const Task *task = (Task *) base;

    assert_int_equal(task->seen->frees, 0);
    task->seen->answers++;
    task->seen->failure = *failure;
}

static void free_task(TpmTask *base) {
    const Task *task = (Task *) base;

    task->seen->frees++;
    free(base);
}

static Task *make(Seen *seen, uint64_t patience) {
    Task *task = calloc(1, sizeof *task);

    assert_non_null(task);
    *task = (Task) { .task = { .run = run, .answer = answer, .free = free_task, .patience = patience }, .seen = seen };
    return task;
}

static Task *start(Machine *machine, Seen *seen, uint64_t patience) {
    Task *task = make(seen, patience);

    assert_int_equal(tpm_task_start(work_tpm_tasks(machine->work), &task->task), 0);
    return task;
}

static void test_life(void **state) {
    Machine *machine = *state;
    Seen seen = { 0 };

    machine_start_parts(machine, no_duties);
    (void) start(machine, &seen, 0);
    for (unsigned i = 0; i < 200 && seen.runs == 0; i++)
        usleep(10000);
    assert_int_equal(seen.runs, 1);
    assert_true(seen.thread != gettid());
    assert_int_equal(seen.answers, 0); /* in a later turn */
    machine_until(machine, seen.frees == 1);
    assert_int_equal(seen.answers, 1);
    assert_int_equal(seen.failure.kind, FAILURE_NONE);
    machine_pass(machine, 1000);
    assert_int_equal(seen.answers, 1);
}

static void test_failure(void **state) {
    Machine *machine = *state;
    Seen seen = { 0 };

    machine_start_parts(machine, no_duties);
    for (FailureKind kind = FAILURE_INTERNAL; kind < _FAILURE_KIND_COUNT; kind++) {
        Task *task = make(&seen, 0);
        unsigned looked = machine->looked;
        uint64_t failed = tpm_watch_tasks_failed(device_tpm(machine->device));
        bool is_of_tpm = kind == FAILURE_TPM_UNAVAILABLE || kind == FAILURE_TPM_REPLACED;

        seen = (Seen) { 0 };
        task->fails = true;
        task->kind = kind;
        clock_pass(2); /* a look a second at most */
        assert_int_equal(tpm_task_start(work_tpm_tasks(machine->work), &task->task), 0);
        machine_until(machine, seen.frees == 1);
        expect_failure(&seen.failure, kind, "it failed.");
        machine_settle(machine);
        assert_int_equal(machine->looked, looked + is_of_tpm);
        assert_int_equal(tpm_watch_tasks_failed(device_tpm(machine->device)), failed + is_of_tpm);
    }
}

static void test_forgotten(void **state) {
    Machine *machine = *state;
    Seen first = { 0 }, second = { 0 };

    machine_start_parts(machine, no_duties);
    assert_null(tpm_task_forget(NULL));
    Task *task = start(machine, &first, 0);
    (void) start(machine, &second, 0);
    assert_null(tpm_task_forget(&task->task));
    machine_until(machine, second.frees == 1 && first.frees == 1);
    assert_int_equal(first.answers, 0);
    assert_int_equal(second.answers, 1);
}

/* A failure that nobody waits for is no sign of trouble either. */
static void test_forgotten_failure(void **state) {
    Machine *machine = *state;
    Seen seen = { 0 };

    machine_start_parts(machine, no_duties);
    Task *task = make(&seen, 0);
    task->fails = true;
    task->kind = FAILURE_TPM_UNAVAILABLE;
    assert_int_equal(tpm_task_start(work_tpm_tasks(machine->work), &task->task), 0);
    (void) tpm_task_forget(&task->task);
    machine_until(machine, seen.frees == 1);
    assert_int_equal(tpm_watch_tasks_failed(device_tpm(machine->device)), 0);
}

/* The thread is in the midst of a task when identityd stops, and stays there until it has been told. */
static atomic_bool stops;

static void run_past_the_stop(Tpm *tpm, TpmTask *base) {
    while (!atomic_load(&stops))
        usleep(1000);
    usleep(500000);
    run(tpm, base);
}

static void test_stop(void **state) {
    Machine *machine = *state;
    Seen seen[4] = { 0 };
    Task *first = make(&seen[0], 0), *forgotten = NULL;

    machine_start_parts(machine, no_duties);
    first->task.run = run_past_the_stop;
    assert_int_equal(tpm_task_start(work_tpm_tasks(machine->work), &first->task), 0);
    for (size_t i = 1; i < ARRAY_LENGTH(seen); i++)
        forgotten = start(machine, &seen[i], 0);
    (void) tpm_task_forget(&forgotten->task);
    machine_until(machine, signing_busy_since(device_signing(machine->device)) != 0);
    atomic_store(&stops, true);
    machine_stop(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(seen); i++) {
        assert_int_equal(seen[i].runs, i == 0);
        assert_int_equal(seen[i].answers, i < 3);
        assert_int_equal(seen[i].frees, 1);
    }
    assert_int_equal(seen[0].failure.kind, FAILURE_NONE); /* what was begun is what it came to */
    expect_failure(&seen[1].failure, FAILURE_NOT_READY, "identityd stops.");
    expect_failure(&seen[2].failure, FAILURE_NOT_READY, "identityd stops.");
}

/* ---- a TPM that hangs ---- */

static void hang(Machine *machine) {
    assert_int_equal(swtpm_suspend(machine->swtpm), 0);
    machine_forget_log(machine);
}

static void await_busy(Machine *machine) {
    machine_until(machine, signing_busy_since(device_signing(machine->device)) != 0);
}

static void test_hung(void **state) {
    Machine *machine = *state;
    Seen seen[4] = { 0 };

    machine_start_parts(machine, no_duties);
    hang(machine);
    (void) start(machine, &seen[0], 0);
    (void) start(machine, &seen[1], 300000000);
    Task *forgotten = start(machine, &seen[2], 0);
    (void) tpm_task_forget(&forgotten->task);
    (void) start(machine, &seen[3], 0); /* waits behind the one that hangs */
    await_busy(machine);
    clock_pass(TPM_HUNG_SECONDS - 2);
    for (unsigned i = 0; i < 5; i++)
        machine_turn(machine);
    assert_int_equal(seen[0].answers + seen[3].answers, 0);
    clock_pass(4);
    machine_until(machine, seen[0].answers == 1 && seen[3].answers == 1);
    expect_failure(&seen[0].failure, FAILURE_TPM_UNAVAILABLE, TPM_HUNG_TEXT);
    expect_failure(&seen[3].failure, FAILURE_TPM_UNAVAILABLE, TPM_HUNG_TEXT);
    assert_int_equal(seen[1].answers, 0); /* it has patience */
    assert_int_equal(seen[2].answers, 0);
    assert_int_equal(seen[0].frees + seen[1].frees + seen[2].frees + seen[3].frees, 0); /* the thread has them */
    assert_int_equal(tpm_watch_tasks_failed(device_tpm(machine->device)), 2);
    machine_expect_log(machine, "The TPM has not answered for half a minute", 1);

    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_until(machine, seen[0].frees == 1 && seen[1].frees == 1 && seen[2].frees == 1 && seen[3].frees == 1);
    assert_int_equal(seen[0].answers, 1); /* what it came to is dropped */
    assert_int_equal(seen[3].answers, 1);
    assert_int_equal(seen[1].answers, 1);
    assert_int_equal(seen[1].failure.kind, FAILURE_NONE);
    machine_settle(machine);
    machine_expect_log(machine, "The TPM answers again", 1);
    assert_int_equal(tpm_watch_tasks_failed(device_tpm(machine->device)), 2);
}

static void test_end_of_patience(void **state) {
    Machine *machine = *state;
    Seen seen = { 0 };

    machine_start_parts(machine, no_duties);
    hang(machine);
    (void) start(machine, &seen, 300000000);
    await_busy(machine);
    for (unsigned i = 0; i < 9; i++) {
        clock_pass(TPM_HUNG_SECONDS);
        machine_turn(machine);
        machine_turn(machine);
        assert_int_equal(seen.answers, 0);
    }
    clock_pass(TPM_HUNG_SECONDS + 2);
    machine_until(machine, seen.answers == 1);
    expect_failure(&seen.failure, FAILURE_TPM_UNAVAILABLE, TPM_HUNG_TEXT);
    machine_expect_log(machine, "The TPM has not answered for half a minute", 1);
    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_until(machine, seen.frees == 1); /* until then the thread writes into `seen` */
}

/* Who is answered may begin another at once; that is begun and not answered in the same breath. */
typedef struct Repeating {
    Task task;
    Machine *machine;
    Seen *next;
} Repeating;

static void answer_and_start(TpmTask *base, const Failure *failure) {
    Repeating *repeating = (Repeating *) base;

    answer(base, failure);
    (void) start(repeating->machine, repeating->next, 0);
}

static void test_started_by_an_answer(void **state) {
    Machine *machine = *state;
    Seen first = { 0 }, second = { 0 };
    Repeating *repeating = calloc(1, sizeof *repeating);

    machine_start_parts(machine, no_duties);
    hang(machine);
    assert_non_null(repeating);
    repeating->task = (Task) { .task = { .run = run, .answer = answer_and_start, .free = free_task }, .seen = &first };
    repeating->machine = machine;
    repeating->next = &second;
    assert_int_equal(tpm_task_start(work_tpm_tasks(machine->work), &repeating->task.task), 0);
    await_busy(machine);
    clock_pass(TPM_HUNG_SECONDS + 2);
    machine_until(machine, first.answers == 1);
    assert_int_equal(second.answers, 0);
    clock_pass(2);
    machine_until(machine, second.answers == 1); /* the TPM hangs still */
    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_until(machine, first.frees == 1 && second.frees == 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_life), TEST(test_failure), TEST(test_forgotten),       TEST(test_forgotten_failure),
        TEST(test_stop), TEST(test_hung),    TEST(test_end_of_patience), TEST(test_started_by_an_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
