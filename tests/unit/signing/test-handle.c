/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A handle as its holder meets it, on a real TPM: the State, signatures of each purpose, each named refusal,
 * generations, the first sender, and the ways in which a handle ends. */
#include "common/certificate-verify.h"
#include "tests/unit/signing/support.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static Answer answer; /* large, so not on the stack */

static void assert_value(uint16_t tag, const void *expected, size_t size) {
    BytesView value = state_value(&answer, tag);
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, expected, size);
}

static void state_comes_unasked_and_on_request(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_TLS_SERVER);

    static const uint32_t serials[] = { 0, 1, 0x01020304, 0xffffffff };

    for (size_t i = 0; i < ARRAY_LENGTH(serials); i++) {
        uint32_t serial = serials[i];
        if (serial > 0)
            holder_send(fd, HANDLE_GET_STATE, serial, 0, 0, bytes_view_string(""));
        assert_true(holder_receive(fd, &answer));
        assert_int_equal(answer.type, HANDLE_STATE);
        assert_int_equal(answer.status, 0);
        assert_int_equal(answer.serial, serial);
        assert_int_equal(answer.generation, 1);
        assert_value(HANDLE_STATE_IDENTITY, "demo", 4);
        assert_value(HANDLE_STATE_PURPOSE, "tls-server", 10);
        assert_value(HANDLE_STATE_STATE, "ready", 5);
        assert_value(HANDLE_STATE_SCHEMES, "\x03\x04", 2);
        assert_value(HANDLE_STATE_NOT_AFTER, "\xe8\x03\0\0\0\0\0\0", 8);
        assert_value(HANDLE_STATE_OLDEST, "\x01\0\0\0", 4);
        assert_value(HANDLE_STATE_FILES, "\x01\x02", 2);
        assert_int_equal(answer.fd_count, 2);
        for (size_t k = 0; k < 2; k++) {
            _cleanup_bytes_ Bytes content = BYTES_NULL;
            (void) lseek(answer.fds[k], 5, SEEK_SET); /* the offset is shared with every other holder */
            assert_int_equal(bytes_from_memfd(answer.fds[k], HANDLE_FILE_MAX, &content), 0);
            assert_string_equal((char *) content.data, k == 0 ? "the chain of generation 1" : "the anchors");
        }
        answer_clear(&answer);
    }
}

static void each_purpose_signs(void **state) {
    Bench *bench = *state;
    uint8_t hash[48] = { 1 }, content[CERTIFICATE_VERIFY_MAX], digest[64];

    for (int purpose = PURPOSE_TLS_CLIENT; purpose <= PURPOSE_TLS_SERVER; purpose++)
        for (size_t size = 32; size <= 48; size += 16) {
            _cleanup_close_ int fd = bench_open(bench, (Purpose) purpose);
            TlsSide side = purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
            size_t length = (size_t) certificate_verify_build(side, (BytesView) { hash, size }, content);
            holder_send(fd, HANDLE_SIGN_TRANSCRIPT, 7, 1, 0x0403, (BytesView) { hash, size });
            holder_send(fd, HANDLE_SIGN_MESSAGE, 8, 0, 0x0403, (BytesView) { content, length });
            for (uint32_t serial = 7; serial <= 8; serial++) {
                assert_true(holder_receive_answer(fd, &answer));
                assert_int_equal(answer.status, 0);
                assert_int_equal(answer.serial, serial);
                assert_int_equal(answer.generation, 1); /* also where 0 was asked for */
                assert_int_equal(answer.type, serial == 7 ? 0x82 : 0x83);
                assert_true(verifies(bench->keys[0], 0x0403, (BytesView) { content, length },
                                     (BytesView) { answer.payload, answer.size }));
            }
        }
    _cleanup_close_ int data = bench_open(bench, PURPOSE_DATA_RAW), any = bench_open(bench, PURPOSE_DIGEST);
    holder_sign_message(data, bench->keys[0], 1, "hello");
    holder_sign_message(any, bench->keys[0], 1, "hello");
    int size = scheme_digest(scheme_by_id(0x0403), "hello", 5, digest);
    holder_send(any, HANDLE_SIGN_DIGEST, 9, 1, 0x0403, (BytesView) { digest, (size_t) size });
    assert_true(holder_receive_answer(any, &answer));
    assert_int_equal(answer.type, 0x84);
    assert_int_equal(answer.status, 0);
    assert_true(
        verifies(bench->keys[0], 0x0403, bytes_view_string("hello"), (BytesView) { answer.payload, answer.size }));
}

