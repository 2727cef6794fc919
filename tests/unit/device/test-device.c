/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all identities share: its start and what may be wrong then, a reload, the directories, secrets, and the log. */
#include "device/device.h"

#include "common/names.h"
#include "device/log.h"
#include "tests/unit/device/machine.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

typedef struct Calls {
    unsigned looked, changed, closed, used, unused;
} Calls;

static void on_looked(void *userdata) {
    ((Calls *) userdata)->looked++;
}

static void on_changed(void *userdata) {
    ((Calls *) userdata)->changed++;
}

static void on_closed(uint64_t id, void *userdata) {
    ((Calls *) userdata)->closed++;
}

static void on_used(const char *identity, uint32_t generation, void *userdata) {
    ((Calls *) userdata)->used++;
}

static void on_unused(const char *identity, uint32_t generation, void *userdata) {
    ((Calls *) userdata)->unused++;
}

static Device *start(Machine *machine, Calls *calls) {
    const DeviceCallbacks callbacks = { on_looked, on_changed, on_closed, on_used, on_unused, calls };
    Device *device = NULL;

    assert_int_equal(device_new(machine->loop, &callbacks, &device), 0);
    return device;
}

static void test_start(void **state) {
    Machine *machine = *state;
    Calls calls = { 0 };
    _cleanup_(device_free_p) Device *device = start(machine, &calls);

    assert_ptr_equal(device_loop(device), machine->loop);
    assert_int_equal(strlen(device_machine_id(device)), 32);
    assert_null(device_serial(device));
    assert_string_equal(device_directories(device)->runtime_path, machine_path(machine, "runtime"));
    assert_true(device_next_id(device) != device_next_id(device));
    assert_string_equal(device_config(device)->tcti, swtpm_tcti(machine->swtpm));
    machine_turn(machine);
    assert_int_equal(calls.looked, 0); /* only when it is told to */
    device_look_at_tpm(device);
    assert_int_equal(calls.looked, 0); /* in a later turn */
    machine_until(machine, calls.looked == 1);
    device_stop(device);
    device_stop(device);
}

/* No TPM is needed. */
static void test_start_without_tpm(void **state) {
    Machine *machine = *state;
    Calls calls = { 0 };

    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    _cleanup_(device_free_p) Device *device = start(machine, &calls);
    device_look_at_tpm(device);
    machine_until(machine, calls.looked == 1);
    assert_false(tpm_watch_is_ready(device_tpm(device)));
    machine_expect_log(machine, "The TPM cannot be used: ", 1);
    machine_expect_log(machine, "There is no device ID", 0); /* one failure, one line */
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    machine_until(machine, tpm_watch_is_ready(device_tpm(device)));
}

/* What is kept of the TPM is no Name at all: asked for again. */
static void test_start_with_nonsense(void **state) {
    Machine *machine = *state;
    Calls calls = { 0 };
    Failure failure = FAILURE_INIT;
    const uint8_t odd[] = { 1, 2, 3 };

    _cleanup_(device_free_p) Device *device = start(machine, &calls);
    assert_int_equal(store_device_save(device_directories(device)->state_fd, (BytesView) { odd, sizeof odd },
                                       (BytesView) { odd, sizeof odd }, &failure),
                     0);
    device = device_free(device);
    device = start(machine, &calls);
    device_look_at_tpm(device);
    machine_until(machine, calls.looked == 1);
    assert_true(tpm_watch_is_ready(device_tpm(device)));
    assert_int_equal(strlen(tpm_watch_information(device_tpm(device))->device_id), 64);
}

/* ---- directories ---- */

