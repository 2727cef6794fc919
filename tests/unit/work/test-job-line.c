/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* More jobs than there are places at the enroller: the others wait, none is lost or fails for that, and they are served
 * in the order in which they came. The test is the enroller. */
#include "work/job.h"

#include "common/tlv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#define JOBS  20U
#define LINES 2U

typedef struct Fixture Fixture;

typedef struct OneJob {
    Fixture *fixture;
    char name[16];
    JobLine line;
    Job *job;
    unsigned prepared, results, failures;
    bool cannot_be_prepared, lingers; /* is not freed by its callback */
    Failure failure;
} OneJob;

typedef struct Peer {
    int fd; /* -1: none */
    OneJob *job;
} Peer;

struct Fixture {
    char directory[64], paths[LINES][96];
    int listeners[LINES];
    JobLoop loop;
    PacketBuffer buffer;
    OneJob jobs[JOBS];
    Peer peers[JOBS];
    size_t peer_count; /* in the order in which they came */
    unsigned most_at_once;
};

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    static const char *const servers[] = { "https://ca.example/.well-known/est", NULL };
    OneJob *one = userdata;

    one->prepared++;
    if (one->cannot_be_prepared)
        return failure_set(ret_failure, -ENOENT, FAILURE_ENROLLMENT_FAILED, "%s has nothing to send", one->name);
    order->socket_path = strdup(one->fixture->paths[one->line]);
    order->request = (JobRequest) {
        .kind = one->line == JOB_LINE_FETCH ? JOB_KIND_FETCH : JOB_KIND_ENROLL,
        .identity = one->name,
        .servers = servers,
        .time = 1,
    };
    return 0;
}

static void on_result(JobResult *result, void *userdata) {
    OneJob *one = userdata;

    one->results++;
    if (!one->lingers)
        one->job = job_free(one->job);
}

static void on_failed(const Failure *failure, bool permanent, uint32_t after, void *userdata) {
    OneJob *one = userdata;

    one->failures++;
    one->failure = *failure;
    one->job = job_free(one->job);
}

static void start(Fixture *f, size_t i, JobLine line) {
    static const JobCallbacks callbacks = { .prepare = on_turn, .result = on_result, .failed = on_failed };
    OneJob *one = &f->jobs[i];

    one->line = line;
    assert_int_equal(job_start(&f->loop, line, &callbacks, one, &one->job), 0);
}

static int setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);

    strcpy(f->directory, "/tmp/identityd-line-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    for (size_t line = 0; line < LINES; line++) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        snprintf(f->paths[line], sizeof f->paths[line], "%s/%zu", f->directory, line);
        strcpy(address.sun_path, f->paths[line]);
        f->listeners[line] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        assert_int_equal(bind(f->listeners[line], (struct sockaddr *) &address, sizeof address), 0);
        assert_int_equal(listen(f->listeners[line], JOBS), 0);
    }
    for (size_t i = 0; i < JOBS; i++) {
        f->jobs[i].fixture = f;
        f->peers[i].fd = -1;
        snprintf(f->jobs[i].name, sizeof f->jobs[i].name, "job-%zu", i);
    }
    assert_int_equal(sd_event_new(&f->loop.loop), 0);
    assert_int_equal(closer_new(&f->loop.closer), 0);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    Fixture *f = *state;

    for (size_t i = 0; i < JOBS; i++) {
        job_free(f->jobs[i].job);
        close_safe(f->peers[i].fd);
    }
    assert_int_equal(f->loop.lines[0].taken + f->loop.lines[1].taken, 0);
    assert_null(f->loop.lines[0].first);
    assert_null(f->loop.lines[1].first);
    job_loop_clear(&f->loop);
    closer_free(f->loop.closer);
    sd_event_unref(f->loop.loop);
    for (size_t line = 0; line < LINES; line++) {
        close_safe(f->listeners[line]);
        unlink(f->paths[line]);
    }
    rmdir(f->directory);
    free(f);
    return 0;
}

/* Whose job a new connection brings. */
static OneJob *job_of(Fixture *f, int fd) {
    _cleanup_packet_ Packet packet = PACKET_INIT;
    _cleanup_free_ char *name = NULL;
    TlvReader reader;
    BytesView value;
    uint16_t tag;

    assert_int_equal(packet_receive(fd, &f->buffer, true, &packet), PACKET_RECEIVED);
    assert_int_equal(packet.header.type, JOB_PACKET_JOB);
    reader = (TlvReader) { packet.payload };
    while (tlv_read(&reader, &tag, &value) > 0)
        if (tag == JOB_IDENTITY)
            assert_int_equal(tlv_value_string(value, 15, &name), 0);
    assert_non_null(name);
    for (size_t i = 0; i < JOBS; i++)
        if (strcmp(f->jobs[i].name, name) == 0)
            return &f->jobs[i];
    fail_msg("%s is nobody's", name);
    return NULL;
}

/* Turns the loop until nothing happens any more, and takes what connects. */
static void run(Fixture *f) {
    while (sd_event_run(f->loop.loop, 0) > 0)
        for (size_t line = 0; line < LINES; line++) {
            int fd;
            while ((fd = accept4(f->listeners[line], NULL, NULL, SOCK_CLOEXEC)) >= 0) {
                assert_true(f->peer_count < JOBS);
                f->peers[f->peer_count++] = (Peer) { fd, job_of(f, fd) };
            }
        }
    for (size_t line = 0; line < LINES; line++) {
        unsigned open = 0;
        for (size_t i = 0; i < f->peer_count; i++)
            open += f->peers[i].fd >= 0 && f->peers[i].job->line == line;
        assert_true(open <= JOB_PLACES);
        f->most_at_once = open > f->most_at_once ? open : f->most_at_once;
    }
}