/* Every refusal leaves the handle as it was. */
static void refusals_are_named(void **state) {
    Bench *bench = *state;
    static uint8_t bytes[65536];
    static const struct {
        Purpose purpose;
        uint8_t type;
        uint32_t generation;
        uint16_t scheme;
        size_t size;
        FailureKind kind;
        const char *part;
    } cases[] = {
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 1, 0, 5, FAILURE_INVALID_ARGUMENT, "unknown signature scheme 0x0000" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 1, 0x0807, 5, FAILURE_INVALID_ARGUMENT,
          "unknown signature scheme 0x0807" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 1, 0x0503, 5, FAILURE_INVALID_ARGUMENT,
          "ecdsa-p256, does not sign with ecdsa_secp384r1_sha384" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 1, 0x0401, 5, FAILURE_INVALID_ARGUMENT,
          "does not sign with rsa_pkcs1_sha256" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 2, 0x0403, 5, FAILURE_NOT_READY,
          "generation 2 does not sign, the current one is 1" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 0xffffffff, 0x0403, 5, FAILURE_NOT_READY, "generation 4294967295" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, 1, 0x0403, 65536, FAILURE_PURPOSE_VIOLATION, "handshake" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_TRANSCRIPT, 1, 0x0403, 32, FAILURE_PURPOSE_VIOLATION,
          "a data-raw handle does not take SignTranscript" },
        { PURPOSE_DATA_RAW, HANDLE_SIGN_DIGEST, 1, 0x0403, 32, FAILURE_PURPOSE_VIOLATION,
          "a data-raw handle does not take SignDigest" },
        { PURPOSE_TLS_CLIENT, HANDLE_SIGN_DIGEST, 1, 0x0403, 32, FAILURE_PURPOSE_VIOLATION,
          "a tls-client handle does not take SignDigest" },
        { PURPOSE_TLS_CLIENT, HANDLE_SIGN_MESSAGE, 1, 0x0403, 130, FAILURE_PURPOSE_VIOLATION, "its own side" },
        { PURPOSE_TLS_SERVER, HANDLE_SIGN_TRANSCRIPT, 1, 0x0403, 33, FAILURE_INVALID_ARGUMENT,
          "32 or 48 bytes, not 33" },
        { PURPOSE_TLS_SERVER, HANDLE_SIGN_TRANSCRIPT, 1, 0x0403, 0, FAILURE_INVALID_ARGUMENT, "not 0" },
        { PURPOSE_DIGEST, HANDLE_SIGN_DIGEST, 1, 0x0403, 31, FAILURE_INVALID_ARGUMENT, "has 32 bytes, not 31" },
        { PURPOSE_DIGEST, HANDLE_SIGN_DIGEST, 1, 0x0403, 48, FAILURE_INVALID_ARGUMENT, "has 32 bytes, not 48" },
        { PURPOSE_DIGEST, HANDLE_SIGN_TRANSCRIPT, 1, 0x0403, 32, FAILURE_INVALID_ARGUMENT, "neither side" },
    };
    SigningCounters before, after;

    signing_counters(bench->signing, &before);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_close_ int fd = bench_open(bench, cases[i].purpose);
        holder_send(fd, cases[i].type, 77, cases[i].generation, cases[i].scheme, (BytesView) { bytes, cases[i].size });
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.type, cases[i].type | HANDLE_ANSWER);
        assert_int_equal(answer.serial, 77);
        assert_int_equal(answer.generation, cases[i].generation);
        assert_int_equal(answer.scheme, cases[i].scheme);
        answer.payload[answer.size] = 0;
        if (answer.status != cases[i].kind || !strstr((char *) answer.payload, cases[i].part))
            fail_msg("case %zu: %u %s", i, answer.status, (char *) answer.payload);
        assert_memory_equal(answer.payload, "identity demo: ", 15);
        if (cases[i].purpose == PURPOSE_DATA_RAW || cases[i].purpose == PURPOSE_DIGEST)
            holder_sign_message(fd, bench->keys[0], 1, "still open");
    }
    signing_counters(bench->signing, &after);
    assert_int_equal(after.refused - before.refused, ARRAY_LENGTH(cases));
}

