/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each method of both interfaces: what it answers, what it refuses and by which name, and what becomes of calls whose
 * caller, polkit or identityd goes away. */
#include "tests/unit/bus/fixture.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOBODY 65534U

static unsigned open_calls(const World *world) {
    unsigned count = 0;

    for (const Call *call = world->bus->calls; call; call = call->next)
        count++;
    return count;
}

/* ---- Manager ---- */

static void test_get_identity(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    const char *path = NULL;

    world_call(world, NULL, "GetIdentity", &reply, "s", "hand");
    assert_answered(&reply);
    assert_true(sd_bus_message_read(reply.message, "o", &path) >= 0);
    assert_string_equal(path, HAND);
    world_call(world, NULL, "GetIdentity", &reply, "s", "nobody");
    assert_refused(&reply, "NoSuchIdentity");
    world_call(world, NULL, "GetIdentity", &reply, "s", "");
    assert_refused(&reply, "NoSuchIdentity");
}

static void test_list_identities(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    const char *name, *path, *identity_state, *activity;
    uint64_t after, renewal;

    world_make_ready(world);
    world_call(world, NULL, "ListIdentities", &reply, "");
    assert_answered(&reply);
    assert_true(sd_bus_message_enter_container(reply.message, 'a', "(sosstt)") > 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(sd_bus_message_read(reply.message, "(sosstt)", &name, &path, &identity_state, &activity, &after,
                                        &renewal) > 0);
        assert_string_equal(name, i ? "other" : "hand");
        assert_string_equal(path, i ? OTHER : HAND);
        assert_string_equal(identity_state, i ? "empty" : "ready");
        assert_int_equal(after == 0, i);
    }
    assert_int_equal(sd_bus_message_at_end(reply.message, false), 1);
}

static void test_metrics(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    const char *text = NULL;

    world_call(world, NULL, "Metrics", &reply, "");
    assert_answered(&reply);
    assert_true(sd_bus_message_read(reply.message, "s", &text) >= 0);
    assert_non_null(strstr(text, "identityd_identity_ready{identity=\"hand\"} 0\n"));
    assert_non_null(strstr(text, "identityd_clock_behind{identity=\"hand\"} 0\n"));
    assert_non_null(strstr(text, "identityd_clock_floor_seconds{identity=\"hand\"} "));
}

static void test_probe(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    world_call(world, NULL, "ProbeServer", &reply, "s", "nobody");
    assert_refused(&reply, "NoSuchIdentity");
    world_call(world, NULL, "ProbeServer", &reply, "s", "hand"); /* has no server */
    assert_null(reply.message);
}

/* ---- arguments ---- */

static void test_options(void **state) {
    static const struct {
        const char *member, *option;
    } cases[] = {
        { "Enroll", "new-key" },
        { "Renew", "rotate-key" },
        { "CreateRequest", "new-key" },
    };
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const char *member = cases[i].member, *option = cases[i].option;
        world_call(world, HAND, member, &reply, "a{sv}", 1, "weather", "b", true);
        assert_refused(&reply, "InvalidArgument");
        assert_non_null(strstr(reply.text, "\"weather\""));
        assert_non_null(strstr(reply.text, option));
        world_call(world, HAND, member, &reply, "a{sv}", 1, option, "s", "yes");
        assert_refused(&reply, "InvalidArgument");
        world_call(world, HAND, member, &reply, "a{sv}", 1, option, "u", 1U);
        assert_refused(&reply, "InvalidArgument");
        world_call(world, HAND, member, &reply, "a{sv}", 2, option, "b", true, option, "b", false);
        assert_refused(&reply, "InvalidArgument");
        world_call(world, HAND, member, &reply, "s", "no dictionary");
        assert_string_equal(reply.error, SD_BUS_ERROR_INVALID_ARGS);
    }
    world_call(world, HAND, "OpenCredential", &reply, "sa{sv}", "data-raw", 1, "new-key", "b", true);
    assert_refused(&reply, "InvalidArgument");
    assert_non_null(strstr(reply.text, "known: none"));
    assert_int_equal(open_calls(world), 0);
}

