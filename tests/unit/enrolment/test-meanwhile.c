/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The enrolment duty on a whole device: what happens to an attempt when something else does meanwhile. */
#include "enrolment/enrolment.h"

#include "enrolment/asked.h"
#include "tests/unit/enrolment/scenes.h"

#include <sys/stat.h>

static void reload(Machine *machine) {
    Failure failure = FAILURE_INIT;

    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    machine_settle(machine);
}

/* ---- meanwhile ---- */

static void revoke_x(Machine *machine) {
    const IdentityRevocation revoked = { true, false, 5 };

    identity_set_revocation(x_of(machine), &revoked);
    identity_evaluate(x_of(machine));
    machine_settle(machine);
}

static void test_revoked_in_the_middle(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };
    Answer answer = { .calls = 0 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &hold);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    const EnrollerJob *job = machine_await_job(machine, 2);
    revoke_x(machine);
    assert_int_equal(answer.calls, 1);
    expect_failure(&answer.failure, FAILURE_REVOKED, "x was revoked by the CA while it was renewed.");
    assert_false(job->is_open);
    assert_int_equal(identity_state(x_of(machine)), STATE_REVOKED);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
    assert_false(access(machine_path(machine, "state/x/pending/key.pem"), F_OK) == 0);
    machine_pass(machine, 20000); /* and nothing comes by itself */
    assert_int_equal(enroller_count(machine->enroller), 2);
}

/* What was begun with a new key leads out of `revoked`, and goes on. */
static void test_revoked_during_an_enrolment(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD }, usual = { .kind = REPLY_USUAL };
    Answer answer = { .calls = 0 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &hold);
    asked_enroll(x_of(machine), true, answer_done, &answer);
    EnrollerJob *job = machine_await_job(machine, 2);
    revoke_x(machine);
    assert_int_equal(answer.calls, 0);
    enroller_reply(job, &usual);
    machine_until(machine, answer.calls == 1);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
    machine_await_state(machine, "x", STATE_READY);
    assert_int_equal(identity_generation(x_of(machine)), 2);
}

/* A renewal that the CA has taken is none to go on with. */
static void test_revoked_after_later(void **state) {
    Machine *machine = *state;
    const Reply later = { .kind = REPLY_LATER, .seconds = 100 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &later);
    pass_to_next(machine);
    (void) machine_await_job(machine, 2);
    machine_settle(machine);
    revoke_x(machine);
    assert_false(access(machine_path(machine, "state/x/pending/key.pem"), F_OK) == 0);
    machine_pass(machine, 20000);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

static void test_after_revocation_enroll(void **state) {
    Machine *machine = *state;

    start_with_life(machine, "[Revocation]\nAfterRevocation=enroll\n", 10000);
    _cleanup_bytes_ Bytes spki = BYTES_NULL;
    assert_int_equal(bytes_copy(tpm_key_spki(identity_key(x_of(machine))), &spki), 0);
    revoke_x(machine);
    machine_pass(machine, 1000);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_ENROLL);
    assert_false(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
}

/* What is late is spread, once: a clock that is stepped again and again does not put it off again and again. */
static void test_clock_that_is_stepped(void **state) {
    Machine *machine = *state;

    start_with_life(machine, "[Renewal]\nAt=50%\nJitter=10%\n", 10000);
    clock_set(7000);
    enrolment_note_awake(x_of(machine));
    int64_t when = enrolment_when(x_of(machine)).seconds;
    assert_in_range(when - identity_now(x_of(machine)), 0, 301);
    for (int i = 1; i <= 40; i++) {
        clock_set(i % 2 ? 50 : -50);
        enrolment_note_awake(x_of(machine));
        assert_int_equal(enrolment_when(x_of(machine)).seconds, when);
    }
    clock_set(120);
    enrolment_note_awake(x_of(machine));
    assert_true(enrolment_when(x_of(machine)).seconds > when);
}

static void test_retired_in_the_middle(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };
    Answer renewal = { .calls = 0 }, retirement = { .calls = 0 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &hold);
    asked_renew(x_of(machine), -1, answer_done, &renewal);
    const EnrollerJob *job = machine_await_job(machine, 2);
    asked_retire(x_of(machine), answer_done, &retirement);
    machine_settle(machine);
    assert_int_equal(retirement.failure.kind, FAILURE_NONE);
    assert_int_equal(renewal.calls, 1);
    expect_failure(&renewal.failure, FAILURE_RETIRED, "x was retired.");
    assert_false(job->is_open);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
    machine_pass(machine, 20000);
    machine_stop(machine);
    machine_start(machine);
    machine_pass(machine, 20000);
    assert_int_equal(enroller_count(machine->enroller), 2);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
}

