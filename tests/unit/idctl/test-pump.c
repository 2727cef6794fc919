/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TLS session joined with standard input and output: everything passes both ways, and each end is told as what it is.
 * Where the peer only has to have sent something, it does so before the pump runs. */
#include "idctl/pump.h"

#include "common/bytes.h"
#include "common/macros.h"
#include "lab.h"
#include "said.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>

#define LONG_TIME 100000 /* milliseconds; a test that waited for it would be stopped */

typedef struct Lab {
    LabCertificate certificate;
    gnutls_certificate_credentials_t server, client;
    gnutls_datum_t ticket_key;
} Lab;

typedef struct Pair {
    int fds[2];
    gnutls_session_t client, server;
    Pump *pump; /* of the client */
} Pair;

static gnutls_session_t session_new(unsigned flags, gnutls_certificate_credentials_t credentials, int fd) {
    gnutls_session_t session;

    assert_true(gnutls_init(&session, flags | GNUTLS_NO_SIGNAL) >= 0);
    assert_true(gnutls_priority_set_direct(session, "NORMAL:-VERS-ALL:+VERS-TLS1.3", NULL) >= 0);
    assert_true(gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, credentials) >= 0);
    gnutls_transport_set_int(session, fd);
    return session;
}

/* Both ends by turns, in this thread. Without tickets the server is silent after the handshake. */
static Pair pair_new(const Lab *lab, bool tickets) {
    Pair pair;
    int client, server;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair.fds), 0);
    pair.client = session_new(GNUTLS_CLIENT, lab->client, pair.fds[0]);
    pair.server = session_new(GNUTLS_SERVER, lab->server, pair.fds[1]);
    if (tickets)
        assert_true(gnutls_session_ticket_enable_server(pair.server, &lab->ticket_key) >= 0);
    do {
        client = gnutls_handshake(pair.client);
        server = gnutls_handshake(pair.server);
        assert_true(client >= 0 || client == GNUTLS_E_AGAIN);
        assert_true(server >= 0 || server == GNUTLS_E_AGAIN);
    } while (client < 0 || server < 0);
    assert_int_equal(fcntl(pair.fds[0], F_SETFL, 0), 0); /* as endpoint_connect() leaves it */
    assert_int_equal(pump_new(pair.client, pair.fds[0], &pair.pump), 0);
    assert_true(fcntl(pair.fds[0], F_GETFL) & O_NONBLOCK);
    return pair;
}

static void pair_free(Pair *pair) {
    pump_free(pair->pump);
    gnutls_deinit(pair->client);
    gnutls_deinit(pair->server);
    close(pair->fds[0]);
    if (pair->fds[1] >= 0)
        close(pair->fds[1]);
}

static void server_says(const Pair *pair, const char *text) {
    assert_int_equal(gnutls_record_send(pair->server, text, strlen(text)), strlen(text));
}

/* Runs with standard input from `input`, and keeps what goes to standard output. */
static PumpEnd run(const Pair *pair, int input, Said *said) {
    int saved = dup(STDIN_FILENO);

    assert_true(dup2(input, STDIN_FILENO) >= 0);
    close(input);
    said_begin(stdout, said);
    PumpEnd end = pump_run(pair->pump);
    (void) said_end(said);
    assert_true(dup2(saved, STDIN_FILENO) >= 0);
    close(saved);
    return end;
}