/* What travels in the call is what was said: absent, true and false. */
static void test_options_arrive(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply first = { .done = false }, second = { .done = false };
    const void *one, *two;
    size_t one_size, two_size;

    for (unsigned i = 0; i < 3; i++) {
        world_call(world, HAND, "CreateRequest", &first, "a{sv}", 0);
        assert_answered(&first);
        if (i == 0)
            world_call(world, HAND, "CreateRequest", &second, "a{sv}", 0);
        else
            world_call(world, HAND, "CreateRequest", &second, "a{sv}", 1, "new-key", "b", i == 1);
        assert_answered(&second);
        assert_true(sd_bus_message_read_array(first.message, 'y', &one, &one_size) >= 0);
        assert_true(sd_bus_message_read_array(second.message, 'y', &two, &two_size) >= 0);
        bool same = one_size == two_size && memcmp(one, two, one_size) == 0;
        assert_int_equal(same, i != 1);
    }
}

static void install(World *world, unsigned count, size_t size, Reply *ret) {
    _cleanup_free_ char *bytes = calloc(1, size + 1U);
    sd_bus_message *m = world_message(world->client, HAND, "InstallCertificate");

    assert_non_null(bytes);
    reply_clear(ret);
    assert_true(sd_bus_message_open_container(m, 'a', "ay") >= 0);
    for (unsigned i = 0; i < count; i++)
        assert_true(sd_bus_message_append_array(m, 'y', bytes, size) >= 0);
    assert_true(sd_bus_message_close_container(m) >= 0);
    world_send(m, ret);
    world_finish(world, ret);
    assert_null(ret->message);
}

