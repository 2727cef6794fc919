/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of identities and the files that are there: what a start and a reload make of those that came, went, changed,
 * are faulty, or cannot be read. */
#include "manager/manager.h"

#include "enrolment/enrolment.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

/* ---- what was told ---- */

static char told[256]; /* "+x " added, "-x " removed, "~x " changed, "* " the device */

static void on_changed(ManagerChange change, Identity *identity, void *userdata) {
    static const char signs[] = { '*', '+', '-', '~' };
    const char *name = identity ? identity_name(identity) : "";
    size_t used = strlen(told);

    assert_int_equal(identity == NULL, change == CHANGE_MANAGER_PROPERTIES);
    assert_true(used + strlen(name) + 3 < sizeof told);
    (void) snprintf(told + used, sizeof told - used, "%c%s ", signs[change], name);
}

static void start(Machine *machine) {
    const ManagerCallbacks callbacks = { on_changed, NULL };

    machine_start(machine);
    machine_settle(machine);
    manager_set_callbacks(machine->manager, &callbacks);
    told[0] = '\0';
}

static void reload(Machine *machine) {
    Failure failure = FAILURE_INIT;

    told[0] = '\0';
    if (manager_reload(machine->manager, &failure) < 0)
        fail_msg("%s", failure.text);
}

static void expect_told(const char *part, unsigned times) {
    unsigned count = 0;

    for (const char *at = told; (at = strstr(at, part)); at += strlen(part))
        count++;
    if (count != times)
        fail_msg("%u times, not %u: '%s' in '%s'", count, times, part, told);
}

static bool has(const Machine *machine, const char *name) {
    return identity_set_find(manager_identities(machine->manager), name, NULL);
}

static void unconfigure(const Machine *machine, const char *name) {
    char path[160];

    (void) snprintf(path, sizeof path, "etc/identities/%s.conf", name);
    assert_int_equal(unlink(machine_path(machine, path)), 0);
}

static bool exists(const Machine *machine, const char *path) {
    return access(machine_path(machine, path), F_OK) == 0;
}

/* ---- start ---- */

static void test_none(void **state) {
    Machine *machine = *state;

    start(machine);
    assert_int_equal(identity_set_count(manager_identities(machine->manager)), 0);
    assert_string_equal(manager_tpm_state(machine->manager), "ready");
    reload(machine);
    machine_expect_log(machine, "The configuration was read again: 0 identities.", 1);
    machine_settle(machine);
    expect_told("* ", 1); /* the TPM was looked at again */
}

static void test_started(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "b", "");
    machine_configure(machine, "a", "");
    machine_configure(machine, "faulty", "[Weather]\n");
    machine_write(machine, "etc/identities/.hidden.conf", "[Weather]\n");
    start(machine);
    assert_int_equal(identity_set_count(manager_identities(machine->manager)), 3);
    machine_await_state(machine, "a", STATE_READY);
    machine_await_state(machine, "b", STATE_READY);
    assert_int_equal(identity_state(machine_identity(machine, "faulty")), STATE_MISCONFIGURED);
    assert_string_equal(identity_name(identity_set_at(manager_identities(machine->manager), 0)), "a");
}

/* Before the first look at the TPM nobody is told that all is well. */
static void test_settled(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    assert_int_equal(manager_new(machine->loop, &machine->manager), 0);
    machine->device = manager_device(machine->manager);
    assert_false(manager_is_settled(machine->manager));
    assert_string_equal(manager_tpm_state(machine->manager), "unavailable");
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_UNAVAILABLE);
    machine_until(machine, manager_is_settled(machine->manager));
    assert_string_equal(manager_tpm_state(machine->manager), "ready");
}

/* What was published of one that is configured no more goes at the start, unless its configuration may be where nobody
 * can look just now. */
static void test_published_of_another(void **state) {
    Machine *machine = *state;

    assert_int_equal(mkdir(machine_path(machine, "runtime/gone"), 0755), 0);
    machine_write(machine, "runtime/gone/key.pem", "of yesterday");
    assert_int_equal(mkdir(machine_path(machine, "runtime/conf"), 0755), 0);
    machine_write(machine, "runtime/conf/identities", "where a directory should be");
    machine_configure(machine, "x", "");
    start(machine);
    assert_true(exists(machine, "runtime/gone/key.pem"));
    machine_expect_log(machine, "runtime/conf/identities: cannot be read: Not a directory", 1);
    /* It may have another word about x, too. */
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_MISCONFIGURED);
    assert_string_equal(identity_error(machine_identity(machine, "x")),
                        "identities/x.conf, its drop-ins, or a directory that may have either, cannot be read: Not a "
                        "directory.");
    machine_stop(machine);
    assert_int_equal(unlink(machine_path(machine, "runtime/conf/identities")), 0);
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    assert_false(exists(machine, "runtime/gone"));
    machine_expect_log(machine, "gone: Its published files are gone: it is configured no more.", 1);
}