static int nothing(void) {
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Standard input that says nothing and does not end. */
static int silent_input(int *ret_held) {
    int fds[2];

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    *ret_held = fds[1];
    return fds[0];
}

/* What comes is written, and a peer that closes first gets our close_notify all the same. */
static void test_closed(void **state) {
    Pair pair = pair_new(*state, true);
    char text[32] = "";
    int held;
    Said said;

    server_says(&pair, "from the ");
    server_says(&pair, "server\n");
    assert_true(gnutls_bye(pair.server, GNUTLS_SHUT_WR) >= 0);
    assert_int_equal(run(&pair, silent_input(&held), &said), PUMP_CLOSED);
    assert_string_equal(said.text, "from the server\n");
    assert_int_equal(gnutls_record_recv(pair.server, text, sizeof text), 0);
    close(held);
    pair_free(&pair);
}

/* Echoes until the peer has closed, in a thread, with a descriptor that blocks. */
static void *echo(void *userdata) {
    const Pair *pair = userdata;
    char buffer[5000];
    ssize_t n;

    while ((n = gnutls_record_recv(pair->server, buffer, sizeof buffer)) > 0)
        if (gnutls_record_send(pair->server, buffer, (size_t) n) != n)
            return NULL;
    if (n == 0)
        (void) gnutls_bye(pair->server, GNUTLS_SHUT_WR);
    return NULL;
}

/* More than any buffer holds, both ways at once. */
static void test_much(void **state) {
    enum { SIZE = 300000 };
    Pair pair = pair_new(*state, true);
    _cleanup_bytes_ Bytes sent = BYTES_NULL, back = BYTES_NULL;
    char path[] = "/tmp/identityd-test.XXXXXX";
    pthread_t thread;

    sent.data = malloc(SIZE);
    assert_non_null(sent.data);
    sent.size = SIZE;
    for (size_t i = 0; i < SIZE; i++)
        sent.data[i] = (uint8_t) (i * 31 / 7);
    int input = bytes_to_memfd("input", bytes_view(&sent)), output = mkostemp(path, O_CLOEXEC);
    assert_true(input >= 0 && output >= 0);
    assert_int_equal(fcntl(pair.fds[1], F_SETFL, 0), 0);
    int saved_in = dup(STDIN_FILENO), saved_out = dup(STDOUT_FILENO);
    fflush(stdout);
    assert_true(dup2(input, STDIN_FILENO) >= 0 && dup2(output, STDOUT_FILENO) >= 0);
    assert_int_equal(pthread_create(&thread, NULL, echo, &pair), 0);
    PumpEnd end = pump_run(pair.pump);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(dup2(saved_in, STDIN_FILENO) >= 0 && dup2(saved_out, STDOUT_FILENO) >= 0);
    assert_int_equal(end, PUMP_CLOSED);
    assert_int_equal(bytes_read_file(path, SIZE, &back), 0);
    assert_int_equal(back.size, SIZE);
    assert_memory_equal(back.data, sent.data, SIZE);
    assert_int_equal(unlink(path), 0);
    const int fds[] = { saved_in, saved_out, input, output };
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
    pair_free(&pair);
}

static void test_refused(void **state) {
    Pair pair = pair_new(*state, false);
    Said said;

    assert_true(gnutls_alert_send(pair.server, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_CA) >= 0);
    assert_int_equal(run(&pair, nothing(), &said), PUMP_REFUSED);
    assert_int_equal(pump_error(pair.pump), GNUTLS_E_FATAL_ALERT_RECEIVED);
    assert_int_equal(gnutls_alert_get(pair.client), GNUTLS_A_UNKNOWN_CA);
    pair_free(&pair);
}

/* The connection ends without close_notify: what came is written, and that it may not be all is told. */
static void test_broken(void **state) {
    Pair pair = pair_new(*state, true);
    int held;
    Said said;

    server_says(&pair, "half");
    close(pair.fds[1]);
    pair.fds[1] = -1;
    assert_int_equal(run(&pair, silent_input(&held), &said), PUMP_BROKEN);
    assert_string_equal(said.text, "half");
    assert_int_equal(pump_error(pair.pump), GNUTLS_E_PREMATURE_TERMINATION);
    close(held);
    pair_free(&pair);
}

static void test_local(void **state) {
    Pair pair = pair_new(*state, true);
    int output[2], held, saved = dup(STDOUT_FILENO), saved_in = dup(STDIN_FILENO);
    Said said;

    assert_int_equal(run(&pair, open("/", O_RDONLY | O_CLOEXEC), &said), PUMP_LOCAL);
    assert_int_equal(pump_error(pair.pump), -EISDIR);
    pair_free(&pair);
    pair = pair_new(*state, true);
    server_says(&pair, "to nobody");
    assert_int_equal(pipe2(output, O_CLOEXEC), 0);
    close(output[0]);
    fflush(stdout);
    int input = silent_input(&held);
    assert_true(dup2(output[1], STDOUT_FILENO) >= 0 && dup2(input, STDIN_FILENO) >= 0);
    PumpEnd end = pump_run(pair.pump);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0 && dup2(saved_in, STDIN_FILENO) >= 0);
    assert_int_equal(end, PUMP_LOCAL);
    assert_int_equal(pump_error(pair.pump), -EPIPE);
    const int fds[] = { output[1], input, held, saved, saved_in };
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        close(fds[i]);
    pair_free(&pair);
}

