/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may administer, of whom the bus says anything: each answer of polkit, and none. */
#include "tests/unit/bus/fixture.h"

#include <grp.h>
#include <string.h>
#include <unistd.h>

typedef struct Decision {
    unsigned count;
    bool admitted;
    char why[256];
} Decision;

static void on_decided(bool admitted, const char *why, void *userdata) {
    Decision *decision = userdata;

    decision->count++;
    decision->admitted = admitted;
    (void) snprintf(decision->why, sizeof decision->why, "%s", why);
}

static uid_t somebody(void) {
    return geteuid() + 12345U;
}

static Authorization question(const World *world, const Caller *caller, Decision *decision) {
    *decision = (Decision) { .count = 0 };
    return (Authorization) {
        .connection = world->client,
        .caller = caller,
        .action = "org.identityd1.retire",
        .identity = "hand",
        .decided = on_decided,
        .userdata = decision,
    };
}

/* Asks, and waits for what becomes of it. */
static void decide(World *world, const Caller *caller, Decision *ret) {
    Authorization authorization = question(world, caller, ret);
    const char *why = NULL;

    assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_ASKED);
    assert_int_equal(ret->count, 0); /* never before the call has returned */
    world_until(world, ret->count > 0);
    assert_null(authorization.slot);
    world_settle(world);
    assert_int_equal(ret->count, 1);
}

static void test_nobody_is_asked(void **state) {
    World *world = *state;
    Decision decision;
    const char *why = NULL;

    world_polkit(world, POLKIT_NO);
    for (unsigned i = 0; i < 2; i++) {
        const Caller caller = { .uid = i ? geteuid() : 0, .pidfd = -1, .bus_name = (char *) ":1.99" };
        Authorization authorization = question(world, &caller, &decision);
        assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_ADMITTED);
        assert_string_equal(why, caller.uid == 0 ? "root" : "identityd's own user");
    }
    world_settle(world);
    assert_int_equal(decision.count, 0);
    assert_int_equal(world->polkit.asked, 0);
}

static void test_answers(void **state) {
    static const struct {
        PolkitMood mood;
        bool admitted;
        const char *why;
    } cases[] = {
        { POLKIT_YES, true, "polkit" },
        { POLKIT_NO, false, "polkit says no" },
        { POLKIT_CHALLENGE, false, "authentication is needed: run it on a terminal or with a polkit agent" },
        { POLKIT_ERROR, false, "polkit is tired" },
        { POLKIT_NONSENSE, false, "polkit's answer could not be read" },
        { POLKIT_ABSENT, false, "without polkit on this system only root and the group identityd-admin administer" },
    };
    World *world = *state;
    const Caller caller = { .uid = somebody(), .pidfd = -1, .bus_name = (char *) ":1.99" };
    Decision decision;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        world_polkit(world, cases[i].mood);
        decide(world, &caller, &decision);
        assert_int_equal(decision.admitted, cases[i].admitted);
        assert_string_equal(decision.why, cases[i].why);
    }
    assert_int_equal(world->polkit.asked, 5);
}

static void test_what_is_asked(void **state) {
    World *world = *state;
    const Caller caller = { .uid = somebody(), .pidfd = -1, .bus_name = (char *) ":1.99" };
    Decision decision;
    const char *why;

    world_polkit(world, POLKIT_NO);
    decide(world, &caller, &decision);
    assert_string_equal(world->polkit.action, "org.identityd1.retire");
    assert_string_equal(world->polkit.subject, ":1.99");
    assert_string_equal(world->polkit.identity, "hand");
    assert_int_equal(world->polkit.flags, 0);
    Authorization authorization = question(world, &caller, &decision);
    authorization.identity = NULL;
    authorization.interactive = true;
    assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_ASKED);
    world_until(world, decision.count > 0);
    assert_string_equal(world->polkit.identity, "");
    assert_int_equal(world->polkit.flags, 1);
}

/* A group counts without polkit alone. */
static void test_group(void **state) {
    World *world = *state;
    const struct group *admins = getgrnam("identityd-admin");
    gid_t group = admins ? admins->gr_gid : 0;
    const Caller caller = {
        .uid = somebody(),
        .groups = &group,
        .group_count = 1,
        .pidfd = -1,
        .bus_name = (char *) ":1.99",
    };
    Decision decision;

    decide(world, &caller, &decision);
    assert_int_equal(decision.admitted, admins != NULL); /* without such a group nobody is in it */
    world_polkit(world, POLKIT_NO);
    decide(world, &caller, &decision);
    assert_false(decision.admitted);
}

static void test_forgotten(void **state) {
    World *world = *state;
    const Caller caller = { .uid = somebody(), .pidfd = -1, .bus_name = (char *) ":1.99" };
    Decision decision;
    const char *why;

    world_polkit(world, POLKIT_YES);
    Authorization authorization = question(world, &caller, &decision);
    authorization_forget(&authorization);
    assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_ASKED);
    authorization_forget(&authorization);
    authorization_forget(&authorization);
    world_settle(world);
    assert_int_equal(world->polkit.asked, 1);
    assert_int_equal(decision.count, 0);
}

/* It ends while it thinks: that is no yes. */
static void test_polkit_ends(void **state) {
    World *world = *state;
    const Caller caller = { .uid = somebody(), .pidfd = -1, .bus_name = (char *) ":1.99" };
    Decision decision;
    const char *why;

    world_polkit(world, POLKIT_SILENT);
    Authorization authorization = question(world, &caller, &decision);
    assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_ASKED);
    world_until(world, world->polkit.asked == 1);
    world_settle(world);
    assert_int_equal(decision.count, 0);
    world_polkit(world, POLKIT_ABSENT);
    world_until(world, decision.count > 0);
    assert_false(decision.admitted);
}

/* Without a bus nobody can be asked. */
static void test_no_connection(void **state) {
    World *world = *state;
    const Caller caller = { .uid = somebody(), .pidfd = -1, .bus_name = (char *) ":1.99" };
    Decision decision;
    const char *why = NULL;

    Authorization authorization = question(world, &caller, &decision);
    sd_bus_close(world->client);
    assert_int_equal(authorize(&authorization, &why), AUTHORIZATION_DENIED);
    assert_string_equal(why, "polkit could not be asked");
    assert_int_equal(decision.count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_nobody_is_asked), TEST(test_answers),     TEST(test_what_is_asked), TEST(test_group),
        TEST(test_forgotten),       TEST(test_polkit_ends), TEST(test_no_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
