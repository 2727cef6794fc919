/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The TPM is shared by user: on a real thread and a real TPM, whose signatures are made to take long beside anything
 * that a busy machine does to them, and which stops after some, so that who had them can be counted. */
#include "tests/unit/signing/support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ATTACKER  1000U
#define VICTIM    2000U
#define HANDLES   64U
#define SERVED    16U /* before the TPM stops */
#define OF_VICTIM 6U  /* of these at least: 8 but for what a busy machine makes of it */

static Answer answer;

/* From now on a signature takes 30 ms, and after `count` of them the TPM hangs. */
static void limit_tpm(Bench *bench, unsigned count) {
    char faults[64];

    (void) snprintf(faults, sizeof faults, "Sign delay 30 %u\nSign hang\n", count);
    bench_inject(bench, faults);
}

static void request(int fd, unsigned count) {
    for (uint32_t i = 1; i <= count; i++)
        holder_send(fd, HANDLE_SIGN_MESSAGE, i, 0, 0x0403, bytes_view_string("x"));
}

/* How many signatures have come by now. */
static unsigned take_answers(int fd) {
    unsigned count = 0;

    for (struct pollfd wait = { fd, POLLIN, 0 }; poll(&wait, 1, 0) == 1;) {
        assert_true(holder_receive(fd, &answer));
        if (answer.type != HANDLE_STATE) {
            assert_int_equal(answer.status, 0);
            count++;
        }
        answer_clear(&answer);
    }
    return count;
}

/* ---- jobs that sign ---- */

typedef struct SignJob {
    Bench *bench;
    unsigned *runs, *dones;
    uint64_t signatures; /* of handles, when it ran */
    unsigned order;      /* of the jobs */
} SignJob;

static void run_sign(Tpm *tpm, void *data) {
    SignJob *job = data;
    static const uint8_t digest[32] = { 1 };
    uint8_t signature[SIGNATURE_MAX];
    SigningCounters counters;
    size_t size;

    signing_counters(job->bench->signing, &counters);
    job->signatures = counters.signatures;
    (void) tpm_key_sign(tpm, job->bench->keys[0], scheme_by_id(0x0403), (BytesView) { digest, 32 }, signature, &size,
                        NULL);
    job->order = __atomic_fetch_add(job->runs, 1, __ATOMIC_SEQ_CST);
}

static void run_nothing(Tpm *tpm, void *data) {
    SignJob *job = data;
    SigningCounters counters;

    signing_counters(job->bench->signing, &counters);
    job->signatures = counters.signatures;
    __atomic_fetch_add(job->runs, 1, __ATOMIC_SEQ_CST);
}

static void done(void *data, bool cancelled) {
    ++*((SignJob *) data)->dones;
}

/* ---- the attacks ---- */

typedef struct Attack {
    const char *name;
    unsigned handles, identities, jobs;
    SigningPayer payer; /* of the jobs */
} Attack;

static const Attack attacks[] = {
    { .name = "many handles on the same identity", .handles = HANDLES, .identities = 1 },
    { .name = "many handles on another", .handles = HANDLES, .identities = 1 },
    { .name = "many handles on several", .handles = HANDLES, .identities = 3 },
    { .name = "one-shot signatures", .jobs = HANDLES, .payer = { SIGNING_FOR_USER, ATTACKER, "demo" } },
    { .name = "both",
      .handles = HANDLES,
      .identities = 2,
      .jobs = HANDLES,
      .payer = { SIGNING_FOR_USER, ATTACKER, "other" } },
    { .name = "keys", .jobs = HANDLES, .payer = { .who = SIGNING_OWN_SLOW } },
    { .name = "renewals", .jobs = HANDLES, .payer = { .who = SIGNING_OWN } },
};

static void add_identities(Bench *bench) {
    static const char *const names[] = { "other", "third" };

    for (unsigned i = 0; i < ARRAY_LENGTH(names); i++) {
        SigningIdentity identity = bench_identity(bench, 2);
        identity.name = names[i];
        assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    }
}

