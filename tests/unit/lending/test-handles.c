/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credential handles on a whole device: who gets one, how many, what its holder is told, and who loses it again. */
#include "common/handle-protocol.h"
#include "device/device.h"
#include "signing/signing.h"
#include "tests/unit/device/waiting.h"
#include "tests/unit/lending/lent.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define ACCESS "[Access]\ntls-client=user:1000 user:1001\n"

/* Takes the State that every handle begins with. */
static int lend_and_look(Machine *machine, uid_t uid) {
    _cleanup_seen_ Seen seen = { .type = 0 };
    int fd = lend(machine, PURPOSE_TLS_CLIENT, uid);

    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(seen.type, HANDLE_STATE);
    assert_string_equal(seen.state, "ready");
    return fd;
}

/* The next that its holder hears is a State with that word, and it stays open. */
static void expect_state(Machine *machine, int fd, const char *state, uint32_t generation) {
    _cleanup_seen_ Seen seen = { .type = 0 };

    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(seen.type, HANDLE_STATE);
    assert_string_equal(seen.state, state);
    assert_int_equal(seen.generation, generation);
}

/* ---- who gets one ---- */

static void test_opened(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };
    _cleanup_bytes_ Bytes chain = BYTES_NULL;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    machine_expect_log(machine, "x: Granted for tls-client to uid 1000, pid 0 (user:1000).", 1);
    assert_true(holder_next(machine, fd, &seen));
    assert_int_equal(seen.type, HANDLE_STATE);
    assert_string_equal(seen.state, "ready");
    assert_string_equal(seen.purpose, "tls-client");
    assert_int_equal(seen.generation, 1);
    assert_true(seen.not_after == (uint64_t) identity_leaf(x_of(machine))->not_after * 1000000U);
    assert_int_equal(certificate_list_to_pem(identity_chain(x_of(machine)), &chain), 0);
    assert_int_equal(strlen(seen.files[HANDLE_FILE_CHAIN]), chain.size);
    assert_memory_equal(seen.files[HANDLE_FILE_CHAIN], chain.data, chain.size);
    assert_string_equal(seen.files[HANDLE_FILE_ANCHORS], machine->ca->pem);
    assert_null(seen.files[HANDLE_FILE_CRLS]);
    assert_null(seen.files[HANDLE_FILE_OCSP]);
    assert_false(identity_generation_is_used(x_of(machine)));
    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, 0);
    assert_true(seen.size > 60);
    machine_settle(machine);
    assert_true(identity_generation_is_used(x_of(machine)));
    assert_int_equal(access_log_counters(lending_log(manager_lending(machine->manager))).granted, 1);
}

static void test_refused(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1002, FAILURE_ACCESS_DENIED,
                 "x is not lent to you for tls-client: no [Access] tls-client= rule admits uid 1002. Add a rule to "
                 "[Access] in identities/x.conf.");
    machine_expect_log(machine, "x: Denied for tls-client to uid 1002, pid 0 (", 1);
    lend_in_vain(machine, PURPOSE_TLS_SERVER, 1000, FAILURE_ACCESS_DENIED, "x is not lent to you for tls-server: ");
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 0, FAILURE_ACCESS_DENIED, "x is not lent to you for tls-client: ");
    assert_int_equal(access_log_counters(lending_log(manager_lending(machine->manager))).refused, 3);
}

/* The log gets so many lines of one user, and no more of what he does. */
static void test_refused_often(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    for (unsigned i = 0; i < LINE_LIMIT_BURST + 10; i++)
        lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1002, FAILURE_ACCESS_DENIED, "x is not lent to you");
    machine_expect_log(machine, "x: Denied for tls-client to uid 1002", LINE_LIMIT_BURST);
    machine_pass(machine, 60);
    machine_expect_log(machine, "10 more refusals for uid 1002 in the last ", 1);
}

static void test_not_ready(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    enroller_script(machine->enroller, &hold);
    machine_configure(machine, "x", ACCESS);
    machine_start(machine);
    (void) machine_await_job(machine, 1);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_NOT_READY, "it has no certificate yet");
    /* Who is not admitted does not learn that. */
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1002, FAILURE_ACCESS_DENIED, "x is not lent to you");
}

static void test_misconfigured(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    reload_with(machine, ACCESS "[Weather]\n");
    assert_int_equal(identity_state(x_of(machine)), STATE_MISCONFIGURED);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_NOT_READY, "identities/x.conf");
    assert_int_equal(access_log_counters(lending_log(manager_lending(machine->manager))).granted, 0);
}

