/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One credential handle's socket, and the call over the bus that gives it: numbers of questions, whose descriptor is
 * closed, and which words and which errno each failure has. Hostile packets are in test-handle-hostile.c. */
#include "client-lib/connection.h"
#include "client-lib/open.h"
#include "common/handle-protocol.h"
#include "common/tlv.h"
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define SECONDS 10 /* nothing here waits so long but what fails */

typedef struct Wire {
    Connection *connection;
    int theirs;
    unsigned states; /* taken */
    int r;           /* on_state's answer */
} Wire;

static int take(identityd_snapshot *snapshot, void *userdata) {
    Wire *wire = userdata;

    wire->states++;
    identityd_snapshot_free(snapshot);
    return wire->r;
}

static uint64_t soon(void) {
    return connection_now() + SECONDS * UINT64_C(1000000);
}

static void send_packet(int socket, uint8_t type, uint16_t status, uint32_t serial, BytesView payload) {
    const PacketHeader header = { .type = type, .status = status, .serial = serial, .generation = 1 };

    assert_int_equal(packet_send(socket, &header, payload, NULL, 0), 0);
}

static void send_state(int socket, uint32_t serial) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append_string(&body, HANDLE_STATE_IDENTITY, "mqtt"), 0);
    assert_int_equal(tlv_append_string(&body, HANDLE_STATE_PURPOSE, "data-raw"), 0);
    assert_int_equal(tlv_append_string(&body, HANDLE_STATE_STATE, "ready"), 0);
    send_packet(socket, HANDLE_STATE, 0, serial, bytes_view(&body));
}

/* What was asked, which is read away. */
static PacketHeader asked(const Wire *wire) {
    static PacketBuffer buffer;
    Packet packet = PACKET_INIT;

    assert_int_equal(packet_receive(wire->theirs, &buffer, false, &packet), PACKET_RECEIVED);
    return packet.header;
}

static int begin(Wire *wire) {
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    wire->theirs = fds[1];
    send_state(wire->theirs, 0);
    return connection_begin(wire->connection, fds[0], soon());
}

static void wire_open(Wire *wire) {
    *wire = (Wire) { .connection = calloc(1, sizeof(Connection)), .theirs = -1 };
    assert_non_null(wire->connection);
    wire->connection->line.fd = -1;
    wire->connection->on_state = take;
    wire->connection->userdata = wire;
    assert_int_equal(begin(wire), 0);
}

static void wire_close(Wire *wire) {
    connection_hang_up(&wire->connection->line);
    assert_int_equal(wire->connection->line.fd, -1);
    free(wire->connection);
    close(wire->theirs);
}

static int ask(Wire *wire, ConnectionAnswer *answer) {
    static uint8_t signature[IDENTITYD_SIGNATURE_MAX];

    *answer = (ConnectionAnswer) { .data = signature };
    return connection_ask(wire->connection,
                          &(ConnectionRequest) { .type = HANDLE_SIGN_MESSAGE,
                                                 .generation = 7,
                                                 .scheme = P256,
                                                 .payload = bytes_view_string("message"),
                                                 .deadline = soon() },
                          answer);
}

/* ---- beginning ---- */

static void test_begin(void **state) {
    Wire wire;

    wire_open(&wire);
    assert_true(connection_is_alive(wire.connection));
    assert_int_equal(wire.states, 1);
    assert_true(fcntl(wire.connection->line.fd, F_GETFL) & O_NONBLOCK); /* as its holder needs it, whoever made it */
    assert_true(fcntl(wire.connection->line.fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(connection_process(wire.connection), 0);
    send_state(wire.theirs, 0);
    assert_int_equal(connection_process(wire.connection), 0);
    assert_int_equal(wire.states, 2);
    assert_int_equal(connection_process(wire.connection), 0);
    assert_int_equal(wire.states, 2);
    wire_close(&wire);
    connection_hang_up(&(ConnectionLine) { .fd = -1 });
}

/* Where a second line cannot be had, the first one goes on. */
static void test_begin_again_in_vain(void **state) {
    ConnectionAnswer answer;
    Wire wire;
    int pipes[2], fds[2];

    wire_open(&wire);
    const int first = wire.connection->line.fd;
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_int_equal(connection_begin(wire.connection, pipes[0], soon()), -ENOTSOCK);
    assert_int_equal(fcntl(pipes[0], F_GETFD), -1); /* was taken over, and is closed */
    assert_error_says("is no credential handle: not a SOCK_SEQPACKET socket of AF_UNIX");
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    close(fds[1]);
    assert_int_equal(connection_begin(wire.connection, fds[0], soon()), -EPIPE);
    assert_int_equal(fcntl(fds[0], F_GETFD), -1);
    assert_int_equal(wire.connection->line.fd, first);
    assert_true(connection_is_alive(wire.connection));
    send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 2, bytes_view_string("signature"));
    assert_int_equal(ask(&wire, &answer), 0); /* its numbers go on, too */
    close(pipes[1]);
    wire_close(&wire);
}

static void test_check_socket(void **state) {
    int fds[2];

    for (int type = SOCK_STREAM; type <= SOCK_SEQPACKET; type++) {
        if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds) < 0)
            continue;
        assert_int_equal(connection_check_socket(fds[0]), type == SOCK_SEQPACKET ? 0 : -ENOTSOCK);
        close(fds[0]);
        close(fds[1]);
    }
    assert_int_equal(connection_check_socket(-1), -ENOTSOCK);
    assert_error_says("descriptor -1 is no credential handle");
    assert_int_equal(connection_check_socket(fds[0]), -ENOTSOCK); /* closed */
}