static void test_directories(void **state) {
    Machine *machine = *state;
    struct stat status;
    char list[256];

    /* Made where they are missing, with the rights that they are to have, whatever umask(2) says; of a list the first
     * counts. */
    mode_t mask = umask(0077);
    snprintf(list, sizeof list, "%s/made:/somewhere/else", machine->root);
    assert_int_equal(setenv("STATE_DIRECTORY", list, 1), 0);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", machine_path(machine, "run"), 1), 0);
    for (unsigned i = 0; i < 2; i++) {
        Directories directories = DIRECTORIES_NONE;
        assert_int_equal(directories_open(&directories), 0);
        assert_true(directories.state_fd >= 0 && directories.runtime_fd >= 0);
        assert_string_equal(directories.runtime_path, machine_path(machine, "run"));
        assert_int_equal(fstat(directories.state_fd, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0700);
        assert_int_equal(fstat(directories.runtime_fd, &status), 0);
        assert_int_equal(status.st_mode & 07777, 0755);
        directories_close(&directories);
        assert_int_equal(directories.state_fd, -1);
        directories_close(&directories);
    }
    (void) umask(mask);
}

/* In a root directory of its own, with the variable unset or empty: 0 if what was opened is `fallback` there. */
static int open_fallback(const char *root, const char *variable, bool is_empty, const char *fallback) {
    Directories directories = DIRECTORIES_NONE;
    struct stat opened, wanted;

    if ((geteuid() != 0 && unshare(CLONE_NEWUSER) < 0) || chroot(root) < 0 || chdir("/") < 0)
        return 77;
    (void) setenv("STATE_DIRECTORY", "/state", 1);
    (void) setenv("RUNTIME_DIRECTORY", "/runtime", 1);
    (void) (is_empty ? setenv(variable, "", 1) : unsetenv(variable));
    if (directories_open(&directories) < 0)
        return 1;
    int fd = strcmp(variable, "STATE_DIRECTORY") == 0 ? directories.state_fd : directories.runtime_fd;
    if (fstat(fd, &opened) < 0 || stat(fallback, &wanted) < 0)
        return 2;
    return opened.st_ino == wanted.st_ino && opened.st_dev == wanted.st_dev ? 0 : 3;
}

/* Where systemd sets none, or an empty one, they are those of the manual page. */
static void test_default_directories(void **state) {
    static const struct {
        const char *variable, *fallback;
    } cases[] = { { "STATE_DIRECTORY", IDENTITYD_STATE_DIRECTORY },
                  { "RUNTIME_DIRECTORY", IDENTITYD_RUNTIME_DIRECTORY } };
    Machine *machine = *state;

    assert_int_equal(mkdir(machine_path(machine, "var"), 0755), 0);
    assert_int_equal(mkdir(machine_path(machine, "var/lib"), 0755), 0);
    assert_int_equal(mkdir(machine_path(machine, "run"), 0755), 0);
    for (unsigned i = 0; i < ARRAY_LENGTH(cases) * 2U; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(open_fallback(machine->root, cases[i / 2U].variable, i % 2U, cases[i / 2U].fallback));
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) == 77) /* neither root nor a user namespace */
            skip();
        assert_int_equal(WEXITSTATUS(status), 0);
    }
}

static void test_short_name(void **state) {
    Machine *machine = *state;
    char before[4096];
    Directories directories = DIRECTORIES_NONE;
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(machine->root), 0);
    assert_int_equal(setenv("STATE_DIRECTORY", "s", 1), 0);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", machine_path(machine, "runtime"), 1), 0);
    int r = directories_open(&directories);
    assert_int_equal(chdir(before), 0);
    assert_int_equal(r, 0);
    assert_int_equal(access(machine_path(machine, "s"), F_OK), 0);
    directories_close(&directories);
}

