/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is behind a connection: asked for once, told to all who wait, and never guessed. systemd is the test's. */
#include "tests/unit/bus/fixture.h"

#include <string.h>
#include <sys/types.h>
#include <unistd.h>

typedef struct Asked {
    CallerWait wait;
    Caller caller;
    unsigned count;
    int r;
} Asked;

static void on_found(int r, void *userdata) {
    Asked *asked = userdata;

    asked->count++;
    asked->r = r;
}

static Asked *asked_new(bool wants_unit) {
    Asked *asked = calloc(1, sizeof *asked);

    assert_non_null(asked);
    asked->caller = CALLER_INIT;
    asked->wait =
        (CallerWait) { .wants_unit = wants_unit, .ret = &asked->caller, .found = on_found, .userdata = asked };
    return asked;
}

static void asked_free(Asked *asked) {
    caller_forget(&asked->wait);
    caller_clear(&asked->caller);
    free(asked);
}

static const char *name_of(sd_bus *connection) {
    const char *name = NULL;

    assert_true(sd_bus_get_unique_name(connection, &name) >= 0);
    return name;
}

/* ---- systemd ---- */

typedef struct Systemd {
    sd_bus *bus;
    unsigned asked;
    bool says_no, fails;
} Systemd;

static int on_question(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Systemd *systemd = userdata;
    uint32_t pid = 0;

    if (!sd_bus_message_is_method_call(m, "org.freedesktop.systemd1.Manager", "GetUnitByPID"))
        return 0;
    assert_true(sd_bus_message_read(m, "u", &pid) >= 0);
    assert_int_equal(pid, getpid());
    systemd->asked++;
    if (systemd->says_no)
        return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.NoUnitForPID", "no unit");
    if (systemd->fails)
        return sd_bus_reply_method_errorf(m, SD_BUS_ERROR_FAILED, "busy");
    return sd_bus_reply_method_return(m, "o", "/org/freedesktop/systemd1/unit/mqtt_2eservice");
}

static void systemd_start(World *world, Systemd *systemd) {
    systemd->bus = world_connect(world);
    assert_true(sd_bus_add_object(systemd->bus, NULL, "/org/freedesktop/systemd1", on_question, systemd) >= 0);
    assert_true(sd_bus_request_name(systemd->bus, "org.freedesktop.systemd1", 0) >= 0);
}

/* ---- tests ---- */

static void find_and_wait(World *world, Callers *callers, Asked *asked) {
    assert_int_equal(caller_find(callers, name_of(world->client), &asked->wait), CALLER_ASKED);
    assert_int_equal(asked->count, 0);
    world_until(world, asked->count > 0);
    assert_int_equal(asked->count, 1);
}

static void test_once(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *first = asked_new(false), *second = asked_new(false);
    sd_bus *connection = world_connect(world);

    assert_int_equal(callers_new(connection, &callers), 0);
    find_and_wait(world, callers, first);
    assert_int_equal(first->r, 0);
    assert_int_equal(first->caller.uid, geteuid());
    assert_int_equal(first->caller.pid, getpid());
    assert_string_equal(first->caller.bus_name, name_of(world->client));
    assert_true(first->caller.group_count > 0);
    assert_int_equal(first->caller.pidfd, -1); /* who needs none holds none */
    assert_int_equal(first->caller.party, geteuid());
    assert_null(first->caller.unit);
    assert_int_equal(caller_find(callers, name_of(world->client), &second->wait), CALLER_KNOWN);
    assert_int_equal(second->caller.uid, geteuid());
    assert_true(caller_is_alive(caller_known(callers, name_of(world->client))));
    assert_int_equal(second->count, 0);
    asked_free(first);
    asked_free(second);
    callers = callers_free(callers);
    sd_bus_flush_close_unref(connection);
}

static void test_who_is_gone(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *asked = asked_new(false);

    assert_int_equal(callers_new(world->client, &callers), 0);
    assert_int_equal(caller_find(callers, ":1.4711", &asked->wait), CALLER_ASKED);
    world_until(world, asked->count > 0);
    assert_true(asked->r < 0);
    assert_int_equal(asked->caller.uid, (uid_t) -1);
    asked_free(asked);
}

