/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who says what first on a handle, and what becomes of a question that nobody answers. */
#include "client-lib/connection.h"
#include "common/handle-protocol.h"
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* ---- handles that come from elsewhere ---- */

static void expect_silence(const Wire *wire) {
    char byte;

    assert_int_equal(recv(wire->theirs, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

/* Whoever speaks first vouches for who opened it: we never do. */
static void test_never_speaks_first(void **state) {
    identityd_credential *credential = NULL;
    Wire wire = wire_new();

    good_state(&raw, 0);
    send_raw(wire.theirs, &raw);
    assert_int_equal(identityd_credential_from_fd(wire.ours, &credential), 0);
    assert_int_equal(identityd_credential_process(credential), 0);
    expect_silence(&wire);
    identityd_credential_free(credential);
    close(wire.theirs);
}

static void send_unproved(const Wire *wire) {
    good_state(&raw, 0);
    field(&raw, HANDLE_STATE_UNPROVED, "", 0);
    send_raw(wire->theirs, &raw);
}

static void test_unproved(void **state) {
    identityd_credential *credential = NULL;
    Wire wire = wire_new();

    send_unproved(&wire);
    assert_int_equal(identityd_credential_from_fd(wire.ours, &credential), -EPERM);
    assert_null(credential);
    assert_non_null(strstr(identityd_last_error(), "it is to send GetState before it passes the handle on"));
    assert_int_equal(recv(wire.theirs, raw.bytes, 1, MSG_DONTWAIT), 0); /* closed without a word */
    close(wire.theirs);
    /* Its opener has spoken, and left the answers. */
    wire = wire_new();
    send_unproved(&wire);
    answer(0x83, 0, 5, 70);
    send_raw(wire.theirs, &raw);
    good_state(&raw, 9);
    send_raw(wire.theirs, &raw);
    assert_int_equal(identityd_credential_from_fd(wire.ours, &credential), 0);
    expect_silence(&wire);
    answer(0x83, 0, 2, 70);
    send_raw(wire.theirs, &raw);
    assert_int_equal(sign_now(credential), 0);
    identityd_credential_free(credential);
    close(wire.theirs);
}

static void test_closed(void **state) {
    identityd_credential *credential = NULL;
    Wire wire = wire_new();

    close(wire.theirs);
    assert_int_equal(identityd_credential_from_fd(wire.ours, &credential), -EPIPE);
    credential = open_wire(&wire);
    close(wire.theirs);
    assert_int_equal(sign_now(credential), -EPIPE); /* and no SIGPIPE */
    identityd_credential_free(credential);
}

/* ---- never answers: the connection alone, where the deadline is a parameter ---- */

static int drop_state(identityd_snapshot *snapshot, void *userdata) {
    identityd_snapshot_free(snapshot);
    return 0;
}

/* identityd, that has heard from who opened the handle. */
static void *prove(void *userdata) {
    const Wire *wire = userdata;
    struct {
        uint8_t bytes[16];
    } question;

    assert_int_equal(recv(wire->theirs, &question, sizeof question, 0), 16);
    assert_int_equal(question.bytes[1], HANDLE_GET_STATE);
    good_state(&raw, 1);
    send_raw(wire->theirs, &raw);
    return NULL;
}

/* Who opened the handle asks for the State only where that is what proves it: the answer may have to wait for the TPM.
 */
static void test_proves_where_it_must(void **state) {
    Connection *connection = calloc(1, sizeof(*connection));
    Wire wire = wire_new();
    pthread_t identityd;

    connection->line.fd = -1;
    connection->on_state = drop_state;
    send_unproved(&wire);
    assert_int_equal(connection_begin(connection, dup(wire.ours), connection_now() + 50000), -ETIMEDOUT);
    assert_int_equal(recv(wire.theirs, raw.bytes, sizeof raw.bytes, MSG_DONTWAIT), 16);
    assert_int_equal(raw.bytes[1], HANDLE_GET_STATE);
    send_unproved(&wire);
    assert_int_equal(pthread_create(&identityd, NULL, prove, &wire), 0);
    assert_int_equal(connection_begin(connection, wire.ours, connection_now() + 25000000), 0);
    assert_int_equal(pthread_join(identityd, NULL), 0);
    assert_false(connection->unproved);
    expect_silence(&wire);
    connection_hang_up(&connection->line);
    free(connection);
    close(wire.theirs);
}

static void test_never_answers(void **state) {
    Connection *connection = calloc(1, sizeof(*connection));
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    ConnectionAnswer result = { .data = signature };
    Wire wire = wire_new();

    connection->line.fd = -1;
    connection->on_state = drop_state;
    uint64_t start = connection_now();
    assert_int_equal(connection_begin(connection, dup(wire.ours), start + 50000), -ETIMEDOUT);
    assert_int_equal(connection->line.fd, -1);
    assert_true(connection_now() - start >= 50000);
    /* One that came from elsewhere, and whose State somebody has read. */
    expect_silence(&wire);
    answer(0x83, 0, 7, 10);
    send_raw(wire.theirs, &raw);
    assert_int_equal(connection_adopt(connection, dup(wire.ours), connection_now() + 50000), -ETIMEDOUT);
    assert_int_equal(connection->line.fd, -1);
    assert_non_null(strstr(identityd_last_error(), "is to send GetState and leave the answer"));
    expect_silence(&wire);

    good_state(&raw, 0);
    send_raw(wire.theirs, &raw);
    assert_int_equal(connection_begin(connection, wire.ours, connection_now() + 1000000), 0);
    expect_silence(&wire);
    ConnectionRequest request = { .type = HANDLE_SIGN_MESSAGE,
                                  .generation = 1,
                                  .scheme = 0x0403,
                                  .payload = { (const uint8_t *) "x", 1 },
                                  .deadline = connection_now() + 20000 };
    assert_int_equal(connection_ask(connection, &request, &result), -ETIMEDOUT); /* serial 2 */
    request.deadline = connection_now() + 20000;
    assert_int_equal(connection_ask(connection, &request, &result), -ETIMEDOUT); /* serial 3 */
    /* the late answers are not taken for that to the next question */
    answer(0x83, 0, 2, 10);
    send_raw(wire.theirs, &raw);
    answer(0x83, 0, 3, 11);
    send_raw(wire.theirs, &raw);
    answer(0x83, 0, 4, 12);
    send_raw(wire.theirs, &raw);
    request.deadline = connection_now() + 1000000;
    assert_int_equal(connection_ask(connection, &request, &result), 0);
    assert_int_equal(result.size, 12);
    /* and once that is answered, they would be a fault */
    answer(0x83, 0, 3, 11);
    send_raw(wire.theirs, &raw);
    assert_int_equal(connection_process(connection), -EBADMSG);
    connection_hang_up(&connection->line);
    free(connection);
    close(wire.theirs);
}

/* States without end do not keep a question waiting beyond its deadline, nor process() for ever. */
static void test_flood(void **state) {
    Connection *connection = calloc(1, sizeof(*connection));
    Wire wire = wire_new();

    connection->line.fd = -1;
    connection->on_state = drop_state;
    good_state(&raw, 0);
    send_raw(wire.theirs, &raw);
    assert_int_equal(connection_begin(connection, wire.ours, connection_now() + 1000000), 0);
    good_state(&raw, 0);
    assert_int_equal(fcntl(wire.theirs, F_SETFL, O_NONBLOCK), 0);
    unsigned sent = 0;
    while (send(wire.theirs, raw.bytes, raw.size, 0) > 0)
        sent++;
    assert_true(sent > 64);
    assert_int_equal(connection_process(connection), 0);
    assert_int_equal(send(wire.theirs, raw.bytes, raw.size, 0), raw.size); /* something was taken … */
    assert_true(connection_is_alive(connection));
    ConnectionRequest request = { .type = HANDLE_SIGN_MESSAGE, .generation = 1, .scheme = 0x0403, .deadline = 1 };
    assert_int_equal(connection_ask(connection, &request, NULL), -ETIMEDOUT);
    connection_hang_up(&connection->line);
    free(connection);
    close(wire.theirs);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_speaks_first),
        cmocka_unit_test(test_unproved),
        cmocka_unit_test(test_closed),
        cmocka_unit_test(test_proves_where_it_must),
        cmocka_unit_test(test_never_answers),
        cmocka_unit_test(test_flood),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
