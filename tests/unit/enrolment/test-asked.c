/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Enroll, Renew and Retire: what joins what runs, what is told to come later, and each refusal. */
#include "enrolment/asked.h"

#include "enrolment/enrolment.h"
#include "tests/unit/enrolment/scenes.h"

static const Reply hold = { .kind = REPLY_HOLD }, usual = { .kind = REPLY_USUAL };

static void await_answer(Machine *machine, const Answer *answer) {
    machine_until(machine, answer->calls > 0);
    machine_settle(machine);
    assert_int_equal(answer->calls, 1);
}

static void expect_answer(Machine *machine, const Answer *answer, const char *result) {
    await_answer(machine, answer);
    if (answer->failure.kind != FAILURE_NONE)
        fail_msg("%s", answer->failure.text);
    assert_string_equal(answer->result, result);
}

static void expect_refusal(Machine *machine, const Answer *answer, FailureKind kind, const char *text) {
    assert_int_equal(answer->calls, 0); /* not from inside the call */
    await_answer(machine, answer);
    expect_failure(&answer->failure, kind, text);
}

static Bytes spki_of(const Identity *identity) {
    Bytes spki = BYTES_NULL;

    assert_int_equal(bytes_copy(tpm_key_spki(identity_key(identity)), &spki), 0);
    return spki;
}

/* ---- enrolling ---- */

static void test_enroll_joins(void **state) {
    Machine *machine = *state;
    Answer answers[3] = { { .calls = 0 } };

    enroller_script(machine->enroller, &hold);
    start(machine, "");
    EnrollerJob *job = machine_await_job(machine, 1); /* by itself */
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        asked_enroll(x_of(machine), false, answer_done, &answers[i]);
    machine_settle(machine);
    assert_int_equal(enroller_count(machine->enroller), 1);
    enroller_reply(job, &usual);
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        expect_answer(machine, &answers[i], "done");
}

static void test_enroll_again(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 }, second = { .calls = 0 };

    start_ready(machine, "[Renewal]\nRotateKey=no\n");
    _cleanup_bytes_ Bytes spki = spki_of(x_of(machine));
    asked_enroll(x_of(machine), false, answer_done, &answer);
    expect_answer(machine, &answer, "done");
    assert_int_equal(identity_generation(x_of(machine)), 2);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_ENROLL);
    assert_true(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
    asked_enroll(x_of(machine), true, answer_done, &second);
    expect_answer(machine, &second, "done");
    assert_false(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));
}

static void test_enroll_later(void **state) {
    Machine *machine = *state;
    const Reply later = { .kind = REPLY_LATER, .seconds = 500 }, failure = { .kind = REPLY_FAILURE, .text = "no." };
    Answer answer = { .calls = 0 }, second = { .calls = 0 };

    start_ready(machine, "");
    enroller_script(machine->enroller, &later);
    asked_enroll(x_of(machine), false, answer_done, &answer);
    expect_answer(machine, &answer, "pending");
    enroller_script(machine->enroller, &failure);
    asked_enroll(x_of(machine), false, answer_done, &second);
    await_answer(machine, &second);
    expect_failure(&second.failure, FAILURE_ENROLLMENT_FAILED, "no.");
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
}

/* Out of `revoked`, `retired` and a replaced TPM, always with a new key. */
static void test_ways_out(void **state) {
    Machine *machine = *state;
    const IdentityRevocation revoked = { true, false, 5 };
    Answer answers[4] = { { .calls = 0 } };

    start_ready(machine, "[Renewal]\nRotateKey=no\n");
    _cleanup_bytes_ Bytes spki = spki_of(x_of(machine));
    identity_set_revocation(x_of(machine), &revoked);
    identity_evaluate(x_of(machine));
    asked_enroll(x_of(machine), false, answer_done, &answers[0]);
    expect_answer(machine, &answers[0], "done");
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
    assert_false(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))));

    asked_retire(x_of(machine), answer_done, &answers[1]);
    await_answer(machine, &answers[1]);
    assert_int_equal(answers[1].failure.kind, FAILURE_NONE);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
    machine_expect_log(machine, "Retired: the key is deleted here.", 1);
    asked_enroll(x_of(machine), false, answer_done, &answers[2]);
    expect_answer(machine, &answers[2], "done");
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);

    machine_stop(machine);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    machine_start(machine);
    machine_until(machine, identity_is_replaced(x_of(machine)));
    asked_enroll(x_of(machine), false, answer_done, &answers[3]);
    expect_answer(machine, &answers[3], "done");
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
}

