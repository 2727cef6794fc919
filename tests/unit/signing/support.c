/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See support.h. */
#include "tests/unit/signing/support.h"

#include <dirent.h>
#include <gnutls/abstract.h>
#include <poll.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

/* Milliseconds to wait for what should come. Once something has not come, the test has failed, and all that follows may
 * be missing the same: the other tests shall say so before the time for all of them is over. */
#define PATIENCE      10000
#define PATIENCE_LOST 500
static int patience = PATIENCE;

double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double) now.tv_sec + (double) now.tv_nsec / 1e9;
}

unsigned count_fds(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* ---- main's side ---- */

static void on_failed(const char *identity, int error, void *userdata) {
    Bench *bench = userdata;

    assert_string_equal(identity, "demo");
    bench->failed = error;
}

static void on_closed(uint64_t id, void *userdata) {
    Bench *bench = userdata;
    bench->closed++;
    bench->last_closed = id;
}

static void note(GenerationEvent *events, unsigned *count, const char *identity, uint32_t generation) {
    assert_true(*count < EVENTS_MAX);
    snprintf(events[*count].identity, sizeof(events[*count].identity), "%s", identity);
    events[(*count)++].generation = generation;
}

static void on_used(const char *identity, uint32_t generation, void *userdata) {
    Bench *bench = userdata;
    note(bench->used, &bench->used_count, identity, generation);
}

static void on_unused(const char *identity, uint32_t generation, void *userdata) {
    Bench *bench = userdata;
    note(bench->unused, &bench->unused_count, identity, generation);
}

static void on_trouble(const Failure *failure, void *userdata) {
    Bench *bench = userdata;
    bench->troubles++;
    bench->last_trouble = failure->kind;
}

typedef struct BenchOptions {
    bool rsa, faults;
    uint64_t grace;
    size_t slots; /* 0: as many as there are */
} BenchOptions;

static int start(void **state, const BenchOptions *wanted) {
    Bench *bench = calloc(1, sizeof(*bench));
    Failure failure = FAILURE_INIT;
    char faults[512];

    if (swtpm_new(&bench->swtpm) < 0 || sd_event_new(&bench->loop) < 0)
        return -1;
    snprintf(faults, sizeof(faults), "%s:%s/faults,%s", TCTI_FAULT_PATH, swtpm_directory(bench->swtpm),
             swtpm_tcti(bench->swtpm));
    Tpm *tpm = NULL;
    const TpmOptions options = { .tcti = wanted->faults ? faults : swtpm_tcti(bench->swtpm),
                                 .loaded_keys_max = wanted->slots };
    const SigningCallbacks callbacks = { on_closed, on_failed, on_used, on_unused, on_trouble, bench, wanted->grace };
    assert_int_equal(tpm_new(&options, &tpm), 0);
    for (unsigned i = 0; i < (wanted->rsa ? 3 : 2); i++)
        if (tpm_key_create_under(tpm, i < 2 ? KEY_ECDSA_P256 : KEY_RSA_2048, (BytesView) { NULL, 0 }, &bench->keys[i],
                                 &failure) < 0)
            fail_msg("creating a key: %s", failure.text);
    bench->chain_fd = bytes_to_memfd("chain", bytes_view_string("the chain of generation 1"));
    bench->anchors_fd = bytes_to_memfd("anchors", bytes_view_string("the anchors"));
    assert_int_equal(signing_new(tpm, bench->loop, &callbacks, &bench->signing), 0);
    const SigningIdentity identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    bench->next_id = 1;
    *state = bench;
    return 0;
}

int bench_start(void **state) {
    return start(state, &(BenchOptions) { 0 });
}

int bench_start_with_rsa(void **state) {
    return start(state, &(BenchOptions) { .rsa = true });
}

int bench_start_with_grace(void **state, uint64_t grace) {
    return start(state, &(BenchOptions) { .grace = grace });
}

int bench_start_with_faults(void **state) {
    return start(state, &(BenchOptions) { .rsa = true, .faults = true });
}

int bench_start_with_one_slot(void **state) {
    return start(state, &(BenchOptions) { .rsa = true, .faults = true, .slots = 1 });
}

int bench_stop(void **state) {
    Bench *bench = *state;
    signing_free(bench->signing);
    for (unsigned i = 0; i < ARRAY_LENGTH(bench->keys); i++)
        tpm_key_free(bench->keys[i]);
    close_safe(bench->chain_fd);
    close_safe(bench->anchors_fd);
    sd_event_unref(bench->loop);
    swtpm_free(bench->swtpm);
    free(bench);
    return 0;
}

SigningIdentity bench_identity(const Bench *bench, uint32_t generation) {
    return (SigningIdentity) {
        .name = "demo",
        .state = generation > 0 ? "ready" : "empty",
        .generation = generation,
        .key = generation > 0 ? bench->keys[generation - 1] : NULL,
        .not_after = generation * 1000,
        .chain_fd = bench->chain_fd,
        .anchors_fd = bench->anchors_fd,
        .crls_fd = -1,
        .ocsp_fd = -1,
    };
}

static int open_handle(Bench *bench, const char *identity, Purpose purpose, uid_t uid) {
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    const SigningHandle handle = { bench->next_id++, identity, purpose, fds[0], 0, -1, uid };
    assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
    return fds[1];
}

int bench_open_of(Bench *bench, const char *identity, Purpose purpose) {
    return open_handle(bench, identity, purpose, 0);
}

int bench_open_for(Bench *bench, const char *identity, uid_t uid) {
    return open_handle(bench, identity, PURPOSE_DATA_RAW, uid);
}

int bench_open(Bench *bench, Purpose purpose) {
    return bench_open_of(bench, "demo", purpose);
}

/* ---- the TPM ---- */

static void replace(const Bench *bench, const char *name, const char *text) {
    char path[300], fresh[310];
    snprintf(path, sizeof(path), "%s/%s", swtpm_directory(bench->swtpm), name);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    FILE *file = fopen(fresh, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(fresh, path), 0);
}

void bench_inject(Bench *bench, const char *faults) {
    replace(bench, "faults.trace", "");
    replace(bench, "faults", faults);
}

unsigned bench_commands(Bench *bench, const char *name) {
    char path[300], line[64];
    unsigned count = 0;
    snprintf(path, sizeof(path), "%s/faults.trace", swtpm_directory(bench->swtpm));
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = 0;
        count += strcmp(line, name) == 0;
    }
    fclose(file);
    replace(bench, "faults.trace", "");
    return count;
}

