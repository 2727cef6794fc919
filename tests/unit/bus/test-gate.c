/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nothing is kept for a stranger: what waits until the bus has said who it is, and what waits for polkit, is little and
 * no descriptor; and whoever asks too much is refused while others are served. */
#include "tests/unit/bus/fixture.h"

#include <dirent.h>
#include <string.h>

#define NOBODY 65534U

static unsigned open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    (void) closedir(directory);
    return count;
}

static sd_bus_message *install_message(sd_bus *client, size_t size, const void *data) {
    sd_bus_message *m = world_message(client, HAND, "InstallCertificate");

    assert_true(sd_bus_message_open_container(m, 'a', "ay") >= 0);
    assert_true(sd_bus_message_append_array(m, 'y', data, size) >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    return m;
}

/* The first calls of a connection are held; they are answered in their order all the same. */
static void test_first_calls(void **state) {
    World *world = *state;
    Reply replies[20];
    sd_bus *other = world_connect(world);

    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++)
        world_send(world_message(other, NULL, "ListIdentities"), &replies[i]);
    world_until(world, world->bus->held > 0);
    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
        while (!replies[i].done) {
            assert_false(replies[ARRAY_LENGTH(replies) - 1U].done);
            world_turn(world);
        }
        assert_answered(&replies[i]);
        reply_clear(&replies[i]);
    }
    assert_int_equal(world->bus->held, 0);
    sd_bus_flush_close_unref(other);
}

/* What no method takes is refused before it is known who sends it, and afterwards. */
static void test_too_long(void **state) {
    World *world = *state;
    Reply reply = { .done = false };
    _cleanup_free_ char *text = calloc(1, 1U << 20);

    assert_non_null(text);
    memset(text, 'x', (1U << 20) - 1U);
    for (unsigned i = 0; i < 2; i++) {
        sd_bus *other = world_connect(world);
        sd_bus_message *m = i ? install_message(other, MANUAL_CHAIN_MAX * (MANUAL_CERTIFICATE_MAX + 4U) + 4096U, text)
                              : world_message(other, NULL, "GetIdentity");
        if (i == 0)
            assert_true(sd_bus_message_append(m, "s", text) >= 0);
        world_send(m, &reply);
        world_finish(world, &reply);
        assert_refused(&reply, "InvalidArgument");
        assert_non_null(strstr(reply.text, i ? "InstallCertificate takes no" : "GetIdentity takes no"));
        m = world_message(other, HAND, "Retire");
        assert_true(sd_bus_message_append(m, "h", STDERR_FILENO) >= 0);
        world_send(m, &reply);
        world_finish(world, &reply);
        assert_refused(&reply, "InvalidArgument");
        assert_int_equal(world->bus->held, 0);
        sd_bus_flush_close_unref(other);
    }
}

/* One connection and all together have so many places before the bus has said who they are. */
static void test_too_many_unknown(void **state) {
    enum { CALLS = GATE_OF_SENDER_MAX + 10U };
    World *world = *state;
    Reply *replies = calloc(CALLS, sizeof *replies);
    unsigned refused = 0;
    sd_bus *other = world_connect(world);

    assert_non_null(replies);
    for (size_t i = 0; i < CALLS; i++)
        world_send(world_message(other, NULL, "ListIdentities"), &replies[i]);
    assert_true(sd_bus_flush(other) >= 0);
    for (size_t i = 0; i < CALLS; i++) {
        world_finish(world, &replies[i]);
        if (!replies[i].message) {
            assert_refused(&replies[i], "LimitsExceeded");
            refused++;
        }
        reply_clear(&replies[i]);
    }
    assert_true(refused <= 10); /* fewer, where the bus was quick */
    free(replies);
    sd_bus_flush_close_unref(other);
}

/* While polkit is asked a call holds no descriptor, and of what was sent no more than a little. */
static void test_waits_with_nothing(void **state) {
    World *world = *state;
    Reply replies[CALLS_PER_USER_MAX];
    _cleanup_free_ char *bytes = calloc(1, MANUAL_CERTIFICATE_MAX);
    sd_bus *other = world_connect_as(world, NOBODY);

    assert_non_null(bytes);
    if (!other)
        skip();
    world_polkit(world, POLKIT_SILENT);
    world_send(world_message(other, HAND, "Retire"), &replies[0]);
    world_until(world, world->polkit.asked == 1);
    unsigned before = open_descriptors();
    for (size_t i = 1; i < ARRAY_LENGTH(replies); i++)
        world_send(install_message(other, i % 2 ? CALL_KEPT_MAX : MANUAL_CERTIFICATE_MAX, bytes), &replies[i]);
    world_until(world, world->polkit.asked == ARRAY_LENGTH(replies));
    assert_int_equal(open_descriptors(), before);
    for (const Call *call = world->bus->calls; call; call = call->next) {
        assert_true(arguments_size(&call->arguments) <= CALL_KEPT_MAX);
        assert_int_equal(call->caller.pidfd, -1);
        assert_int_equal(sd_bus_message_is_empty(call->message), 1);
        assert_true(call->dropped == 0 || call->dropped == MANUAL_CERTIFICATE_MAX);
    }
    world_polkit(world, POLKIT_ABSENT);
    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
        world_finish(world, &replies[i]);
        assert_refused(&replies[i], "AccessDenied");
    }
    sd_bus_flush_close_unref(other);
}

