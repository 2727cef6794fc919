/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The signing thread beside its handles: jobs, signs of life, a TPM that dies, hangs and comes back, generations from
 * their first signature to their end, RSA's schemes, and the end of it all. */
#include "tests/unit/rules/tls12-transcript.h"
#include "tests/unit/signing/support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

static Answer answer;

/* ---- jobs ---- */

typedef struct Job {
    Bench *bench;
    pthread_t ran_on;
    sigset_t blocked;
    int signed_result;
    unsigned *runs, *dones;
    uint64_t busy;
    bool cancelled;
} Job;

static void run(Tpm *tpm, void *data) {
    Job *job = data;
    uint8_t signature[SIGNATURE_MAX], digest[32] = { 0 };
    size_t size;

    job->ran_on = pthread_self();
    pthread_sigmask(SIG_SETMASK, NULL, &job->blocked);
    job->busy = signing_busy_since(job->bench->signing);
    job->signed_result = tpm_key_sign(tpm, job->bench->keys[0], scheme_by_id(0x0403), (BytesView) { digest, 32 },
                                      signature, &size, NULL);
    __atomic_fetch_add(job->runs, 1, __ATOMIC_RELAXED);
}

static void done(void *data, bool cancelled) {
    Job *job = data;
    job->cancelled = cancelled;
    (*job->dones)++;
}

static void jobs_run_there_and_end_here(void **state) {
    Bench *bench = *state;
    unsigned runs = 0, dones = 0;
    Job job = { .bench = bench, .runs = &runs, .dones = &dones };

    assert_int_equal(signing_run(bench->signing, run, done, &job), 0);
    bench_wait(bench, &dones, 1);
    assert_false(job.cancelled);
    assert_int_equal(job.signed_result, 0);
    assert_false(pthread_equal(job.ran_on, pthread_self()));
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            assert_int_equal(sigismember(&job.blocked, number), 1);
    assert_true(job.busy > 0);
    assert_int_equal(signing_busy_since(bench->signing), 0);
    assert_int_equal(bench->used_count, 0); /* what jobs sign, main knows itself */
}

typedef struct TurnJob {
    Signing *signing;
    sem_t *gate;         /* the first one waits here until all is queued */
    uint64_t signatures; /* of handles, when it ran */
    unsigned *dones;
} TurnJob;

static void run_turn(Tpm *tpm, void *data) {
    TurnJob *job = data;
    SigningCounters counters;

    if (job->gate)
        sem_wait(job->gate);
    signing_counters(job->signing, &counters);
    job->signatures = counters.signatures;
}

static void done_turn(void *data, bool cancelled) {
    TurnJob *job = data;
    ++*job->dones;
}

/* Jobs and requests that wait at the same time are served by turns, whichever there are more of. */
static void jobs_and_handles_take_turns(void **state) {
    Bench *bench = *state;
    enum { JOBS = 30, REQUESTS = 8 };
    TurnJob jobs[JOBS];
    unsigned dones = 0;
    sem_t gate;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    holder_sign_message(fd, bench->keys[0], 1, "x");
    bench_settle(bench);
    sem_init(&gate, 0, 0);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (TurnJob) { bench->signing, i == 0 ? &gate : NULL, 0, &dones };
        assert_int_equal(signing_run(bench->signing, run_turn, done_turn, &jobs[i]), 0);
    }
    for (uint32_t i = 1; i <= REQUESTS; i++)
        holder_send(fd, HANDLE_SIGN_MESSAGE, i, 0, 0x0403, bytes_view_string("x"));
    sem_post(&gate);
    for (uint32_t i = 1; i <= REQUESTS; i++) {
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.serial, i);
    }
    bench_wait(bench, &dones, JOBS);
    for (unsigned i = 0; i < JOBS; i++) {
        unsigned before = (unsigned) (jobs[i].signatures - jobs[0].signatures), even = i < REQUESTS ? i : REQUESTS;
        assert_in_range(before, even > 1 ? even - 1 : 0, even + 1 < REQUESTS ? even + 1 : REQUESTS);
    }
    sem_destroy(&gate);
}