/* The enroller's answer, after which it is gone. */
static void answer(Fixture *f, size_t peer) {
    PacketHeader header = { .type = JOB_PACKET_RESULT, .serial = 1 };

    assert_true(peer < f->peer_count && f->peers[peer].fd >= 0);
    assert_int_equal(packet_send(f->peers[peer].fd, &header, (BytesView) { NULL, 0 }, NULL, 0), 0);
    f->peers[peer].fd = close_safe(f->peers[peer].fd);
    run(f);
}

static void test_all_are_served_in_order(void **state) {
    Fixture *f = *state;
    unsigned results = 0, failures = 0;

    for (size_t i = 0; i < JOBS; i++)
        start(f, i, JOB_LINE_ENROLLER);
    assert_int_equal(f->jobs[0].prepared, 0); /* not before the loop turns */
    run(f);
    assert_int_equal(f->peer_count, JOB_PLACES);
    /* The longest wait ends first, whichever of those at work ends. */
    for (size_t done = 0; done < JOBS; done++) {
        size_t working[JOB_PLACES], count = 0;
        for (size_t i = 0; i < f->peer_count; i++)
            if (f->peers[i].fd >= 0)
                working[count++] = i;
        assert_int_equal(count, JOBS - done < JOB_PLACES ? JOBS - done : JOB_PLACES);
        answer(f, working[done * 7 % count]);
    }
    assert_int_equal(f->peer_count, JOBS);
    assert_int_equal(f->most_at_once, JOB_PLACES);
    for (size_t i = 0; i < JOBS; i++) {
        assert_ptr_equal(f->peers[i].job, &f->jobs[i]);
        assert_int_equal(f->jobs[i].prepared, 1);
        results += f->jobs[i].results;
        failures += f->jobs[i].failures;
    }
    assert_int_equal(results, JOBS);
    assert_int_equal(failures, 0);
}

/* Who fetches CRLs does not wait for who enrols. */
static void test_lines_are_apart(void **state) {
    Fixture *f = *state;

    for (size_t i = 0; i < 8; i++)
        start(f, i, JOB_LINE_ENROLLER);
    for (size_t i = 8; i < 16; i++)
        start(f, i, JOB_LINE_FETCH);
    run(f);
    assert_int_equal(f->peer_count, 2 * JOB_PLACES);
    for (size_t i = 0; i < f->peer_count; i++)
        if (f->peers[i].job->line == JOB_LINE_FETCH && f->peers[i].fd >= 0)
            answer(f, i);
    for (size_t i = 8; i < 16; i++)
        assert_int_equal(f->jobs[i].results, 1);
    assert_int_equal(f->jobs[JOB_PLACES].prepared, 0);
}

/* A job that is given up gives up its turn as well, wherever it stands; and one that was answered but not freed yet
 * holds its place, since its connection is open. */
static void test_given_up(void **state) {
    Fixture *f = *state;

    for (size_t i = 0; i < 10; i++)
        start(f, i, JOB_LINE_ENROLLER);
    run(f);
    f->jobs[5].job = job_free(f->jobs[5].job); /* in the midst of the line, … */
    f->jobs[9].job = job_free(f->jobs[9].job); /* … at its end, … */
    f->jobs[4].job = job_free(f->jobs[4].job); /* … at its head */
    start(f, 10, JOB_LINE_ENROLLER);
    run(f);
    assert_int_equal(f->peer_count, JOB_PLACES);
    f->jobs[1].job = job_free(f->jobs[1].job); /* at work */
    f->peers[1].fd = close_safe(f->peers[1].fd);
    run(f);
    assert_int_equal(f->peer_count, JOB_PLACES + 1);
    assert_ptr_equal(f->peers[JOB_PLACES].job, &f->jobs[6]);
    f->jobs[0].lingers = true;
    answer(f, 0);
    assert_int_equal(f->jobs[0].results, 1);
    assert_int_equal(f->peer_count, JOB_PLACES + 1);
    f->jobs[0].job = job_free(f->jobs[0].job);
    run(f);
    assert_ptr_equal(f->peers[JOB_PLACES + 1].job, &f->jobs[7]);
    for (size_t i = 2; i < f->peer_count; i++)
        answer(f, i);
    assert_ptr_equal(f->peers[JOB_PLACES + 3].job, &f->jobs[10]);
    assert_int_equal(f->jobs[10].results, 1);
    assert_int_equal(f->jobs[4].prepared + f->jobs[5].prepared + f->jobs[9].prepared, 0);
    assert_int_equal(f->jobs[4].failures + f->jobs[5].failures + f->jobs[9].failures, 0);
}

/* What cannot be sent fails when its turn has come, and holds nobody up. */
static void test_cannot_be_sent(void **state) {
    Fixture *f = *state;

    for (size_t i = 0; i < JOBS; i++) {
        f->jobs[i].cannot_be_prepared = i % 2 == 0;
        start(f, i, JOB_LINE_ENROLLER);
    }
    run(f);
    for (size_t i = 0; i < f->peer_count; i++)
        answer(f, i);
    for (size_t i = 0; i < JOBS; i++) {
        assert_int_equal(f->jobs[i].failures, i % 2 == 0);
        assert_int_equal(f->jobs[i].results, i % 2);
    }
    assert_string_equal(f->jobs[0].failure.text, "job-0 has nothing to send");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_all_are_served_in_order),
        TEST(test_lines_are_apart),
        TEST(test_given_up),
        TEST(test_cannot_be_sent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
