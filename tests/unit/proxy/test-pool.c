/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Many connections of a server at once: who gets a slot for a handshake and a place afterwards, and who makes room. */
#include "proxy/pool.h"

#include "lab.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#define CLIENTS_MAX 8U
#define PROGRAM     "program.socket"

static char directory[] = "/tmp/identityd-test.XXXXXX";

typedef struct Client {
    int fd;
    gnutls_session_t session;
    int code; /* of its handshake */
    bool ended;
} Client;

typedef struct Fixture {
    ProxySettings settings;
    sd_event *event;
    Pool *pool;
    Workers *opening, *tls;
    Gate *gate;
    unsigned changes; /* that were told */
    int program, accepted[CLIENTS_MAX];
    unsigned accepted_count;
    Client clients[CLIENTS_MAX];
    unsigned count;
    unsigned wanted; /* of what is awaited */
} Fixture;

static void on_changed(void *userdata) {
    ((Fixture *) userdata)->changes++;
}

static void on_gate(GateState state, void *userdata) {
    pool_gate_changed(((Fixture *) userdata)->pool);
}

static int setup(void **state) {
    Fixture *fixture = calloc(1, sizeof *fixture);
    ProxyAddress *address = &fixture->settings.connect;

    assert_int_equal(lab_setup_identity(NULL), 0);
    lab_said_begin();
    fixture->settings = (ProxySettings) { .identity = "demo",
                                          .server = true,
                                          .limits = { .connections = 4,
                                                      .per_source = 4,
                                                      .idle_per_source = 4,
                                                      .handshakes = { 4, 30, 8, 4 },
                                                      .buffer = PROXY_BUFFER,
                                                      .handshake = 600,
                                                      .peer = 600,
                                                      .idle = 0,
                                                      .idle_counts = 600,
                                                      .half_closed = 600 } };
    *address =
        (ProxyAddress) { .path = { .sun_family = AF_UNIX, .sun_path = PROGRAM }, .size = sizeof(struct sockaddr_un) };
    fixture->program = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_int_equal(bind(fixture->program, &address->any, address->size), 0);
    assert_int_equal(listen(fixture->program, 8), 0);
    *state = fixture;
    return 0;
}

static bool gate_was_told(void *userdata) {
    return gate_state(((Fixture *) userdata)->gate) != GATE_AWAY;
}

static void begin(Fixture *fixture) {
    assert_true(sd_event_new(&fixture->event) >= 0);
    assert_int_equal(pool_new(&fixture->settings, fixture->event, on_changed, fixture, &fixture->pool), 0);
    assert_int_equal(workers_new(fixture->event, 1, &fixture->opening), 0);
    assert_int_equal(workers_new(fixture->event, 1, &fixture->tls), 0);
    assert_int_equal(gate_new(fixture->event, fixture->opening, "demo", "tls-server", on_gate, fixture, &fixture->gate),
                     0);
    pool_context(fixture->pool)->gate = fixture->gate;
    pool_context(fixture->pool)->tls = fixture->tls;
    lab_loop_until(fixture->event, gate_was_told, fixture);
}

static int teardown(void **state) {
    Fixture *fixture = *state;

    pool_end_all(fixture->pool, "the test ends");
    assert_int_equal(pool_count_open(fixture->pool), 0);
    assert_true(workers_stop(fixture->opening, 30) && workers_stop(fixture->tls, 30));
    pool_abandon_all(fixture->pool);
    workers_free(fixture->opening);
    workers_free(fixture->tls);
    gate_free(fixture->gate);
    pool_free(fixture->pool);
    sd_event_unref(fixture->event);
    for (unsigned i = 0; i < fixture->count; i++) {
        if (fixture->clients[i].session)
            gnutls_deinit(fixture->clients[i].session);
        close(fixture->clients[i].fd);
    }
    for (unsigned i = 0; i < fixture->accepted_count; i++)
        close(fixture->accepted[i]);
    close(fixture->program);
    (void) unlink(PROGRAM);
    free(fixture);
    lab_said_end();
    return lab_teardown_identity(NULL);
}

/* ---- clients ---- */

static unsigned add(Fixture *fixture, bool is_silent) {
    Client *client = &fixture->clients[fixture->count];
    int fds[2];

    lab_pair(fds);
    *client = (Client) { .fd = fds[1], .code = GNUTLS_E_AGAIN };
    if (!is_silent)
        client->session = lab_session(false, fds[1], lab.client);
    assert_int_equal(pool_add(fixture->pool, fds[0]), 0);
    return fixture->count++;
}