/* All has been asked for when the thread comes to it. How many of those that were served the victim has had. */
static unsigned attack_once(Bench *bench, const Attack *attack, const char *const *identities) {
    static SignJob jobs[HANDLES]; /* the thread has them when a test has failed, too */
    static unsigned runs, dones;
    int fds[HANDLES], victim = bench_open_for(bench, "demo", VICTIM);
    unsigned of_victim = 0, of_attacker = 0;

    for (unsigned i = 0; i < attack->handles; i++)
        fds[i] = bench_open_for(bench, identities[i % attack->identities], ATTACKER);
    runs = dones = 0;
    bench_settle(bench);
    Hold *hold = bench_hold(bench);
    limit_tpm(bench, SERVED);
    for (unsigned i = 0; i < attack->handles; i++)
        request(fds[i], 2);
    for (unsigned i = 0; i < attack->jobs; i++) {
        jobs[i] = (SignJob) { bench, &runs, &dones, 0, 0 };
        assert_int_equal(signing_run_for(bench->signing, &attack->payer, run_sign, done, &jobs[i]), 0);
    }
    request(victim, SERVED);
    bench_let_go(bench, hold);
    for (double begun = seconds(); of_victim + of_attacker < SERVED && seconds() < begun + 30;) {
        bench_idle(bench, 10);
        of_victim += take_answers(victim);
        for (unsigned i = 0; i < attack->handles; i++)
            of_attacker += take_answers(fds[i]);
        of_attacker += __atomic_exchange_n(&runs, 0, __ATOMIC_SEQ_CST);
    }
    bench_inject(bench, ""); /* first: the end of a test that failed waits for the TPM */
    assert_int_equal(of_victim + of_attacker, SERVED);
    bench_wait(bench, &dones, attack->jobs);
    for (unsigned i = 0; i < attack->handles; i++)
        close(fds[i]);
    close(victim);
    bench_wait_handles(bench, 0);
    return of_victim;
}

/* What a busy machine does to one try it does not do to three. */
static void survive(Bench *bench, const Attack *attack, const char *const *identities) {
    unsigned of_victim = 0;

    for (unsigned i = 0; i < 3; i++) {
        of_victim = attack_once(bench, attack, identities);
        if (of_victim >= OF_VICTIM && of_victim <= SERVED - OF_VICTIM)
            return;
    }
    fail_msg("%s: of %u signatures the victim had %u", attack->name, SERVED, of_victim);
}

static void a_user_has_its_share(void **state) {
    static const char *const same[] = { "demo" }, *const others[] = { "other", "demo", "third" };
    Bench *bench = *state;

    add_identities(bench);
    for (size_t i = 0; i < ARRAY_LENGTH(attacks); i++)
        survive(bench, &attacks[i], i == 0 ? same : others);
}

/* Our own go before all that wait already; the next ones by turns with these. */
static void own_jobs_go_first(void **state) {
    enum { JOBS = 4 };
    Bench *bench = *state;
    unsigned runs = 0, dones = 0;
    SignJob jobs[JOBS];
    int fds[HANDLES];
    SigningCounters before;

    for (unsigned i = 0; i < HANDLES; i++)
        fds[i] = bench_open_for(bench, "demo", ATTACKER + i);
    bench_settle(bench);
    signing_counters(bench->signing, &before);
    Hold *hold = bench_hold(bench);
    bench_inject(bench, "Sign delay 30\n");
    for (unsigned i = 0; i < HANDLES; i++)
        request(fds[i], 2);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (SignJob) { bench, &runs, &dones, 0, 0 };
        assert_int_equal(signing_run(bench->signing, run_nothing, done, &jobs[i]), 0);
    }
    bench_let_go(bench, hold);
    bench_wait(bench, &dones, JOBS);
    for (unsigned i = 0; i < JOBS; i++) /* each waited for one signature, or some where it took unusually long itself */
        assert_in_range(jobs[i].signatures - before.signatures, i, 16 * i);
    bench_inject(bench, "");
    for (unsigned i = 0; i < HANDLES; i++)
        close(fds[i]);
    bench_wait_handles(bench, 0);
}

/* Where one key fits and two are asked for, a load is not for one signature; each has its own all the same. */
static void requests_of_a_key_are_served_together(void **state) {
    enum { REQUESTS = 16 };
    Bench *bench = *state;
    int fds[2];
    unsigned answers[2] = { 0 };

    add_identities(bench);
    fds[0] = bench_open_for(bench, "demo", ATTACKER);
    fds[1] = bench_open_for(bench, "other", VICTIM);
    bench_settle(bench);
    Hold *hold = bench_hold(bench);
    bench_inject(bench, "Load delay 100\n");
    for (unsigned i = 0; i < 2; i++)
        request(fds[i], REQUESTS);
    bench_let_go(bench, hold);
    for (double begun = seconds(); answers[0] + answers[1] < 2 * REQUESTS && seconds() < begun + 30;) {
        bench_idle(bench, 10);
        for (unsigned i = 0; i < 2; i++)
            answers[i] += take_answers(fds[i]);
    }
    assert_int_equal(answers[0], REQUESTS);
    assert_int_equal(answers[1], REQUESTS);
    assert_in_range(bench_commands(bench, "Load"), 2, REQUESTS / 2); /* and not twice as many as requests */
    bench_inject(bench, "");
    for (unsigned i = 0; i < 2; i++)
        close(fds[i]);
    bench_wait_handles(bench, 0);
}

