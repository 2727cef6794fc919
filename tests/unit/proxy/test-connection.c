/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection from its beginning to its end, in both roles: stages and their limits, every end with its line in the
 * log, the identity that comes and goes, and workers that have it when it ends. */
#include "connection-fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* ---- bytes ---- */

static void talk(Fixture *fixture) {
    fixture_begin(fixture, true);
    fixture_await(fixture, peer_is_done);
    peer_writes(fixture, "greeting");
    fixture_await(fixture, program_got_something);
    assert_string_equal(fixture->program.text, "greeting");
    program_writes(fixture, "question");
    fixture_await(fixture, peer_got_something);
    assert_string_equal(fixture->peer.text, "question");
    assert_true(connection_is_open(fixture->connection));
    assert_int_equal(shutdown(fixture->program.fd, SHUT_WR), 0);
    fixture_await(fixture, peer_saw_the_end);
    peer_ends(fixture);
    fixture_await(fixture, program_saw_the_end);
    fixture_assert_end(fixture, "8 bytes to the peer and 8 from it: both sides are done");
}

static void test_client(void **state) {
    Fixture *fixture = *state;
    char line[128];

    talk(fixture);
    snprintf(line, sizeof line, "demo #7: open from uid %u (process %d) to 127.0.0.1, server CN=server, generation 1",
             getuid(), getpid());
    lab_assert_said(line);
}

static void test_server(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    talk(fixture);
    lab_assert_said(" to " FIXTURE_PROGRAM ", client CN=client, generation 1");
}

static void test_a_name_with_several_addresses(void **state) {
    Fixture *fixture = *state;

    free(fixture->settings.peer.host); /* often ::1 comes first, where nobody listens */
    fixture->settings.peer.host = strdup("localhost");
    talk(fixture);
}

/* ---- the identity ---- */

static void test_it_waits_for_the_identity(void **state) {
    Fixture *fixture = *state;

    fake_identityd_leave_bus(lab.fake);
    fixture_begin(fixture, true);
    program_writes(fixture, "early");
    fixture_loop_for(fixture, 200);
    assert_int_equal(fixture->accepted, 0);
    assert_true(connection_is_open(fixture->connection));
    fake_identityd_join_bus(lab.fake);
    fixture_await(fixture, peer_got_something);
    assert_string_equal(fixture->peer.text, "early"); /* nothing is lost meanwhile */
}

static void test_it_does_not_wait_for_ever(void **state) {
    Fixture *fixture = *state;

    fake_identityd_leave_bus(lab.fake);
    fixture->settings.limits.handshake = 1;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "waited 1 s, at last for the identity: ");
    lab_assert_said("demo #7: refused uid ");
}

static void test_refused_by_the_identity(void **state) {
    static const struct {
        const char *word, *why;
    } cases[] = { { "empty", "it has no certificate yet" },
                  { "revoked", "its certificate was revoked by the CA, or put on hold" } };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Fixture *fixture;
        assert_int_equal(fixture_setup((void **) &fixture), 0);
        lab_set_identity(1, cases[i].word);
        fixture_begin(fixture, true);
        fixture_assert_end(fixture, cases[i].why);
        assert_int_equal(fixture->accepted, 0);
        fixture_await(fixture, program_saw_the_end);
        assert_int_equal(fixture_teardown((void **) &fixture), 0);
    }
}

static void test_an_open_one_outlives_a_closed_gate(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    lab_set_identity(1, "unavailable");
    fixture_loop_for(fixture, 100);
    assert_int_equal(gate_state(fixture->context.gate), GATE_SHUT);
    fake_identityd_leave_bus(lab.fake);
    fake_identityd_close_handles(lab.fake);
    fixture_loop_for(fixture, 100);
    assert_int_equal(gate_state(fixture->context.gate), GATE_AWAY);
    program_writes(fixture, "still");
    fixture_await(fixture, peer_got_something);
}

