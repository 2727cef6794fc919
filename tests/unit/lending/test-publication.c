/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files in the runtime directory: when they are there, that they change as one, that they go, and what happens
 * where they cannot be written; and that the signing thread is told, whatever it takes. */
#include "common/handle-protocol.h"
#include "common/key-reference.h"
#include "tests/unit/lending/lent.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#define ACCESS "[Access]\ntls-client=user:1000\n"

static bool exists(const Machine *machine, const char *path) {
    return access(machine_path(machine, path), F_OK) == 0;
}

static ino_t inode_of(const Machine *machine, const char *path) {
    struct stat status;

    assert_int_equal(stat(machine_path(machine, path), &status), 0);
    return status.st_ino;
}

static void expect_mode(const Machine *machine, const char *path, mode_t mode) {
    struct stat status;

    assert_int_equal(stat(machine_path(machine, path), &status), 0);
    assert_int_equal(status.st_mode & 07777, mode);
}

static unsigned count_entries(const Machine *machine, const char *path) {
    DIR *directory = opendir(machine_path(machine, path));
    unsigned count = 0;

    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    (void) closedir(directory);
    return count;
}

/* What is published is of the present generation. */
static void expect_published(Machine *machine) {
    _cleanup_bytes_ Bytes chain = BYTES_NULL, key = BYTES_NULL, current = BYTES_NULL;
    _cleanup_free_ char *chain_pem = machine_read(machine, "runtime/x/chain.pem"),
                        *key_pem = machine_read(machine, "runtime/x/key.pem"),
                        *both_pem = machine_read(machine, "runtime/x/identity.pem"),
                        *current_pem = machine_read(machine, "runtime/x/current.pem");

    if (!chain_pem || !key_pem || !both_pem || !current_pem)
        fail_msg("nothing is published");
    assert_int_equal(certificate_list_to_pem(identity_chain(x_of(machine)), &chain), 0);
    assert_int_equal(key_reference_to_pem("x", identity_generation(x_of(machine)), &key), 0);
    assert_int_equal(key_reference_to_pem("x", 0, &current), 0);
    assert_int_equal(strlen(chain_pem), chain.size);
    assert_memory_equal(chain_pem, chain.data, chain.size);
    assert_int_equal(strlen(key_pem), key.size);
    assert_memory_equal(key_pem, key.data, key.size);
    assert_int_equal(strlen(current_pem), current.size);
    assert_memory_equal(current_pem, current.data, current.size);
    assert_int_equal(strlen(both_pem), key.size + chain.size);
    assert_memory_equal(both_pem, key.data, key.size);
    assert_memory_equal(both_pem + key.size, chain.data, chain.size);
}

