/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connection-fixture.h. */
#include "connection-fixture.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static char directory[] = "/tmp/identityd-test.XXXXXX";

static Place on_take_place(void *userdata, Connection *connection) {
    Fixture *fixture = userdata;

    fixture->asked_for_place++;
    return fixture->place;
}

static void on_ended(void *userdata) {
    ((Fixture *) userdata)->ended++;
}

static void on_freed(void *userdata, Connection *connection) {
    Fixture *fixture = userdata;

    assert_ptr_equal(connection, fixture->connection);
    fixture->connection = NULL;
    fixture->freed++;
}

static void on_gate(GateState state, void *userdata) {
    Fixture *fixture = userdata;

    if (fixture->connection)
        connection_gate_changed(fixture->connection);
}

static char *listen_for_peer(Fixture *fixture) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
    socklen_t size = sizeof address;
    char *port = NULL;

    fixture->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->listener, (struct sockaddr *) &address, size), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
    assert_int_equal(getsockname(fixture->listener, (struct sockaddr *) &address, &size), 0);
    assert_true(asprintf(&port, "%u", ntohs(address.sin_port)) > 0);
    return port;
}

int fixture_setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);

    assert_non_null(fixture);
    assert_int_equal(lab_setup_identity(NULL), 0);
    lab_said_begin();
    strcpy(directory + strlen(directory) - 6, "XXXXXX");
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    *fixture = (Fixture) { .settings = { .identity = "demo",
                                         .name = "server.example",
                                         .limits = { .connections = 1,
                                                     .buffer = PROXY_BUFFER,
                                                     .handshake = PROXY_HANDSHAKE_SECONDS,
                                                     .peer = PROXY_PEER_SECONDS,
                                                     .idle = PROXY_IDLE_SECONDS,
                                                     .half_closed = PROXY_HALF_CLOSED_SECONDS } },
                           .source = proxy_source_of_uid(getuid()),
                           .peer_credentials = lab.server,
                           .peer_code = GNUTLS_E_AGAIN,
                           .peer = { .fd = -1 },
                           .program = { .fd = -1 } };
    fixture->settings.peer = (Endpoint) { strdup("127.0.0.1"), listen_for_peer(fixture) };
    *state = fixture;
    return 0;
}

void fixture_serve(Fixture *fixture) {
    ProxyAddress *address = &fixture->settings.connect;

    fixture->settings.server = true;
    fixture->settings.name = NULL;
    fixture->peer_credentials = lab.client;
    close_safe(fixture->listener);
    *address = (ProxyAddress) { .path = { .sun_family = AF_UNIX, .sun_path = FIXTURE_PROGRAM },
                                .size = sizeof(struct sockaddr_un) };
    fixture->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->listener, &address->any, address->size), 0);
    assert_int_equal(listen(fixture->listener, 8), 0);
}

static bool gate_was_told(void *userdata) {
    const Gate *gate = ((Fixture *) userdata)->context.gate;

    return strcmp(gate_reason(gate), "it was not opened yet") != 0;
}

void fixture_begin(Fixture *fixture, bool waits) {
    const char *purpose = fixture->settings.server ? "tls-server" : "tls-client";
    int fds[2];

    assert_true(sd_event_new(&fixture->event) >= 0);
    fixture->context = (ConnectionContext) { .settings = &fixture->settings,
                                             .event = fixture->event,
                                             .log = &fixture->log,
                                             .take_place = on_take_place,
                                             .ended = on_ended,
                                             .freed = on_freed,
                                             .userdata = fixture };
    assert_int_equal(workers_new(fixture->event, 1, &fixture->opening), 0);
    assert_int_equal(workers_new(fixture->event, 1, &fixture->context.tls), 0);
    assert_int_equal(workers_new(fixture->event, 1, &fixture->context.names), 0);
    assert_int_equal(
        gate_new(fixture->event, fixture->opening, "demo", purpose, on_gate, fixture, &fixture->context.gate), 0);
    if (waits)
        lab_loop_until(fixture->event, gate_was_told, fixture);
    lab_pair(fds);
    if (fixture->settings.server) {
        fixture->peer.fd = fds[1];
        fixture->session = lab_session(false, fds[1], fixture->peer_credentials);
    } else
        fixture->program.fd = fds[1];
    assert_int_equal(connection_new(&fixture->context, 7, fds[0], &fixture->source, &fixture->connection), 0);
    connection_gate_changed(fixture->connection);
}

