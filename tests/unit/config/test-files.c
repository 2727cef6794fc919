/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where files are found and in which order they apply; and identityd.conf. */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_list(const Fixture *fixture, char **list, const char *const *expected, size_t count) {
    if (strings_count(list) != count)
        for (char **s = list; *s; s++)
            print_error("%s\n", *s);
    assert_int_equal(strings_count(list), count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(list[i], fixture ? fixture_path(fixture, expected[i]) : expected[i]);
    (void) strings_free(list);
}

#define EXPECT_PATHS(list, ...)                                                                                        \
    do {                                                                                                               \
        const char *const expected[] = { __VA_ARGS__ };                                                                \
        expect_list(fixture, list, expected, ARRAY_LENGTH(expected));                                                  \
    } while (0)

static void test_order(void **state) {
    const Fixture *fixture = *state;
    char **paths = NULL;

    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), -ENOENT);
    fixture_write(fixture, "vendor/identities/mqtt.conf", "[Key]\n");
    fixture_write(fixture, "vendor/identities/mqtt.conf.d/50-b.conf", "[Key]\n");
    fixture_write(fixture, "etc/identities/mqtt.conf.d/10-a.conf", "[Key]\n");
    fixture_write(fixture, "runtime/identities/mqtt.conf.d/90-c.conf", "[Key]\n");
    fixture_write(fixture, "runtime/identities/mqtt.conf.d/README", "not a drop-in");
    fixture_write(fixture, "runtime/identities/mqtt.conf.d/.hidden.conf", "not a drop-in");
    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), 0);
    EXPECT_PATHS(paths, "vendor/identities/mqtt.conf", "etc/identities/mqtt.conf.d/10-a.conf",
                 "vendor/identities/mqtt.conf.d/50-b.conf", "runtime/identities/mqtt.conf.d/90-c.conf");

    /* The main file of a later directory replaces the earlier one's, as do drop-ins of the same name. */
    fixture_write(fixture, "runtime/identities/mqtt.conf", "[Key]\n");
    fixture_write(fixture, "etc/identities/mqtt.conf.d/50-b.conf", "[Key]\n");
    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), 0);
    EXPECT_PATHS(paths, "runtime/identities/mqtt.conf", "etc/identities/mqtt.conf.d/10-a.conf",
                 "etc/identities/mqtt.conf.d/50-b.conf", "runtime/identities/mqtt.conf.d/90-c.conf");

    /* Masks: an empty file, a link to /dev/null. */
    fixture_write(fixture, "etc/identities/mqtt.conf.d/90-c.conf", "");
    assert_int_equal(unlink(fixture_path(fixture, "etc/identities/mqtt.conf.d/50-b.conf")), 0);
    assert_int_equal(symlink("/dev/null", fixture_path(fixture, "etc/identities/mqtt.conf.d/50-b.conf")), 0);
    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), 0);
    EXPECT_PATHS(paths, "runtime/identities/mqtt.conf", "etc/identities/mqtt.conf.d/10-a.conf");

    /* A drop-in that is a link into nowhere is not passed over in silence. */
    assert_int_equal(unlink(fixture_path(fixture, "etc/identities/mqtt.conf.d/50-b.conf")), 0);
    assert_int_equal(symlink("/nowhere/at/all", fixture_path(fixture, "etc/identities/mqtt.conf.d/50-b.conf")), 0);
    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), 0);
    EXPECT_PATHS(paths, "runtime/identities/mqtt.conf", "etc/identities/mqtt.conf.d/10-a.conf",
                 "etc/identities/mqtt.conf.d/50-b.conf");

    fixture_write(fixture, "etc/identities/mqtt.conf", "");
    assert_int_equal(config_identity_paths(&fixture->directories, "mqtt", &paths), -ENOENT);
}