struct Hold {
    sem_t held, let_go;
    unsigned ended;
};

static void run_hold(Tpm *tpm, void *data) {
    Hold *hold = data;
    sem_post(&hold->held);
    while (sem_wait(&hold->let_go) < 0)
        ;
}

static void end_hold(void *data, bool cancelled) {
    ((Hold *) data)->ended++;
}

Hold *bench_hold(Bench *bench) {
    Hold *hold = calloc(1, sizeof(*hold));
    assert_non_null(hold);
    sem_init(&hold->held, 0, 0);
    sem_init(&hold->let_go, 0, 0);
    assert_int_equal(signing_run(bench->signing, run_hold, end_hold, hold), 0);
    while (sem_wait(&hold->held) < 0)
        ;
    return hold;
}

void bench_let_go(Bench *bench, Hold *hold) {
    sem_post(&hold->let_go);
    bench_wait(bench, &hold->ended, 1);
    sem_destroy(&hold->held);
    sem_destroy(&hold->let_go);
    free(hold);
}

void bench_wait(Bench *bench, const unsigned *counter, unsigned wanted) {
    double begun = seconds();
    while (*counter != wanted) {
        assert_true(sd_event_run(bench->loop, 100000) >= 0);
        if ((seconds() - begun) * 1000 > patience) {
            patience = PATIENCE_LOST;
            fail_msg("waited for %u, still %u", wanted, *counter);
        }
    }
}