/* ---- asking ---- */

static void test_question(void **state) {
    ConnectionAnswer answer;
    Wire wire;

    wire_open(&wire);
    send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 2, bytes_view_string("signature"));
    assert_int_equal(ask(&wire, &answer), 0);
    assert_int_equal(answer.size, 9);
    assert_memory_equal(answer.data, "signature", 9);
    PacketHeader header = asked(&wire);
    assert_int_equal(header.type, HANDLE_SIGN_MESSAGE);
    assert_int_equal(header.serial, 2);
    assert_int_equal(header.generation, 7);
    assert_int_equal(header.scheme, P256);
    wire_close(&wire);
}

/* 0 stands for what nobody asked: after the last number comes 1. */
static void test_numbers_begin_anew(void **state) {
    static const uint32_t expected[] = { UINT32_MAX - 2, UINT32_MAX - 1, 1, 2 };
    ConnectionAnswer answer;
    Wire wire;

    wire_open(&wire);
    wire.connection->line.serial = UINT32_MAX - 3;
    for (size_t i = 0; i < ARRAY_LENGTH(expected); i++) {
        send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, expected[i], bytes_view_string("s"));
        if (ask(&wire, &answer) < 0)
            fail_msg("question %u: %s", expected[i], identityd_last_error());
        assert_int_equal(asked(&wire).serial, expected[i]);
        assert_int_equal(wire.connection->line.first_abandoned, 0);
    }
    wire_close(&wire);
}

/* What was given up before the numbers began anew does not hide what is given up after it. */
static void test_given_up_around_the_last_number(void **state) {
    ConnectionAnswer answer;
    Wire wire;

    wire_open(&wire);
    wire.connection->line.serial = UINT32_MAX - 2;
    for (unsigned i = 0; i < 2; i++) { /* UINT32_MAX - 1, then 1 */
        const ConnectionRequest request = { .type = HANDLE_SIGN_MESSAGE, .deadline = 1 };
        assert_int_equal(connection_ask(wire.connection, &request, NULL), -ETIMEDOUT);
        assert_error_says("identityd did not answer on the credential handle in time");
    }
    send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 1, bytes_view_string("late"));
    send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 2, bytes_view_string("signature"));
    assert_int_equal(ask(&wire, &answer), 0);
    assert_int_equal(answer.size, 9);
    wire_close(&wire);
}

