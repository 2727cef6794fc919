/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plain socket joined with a session of TLS: bytes and ends in both directions, who may be kept waiting, and every
 * way in which it fails. The peer is GnuTLS with a software key, in the same thread. */
#include "proxy/flow.h"

#include "lab.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>

#define CAPACITY 1024U
#define LARGE    (512U * 1024U)

typedef struct Fixture {
    int wire[2], plain[2]; /* the proxy's end, and that of the peer or the program */
    gnutls_session_t ours, peer;
    Flow flow;
    int error; /* of the last turn */
} Fixture;

static char large[LARGE], got[LARGE];

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);
    int ours = GNUTLS_E_AGAIN, peer = GNUTLS_E_AGAIN;

    assert_non_null(fixture);
    lab_pair(fixture->wire);
    lab_pair(fixture->plain);
    fixture->ours = lab_session(false, fixture->wire[0], lab.client);
    fixture->peer = lab_session(true, fixture->wire[1], lab.server);
    for (unsigned i = 0; i < 100 && (ours != 0 || peer != 0); i++) {
        ours = ours == 0 ? 0 : lab_handshake_step(fixture->ours);
        peer = peer == 0 ? 0 : lab_handshake_step(fixture->peer);
    }
    assert_int_equal(ours, 0);
    assert_int_equal(peer, 0);
    assert_int_equal(flow_begin(&fixture->flow, fixture->ours, fixture->plain[0], CAPACITY), 0);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    Fixture *fixture = *state;

    flow_clear(&fixture->flow);
    gnutls_deinit(fixture->ours);
    gnutls_deinit(fixture->peer);
    for (unsigned i = 0; i < 2; i++) {
        close_safe(fixture->wire[i]);
        close_safe(fixture->plain[i]);
    }
    free(fixture);
    return 0;
}

/* What epoll would say: that something may have come, and that there may be room. */
static void events(Fixture *fixture) {
    flow_plain_event(&fixture->flow, EPOLLIN | EPOLLOUT);
    flow_tls_event(&fixture->flow);
}

/* Turns until there is nothing to do. */
static FlowResult turns(Fixture *fixture) {
    FlowResult result = FLOW_MORE;

    events(fixture);
    for (unsigned i = 0; i < 10000 && result == FLOW_MORE; i++)
        result = flow_turn(&fixture->flow, &fixture->error);
    return result;
}