static void signs_of_life(void **state) {
    Bench *bench = *state;
    uint64_t before = signing_heartbeat(bench->signing);
    double begun = seconds();

    for (unsigned i = 0; i < 1000; i++)
        signing_ping(bench->signing);
    while (signing_heartbeat(bench->signing) == before)
        assert_true(seconds() - begun < 10);
    bench_idle(bench, 20);
    uint64_t now = signing_heartbeat(bench->signing);
    assert_true(now <= before + 1000);
    signing_ping(bench->signing);
    while (signing_heartbeat(bench->signing) == now)
        assert_true(seconds() - begun < 10);
}

static void counters_count(void **state) {
    Bench *bench = *state;
    SigningCounters before, after;
    bench_wait_handles(bench, 0);
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
    uint64_t buckets = 0;

    bench_settle(bench);
    signing_counters(bench->signing, &before);
    for (unsigned i = 0; i < 10; i++)
        holder_sign_message(fd, bench->keys[0], 1, "count me");
    holder_send(fd, HANDLE_GET_STATE, 1, 0, 0, bytes_view_string("")); /* its answer follows all counting */
    assert_true(holder_receive_answer(fd, &answer));
    answer_clear(&answer);
    signing_counters(bench->signing, &after);
    assert_int_equal(after.signatures - before.signatures, 10);
    assert_int_equal(after.refused, before.refused);
    assert_int_equal(after.handles_open, 1);
    assert_true(after.latency_sum > before.latency_sum);
    for (unsigned i = 0; i < 8; i++)
        buckets += after.latency_bucket[i] - before.latency_bucket[i];
    assert_int_equal(buckets, 10);
}

/* ---- the TPM ---- */

static void a_tpm_that_dies_and_comes_back(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
    unsigned troubles = bench->troubles;
    SigningCounters before, after;

    holder_sign_message(fd, bench->keys[0], 1, "before");
    signing_counters(bench->signing, &before);
    assert_int_equal(swtpm_kill(bench->swtpm), 0);
    for (uint32_t i = 1; i <= 5; i++) {
        holder_send(fd, HANDLE_SIGN_MESSAGE, i, 0, 0x0403, bytes_view_string("x"));
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.status, FAILURE_TPM_UNAVAILABLE);
        assert_memory_equal(answer.payload, "identity demo: ", 15);
        bench_settle(bench); /* main has heard of it */
    }
    bench_settle(bench);
    assert_int_equal(bench->troubles - troubles, 5); /* it was free to hear of each; it decides how often it looks */
    assert_int_equal(bench->last_trouble, FAILURE_TPM_UNAVAILABLE);
    signing_counters(bench->signing, &after);
    assert_int_equal(after.tpm_errors - before.tpm_errors, 5);
    assert_int_equal(after.refused, before.refused);
    assert_int_equal(swtpm_start(bench->swtpm), 0);
    holder_sign_message(fd, bench->keys[0], 1, "after");
}

static void a_tpm_that_hangs(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
    double begun = seconds();

    holder_sign_message(fd, bench->keys[0], 1, "before");
    assert_int_equal(swtpm_suspend(bench->swtpm), 0);
    holder_send(fd, HANDLE_SIGN_MESSAGE, 1, 0, 0x0403, bytes_view_string("x"));
    while (signing_busy_since(bench->signing) == 0)
        assert_true(seconds() - begun < 10);
    uint64_t since = signing_busy_since(bench->signing), beats = signing_heartbeat(bench->signing);
    for (unsigned i = 0; i < 50; i++)
        signing_ping(bench->signing);
    bench_idle(bench, 50);
    assert_true(signing_busy_since(bench->signing) == since);
    assert_true(signing_heartbeat(bench->signing) == beats);
    assert_int_equal(swtpm_resume(bench->swtpm), 0);
    assert_true(holder_receive_answer(fd, &answer));
    while (signing_heartbeat(bench->signing) == beats)
        assert_true(seconds() - begun < 10);
    holder_sign_message(fd, bench->keys[0], 1, "after");
}

