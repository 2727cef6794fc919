/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an enroller is sent of a job, what keeps one from being sent at all, and the time that it may take. */
#include "work/job.h"

#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

static const Duty *const no_duties[] = { NULL };

typedef struct OneJob {
    Machine *machine;
    JobOrder order; /* given away by `prepare` */
    int refusal;    /* of it: -errno */
    unsigned prepared, questions, results, failures;
    bool answers; /* what it is asked */
    Failure failure;
    Job *job;
} OneJob;

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    OneJob *one = userdata;

    one->prepared++;
    if (one->refusal < 0)
        return failure_set(ret_failure, one->refusal, FAILURE_STORAGE, "nothing to send.");
    *order = one->order;
    one->order = (JobOrder) { .socket_path = NULL };
    return 0;
}

static void on_question(const JobQuestion *question, void *userdata) {
    OneJob *one = userdata;

    one->questions++;
    if (one->answers)
        job_answer(one->job, question->type, question->serial, NULL, bytes_view_string("answer"));
}

static void on_result(JobResult *result, void *userdata) {
    OneJob *one = userdata;

    one->results++;
    one->job = job_free(one->job);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    OneJob *one = userdata;

    one->failures++;
    one->failure = *failure;
    assert_false(permanent);
    one->job = job_free(one->job);
}

static const JobCallbacks callbacks = {
    .prepare = on_turn, .question = on_question, .result = on_result, .failed = on_failed
};

static const char *const servers[] = { "https://a.example/", "https://b.example/", NULL };

static void start(Machine *machine, OneJob *one) {
    one->machine = machine;
    if (one->order.request.kind == 0 && one->refusal == 0) {
        one->order.request = (JobRequest) { .kind = JOB_KIND_ENROLL, .identity = "x", .servers = servers, .time = 7 };
        one->order.socket_path = strdup(machine_path(machine, "runtime/enroller.socket"));
    }
    assert_int_equal(job_start(work_jobs(machine->work), JOB_LINE_ENROLLER, &callbacks, one, &one->job), 0);
    assert_int_equal(one->prepared, 0); /* nothing is called back before the loop turns */
}

static Secret *secret(const char *text) {
    Secret *secret = NULL;

    assert_int_equal(secret_new(bytes_view_string(text), &secret), 0);
    return secret;
}

static void test_all_that_is_sent(void **state) {
    static const uint8_t fingerprint[32] = { 1 };
    Machine *machine = *state;
    OneJob one = { .machine = machine };
    const Reply nothing = { .issued = "" };

    enroller_script(machine->enroller, &nothing);
    machine_start_parts(machine, no_duties);
    one.order.password = secret("hush");
    one.order.socket_path = strdup(machine_path(machine, "runtime/enroller.socket"));
    one.order.request = (JobRequest) {
        .kind = JOB_KIND_REENROLL,
        .identity = "x",
        .servers = servers,
        .server_anchors = bytes_view_string("anchors"),
        .fingerprint = fingerprint,
        .proxy = "http://proxy:1",
        .time = 12345,
        .time_is_floor = true,
        .client_chain = bytes_view_string("chain"),
        .client_algorithm = KEY_ECDSA_P256,
        .user = "user",
        .password = one.order.password,
        .request = bytes_view_string("request"),
        .allow_tls12 = true,
    };
    start(machine, &one);
    machine_until(machine, one.results == 1);
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_REENROLL);
    assert_string_equal(job->identity, "x");
    assert_string_equal(job->servers, "https://a.example/ https://b.example/");
    assert_true(job->has_server_anchors && job->has_fingerprint && job->time_is_floor && job->allow_tls12);
    assert_int_equal(job->time, 12345);
    assert_string_equal((char *) job->client_chain.data, "chain");
    assert_string_equal(job->user, "user");
    assert_string_equal(job->password, "hush");
    assert_true(job->brings_request);
    assert_string_equal((char *) job->request.data, "request");
}

static void test_little_is_sent(void **state) {
    Machine *machine = *state;
    OneJob one = { .refusal = 0 };
    const Reply hold = { .kind = REPLY_HOLD };

    machine_start_parts(machine, no_duties);
    one.order.request.user = "nobody's"; /* without a password nobody logs in */
    enroller_script(machine->enroller, &hold);
    start(machine, &one);
    machine_until(machine, enroller_count(machine->enroller) == 1 && enroller_job(machine->enroller, 0)->kind != 0);
    const EnrollerJob *job = enroller_last(machine->enroller);
    assert_int_equal(job->kind, JOB_KIND_ENROLL);
    assert_false(job->has_client_chain || job->has_server_anchors || job->has_fingerprint || job->time_is_floor ||
                 job->allow_tls12 || job->brings_request);
    assert_string_equal(job->user, "");
    assert_string_equal(job->password, "");
    one.job = job_free(one.job); /* in the middle: nobody is called, and the enroller sees the end */
    machine_until(machine, !job->is_open);
    assert_int_equal(one.results + one.failures, 0);
}

