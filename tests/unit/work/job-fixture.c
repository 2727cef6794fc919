/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See job-fixture.h. */
#include "tests/unit/work/job-fixture.h"

#include <sys/un.h>

static void on_progress(const char *step, void *userdata) {
    Fixture *f = userdata;

    snprintf(f->steps, sizeof f->steps, "%s", step);
}

static void on_question(const JobQuestion *question, void *userdata) {
    Fixture *f = userdata;

    f->questions++;
    job_answer(f->job, question->type, question->serial, NULL, bytes_view_string("answer"));
}

static void on_result(JobResult *result, void *userdata) {
    Fixture *f = userdata;

    f->results++;
    f->issued_size = result->issued.size;
    f->later = result->is_later;
    free(f->server);
    f->server = result->server ? strdup(result->server) : NULL;
}

static void on_failed(const Failure *failure, bool permanent, uint32_t after, void *userdata) {
    Fixture *f = userdata;

    f->failures++;
    f->failure = *failure;
    f->permanent = permanent;
    f->after = after;
}

int job_setup(void **state) {
    Fixture *f = calloc(1, sizeof *f);
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    strcpy(f->directory, "/tmp/identityd-job-XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/s", f->directory);
    strcpy(address.sun_path, f->path);
    f->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(f->listener, (struct sockaddr *) &address, sizeof address), 0);
    assert_int_equal(listen(f->listener, 1), 0);
    assert_int_equal(sd_event_new(&f->loop.loop), 0);
    assert_int_equal(closer_new(&f->loop.closer), 0);
    f->peer = -1;
    *state = f;
    return 0;
}

int job_teardown(void **state) {
    Fixture *f = *state;

    job_free(f->job);
    close_safe(f->peer);
    close_safe(f->listener);
    job_loop_clear(&f->loop);
    closer_free(f->loop.closer);
    sd_event_unref(f->loop.loop);
    unlink(f->path);
    rmdir(f->directory);
    free(f->server);
    free(f);
    return 0;
}

static int on_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    static const char *const servers[] = { "https://ca.example/.well-known/est", NULL };
    const Fixture *f = userdata;

    order->socket_path = strdup(f->path);
    order->request = (JobRequest) { .kind = f->kind,
                                    .identity = "test",
                                    .servers = servers,
                                    .time = 1,
                                    .allow_tls12 = f->allow_tls12,
                                    .server_anchors = bytes_view_string("PEM") };
    return 0;
}

const JobCallbacks job_callbacks = { on_turn, on_progress, on_question, on_result, on_failed };

void job_begin_with(Fixture *f, uint8_t kind, bool allow_tls12, const JobCallbacks *with) {
    _cleanup_packet_ Packet packet = PACKET_INIT;

    f->kind = kind;
    f->allow_tls12 = allow_tls12;
    assert_int_equal(job_start(&f->loop, JOB_LINE_ENROLLER, with, f, &f->job), 0);
    while (sd_event_run(f->loop.loop, 0) > 0)
        ;
    f->peer = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(f->peer >= 0);
    assert_int_equal(packet_receive(f->peer, &f->peer_buffer, true, &packet), PACKET_RECEIVED);
    assert_int_equal(packet.header.type, JOB_PACKET_JOB);
    assert_int_equal(packet.fd_count, 1);
}

void job_begin(Fixture *f, uint8_t kind, bool allow_tls12) {
    job_begin_with(f, kind, allow_tls12, &job_callbacks);
}

void job_run(Fixture *f) {
    while (sd_event_run(f->loop.loop, 20000) > 0)
        ;
}

void send_packet(Fixture *f, uint8_t type, uint16_t scheme, BytesView body, int fd) {
    PacketHeader header = { .type = type, .serial = 7, .scheme = scheme };

    assert_int_equal(packet_send(f->peer, &header, body, &fd, fd >= 0 ? 1 : 0), 0);
    job_run(f);
}

void assert_broken(Fixture *f, const char *text) {
    assert_int_equal(f->failures, 1);
    assert_int_equal(f->results, 0);
    assert_int_equal(f->failure.kind, FAILURE_ENROLLMENT_FAILED);
    assert_non_null(strstr(f->failure.text, text));
    assert_false(f->permanent);
}