static void test_bad_directories(void **state) {
    Machine *machine = *state;
    Calls calls = { 0 };
    const DeviceCallbacks callbacks = { on_looked, on_changed, on_closed, on_used, on_unused, &calls };
    Device *device = NULL;

    machine_write(machine, "file", "x");
    assert_int_equal(setenv("STATE_DIRECTORY", machine_path(machine, "file"), 1), 0);
    assert_int_equal(device_new(machine->loop, &callbacks, &device), -ENOTDIR);
    machine_expect_log(machine, "file: Not a directory; set STATE_DIRECTORY to", 1);
    assert_int_equal(setenv("STATE_DIRECTORY", machine_path(machine, "file/below"), 1), 0);
    assert_int_equal(device_new(machine->loop, &callbacks, &device), -ENOTDIR);
    machine_expect_log(machine, "Cannot create ", 1);
    assert_int_equal(setenv("STATE_DIRECTORY", machine_path(machine, "state"), 1), 0);
    assert_int_equal(setenv("RUNTIME_DIRECTORY", machine_path(machine, "file"), 1), 0);
    assert_int_equal(device_new(machine->loop, &callbacks, &device), -ENOTDIR);
    machine_expect_log(machine, "set RUNTIME_DIRECTORY to", 1);
    assert_int_equal(setenv("CONFIGURATION_DIRECTORY", "relative", 1), 0);
    assert_int_equal(device_new(machine->loop, &callbacks, &device), -EINVAL);
    assert_null(device);
}

/* ---- configuration ---- */

static void test_reload(void **state) {
    static const struct {
        const char *line, *said;
    } settings[] = {
        { "ParentHandle=0x81000002\n", "ParentHandle= of [TPM] in identityd.conf was changed" },
        { "OwnerAuthCredential=o\n", "OwnerAuthCredential= of [TPM]" },
        { "EndorsementAuthCredential=e\n", "EndorsementAuthCredential= of [TPM]" },
        { "SerialCredential=s\n", "SerialCredential= of [TPM]" },
    };
    Machine *machine = *state;
    Calls calls = { 0 };
    Failure failure = FAILURE_INIT;
    _cleanup_(device_free_p) Device *device = start(machine, &calls);

    assert_int_equal(device_reload(device, &failure), 0);
    machine_expect_log(machine, "that takes effect when identityd is started again", 0);
    for (size_t i = 0; i < ARRAY_LENGTH(settings); i++) {
        machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n%s", swtpm_tcti(machine->swtpm),
                      settings[i].line);
        assert_int_equal(device_reload(device, &failure), 0);
        machine_expect_log(machine, settings[i].said, 1);
        machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n", swtpm_tcti(machine->swtpm));
        assert_int_equal(device_reload(device, &failure), 0);
        machine_forget_log(machine);
    }
    machine_write(machine, "etc/identityd.conf", "[Limits]\nIdentities=3\n");
    assert_int_equal(device_reload(device, &failure), 0);
    machine_expect_log(machine, "TCTI= of [TPM]", 1);
    assert_int_equal(device_config(device)->identities, 3); /* what needs no restart */
    machine_write(machine, "etc/identityd.conf", "[Limits]\nIdentities=many\n[Weather]\n");
    assert_int_equal(device_reload(device, &failure), 0);
    machine_expect_log(machine, "Identities", 1);
    machine_expect_log(machine, "error: ", 2);
    assert_int_equal(device_config(device)->identities, IDENTITIES_DEFAULT);
}

static void test_secrets(void **state) {
    Machine *machine = *state;
    Calls calls = { 0 };

    machine_write(machine, "credentials/serial", "S1");
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\nOwnerAuthCredential=owner\n",
                  swtpm_tcti(machine->swtpm));
    Device *device = start(machine, &calls);
    machine_expect_log(machine, "The systemd credential owner (OwnerAuthCredential=) cannot be read", 1);
    assert_int_equal(secret_view(device_serial(device)).size, 2);
    assert_memory_equal(secret_view(device_serial(device)).data, "S1", 2);
    device_free(device);
    machine_write(machine, "credentials/owner", "secret");
    machine_forget_log(machine);
    device = start(machine, &calls);
    machine_expect_log(machine, "cannot be read", 0);
    device_free(device);
    machine_expect_log(machine, "secret", 0);
}