/* With the switch a State says so and has more schemes; each generation's transcripts show its own certificate. */
static void tls12(void **state) {
    Bench *bench = *state;
    SigningIdentity identity = bench_identity(bench, 3);
    uint8_t message[TLS12_TRANSCRIPT_MAX];
    int fds[2];

    identity.name = "old";
    identity.generation = 1;
    identity.certificate = bytes_view_string("the first certificate");
    identity.tls12 = true;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    const SigningHandle handle = { bench->next_id++, "old", PURPOSE_TLS_CLIENT, fds[0], 0, -1 };
    assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
    assert_true(holder_receive(fds[1], &answer));
    assert_int_equal(state_value(&answer, HANDLE_STATE_TLS12).size, 1);
    BytesView schemes = state_value(&answer, HANDLE_STATE_SCHEMES);
    assert_true(schemes.size >= 6 && memcmp(schemes.data + schemes.size - 6, "\x01\x04\x01\x05\x01\x06", 6) == 0);
    answer_clear(&answer);
    identity.key = bench->keys[1]; /* P-256 */
    identity.generation = 2;
    identity.certificate = bytes_view_string("the second certificate");
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fds[1], &answer));
    size_t size_with = answer.size;
    answer_clear(&answer);
    size_t size = tls12_transcript_with(identity.certificate, message);
    holder_send(fds[1], HANDLE_SIGN_MESSAGE, 1, 2, 0x0403, (BytesView) { message, size });
    assert_true(holder_receive_answer(fds[1], &answer));
    assert_int_equal(answer.status, 0);
    assert_true(
        verifies(bench->keys[1], 0x0403, (BytesView) { message, size }, (BytesView) { answer.payload, answer.size }));
    size = tls12_transcript_with(bytes_view_string("the first certificate"), message);
    holder_send(fds[1], HANDLE_SIGN_MESSAGE, 2, 2, 0x0403, (BytesView) { message, size });
    assert_true(holder_receive_answer(fds[1], &answer));
    assert_int_equal(answer.status, FAILURE_PURPOSE_VIOLATION);
    /* without the switch neither */
    identity.tls12 = false;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fds[1], &answer)); /* that is told */
    assert_int_equal(answer.size, size_with - 7); /* without that field */
    answer_clear(&answer);
    size = tls12_transcript_with(identity.certificate, message);
    holder_send(fds[1], HANDLE_SIGN_MESSAGE, 3, 2, 0x0403, (BytesView) { message, size });
    assert_true(holder_receive_answer(fds[1], &answer));
    assert_int_equal(answer.status, FAILURE_PURPOSE_VIOLATION);
    close(fds[1]);
}