static void test_a_revocation_ends_an_open_one(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    lab_set_identity(1, "revoked");
    fixture_assert_end(fixture,
                       "1 bytes to the peer and 1 from it: its certificate was revoked by the CA, or put on hold");
    fixture_await(fixture, program_saw_the_end);
}

/* identityd failed in the midst: a client begins again with another connection, a few times. */
static void test_a_client_begins_again(void **state) {
    Fixture *fixture = *state;

    lab_block_identity(FAILURE_TPM_UNAVAILABLE);
    fixture_begin(fixture, true);
    program_writes(fixture, "early");
    while (fixture->accepted == 0 || fake_identityd_asked(lab.fake) == 0)
        fixture_loop_for(fixture, 20);
    lab_set_identity(1, "ready");
    fixture_await(fixture, peer_got_something);
    assert_string_equal(fixture->peer.text, "early");
    assert_true(fixture->accepted >= 2);
}

static void test_a_client_gives_up(void **state) {
    Fixture *fixture = *state;

    lab_block_identity(FAILURE_TPM_UNAVAILABLE);
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "the fake blocks this identity");
    fixture_loop_for(fixture, 100);
    assert_int_equal(fixture->accepted, 1 + CONNECTION_AGAIN_MAX);
}

/* There it is the peer who would have to. */
static void test_a_server_does_not_begin_again(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    lab_block_identity(FAILURE_TPM_UNAVAILABLE);
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "the fake blocks this identity");
    assert_int_equal(fake_identityd_asked(lab.fake), 1);
}

/* ---- the peer ---- */

static void test_nobody_listens(void **state) {
    Fixture *fixture = *state;

    fixture->listener = close_safe(fixture->listener);
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "cannot be reached: Connection refused");
}

static void test_no_such_name(void **state) {
    Fixture *fixture = *state;

    free(fixture->settings.peer.port);
    fixture->settings.peer.port = strdup("no-such-service");
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "cannot resolve 127.0.0.1 port no-such-service: ");
}

static void test_a_peer_that_is_silent(void **state) {
    Fixture *fixture = *state;

    fixture->peer_is_silent = true;
    fixture->settings.limits.handshake = 1;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "waited 1 s, at last for the peer's handshake");
}

static void test_a_client_that_is_silent(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    fixture->settings.limits.peer = 1;
    fixture_begin(fixture, true);
    lab_loop_for(fixture->event, 1500); /* the peer has no turn */
    fixture_assert_end(fixture, "the client kept its handshake waiting for 1 s in all (--peer-timeout)");
}

/* The program hears first who it is; the peers here are sockets without an address. */
static void test_the_program_is_told(void **state) {
    Fixture *fixture = *state;
    static const char signature[] = "\r\n\r\n";

    fixture_serve(fixture);
    fixture->settings.proxy_protocol = true;
    fixture_begin(fixture, true);
    fixture_await(fixture, program_got_something);
    assert_memory_equal(fixture->program.text, signature, 4);
    const unsigned char *text = (const unsigned char *) fixture->program.text;
    size_t size = 16 + ((size_t) text[14] << 8 | text[15]);
    assert_int_equal(fixture->program.size, size);
    assert_non_null(memmem(text, size, "client", 6));
    assert_non_null(memmem(text, size, "DNS:client.example", 18));
    fixture_await(fixture, peer_is_done);
    fixture->program.size = 0;
    peer_writes(fixture, "greeting");
    fixture_await(fixture, program_got_something);
    assert_string_equal(fixture->program.text, "greeting");
    assert_int_equal(shutdown(fixture->program.fd, SHUT_WR), 0);
    fixture_await(fixture, peer_saw_the_end);
    peer_ends(fixture);
    fixture_assert_end(fixture, "0 bytes to the peer and 8 from it: both sides are done");
}