int fixture_teardown(void **state) {
    Fixture *fixture = *state;
    Workers *workers[] = { fixture->context.tls, fixture->context.names, fixture->opening };

    if (fixture->connection)
        connection_end(fixture->connection, PROXY_LOG_INFO, "the test ends");
    for (size_t i = 0; !fixture->stopped && i < ARRAY_LENGTH(workers); i++)
        assert_true(workers_stop(workers[i], 30));
    if (fixture->connection)
        connection_abandon(fixture->connection);
    for (size_t i = 0; i < ARRAY_LENGTH(workers); i++)
        workers_free(workers[i]);
    gate_free(fixture->context.gate);
    sd_event_unref(fixture->event);
    peer_hangs_up(fixture);
    close_safe(fixture->program.fd);
    close_safe(fixture->listener);
    endpoint_clear(&fixture->settings.peer);
    free(fixture);
    (void) unlink(FIXTURE_PROGRAM);
    lab_said_end();
    return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : lab_teardown_identity(NULL);
}

/* ---- a turn of those at the ends ---- */

static void receive(End *end, ssize_t (*function)(Fixture *fixture, void *data, size_t size), Fixture *fixture) {
    ssize_t n = 1;

    while (!end->ended && n > 0) {
        n = function(fixture, end->text + end->size, TEXT_MAX - 1 - end->size);
        end->size += n > 0 ? (size_t) n : 0;
        end->ended = n == 0;
    }
    end->text[end->size] = '\0';
}

static ssize_t receive_plain(Fixture *fixture, void *data, size_t size) {
    ssize_t n = recv(fixture->program.fd, data, size, 0);

    return n < 0 && errno == ECONNRESET ? 0 : n;
}

static ssize_t receive_tls(Fixture *fixture, void *data, size_t size) {
    ssize_t n = gnutls_record_recv(fixture->session, data, size);

    if (n < 0 && gnutls_error_is_fatal((int) n))
        fixture->peer_code = (int) n;
    return n < 0 && fixture->peer_code != 0 ? 0 : n;
}

static void take_connection(Fixture *fixture) {
    End *end = fixture->settings.server ? &fixture->program : &fixture->peer;

    if (end->fd >= 0)
        return;
    end->fd = accept4(fixture->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (end->fd < 0)
        return;
    fixture->accepted++;
    if (!fixture->settings.server && !fixture->peer_is_silent)
        fixture->session = lab_session(true, end->fd, fixture->peer_credentials);
}

static void turn(Fixture *fixture) {
    take_connection(fixture);
    if (fixture->session && fixture->peer_code == GNUTLS_E_AGAIN) {
        fixture->peer_code = lab_handshake_step(fixture->session);
        if (fixture->peer_code < 0 && fixture->peer_code != GNUTLS_E_AGAIN && !fixture->settings.server)
            peer_hangs_up(fixture); /* and is there for the next */
    } else if (fixture->session && fixture->peer_code == 0)
        receive(&fixture->peer, receive_tls, fixture);
    if (fixture->program.fd >= 0)
        receive(&fixture->program, receive_plain, fixture);
}

bool peer_is_done(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->peer_code == 0;
}

bool peer_got_something(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->peer.size > 0;
}

bool peer_saw_the_end(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->peer.ended;
}

bool program_got_something(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->program.size > 0;
}

bool program_saw_the_end(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->program.ended;
}

bool connection_ended(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->ended > 0;
}

bool connection_was_freed(void *userdata) {
    turn(userdata);
    return ((Fixture *) userdata)->freed > 0;
}

void fixture_await(Fixture *fixture, bool (*holds)(void *userdata)) {
    lab_loop_until(fixture->event, holds, fixture);
}

void fixture_loop_for(Fixture *fixture, unsigned milliseconds) {
    for (unsigned i = 0; i < milliseconds; i += 20) {
        lab_loop_for(fixture->event, 20);
        turn(fixture);
    }
}

void fixture_assert_end(Fixture *fixture, const char *why) {
    fixture_await(fixture, connection_was_freed);
    assert_int_equal(fixture->ended, 1);
    assert_int_equal(fixture->freed, 1);
    assert_null(fixture->connection);
    lab_assert_said(why);
}

void fixture_establish(Fixture *fixture) {
    fixture_begin(fixture, true);
    fixture_await(fixture, peer_is_done);
    peer_writes(fixture, "g");
    fixture_await(fixture, program_got_something);
    program_writes(fixture, "q");
    fixture_await(fixture, peer_got_something);
    fixture->peer.size = fixture->program.size = 0;
    assert_int_equal(fixture->ended, 0);
}

void program_writes(Fixture *fixture, const char *text) {
    assert_int_equal(send(fixture->program.fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t) strlen(text));
}

void peer_writes(Fixture *fixture, const char *text) {
    assert_int_equal(gnutls_record_send(fixture->session, text, strlen(text)), (ssize_t) strlen(text));
}

void peer_ends(Fixture *fixture) {
    assert_int_equal(gnutls_bye(fixture->session, GNUTLS_SHUT_WR), 0);
}

void peer_hangs_up(Fixture *fixture) {
    if (fixture->session)
        gnutls_deinit(fixture->session);
    fixture->session = NULL;
    fixture->peer_code = GNUTLS_E_AGAIN;
    fixture->peer.fd = close_safe(fixture->peer.fd);
}