static void rsa_schemes(void **state) {
    Bench *bench = *state;
    static const struct {
        Purpose purpose;
        uint8_t with_pss[12], without[6];
        size_t with_size, without_size;
    } lists[] = {
        { PURPOSE_TLS_CLIENT, { 4, 8, 5, 8, 6, 8 }, { 0 }, 6, 0 },
        { PURPOSE_DATA_RAW, { 4, 8, 5, 8, 6, 8, 1, 4, 1, 5, 1, 6 }, { 1, 4, 1, 5, 1, 6 }, 12, 6 },
    };
    SigningIdentity identity = bench_identity(bench, 3);
    bool pss = false;

    identity.name = "rsa";
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        const SigningHandle handle = { bench->next_id++, "rsa", lists[i].purpose, fds[0], 0, -1 };
        assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
        assert_true(holder_receive(fds[1], &answer));
        answer_clear(&answer);
        BytesView schemes = state_value(&answer, HANDLE_STATE_SCHEMES);
        if (i == 0)
            pss = schemes.size > 0;
        assert_int_equal(schemes.size, pss ? lists[i].with_size : lists[i].without_size);
        assert_memory_equal(schemes.data, pss ? lists[i].with_pss : lists[i].without, schemes.size);
        if (lists[i].purpose == PURPOSE_DATA_RAW) {
            holder_send(fds[1], HANDLE_SIGN_MESSAGE, 1, 0, 0x0804, bytes_view_string("hello"));
            assert_true(holder_receive_answer(fds[1], &answer));
            assert_int_equal(answer.status, pss ? 0 : FAILURE_INVALID_ARGUMENT);
            if (pss)
                assert_true(verifies(bench->keys[2], 0x0804, bytes_view_string("hello"),
                                     (BytesView) { answer.payload, answer.size }));
            holder_send(fds[1], HANDLE_SIGN_MESSAGE, 2, 0, 0x0401, bytes_view_string("hello"));
            assert_true(holder_receive_answer(fds[1], &answer));
            assert_int_equal(answer.size, 256);
            assert_true(
                verifies(bench->keys[2], 0x0401, bytes_view_string("hello"), (BytesView) { answer.payload, 256 }));
        } else { /* a tls handle never signs PKCS #1 */
            holder_send(fds[1], HANDLE_SIGN_TRANSCRIPT, 1, 0, 0x0401, (BytesView) { answer.payload, 32 });
            assert_true(holder_receive_answer(fds[1], &answer));
            assert_int_equal(answer.status, FAILURE_PURPOSE_VIOLATION);
        }
        close(fds[1]);
    }
    print_message("PSS is usable: %d\n", pss);
    assert_int_equal(signing_remove_identity(bench->signing, "rsa"), 0);
}

/* ---- generations ---- */

static void skip_states(int fd) {
    while (recv(fd, answer.payload, sizeof(answer.payload), MSG_DONTWAIT) > 0)
        ;
}

static int start_generations(void **state) {
    Bench *bench = *state;
    const SigningIdentity identity = bench_identity(bench, 1);

    bench_wait_handles(bench, 0);
    assert_int_equal(signing_remove_identity(bench->signing, "demo"), 0);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    bench_settle(bench);
    bench->used_count = bench->unused_count = 0;
    return 0;
}

/* Benches of their own. */
static int start_without_grace(void **state) {
    return bench_start_with_grace(state, 1);
}

static int start_with_short_grace(void **state) {
    return bench_start_with_grace(state, 3000000);
}

static void renew(Bench *bench) {
    const SigningIdentity identity = bench_identity(bench, 2);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
}

static void both_generations_sign_with_their_own_keys(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    holder_sign_message(fd, bench->keys[0], 0, "a handshake begins");
    bench_wait(bench, &bench->used_count, 1);
    assert_int_equal(bench->used[0].generation, 1);
    assert_string_equal(bench->used[0].identity, "demo");
    renew(bench);
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.type, HANDLE_STATE);
    assert_int_equal(answer.generation, 2);
    assert_memory_equal(state_value(&answer, HANDLE_STATE_OLDEST).data, "\1\0\0\0", 4);
    BytesView earlier = state_value(&answer, HANDLE_STATE_EARLIER), spki = tpm_key_spki(bench->keys[0]);
    assert_int_equal(earlier.size, 6 + spki.size);
    assert_memory_equal(earlier.data, ((const uint8_t[]) { 1, 0, 0, 0, (uint8_t) spki.size, 0 }), 6);
    assert_memory_equal(earlier.data + 6, spki.data, spki.size);
    answer_clear(&answer);
    holder_sign_message(fd, bench->keys[0], 1, "and ends with the old key");
    holder_sign_message(fd, bench->keys[1], 2, "the new one");
    holder_sign_message(fd, bench->keys[1], 0, "is current");
    holder_sign_message(fd, bench->keys[0], 1, "both are there");
    bench_wait(bench, &bench->used_count, 2);
    assert_int_equal(bench->used[1].generation, 2);
    bench_idle(bench, 50);
    assert_int_equal(bench->used_count, 2); /* once each */
    assert_int_equal(bench->unused_count, 0);

    assert_int_equal(signing_forget_generation(bench->signing, "demo", 2), 0); /* the current one stays */
    assert_int_equal(signing_forget_generation(bench->signing, "demo", 7), 0);
    assert_int_equal(signing_forget_generation(bench->signing, "nobody", 1), 0);
    holder_sign_message(fd, bench->keys[1], 2, "still there");
    holder_sign_message(fd, bench->keys[0], 1, "still there");
    assert_int_equal(signing_forget_generation(bench->signing, "demo", 1), 0);
    bench_settle(bench);
    holder_send(fd, HANDLE_SIGN_MESSAGE, 1, 1, 0x0403, bytes_view_string("x"));
    assert_true(holder_receive_answer(fd, &answer));
    assert_int_equal(answer.status, FAILURE_NOT_READY);
    holder_sign_message(fd, bench->keys[1], 2, "the new one lives");
}