/* Jobs of one payer keep their order. */
static void jobs_keep_their_order(void **state) {
    enum { JOBS = 12 };
    static const SigningPayer payers[] = { { SIGNING_FOR_USER, ATTACKER, "demo" }, { .who = SIGNING_OWN_SLOW } };
    Bench *bench = *state;

    for (size_t p = 0; p < ARRAY_LENGTH(payers); p++) {
        unsigned runs = 0, dones = 0;
        SignJob jobs[JOBS];
        int fd = bench_open_for(bench, "demo", VICTIM);
        bench_settle(bench);
        Hold *hold = bench_hold(bench);
        request(fd, JOBS);
        for (unsigned i = 0; i < JOBS; i++) {
            jobs[i] = (SignJob) { bench, &runs, &dones, 0, 0 };
            assert_int_equal(signing_run_for(bench->signing, &payers[p], run_sign, done, &jobs[i]), 0);
        }
        bench_let_go(bench, hold);
        bench_wait(bench, &dones, JOBS);
        for (unsigned i = 0; i < JOBS; i++)
            assert_int_equal(jobs[i].order, i);
        close(fd);
        bench_wait_handles(bench, 0);
    }
}

/* Who is closed, hangs up or loses its identity while its turn has not come has none any more, and nobody else misses
 * one; jobs for an identity that is gone are done all the same. */
static void ends_while_they_wait(void **state) {
    Bench *bench = *state;
    unsigned runs = 0, dones = 0, closed = bench->closed;
    SignJob job = { bench, &runs, &dones, 0, 0 };
    const SigningPayer payer = { SIGNING_FOR_USER, ATTACKER, "third" };
    int gone[8], victim = bench_open_for(bench, "demo", VICTIM);

    add_identities(bench);
    for (unsigned i = 0; i < ARRAY_LENGTH(gone); i++)
        gone[i] = bench_open_for(bench, i < 6 ? "other" : "third", ATTACKER + i % 2);
    bench_settle(bench);
    Hold *hold = bench_hold(bench);
    for (unsigned i = 0; i < ARRAY_LENGTH(gone); i++)
        request(gone[i], 3);
    request(victim, 3);
    assert_int_equal(signing_run_for(bench->signing, &payer, run_sign, done, &job), 0);
    close(gone[0]);
    assert_int_equal(signing_close_handle(bench->signing, bench->next_id - 7), 0); /* the second of them */
    assert_int_equal(signing_remove_identity(bench->signing, "third"), 0);
    holder_raw(gone[2], "no packet", 9, 0);
    bench_let_go(bench, hold);
    bench_wait(bench, &dones, 1);
    assert_int_equal(runs, 1);
    for (unsigned i = 0, answers = 0; answers < 3 && i < 10; i++) {
        assert_true(holder_receive(victim, &answer));
        answers += answer.type != HANDLE_STATE;
        answer_clear(&answer);
        assert_true(i < 9);
    }
    for (unsigned i = 1; i < ARRAY_LENGTH(gone); i++)
        close(gone[i]);
    close(victim);
    bench_wait_handles(bench, 0);
    bench_wait(bench, &bench->closed, closed + 9);
}

/* Whatever waits in a line when the thread ends is given back. */
static void the_end_cancels_every_line(void **state) {
    enum { JOBS = 12 };
    static const SigningPayer payers[] = { { .who = SIGNING_OWN },
                                           { .who = SIGNING_OWN_SLOW },
                                           { SIGNING_FOR_USER, ATTACKER, "demo" },
                                           { SIGNING_FOR_USER, VICTIM, "nobody" } };
    Bench *bench = *state;
    unsigned runs = 0, dones = 0;
    SignJob jobs[JOBS];
    int fd = bench_open_for(bench, "demo", VICTIM);

    bench_inject(bench, "Sign delay 100\n");
    request(fd, 8);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = (SignJob) { bench, &runs, &dones, 0, 0 };
        assert_int_equal(signing_run_for(bench->signing, &payers[i % 4], run_sign, done, &jobs[i]), 0);
    }
    bench->signing = signing_free(bench->signing);
    assert_int_equal(dones, JOBS);
    assert_true(runs < JOBS);
    close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, bench_start_with_faults, bench_stop)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(a_user_has_its_share),
        TEST(own_jobs_go_first),
        cmocka_unit_test_setup_teardown(requests_of_a_key_are_served_together, bench_start_with_one_slot, bench_stop),
        TEST(jobs_keep_their_order),
        TEST(ends_while_they_wait),
        TEST(the_end_cancels_every_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