static void test_chains(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    install(world, 0, 0, &reply);
    assert_refused(&reply, "InvalidArgument");
    install(world, MANUAL_CHAIN_MAX + 1U, 1, &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_non_null(strstr(reply.text, "more came"));
    install(world, 1, MANUAL_CERTIFICATE_MAX + 1U, &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_non_null(strstr(reply.text, "number 1"));
    install(world, MANUAL_CHAIN_MAX, 8, &reply); /* what is not too long is looked at */
    assert_non_null(strstr(reply.text, "Certificate 1 of the chain"));
}

/* ---- Identity ---- */

static void sign(World *world, const char *path, const char *scheme, size_t size, Reply *ret) {
    _cleanup_free_ char *bytes = calloc(1, size + 1U);
    sd_bus_message *m = world_message(world->client, path, "Sign");

    assert_non_null(bytes);
    memset(bytes, 'A', size);
    reply_clear(ret);
    assert_true(sd_bus_message_append(m, "ss", "raw", scheme) >= 0);
    assert_true(sd_bus_message_append_array(m, 'y', bytes, size) >= 0);
    world_send(m, ret);
    world_finish(world, ret);
}

static void test_sign(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    char scheme[SCHEME_NAME_MAX + 2U];
    const void *signature;
    size_t size = 0;

    sign(world, HAND, "ecdsa_secp256r1_sha256", 10, &reply);
    assert_refused(&reply, "NotReady");
    world_make_ready(world);
    sign(world, HAND, "ecdsa_secp256r1_sha256", SIGN_MESSAGE_MAX, &reply);
    assert_answered(&reply);
    assert_true(sd_bus_message_read_array(reply.message, 'y', &signature, &size) >= 0);
    assert_true(size > 64);
    sign(world, HAND, "ecdsa_secp256r1_sha256", SIGN_MESSAGE_MAX + 1U, &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_non_null(strstr(reply.text, "65537"));
    sign(world, HAND, "rot13", 10, &reply);
    assert_refused(&reply, "InvalidArgument");
    memset(scheme, 'x', sizeof scheme - 1U);
    scheme[sizeof scheme - 1U] = '\0';
    sign(world, HAND, scheme, 10, &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_non_null(strstr(reply.text, "at most 64"));
    sign(world, OTHER, "ecdsa_secp256r1_sha256", 10, &reply); /* without [Access] */
    assert_refused(&reply, "AccessDenied");
}

static void test_open_credential(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    int fd = -1, type = 0;
    socklen_t size = sizeof type;

    world_make_ready(world);
    for (unsigned i = 0; i < 2; i++) {
        if (i)
            world_call(world, NULL, "OpenCredential", &reply, "ssa{sv}", "hand", "data-raw", 0);
        else
            world_call(world, HAND, "OpenCredential", &reply, "sa{sv}", "data-raw", 0);
        assert_answered(&reply);
        assert_true(sd_bus_message_read(reply.message, "h", &fd) >= 0);
        assert_int_equal(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size), 0);
        assert_int_equal(type, SOCK_SEQPACKET);
    }
    world_call(world, HAND, "OpenCredential", &reply, "sa{sv}", "everything", 0);
    assert_refused(&reply, "InvalidArgument");
    world_call(world, HAND, "OpenCredential", &reply, "sa{sv}", "digest", 0);
    assert_refused(&reply, "AccessDenied");
    world_call(world, NULL, "OpenCredential", &reply, "ssa{sv}", "nobody", "data-raw", 0);
    assert_refused(&reply, "NoSuchIdentity");
    world_call(world, OTHER, "OpenCredential", &reply, "sa{sv}", "data-raw", 0);
    assert_refused(&reply, "AccessDenied");
}

static void test_retire_and_reset(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    world_make_ready(world);
    world_call(world, HAND, "ResetClock", &reply, "");
    assert_answered(&reply);
    assert_string_equal(world_text(world, HAND, "ClockSource"), "the time at which identityd was built");
    assert_string_equal(world_text(world, HAND, "State"), "ready");
    world_call(world, HAND, "Retire", &reply, "");
    assert_answered(&reply);
    assert_string_equal(world_text(world, HAND, "State"), "retired");
    sign(world, HAND, "ecdsa_secp256r1_sha256", 10, &reply);
    assert_refused(&reply, "Retired");
    world_call(world, HAND, "OpenCredential", &reply, "sa{sv}", "data-raw", 0);
    assert_refused(&reply, "Retired");
    world_call(world, HAND, "Renew", &reply, "a{sv}", 0);
    assert_null(reply.message);
    world_call(world, HAND, "Enroll", &reply, "a{sv}", 0); /* by hand, not by a server */
    assert_null(reply.message);
}

/* ---- others, and those who go ---- */

static void test_polkit_decides(void **state) {
    static const char *const members[] = { "Enroll", "Renew", "CreateRequest", "Retire", "ResetClock" };
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    sd_bus *other = world_connect_as(world, NOBODY);

    if (!other)
        skip();
    world_polkit(world, POLKIT_NO);
    for (size_t i = 0; i < ARRAY_LENGTH(members); i++) {
        sd_bus_message *m = world_message(other, HAND, members[i]);
        if (i < 3)
            assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
        reply_clear(&reply);
        world_send(m, &reply);
        world_finish(world, &reply);
        assert_refused(&reply, "AccessDenied");
        assert_non_null(strstr(reply.text, world->polkit.action));
        assert_string_equal(world->polkit.identity, "hand");
    }
    assert_int_equal(world->polkit.asked, ARRAY_LENGTH(members));
    world_polkit(world, POLKIT_YES);
    reply_clear(&reply);
    world_send(world_message(other, NULL, "Reload"), &reply);
    world_finish(world, &reply);
    assert_answered(&reply);
    assert_string_equal(world->polkit.action, "org.identityd1.reload");
    sd_bus_flush_close_unref(other);
}

/* Nobody is asked for a password for what cannot be. */
static void test_what_cannot_be(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    sd_bus *other = world_connect_as(world, NOBODY);

    if (!other)
        skip();
    world_polkit(world, POLKIT_YES);
    sd_bus_message *m = world_message(other, HAND, "Enroll");
    assert_true(sd_bus_message_append(m, "a{sv}", 1, "weather", "b", true) >= 0);
    world_send(m, &reply);
    world_finish(world, &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_int_equal(world->polkit.asked, 0);
    sd_bus_flush_close_unref(other);
}

static void test_the_caller_goes(void **state) {
    World *world = *state;
    Reply reply;
    sd_bus *other = world_connect_as(world, NOBODY);

    if (!other)
        skip();
    world_polkit(world, POLKIT_SILENT);
    world_send(world_message(other, HAND, "Retire"), &reply);
    world_until(world, world->polkit.asked == 1);
    assert_int_equal(open_calls(world), 1);
    sd_bus_flush_close_unref(other);
    world_settle(world);
    world_polkit(world, POLKIT_ABSENT); /* polkit ends: nobody is admitted, and nobody is there to be told */
    world_until(world, open_calls(world) == 0);
    assert_string_equal(world_text(world, HAND, "State"), "empty");
}

static void test_too_many_calls(void **state) {
    World *world = *state;
    Reply replies[CALLS_PER_USER_MAX + 2U];
    unsigned refused = 0;
    sd_bus *other = world_connect_as(world, NOBODY);

    if (!other)
        skip();
    world_polkit(world, POLKIT_SILENT);
    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++) {
        world_send(world_message(other, HAND, "Retire"), &replies[i]);
        if (i == 0)
            world_until(world, world->polkit.asked == 1);
    }
    world_until(world, world->polkit.asked == CALLS_PER_USER_MAX);
    world_settle(world);
    for (size_t i = 0; i < ARRAY_LENGTH(replies); i++)
        if (replies[i].done) {
            assert_refused(&replies[i], "LimitsExceeded");
            refused++;
        }
    assert_int_equal(refused, 2);
    assert_int_equal(open_calls(world), CALLS_PER_USER_MAX);
    world_polkit(world, POLKIT_ABSENT);
    world_until(world, open_calls(world) == 0);
    sd_bus_flush_close_unref(other);
}

/* Nobody waits in vain. */
static void test_identityd_stops(void **state) {
    World *world = *state;
    Reply reply;
    sd_bus *other = world_connect_as(world, NOBODY);

    if (!other)
        skip();
    world_polkit(world, POLKIT_SILENT);
    world_send(world_message(other, HAND, "Retire"), &reply);
    world_until(world, world->polkit.asked == 1);
    world_stop(world);
    world_finish(world, &reply);
    assert_refused(&reply, "NotReady");
    sd_bus_flush_close_unref(other);
}

static void test_identityd_stops_while_it_works(void **state) {
    World *world = *state;
    Reply reply;
    sd_bus_message *m = world_message(world->client, HAND, "CreateRequest");

    assert_int_equal(swtpm_suspend(world->swtpm), 0);
    assert_true(sd_bus_message_append(m, "a{sv}", 0) >= 0);
    world_send(m, &reply);
    world_until(world, world->bus->calls && world->bus->calls->handed_over);
    world->bus = bus_free(world->bus);
    assert_int_equal(swtpm_resume(world->swtpm), 0);
    world_stop(world);
    world_finish(world, &reply);
    assert_refused(&reply, "NotReady");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup_whole, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_get_identity),    TEST(test_list_identities),
        TEST(test_metrics),         TEST(test_probe),
        TEST(test_options),         TEST(test_options_arrive),
        TEST(test_chains),          TEST(test_sign),
        TEST(test_open_credential), TEST(test_retire_and_reset),
        TEST(test_polkit_decides),  TEST(test_what_cannot_be),
        TEST(test_the_caller_goes), TEST(test_too_many_calls),
        TEST(test_identityd_stops), TEST(test_identityd_stops_while_it_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