static void test_unit(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *without = asked_new(false), *with = asked_new(true), *known = asked_new(true), *wait = asked_new(true);
    Systemd systemd = { .asked = 0 };

    systemd_start(world, &systemd);
    assert_int_equal(callers_new(world->client, &callers), 0);
    find_and_wait(world, callers, without);
    assert_int_equal(systemd.asked, 0); /* where it does not matter nobody asks */
    assert_int_equal(caller_find(callers, name_of(world->client), &with->wait), CALLER_ASKED);
    assert_int_equal(caller_find(callers, name_of(world->client), &wait->wait), CALLER_ASKED);
    world_until(world, with->count > 0 && wait->count > 0);
    assert_string_equal(with->caller.unit, "mqtt.service");
    assert_string_equal(wait->caller.unit, "mqtt.service");
    assert_int_equal(systemd.asked, 1);
    assert_int_equal(caller_find(callers, name_of(world->client), &known->wait), CALLER_KNOWN);
    assert_string_equal(known->caller.unit, "mqtt.service");
    assert_true(caller_is_alive(&known->caller) && caller_is_alive(&with->caller));
    assert_int_not_equal(known->caller.pidfd, with->caller.pidfd); /* a descriptor of its own */
    asked_free(without);
    asked_free(with);
    asked_free(known);
    asked_free(wait);
    sd_bus_flush_close_unref(systemd.bus);
}

/* "None" is an answer and is kept; that there was no answer is not. */
static void test_no_unit(void **state) {
    World *world = *state;

    for (unsigned i = 0; i < 3; i++) {
        _cleanup_(callers_free_p) Callers *callers = NULL;
        Asked *asked = asked_new(true), *again = asked_new(true);
        Systemd systemd = { .says_no = i == 0, .fails = i == 1 };

        if (i < 2)
            systemd_start(world, &systemd);
        assert_int_equal(callers_new(world->client, &callers), 0);
        find_and_wait(world, callers, asked);
        assert_int_equal(asked->r, 0);
        assert_null(asked->caller.unit);
        assert_int_equal(asked->caller.unit_is_known, i == 0);
        assert_int_equal(caller_find(callers, name_of(world->client), &again->wait),
                         i == 0 ? CALLER_KNOWN : CALLER_ASKED);
        asked_free(asked);
        asked_free(again);
        sd_bus_flush_close_unref(systemd.bus);
    }
}

/* Whom no unit matters to does not wait for systemd. */
static void test_some_need_no_unit(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *with = asked_new(true), *without = asked_new(false);
    Systemd systemd = { .asked = 0 };

    systemd_start(world, &systemd);
    assert_int_equal(callers_new(world->client, &callers), 0);
    assert_int_equal(caller_find(callers, name_of(world->client), &with->wait), CALLER_ASKED);
    assert_int_equal(caller_find(callers, name_of(world->client), &without->wait), CALLER_ASKED);
    world_until(world, without->count > 0);
    assert_int_equal(with->count, 0);
    world_until(world, with->count > 0);
    asked_free(with);
    asked_free(without);
    sd_bus_flush_close_unref(systemd.bus);
}

static void test_forgotten(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *one = asked_new(false), *two = asked_new(false), *three = asked_new(false);

    assert_int_equal(callers_new(world->client, &callers), 0);
    caller_forget(&one->wait);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(caller_find(callers, name_of(world->client), &(i ? i == 1 ? two : three : one)->wait),
                         CALLER_ASKED);
    caller_forget(&two->wait);
    world_until(world, one->count && three->count);
    assert_int_equal(two->count, 0);
    asked_free(two);
    two = asked_new(false);
    assert_int_equal(caller_find(callers, ":1.4711", &two->wait), CALLER_ASKED);
    callers = callers_free(callers);
    world_settle(world);
    assert_int_equal(two->count, 0);
    asked_free(one);
    asked_free(two);
    asked_free(three);
}

static void test_too_many(void **state) {
    World *world = *state;
    _cleanup_(callers_free_p) Callers *callers = NULL;
    Asked *asked[CALLER_WAITS_MAX + 1U];

    assert_int_equal(callers_new(world->client, &callers), 0);
    for (unsigned i = 0; i <= CALLER_WAITS_MAX; i++) {
        asked[i] = asked_new(false);
        assert_int_equal(caller_find(callers, name_of(world->client), &asked[i]->wait),
                         i < CALLER_WAITS_MAX ? CALLER_ASKED : -EDQUOT);
    }
    world_until(world, asked[0]->count > 0);
    world_settle(world);
    for (unsigned i = 0; i <= CALLER_WAITS_MAX; i++) {
        assert_int_equal(asked[i]->count, i < CALLER_WAITS_MAX);
        asked_free(asked[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_once),      TEST(test_who_is_gone), TEST(test_unit), TEST(test_no_unit), TEST(test_some_need_no_unit),
        TEST(test_forgotten), TEST(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
