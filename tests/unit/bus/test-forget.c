/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ListForgotten and Forget: what an identity left behind that is configured no more, and who may have it removed. */
#include "tests/unit/bus/fixture.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534U

/* Whether the names are these. */
static void expect_forgotten(World *world, const char *name) {
    _cleanup_reply_ Reply reply = { .done = false };
    const char *found = NULL;

    world_call(world, NULL, "ListForgotten", &reply, "");
    assert_answered(&reply);
    assert_true(sd_bus_message_enter_container(reply.message, 'a', "s") >= 0);
    if (name) {
        assert_true(sd_bus_message_read(reply.message, "s", &found) > 0);
        assert_string_equal(found, name);
    }
    assert_int_equal(sd_bus_message_at_end(reply.message, false), 1);
}

static void configure_no_more(World *world, const char *name) {
    _cleanup_reply_ Reply reply = { .done = false };
    char path[256];

    (void) snprintf(path, sizeof path, "%s/etc/identities/%s.conf", world->root, name);
    assert_int_equal(unlink(path), 0);
    world_call(world, NULL, "Reload", &reply, "");
    assert_answered(&reply);
}

static void test_what_is_left_is_listed_and_removed(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };

    world_make_ready(world);
    expect_forgotten(world, NULL);
    configure_no_more(world, "hand");
    expect_forgotten(world, "hand");
    world_call(world, NULL, "Forget", &reply, "s", "other"); /* is configured */
    assert_refused(&reply, "InvalidArgument");
    world_call(world, NULL, "Forget", &reply, "s", "nobody");
    assert_refused(&reply, "NoSuchIdentity");
    expect_forgotten(world, "hand");
    world_call(world, NULL, "Forget", &reply, "s", "hand");
    assert_answered(&reply);
    expect_forgotten(world, NULL);
    world_call(world, NULL, "Forget", &reply, "s", "hand");
    assert_refused(&reply, "NoSuchIdentity");
}

static void forget_as(World *world, sd_bus *client, const char *name, Reply *ret) {
    sd_bus_message *m = world_message(client, NULL, "Forget");

    reply_clear(ret);
    assert_true(sd_bus_message_append(m, "s", name) >= 0);
    world_send(m, ret);
    world_finish(world, ret);
}

/* Who is not root is asked for by polkit, but not with a name that is none. */
static void test_who_may(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    sd_bus *client = world_connect_as(world, NOBODY);

    if (!client)
        skip();
    world_make_ready(world);
    configure_no_more(world, "hand");
    world_polkit(world, POLKIT_NO);
    world_settle(world);
    forget_as(world, client, "Hand of\nnobody", &reply);
    assert_refused(&reply, "InvalidArgument");
    assert_int_equal(world->polkit.asked, 0);
    forget_as(world, client, "hand", &reply);
    assert_refused(&reply, "AccessDenied");
    assert_int_equal(world->polkit.asked, 1);
    assert_string_equal(world->polkit.action, "org.identityd1.forget");
    expect_forgotten(world, "hand");
    world_polkit(world, POLKIT_YES);
    forget_as(world, client, "hand", &reply);
    assert_answered(&reply);
    expect_forgotten(world, NULL);
    sd_bus_flush_close_unref(client);
}

/* Without polkit the group decides; with it, nobody is asked for what anybody may. */
static void test_anybody_may_look(void **state) {
    World *world = *state;
    _cleanup_reply_ Reply reply = { .done = false };
    sd_bus *client = world_connect_as(world, NOBODY);

    if (!client)
        skip();
    world_send(world_message(client, NULL, "ListForgotten"), &reply);
    world_finish(world, &reply);
    assert_answered(&reply);
    forget_as(world, client, "hand", &reply);
    assert_refused(&reply, "AccessDenied");
    assert_non_null(strstr(reply.text, "without polkit on this system only root and the group identityd-admin"));
    sd_bus_flush_close_unref(client);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_left_is_listed_and_removed, world_setup_whole, world_teardown),
        cmocka_unit_test_setup_teardown(test_who_may, world_setup_whole, world_teardown),
        cmocka_unit_test_setup_teardown(test_anybody_may_look, world_setup_whole, world_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