/* Each kind of refusal has its errno, its text comes through, and the line goes on. */
static void test_refusals(void **state) {
    static const int expected[_FAILURE_KIND_COUNT] = {
        [FAILURE_INTERNAL] = -EIO,
        [FAILURE_ACCESS_DENIED] = -EACCES,
        [FAILURE_NO_SUCH_IDENTITY] = -ENOENT,
        [FAILURE_NOT_READY] = -EAGAIN,
        [FAILURE_EXPIRED] = -EKEYEXPIRED,
        [FAILURE_REVOKED] = -EKEYREVOKED,
        [FAILURE_TPM_UNAVAILABLE] = -ENODEV,
        [FAILURE_TPM_REPLACED] = -ENODEV,
        [FAILURE_INVALID_ARGUMENT] = -EINVAL,
        [FAILURE_PURPOSE_VIOLATION] = -EPERM,
        [FAILURE_BUSY] = -EBUSY,
        [FAILURE_LIMITS_EXCEEDED] = -EDQUOT,
        [FAILURE_ENROLLMENT_FAILED] = -EIO,
        [FAILURE_CERTIFICATE_REJECTED] = -EIO,
        [FAILURE_RETIRED] = -ENOKEY,
        [FAILURE_STORAGE] = -EIO,
        [FAILURE_SEND_AGAIN] = -EBUSY,
        [FAILURE_LOOKUP_FAILED] = -EBUSY,
    };
    ConnectionAnswer answer;
    Wire wire;

    wire_open(&wire);
    for (uint16_t kind = 1; kind < _FAILURE_KIND_COUNT; kind++) {
        send_packet(wire.theirs, HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, kind, kind + 1U, bytes_view_string("because"));
        assert_int_equal(ask(&wire, &answer), expected[kind]);
        assert_string_equal(identityd_last_error(), "because");
        assert_int_equal(answer.size, 0);
        assert_true(connection_is_alive(wire.connection));
        (void) asked(&wire);
    }
    wire_close(&wire);
}

/* ---- what ends a line, and in which words ---- */