static void test_list(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char **names = NULL;

    assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 0);
    expect_list(NULL, names, NULL, 0);
    fixture_write(fixture, "vendor/identities/b.conf", "x");
    fixture_write(fixture, "etc/identities/b.conf", "x");
    fixture_write(fixture, "runtime/identities/a.conf", "x");
    fixture_write(fixture, "vendor/identities/masked.conf", "x");
    fixture_write(fixture, "etc/identities/masked.conf", "");
    fixture_write(fixture, "vendor/identities/null.conf", "x");
    assert_int_equal(symlink("/dev/null", fixture_path(fixture, "etc/identities/null.conf")), 0);
    fixture_write(fixture, "etc/identities/README", "x");
    fixture_write(fixture, "etc/identities/c.conf.bak", "x");
    fixture_write(fixture, "etc/identities/c.conf.d/x.conf", "x");
    fixture_write(fixture, "etc/identities/.conf", "x");
    static const char *const expected[] = { "a", "b" };
    assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 0);
    expect_list(NULL, names, expected, 2);
    assert_int_equal(problems.count, 0);

    static const char *const bad[] = { "Upper", "-dash", "a b", "conf", "x.socket" };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        char path[64];
        (void) snprintf(path, sizeof(path), "etc/identities/%s.conf", bad[i]);
        fixture_write(fixture, path, "x");
        assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 0);
        expect_list(NULL, names, expected, 2);
        expect_problem(fixture, &problems, false, path, 0, "cannot name an identity");
        assert_int_equal(unlink(fixture_path(fixture, path)), 0);
    }
    char **paths = NULL;
    assert_int_equal(config_identity_paths(&fixture->directories, "conf", &paths), -ENOENT);
    assert_int_equal(config_identity_paths(&fixture->directories, "../x", &paths), -ENOENT);
}

static void test_unreadable_directory(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char **names = NULL;

    fixture_write(fixture, "vendor/identities/a.conf", "x");
    fixture_write(fixture, "etc/identities", "a file where a directory should be");
    assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 1);
    static const char *const expected[] = { "a" };
    expect_list(NULL, names, expected, 1);
    expect_problem(fixture, &problems, false, "etc/identities", 0, "cannot be read: Not a directory");
}

/* As many files as one directory may have, and one more: of those that are not read an error tells. */
static void test_too_many_files(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char **names = NULL, path[64];

    for (unsigned i = 0; i < 1024; i++) {
        (void) snprintf(path, sizeof(path), "etc/identities/i%u.conf", i);
        fixture_write(fixture, path, "x");
    }
    assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 0);
    assert_int_equal(strings_count(names), 1024);
    names = strings_free(names);
    fixture_write(fixture, "etc/identities/more.conf", "x");
    assert_int_equal(config_list_identities(&fixture->directories, &problems, &names), 1);
    names = strings_free(names);
    expect_problem(fixture, &problems, false, "etc/identities", 0, "holds more than 1024 configuration files");
}

static void test_directories(void **state) {
    ConfigDirectories directories = { 0 };

    assert_int_equal(unsetenv("RUNTIME_DIRECTORY") + unsetenv("CONFIGURATION_DIRECTORY"), 0);
    assert_int_equal(config_directories_from_environment(&directories), 0);
    assert_string_equal(directories.vendor, "/usr/lib/identityd");
    assert_string_equal(directories.runtime, "/run/identityd/conf");
    assert_string_equal(directories.configuration, "/etc/identityd");
    config_directories_clear(&directories);

    assert_int_equal(setenv("RUNTIME_DIRECTORY", "/x/run:/y", 1) + setenv("CONFIGURATION_DIRECTORY", "/x/etc", 1), 0);
    assert_int_equal(config_directories_from_environment(&directories), 0);
    assert_string_equal(directories.runtime, "/x/run/conf");
    assert_string_equal(directories.configuration, "/x/etc");
    config_directories_clear(&directories);

    assert_int_equal(setenv("CONFIGURATION_DIRECTORY", "relative", 1), 0);
    assert_int_equal(config_directories_from_environment(&directories), -EINVAL);
}

