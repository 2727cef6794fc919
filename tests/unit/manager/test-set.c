/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which identities there are where more are configured than Identities= allows. */
#include "manager/manager.h"

#include "identity/set.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

static void limit(const Machine *machine, unsigned most) {
    (void) mkdir(machine_path(machine, "etc/identityd.conf.d"), 0700);
    machine_write(machine, "etc/identityd.conf.d/limit.conf", "[Limits]\nIdentities=%u\n", most);
}

static void reload(const Machine *machine) {
    Failure failure = FAILURE_INIT;

    assert_int_equal(manager_reload(machine->manager, &failure), 0);
}

static void configure(const Machine *machine, const char *name) {
    machine_configure_manual(machine, name, "");
}

static void remove_file(const Machine *machine, const char *name) {
    char path[64];

    (void) snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    assert_int_equal(unlink(machine_path(machine, path)), 0);
}

/* The names that are served, in order, with a blank between two. */
static const char *served(const Machine *machine) {
    static char text[256];
    const IdentitySet *set = manager_identities(machine->manager);

    text[0] = '\0';
    for (size_t i = 0; i < identity_set_count(set); i++) {
        size_t used = strlen(text);
        (void) snprintf(text + used, sizeof text - used, "%s%s", used > 0 ? " " : "",
                        identity_name(identity_set_at(set, i)));
    }
    return text;
}

/* A new file whose name comes first puts none that is certified out of use: not by a reload, not by a restart. */
static void test_certified_come_first(void **state) {
    Machine *machine = *state;

    limit(machine, 1);
    machine_configure(machine, "z", "");
    machine_start(machine);
    machine_await_state(machine, "z", STATE_READY);
    configure(machine, "a");
    reload(machine);
    assert_string_equal(served(machine), "z");
    machine_stop(machine);
    machine_start(machine);
    assert_string_equal(served(machine), "z");
    machine_await_state(machine, "z", STATE_READY);
    machine_expect_log(machine, "a: Not loaded: there are more than 1 identities, and those that have a certificate",
                       2);
    machine_expect_log(machine, "z: Not loaded", 0);
}

/* Whoever comes back with a certificate takes its place from one that has none. */
static void test_comes_back(void **state) {
    Machine *machine = *state;

    limit(machine, 1);
    machine_configure(machine, "z", "");
    machine_start(machine);
    machine_await_state(machine, "z", STATE_READY);
    remove_file(machine, "z");
    configure(machine, "a");
    reload(machine);
    assert_string_equal(served(machine), "a");
    machine_configure(machine, "z", "");
    reload(machine);
    assert_string_equal(served(machine), "z");
    machine_await_state(machine, "z", STATE_READY);
}

/* Among those without a certificate it is who is there already, and else the name; a lower limit counts at once. */
static void test_others(void **state) {
    Machine *machine = *state;

    limit(machine, 2);
    configure(machine, "m");
    configure(machine, "n");
    machine_start(machine);
    configure(machine, "b");
    reload(machine);
    assert_string_equal(served(machine), "m n");
    limit(machine, 1);
    reload(machine);
    assert_string_equal(served(machine), "m");
    limit(machine, 3);
    reload(machine);
    assert_string_equal(served(machine), "b m n");
    machine_stop(machine);
    limit(machine, 2);
    machine_start(machine);
    assert_string_equal(served(machine), "b m");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_certified_come_first),
        TEST(test_comes_back),
        TEST(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