/* ---- reload ---- */

static void test_added(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_configure(machine, "y", "");
    reload(machine);
    expect_told("+y ", 1);
    expect_told("+x ", 0);
    machine_expect_log(machine, "The configuration was read again: 2 identities.", 1);
    machine_await_state(machine, "y", STATE_READY); /* and enrols by itself */
    machine_settle(machine);
    assert_non_null(strstr(told, "~y "));
    assert_int_equal(identity_generation(machine_identity(machine, "x")), 1);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

static void test_removed(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    machine_configure(machine, "y", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_await_state(machine, "y", STATE_READY);
    machine_settle(machine);
    unconfigure(machine, "x");
    reload(machine);
    expect_told("-x ", 1);
    expect_told("-y ", 0);
    assert_false(has(machine, "x"));
    assert_true(has(machine, "y"));
    assert_false(exists(machine, "runtime/x"));
    assert_true(exists(machine, "runtime/y/chain.pem"));
    assert_true(exists(machine, "state/x/generations/1")); /* a configuration may come back */
    machine_configure(machine, "x", "");
    reload(machine);
    machine_settle(machine);
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_READY);
    assert_int_equal(enroller_count(machine->enroller), 2);
}

/* All of them, the first and the last too. */
static void test_all_removed(void **state) {
    Machine *machine = *state;
    static const char *const names[] = { "a", "b", "c", "d" };

    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        machine_configure(machine, names[i], "");
    start(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        machine_await_state(machine, names[i], STATE_READY);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        unconfigure(machine, names[i]);
    reload(machine);
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++)
        assert_false(has(machine, names[i]));
    expect_told("-", 4);
    assert_int_equal(identity_set_count(manager_identities(machine->manager)), 0);
}

static void test_changed(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    int64_t before = enrolment_renewal_when(machine_identity(machine, "x")).seconds;
    machine_configure(machine, "x", "[Renewal]\nAt=30%\nJitter=1%\n");
    reload(machine);
    expect_told("~x ", 1);
    expect_told("+", 0);
    expect_told("-", 0);
    assert_true(enrolment_renewal_when(machine_identity(machine, "x")).seconds < before);
    assert_int_equal(identity_generation(machine_identity(machine, "x")), 1);
}

/* A faulty edit puts one out of use, and no other; mended, it goes on where it was. */
static void test_faulty(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    machine_configure(machine, "y", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_await_state(machine, "y", STATE_READY);
    machine_settle(machine);
    machine_configure(machine, "x", "Colour=red\n");
    reload(machine);
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_MISCONFIGURED);
    assert_non_null(strstr(identity_error(machine_identity(machine, "x")), "etc/identities/x.conf:6"));
    assert_int_equal(identity_state(machine_identity(machine, "y")), STATE_READY);
    expect_told("~x ", 1);
    machine_configure(machine, "x", "");
    reload(machine);
    machine_settle(machine);
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_READY);
    assert_string_equal(identity_error(machine_identity(machine, "x")), "");
    assert_int_equal(enroller_count(machine->enroller), 2);
}

/* An empty file masks it. */
static void test_masked(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "x", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_write(machine, "etc/identities/x.conf", "%s", "");
    reload(machine);
    assert_false(has(machine, "x"));
}

/* Nobody loses an identity because a directory could not be read just now. */
static void test_unreadable(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "x", "");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    assert_int_equal(rename(machine_path(machine, "etc/identities"), machine_path(machine, "etc/aside")), 0);
    machine_write(machine, "etc/identities", "where a directory should be");
    told[0] = '\0';
    assert_int_equal(manager_reload(machine->manager, &failure), -EIO);
    expect_failure(&failure, FAILURE_STORAGE,
                   "Not every directory with identities could be read, so all stays as it was: see the log, or `idctl "
                   "check`.");
    machine_settle(machine);
    assert_string_equal(told, "");
    machine_expect_log(machine, "The configuration was read again", 0);
    assert_int_equal(identity_state(machine_identity(machine, "x")), STATE_READY);
    assert_true(exists(machine, "runtime/x/chain.pem"));
    assert_int_equal(unlink(machine_path(machine, "etc/identities")), 0);
    assert_int_equal(rename(machine_path(machine, "etc/aside"), machine_path(machine, "etc/identities")), 0);
    reload(machine);
    assert_true(has(machine, "x"));
}