/* ---- units ---- */

static Caller unit_caller(const char *unit, pid_t pid, bool with_pidfd) {
    Caller caller = caller_of(1005);

    caller.unit = strdup(unit);
    caller.unit_is_known = true;
    caller.pid = pid;
    caller.pidfd = with_pidfd ? (int) syscall(SYS_pidfd_open, getpid(), 0) : -1;
    assert_true(!with_pidfd || caller.pidfd >= 0);
    return caller;
}

static int open_for(Machine *machine, Caller *caller, Failure *ret_failure) {
    const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, caller };
    int fd = -1;

    return handles_open(manager_lending(machine->manager), &request, &fd, ret_failure) < 0 ? -1 : fd;
}

/* A unit is lent to only where the process can prove itself later. */
static void test_unit(void **state) {
    Machine *machine = *state;
    _cleanup_caller_ Caller own = unit_caller("a.service", getpid(), true),
                            other = unit_caller("a.service", getppid(), true),
                            without_pid = unit_caller("a.service", 0, true),
                            without_pidfd = unit_caller("a.service", getpid(), false);
    _cleanup_seen_ Seen seen = { .type = 0 };
    Failure failure = FAILURE_INIT;

    start_ready(machine, "[Access]\ntls-client=unit:a.service\ntls-server=user:1000\n");
    assert_true(handles_admit_units(x_of(machine), PURPOSE_TLS_CLIENT));
    assert_false(handles_admit_units(x_of(machine), PURPOSE_TLS_SERVER));
    assert_false(handles_admit_units(x_of(machine), PURPOSE_DIGEST));
    assert_int_equal(open_for(machine, &without_pid, &failure), -1);
    expect_failure(&failure, FAILURE_ACCESS_DENIED,
                   "x is lent to a unit, and which process asks could not be established.");
    failure = FAILURE_INIT;
    assert_int_equal(open_for(machine, &without_pidfd, &failure), -1);
    expect_failure(&failure, FAILURE_ACCESS_DENIED,
                   "x is lent to a unit, and which process asks could not be established.");
    _cleanup_close_ int fd = open_for(machine, &own, &failure), others = open_for(machine, &other, &failure);
    assert_true(fd >= 0 && others >= 0);
    machine_expect_log(machine, ", unit a.service (unit:a.service).", 2); /* not those that were refused then */
    assert_int_equal(own.pidfd, -1);                                      /* it is the signing thread's now */
    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, 0);
    /* The first packet comes from another process than was let in. */
    (void) send(others, (const uint8_t[16]) { 1, HANDLE_GET_STATE }, 16, MSG_NOSIGNAL);
    holder_expect_end(machine, others, "ready");
    reload_with(machine, "[Access]\ntls-client=unit:a.service\n[Renewal]\nAt=50%\n");
    holder_sign(machine, fd, &seen); /* who was admitted as a unit is so still */
    assert_int_equal(seen.status, 0);
    reload_with(machine, "[Access]\n[Weather]\n");
    assert_false(handles_admit_units(x_of(machine), PURPOSE_TLS_CLIENT));
}

/* ---- how many ---- */

static void test_quota_of_a_user(void **state) {
    Machine *machine = *state;

    configure_daemon(machine, "[Limits]\nHandlesPerUser=2\n");
    start_ready(machine, ACCESS);
    int first = lend_and_look(machine, 1000);
    _cleanup_close_ int second = lend_and_look(machine, 1000);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED,
                 "uid 1000 holds 2 handles already, with those that have ended and were not closed: close some, or "
                 "raise HandlesPerUser= in identityd.conf.");
    _cleanup_close_ int of_another = lend_and_look(machine, 1001);
    /* Who closes one may have another. */
    (void) close(first);
    machine_settle(machine);
    _cleanup_close_ int third = lend_and_look(machine, 1000);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED, "uid 1000 holds 2 handles already");
    handles_closed(manager_lending(machine->manager), UINT64_MAX); /* nobody's: nothing is given back */
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED, "uid 1000 holds 2 handles already");
    /* The limit is read again with the rest. */
    configure_daemon(machine, "[Limits]\nHandlesPerUser=3\n");
    reload_with(machine, ACCESS);
    _cleanup_close_ int fourth = lend_and_look(machine, 1000);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED, "uid 1000 holds 3 handles already");
}