static void program_writes(Fixture *fixture, const char *text) {
    assert_int_equal(send(fixture->plain[1], text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

static void program_has(Fixture *fixture, const char *expected) {
    char text[256];
    ssize_t size = recv(fixture->plain[1], text, sizeof text - 1, 0);

    assert_int_equal(size, (ssize_t) strlen(expected));
    text[size] = '\0';
    assert_string_equal(text, expected);
}

static void program_sees_the_end(Fixture *fixture) {
    char byte;

    assert_int_equal(recv(fixture->plain[1], &byte, 1, 0), 0);
}

static void peer_writes(Fixture *fixture, const char *text) {
    assert_int_equal(gnutls_record_send(fixture->peer, text, strlen(text)), (ssize_t) strlen(text));
}

static void peer_has(Fixture *fixture, const char *expected) {
    char text[256];
    ssize_t size = gnutls_record_recv(fixture->peer, text, sizeof text - 1);

    assert_int_equal(size, (ssize_t) strlen(expected));
    text[size] = '\0';
    assert_string_equal(text, expected);
}

static void peer_sees_the_end(Fixture *fixture) {
    char byte;

    assert_int_equal(gnutls_record_recv(fixture->peer, &byte, 1), 0);
}

/* ---- bytes ---- */

static void test_bytes(void **state) {
    Fixture *fixture = *state;

    program_writes(fixture, "question");
    peer_writes(fixture, "greeting");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    peer_has(fixture, "question");
    program_has(fixture, "greeting");
    peer_writes(fixture, "answer");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_has(fixture, "answer");
    assert_int_equal(fixture->flow.sent, 8);
    assert_int_equal(fixture->flow.received, 14);
    assert_false(flow_is_ending(&fixture->flow) || flow_is_lingering(&fixture->flow));
}

/* What the program is told first, in small pieces as well; it is none of the peer's bytes. */
static void test_a_prefix(void **state) {
    Fixture *fixture = *state;
    char prefix[3 * CAPACITY + 1];

    memset(prefix, 'p', sizeof prefix - 1);
    prefix[sizeof prefix - 1] = '\0';
    assert_int_equal(flow_set_prefix(&fixture->flow, prefix, sizeof prefix - 1), 0);
    peer_writes(fixture, "greeting");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    assert_int_equal(recv(fixture->plain[1], got, sizeof prefix - 1, MSG_WAITALL), sizeof prefix - 1);
    assert_memory_equal(got, prefix, sizeof prefix - 1);
    program_has(fixture, "greeting");
    assert_int_equal(fixture->flow.received, 8);
    peer_writes(fixture, "more");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_has(fixture, "more");
    assert_int_equal(fixture->flow.received, 12);
}

/* The program hears who it is also where the peer says nothing. */
static void test_a_prefix_alone(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(flow_set_prefix(&fixture->flow, "prefix", 6), 0);
    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_has(fixture, "prefix");
    assert_int_equal(fixture->flow.received, 0);
}

/* The peer's session tickets come before its first bytes, in the same event: there will be no second one. */
static void test_bytes_behind_a_ticket(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(turns(fixture), FLOW_WAIT); /* what the handshake left */
    assert_true(gnutls_session_ticket_send(fixture->peer, 1, 0) >= 0);
    peer_writes(fixture, "greeting");
    flow_tls_event(&fixture->flow);
    for (unsigned i = 0; i < 10; i++)
        (void) flow_turn(&fixture->flow, &fixture->error);
    program_has(fixture, "greeting");
}

/* Much more than the buffers and the kernel hold, and both ways at once. */
static void test_many_bytes(void **state) {
    Fixture *fixture = *state;
    size_t written = 0, sent = 0, read = 0, received = 0;
    static char back[LARGE];

    assert_int_equal(getrandom(large, sizeof large, GRND_INSECURE), sizeof large);
    while (read < LARGE || received < LARGE) {
        ssize_t n = send(fixture->plain[1], large + written, LARGE - written, MSG_NOSIGNAL);
        written += n > 0 ? (size_t) n : 0;
        n = sent < LARGE ? gnutls_record_send(fixture->peer, large + sent, LARGE - sent) : 0;
        sent += n > 0 ? (size_t) n : 0;
        FlowResult result = turns(fixture);
        assert_true(result == FLOW_WAIT || result == FLOW_MORE);
        n = recv(fixture->plain[1], back + read, LARGE - read, 0);
        read += n > 0 ? (size_t) n : 0;
        n = received < LARGE ? gnutls_record_recv(fixture->peer, got + received, LARGE - received) : 0;
        received += n > 0 ? (size_t) n : 0;
    }
    assert_memory_equal(got, large, LARGE);
    assert_memory_equal(back, large, LARGE);
    assert_int_equal(fixture->flow.sent, LARGE);
    assert_int_equal(fixture->flow.received, LARGE);
}

/* Others are to have their turn. */
static void test_a_turn_is_bounded(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(send(fixture->plain[1], large, 100 * CAPACITY, MSG_NOSIGNAL), 100 * CAPACITY);
    events(fixture);
    assert_int_equal(flow_turn(&fixture->flow, &fixture->error), FLOW_MORE);
    assert_in_range(fixture->flow.sent, 1, FLOW_STEPS * CAPACITY);
}

/* Who does not read makes the other wait, and costs no more than a buffer. */
static void test_a_program_that_does_not_read(void **state) {
    Fixture *fixture = *state;
    uint64_t sent = 0, before;

    do {
        before = sent;
        for (ssize_t n; (n = gnutls_record_send(fixture->peer, large, 16384)) > 0;)
            sent += (uint64_t) n;
        assert_int_equal(turns(fixture), FLOW_WAIT);
    } while (sent != before);
    assert_true(fixture->flow.down.end - fixture->flow.down.begin <= CAPACITY);
    assert_false(fixture->flow.plain_writable);
    program_writes(fixture, "still heard");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    peer_has(fixture, "still heard");
    (void) recv(fixture->plain[1], got, sizeof got, 0);
    before = fixture->flow.received;
    (void) turns(fixture);
    assert_true(fixture->flow.received > before);
}

static void test_a_peer_that_does_not_read(void **state) {
    Fixture *fixture = *state;
    uint64_t written = 0, before;

    do {
        before = written;
        for (ssize_t n; (n = send(fixture->plain[1], large, 16384, MSG_NOSIGNAL)) > 0;)
            written += (uint64_t) n;
        assert_int_equal(turns(fixture), FLOW_WAIT);
    } while (written != before);
    assert_true(fixture->flow.up.end - fixture->flow.up.begin <= CAPACITY);
    assert_false(fixture->flow.tls_writable);
    peer_writes(fixture, "still heard");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_has(fixture, "still heard");
}

/* ---- ends ---- */

static void test_the_program_ends_first(void **state) {
    Fixture *fixture = *state;

    program_writes(fixture, "question");
    assert_int_equal(shutdown(fixture->plain[1], SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_WAIT);
    assert_true(flow_is_ending(&fixture->flow));
    assert_false(flow_is_lingering(&fixture->flow)); /* it still reads */
    peer_has(fixture, "question");
    peer_sees_the_end(fixture);
    peer_writes(fixture, "answer");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_has(fixture, "answer");
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_DONE);
    program_sees_the_end(fixture);
}

static void test_the_peer_ends_first(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "answer");
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_WAIT);
    assert_true(flow_is_ending(&fixture->flow));
    program_has(fixture, "answer");
    program_sees_the_end(fixture);
    program_writes(fixture, "last words");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    peer_has(fixture, "last words");
    assert_int_equal(shutdown(fixture->plain[1], SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_DONE);
    peer_sees_the_end(fixture);
}

/* What it wrote before it closed arrives; what comes for it is thrown away. */
static void test_a_program_that_closes(void **state) {
    Fixture *fixture = *state;

    program_writes(fixture, "last words");
    fixture->plain[1] = close_safe(fixture->plain[1]);
    peer_writes(fixture, "too late");
    flow_plain_event(&fixture->flow, EPOLLIN | EPOLLOUT | EPOLLHUP);
    assert_int_equal(turns(fixture), FLOW_WAIT);
    peer_has(fixture, "last words");
    peer_sees_the_end(fixture);
    assert_true(flow_is_lingering(&fixture->flow)); /* for the peer to end */
    peer_writes(fixture, "much too late");
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_DONE);
    assert_int_equal(fixture->flow.received, 0);
}

/* The kernel resets the connection then, which is no fault of anybody. */
static void test_a_program_that_closes_with_something_unread(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "unread");
    assert_int_equal(turns(fixture), FLOW_WAIT);
    fixture->plain[1] = close_safe(fixture->plain[1]);
    peer_writes(fixture, "more"); /* EPIPE */
    assert_int_equal(turns(fixture), FLOW_WAIT);
    assert_true(fixture->flow.plain_gone);
    peer_sees_the_end(fixture);
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_DONE);
}