static void nothing(Tpm *tpm, void *data) {
}

static void count_one(void *data, bool cancelled) {
    ++*(unsigned *) data;
}

void bench_settle(Bench *bench) {
    unsigned done = 0;
    assert_int_equal(signing_run(bench->signing, nothing, count_one, &done), 0);
    bench_wait(bench, &done, 1);
}

void bench_wait_handles(Bench *bench, unsigned wanted) {
    SigningCounters counters;
    double begun = seconds();
    for (;;) {
        bench_settle(bench);
        signing_counters(bench->signing, &counters);
        if (counters.handles_open == wanted)
            return;
        if ((seconds() - begun) * 1000 > patience) {
            patience = PATIENCE_LOST;
            fail_msg("%u handles are open", (unsigned) counters.handles_open);
        }
    }
}

void bench_idle(Bench *bench, unsigned milliseconds) {
    double end = seconds() + milliseconds / 1000.0;
    while (seconds() < end)
        assert_true(sd_event_run(bench->loop, 10000) >= 0);
}

/* ---- the holder's side ---- */

void holder_raw(int fd, const void *data, size_t size, unsigned fd_count) {
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * 253)];
    } control = { 0 };
    struct iovec part = { (void *) (uintptr_t) data, size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd_count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int) * fd_count),
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS };
        for (unsigned i = 0; i < fd_count; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &(int) { STDERR_FILENO }, sizeof(int));
    }
    (void) sendmsg(fd, &message, MSG_NOSIGNAL); /* the other end may be closed by now: that is for the caller to see */
}

void holder_send(int fd, uint8_t type, uint32_t serial, uint32_t generation, uint16_t scheme, BytesView payload) {
    static uint8_t packet[16 + 65536];
    const uint8_t header[16] = {
        1,
        type,
        0,
        0,
        (uint8_t) serial,
        (uint8_t) (serial >> 8),
        (uint8_t) (serial >> 16),
        (uint8_t) (serial >> 24),
        (uint8_t) generation,
        (uint8_t) (generation >> 8),
        (uint8_t) (generation >> 16),
        (uint8_t) (generation >> 24),
        (uint8_t) scheme,
        (uint8_t) (scheme >> 8),
        0,
        0,
    };
    memcpy(packet, header, 16);
    if (payload.size > 0)
        memcpy(packet + 16, payload.data, payload.size);
    for (;;) {
        if (send(fd, packet, 16 + payload.size, MSG_NOSIGNAL) >= 0)
            return;
        assert_int_equal(errno, EAGAIN);
        struct pollfd wait = { fd, POLLOUT, 0 };
        assert_int_equal(poll(&wait, 1, 10000), 1);
    }
}

static uint32_t u32(const uint8_t *bytes) {
    return bytes[0] | (uint32_t) bytes[1] << 8 | (uint32_t) bytes[2] << 16 | (uint32_t) bytes[3] << 24;
}

bool holder_receive(int fd, Answer *ret) {
    static uint8_t packet[16 + 65536 + 1];
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int) * 8)];
    } control;
    struct iovec part = { packet, sizeof(packet) };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
    };
    struct pollfd wait = { fd, POLLIN, 0 };

    if (poll(&wait, 1, patience) != 1) {
        int waited = patience;
        patience = PATIENCE_LOST;
        fail_msg("no answer within %d ms", waited);
    }
    ssize_t n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (n == 0 || (n < 0 && errno == ECONNRESET))
        return false;
    assert_true(n >= 16 && n <= 16 + 65536);
    assert_int_equal(message.msg_flags & (MSG_CTRUNC | MSG_TRUNC), 0);
    assert_int_equal(packet[0], 1);
    assert_int_equal(packet[14], 0);
    assert_int_equal(packet[15], 0);
    ret->type = packet[1];
    ret->status = (uint16_t) (packet[2] | packet[3] << 8);
    ret->serial = u32(packet + 4);
    ret->generation = u32(packet + 8);
    ret->scheme = (uint16_t) (packet[12] | packet[13] << 8);
    ret->size = (size_t) n - 16;
    memcpy(ret->payload, packet + 16, ret->size);
    ret->fd_count = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        assert_int_equal(c->cmsg_type, SCM_RIGHTS);
        ret->fd_count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(ret->fds, CMSG_DATA(c), ret->fd_count * sizeof(int));
    }
    return true;
}

