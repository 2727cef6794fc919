/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What stands for a message: its answers arrive, its arguments are the same, and nothing that is long or strange is
 * taken along. The messages come over a real bus. */
#include "bus/envelope.h"

#include "tests/unit/bus/fixture.h"

#include <string.h>

#define WHERE  "org.identityd1.Test"
#define OBJECT "/org/identityd1/test"

typedef enum Mood { MOOD_EMPTY, MOOD_BODY } Mood;

typedef struct Server {
    sd_bus *bus;
    Mood mood;
    size_t maximum;
    int result;
    size_t size;
    sd_bus_message *copy;
} Server;

static int on_call(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Server *server = userdata;

    if (!sd_bus_message_is_method_call(m, WHERE, NULL))
        return 0;
    server->copy = sd_bus_message_unref(server->copy);
    server->size = server->maximum;
    server->result = server->mood == MOOD_EMPTY ? envelope_new(m, &server->copy)
                                                : envelope_with_body(m, &server->size, &server->copy);
    return server->result < 0 ? sd_bus_reply_method_errnof(m, server->result, "no copy") : 1;
}

static void server_start(World *world, Server *server) {
    server->bus = world_connect(world);
    assert_true(sd_bus_add_filter(server->bus, NULL, on_call, server) >= 0);
}

static void server_stop(Server *server) {
    sd_bus_message_unref(server->copy);
    sd_bus_flush_close_unref(server->bus);
}

static sd_bus_message *message_to(World *world, const Server *server) {
    sd_bus_message *m = NULL;
    const char *name;

    assert_true(sd_bus_get_unique_name(server->bus, &name) >= 0);
    assert_true(sd_bus_message_new_method_call(world->client, &m, name, OBJECT, WHERE, "Do") >= 0);
    return m;
}

static void send_and_wait(World *world, Server *server, sd_bus_message *m, Reply *reply) {
    server->copy = sd_bus_message_unref(server->copy);
    reply_clear(reply);
    world_send(m, reply);
    world_until(world, server->copy || reply->done);
}

static void test_answers_arrive(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    Server server = { .mood = MOOD_EMPTY };
    const char *text;

    server_start(world, &server);
    for (unsigned i = 0; i < 2; i++) {
        sd_bus_message *m = message_to(world, &server);
        assert_true(sd_bus_message_set_allow_interactive_authorization(m, i) >= 0);
        assert_true(sd_bus_message_append(m, "s", "something") >= 0);
        send_and_wait(world, &server, m, &reply);
        assert_non_null(server.copy);
        assert_int_equal(sd_bus_message_is_empty(server.copy), 1);
        assert_int_equal(sd_bus_message_get_allow_interactive_authorization(server.copy) > 0, i);
        assert_int_equal(sd_bus_message_get_expect_reply(server.copy), 1);
        if (i)
            assert_true(sd_bus_reply_method_return(server.copy, "s", "done") >= 0);
        else
            assert_true(sd_bus_reply_method_errorf(server.copy, WHERE ".No", "not %d", 1) >= 0);
        world_finish(world, &reply);
        if (!i) {
            assert_string_equal(reply.error, WHERE ".No");
            assert_string_equal(reply.text, "not 1");
            continue;
        }
        assert_answered(&reply);
        assert_true(sd_bus_message_read(reply.message, "s", &text) > 0);
        assert_string_equal(text, "done");
    }
    server_stop(&server);
}

/* Who wants no answer gets none. */
static void test_no_answer_wanted(void **state) {
    World *world = *state;
    Server server = { .mood = MOOD_EMPTY };

    server_start(world, &server);
    sd_bus_message *m = message_to(world, &server);
    assert_true(sd_bus_message_set_expect_reply(m, false) >= 0);
    assert_true(sd_bus_send(world->client, m, NULL) >= 0);
    sd_bus_message_unref(m);
    world_until(world, server.copy);
    assert_int_equal(sd_bus_message_get_expect_reply(server.copy), 0);
    assert_int_equal(sd_bus_reply_method_return(server.copy, NULL), 0);
    server_stop(&server);
}