static void without_handles_it_is_unused_at_once(void **state) {
    Bench *bench = *state;

    renew(bench);
    bench_wait(bench, &bench->unused_count, 1);
    assert_int_equal(bench->unused[0].generation, 1);
    assert_string_equal(bench->unused[0].identity, "demo");
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW); /* never saw the old one */
    holder_sign_message(fd, bench->keys[1], 0, "x");
    bench_idle(bench, 50);
    assert_int_equal(bench->unused_count, 1);
}

static void an_idle_handle_holds_until_it_closes(void **state) {
    Bench *bench = *state;
    int idle = bench_open(bench, PURPOSE_DATA_RAW), newer;

    assert_true(holder_receive(idle, &answer));
    answer_clear(&answer);
    renew(bench);
    newer = bench_open(bench, PURPOSE_DATA_RAW);
    holder_sign_message(newer, bench->keys[1], 0, "x");
    skip_states(idle);
    bench_idle(bench, 100);
    assert_int_equal(bench->unused_count, 0);
    close(newer);
    bench_idle(bench, 50);
    assert_int_equal(bench->unused_count, 0);
    close(idle);
    bench_wait(bench, &bench->unused_count, 1);
    assert_int_equal(bench->unused[0].generation, 1);
}

static void a_handle_that_moves_on_lets_go_after_the_grace_time(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    holder_sign_message(fd, bench->keys[0], 1, "x");
    renew(bench);
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.generation, 2);
    answer_clear(&answer);
    holder_sign_message(fd, bench->keys[1], 2, "moves on");
    bench_idle(bench, 200);
    assert_int_equal(bench->unused_count, 0);
    holder_sign_message(fd, bench->keys[0], 1, "a handshake that had begun before");
    bench_idle(bench, 200);
    assert_int_equal(bench->unused_count, 0);
    bench_wait(bench, &bench->unused_count, 1); /* by the timer alone */
    assert_int_equal(bench->unused[0].generation, 1);
    holder_sign_message(fd, bench->keys[0], 1, "it signs until it is forgotten");
}

/* Who read an older pair of files just before it was replaced. */
static void who_comes_back_holds_it_again(void **state) {
    Bench *bench = *state;

    renew(bench);
    bench_wait(bench, &bench->unused_count, 1);
    int fd = bench_open(bench, PURPOSE_DATA_RAW); /* is shown the new one */
    holder_sign_message(fd, bench->keys[0], 1, "the old one all the same");
    bench_wait(bench, &bench->used_count, 1);
    assert_int_equal(bench->used[0].generation, 1);
    holder_sign_message(fd, bench->keys[0], 1, "and again");
    bench_idle(bench, 100);
    assert_int_equal(bench->used_count, 1);
    assert_int_equal(bench->unused_count, 1);
    close(fd);
    bench_wait(bench, &bench->unused_count, 2);
    assert_int_equal(bench->unused[1].generation, 1);
}