/* ---- faults ---- */

static void test_a_peer_that_ends_without_saying_so(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "part");
    fixture->wire[1] = close_safe(fixture->wire[1]);
    assert_int_equal(turns(fixture), FLOW_TRUNCATED);
    assert_int_equal(fixture->error, GNUTLS_E_PREMATURE_TERMINATION);
    program_has(fixture, "part"); /* what came was passed on */
}

static void test_a_peer_that_refuses(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(gnutls_alert_send(fixture->peer, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_CA), 0);
    assert_int_equal(turns(fixture), FLOW_REFUSED);
    assert_int_equal(gnutls_alert_get(fixture->ours), GNUTLS_A_UNKNOWN_CA);
}

static void test_what_is_no_record(void **state) {
    static const char record[5 + 32] = "\x17\x03\x03\x00\x20 not what was agreed on";
    Fixture *fixture = *state;

    assert_int_equal(send(fixture->wire[1], record, sizeof record, 0), sizeof record);
    assert_int_equal(turns(fixture), FLOW_BROKEN);
    assert_true(gnutls_error_is_fatal(fixture->error));
    assert_int_equal(fixture->flow.received, 0);
}

static void test_a_local_socket_that_fails(void **state) {
    Fixture *fixture = *state;

    fixture->flow.plain = STDIN_FILENO + 1000; /* nobody's */
    assert_int_equal(turns(fixture), FLOW_LOCAL);
    assert_int_equal(fixture->error, -EBADF);
}