/* The first sign of what the peer thinks: each ends the wait at once, and silence ends it in time. */
static void test_wait(void **state) {
    Pair pair = pair_new(*state, false);
    Said said;

    assert_int_equal(pump_wait(pair.pump, 0), PUMP_OPEN); /* silent */
    assert_int_equal(pump_wait(pair.pump, 1), PUMP_OPEN);
    server_says(&pair, "early ");
    assert_int_equal(pump_wait(pair.pump, LONG_TIME), PUMP_OPEN);
    server_says(&pair, "late");
    assert_true(gnutls_bye(pair.server, GNUTLS_SHUT_WR) >= 0);
    assert_int_equal(run(&pair, nothing(), &said), PUMP_CLOSED);
    assert_string_equal(said.text, "early late"); /* what was seen while waiting is not lost */
    pair_free(&pair);

    pair = pair_new(*state, true); /* it sends a session ticket: we are accepted */
    assert_int_equal(pump_wait(pair.pump, LONG_TIME), PUMP_OPEN);
    pair_free(&pair);

    pair = pair_new(*state, false);
    assert_true(gnutls_alert_send(pair.server, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_REQUIRED) >= 0);
    assert_int_equal(pump_wait(pair.pump, LONG_TIME), PUMP_REFUSED);
    pair_free(&pair);

    pair = pair_new(*state, false);
    assert_true(gnutls_bye(pair.server, GNUTLS_SHUT_WR) >= 0);
    assert_int_equal(pump_wait(pair.pump, LONG_TIME), PUMP_CLOSED);
    pair_free(&pair);

    pair = pair_new(*state, false);
    close(pair.fds[1]);
    pair.fds[1] = -1;
    assert_int_equal(pump_wait(pair.pump, LONG_TIME), PUMP_BROKEN);
    pair_free(&pair);
}

static void test_bad_descriptor(void **state) {
    Pump *pump = NULL;

    assert_int_equal(pump_new(NULL, -1, &pump), -EBADF);
    assert_null(pump);
}

static int setup(void **state) {
    Lab *lab = calloc(1, sizeof *lab);

    assert_non_null(lab);
    (void) signal(SIGPIPE, SIG_IGN);
    lab_certificate_new("server", false, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 10, NULL,
                        &lab->certificate);
    assert_true(gnutls_certificate_allocate_credentials(&lab->server) >= 0);
    assert_true(gnutls_certificate_allocate_credentials(&lab->client) >= 0);
    assert_true(gnutls_certificate_set_x509_key(lab->server, &lab->certificate.certificate, 1, lab->certificate.key) >=
                0);
    assert_true(gnutls_session_ticket_key_generate(&lab->ticket_key) >= 0);
    *state = lab;
    return 0;
}

static int teardown(void **state) {
    Lab *lab = *state;

    gnutls_certificate_free_credentials(lab->server);
    gnutls_certificate_free_credentials(lab->client);
    gnutls_free(lab->ticket_key.data);
    lab_certificate_clear(&lab->certificate);
    free(lab);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_closed),         cmocka_unit_test(test_much),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_broken),         cmocka_unit_test(test_local), cmocka_unit_test(test_wait),
        cmocka_unit_test(test_bad_descriptor),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