static void a_blocked_identity_signs_nothing(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
    SigningIdentity identity = bench_identity(bench, 1);

    holder_sign_message(fd, bench->keys[0], 1, "before");
    identity.state = "expired";
    identity.blocked = FAILURE_EXPIRED;
    identity.blocked_reason = "demo expired yesterday: renew it";
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fd, &answer));
    assert_value(HANDLE_STATE_STATE, "expired", 7);
    answer_clear(&answer);
    for (uint32_t generation = 0; generation < 3; generation++) {
        holder_send(fd, HANDLE_SIGN_MESSAGE, 5, generation, 0x0403, bytes_view_string("x"));
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.status, FAILURE_EXPIRED);
        answer.payload[answer.size] = 0;
        assert_string_equal((char *) answer.payload, identity.blocked_reason);
    }
    identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    bench_settle(bench);
    holder_sign_message(fd, bench->keys[0], 1, "after");

    SigningIdentity empty = bench_identity(bench, 0);
    empty.name = "fresh";
    assert_int_equal(signing_set_identity(bench->signing, &empty), 0);
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    const SigningHandle handle = { bench->next_id++, "fresh", PURPOSE_DATA_RAW, fds[0], 0, -1 };
    assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
    assert_true(holder_receive(fds[1], &answer));
    assert_int_equal(answer.generation, 0);
    assert_value(HANDLE_STATE_SCHEMES, "", 0);
    answer_clear(&answer);
    for (uint32_t generation = 0; generation < 2; generation++) {
        holder_send(fds[1], HANDLE_SIGN_MESSAGE, 5, generation, 0x0403, bytes_view_string("x"));
        assert_true(holder_receive_answer(fds[1], &answer));
        assert_int_equal(answer.status, FAILURE_NOT_READY);
    }
    assert_int_equal(signing_remove_identity(bench->signing, "fresh"), 0);
    holder_expect_closed(fds[1]);
    close(fds[1]);
}

static void only_changes_are_pushed(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);
    SigningIdentity identity = bench_identity(bench, 1);

    assert_true(holder_receive(fd, &answer));
    answer_clear(&answer);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    _cleanup_close_ int same = bytes_to_memfd("copy", bytes_view_string("the anchors"));
    identity.anchors_fd = same; /* another memfd with the same content */
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    holder_send(fd, HANDLE_GET_STATE, 3, 0, 0, bytes_view_string(""));
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.serial, 3); /* no State came between */
    answer_clear(&answer);
    _cleanup_close_ int other = bytes_to_memfd("other", bytes_view_string("other anchors"));
    identity.anchors_fd = other;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.serial, 0);
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    assert_int_equal(bytes_from_memfd(answer.fds[1], 100, &content), 0);
    assert_string_equal((char *) content.data, "other anchors");
    answer_clear(&answer);
    identity.crls_fd = identity.ocsp_fd = other;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fd, &answer));
    assert_value(HANDLE_STATE_FILES, "\x01\x02\x03\x04", 4);
    assert_int_equal(answer.fd_count, 4);
    answer_clear(&answer);
    identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_true(holder_receive(fd, &answer));
    assert_value(HANDLE_STATE_FILES, "\x01\x02", 2);
    answer_clear(&answer);
}

static void handles_end(void **state) {
    Bench *bench = *state;
    unsigned closed;
    bench_wait(bench, &bench->closed, (unsigned) bench->next_id - 1); /* those of the other tests */
    int by_id = bench_open(bench, PURPOSE_DATA_RAW), other = bench_open(bench, PURPOSE_DATA_RAW);

    closed = bench->closed;
    assert_int_equal(signing_close_handle(bench->signing, bench->next_id - 2), 0);
    holder_expect_closed(by_id);
    bench_wait(bench, &bench->closed, closed + 1);
    assert_int_equal(bench->last_closed, bench->next_id - 2);
    assert_int_equal(signing_close_handle(bench->signing, bench->next_id - 2), 0); /* again, and one that never was */
    assert_int_equal(signing_close_handle(bench->signing, 0xffffffffff), 0);
    holder_sign_message(other, bench->keys[0], 1, "the other one lives");
    assert_int_equal(signing_close_identity(bench->signing, "demo"), 0);
    holder_expect_closed(other);
    bench_wait(bench, &bench->closed, closed + 2);
    close(by_id);
    close(other);

    int gone = bench_open(bench, PURPOSE_DATA_RAW); /* the identity is still known */
    holder_sign_message(gone, bench->keys[0], 1, "x");
    close(gone);
    bench_wait(bench, &bench->closed, closed + 3);

    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    const SigningHandle handle = { bench->next_id++, "nobody", PURPOSE_DATA_RAW, fds[0], 0, -1 };
    assert_int_equal(signing_open_handle(bench->signing, &handle), 0);
    holder_expect_closed(fds[1]);
    bench_wait(bench, &bench->closed, closed + 4);
    assert_int_equal(bench->last_closed, bench->next_id - 1);
    close(fds[1]);
    bench_wait_handles(bench, 0);
}

