/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A look at the CA without enrolling: what it says, and that it leaves no trace. */
#include "enrolment/inquiry.h"

#include "tests/unit/enrolment/scenes.h"

static const Reply hold = { .kind = REPLY_HOLD }, usual = { .kind = REPLY_USUAL };

static void test_answer(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    start_ready(machine, "");
    inquiry_start(x_of(machine), answer_done, &answer);
    assert_int_equal(answer.calls, 0);
    machine_until(machine, answer.calls == 1);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
    assert_non_null(strstr(answer.result, "server: https://ca.example/\nsession: TLS1.3\nanswer: "));
    assert_non_null(strstr(answer.result, "answer: 1 CA certificate: \""));
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_PROBE);
    assert_false(job->has_client_chain || job->brings_request);
    machine_settle(machine);
    assert_int_equal(answer.calls, 1);
    assert_int_equal(identity_activity(x_of(machine)), ACTIVITY_IDLE);
    assert_int_equal(identity_generation(x_of(machine)), 1);
}

/* What the CA's clock says is told, in both directions; and not, where it said nothing. */
static void test_clock(void **state) {
    static const struct {
        int64_t ahead;
        const char *line;
    } cases[] = { { 0, NULL },
                  { 61, "\nclock: 61\n" },
                  { -7200, "\nclock: -7200\n" },
                  { INT64_MIN, "\nclock: -9223372036854775808\n" } };
    Machine *machine = *state;

    start_ready(machine, "");
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const Reply reply = { .kind = REPLY_USUAL, .clock_ahead = cases[i].ahead };
        Answer answer = { .calls = 0 };
        enroller_script(machine->enroller, &reply);
        inquiry_start(x_of(machine), answer_done, &answer);
        machine_until(machine, answer.calls == 1);
        if (cases[i].line)
            assert_non_null(strstr(answer.result, cases[i].line));
        else
            assert_null(strstr(answer.result, "clock"));
    }
}

static void test_failure(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };
    const Reply failure = { .kind = REPLY_FAILURE, .text = "cacerts: the server does not verify." };

    start_ready(machine, "");
    enroller_script(machine->enroller, &failure);
    inquiry_start(x_of(machine), answer_done, &answer);
    machine_until(machine, answer.calls == 1);
    expect_failure(&answer.failure, FAILURE_ENROLLMENT_FAILED, "cacerts: the server does not verify.");
    assert_int_equal(answer.size, 0);
    assert_string_equal(identity_error(x_of(machine)), ""); /* the identity has none */
    assert_int_equal(identity_attempts(x_of(machine))->failures, 0);
}

/* It has no key to ask for. */
static void test_asks(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    start_ready(machine, "");
    enroller_script(machine->enroller, &hold);
    inquiry_start(x_of(machine), answer_done, &answer);
    enroller_send(machine_await_job(machine, 2), JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    machine_until(machine, answer.calls == 1);
    expect_failure(&answer.failure, FAILURE_ENROLLMENT_FAILED, "asked for something that its job does not allow");
}

static void test_several(void **state) {
    Machine *machine = *state;
    Answer answers[3] = { { .calls = 0 } };

    start_ready(machine, "");
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        enroller_script(machine->enroller, &hold);
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++)
        inquiry_start(x_of(machine), answer_done, &answers[i]);
    (void) machine_await_job(machine, 4);
    /* The middle one first. */
    enroller_reply(enroller_job(machine->enroller, 2), &usual);
    machine_until(machine, answers[1].calls == 1);
    machine_settle(machine);
    assert_int_equal(answers[0].calls + answers[2].calls, 0);
    enroller_reply(enroller_job(machine->enroller, 1), &usual);
    enroller_reply(enroller_job(machine->enroller, 3), &usual);
    machine_until(machine, answers[0].calls == 1 && answers[2].calls == 1);
    assert_int_equal(answers[1].calls, 1);
}

/* Who waits is told why, each of them, once. */
static void test_stopped(void **state) {
    Machine *machine = *state;
    Answer answers[2] = { { .calls = 0 } };

    start_ready(machine, "");
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        enroller_script(machine->enroller, &hold);
        inquiry_start(x_of(machine), answer_done, &answers[i]);
    }
    EnrollerJob *job = machine_await_job(machine, 3);
    assert_int_equal(identity_retire(x_of(machine), NULL), 0);
    machine_settle(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        assert_int_equal(answers[i].calls, 1);
        expect_failure(&answers[i].failure, FAILURE_RETIRED, "x was retired.");
    }
    assert_false(job->is_open);
}

static void test_refused(void **state) {
    Machine *machine = *state;
    Answer manual = { .calls = 0 }, faulty = { .calls = 0 };

    machine_configure_manual(machine, "x", "");
    machine_start(machine);
    inquiry_start(x_of(machine), answer_done, &manual);
    machine_configure(machine, "x", "[Weather]\n");
    identity_load(x_of(machine));
    inquiry_start(x_of(machine), answer_done, &faulty);
    assert_int_equal(manual.calls + faulty.calls, 0);
    machine_until(machine, manual.calls == 1 && faulty.calls == 1);
    expect_failure(&manual.failure, FAILURE_INVALID_ARGUMENT, "x has Protocol=manual: there is no server to ask.");
    expect_failure(&faulty.failure, FAILURE_NOT_READY, "x is out of use");
    assert_int_equal(enroller_count(machine->enroller), 0);
}

/* No TPM is needed to look at a server. */
static void test_without_tpm(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    machine_configure(machine, "x", "");
    machine_start(machine);
    inquiry_start(x_of(machine), answer_done, &answer);
    machine_until(machine, answer.calls == 1);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_answer),  TEST(test_clock),   TEST(test_failure), TEST(test_asks),
        TEST(test_several), TEST(test_stopped), TEST(test_refused), TEST(test_without_tpm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