static void test_a_local_socket_that_fails_when_written_to(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "x");
    flow_tls_event(&fixture->flow);
    fixture->flow.plain_readable = false;
    fixture->flow.plain = STDIN_FILENO + 1000;
    assert_int_equal(flow_turn(&fixture->flow, &fixture->error), FLOW_LOCAL);
    assert_int_equal(fixture->error, -EBADF);
}

/* The peer said all it had to say, and listens no more: the program gets that, and a fault for what it could not say.
 */
static void test_a_peer_that_takes_no_more(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "answer");
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    fixture->wire[1] = close_safe(fixture->wire[1]);
    program_writes(fixture, "never heard");
    assert_int_equal(turns(fixture), FLOW_BROKEN);
    assert_int_equal(fixture->error, fixture->flow.up_error);
    assert_true(fixture->error < 0 && flow_is_ending(&fixture->flow));
    program_has(fixture, "answer");
    program_sees_the_end(fixture);
    assert_int_equal(fixture->flow.sent, 0);
}

/* With nothing to say it is none. */
static void test_a_peer_that_cannot_be_told_of_the_end(void **state) {
    Fixture *fixture = *state;

    peer_writes(fixture, "answer");
    assert_int_equal(gnutls_bye(fixture->peer, GNUTLS_SHUT_WR), 0);
    fixture->wire[1] = close_safe(fixture->wire[1]);
    assert_int_equal(shutdown(fixture->plain[1], SHUT_WR), 0);
    assert_int_equal(turns(fixture), FLOW_DONE);
    program_has(fixture, "answer");
    program_sees_the_end(fixture);
}

/* ---- what epoll says ---- */

static void test_events(void **state) {
    static const struct {
        uint32_t events;
        bool readable, writable, gone;
    } cases[] = {
        { 0, false, false, false },       { EPOLLIN, true, false, false },
        { EPOLLOUT, false, true, false }, { EPOLLRDHUP, true, false, false }, /* it may go on reading */
        { EPOLLERR, true, true, false },  { EPOLLHUP, true, true, true },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Flow flow = { .plain = -1 };
        flow_plain_event(&flow, cases[i].events);
        assert_int_equal(flow.plain_readable, cases[i].readable);
        assert_int_equal(flow.plain_writable, cases[i].writable);
        assert_int_equal(flow.plain_gone, cases[i].gone);
        assert_false(flow.tls_readable || flow.tls_writable);
        flow_tls_event(&flow);
        assert_true(flow.tls_readable && flow.tls_writable);
    }
}

/* Without an event nothing is tried: sockets are watched for edges. */
static void test_no_event_no_bytes(void **state) {
    Fixture *fixture = *state;

    assert_int_equal(turns(fixture), FLOW_WAIT);
    program_writes(fixture, "question");
    assert_int_equal(flow_turn(&fixture->flow, &fixture->error), FLOW_WAIT);
    assert_int_equal(fixture->flow.sent, 0);
    flow_plain_event(&fixture->flow, EPOLLIN);
    (void) flow_turn(&fixture->flow, &fixture->error);
    assert_int_equal(fixture->flow.sent, 8);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_bytes),
        TEST(test_a_prefix),
        TEST(test_a_prefix_alone),
        TEST(test_bytes_behind_a_ticket),
        TEST(test_many_bytes),
        TEST(test_a_turn_is_bounded),
        TEST(test_a_program_that_does_not_read),
        TEST(test_a_peer_that_does_not_read),
        TEST(test_the_program_ends_first),
        TEST(test_the_peer_ends_first),
        TEST(test_a_program_that_closes),
        TEST(test_a_program_that_closes_with_something_unread),
        TEST(test_a_peer_that_ends_without_saying_so),
        TEST(test_a_peer_that_refuses),
        TEST(test_what_is_no_record),
        TEST(test_a_local_socket_that_fails),
        TEST(test_a_local_socket_that_fails_when_written_to),
        TEST(test_a_peer_that_takes_no_more),
        TEST(test_a_peer_that_cannot_be_told_of_the_end),
        cmocka_unit_test(test_events),
        TEST(test_no_event_no_bytes),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