/* Whoever closes one and asks for the next at once gets it, also while the signing thread is inside the TPM. */
static void test_closed_by_its_holder(void **state) {
    static const uint8_t hash[32] = { 7 };
    Machine *machine = *state;

    configure_daemon(machine, "[Limits]\nHandlesPerUser=1\n");
    start_ready(machine, ACCESS);
    _cleanup_close_ int busy = lend_and_look(machine, 1001);
    int fd = lend_and_look(machine, 1000);
    const PacketHeader header = { .type = HANDLE_SIGN_TRANSCRIPT, .serial = 5, .generation = 1, .scheme = 0x0403 };
    assert_int_equal(swtpm_suspend(machine->swtpm), 0);
    assert_int_equal(packet_send(busy, &header, (BytesView) { hash, sizeof hash }, NULL, 0), 0);
    machine_until(machine, signing_busy_since(device_signing(machine->device)) > 0);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED, "uid 1000 holds 1 handles already");
    (void) close(fd);
    fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    /* But nobody has descriptors without end: as many as may be are on their way out. */
    (void) close(fd);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED, "uid 1000 holds 1 handles already");
    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_settle(machine);
    _cleanup_close_ int later = lend_and_look(machine, 1000);
}

static void test_quota_of_a_rule(void **state) {
    gid_t groups[] = { 50 };
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;
    int fds[3] = { -1, -1, -1 };

    configure_daemon(machine, "[Limits]\nHandlesPerRule=2\n");
    start_ready(machine, "[Access]\ntls-client=group:50 user:1001\n");
    for (unsigned i = 0; i < 3; i++) {
        Caller caller = caller_of(2000 + i);
        caller.groups = groups;
        caller.group_count = 1;
        fds[i] = open_for(machine, &caller, &failure);
        assert_int_equal(fds[i] >= 0, i < 2);
    }
    expect_failure(&failure, FAILURE_LIMITS_EXCEEDED,
                   "Those whom group:50 admits hold 2 handles already: close some, or raise HandlesPerRule= in "
                   "identityd.conf.");
    machine_expect_log(machine, "x: A handle for uid 2002 is refused: Those whom group:50 admits", 1);
    assert_int_equal(access_log_counters(lending_log(manager_lending(machine->manager))).limited, 1);
    _cleanup_close_ int by_another = lend_and_look(machine, 1001);
    for (unsigned i = 0; i < 2; i++)
        (void) close(fds[i]);
}

/* Users whom nobody knows are one. */
static void test_quota_of_unknown_users(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;
    int fds[3] = { -1, -1, -1 };

    configure_daemon(machine, "[Limits]\nHandlesPerUser=2\n");
    start_ready(machine, "[Access]\ntls-client=user:300000 user:300001 user:300002\n");
    for (unsigned i = 0; i < 3; i++) {
        Caller caller = caller_of(300000 + i);
        caller.party = PARTY_UNKNOWN;
        fds[i] = open_for(machine, &caller, &failure);
        assert_int_equal(fds[i] >= 0, i < 2);
    }
    expect_failure(&failure, FAILURE_LIMITS_EXCEEDED,
                   "Users whom the system does not know, uid 300002 among them, hold 2 handles together");
    for (unsigned i = 0; i < 2; i++)
        (void) close(fds[i]);
}

static void test_kept_for_another_identity(void **state) {
    Machine *machine = *state;

    configure_daemon(machine, "[Limits]\nHandles=8\nIdentities=2\n");
    start_ready(machine, ACCESS);
    int fds[7];
    for (unsigned i = 0; i < 7; i++)
        fds[i] = lend_and_look(machine, 1000);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_LIMITS_EXCEEDED,
                 "What is left of the 8 handles is kept for other identities than x, 1 of each");
    for (unsigned i = 0; i < 7; i++)
        (void) close(fds[i]);
}

static void test_quota_of_all(void **state) {
    Machine *machine = *state;

    configure_daemon(machine, "[Limits]\nHandles=2\n");
    start_ready(machine, ACCESS);
    _cleanup_close_ int first = lend_and_look(machine, 1000), second = lend_and_look(machine, 1001);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1001, FAILURE_LIMITS_EXCEEDED,
                 "All 2 handles are in use: raise Handles= in identityd.conf.");
}