static void test_removed_in_the_middle(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };
    Answer answer = { .calls = 0 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &hold);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    (void) machine_await_job(machine, 2);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    reload(machine);
    assert_int_equal(answer.calls, 1);
    expect_failure(&answer.failure, FAILURE_NOT_READY, "x is no longer configured, or identityd stops.");
}

/* Between a stop and a start the configuration was changed: the request that the CA has taken is for other names. */
static void rename_while_stopped(Machine *machine, const char *key) {
    const Reply later = { .kind = REPLY_LATER, .seconds = 5000 };

    enroller_script(machine->enroller, &later);
    start(machine, "");
    (void) machine_await_job(machine, 1);
    machine_settle(machine);
    machine_stop(machine);
    machine_start(machine); /* nothing was changed: nothing is asked before its time */
    machine_settle(machine);
    unsigned before = enroller_count(machine->enroller);
    machine_expect_log(machine, "is given up", 0);
    machine_stop(machine);
    (void) mkdir(machine_path(machine, "etc/identities/x.conf.d"), 0700);
    machine_write(machine, "etc/identities/x.conf.d/name.conf", "[Identity]\n%s\n", key);
    enroller_script(machine->enroller, &later);
    machine_start(machine);
    EnrollerJob *job = machine_await_job(machine, before + 1);
    machine_expect_log(machine, "The request that the CA has taken is given up", 1);
    machine_settle(machine);
    assert_false(job->brings_request);
    machine_pass(machine, 6000);
    job = machine_await_job(machine, before + 2);
    assert_true(job->brings_request); /* now the one with the new names is gone on with */
    machine_await_state(machine, "x", STATE_READY);
}

static void test_other_subject(void **state) {
    rename_while_stopped(*state, "Subject=CN=y,O=%d");
    assert_non_null(strstr(identity_leaf(x_of(*state))->subject, "CN=y"));
}

static void test_other_alternative_name(void **state) {
    rename_while_stopped(*state, "SubjectAltName=dns:new.example");
}

static void test_stopped_in_the_middle(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };
    Answer answer = { .calls = 0 };

    start_with_life(machine, "", 10000);
    enroller_script(machine->enroller, &hold);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    (void) machine_await_job(machine, 2);
    machine_stop(machine);
    assert_int_equal(answer.calls, 1);
    expect_failure(&answer.failure, FAILURE_NOT_READY, "identityd stops.");
}

static void test_no_tpm(void **state) {
    Machine *machine = *state;

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    start(machine, "");
    machine_pass(machine, 1000);
    assert_int_equal(enroller_count(machine->enroller), 0);
    assert_int_equal(enrolment_when(x_of(machine)).kind, INSTANT_NEVER);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    machine_pass(machine, 60);
    machine_await_state(machine, "x", STATE_READY);
}

/* ---- the configuration ---- */

/* Law 7. */
static void test_settings_changed(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 5000 };

    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_settle(machine);
    reload(machine); /* nothing is another */
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_configure(machine, "x", "[Access]\ntls-client=user:root\n"); /* nothing of that */
    reload(machine);
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_configure(machine, "x", "Proxy=http://proxy.example:1\n");
    reload(machine);
    machine_expect_log(machine, "[Enrollment] or [Renewal] was changed: earlier failures count no more.", 1);
    machine_await_state(machine, "x", STATE_READY);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

/* The same where it was changed while identityd did not run. */
static void test_settings_changed_over_a_restart(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 5000 };

    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_stop(machine);
    start(machine, "Proxy=http://proxy.example:1\n");
    machine_await_state(machine, "x", STATE_READY);
    machine_expect_log(machine, "earlier failures count no more", 1);
}

static void put_off(Machine *machine) {
    const Reply later = { .kind = REPLY_LATER, .seconds = 1000 };

    enroller_script(machine->enroller, &later);
    start(machine, "");
    (void) machine_await_job(machine, 1);
    machine_settle(machine);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_WAITING);
}

static void rename_x(Machine *machine) {
    machine_write(machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=CN=renamed\n[Enrollment]\nServer=https://ca.example/.well-known/est\n"
                  "Anchors=%s/etc/ca.pem\n",
                  machine->root);
}

/* What the CA has taken is no longer what is wanted. */
static void test_renamed_after_later(void **state) {
    Machine *machine = *state;

    put_off(machine);
    rename_x(machine);
    reload(machine);
    machine_expect_log(machine, "The request that the CA has taken is given up", 1);
    machine_await_state(machine, "x", STATE_READY);
    assert_false(enroller_last(machine->enroller)->brings_request);
    assert_string_equal(identity_leaf(x_of(machine))->subject, "CN=renamed");
}

