/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identities left that are configured no more: which there are, that only those are removed, and what is withdrawn
 * at a start. */
#include "identity/forgotten.h"

#include "identity/identity.h"
#include "store/store.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

static const Duty *const table[] = { &loading_duty, NULL };

/* x is configured and loaded, y configured and never read; z and a have left something. */
static Machine *start(void **state) {
    Machine *machine = *state;

    for (const char *const *name = (const char *const[]) { "state/z", "state/a", "state/y", NULL }; *name; name++) {
        char path[64];
        assert_int_equal(mkdir(machine_path(machine, *name), 0700), 0);
        snprintf(path, sizeof path, "%s/state", *name);
        machine_write(machine, path, "left");
    }
    (void) machine_start_alone(machine, "", table);
    machine_configure(machine, "y", "");
    return machine;
}

static bool exists(const Machine *machine, const char *path) {
    return access(machine_path(machine, path), F_OK) == 0;
}

static void expect_list(const Machine *machine, const char *first, const char *second) {
    _cleanup_strings_ char **names = NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(forgotten_list(machine->device, machine->set, &names, &failure), 0);
    assert_non_null(names);
    assert_string_equal(names[0] ? names[0] : "", first);
    if (names[0])
        assert_string_equal(names[1] ? names[1] : "", second);
}

static void test_list(void **state) {
    Machine *machine = start(state);

    expect_list(machine, "a", "z");
    /* Without a configuration, and still among those that are there, x is none of them. */
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    expect_list(machine, "a", "z");
    assert_int_equal(unlink(machine_path(machine, "etc/identities/y.conf")), 0);
    expect_list(machine, "a", "y");
}

static void test_remove(void **state) {
    static const struct {
        const char *name, *text;
        int r;
        FailureKind kind;
    } cases[] = {
        { "y", "y is configured, so it is not forgotten.", -EBUSY, FAILURE_INVALID_ARGUMENT },
        { "x", "x is configured, so it is not forgotten.", -EBUSY, FAILURE_INVALID_ARGUMENT },
        { "b", "There is nothing of that name to forget", -ENOENT, FAILURE_NO_SUCH_IDENTITY },
        { "..", "There is nothing of that name to forget", -ENOENT, FAILURE_NO_SUCH_IDENTITY },
        { "", "There is nothing of that name to forget", -ENOENT, FAILURE_NO_SUCH_IDENTITY },
    };
    Machine *machine = start(state);
    Failure failure = FAILURE_INIT;

    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0); /* and it is there still */
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        failure = FAILURE_INIT;
        assert_int_equal(forgotten_remove(machine->device, machine->set, cases[i].name, &failure), cases[i].r);
        expect_failure(&failure, cases[i].kind, cases[i].text);
    }
    expect_list(machine, "a", "z"); /* nothing of the others was touched */
    assert_true(exists(machine, "state/x") && exists(machine, "state/y"));
    failure = FAILURE_INIT;
    assert_int_equal(forgotten_remove(machine->device, machine->set, "a", &failure), 0);
    assert_int_equal(failure.kind, FAILURE_NONE);
    assert_false(exists(machine, "state/a"));
    machine_expect_log(machine, "a: What this identity had left was removed: keys, chains and state.", 1);
    expect_list(machine, "z", "");
    assert_int_equal(forgotten_remove(machine->device, machine->set, "a", &failure), -ENOENT);
}

/* Where it is not certain which are configured, none is listed and none removed. */
static void test_uncertain(void **state) {
    Machine *machine = start(state);
    _cleanup_strings_ char **names = NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(rename(machine_path(machine, "etc/identities"), machine_path(machine, "etc/aside")), 0);
    machine_write(machine, "etc/identities", "a file");
    assert_true(forgotten_list(machine->device, machine->set, &names, &failure) < 0);
    expect_failure(&failure, FAILURE_STORAGE, "it is not certain which are configured");
    assert_null(names);
    failure = FAILURE_INIT;
    assert_true(forgotten_remove(machine->device, machine->set, "z", &failure) < 0);
    expect_failure(&failure, FAILURE_STORAGE, "it is not certain which are configured");
    assert_true(exists(machine, "state/z"));
}

/* At a start, by the list of those that are configured. */
static void test_withdraw(void **state) {
    Machine *machine = start(state);
    char *configured[] = { (char *) "x", (char *) "y", NULL };
    const PublishedFile file = { "key.pem", bytes_view_string("PEM") };
    Failure failure = FAILURE_INIT;

    for (const char *const *name = (const char *const[]) { "x", "gone", NULL }; *name; name++)
        assert_int_equal(publish_set(device_directories(machine->device)->runtime_fd, *name, &file, 1, &failure), 0);
    forgotten_withdraw(machine->device, configured);
    assert_true(exists(machine, "runtime/x/key.pem"));
    assert_false(exists(machine, "runtime/gone"));
    machine_expect_log(machine, "gone: Its published files are gone: it is configured no more.", 1);
    machine_expect_log(machine, "x: Its published files", 0);
    forgotten_withdraw(machine->device, configured);
    machine_expect_log(machine, "Its published files are gone", 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_list),
        TEST(test_remove),
        TEST(test_uncertain),
        TEST(test_withdraw),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
