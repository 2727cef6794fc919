/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enrolment duty on a whole device: what comes after each outcome, by itself and at its time. */
#include "enrolment/enrolment.h"

#include "tests/unit/enrolment/scenes.h"

/* ---- after each outcome ---- */

static void test_done(void **state) {
    Machine *machine = *state;

    start_with_life(machine, "", 10000);
    const Identity *identity = x_of(machine);
    assert_int_equal(identity_activity(identity), ACTIVITY_IDLE);
    assert_string_equal(identity_error(identity), "");
    assert_int_equal(enrolment_counters(identity).attempts, 1);
    assert_int_equal(enrolment_counters(identity).failed, 0);
    assert_null(enrolment_attempt(identity));
    /* At 66 % of its life, give or take a tenth. */
    Instant when = enrolment_renewal_when(identity);
    int64_t now = identity_now(identity);
    assert_int_equal(when.kind, INSTANT_AT);
    assert_true(when.seconds > now + 5500 && when.seconds < now + 7700);
    assert_int_equal(enrolment_when(identity).seconds, when.seconds);
    machine_pass(machine, when.seconds - now - 5);
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_pass(machine, 10);
    machine_until(machine, identity_generation(identity) == 2);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_REENROLL);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

static void test_failure(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simpleenroll: 503" };

    for (unsigned i = 0; i < 3; i++)
        enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    const Identity *identity = x_of(machine);
    assert_int_equal(identity_activity(identity), ACTIVITY_WAITING);
    assert_string_equal(identity_error(identity), "simpleenroll: 503");
    machine_expect_log(machine, "x: Enrolment attempt 1 failed (nothing is live; the next attempt is in ", 1);
    machine_expect_log(machine, " s): simpleenroll: 503", 1);
    assert_int_equal(identity_attempts(identity)->failures, 1);
    Instant when = enrolment_when(identity);
    assert_int_equal(when.kind, INSTANT_AT);
    assert_true(when.seconds > identity_now(identity) - 2 && when.seconds <= identity_now(identity) + 31);
    /* Counted over a restart. */
    machine_stop(machine);
    machine_start(machine);
    machine_settle(machine);
    assert_int_equal(identity_attempts(x_of(machine))->failures, 1);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
    assert_string_equal(identity_error(x_of(machine)), "simpleenroll: 503");
    for (unsigned i = 2; i <= 3; i++) {
        pass_to_next(machine);
        machine_until(machine, identity_attempts(x_of(machine))->failures == i);
    }
    pass_to_next(machine);
    machine_await_state(machine, "x", STATE_READY);
    assert_string_equal(identity_error(x_of(machine)), "");
    assert_int_equal(identity_attempts(x_of(machine))->failures, 0);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
}

static void test_failed_renewal(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simplereenroll: 403", .permanent = true };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &failure);
    pass_to_next(machine);
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_expect_log(machine, "x: Renewal attempt 1 failed (the present certificate stays live; the next ", 1);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
    assert_int_equal(identity_generation(x_of(machine)), 1);
    pass_to_next(machine);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
}

/* Law 3: what the CA said about when to come again. */
static void test_retry_after(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 3000 };

    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    Instant when = enrolment_when(x_of(machine));
    assert_true(when.seconds >= identity_now(x_of(machine)) + 2998);
    assert_true(when.seconds <= identity_now(x_of(machine)) + 3301);
    machine_pass(machine, 2990);
    assert_int_equal(enroller_count(machine->enroller), 1);
    pass_to_next(machine);
    machine_await_state(machine, "x", STATE_READY);
}

static void test_later(void **state) {
    Machine *machine = *state;
    const Reply later = { .kind = REPLY_LATER, .seconds = 500 };

    enroller_script(machine->enroller, &later);
    enroller_script(machine->enroller, &later);
    start(machine, "");
    machine_until(machine, identity_activity(x_of(machine)) == ACTIVITY_WAITING);
    machine_expect_log(machine, "The CA has taken the request (HTTP 202); it is asked for again in ", 1);
    assert_non_null(strstr(identity_error(x_of(machine)), "The CA has taken the request (HTTP 202)"));
    assert_int_equal(enrolment_counters(x_of(machine)).failed, 0);
    machine_pass(machine, 490);
    assert_int_equal(enroller_count(machine->enroller), 1);
    /* The next one brings it, also over a restart. */
    for (unsigned i = 2; i <= 3; i++) {
        machine_stop(machine);
        machine_start(machine);
        machine_settle(machine);
        assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
        assert_int_equal(enroller_count(machine->enroller), i - 1);
        pass_to_next(machine);
        (void) machine_await_job(machine, i);
        assert_true(enroller_last(machine->enroller)->brings_request);
        machine_settle(machine);
    }
    machine_await_state(machine, "x", STATE_READY);
}