static void holder_expect_last_state(int fd, const char *word, bool with_files) {
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.type, HANDLE_STATE);
    assert_value(HANDLE_STATE_STATE, word, strlen(word));
    assert_int_equal(answer.fd_count > 0, with_files);
    answer_clear(&answer);
    holder_expect_closed(fd);
}

/* Who holds a handle is told why it ends, however soon after the reason the end comes, and also who has yet to read. */
static void last_state(void **state) {
    Bench *bench = *state;
    SigningIdentity identity = bench_identity(bench, 1);
    _cleanup_close_ int closed = bench_open(bench, PURPOSE_DATA_RAW), removed = -1, late = -1;

    holder_sign_message(closed, bench->keys[0], 1, "x"); /* has read its first State */
    identity.state = "revoked";
    identity.blocked = FAILURE_REVOKED;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_int_equal(signing_close_identity(bench->signing, "demo"), 0);
    holder_expect_last_state(closed, "revoked", true);

    identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    removed = bench_open(bench, PURPOSE_DATA_RAW);
    holder_sign_message(removed, bench->keys[0], 1, "x");
    late = bench_open(bench, PURPOSE_DATA_RAW);
    bench_settle(bench);
    identity.state = "retired";
    identity.blocked = FAILURE_RETIRED;
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    assert_int_equal(signing_remove_identity(bench->signing, "demo"), 0);
    holder_expect_last_state(removed, "retired", true);
    assert_true(holder_receive(late, &answer)); /* the first, which it had not read */
    assert_value(HANDLE_STATE_STATE, "ready", 5);
    assert_true(answer.fd_count > 0);
    answer_clear(&answer);
    holder_expect_last_state(late, "retired", false);
    identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
}

/* A child that sends GetState as its first packet, and then ends if `ends`. */
static pid_t speak(int fd, bool ends) {
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        static const uint8_t packet[16] = { 1, 1, 0, 0, 9 };
        /* Where a test fails nobody kills it, and whoever reads our output waits for it. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
            _exit(1);
        (void) close_range(3, (unsigned) fd - 1, 0); /* no end of anything that others wait for */
        (void) close_range((unsigned) fd + 1, ~0U, 0);
        (void) send(fd, packet, sizeof(packet), MSG_NOSIGNAL);
        if (!ends)
            pause();
        _exit(0);
    }
    return child;
}

static int open_for(Bench *bench, int ours, pid_t pid, pid_t pidfd_of) {
    int pidfd = (int) syscall(SYS_pidfd_open, pidfd_of, 0);
    assert_true(pidfd >= 0);
    const SigningHandle handle = { bench->next_id++, "demo", PURPOSE_DATA_RAW, ours, pid, pidfd };
    return signing_open_handle(bench->signing, &handle);
}

static bool has_answer(int fd) {
    bool result = holder_receive_answer(fd, &answer);
    if (result)
        answer_clear(&answer);
    return result;
}