static void test_daemon_config(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    DaemonConfig *config = NULL;

    assert_int_equal(daemon_config_load(&fixture->directories, &problems, &config), 0);
    assert_null(config->tcti);
    assert_true(config->parent_handle == 0x81000001);
    assert_string_equal(config->serial_credential, "serial");
    assert_int_equal(config->handles_per_user, 64);
    assert_int_equal(config->handles_per_rule, 256);
    assert_int_equal(config->handles, 1024);
    assert_int_equal(config->identities, 64);
    config = daemon_config_free(config);

    fixture_write(fixture, "vendor/identityd.conf",
                  "[TPM]\nTCTI=swtpm:path=/run/swtpm.sock\nOwnerAuthCredential=owner\nEndorsementAuthCredential=ek\n"
                  "DeviceIdSalt=some salt\nSerialCredential=dmi\nParentHandle=0x81000002\n"
                  "[Limits]\nHandlesPerUser=4096\nHandlesPerRule=65536\nHandles=65536\nIdentities=2\n");
    fixture_write(fixture, "etc/identityd.conf.d/50.conf", "[Limits]\nIdentities=3\n[TPM]\nSerialCredential=\n");
    assert_int_equal(daemon_config_load(&fixture->directories, &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_string_equal(config->tcti, "swtpm:path=/run/swtpm.sock");
    assert_string_equal(config->owner_authorization, "owner");
    assert_string_equal(config->endorsement_authorization, "ek");
    assert_string_equal(config->device_id_salt, "some salt");
    assert_string_equal(config->serial_credential, "serial"); /* an empty value goes back to the default */
    assert_true(config->parent_handle == 0x81000002);
    assert_int_equal(config->handles_per_user, 4096);
    assert_int_equal(config->handles_per_rule, 65536);
    assert_int_equal(config->handles, 65536);
    assert_int_equal(config->identities, 3);
    (void) daemon_config_free(config);
}

static void test_daemon_config_refusals(void **state) {
    static const struct {
        const char *line, *text;
    } cases[] = {
        { "TCTI=:x", "[TPM] TCTI=:x: must be NAME or NAME:CONFIGURATION" },
        { "TCTI=/usr/lib/x.so", "must be NAME" },
        { "TCTI=../x", "must be NAME" },
        { "ParentHandle=0x80ffffff", "from 0x81000000 to 0x817fffff" },
        { "ParentHandle=0x81800000", "from 0x81000000 to 0x817fffff" },
        { "ParentHandle=x", "from 0x81000000 to 0x817fffff" },
        { "OwnerAuthCredential=a/b", "name of a systemd credential" },
        { "EndorsementAuthCredential=..", "name of a systemd credential" },
        { "SerialCredential=a b", "name of a systemd credential" },
        { "Tcti=x", "[TPM] Tcti=: unknown key; known are TCTI=, ParentHandle=" },
    }, limits[] = {
        { "HandlesPerRule=0", "from 1 to 65536" }, { "HandlesPerRule=65537", "from 1 to 65536" },
        { "HandlesPerUser=0", "from 1 to 4096" },  { "HandlesPerUser=4097", "from 1 to 4096" },
        { "Handles=65537", "from 1 to 65536" },    { "Handles=-1", "from 1 to 65536" },
        { "Identities=0", "from 1 to 1024" },      { "Identities=many", "from 1 to 1024" },
    };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char text[256];

    for (size_t i = 0; i < ARRAY_LENGTH(cases) + ARRAY_LENGTH(limits); i++) {
        bool limit = i >= ARRAY_LENGTH(cases);
        const char *line = limit ? limits[i - ARRAY_LENGTH(cases)].line : cases[i].line;
        DaemonConfig *config = NULL;
        (void) snprintf(text, sizeof(text), "[%s]\n\n%s\n", limit ? "Limits" : "TPM", line);
        fixture_write(fixture, "etc/identityd.conf", text);
        assert_int_equal(daemon_config_load(&fixture->directories, &problems, &config), 0);
        expect_problem(fixture, &problems, false, "etc/identityd.conf", 3,
                       limit ? limits[i - ARRAY_LENGTH(cases)].text : cases[i].text);
        assert_null(config->tcti);
        assert_true(config->parent_handle == 0x81000001);
        assert_int_equal(config->handles + config->handles_per_user + config->identities, 1024 + 64 + 64);
        (void) daemon_config_free(config);
    }
    DaemonConfig *config = NULL;
    memset(text, 's', sizeof(text));
    fixture_write(fixture, "etc/identityd.conf",
                  "[Limits]\nHandlesPerUser=100\nHandlesPerRule=11\nHandles=10\n[Nothing]\n");
    assert_int_equal(daemon_config_load(&fixture->directories, &problems, &config), 0);
    assert_int_equal(problems.count, 2 + 1);
    assert_true(find_problem(&problems, "HandlesPerRule")->warning);
    assert_string_equal(find_problem(&problems, "unknown section")->text,
                        "[Nothing]: unknown section; known are [TPM], [Limits]");
    assert_true(find_problem(&problems, "bounds all users")->warning);
    assert_int_equal(config->handles, 10);
    (void) daemon_config_free(config);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_order),       TEST(test_list),          TEST(test_unreadable_directory),   TEST(test_too_many_files),
        TEST(test_directories), TEST(test_daemon_config), TEST(test_daemon_config_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