/* A failure on the way of a request that the CA has taken does not lose it. */
static void test_later_and_a_failure(void **state) {
    Machine *machine = *state;
    const Reply later = { .kind = REPLY_LATER, .seconds = 100 }, failure = { .kind = REPLY_CLOSE };

    enroller_script(machine->enroller, &later);
    enroller_script(machine->enroller, &failure);
    start(machine, "");
    (void) machine_await_job(machine, 1);
    machine_settle(machine);
    pass_to_next(machine);
    (void) machine_await_job(machine, 2);
    machine_settle(machine);
    pass_to_next(machine);
    assert_true(machine_await_job(machine, 3)->brings_request);
    machine_await_state(machine, "x", STATE_READY);
}

static void test_early(void **state) {
    Machine *machine = *state;
    const Reply early = { .issue = { .starts = 2500, .ends = 40000 } };

    start_with_life(machine, "", 20000);
    enroller_script(machine->enroller, &early);
    pass_to_next(machine);
    (void) machine_await_job(machine, 2);
    machine_settle(machine);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
    assert_non_null(strstr(identity_error(x_of(machine)), "A certificate came that begins at "));
    assert_int_equal(identity_generation(x_of(machine)), 1);
    for (unsigned i = 0; i < 2; i++) { /* it waits, over a restart too, and nobody is asked meanwhile */
        machine_stop(machine);
        machine_start(machine);
        machine_settle(machine);
        machine_pass(machine, 1000);
        assert_int_equal(identity_generation(x_of(machine)), 1);
        assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
    }
    machine_pass(machine, 600);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 2);
    assert_string_equal(identity_error(x_of(machine)), "");
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
}

/* ---- the end ---- */

/* Law 8: at the instant of the end, with the identity's own [Enrollment] Authenticate=, whatever was planned. */
static void test_end(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 500000 };

    machine_write(machine, "credentials/c", "hush");
    start_with_life(machine, "Authenticate=credential:c\nUser=me\n", 10000);
    for (unsigned i = 0; i < 40; i++)
        enroller_script(machine->enroller, &failure);
    machine_pass(machine, 9000);
    while (identity_state(x_of(machine)) == STATE_READY) {
        unsigned before = enroller_count(machine->enroller);
        machine_pass(machine, 50);
        if (identity_state(x_of(machine)) == STATE_READY && enroller_count(machine->enroller) > before)
            assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_REENROLL);
    }
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    machine_settle(machine);
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_ENROLL);
    assert_string_equal(job->password, "hush");
    assert_false(job->has_client_chain); /* an ended certificate authenticates nothing */
    assert_true(job->time > identity_leaf(x_of(machine))->not_after);
}

/* What was planned while the clock was elsewhere is no plan, and what failed then says nothing now. */
static void test_of_another_time(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .text = "simpleenroll: 500", .seconds = 500000 };

    clock_set(50 * 86400);
    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_settle(machine);
    assert_string_equal(identity_error(x_of(machine)), "simpleenroll: 500");
    machine_stop(machine);
    clock_set(-50 * 86400);
    (void) unlink(machine_path(machine, "runtime/.clock"));
    const Reply hold = { .kind = REPLY_HOLD };
    enroller_script(machine->enroller, &hold);
    machine_start(machine);
    (void) machine_await_job(machine, 2);
    assert_string_equal(identity_error(x_of(machine)), "");
    assert_int_equal(identity_attempts(x_of(machine))->failures, 0);
}

/* By how much a renewal came after it was due: the next one is reckoned by that. */
static void test_late(void **state) {
    Machine *machine = *state;

    start_with_life(machine, "", 10000);
    assert_true(identity_attempts(x_of(machine))->late == 0); /* there was none that it could have been late for */
    Instant due = enrolment_renewal_when(x_of(machine));
    assert_int_equal(due.kind, INSTANT_AT);
    machine_pass(machine, due.seconds - identity_now(x_of(machine)) + 100);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    machine_settle(machine);
    assert_true(identity_attempts(x_of(machine))->late >= 100);
    assert_true(identity_attempts(x_of(machine))->last_success >= due.seconds + 100);
}

/* The clock turns out to have been wrong: what was begun for that ends, and how it went is forgotten. */
static void test_unexpired(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE }, hold = { .kind = REPLY_HOLD };

    machine_write(machine, "credentials/c", "hush");
    start_with_life(machine, "Authenticate=credential:c\n", 10000);
    enroller_script(machine->enroller, &failure);
    enroller_script(machine->enroller, &hold);
    clock_set(20000);
    identity_evaluate(x_of(machine));
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    (void) machine_await_job(machine, 2);
    machine_settle(machine);
    pass_to_next(machine);
    const EnrollerJob *job = machine_await_job(machine, 3);
    assert_non_null(enrolment_attempt(x_of(machine)));
    clock_set(-20000);
    identity_evaluate(x_of(machine));
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
    assert_null(enrolment_attempt(x_of(machine)));
    assert_false(job->is_open);
    assert_int_equal(identity_attempts(x_of(machine))->failures, 0);
    assert_string_equal(identity_error(x_of(machine)), "");
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_done),        TEST(test_failure),   TEST(test_failed_renewal),
        TEST(test_retry_after), TEST(test_later),     TEST(test_later_and_a_failure),
        TEST(test_early),       TEST(test_end),       TEST(test_of_another_time),
        TEST(test_late),        TEST(test_unexpired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