/* Whoever is passed a handle can see that its opener has not spoken, and, once that is done, nothing of it. */
static void what_is_unproved_says_so(void **state) {
    static const uint8_t unproved[] = { HANDLE_STATE_UNPROVED, 0, 0, 0, 0, 0 };
    Bench *bench = *state;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    assert_int_equal(open_for(bench, fds[0], getpid(), getpid()), 0);
    for (uint32_t serial = 0; serial < 2; serial++) {
        if (serial > 0)
            holder_send(fds[1], HANDLE_GET_STATE, serial, 0, 0, bytes_view_string(""));
        assert_true(holder_receive(fds[1], &answer));
        assert_int_equal(answer.serial, serial);
        assert_true(answer.size > sizeof unproved);
        bool says_so = memcmp(answer.payload + answer.size - sizeof unproved, unproved, sizeof unproved) == 0;
        assert_int_equal(says_so, serial == 0);
        answer_clear(&answer);
    }
    close(fds[1]);
}

static void the_first_sender_is_checked(void **state) {
    Bench *bench = *state;
    const int on = 1;
    int fds[2], status;

    for (unsigned round = 0; round < 4; round++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
        assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)),
                         0); /* as main does before handing it out */
        pid_t child;
        switch (round) {
        case 0: /* the right one: then anybody may use it */
            child = speak(fds[1], false);
            assert_int_equal(open_for(bench, fds[0], child, child), 0);
            assert_true(has_answer(fds[1]));
            holder_sign_message(fds[1], bench->keys[0], 1, "passed on");
            kill(child, SIGKILL);
            break;
        case 1: /* another process speaks first */
            child = speak(fds[1], false);
            assert_int_equal(open_for(bench, fds[0], getpid(), getpid()), 0);
            assert_false(has_answer(fds[1]));
            kill(child, SIGKILL);
            break;
        case 2: /* the right pid, but its process is dead when the packet is read: the pid may be another's by now */
            child = speak(fds[1], true);
            siginfo_t information;
            assert_int_equal(waitid(P_PID, (id_t) child, &information, WEXITED | WNOWAIT),
                             0); /* a zombie: pidfd_open works */
            assert_int_equal(open_for(bench, fds[0], child, child), 0);
            assert_false(has_answer(fds[1]));
            break;
        default: /* an honest one after a packet of somebody else: too late */
            holder_send(fds[1], HANDLE_GET_STATE, 1, 0, 0, bytes_view_string(""));
            child = speak(fds[1], false);
            assert_int_equal(open_for(bench, fds[0], child, child), 0);
            assert_false(has_answer(fds[1]));
            kill(child, SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        close(fds[1]);
    }
}

static void many_requests_are_answered_in_order(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    /* More than the socket holds: sending waits for reading, and nothing is lost or changes places. */
    for (uint32_t sent = 1, received = 1; received <= 100;) {
        for (; sent <= 100 && sent < received + 8; sent++)
            holder_send(fd, HANDLE_SIGN_MESSAGE, sent, 0, 0x0403,
                        (BytesView) { (const uint8_t *) &sent, sizeof(sent) });
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.serial, received);
        /* a little-endian number below 67 begins like an empty handshake message, and not all do */
        bool refused = received <= 26 || received == 67;
        assert_int_equal(answer.status, refused ? FAILURE_PURPOSE_VIOLATION : 0);
        if (!refused)
            assert_true(verifies(bench->keys[0], 0x0403, (BytesView) { (const uint8_t *) &received, sizeof(received) },
                                 (BytesView) { answer.payload, answer.size }));
        received++;
    }
}

static void a_shut_down_holder_still_gets_its_answers(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    for (uint32_t serial = 1; serial <= 3; serial++)
        holder_send(fd, HANDLE_SIGN_MESSAGE, serial, 0, 0x0403, bytes_view_string("x"));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    for (uint32_t serial = 1; serial <= 3; serial++) {
        assert_true(holder_receive_answer(fd, &answer));
        assert_int_equal(answer.serial, serial);
    }
    holder_expect_closed(fd);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(state_comes_unasked_and_on_request),
        cmocka_unit_test(each_purpose_signs),
        cmocka_unit_test(refusals_are_named),
        cmocka_unit_test(a_blocked_identity_signs_nothing),
        cmocka_unit_test(only_changes_are_pushed),
        cmocka_unit_test(what_is_unproved_says_so),
        cmocka_unit_test(the_first_sender_is_checked),
        cmocka_unit_test(many_requests_are_answered_in_order),
        cmocka_unit_test(a_shut_down_holder_still_gets_its_answers),
        cmocka_unit_test(handles_end),
        cmocka_unit_test(last_state),
    };
    return cmocka_run_group_tests(tests, bench_start, bench_stop);
}