static void a_handle_that_never_moves_keeps_only_so_many(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    holder_sign_message(fd, bench->keys[0], 1, "x");
    for (uint32_t generation = 2; generation <= SIGNING_GENERATIONS_MAX + 2; generation++) {
        SigningIdentity identity = bench_identity(bench, 2);
        identity.generation = generation;
        assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    }
    bench_wait(bench, &bench->unused_count, 2);
    bench_idle(bench, 50);
    assert_int_equal(bench->unused_count, 2);
    assert_int_equal(bench->unused[0].generation, 1);
    assert_int_equal(bench->unused[1].generation, 2);
    holder_sign_message(fd, bench->keys[0], 1, "x"); /* so many are the most, whoever uses it */
    bench_idle(bench, 50);
    assert_int_equal(bench->unused_count, 2);
    assert_int_equal(bench->used_count, 1);
}

/* ---- the end ---- */

static void the_end_owes_nothing(void **state) {
    Bench *bench = NULL;
    assert_int_equal(bench_start((void **) &bench), 0);
    enum { COUNT = 20 };
    Job jobs[COUNT];
    unsigned runs = 0, dones = 0, cancelled = 0;
    int fds[4];

    for (unsigned i = 0; i < 4; i++)
        fds[i] = bench_open(bench, PURPOSE_DATA_RAW);
    holder_sign_message(fds[0], bench->keys[0], 1, "x");
    for (unsigned i = 0; i < COUNT; i++) {
        jobs[i] = (Job) { .bench = bench, .runs = &runs, .dones = &dones };
        assert_int_equal(signing_run(bench->signing, run, done, &jobs[i]), 0);
    }
    SigningIdentity identity = bench_identity(bench, 2);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    int late = bench_open(bench, PURPOSE_DATA_RAW);
    bench->signing = signing_free(bench->signing);
    assert_int_equal(dones, COUNT);
    for (unsigned i = 0; i < COUNT; i++)
        cancelled += jobs[i].cancelled;
    assert_int_equal(cancelled + runs, COUNT);
    assert_true(cancelled > 0);
    assert_int_equal(bench->closed, 5);
    for (unsigned i = 0; i < 4; i++) {
        holder_expect_closed(fds[i]);
        close(fds[i]);
    }
    holder_expect_closed(late);
    close(late);
    assert_null(signing_free(NULL));
    bench_stop((void **) &bench);
}

static void a_failed_opening_takes_its_descriptors(void **state) {
    Bench *bench = *state;
    int pipes[2];

    assert_int_equal(pipe(pipes), 0); /* no socket */
    const SigningHandle handle = { bench->next_id, "demo", PURPOSE_DATA_RAW, pipes[0], 1, pipes[1] };
    assert_int_equal(signing_open_handle(bench->signing, &handle), -ENOTSOCK);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(fcntl(pipes[i], F_GETFD), -1);
        assert_int_equal(errno, EBADF);
    }
}

#define GENERATIONS(test) cmocka_unit_test_setup(test, start_generations)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jobs_run_there_and_end_here),
        cmocka_unit_test(jobs_and_handles_take_turns),
        cmocka_unit_test(signs_of_life),
        cmocka_unit_test(counters_count),
        cmocka_unit_test(a_tpm_that_hangs),
        cmocka_unit_test(a_tpm_that_dies_and_comes_back),
        cmocka_unit_test(tls12),
        cmocka_unit_test(rsa_schemes),
        GENERATIONS(both_generations_sign_with_their_own_keys),
        GENERATIONS(without_handles_it_is_unused_at_once),
        GENERATIONS(who_comes_back_holds_it_again),
        cmocka_unit_test_setup_teardown(an_idle_handle_holds_until_it_closes, start_without_grace, bench_stop),
        cmocka_unit_test_setup_teardown(a_handle_that_moves_on_lets_go_after_the_grace_time, start_with_short_grace,
                                        bench_stop),
        GENERATIONS(a_handle_that_never_moves_keeps_only_so_many),
        cmocka_unit_test(a_failed_opening_takes_its_descriptors),
        cmocka_unit_test(the_end_owes_nothing),
    };
    return cmocka_run_group_tests(tests, bench_start_with_rsa, bench_stop);
}
