/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs leave the loop and come back to it; threads end in time, or say that they do not. */
#include "proxy/workers.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>

#define JOBS 50U

typedef struct Work {
    Job job;
    unsigned number;
    pthread_t ran_in, done_in;
    bool signals_blocked;
    _Atomic(bool) hold; /* it runs until this is false */
    _Atomic(bool) runs;
    unsigned again; /* how often it submits itself once more */
    Workers *workers;
} Work;

static unsigned order[JOBS];
static unsigned done_count;

static void run(Job *job) {
    Work *work = (Work *) job;
    sigset_t set;

    work->ran_in = pthread_self();
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    work->signals_blocked = sigismember(&set, SIGTERM) == 1 && sigismember(&set, SIGINT) == 1;
    work->runs = true;
    while (work->hold)
        usleep(1000);
}

static void done(Job *job) {
    Work *work = (Work *) job;

    work->done_in = pthread_self();
    order[done_count % JOBS] = work->number;
    done_count++;
    if (work->again > 0) {
        work->again--;
        workers_submit(work->workers, job);
    }
}

static Work work_new(Workers *workers, unsigned number) {
    return (Work) { .job = { .run = run, .done = done }, .workers = workers, .number = number };
}

typedef struct Fixture {
    sd_event *event;
    Workers *workers;
} Fixture;

static Fixture begin(unsigned count) {
    Fixture fixture;

    done_count = 0;
    assert_true(sd_event_new(&fixture.event) >= 0);
    assert_int_equal(workers_new(fixture.event, count, &fixture.workers), 0);
    return fixture;
}

static void end(Fixture *fixture) {
    assert_true(workers_stop(fixture->workers, 10));
    assert_null(workers_free(fixture->workers));
    sd_event_unref(fixture->event);
}

/* Turns of the loop until so many were given back. */
static void loop_until(sd_event *event, unsigned count) {
    for (unsigned i = 0; done_count < count && i < 1000; i++)
        assert_true(sd_event_run(event, 100000) >= 0);
    assert_int_equal(done_count, count);
}

static void wait_until_it_runs(const Work *work) {
    for (unsigned i = 0; !work->runs && i < 10000; i++)
        usleep(1000);
    assert_true(work->runs);
}

static void test_a_job_runs_elsewhere(void **state) {
    Fixture fixture = begin(1);
    Work work = work_new(fixture.workers, 7);

    workers_submit(fixture.workers, &work.job);
    loop_until(fixture.event, 1);
    assert_int_equal(order[0], 7);
    assert_false(pthread_equal(work.ran_in, pthread_self()));
    assert_true(pthread_equal(work.done_in, pthread_self()));
    end(&fixture);
}

/* They are the loop's (signalfd), whichever thread the kernel would have chosen. */
static void test_signals_are_not_for_workers(void **state) {
    Fixture fixture = begin(1);
    Work work = work_new(fixture.workers, 0);
    sigset_t set;

    workers_submit(fixture.workers, &work.job);
    loop_until(fixture.event, 1);
    assert_true(work.signals_blocked);
    pthread_sigmask(SIG_BLOCK, NULL, &set);
    assert_int_equal(sigismember(&set, SIGTERM), 0); /* here it is as it was */
    end(&fixture);
}

static void test_first_come_first_served(void **state) {
    Fixture fixture = begin(1);
    Work works[JOBS];

    for (unsigned i = 0; i < JOBS; i++) {
        works[i] = work_new(fixture.workers, i);
        workers_submit(fixture.workers, &works[i].job);
    }
    loop_until(fixture.event, JOBS);
    for (unsigned i = 0; i < JOBS; i++)
        assert_int_equal(order[i], i);
    end(&fixture);
}

static void test_several_at_a_time(void **state) {
    Fixture fixture = begin(3);
    Work held[2] = { work_new(fixture.workers, 0), work_new(fixture.workers, 1) }, work = work_new(fixture.workers, 2);

    held[0].hold = held[1].hold = true;
    workers_submit(fixture.workers, &held[0].job);
    workers_submit(fixture.workers, &held[1].job);
    wait_until_it_runs(&held[0]);
    wait_until_it_runs(&held[1]);
    workers_submit(fixture.workers, &work.job);
    loop_until(fixture.event, 1);
    assert_int_equal(order[0], 2);
    held[0].hold = held[1].hold = false;
    loop_until(fixture.event, 3);
    end(&fixture);
}

/* So that many that are done at once do not keep the loop from its sockets. */
static void test_one_is_given_back_a_turn(void **state) {
    Fixture fixture = begin(2);
    Work works[3];

    for (unsigned i = 0; i < ARRAY_LENGTH(works); i++) {
        works[i] = work_new(fixture.workers, i);
        workers_submit(fixture.workers, &works[i].job);
    }
    for (unsigned i = 0; i < ARRAY_LENGTH(works); i++)
        wait_until_it_runs(&works[i]);
    usleep(50000); /* for the last to be put back */
    for (unsigned i = 0; i < ARRAY_LENGTH(works); i++) {
        assert_true(sd_event_run(fixture.event, 1000000) > 0);
        assert_int_equal(done_count, i + 1);
    }
    end(&fixture);
}

static void test_a_job_submits_itself_again(void **state) {
    Fixture fixture = begin(1);
    Work work = work_new(fixture.workers, 0);

    work.again = 4;
    workers_submit(fixture.workers, &work.job);
    loop_until(fixture.event, 5);
    assert_int_equal(work.again, 0);
    end(&fixture);
}

/* With a thread that is left behind nothing can be freed: as in the proxy, a process ends by _exit(). */
static void in_child(bool (*is_right)(void)) {
    int status;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0)
        _exit(is_right() ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static bool drops_what_waits(void) {
    Fixture fixture = begin(1);
    Work first = work_new(fixture.workers, 0), second = work_new(fixture.workers, 1);

    first.hold = true;
    workers_submit(fixture.workers, &first.job);
    wait_until_it_runs(&first);
    workers_submit(fixture.workers, &second.job);
    bool stopped = workers_stop(fixture.workers, 0);
    first.hold = false;
    usleep(100000);
    return !stopped && !second.runs;
}

static void test_stopping_drops_what_waits(void **state) {
    in_child(drops_what_waits);
}

static bool says_that_a_job_does_not_end(void) {
    Fixture fixture = begin(2);
    Work work = work_new(fixture.workers, 0);
    struct timespec before, after;

    work.hold = true;
    workers_submit(fixture.workers, &work.job);
    wait_until_it_runs(&work);
    clock_gettime(CLOCK_MONOTONIC, &before);
    bool stopped = workers_stop(fixture.workers, 1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    return !stopped && after.tv_sec - before.tv_sec < 5;
}

static void test_a_job_that_does_not_end(void **state) {
    in_child(says_that_a_job_does_not_end);
}

static void test_stopping_without_a_job(void **state) {
    Fixture fixture = begin(WORKERS_MAX);

    end(&fixture);
    assert_null(workers_free(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_job_runs_elsewhere),      cmocka_unit_test(test_signals_are_not_for_workers),
        cmocka_unit_test(test_first_come_first_served),   cmocka_unit_test(test_several_at_a_time),
        cmocka_unit_test(test_one_is_given_back_a_turn),  cmocka_unit_test(test_a_job_submits_itself_again),
        cmocka_unit_test(test_stopping_drops_what_waits), cmocka_unit_test(test_a_job_that_does_not_end),
        cmocka_unit_test(test_stopping_without_a_job),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