/* What cannot be opened takes no place. */
static void test_no_descriptors(void **state) {
    Machine *machine = *state;
    struct rlimit before, none;

    configure_daemon(machine, "[Limits]\nHandlesPerUser=1\n");
    start_ready(machine, ACCESS);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    Caller caller = caller_of(1000);
    const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, &caller };
    Failure failure = FAILURE_INIT;
    int fd = -1, r = handles_open(manager_lending(machine->manager), &request, &fd, &failure);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_int_equal(fd, -1);
    expect_failure(&failure, FAILURE_LIMITS_EXCEEDED,
                   "Opening a credential handle: all 3 descriptors that this process may have are open. Raise "
                   "LimitNOFILE=");
    _cleanup_close_ int later = lend_and_look(machine, 1000);
    machine_expect_log(machine, "is more than there is room for", 0);
}

/* ---- what becomes of it ---- */

static void test_renewed(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend_and_look(machine, 1000);
    renew_x(machine);
    assert_true(holder_next(machine, fd, &seen));
    assert_string_equal(seen.state, "ready");
    assert_int_equal(seen.generation, 2);
    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, 0);
}

static void test_revoked(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend_and_look(machine, 1000);
    revoke_x(machine);
    holder_expect_end(machine, fd, "revoked");
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_REVOKED, "its certificate was revoked by the CA");
}

static void test_retired(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend_and_look(machine, 1000);
    retire_x(machine, FAILURE_NONE);
    holder_expect_end(machine, fd, "retired");
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_RETIRED, "it was retired");
}

/* The holder keeps what may be of use again. */
static void test_expired(void **state) {
    Machine *machine = *state;
    const Reply first = { .issue = { .starts = -60, .ends = 1000 } }, hold = { .kind = REPLY_HOLD },
                usual = { .kind = REPLY_USUAL };
    _cleanup_seen_ Seen seen = { .type = 0 };

    enroller_script(machine->enroller, &first);
    for (unsigned i = 0; i < 4; i++)
        enroller_script(machine->enroller, &hold);
    machine_write(machine, "credentials/c", "hush");
    start_ready(machine, "Authenticate=credential:c\n" ACCESS);
    _cleanup_close_ int fd = lend_and_look(machine, 1000);
    machine_pass(machine, 2000);
    assert_int_equal(identity_state(x_of(machine)), STATE_EXPIRED);
    expect_state(machine, fd, "expired", 1);
    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, FAILURE_EXPIRED);
    assert_non_null(strstr(seen.text, "its certificate has expired and was not renewed"));
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1000, FAILURE_EXPIRED, "its certificate has expired");
    enroller_reply(enroller_last(machine->enroller), &usual);
    machine_await_state(machine, "x", STATE_READY);
    expect_state(machine, fd, "ready", 2);
    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, 0);
}

/* ---- the configuration ---- */

static void test_no_longer_admitted(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };

    start_ready(machine, ACCESS);
    _cleanup_close_ int stays = lend_and_look(machine, 1000), goes = lend_and_look(machine, 1001);
    reload_with(machine, ACCESS); /* nothing in it is another */
    machine_expect_log(machine, "is closed: its configuration admits it no more", 0);
    reload_with(machine, "[Access]\ntls-client=user:1000\n");
    holder_expect_closed(machine, goes);
    machine_expect_log(machine,
                       "x: The handle of uid 1001 for tls-client is closed: its configuration admits it no more.", 1);
    machine_expect_log(machine, "is closed: its configuration admits it no more", 1);
    assert_int_equal(access_log_counters(lending_log(manager_lending(machine->manager))).refused, 1);
    holder_sign(machine, stays, &seen);
    assert_int_equal(seen.status, 0);
}

static void test_out_of_use(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int fd = lend_and_look(machine, 1000);
    reload_with(machine, ACCESS "[Weather]\n");
    /* What it was told last may be why. */
    _cleanup_seen_ Seen seen = { .type = 0 };
    while (holder_next(machine, fd, &seen))
        assert_string_equal(seen.state, "misconfigured");
    /* It comes back, and is lent anew. */
    reload_with(machine, ACCESS);
    machine_settle(machine);
    _cleanup_close_ int again = lend_and_look(machine, 1000);
}