static void test_not_sent(void **state) {
    Machine *machine = *state;
    OneJob refused = { .refusal = -EIO }, too_long = { .refusal = 0 }, too_many = { .refusal = 0 };
    char path[200];
    _cleanup_bytes_ Bytes big = BYTES_NULL;

    machine_start_parts(machine, no_duties);
    start(machine, &refused);
    machine_until(machine, refused.failures == 1);
    expect_failure(&refused.failure, FAILURE_STORAGE, "nothing to send.");

    memset(path, 'x', sizeof path - 1U);
    path[sizeof path - 1U] = '\0';
    too_long.order = (JobOrder) {
        .request = { .kind = JOB_KIND_ENROLL, .identity = "x", .servers = servers, .time = 7 },
        .socket_path = strdup(path),
    };
    start(machine, &too_long);
    machine_until(machine, too_long.failures == 1);
    expect_failure(&too_long.failure, FAILURE_ENROLLMENT_FAILED, "has too long a path");

    for (unsigned i = 0; i < 400; i++)
        assert_int_equal(bytes_append(&big, bytes_view_string(path)), 0);
    too_many.order = (JobOrder) {
        .request = { .kind = JOB_KIND_ENROLL, .identity = "x", .servers = servers, .request = bytes_view(&big) },
        .socket_path = strdup(machine_path(machine, "runtime/enroller.socket")),
    };
    start(machine, &too_many);
    machine_until(machine, too_many.failures == 1);
    expect_failure(&too_many.failure, FAILURE_INTERNAL, "Writing the job for the enroller");
    assert_int_equal(enroller_count(machine->enroller), 0);
}

/* ---- what Work has ---- */

static void test_work(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };
    Failure failure = FAILURE_INIT;

    machine_start_parts(machine, no_duties);
    assert_ptr_equal(work_device(machine->work), machine->device);
    operation_answer(work_operations(machine->work), answer_done, &answer, &failure);
    machine_until(machine, answer.calls == 1);
    operation_answer(work_operations(machine->work), answer_done, &answer, &failure);
    machine_stop(machine); /* who waits still is answered at the end */
    assert_int_equal(answer.calls, 2);
}

/* ---- time ---- */

static void test_too_long(void **state) {
    Machine *machine = *state;
    OneJob one = { .refusal = 0 };
    const Reply hold = { .kind = REPLY_HOLD };

    machine_start_parts(machine, no_duties);
    enroller_script(machine->enroller, &hold);
    start(machine, &one);
    machine_until(machine, enroller_count(machine->enroller) == 1);
    machine_pass(machine, JOB_SECONDS_MAX - 5);
    assert_int_equal(one.failures, 0);
    machine_pass(machine, 6);
    assert_int_equal(one.failures, 1);
    expect_failure(&one.failure, FAILURE_ENROLLMENT_FAILED, "took longer than 300 seconds and was given up");
}

/* An enroller that asks and does not take the answer: the job fails, in a later turn than the question. */
static void test_takes_no_answer(void **state) {
    Machine *machine = *state;
    OneJob one = { .answers = true };
    const Reply hold = { .kind = REPLY_HOLD };

    machine_start_parts(machine, no_duties);
    enroller_script(machine->enroller, &hold);
    start(machine, &one);
    machine_until(machine, enroller_count(machine->enroller) == 1 && enroller_job(machine->enroller, 0)->kind != 0);
    EnrollerJob *job = enroller_last(machine->enroller);
    enroller_send(job, JOB_PACKET_CREATE_REQUEST, 0, (BytesView) { NULL, 0 });
    enroller_close(job); /* the question is in the queue still */
    machine_until(machine, one.failures == 1);
    assert_int_equal(one.questions, 1);
    expect_failure(&one.failure, FAILURE_ENROLLMENT_FAILED, "The enroller ");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_that_is_sent), TEST(test_little_is_sent),  TEST(test_not_sent), TEST(test_work),
        TEST(test_too_long),         TEST(test_takes_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