static void test_bodies(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    Server server = { .mood = MOOD_BODY, .maximum = 4096 };
    const char *word = NULL, *key = NULL;
    const void *bytes = NULL;
    size_t size = 0;
    int flag = 0;
    uint32_t number = 0;
    uint8_t byte = 0;
    double real = 0;

    server_start(world, &server);
    sd_bus_message *m = message_to(world, &server);
    assert_true(sd_bus_message_append(m, "soyudba{sv}(ss)", "word", "/a/path", 7, 8U, 2.5, true, 1, "key", "b", true,
                                      "x", "y") >= 0);
    assert_true(sd_bus_message_append_array(m, 'y', "\0\1\2", 3) >= 0);
    send_and_wait(world, &server, m, &reply);
    assert_int_equal(server.result, 0);
    assert_in_range(server.size, 20, 150);
    m = server.copy;
    assert_string_equal(sd_bus_message_get_signature(m, true), "soyudba{sv}(ss)ay");
    assert_string_equal(sd_bus_message_get_path(m), OBJECT);
    assert_string_equal(sd_bus_message_get_member(m), "Do");
    assert_true(sd_bus_message_read(m, "so", &word, NULL) > 0);
    assert_string_equal(word, "word");
    assert_true(sd_bus_message_read(m, "yudb", &byte, &number, &real, &flag) > 0);
    assert_true(byte == 7 && number == 8 && real == 2.5 && flag == 1);
    flag = 0;
    assert_true(sd_bus_message_read(m, "a{sv}", 1, &key, "b", &flag) > 0);
    assert_true(strcmp(key, "key") == 0 && flag == 1);
    assert_true(sd_bus_message_skip(m, "(ss)") > 0);
    assert_true(sd_bus_message_read_array(m, 'y', &bytes, &size) >= 0);
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "\0\1\2", 3);
    server_stop(&server);
}

static void expect_refused(World *world, Server *server, sd_bus_message *m, int result) {
    _cleanup_reply_ Reply reply = { .done = false };

    send_and_wait(world, server, m, &reply);
    assert_null(server->copy);
    assert_int_equal(server->result, result);
}

static void test_what_is_not_taken(void **state) {
    World *world = *state;
    Server server = { .mood = MOOD_BODY, .maximum = 100 };
    _cleanup_reply_ Reply reply = { .done = false };
    char text[200];

    memset(text, 'x', sizeof text);
    server_start(world, &server);
    for (unsigned kind = 0; kind < 4; kind++)
        for (size_t length = 99; length <= 100; length++) {
            sd_bus_message *m = message_to(world, &server);
            text[length] = '\0'; /* with its end: 100, and 101 */
            if (kind == 0)
                assert_true(sd_bus_message_append(m, "s", text) >= 0);
            else if (kind == 1)
                assert_true(sd_bus_message_append_array(m, 'y', text, length - 3U) >= 0);
            else if (kind == 2)
                assert_true(sd_bus_message_append(m, "v", "s", text + 4) >= 0);
            else
                assert_true(sd_bus_message_append(m, "as", 2, text + 5, "") >= 0);
            if (length == 100)
                expect_refused(world, &server, m, -E2BIG);
            else {
                send_and_wait(world, &server, m, &reply);
                assert_int_equal(server.result, 0);
                assert_int_equal(server.size, 100);
            }
            text[length] = 'x';
        }
    sd_bus_message *m = message_to(world, &server);
    assert_true(sd_bus_message_append(m, "h", STDERR_FILENO) >= 0);
    expect_refused(world, &server, m, -EPERM);
    m = message_to(world, &server);
    assert_true(sd_bus_message_append(m, "v", "h", STDERR_FILENO) >= 0);
    expect_refused(world, &server, m, -EPERM);
    server.maximum = 4096;
    for (unsigned depth = 8; depth <= 9; depth++) {
        m = message_to(world, &server);
        for (unsigned i = 0; i < depth; i++)
            assert_true(sd_bus_message_open_container(m, 'v', i + 1U < depth ? "v" : "s") >= 0);
        assert_true(sd_bus_message_append(m, "s", "deep") >= 0);
        for (unsigned i = 0; i < depth; i++)
            assert_true(sd_bus_message_close_container(m) >= 0);
        if (depth == 9)
            expect_refused(world, &server, m, -E2BIG);
        else {
            send_and_wait(world, &server, m, &reply);
            assert_int_equal(server.result, 0);
        }
    }
    server_stop(&server);
}

/* What is no call of somebody on a bus. */
static void test_no_call(void **state) {
    World *world = *state;
    sd_bus_message *signal = NULL, *call = message_to(world, &(Server) { .bus = world->client }), *copy = NULL;
    size_t size = 10;

    assert_true(sd_bus_message_new_signal(world->client, &signal, OBJECT, WHERE, "Done") >= 0);
    assert_int_equal(envelope_new(signal, &copy), -EBADMSG);
    assert_int_equal(envelope_new(call, &copy), -EBADMSG); /* it was never sent */
    assert_int_equal(envelope_with_body(call, &size, &copy), -EBADMSG);
    assert_int_equal(size, 10);
    sd_bus_message_unref(signal);
    sd_bus_message_unref(call);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_answers_arrive),    TEST(test_no_answer_wanted), TEST(test_bodies),
        TEST(test_what_is_not_taken), TEST(test_no_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