/* A configuration is read anew also after a disk that could not be read, and counts from then on. */
static void test_no_longer_admitted_later(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int stays = lend_and_look(machine, 1000), goes = lend_and_look(machine, 1001);
    /* Its beginning is mapped by nobody: EIO, as of a disk. */
    assert_int_equal(rename(machine_path(machine, "etc/ca.pem"), machine_path(machine, "etc/aside")), 0);
    assert_int_equal(symlink("/proc/self/mem", machine_path(machine, "etc/ca.pem")), 0);
    reload_with(machine, ACCESS);
    assert_int_equal(identity_state(x_of(machine)), STATE_UNAVAILABLE);
    expect_state(machine, stays, "unavailable", 0);
    expect_state(machine, goes, "unavailable", 0);
    machine_configure(machine, "x", "[Access]\ntls-client=user:1000\n");
    assert_int_equal(rename(machine_path(machine, "etc/aside"), machine_path(machine, "etc/ca.pem")), 0);
    machine_pass(machine, 61);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    _cleanup_seen_ Seen seen = { .type = 0 };
    while (holder_next(machine, goes, &seen)) /* it may hear of that first */
        assert_string_equal(seen.state, "ready");
    expect_state(machine, stays, "ready", 1);
}

/* Those of other identities have nothing to do with it. */
static void test_of_another(void **state) {
    Machine *machine = *state;
    Caller caller = caller_of(1001);
    Failure failure = FAILURE_INIT;
    _cleanup_close_ int fd = -1;

    machine_configure(machine, "y", ACCESS);
    start_ready(machine, ACCESS);
    machine_await_state(machine, "y", STATE_READY);
    const HandleRequest request = { machine_identity(machine, "y"), PURPOSE_TLS_CLIENT, &caller };
    assert_int_equal(handles_open(manager_lending(machine->manager), &request, &fd, &failure), 0);
    _cleanup_close_ int of_x = lend_and_look(machine, 1001);
    reload_with(machine, "[Access]\ntls-client=user:1000\n");
    holder_expect_closed(machine, of_x);
    machine_settle(machine);
    expect_state(machine, fd, "ready", 1);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/y.conf")), 0);
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    holder_expect_closed(machine, fd);
}

/* Where it is the descriptors that are too few, that is what is said. The last of the tests: a limit that was lowered
 * cannot be raised again. */
static void test_quota_of_descriptors(void **state) {
    const struct rlimit low = { 496, 496 }; /* room for two, and one identity */
    Machine *machine = *state;

    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    configure_daemon(machine, "[Limits]\nHandles=3\nIdentities=1\n");
    start_ready(machine, ACCESS);
    machine_expect_log(machine,
                       "Handles=3 of identityd.conf is more than there is room for with 496 descriptors: 2 it "
                       "is. Set LimitNOFILE=498 or more in identityd.service.",
                       1);
    _cleanup_close_ int first = lend_and_look(machine, 1000), second = lend_and_look(machine, 1001);
    lend_in_vain(machine, PURPOSE_TLS_CLIENT, 1001, FAILURE_LIMITS_EXCEEDED,
                 "All 2 handles are in use: raise Handles= in identityd.conf and LimitNOFILE= of identityd.service.");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

/* Whose time of the TPM a handle's signatures take: of who opened it, on that identity. */
static void test_whose_time(void **state) {
    Machine *machine = *state;

    start_ready(machine, "[Access]\ntls-client=user:1000 user:1001\ntls-server=user:1000\n");
    _cleanup_close_ int first = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    _cleanup_close_ int second = lend(machine, PURPOSE_TLS_SERVER, 1000);
    _cleanup_close_ int other = lend(machine, PURPOSE_TLS_CLIENT, 1001);
    const char *found = waiting_end(machine, waiting_begin(machine));
    assert_non_null(strstr(found, " 1000/x=2"));
    assert_non_null(strstr(found, " 1001/x=1"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_opened),
        TEST(test_whose_time),
        TEST(test_refused),
        TEST(test_refused_often),
        TEST(test_not_ready),
        TEST(test_misconfigured),
        TEST(test_unit),
        TEST(test_quota_of_a_user),
        TEST(test_quota_of_all),
        TEST(test_closed_by_its_holder),
        TEST(test_quota_of_a_rule),
        TEST(test_quota_of_unknown_users),
        TEST(test_kept_for_another_identity),
        TEST(test_no_descriptors),
        TEST(test_renewed),
        TEST(test_revoked),
        TEST(test_retired),
        TEST(test_expired),
        TEST(test_no_longer_admitted),
        TEST(test_out_of_use),
        TEST(test_of_another),
        TEST(test_no_longer_admitted_later),
        TEST(test_quota_of_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