static void test_published(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    expect_published(machine);
    _cleanup_free_ char *anchors = machine_read(machine, "runtime/x/anchors.pem");
    assert_string_equal(anchors, machine->ca->pem);
    assert_int_equal(count_entries(machine, "runtime/x"), 5);
    /* The store knows such a set when it finds one at a start. */
    _cleanup_close_ int runtime = open(machine_path(machine, "runtime"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    _cleanup_strings_ char **names = NULL;
    assert_int_equal(publish_names(runtime, &names, NULL), 0);
    assert_non_null(names[0]);
    assert_string_equal(names[0], "x");
    assert_null(names[1]);
    expect_mode(machine, "runtime/x", 0755);
    expect_mode(machine, "runtime/x/chain.pem", 0644);
    expect_mode(machine, "runtime/x/key.pem", 0644);
    /* Programs are reloaded when it changes: without a reason it does not, over a restart neither. */
    ino_t inode = inode_of(machine, "runtime/x");
    reload_with(machine, ACCESS "[Renewal]\nAt=50%\n");
    machine_stop(machine);
    assert_true(inode_of(machine, "runtime/x") == inode);
    machine_start(machine);
    machine_settle(machine);
    assert_true(inode_of(machine, "runtime/x") == inode);
}

static void test_nothing_yet(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    enroller_script(machine->enroller, &hold);
    machine_configure(machine, "x", ACCESS);
    machine_start(machine);
    (void) machine_await_job(machine, 1);
    machine_settle(machine);
    assert_false(exists(machine, "runtime/x"));
}

/* Whoever has the directory open goes on seeing the set that he began with. */
static void test_exchanged(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    ino_t inode = inode_of(machine, "runtime/x");
    _cleanup_free_ char *before = machine_read(machine, "runtime/x/chain.pem");
    _cleanup_close_ int directory = open(machine_path(machine, "runtime/x"), O_PATH | O_CLOEXEC),
                        file = openat(directory, "chain.pem", O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    renew_x(machine);
    expect_published(machine);
    assert_true(inode_of(machine, "runtime/x") != inode);
    assert_int_equal(count_entries(machine, "runtime/x"), 5);
    char text[8192] = "";
    assert_int_equal(pread(file, text, sizeof text - 1, 0), strlen(before));
    assert_string_equal(text, before);
    int fresh = openat(directory, "chain.pem", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fresh, -1); /* not the new one in the old place */
}

static void test_anchors(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *peers = fake_ca_new("peers", NULL);
    _cleanup_seen_ Seen seen = { .type = 0 };
    char more[256];

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    assert_true(holder_next(machine, fd, &seen));
    machine_write(machine, "etc/peers.pem", "%s", peers->pem);
    (void) snprintf(more, sizeof more, ACCESS "[Peers]\nAnchors=%s\n", machine_path(machine, "etc/peers.pem"));
    reload_with(machine, more);
    expect_published(machine);
    _cleanup_free_ char *anchors = machine_read(machine, "runtime/x/anchors.pem");
    assert_string_equal(anchors, peers->pem);
    assert_true(holder_next(machine, fd, &seen));
    assert_string_equal(seen.files[HANDLE_FILE_ANCHORS], peers->pem);
}

/* What came of revocation is handed to holders, not published. */
static void test_statements(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };
    Bytes crls = BYTES_NULL;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(bytes_copy(bytes_view_string("some CRLs"), &crls), 0);
    assert_int_equal(identity_set_crls(x_of(machine), &crls), 0);
    machine_settle(machine);
    assert_true(holder_next(machine, fd, &seen));
    assert_string_equal(seen.files[HANDLE_FILE_CRLS], "some CRLs");
    assert_null(seen.files[HANDLE_FILE_OCSP]);
    assert_string_equal(seen.state, "ready");
    assert_int_equal(count_entries(machine, "runtime/x"), 5);
}

static void test_revoked(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    revoke_x(machine);
    assert_false(exists(machine, "runtime/x"));
}

static void test_retired(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    retire_x(machine, FAILURE_NONE);
    assert_false(exists(machine, "runtime/x"));
}

/* Programs may have use for an ended certificate where the clock is wrong. */
static void test_expired(void **state) {
    Machine *machine = *state;
    const Reply first = { .issue = { .starts = -60, .ends = 1000 } }, hold = { .kind = REPLY_HOLD };

    enroller_script(machine->enroller, &first);
    enroller_script(machine->enroller, &hold);
    enroller_script(machine->enroller, &hold);
    start_ready(machine, ACCESS);
    machine_pass(machine, 2000);
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    expect_published(machine);
}

static void test_out_of_use(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    reload_with(machine, ACCESS "[Weather]\n");
    machine_settle(machine);
    assert_false(exists(machine, "runtime/x"));
    reload_with(machine, ACCESS);
    machine_settle(machine);
    expect_published(machine);
}

static void test_configured_no_more(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    start_ready(machine, ACCESS);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    assert_false(exists(machine, "runtime/x"));
    reload_with(machine, ACCESS); /* it comes back with all that it had */
    machine_settle(machine);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
    assert_int_equal(enroller_count(machine->enroller), 1);
    expect_published(machine);
}

/* ---- where they cannot be written ---- */

/* Something of x's name is in the way of its files. */
static void put_in_the_way(Machine *machine) {
    static unsigned number;
    char aside[32];

    (void) snprintf(aside, sizeof aside, "runtime/aside%u", ++number);
    if (exists(machine, "runtime/x"))
        assert_int_equal(rename(machine_path(machine, "runtime/x"), machine_path(machine, aside)), 0);
    machine_write(machine, "runtime/x", "in the way");
}

static void test_in_the_way(void **state) {
    Machine *machine = *state;

    machine_write(machine, "runtime/x", "in the way");
    start_ready(machine, ACCESS);
    assert_int_equal(identity_state(x_of(machine)), STATE_READY); /* it signs all the same */
    machine_expect_log(machine,
                       "runtime/x cannot be removed: Not a directory; the files stay as they were, and are "
                       "written as soon as that is possible.",
                       1);
    for (unsigned i = 0; i < 10; i++) /* said once, tried again and again */
        machine_pass(machine, 60);
    machine_expect_log(machine, "; the files stay as they were", 1);
    assert_int_equal(unlink(machine_path(machine, "runtime/x")), 0);
    machine_pass(machine, 61);
    expect_published(machine);
}

/* The first try comes a second later, and each time is another matter. */
static void test_in_the_way_again(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    for (unsigned i = 1; i <= 2; i++) {
        put_in_the_way(machine);
        renew_x(machine);
        machine_expect_log(machine, "runtime/x cannot be published: Not a directory; the files stay as they were", i);
        assert_int_equal(unlink(machine_path(machine, "runtime/x")), 0);
        machine_pass(machine, 2);
        expect_published(machine);
    }
}

/* What must not be used any more must go, sooner or later. */
static void test_cannot_be_removed(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    put_in_the_way(machine);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    revoke_x(machine);
    machine_expect_log(machine, "; the files stay as they were", 1);
    holder_expect_end(machine, fd, "revoked"); /* whatever the disk does */
    assert_int_equal(unlink(machine_path(machine, "runtime/x")), 0);
    assert_int_equal(mkdir(machine_path(machine, "runtime/x"), 0755), 0);
    machine_write(machine, "runtime/x/chain.pem", "old");
    machine_pass(machine, 2);
    assert_false(exists(machine, "runtime/x"));
}

/* What stays when an identity goes is said, since nobody tries again before the next start. */
static void test_cannot_be_withdrawn(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    start_ready(machine, ACCESS);
    put_in_the_way(machine);
    machine_forget_log(machine);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    machine_expect_log(machine,
                       "runtime/x cannot be removed: Not a directory; what is published of it is withdrawn at the "
                       "next start.",
                       1);
}

/* ---- a full file system, which memfds know as well ---- */

static void set_room(rlim_t bytes) {
    struct rlimit limit;

    assert_true(signal(SIGXFSZ, SIG_IGN) != SIG_ERR);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Who cannot be told that it is over loses the handle without a word. */
static void test_revocation_cannot_be_told(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    machine_settle(machine);
    set_room(0);
    revoke_x(machine);
    set_room(RLIM_INFINITY);
    machine_expect_log(machine, "Cannot tell the signing thread of a change: ", 1);
    holder_expect_end(machine, fd, "ready");
    assert_true(exists(machine, "runtime/x")); /* nothing is published that nobody was told of */
    machine_pass(machine, 2);
    assert_false(exists(machine, "runtime/x"));
    machine_expect_log(machine, "Cannot tell the signing thread of a change: ", 1);
}

static void test_change_cannot_be_told(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };
    Bytes crls = BYTES_NULL;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(bytes_copy(bytes_view_string("some CRLs"), &crls), 0);
    assert_int_equal(identity_set_crls(x_of(machine), &crls), 0);
    set_room(0); /* for what is made only when the change is told */
    machine_settle(machine);
    for (unsigned i = 0; i < 5; i++)
        machine_pass(machine, 20);
    machine_expect_log(machine,
                       "Cannot tell the signing thread of a change: File too large; it is told as soon as "
                       "that is possible.",
                       1);
    holder_sign(machine, fd, &seen); /* what its holder may do is not changed by that */
    assert_int_equal(seen.status, 0);
    set_room(RLIM_INFINITY);
    machine_pass(machine, 61);
    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(seen.type, HANDLE_STATE);
    assert_string_equal(seen.files[HANDLE_FILE_CRLS], "some CRLs");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_published),
        TEST(test_nothing_yet),
        TEST(test_exchanged),
        TEST(test_anchors),
        TEST(test_statements),
        TEST(test_revoked),
        TEST(test_retired),
        TEST(test_expired),
        TEST(test_out_of_use),
        TEST(test_configured_no_more),
        TEST(test_in_the_way),
        TEST(test_in_the_way_again),
        TEST(test_cannot_be_removed),
        TEST(test_cannot_be_withdrawn),
        TEST(test_revocation_cannot_be_told),
        TEST(test_change_cannot_be_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