/* Whom polkit lets install what is long sends it twice, and is asked for once. */
static void test_send_again(void **state) {
    World *world = *state;
    Reply reply = { .done = false };
    _cleanup_free_ char *bytes = calloc(1, 10000);
    sd_bus *other = world_connect_as(world, NOBODY), *third = world_connect_as(world, NOBODY);

    assert_non_null(bytes);
    if (!other || !third)
        skip();
    world_polkit(world, POLKIT_YES);
    world_send(install_message(other, 10000, bytes), &reply);
    world_finish(world, &reply);
    assert_refused(&reply, "SendAgain");
    assert_non_null(strstr(reply.text, "Send them again"));
    assert_int_equal(world->polkit.asked, 1);
    world_polkit(world, POLKIT_NO);
    world_send(install_message(third, 10000, bytes), &reply); /* of another connection: not this one's */
    world_finish(world, &reply);
    assert_refused(&reply, "AccessDenied");
    assert_int_equal(world->polkit.asked, 2);
    world_send(install_message(other, 10000, bytes), &reply);
    world_finish(world, &reply);
    assert_non_null(strstr(reply.text, "Certificate 1 of the chain")); /* it was looked at */
    assert_int_equal(world->polkit.asked, 2);
    world_send(install_message(other, 10000, bytes), &reply); /* once */
    world_finish(world, &reply);
    assert_refused(&reply, "AccessDenied");
    world_send(install_message(other, 100, bytes), &reply); /* what is short was never dropped */
    world_polkit(world, POLKIT_YES);
    world_finish(world, &reply);
    sd_bus_flush_close_unref(other);
    sd_bus_flush_close_unref(third);
}

/* Root is known to be permitted as soon as it is known: it sends once, on a connection that is new. */
static void test_root_sends_once(void **state) {
    World *world = *state;
    Reply reply = { .done = false };
    _cleanup_free_ char *bytes = calloc(1, MANUAL_CERTIFICATE_MAX);
    sd_bus *other = world_connect(world);

    assert_non_null(bytes);
    world_send(install_message(other, MANUAL_CERTIFICATE_MAX, bytes), &reply);
    world_finish(world, &reply);
    assert_non_null(strstr(reply.text, "Certificate 1 of the chain"));
    sd_bus_flush_close_unref(other);
}

/* What is dear: all properties of all identities. */
static sd_bus_message *dear_message(sd_bus *client) {
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(client, &m, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH,
                                               "org.freedesktop.DBus.ObjectManager", "GetManagedObjects") >= 0);
    return m;
}

/* A user who calls without end is refused in the end; another one beside him never is. */
static void test_flood(void **state) {
    World *world = *state;
    Reply flood[32], reply = { .done = false };
    unsigned refused = 0, rounds = 0;
    sd_bus *flooder = world_connect_as(world, NOBODY), *other = world_connect_as(world, 1);

    if (!flooder || !other)
        skip();
    while (refused == 0 && rounds++ < 1000) {
        for (size_t i = 0; i < ARRAY_LENGTH(flood); i++)
            world_send(dear_message(flooder), &flood[i]);
        world_send(world_message(other, NULL, "ListIdentities"), &reply);
        for (size_t i = 0; i < ARRAY_LENGTH(flood); i++) {
            world_finish(world, &flood[i]);
            if (!flood[i].message) {
                assert_refused(&flood[i], "LimitsExceeded");
                assert_non_null(strstr(flood[i].text, "uid 65534 has used up its share"));
                refused++;
            }
            reply_clear(&flood[i]);
        }
        world_finish(world, &reply);
        assert_answered(&reply);
        reply_clear(&reply);
    }
    assert_true(refused > 0);
    sd_bus_flush_close_unref(flooder);
    sd_bus_flush_close_unref(other);
}

/* Who waits at the gate when identityd ends is told so. */
static void test_ends(void **state) {
    World *world = *state;
    Reply reply = { .done = false };
    sd_bus *other = world_connect(world);

    world_send(world_message(other, NULL, "ListIdentities"), &reply);
    world_until(world, world->bus->held == 1);
    world_stop(world);
    world_finish(world, &reply);
    assert_refused(&reply, "NotReady");
    sd_bus_flush_close_unref(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup_whole, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_first_calls),
        TEST(test_too_long),
        TEST(test_too_many_unknown),
        TEST(test_waits_with_nothing),
        TEST(test_send_again),
        TEST(test_root_sends_once),
        TEST(test_flood),
        TEST(test_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