/* ---- renewing ---- */

static void test_renew(void **state) {
    Machine *machine = *state;
    static const int rotations[] = { -1, 0, 1 };

    start_ready(machine, "[Renewal]\nRotateKey=no\n");
    for (uint32_t i = 0; i < ARRAY_LENGTH(rotations); i++) {
        _cleanup_bytes_ Bytes spki = spki_of(x_of(machine));
        Answer answer = { .calls = 0 };
        asked_renew(x_of(machine), rotations[i], answer_done, &answer);
        expect_answer(machine, &answer, "done");
        assert_int_equal(identity_generation(x_of(machine)), i + 2);
        assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_REENROLL);
        assert_int_equal(bytes_view_equal(bytes_view(&spki), tpm_key_spki(identity_key(x_of(machine)))),
                         rotations[i] <= 0);
    }
}

static void test_renew_by_others(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    machine_write(machine, "credentials/c", "hush");
    start_ready(machine, "[Renewal]\nAuthenticate=credential:c\n");
    asked_renew(x_of(machine), -1, answer_done, &answer);
    expect_answer(machine, &answer, "done");
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_ENROLL);
    assert_string_equal(enroller_last(machine->enroller)->password, "hush");
}

/* Past the end by the identity's own [Enrollment] Authenticate=, with the names that it had. */
static void test_renew_expired(void **state) {
    Machine *machine = *state;
    const Reply failure = { .kind = REPLY_FAILURE, .seconds = 5000 };
    Answer answer = { .calls = 0 };

    machine_write(machine, "credentials/c", "hush");
    start_ready(machine, "Authenticate=credential:c\n");
    for (unsigned i = 0; i < 20; i++)
        enroller_script(machine->enroller, &failure);
    clock_pass(4000);
    identity_evaluate(x_of(machine));
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    await_answer(machine, &answer);
    assert_int_equal(enroller_last(machine->enroller)->kind, JOB_KIND_ENROLL);
    assert_string_equal(enroller_last(machine->enroller)->password, "hush");
}

/* ---- what runs does something else ---- */

static void test_busy(void **state) {
    Machine *machine = *state;
    Answer renewal = { .calls = 0 }, others[4] = { { .calls = 0 } };

    start_ready(machine, "[Renewal]\nRotateKey=no\n");
    enroller_script(machine->enroller, &hold);
    asked_renew(x_of(machine), -1, answer_done, &renewal);
    EnrollerJob *job = machine_await_job(machine, 2);
    asked_enroll(x_of(machine), false, answer_done, &others[0]);
    expect_refusal(machine, &others[0], FAILURE_BUSY, "x is being renewed just now; ask again when that has ended");
    asked_renew(x_of(machine), 1, answer_done, &others[1]); /* which key was asked for too */
    expect_refusal(machine, &others[1], FAILURE_BUSY, "x is being renewed just now; ask again");
    asked_renew(x_of(machine), 0, answer_done, &others[2]);
    asked_renew(x_of(machine), -1, answer_done, &others[3]);
    machine_settle(machine);
    assert_int_equal(others[2].calls + others[3].calls, 0); /* these wait for what runs */
    enroller_reply(job, &usual);
    expect_answer(machine, &renewal, "done");
    expect_answer(machine, &others[2], "done");
    expect_answer(machine, &others[3], "done");
    assert_int_equal(enroller_count(machine->enroller), 2);
}

