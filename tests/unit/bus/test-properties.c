/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is shown of identities, how often it is looked up, what signals there are, and the life of the name. */
#include "tests/unit/bus/fixture.h"

#include <string.h>
#include <unistd.h>

static unsigned views;
int __real_identity_view(const Identity *identity, IdentityView *ret);
int __wrap_identity_view(const Identity *identity, IdentityView *ret);
int __wrap_identity_view(const Identity *identity, IdentityView *ret) {
    views++;
    return __real_identity_view(identity, ret);
}

static void ask(World *world, const char *path, const char *interface, const char *member, Reply *ret) {
    sd_bus_message *m = NULL;

    assert_true(sd_bus_message_new_method_call(world->client, &m, IDENTITYD_BUS_NAME, path, interface, member) >= 0);
    if (strcmp(member, "GetAll") == 0)
        assert_true(sd_bus_message_append(m, "s", IDENTITYD_IDENTITY_INTERFACE) >= 0);
    views = 0;
    world_send(m, ret);
    world_finish(world, ret);
    assert_answered(ret);
}

static unsigned count_properties(sd_bus_message *m) {
    unsigned count = 0;

    assert_true(sd_bus_message_enter_container(m, 'a', "{sv}") > 0);
    for (const char *name; sd_bus_message_enter_container(m, 'e', "sv") > 0; count++) {
        assert_true(sd_bus_message_read(m, "s", &name) >= 0);
        assert_true(sd_bus_message_skip(m, "v") >= 0);
        assert_true(sd_bus_message_exit_container(m) >= 0);
    }
    return count;
}

static void test_one_view_for_all(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    ask(world, HAND, "org.freedesktop.DBus.Properties", "GetAll", &reply);
    assert_int_equal(views, 1);
    assert_int_equal(count_properties(reply.message), 20);
    reply_clear(&reply);
    ask(world, IDENTITYD_MANAGER_PATH, "org.freedesktop.DBus.ObjectManager", "GetManagedObjects", &reply);
    assert_int_equal(views, 2); /* one for each identity */
}

static void test_values(void **state) {
    World *world = *state;

    assert_string_equal(world_text(world, HAND, "Name"), "hand");
    assert_string_equal(world_text(world, OTHER, "Name"), "other");
    assert_string_equal(world_text(world, HAND, "State"), "empty");
    assert_string_equal(world_text(world, HAND, "Activity"), "idle");
    assert_string_equal(world_text(world, HAND, "Subject"), "");
    assert_string_equal(world_text(world, HAND, "KeyAlgorithm"), "ecdsa-p256");
    assert_string_equal(world_text(world, HAND, "ClockSource"), "the time at which identityd was built");
    assert_string_equal(world_text(world, IDENTITYD_MANAGER_PATH, "Version"), IDENTITYD_VERSION);
    assert_string_equal(world_text(world, IDENTITYD_MANAGER_PATH, "TpmState"), "ready");
    assert_string_equal(world_text(world, IDENTITYD_MANAGER_PATH, "TpmProblem"), "");
    assert_int_equal(strlen(world_text(world, IDENTITYD_MANAGER_PATH, "DeviceId")), 64);
    world_make_ready(world);
    assert_string_equal(world_text(world, HAND, "State"), "ready");
    assert_string_equal(world_text(world, HAND, "Subject"), "CN=hand");
    assert_string_equal(world_text(world, HAND, "Issuer"), "CN=root");
    assert_string_equal(world_text(world, HAND, "SerialNumber"), "07");
    assert_string_equal(world_text(world, HAND, "ClockSource"), "the beginning of a certificate");
    assert_string_equal(world_text(world, OTHER, "State"), "empty");
}

/* ---- signals ---- */

typedef struct Signals {
    unsigned hand, other, manager, added, removed, views;
} Signals;

static int on_signal(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Signals *signals = userdata;
    const char *path = sd_bus_message_get_path(m), *member = sd_bus_message_get_member(m);

    if (strcmp(member, "InterfacesAdded") == 0)
        signals->added++;
    else if (strcmp(member, "InterfacesRemoved") == 0)
        signals->removed++;
    else if (strcmp(path, HAND) == 0)
        signals->hand++;
    else if (strcmp(path, OTHER) == 0)
        signals->other++;
    else
        signals->manager++;
    return 0;
}

static void listen_to(World *world, Signals *signals) {
    assert_true(sd_bus_add_match(world->client, NULL, "type='signal',path_namespace='/org/identityd1'", on_signal,
                                 signals) >= 0);
}

static int on_wake(sd_event_source *source, void *userdata) {
    return 0;
}

/* A turn of the loop, at whose end it is told what has changed. */
static void wake(World *world) {
    assert_true(sd_event_add_defer(world->loop, NULL, on_wake, NULL) >= 0);
    world_turn(world);
}