static void turn(Fixture *fixture) {
    int accepted = accept4(fixture->program, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (accepted >= 0)
        fixture->accepted[fixture->accepted_count++] = accepted;
    for (unsigned i = 0; i < fixture->count; i++) {
        Client *client = &fixture->clients[i];
        char byte;
        if (client->session && client->code == GNUTLS_E_AGAIN)
            client->code = lab_handshake_step(client->session);
        else if (!client->session || client->code != 0)
            client->ended = client->ended || recv(client->fd, &byte, 1, MSG_DONTWAIT) == 0;
        else {
            ssize_t n = gnutls_record_recv(client->session, &byte, 1);
            client->ended = client->ended || n == 0 || (n < 0 && gnutls_error_is_fatal((int) n));
        }
    }
}

static bool program_has_wanted(void *userdata) {
    Fixture *fixture = userdata;

    turn(fixture);
    return fixture->accepted_count == fixture->wanted;
}

static void await_accepted(Fixture *fixture, unsigned count) {
    fixture->wanted = count;
    lab_loop_until(fixture->event, program_has_wanted, fixture);
}

static bool wanted_ended(void *userdata) {
    Fixture *fixture = userdata;

    turn(fixture);
    return fixture->clients[fixture->wanted].ended;
}

static void await_end(Fixture *fixture, unsigned client) {
    fixture->wanted = client;
    lab_loop_until(fixture->event, wanted_ended, fixture);
}

static bool wanted_is_done(void *userdata) {
    Fixture *fixture = userdata;

    turn(fixture);
    return fixture->clients[fixture->wanted].code == 0;
}

static void await_handshake(Fixture *fixture, unsigned client) {
    fixture->wanted = client;
    lab_loop_until(fixture->event, wanted_is_done, fixture);
}

/* ---- places ---- */

static void test_places(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.connections = 1;
    begin(fixture);
    assert_true(pool_has_place(fixture->pool));
    unsigned first = add(fixture, false);
    assert_true(pool_has_place(fixture->pool)); /* handshakes count for themselves */
    unsigned second = add(fixture, false);
    await_accepted(fixture, 1);
    assert_false(pool_has_place(fixture->pool));
    assert_int_equal(fixture->changes, 1); /* that was told */
    await_handshake(fixture, first);
    await_handshake(fixture, second);
    lab_loop_for(fixture->event, 100);
    assert_int_equal(fixture->accepted_count, 1);
    assert_int_equal(pool_count_open(fixture->pool), 2);
    fixture->changes = 0;
    close(fixture->accepted[0]); /* the program is done with whichever was first */
    shutdown(fixture->clients[first].fd, SHUT_RDWR);
    shutdown(fixture->clients[second].fd, SHUT_WR);
    fixture->accepted_count = 0;
    await_accepted(fixture, 1);
    assert_true(fixture->changes > 0);
}

static void test_share_of_places(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.per_source = 1;
    begin(fixture);
    (void) add(fixture, false);
    await_accepted(fixture, 1);
    unsigned second = add(fixture, false);
    await_end(fixture, second);
    lab_assert_said("whom it is from has 1 connections, the limit (--max-per-source)");
    assert_int_equal(pool_count_open(fixture->pool), 1);
    assert_true(pool_has_place(fixture->pool));
}

static void test_idle_ones_make_room(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.idle_per_source = 2;
    fixture->settings.limits.idle_counts = 0;
    begin(fixture);
    for (unsigned i = 0; i < 3; i++) {
        unsigned client = add(fixture, false);
        await_accepted(fixture, i + 1);
        await_handshake(fixture, client);
        lab_loop_for(fixture->event, 20); /* none began at the same time */
    }
    await_end(fixture, 0); /* the first is idle longest */
    lab_assert_said("demo #1: closed after 0 s");
    lab_assert_said("and whom it is from has 2 such connections (--max-idle-per-source)");
    assert_int_equal(pool_count_open(fixture->pool), 2);
    assert_false(fixture->clients[1].ended || fixture->clients[2].ended);
}

/* Those that are busy are not idle, however many. */
static void test_busy_ones_do_not(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.idle_per_source = 1;
    begin(fixture);
    for (unsigned i = 0; i < 4; i++) {
        (void) add(fixture, false);
        await_accepted(fixture, i + 1);
    }
    assert_int_equal(pool_count_open(fixture->pool), 4);
    assert_false(pool_has_place(fixture->pool));
}

/* ---- slots ---- */

static bool all_wait(void *userdata) {
    Fixture *fixture = userdata;

    return ++fixture->wanted > 20; /* turns of the loop */
}

/* Until what clients have said by now is in the queue of the workers, or done. */
static void let_them_speak(Fixture *fixture) {
    turn(fixture);
    fixture->wanted = 0;
    lab_loop_until(fixture->event, all_wait, fixture);
}

static void test_slots(void **state) {
    Fixture *fixture = *state;
    unsigned ended = 0;

    begin(fixture);
    for (unsigned i = 0; i < 4; i++)
        (void) add(fixture, true);
    let_them_speak(fixture);
    unsigned honest = add(fixture, false);
    lab_assert_said("refused uid ");
    lab_assert_said("it made room for another handshake (--max-handshakes)");
    await_accepted(fixture, 1);
    for (unsigned i = 0; i < 4; i++)
        ended += fixture->clients[i].ended;
    assert_int_equal(ended, 1);
    assert_false(fixture->clients[honest].ended);
}

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

/* For whom a worker is at work, or will be, does not end for a newcomer: whoever comes more often than the TPM signs
 * would keep all from being done. */
static void test_slots_that_are_worked_for(void **state) {
    Fixture *fixture = *state;
    Hold hold = { .job = { .run = run_hold, .done = done_hold }, .hold = true };

    begin(fixture);
    workers_submit(fixture->tls, &hold.job);
    for (unsigned i = 0; i < 4; i++)
        (void) add(fixture, false);
    let_them_speak(fixture);
    unsigned late = add(fixture, true);
    lab_assert_said("demo: refused uid ");
    lab_assert_said(", from where 4 handshakes are under way (--max-handshakes-per-source)");
    await_end(fixture, late);
    hold.hold = false;
    await_accepted(fixture, 4);
}

/* Those who say nothing need no worker: however busy those are, one that comes takes the slot of one of them. */
static void test_silent_ones_beside_busy_workers(void **state) {
    Fixture *fixture = *state;
    Hold hold = { .job = { .run = run_hold, .done = done_hold }, .hold = true };

    begin(fixture);
    workers_submit(fixture->tls, &hold.job);
    for (unsigned i = 0; i < 4; i++)
        (void) add(fixture, true);
    let_them_speak(fixture);
    (void) add(fixture, false);
    lab_assert_said("it made room for another handshake (--max-handshakes)");
    hold.hold = false;
    await_accepted(fixture, 1);
}

static void test_all_slots(void **state) {
    Fixture *fixture = *state;
    Hold hold = { .job = { .run = run_hold, .done = done_hold }, .hold = true };

    fixture->settings.limits.handshakes = (SlotRule) { .start = 1, .rate = 1, .full = 2, .per_source = 4 };
    begin(fixture);
    workers_submit(fixture->tls, &hold.job);
    for (unsigned i = 0; i < 2; i++)
        (void) add(fixture, false);
    let_them_speak(fixture);
    unsigned late = add(fixture, true);
    lab_assert_said(": 2 handshakes are under way (--max-handshakes)");
    await_end(fixture, late);
    assert_int_equal(pool_count_open(fixture->pool), 2);
    hold.hold = false;
    await_accepted(fixture, 2);
}

/* ---- all of them ---- */

static void test_the_gate(void **state) {
    Fixture *fixture = *state;

    begin(fixture);
    for (unsigned i = 0; i < 3; i++)
        (void) add(fixture, i == 2);
    await_accepted(fixture, 2);
    lab_set_identity(1, "revoked");
    for (unsigned i = 0; i < 3; i++)
        await_end(fixture, i);
    assert_int_equal(pool_count_open(fixture->pool), 0);
    assert_true(pool_has_place(fixture->pool));
}

static void test_its_own_lines(void **state) {
    Fixture *fixture = *state;

    fixture->settings.limits.log_lines = 4;
    begin(fixture);
    for (unsigned i = 0; i < 10; i++)
        pool_log(fixture->pool, PROXY_LOG_ERROR, "attempt %u", i);
    lab_assert_said("demo: attempt 0");
    assert_null(strstr(lab_said(), "attempt 1"));
}

static void test_descriptors(void **state) {
    Fixture *fixture = *state;

    begin(fixture);
    assert_int_equal(pool_descriptors(&fixture->settings), 2 * (4 + 8));
}

static int setup_all(void **state) {
    assert_non_null(mkdtemp(directory));
    assert_int_equal(chdir(directory), 0);
    return lab_setup(NULL);
}

static int teardown_all(void **state) {
    return chdir("/") < 0 || rmdir(directory) < 0 ? -1 : lab_teardown(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_places),
        TEST(test_share_of_places),
        TEST(test_idle_ones_make_room),
        TEST(test_busy_ones_do_not),
        TEST(test_slots),
        TEST(test_slots_that_are_worked_for),
        TEST(test_silent_ones_beside_busy_workers),
        TEST(test_all_slots),
        TEST(test_the_gate),
        TEST(test_its_own_lines),
        TEST(test_descriptors),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