static void test_busy_with_a_new_key(void **state) {
    Machine *machine = *state;
    Answer first = { .calls = 0 }, second = { .calls = 0 };

    start_ready(machine, "");
    enroller_script(machine->enroller, &hold);
    asked_enroll(x_of(machine), true, answer_done, &first);
    EnrollerJob *job = machine_await_job(machine, 2);
    asked_renew(x_of(machine), -1, answer_done, &second);
    expect_refusal(machine, &second, FAILURE_BUSY, "x is being enrolled just now with a new key; ask again");
    enroller_reply(job, &usual);
    expect_answer(machine, &first, "done");
}

/* x has expired, and what comes then by itself waits for the enroller, with the names of before. */
static EnrollerJob *expire(Machine *machine) {
    machine_write(machine, "credentials/c", "hush");
    start_ready(machine, "Authenticate=credential:c\n");
    enroller_script(machine->enroller, &hold);
    clock_pass(4000);
    identity_evaluate(x_of(machine));
    EnrollerJob *job = machine_await_job(machine, 2);
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    return job;
}

/* An admin asks for the names that are configured by now: what runs by itself steps aside … */
static void test_enroll_instead(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };
    const EnrollerJob *job = expire(machine);

    asked_enroll(x_of(machine), false, answer_done, &answer);
    expect_answer(machine, &answer, "done");
    assert_false(job->is_open);
    assert_int_equal(enroller_count(machine->enroller), 3);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
}

/* … but not where somebody waits for it. */
static void test_no_enrolment_instead(void **state) {
    Machine *machine = *state;
    Answer renewal = { .calls = 0 }, answer = { .calls = 0 };
    EnrollerJob *job = expire(machine);

    asked_renew(x_of(machine), -1, answer_done, &renewal);
    machine_settle(machine);
    asked_enroll(x_of(machine), false, answer_done, &answer);
    expect_refusal(machine, &answer, FAILURE_BUSY, "x is being enrolled just now");
    assert_true(job->is_open);
    enroller_reply(job, &usual);
    expect_answer(machine, &renewal, "done");
    assert_int_equal(enroller_count(machine->enroller), 2);
}

/* ---- refusals ---- */

static void test_misconfigured(void **state) {
    Machine *machine = *state;
    Answer enroll = { .calls = 0 }, renew = { .calls = 0 };

    start(machine, "[Weather]\n");
    asked_enroll(x_of(machine), true, answer_done, &enroll);
    expect_refusal(machine, &enroll, FAILURE_NOT_READY, "x is out of use");
    asked_renew(x_of(machine), -1, answer_done, &renew);
    expect_refusal(machine, &renew, FAILURE_NOT_READY, "x is out of use");
}

static void test_manual(void **state) {
    Machine *machine = *state;
    Answer enroll = { .calls = 0 }, renew = { .calls = 0 };

    machine_configure_manual(machine, "x", "");
    machine_start(machine);
    asked_enroll(x_of(machine), false, answer_done, &enroll);
    expect_refusal(machine, &enroll, FAILURE_INVALID_ARGUMENT,
                   "x has Protocol=manual: get a request with `idctl request`, have it signed, and bring the chain in");
    asked_renew(x_of(machine), -1, answer_done, &renew);
    expect_refusal(machine, &renew, FAILURE_INVALID_ARGUMENT, "x has Protocol=manual");
}

static void test_no_tpm(void **state) {
    Machine *machine = *state;
    Answer enroll = { .calls = 0 }, renew = { .calls = 0 };

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    start(machine, "");
    asked_enroll(x_of(machine), false, answer_done, &enroll);
    expect_refusal(machine, &enroll, FAILURE_TPM_UNAVAILABLE, "x cannot be enrolled without its TPM: ");
    asked_renew(x_of(machine), -1, answer_done, &renew);
    expect_refusal(machine, &renew, FAILURE_TPM_UNAVAILABLE, "x cannot be enrolled without its TPM: ");
}