/* A credential that is no authorization is told of by its name, and is no reason not to start. */
static void test_long_authorizations(void **state) {
    static const char *const keys[] = { "OwnerAuthCredential", "EndorsementAuthCredential" };
    Machine *machine = *state;
    Calls calls = { 0 };
    char text[TPM_AUTHORIZATION_MAX + 2U] = "", said[256];

    memset(text, 'a', TPM_AUTHORIZATION_MAX);
    machine_write(machine, "credentials/fits", "%s", text);
    machine_write(machine, "credentials/too-long", "%sa", text);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n%s=fits\n", swtpm_tcti(machine->swtpm), keys[i]);
        device_free(start(machine, &calls));
        machine_expect_log(machine, "The systemd credential", 0);
        machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n%s=too-long\n", swtpm_tcti(machine->swtpm),
                      keys[i]);
        _cleanup_(device_free_p) Device *device = start(machine, &calls);
        snprintf(said, sizeof said, "The systemd credential too-long (%s=) has %u bytes and is not used", keys[i],
                 TPM_AUTHORIZATION_MAX + 1U);
        machine_expect_log(machine, said, 1);
        device_look_at_tpm(device);
        machine_until(machine, tpm_watch_is_ready(device_tpm(device)));
        machine_forget_log(machine);
        calls.looked = 0;
    }
}

/* ---- the log ---- */

static void test_log(void **state) {
    Machine *machine = *state;

    log_entry(LOG_ERR, NULL, NULL, "%s %d", "text", 7);
    log_entry(LOG_WARNING, MESSAGE_CLOCK, "x", "of an identity");
    log_entry(LOG_NOTICE, NULL, NULL, "notice");
    log_entry(LOG_DEBUG, NULL, NULL, "too quiet");
    log_set_level(LOG_DEBUG);
    log_entry(LOG_DEBUG, NULL, "x", "loud enough");
    log_set_level(LOG_ERR);
    log_entry(LOG_WARNING, NULL, NULL, "now too quiet");
    log_set_level(LOG_INFO);
    assert_string_equal(machine_log(machine), "identityd: error: text 7\nidentityd: warning: x: of an identity\n"
                                              "identityd: notice\nidentityd: debug: x: loud enough\n");
}

/* A line is cut where it is too long, and the number of fields is bounded. */
static void test_log_bounds(void **state) {
    Machine *machine = *state;
    char text[8192];
    const char *fields[64];

    memset(text, 'a', sizeof text - 1U);
    text[sizeof text - 1U] = '\0';
    for (size_t i = 0; i < ARRAY_LENGTH(fields) - 1U; i++)
        fields[i] = "IDENTITYD_X=y";
    fields[ARRAY_LENGTH(fields) - 1U] = NULL;
    log_fields(LOG_INFO, MESSAGE_CLOCK, "x", fields, "%s", text);
    assert_true(strlen(machine_log(machine)) > 2000 && strlen(machine_log(machine)) < 2200);
    machine_forget_log(machine);
    /* A journal that is somewhere else than behind stderr is not written to. */
    assert_int_equal(setenv("JOURNAL_STREAM", "1:2", 1), 0);
    log_fields(LOG_INFO, NULL, NULL, NULL, "here");
    assert_int_equal(setenv("JOURNAL_STREAM", "nonsense", 1), 0);
    log_fields(LOG_INFO, NULL, NULL, NULL, "and here");
    assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
    machine_expect_log(machine, "here", 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_start),
        TEST(test_start_without_tpm),
        TEST(test_start_with_nonsense),
        TEST(test_directories),
        TEST(test_default_directories),
        TEST(test_short_name),
        TEST(test_bad_directories),
        TEST(test_reload),
        TEST(test_secrets),
        TEST(test_long_authorizations),
        TEST(test_log),
        TEST(test_log_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