/* And so it is when a typing error came in between. */
static void test_renamed_over_a_fault(void **state) {
    Machine *machine = *state;

    put_off(machine);
    machine_configure(machine, "x", "[Weather]\n");
    reload(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_MISCONFIGURED);
    rename_x(machine);
    reload(machine);
    machine_await_state(machine, "x", STATE_READY);
    assert_string_equal(identity_leaf(x_of(machine))->subject, "CN=renamed");
}

/* A typing error that was mended loses nothing. */
static void test_fault_after_later(void **state) {
    Machine *machine = *state;

    put_off(machine);
    machine_configure(machine, "x", "[Weather]\n");
    reload(machine);
    machine_pass(machine, 2000);
    assert_int_equal(enroller_count(machine->enroller), 1);
    machine_configure(machine, "x", "");
    reload(machine);
    machine_await_state(machine, "x", STATE_READY);
    assert_true(enroller_last(machine->enroller)->brings_request);
}

static void test_manual_meanwhile(void **state) {
    Machine *machine = *state;

    put_off(machine);
    machine_configure_manual(machine, "x", "");
    reload(machine);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
    assert_int_equal(enrolment_when(x_of(machine)).kind, INSTANT_NEVER);
    assert_int_equal(enrolment_renewal_when(x_of(machine)).kind, INSTANT_NEVER);
    machine_pass(machine, 5000);
    assert_int_equal(enroller_count(machine->enroller), 1);
}

/* ---- one waits for another ---- */

static void test_authenticator_becomes_ready(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD, .identity = "y" }, usual = { .kind = REPLY_USUAL };

    enroller_script(machine->enroller, &hold);
    machine_configure(machine, "y", "");
    start(machine, "Authenticate=identity:y\n");
    EnrollerJob *job = machine_await_job(machine, 1);
    machine_settle(machine);
    assert_string_equal(job->identity, "y");
    assert_true(identity_attempts(x_of(machine))->failures >= 1);
    assert_non_null(strstr(identity_error(x_of(machine)), "x authenticates with y: y cannot sign: it has no cert"));
    enroller_reply(job, &usual);
    machine_await_state(machine, "x", STATE_READY); /* at once: no time passes */
    assert_true(enroller_last(machine->enroller)->has_client_chain);
}

/* Only who waits for it hears of it: a back-off of another reason stays. */
static void test_no_authenticator(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 5000, .identity = "x" };

    machine_configure(machine, "y", "");
    enroller_script(machine->enroller, &failure);
    start(machine, "");
    machine_until(machine, enrolment_counters(x_of(machine)).failed == 1);
    machine_await_state(machine, "y", STATE_READY);
    enrolment_authenticator_ready(x_of(machine), "y");
    machine_settle(machine);
    assert_int_equal(enroller_count_of(machine->enroller, "x", 0), 1);
}

/* The clock started behind what is certainly past: one renewal in that boot. */
static void test_boot_renewal(void **state) {
    Machine *machine = *state;
    /* By the CA's clock, which is right. */
    const Reply right = { .issue = { .starts = 200000000 - 60, .ends = 200000000 + 86400 } };

    start_with_life(machine, "", 86400);
    enroller_script(machine->enroller, &right);
    machine_pass(machine, 10000); /* later than the build, whenever that was */
    machine_stop(machine);
    clock_set(-200000000);
    machine_start(machine);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 1);
    machine_settle(machine);
    assert_true(enroller_last(machine->enroller)->time_is_floor);
    machine_stop(machine);
    machine_start(machine);
    machine_settle(machine);
    assert_int_equal(identity_generation(x_of(machine)), 2);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_revoked_in_the_middle),
        TEST(test_revoked_during_an_enrolment),
        TEST(test_revoked_after_later),
        TEST(test_after_revocation_enroll),
        TEST(test_clock_that_is_stepped),
        TEST(test_retired_in_the_middle),
        TEST(test_removed_in_the_middle),
        TEST(test_other_subject),
        TEST(test_other_alternative_name),
        TEST(test_stopped_in_the_middle),
        TEST(test_no_tpm),
        TEST(test_settings_changed),
        TEST(test_settings_changed_over_a_restart),
        TEST(test_renamed_after_later),
        TEST(test_renamed_over_a_fault),
        TEST(test_fault_after_later),
        TEST(test_manual_meanwhile),
        TEST(test_authenticator_becomes_ready),
        TEST(test_no_authenticator),
        TEST(test_boot_renewal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