static void test_no_store(void **state) {
    Machine *machine = *state;
    Answer enroll = { .calls = 0 }, retire = { .calls = 0 };

    machine_write(machine, "state/x", "in the way");
    start(machine, "");
    asked_enroll(x_of(machine), false, answer_done, &enroll);
    expect_refusal(machine, &enroll, FAILURE_STORAGE, "x cannot be enrolled: ");
    asked_retire(x_of(machine), answer_done, &retire);
    expect_refusal(machine, &retire, FAILURE_NOT_READY, "x cannot be retired: ");
}

static void test_renew_what_is_not_there(void **state) {
    Machine *machine = *state;
    Answer empty = { .calls = 0 }, retired = { .calls = 0 }, revoked = { .calls = 0 };
    const IdentityRevocation revocation = { true, false, 5 };

    enroller_script(machine->enroller, &hold);
    start(machine, "");
    EnrollerJob *job = machine_await_job(machine, 1);
    asked_renew(x_of(machine), -1, answer_done, &empty);
    expect_refusal(machine, &empty, FAILURE_NOT_READY, "x cannot sign: it has no certificate yet");
    enroller_reply(job, &usual);
    machine_await_state(machine, "x", STATE_READY);
    identity_set_revocation(x_of(machine), &revocation);
    identity_evaluate(x_of(machine));
    asked_renew(x_of(machine), -1, answer_done, &revoked);
    expect_refusal(machine, &revoked, FAILURE_REVOKED, "x cannot sign: its certificate was revoked");
    assert_int_equal(identity_retire(x_of(machine), NULL), 0);
    asked_renew(x_of(machine), -1, answer_done, &retired);
    expect_refusal(machine, &retired, FAILURE_RETIRED, "x cannot sign: it was retired");
}

/* ---- retiring ---- */

static void test_retire_leaves_files(void **state) {
    Machine *machine = *state;
    Answer retire = { .calls = 0 }, enroll = { .calls = 0 };

    start_ready(machine, "");
    machine_write(machine, "state/x/trash", "in the way");
    asked_retire(x_of(machine), answer_done, &retire);
    await_answer(machine, &retire);
    assert_int_equal(retire.failure.kind, FAILURE_STORAGE); /* who asked is told */
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
    machine_expect_log(machine, "Retired, but not everything was deleted yet: ", 1);
    /* What is left pending of before is not gone on with. */
    assert_int_equal(unlink(machine_path(machine, "state/x/trash")), 0);
    asked_enroll(x_of(machine), false, answer_done, &enroll);
    expect_answer(machine, &enroll, "done");
    assert_int_equal(identity_generation(x_of(machine)), 2);
}

static void test_retire_twice(void **state) {
    Machine *machine = *state;
    Answer first = { .calls = 0 }, second = { .calls = 0 };

    start_ready(machine, "");
    asked_retire(x_of(machine), answer_done, &first);
    asked_retire(x_of(machine), answer_done, &second);
    await_answer(machine, &first);
    await_answer(machine, &second);
    assert_int_equal(first.failure.kind, FAILURE_NONE);
    assert_int_equal(second.failure.kind, FAILURE_NONE);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
}

/* Nobody waits: nothing is called, and it is done all the same. */
static void test_nobody_waits(void **state) {
    Machine *machine = *state;

    start_ready(machine, "");
    asked_renew(x_of(machine), -1, NULL, NULL);
    machine_until(machine, identity_generation(x_of(machine)) == 2);
    asked_retire(x_of(machine), NULL, NULL);
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_enroll_joins),
        TEST(test_enroll_again),
        TEST(test_enroll_later),
        TEST(test_ways_out),
        TEST(test_renew),
        TEST(test_renew_by_others),
        TEST(test_renew_expired),
        TEST(test_busy),
        TEST(test_busy_with_a_new_key),
        TEST(test_enroll_instead),
        TEST(test_no_enrolment_instead),
        TEST(test_misconfigured),
        TEST(test_manual),
        TEST(test_no_tpm),
        TEST(test_no_store),
        TEST(test_renew_what_is_not_there),
        TEST(test_retire_leaves_files),
        TEST(test_retire_twice),
        TEST(test_nobody_waits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
