/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What one connection may take of the proxy: the time of its handshake, a place, silence. */
#include "connection-fixture.h"

#include <sys/socket.h>

/* ---- the time of a handshake ---- */

/* A client has its time in all: bytes that come do not give it more. */
static void test_a_client_that_dawdles(void **state) {
    Fixture *fixture = *state;
    char byte = 22; /* a record of the handshake … */

    fixture_serve(fixture);
    fixture->settings.limits.peer = 1;
    fixture_begin(fixture, true);
    gnutls_deinit(fixture->session);
    fixture->session = NULL;
    for (unsigned i = 0; fixture->ended == 0 && i < 1000; i++) { /* … whose bytes come one at a time */
        static const char header[] = { 22, 3, 1, 2, 0, 1, 0, 1, (char) 0xfc, 3, 3 };
        byte = i < sizeof header ? header[i] : 0;
        (void) send(fixture->peer.fd, &byte, 1, MSG_NOSIGNAL);
        fixture_loop_for(fixture, 40);
    }
    fixture_assert_end(fixture, "the client kept its handshake waiting for 1 s in all (--peer-timeout)");
}

/* Of the proxy's own time it loses nothing: the identity is away for longer than the peer may be silent. */
static void test_a_client_that_is_kept_waiting(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    fixture->settings.limits.peer = 1;
    fake_identityd_leave_bus(lab.fake);
    fixture_begin(fixture, true);
    fixture_loop_for(fixture, 1300);
    assert_int_equal(fixture->ended, 0);
    fake_identityd_join_bus(lab.fake);
    fixture_await(fixture, peer_is_done);
    peer_writes(fixture, "greeting");
    fixture_await(fixture, program_got_something);
}

/* ---- places ---- */

static void test_it_waits_for_a_place(void **state) {
    Fixture *fixture = *state;

    fixture->place = PLACE_NONE;
    fixture_begin(fixture, true);
    fixture_await(fixture, peer_is_done);
    peer_writes(fixture, "early");
    while (fixture->asked_for_place == 0)
        fixture_loop_for(fixture, 20);
    assert_false(connection_has_place(fixture->connection));
    assert_false(connection_yields(fixture->connection)); /* it has shown who it is */
    connection_place_is_free(fixture->connection);
    assert_int_equal(fixture->asked_for_place, 2);
    assert_int_equal(fixture->program.size, 0);
    fixture->place = PLACE_TAKEN;
    connection_place_is_free(fixture->connection);
    assert_true(connection_has_place(fixture->connection));
    fixture_await(fixture, program_got_something);
    connection_place_is_free(fixture->connection); /* it has one */
    assert_int_equal(fixture->asked_for_place, 3);
}

static void test_no_place_in_time(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.handshake = 1;
    fixture->place = PLACE_NONE;
    fixture_serve(fixture);
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "waited 1 s, at last for a place (--max-connections)");
    assert_int_equal(fixture->accepted, 0);
}

static void test_a_source_that_has_its_share(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.per_source = 3;
    fixture->place = PLACE_OF_SOURCES;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "whom it is from has 3 connections, the limit (--max-per-source)");
}

/* While it is waited for it may end for another; not before its turn, nor once it has a place. */
static void test_what_yields(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    fixture_begin(fixture, true);
    assert_int_equal(connection_active(fixture->connection), UINT64_MAX);
    while (!connection_yields(fixture->connection)) /* a worker has it */
        lab_loop_for(fixture->event, 20);
    assert_int_equal(proxy_source_compare(connection_source(fixture->connection), &fixture->source), 0);
    fixture_await(fixture, peer_is_done);
    peer_writes(fixture, "greeting");
    fixture_await(fixture, program_got_something);
    assert_false(connection_yields(fixture->connection));
    assert_true(connection_active(fixture->connection) < UINT64_MAX);
}

/* ---- limits of one that is open ---- */

/* It is the silence that counts, not the time since the beginning: bytes come all the time, for longer than that. */
static void test_idle(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.idle = 2;
    fixture_establish(fixture);
    for (unsigned i = 0; i < 125; i++) {
        program_writes(fixture, "x");
        fixture_loop_for(fixture, 20);
        fixture->peer.size = 0;
    }
    assert_int_equal(fixture->ended, 0);
    fixture_assert_end(fixture, "idle for 2 s");
}

static void test_idle_for_ever(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.idle = 0;
    fixture->settings.limits.handshake = 1; /* is no limit any more */
    fixture_establish(fixture);
    fixture_loop_for(fixture, 1400);
    assert_int_equal(fixture->ended, 0);
    program_writes(fixture, "still");
    fixture_await(fixture, peer_got_something);
}

static void test_half_closed(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.idle = 0; /* makes no difference then */
    fixture->settings.limits.half_closed = 1;
    fixture_establish(fixture);
    assert_int_equal(shutdown(fixture->program.fd, SHUT_WR), 0);
    fixture_await(fixture, peer_saw_the_end);
    assert_int_equal(fixture->ended, 0);
    fixture_assert_end(fixture, "one side was done, the other silent for 1 s");
}

/* A program that is gone hears nothing: its peer has time to read, and no more. */
static void test_a_program_that_is_gone(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    program_writes(fixture, "last words");
    fixture->program.fd = close_safe(fixture->program.fd);
    fixture_await(fixture, peer_saw_the_end);
    assert_string_equal(fixture->peer.text, "last words");
    fixture_assert_end(fixture, "the program is gone, and the peer did not end");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_a_client_that_dawdles),
        TEST(test_a_client_that_is_kept_waiting),
        TEST(test_it_waits_for_a_place),
        TEST(test_no_place_in_time),
        TEST(test_a_source_that_has_its_share),
        TEST(test_what_yields),
        TEST(test_idle),
        TEST(test_idle_for_ever),
        TEST(test_half_closed),
        TEST(test_a_program_that_is_gone),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