/* Identities= bounds how many there are; those that are there stay. */
static void test_limit(void **state) {
    Machine *machine = *state;

    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n[Limits]\nIdentities=2\n",
                  swtpm_tcti(machine->swtpm));
    machine_configure(machine, "a", "");
    machine_configure(machine, "c", "");
    machine_configure(machine, "d", "");
    start(machine);
    assert_true(has(machine, "a") && has(machine, "c"));
    assert_false(has(machine, "d"));
    machine_expect_log(
        machine, "d: Not loaded: there are more than 2 identities, and those that have a certificate come first", 1);
    machine_configure(machine, "b", "");
    reload(machine);
    assert_true(has(machine, "a") && has(machine, "c"));
    machine_expect_log(machine, "b: Not loaded: there are more than 2 identities", 1);
    unconfigure(machine, "a"); /* which makes room first */
    reload(machine);
    assert_true(has(machine, "b") && has(machine, "c"));
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n[Limits]\nIdentities=3\n",
                  swtpm_tcti(machine->swtpm));
    reload(machine);
    assert_true(has(machine, "b") && has(machine, "c") && has(machine, "d"));
}

/* ---- who waits for whom ---- */

/* One that authenticates with another begins when that has become ready, and not at some later time. */
static void test_authenticator(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD, .identity = "x" }, usual = { .kind = REPLY_USUAL };

    enroller_script(machine->enroller, &hold);
    machine_configure(machine, "x", "");
    machine_configure(machine, "y", "Authenticate=identity:x\n");
    start(machine);
    machine_until(machine, enrolment_counters(machine_identity(machine, "y")).failed == 1);
    machine_settle(machine);
    assert_non_null(strstr(identity_error(machine_identity(machine, "y")), "y authenticates with x"));
    assert_int_equal(identity_activity(machine_identity(machine, "y")), ACTIVITY_WAITING);
    assert_int_equal(enroller_count(machine->enroller), 1);
    enroller_reply(enroller_last(machine->enroller), &usual);
    machine_await_state(machine, "y", STATE_READY);
    assert_int_equal(enroller_count_of(machine->enroller, "y", JOB_KIND_ENROLL), 1);
    assert_true(enroller_last(machine->enroller)->has_client_chain);
}

/* A revoked one authenticates nobody; when it has come out of that, those who waited go on. */
static void test_authenticator_revoked(void **state) {
    Machine *machine = *state;
    const IdentityRevocation revoked = { .revoked = true, .at = 5 };
    const Reply hold = { .kind = REPLY_HOLD, .identity = "x" };

    machine_configure(machine, "x", "[Revocation]\nAfterRevocation=enroll\n");
    start(machine);
    machine_await_state(machine, "x", STATE_READY);
    enroller_script(machine->enroller, &hold);
    identity_set_revocation(machine_identity(machine, "x"), &revoked);
    identity_evaluate(machine_identity(machine, "x"));
    machine_settle(machine);
    machine_configure(machine, "y", "Authenticate=identity:x\n");
    reload(machine);
    machine_until(machine, enrolment_counters(machine_identity(machine, "y")).failed == 1);
    machine_settle(machine);
    assert_non_null(strstr(identity_error(machine_identity(machine, "y")), "y authenticates with x: "));
    assert_non_null(strstr(identity_error(machine_identity(machine, "y")), "its certificate was revoked by the CA"));
    assert_int_equal(enroller_count_of(machine->enroller, "y", 0), 0);
    for (unsigned i = 0; i < 20 && enroller_count_of(machine->enroller, "x", 0) < 2; i++)
        machine_pass(machine, 60); /* what comes by itself is spread */
    const Reply usual = { .kind = REPLY_USUAL };
    machine_settle(machine);
    enroller_reply(machine_await_job(machine, 2), &usual);
    machine_await_state(machine, "x", STATE_READY);
    machine_await_state(machine, "y", STATE_READY);
}

/* ---- life ---- */

static void test_freed(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    assert_null(manager_free(NULL));
    enroller_script(machine->enroller, &hold);
    machine_configure(machine, "x", "");
    start(machine);
    (void) machine_await_job(machine, 1);
    told[0] = '\0';
    machine_stop(machine); /* in the middle of an attempt */
    assert_string_equal(told, "");
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    machine_stop(machine);
    assert_true(exists(machine, "runtime/x/chain.pem")); /* programs may outlive a restart of ours */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_none),          TEST(test_started),
        TEST(test_settled),       TEST(test_published_of_another),
        TEST(test_added),         TEST(test_removed),
        TEST(test_all_removed),   TEST(test_changed),
        TEST(test_faulty),        TEST(test_masked),
        TEST(test_unreadable),    TEST(test_limit),
        TEST(test_authenticator), TEST(test_authenticator_revoked),
        TEST(test_freed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