static void test_a_peer_that_does_not_verify(void **state) {
    Fixture *fixture = *state;

    fixture->peer_credentials = lab.stranger;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "does not verify");
    assert_int_equal(fixture->accepted, 1); /* it is no fault of the identity's */
}

static void test_a_client_that_is_not_let_in(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    fixture->settings.allowed[0] = (ProxyName) { PROXY_NAME_CN, "other" };
    fixture->settings.allowed_count = 1;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "carries none of the names that are let in");
    assert_int_equal(fixture->accepted, 0); /* the program hears nothing of it */
}

static void test_a_peer_that_ends_without_saying_so(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    peer_hangs_up(fixture);
    fixture_assert_end(fixture, "the peer ended without saying so, something may be missing");
}

static void test_a_peer_that_refuses(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    assert_int_equal(gnutls_alert_send(fixture->session, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_REVOKED), 0);
    fixture_assert_end(fixture, "the peer refused: Certificate was revoked");
}

static void test_what_is_no_record(void **state) {
    Fixture *fixture = *state;

    fixture_establish(fixture);
    assert_int_equal(send(fixture->peer.fd, "no record of TLS", 16, MSG_NOSIGNAL), 16);
    fixture_assert_end(fixture, "#7: closed after ");
}

/* ---- the program of a server ---- */

static void test_a_program_that_is_not_there(void **state) {
    Fixture *fixture = *state;

    fixture_serve(fixture);
    assert_int_equal(unlink(FIXTURE_PROGRAM), 0);
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "the local program cannot be reached: No such file or directory");
}

/* One that is busy is tried again, and gets what was said meanwhile. */
static void test_a_program_with_a_full_queue(void **state) {
    Fixture *fixture = *state;
    int fillers[4];

    fixture_serve(fixture);
    assert_int_equal(listen(fixture->listener, 0), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(fillers); i++) {
        fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) connect(fillers[i], &fixture->settings.connect.any, fixture->settings.connect.size);
        close(fillers[i]);
    }
    fixture->program.fd = STDIN_FILENO + 1000; /* nobody accepts yet */
    fixture_begin(fixture, true);
    fixture_loop_for(fixture, 300);
    assert_int_equal(fixture->ended, 0);
    peer_writes(fixture, "early");
    do { /* those in the queue are at their end */
        fixture->program = (End) { .fd = -1 };
        while (fixture->program.fd < 0)
            fixture_loop_for(fixture, 20);
        fixture_loop_for(fixture, 100);
        if (fixture->program.ended)
            close_safe(fixture->program.fd);
    } while (fixture->program.ended);
    fixture_await(fixture, program_got_something);
    assert_string_equal(fixture->program.text, "early");
}

static void test_a_queue_that_stays_full(void **state) {
    Fixture *fixture = *state;
    int fillers[4];

    fixture_serve(fixture);
    fixture->settings.limits.handshake = 1;
    assert_int_equal(listen(fixture->listener, 0), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(fillers); i++) {
        fillers[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        (void) connect(fillers[i], &fixture->settings.connect.any, fixture->settings.connect.size);
    }
    fixture->program.fd = STDIN_FILENO + 1000;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "waited 1 s, at last for the local socket");
    fixture->program.fd = -1;
    for (size_t i = 0; i < ARRAY_LENGTH(fillers); i++)
        close(fillers[i]);
}

static void test_a_program_at_a_port(void **state) {
    Fixture *fixture = *state;
    struct sockaddr_in *address = &fixture->settings.connect.ipv4;

    int listener = fixture->listener;
    fixture->listener = -1;
    fixture_serve(fixture);
    close(fixture->listener);
    fixture->listener = listener;
    *address = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    address->sin_port = htons((in_port_t) atoi(fixture->settings.peer.port));
    fixture->settings.connect.size = sizeof *address;
    talk(fixture);
}