void answer_clear(Answer *answer) {
    while (answer->fd_count > 0)
        close(answer->fds[--answer->fd_count]);
}

bool holder_receive_answer(int fd, Answer *ret) {
    while (holder_receive(fd, ret)) {
        if (ret->type != HANDLE_STATE || ret->serial != 0)
            return true;
        answer_clear(ret);
    }
    return false;
}

void holder_expect_closed(int fd) {
    static Answer answer;
    while (holder_receive(fd, &answer))
        answer_clear(&answer);
}

void holder_sign_message(int fd, const TpmKey *key, uint32_t generation, const char *message) {
    static Answer answer;
    static uint32_t serial = 1000;
    BytesView view = bytes_view_string(message);

    holder_send(fd, HANDLE_SIGN_MESSAGE, ++serial, generation, 0x0403, view);
    assert_true(holder_receive_answer(fd, &answer));
    if (answer.status != 0)
        fail_msg("status %u: %.*s", answer.status, (int) answer.size, (char *) answer.payload);
    assert_int_equal(answer.type, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER);
    assert_int_equal(answer.serial, serial);
    assert_int_equal(answer.scheme, 0x0403);
    if (generation > 0)
        assert_int_equal(answer.generation, generation);
    assert_true(verifies(key, 0x0403, view, (BytesView) { answer.payload, answer.size }));
}

bool verifies(const TpmKey *key, uint16_t scheme, BytesView message, BytesView signature) {
    gnutls_pubkey_t public = NULL;
    BytesView spki = tpm_key_spki(key);
    const gnutls_datum_t der = { (uint8_t *) (uintptr_t) spki.data, (unsigned) spki.size };
    const gnutls_datum_t data = { (uint8_t *) (uintptr_t) message.data, (unsigned) message.size };
    const gnutls_datum_t value = { (uint8_t *) (uintptr_t) signature.data, (unsigned) signature.size };
    gnutls_sign_algorithm_t algorithm = scheme == 0x0403   ? GNUTLS_SIGN_ECDSA_SECP256R1_SHA256
                                        : scheme == 0x0804 ? GNUTLS_SIGN_RSA_PSS_RSAE_SHA256
                                        : scheme == 0x0401 ? GNUTLS_SIGN_RSA_SHA256
                                                           : GNUTLS_SIGN_RSA_SHA512;

    assert_int_equal(gnutls_pubkey_init(&public), 0);
    assert_int_equal(gnutls_pubkey_import(public, &der, GNUTLS_X509_FMT_DER), 0);
    int r = gnutls_pubkey_verify_data2(public, algorithm, 0, &data, &value);
    gnutls_pubkey_deinit(public);
    return r >= 0;
}

BytesView state_value(const Answer *state, uint16_t tag) {
    BytesView value = { NULL, 0 };
    unsigned found = 0;
    size_t at = 0;

    while (at < state->size) {
        assert_true(state->size - at >= 6);
        uint32_t length = u32(state->payload + at + 2);
        assert_true(length <= state->size - at - 6);
        if ((state->payload[at] | state->payload[at + 1] << 8) == tag) {
            value = (BytesView) { state->payload + at + 6, length };
            found++;
        }
        at += 6 + length;
    }
    assert_int_equal(found, 1);
    return value;
}