static void test_violations(void **state) {
    static const struct {
        uint8_t type;
        uint16_t status;
        uint32_t serial;
        const char *says;
    } table[] = {
        { HANDLE_STATE, 1, 0, "a State with an error" },
        { HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 0, "an answer without a serial number" },
        { HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 9, "an answer to nothing that was asked" },
        { HANDLE_SIGN_DIGEST | HANDLE_ANSWER, 0, 2, "an answer of another type" },
        { HANDLE_SIGN_MESSAGE | HANDLE_ANSWER, 0, 2, "a signature of impossible length" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        ConnectionAnswer answer;
        Wire wire;
        wire_open(&wire);
        send_packet(wire.theirs, table[i].type, table[i].status, table[i].serial, (BytesView) { NULL, 0 });
        assert_int_equal(ask(&wire, &answer), -EBADMSG);
        assert_error_says("what identityd sent on the credential handle is not the protocol: ");
        assert_error_says(table[i].says);
        assert_false(connection_is_alive(wire.connection));
        assert_int_equal(ask(&wire, &answer), -EPIPE);
        assert_int_equal(connection_process(wire.connection), -EPIPE);
        wire_close(&wire);
    }
}

/* Whoever takes States says that this one is none of its: its errno is the answer. */
static void test_state_refused(void **state) {
    Wire wire;

    wire_open(&wire);
    wire.r = -EXDEV;
    send_state(wire.theirs, 0);
    assert_int_equal(connection_process(wire.connection), -EXDEV);
    assert_false(connection_is_alive(wire.connection));
    wire_close(&wire);
}

/* What identityd said before it hung up is heard all the same. */
static void test_last_words(void **state) {
    ConnectionAnswer answer;
    Wire wire;

    wire_open(&wire);
    send_state(wire.theirs, 0);
    close(wire.theirs);
    wire.theirs = -1;
    assert_int_equal(ask(&wire, &answer), -EPIPE);
    assert_error_says("identityd closed the credential handle");
    assert_int_equal(wire.states, 2);
    wire_close(&wire);
}

/* The program closed all its descriptors: what has the number now is neither written to nor closed. */
static void test_descriptor_of_somebody_else(void **state) {
    ConnectionAnswer answer;
    Wire wire;
    int fds[2];

    wire_open(&wire);
    int fd = wire.connection->line.fd;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(dup2(fds[0], fd), fd);
    assert_int_equal(ask(&wire, &answer), -EPIPE);
    assert_string_equal(identityd_last_error(), "this program closed the descriptor of the credential handle");
    assert_int_equal(wire.connection->line.fd, -1);
    assert_false(is_readable(fds[1], 0));
    assert_true(fcntl(fd, F_GETFD) >= 0);
    ConnectionLine line = { .fd = fd }; /* of another device and inode */
    connection_hang_up(&line);
    assert_true(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    close(fds[0]);
    close(fds[1]);
    wire_close(&wire);
}

/* ---- over the bus ---- */

static void test_bus_errors(void **state) {
    static const struct {
        const char *name;
        int r;
        const char *says;
    } table[] = {
        { "org.freedesktop.DBus.Error.ServiceUnknown", -EHOSTDOWN, "identityd is not running (systemctl status" },
        { "org.freedesktop.DBus.Error.NameHasNoOwner", -EHOSTDOWN, "identityd is not running (systemctl status" },
        { "org.freedesktop.DBus.Error.NoReply", -ETIMEDOUT, "identityd gave no answer" },
        { "org.freedesktop.DBus.Error.Timeout", -ETIMEDOUT, "identityd gave no answer in time" },
        { "org.freedesktop.DBus.Error.AccessDenied", -EACCES, "does not admit this process: the words" },
        { "org.freedesktop.DBus.Error.LimitsExceeded", -EDQUOT, "a limit of the system bus was reached: the words" },
        { "org.freedesktop.DBus.Error.UnknownMethod", -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
        { "org.freedesktop.DBus.Error.UnknownObject", -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
        { "org.freedesktop.DBus.Error.UnknownInterface", -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
        { "org.freedesktop.DBus.Error.Failed", -EIO, "the words (org.freedesktop.DBus.Error.Failed)" },
        { "org.example.Odd", -EIO, "opening a credential of mqtt: the words (org.example.Odd)" },
        { "org.identityd1.Error.AccessDenied", -EACCES, "the words" },
        { "org.identityd1.Error.Revoked", -EKEYREVOKED, "the words" },
        { "org.identityd1.Error.FromTheFuture", -EIO, "the words" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        fake_identityd_refuse(fixture.fake, table[i].name, "the words");
        int r = open_credential("mqtt", "data-raw", connection_now() + 25000000);
        if (r != table[i].r)
            fail_msg("%s: %d instead of %d: %s", table[i].name, r, table[i].r, identityd_last_error());
        assert_error_says(table[i].says);
    }
    /* However short the words are. */
    fake_identityd_refuse(fixture.fake, "org.example.Odd", "w");
    assert_int_equal(open_credential("mqtt", "data-raw", connection_now() + 25000000), -EIO);
    assert_error_says("mqtt: w (org.example.Odd)");
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.Busy", "w");
    assert_int_equal(open_credential("mqtt", "data-raw", connection_now() + 25000000), -EBUSY);
    assert_string_equal(identityd_last_error(), "w");
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.Busy", "");
    assert_int_equal(open_credential("mqtt", "data-raw", connection_now() + 25000000), -EBUSY);
    assert_string_equal(identityd_last_error(), "org.identityd1.Error.Busy");
}

static void test_bad_replies(void **state) {
    static const struct {
        FakeFault fault;
        const char *says;
    } table[] = {
        { FAKE_FAULT_REPLY_WITHOUT_HANDLE, "identityd's answer to OpenCredential has signature 's' instead of 'h'" },
        { FAKE_FAULT_REPLY_PIPE, "identityd's answer to OpenCredential: " },
        { FAKE_FAULT_REPLY_STREAM, "not a SOCK_SEQPACKET socket of AF_UNIX" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        fake_identityd_set_fault(fixture.fake, table[i].fault);
        assert_int_equal(open_credential("mqtt", "data-raw", connection_now() + 25000000), -EBADMSG);
        assert_error_says(table[i].says);
    }
    fake_identityd_set_fault(fixture.fake, FAKE_FAULT_NONE);
    int fd = open_credential("mqtt", "data-raw", connection_now() + 25000000);
    assert_true(fd >= 3);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    close(fd);
}

static void test_list(void **state) {
    OpenNames names = { .count = 77 };

    fake_identityd_leave_bus(fixture.fake);
    assert_int_equal(open_list_identities(&names), -EHOSTDOWN);
    assert_error_says("listing identities: identityd is not running");
    assert_int_equal(names.count, 77);
    fake_identityd_join_bus(fixture.fake);
    assert_int_equal(open_list_identities(&names), 0);
    assert_int_equal(names.count, 1);
    assert_string_equal(names.names[0], "mqtt");
    open_names_free(&names);
    assert_int_equal(names.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begin),
        cmocka_unit_test(test_begin_again_in_vain),
        cmocka_unit_test(test_check_socket),
        cmocka_unit_test(test_question),
        cmocka_unit_test(test_numbers_begin_anew),
        cmocka_unit_test(test_given_up_around_the_last_number),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_violations),
        cmocka_unit_test(test_state_refused),
        cmocka_unit_test(test_last_words),
        cmocka_unit_test(test_descriptor_of_somebody_else),
        TEST(test_bus_errors),
        TEST(test_bad_replies),
        TEST(test_list),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