static void test_a_port_where_no_program_is(void **state) {
    Fixture *fixture = *state;
    struct sockaddr_in *address = &fixture->settings.connect.ipv4;

    fixture_serve(fixture); /* which closes the port */
    *address = (struct sockaddr_in) { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    address->sin_port = htons((in_port_t) atoi(fixture->settings.peer.port));
    fixture->settings.connect.size = sizeof *address;
    fixture_begin(fixture, true);
    fixture_assert_end(fixture, "the local program cannot be reached: Connection refused");
}

/* ---- ends while a worker has it ---- */

typedef struct Hold {
    Job job;
    _Atomic(bool) hold;
} Hold;

static void run_hold(Job *job) {
    while (((Hold *) job)->hold)
        usleep(1000);
}

static void done_hold(Job *job) {
}

static void test_the_end_while_a_worker_has_it(void **state) {
    Fixture *fixture = *state;
    Hold hold = { .job = { .run = run_hold, .done = done_hold }, .hold = true };

    fixture_begin(fixture, false);
    workers_submit(fixture->context.names, &hold.job); /* the only one is taken: its name waits behind that */
    lab_loop_for(fixture->event, 200);
    Connection *connection = fixture->connection;
    connection_end(connection, PROXY_LOG_WARNING, "the test %s", "ends it");
    assert_int_equal(fixture->ended, 1);
    assert_int_equal(fixture->freed, 0); /* the worker may look at it */
    assert_false(connection_is_open(connection));
    fixture_await(fixture, program_saw_the_end); /* who is there need not wait for that */
    connection_end(connection, PROXY_LOG_WARNING, "again");
    connection_gate_changed(connection);
    assert_int_equal(fixture->ended, 1);
    hold.hold = false;
    fixture_assert_end(fixture, "the test ends it");
    assert_null(strstr(lab_said(), "again"));
}

static void test_the_end_of_the_workers(void **state) {
    Fixture *fixture = *state;
    Workers *workers[3];
    Hold hold = { .job = { .run = run_hold, .done = done_hold }, .hold = true };

    fixture_begin(fixture, false);
    workers_submit(fixture->context.names, &hold.job);
    lab_loop_for(fixture->event, 200);
    connection_end(fixture->connection, PROXY_LOG_INFO, "the proxy stops");
    hold.hold = false;
    memcpy(workers, (Workers *[]) { fixture->context.tls, fixture->context.names, fixture->opening }, sizeof workers);
    for (size_t i = 0; i < ARRAY_LENGTH(workers); i++)
        assert_true(workers_stop(workers[i], 30));
    fixture->stopped = true;
    assert_int_equal(fixture->freed, 0);
    connection_abandon(fixture->connection);
    assert_int_equal(fixture->freed, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_client),
        TEST(test_server),
        TEST(test_a_name_with_several_addresses),
        TEST(test_it_waits_for_the_identity),
        TEST(test_it_does_not_wait_for_ever),
        cmocka_unit_test(test_refused_by_the_identity),
        TEST(test_an_open_one_outlives_a_closed_gate),
        TEST(test_a_revocation_ends_an_open_one),
        TEST(test_a_client_begins_again),
        TEST(test_a_client_gives_up),
        TEST(test_a_server_does_not_begin_again),
        TEST(test_nobody_listens),
        TEST(test_no_such_name),
        TEST(test_a_peer_that_is_silent),
        TEST(test_a_client_that_is_silent),
        TEST(test_the_program_is_told),
        TEST(test_a_peer_that_does_not_verify),
        TEST(test_a_client_that_is_not_let_in),
        TEST(test_a_peer_that_ends_without_saying_so),
        TEST(test_a_peer_that_refuses),
        TEST(test_what_is_no_record),
        TEST(test_a_program_that_is_not_there),
        TEST(test_a_program_with_a_full_queue),
        TEST(test_a_queue_that_stays_full),
        TEST(test_a_program_at_a_port),
        TEST(test_a_port_where_no_program_is),
        TEST(test_the_end_while_a_worker_has_it),
        TEST(test_the_end_of_the_workers),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