/* However often it is said in one turn. */
static void test_one_signal_for_a_turn(void **state) {
    World *world = *state;
    Signals signals = { .hand = 0 };
    Identity *hand = identity_set_find(manager_identities(world->manager), "hand", NULL);

    listen_to(world, &signals);
    views = 0;
    for (unsigned i = 0; i < 5; i++) {
        identity_note(hand, CHANGED_PROPERTIES);
        (void) identity_evaluate(hand);
    }
    wake(world);
    world_until(world, signals.hand > 0);
    world_settle(world);
    assert_int_equal(signals.hand, 1);
    assert_int_equal(signals.other, 0);
    assert_int_equal(signals.manager, 0);
    assert_int_equal(views, 1); /* of all its properties */
    identity_note(hand, CHANGED_PROPERTIES);
    wake(world);
    world_until(world, signals.hand == 2);
}

static void test_reload(void **state) {
    World *world = *state;
    Signals signals = { .hand = 0 };
    _cleanup_reply_ Reply reply = { .done = false };
    char from[160], to[160];

    listen_to(world, &signals);
    (void) snprintf(from, sizeof from, "%s/etc/identities/other.conf", world->root);
    (void) snprintf(to, sizeof to, "%s/etc/identities/third.conf", world->root);
    assert_int_equal(rename(from, to), 0);
    world_call(world, NULL, "Reload", &reply, "");
    assert_answered(&reply);
    world_until(world, signals.added > 0 && signals.removed > 0);
    assert_int_equal(signals.added, 1);
    assert_int_equal(signals.removed, 1);
    assert_string_equal(world_text(world, IDENTITYD_IDENTITY_PREFIX "/third", "State"), "empty");
    reply_clear(&reply);
    world_call(world, OTHER, "Retire", &reply, "");
    assert_string_equal(reply.error, SD_BUS_ERROR_UNKNOWN_OBJECT);
}

/* ---- the name ---- */

static bool name_has_owner(World *world) {
    sd_bus_creds *creds = NULL;
    int r = sd_bus_get_name_creds(world->client, IDENTITYD_BUS_NAME, 0, &creds);

    sd_bus_creds_unref(creds);
    return r >= 0;
}

static int setup_without_bus(void **state) {
    assert_int_equal(world_setup(state), 0);
    World *world = *state;
    assert_int_equal(swtpm_new(&world->swtpm), 0);
    world_start_manager(world);
    return 0;
}

static void test_name_when_asked_for(void **state) {
    World *world = *state;

    assert_int_equal(bus_new(world->loop, world->manager, &world->bus), 0);
    assert_false(name_has_owner(world));
    world_until(world, manager_is_settled(world->manager));
    assert_false(bus_has_name(world->bus));
    assert_int_equal(bus_request_name(world->bus), 0);
    assert_false(bus_has_name(world->bus));
    world_until(world, bus_has_name(world->bus));
    assert_true(name_has_owner(world));
}

static void test_name_is_taken(void **state) {
    World *world = *state;

    assert_true(sd_bus_request_name(world->client, IDENTITYD_BUS_NAME, 0) >= 0);
    assert_int_equal(bus_new(world->loop, world->manager, &world->bus), -EEXIST);
    assert_null(world->bus);
}

static void test_name_is_taken_meanwhile(void **state) {
    World *world = *state;
    int code = 0;

    assert_int_equal(bus_new(world->loop, world->manager, &world->bus), 0);
    assert_true(sd_bus_request_name(world->client, IDENTITYD_BUS_NAME, 0) >= 0);
    assert_int_equal(bus_request_name(world->bus), 0);
    world_until(world, sd_event_get_exit_code(world->loop, &code) >= 0);
    assert_int_equal(code, -EEXIST);
    assert_false(bus_has_name(world->bus));
}

static void test_no_bus(void **state) {
    World *world = *state;

    assert_int_equal(setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus", 1), 0);
    assert_true(bus_new(world->loop, world->manager, &world->bus) < 0);
    assert_null(world->bus);
}

/* identityd's own connection is ended, as by a bus that goes away. */
static void test_bus_goes_away(void **state) {
    World *world = *state;
    int code = 0;

    sd_bus_detach_event(world->client);
    world->daemon = test_bus_free(world->daemon);
    world_until(world, sd_event_get_exit_code(world->loop, &code) >= 0);
    assert_true(code > 0);
}

#define WHOLE(name)   cmocka_unit_test_setup_teardown(name, world_setup_whole, world_teardown)
#define WITHOUT(name) cmocka_unit_test_setup_teardown(name, setup_without_bus, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        WHOLE(test_one_view_for_all),
        WHOLE(test_values),
        WHOLE(test_one_signal_for_a_turn),
        WHOLE(test_reload),
        WHOLE(test_bus_goes_away),
        WITHOUT(test_name_when_asked_for),
        WITHOUT(test_name_is_taken),
        WITHOUT(test_name_is_taken_meanwhile),
        WITHOUT(test_no_bus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
