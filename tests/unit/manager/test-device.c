/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the manager makes of what the device says: a TPM that goes, hangs and comes back, a clock that is behind, is
 * set, or is reset, and generations that are used. */
#include "manager/manager.h"

#include "common/handle-protocol.h"
#include "common/packet.h"
#include "enrolment/asked.h"
#include "enrolment/enrolment.h"
#include "revocation/revocation.h"
#include "tests/unit/device/clock.h"
#include "tests/unit/device/machine.h"

#include <sys/stat.h>

static Identity *x_of(const Machine *machine) {
    return machine_identity(machine, "x");
}

static void start_ready(Machine *machine, const char *more) {
    machine_configure(machine, "x", more);
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
}

/* ---- the TPM ---- */

static void test_tpm_goes(void **state) {
    Machine *machine = *state;

    start_ready(machine, "");
    machine->changed[CHANGE_MANAGER_PROPERTIES] = machine->changed[CHANGE_IDENTITY_PROPERTIES] = 0;
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    device_look_at_tpm(machine->device);
    machine_await_state(machine, "x", STATE_UNAVAILABLE);
    machine_settle(machine);
    assert_string_equal(manager_tpm_state(machine->manager), "unavailable");
    assert_int_equal(machine->changed[CHANGE_MANAGER_PROPERTIES], 1);
    assert_int_equal(machine->changed[CHANGE_IDENTITY_PROPERTIES], 1);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    machine_pass(machine, 120);
    machine_await_state(machine, "x", STATE_READY);
    assert_string_equal(manager_tpm_state(machine->manager), "ready");
    assert_int_equal(enroller_count(machine->enroller), 1);
}

/* Nothing but the TPM was looked at: nobody is told of an identity. */
static void test_tpm_is_as_it_was(void **state) {
    Machine *machine = *state;

    start_ready(machine, "");
    machine->changed[CHANGE_MANAGER_PROPERTIES] = machine->changed[CHANGE_IDENTITY_PROPERTIES] = 0;
    device_look_at_tpm(machine->device);
    machine_until(machine, machine->changed[CHANGE_MANAGER_PROPERTIES] > 0);
    machine_settle(machine);
    assert_int_equal(machine->changed[CHANGE_MANAGER_PROPERTIES], 1);
    assert_int_equal(machine->changed[CHANGE_IDENTITY_PROPERTIES], 0);
}

static void test_tpm_is_another(void **state) {
    Machine *machine = *state;

    machine_configure(machine, "a", "");
    start_ready(machine, "");
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    assert_int_equal(swtpm_replace(machine->swtpm), 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    device_look_at_tpm(machine->device);
    machine_await_state(machine, "x", STATE_UNAVAILABLE);
    machine_settle(machine);
    assert_true(identity_is_replaced(x_of(machine)));
    assert_string_equal(manager_tpm_state(machine->manager), "replaced");
}

/* A TPM that hangs is waited for by no loop, and whoever needs it is told. */
static void test_tpm_hangs(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    start_ready(machine, "");
    assert_false(manager_waits_for_tpm(machine->manager));
    assert_int_equal(swtpm_suspend(machine->swtpm), 0);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    machine_until(machine, (sd_event_run(machine->loop, 1000), manager_waits_for_tpm(machine->manager)));
    machine->changed[CHANGE_MANAGER_PROPERTIES] = 0;
    assert_string_equal(manager_tpm_state(machine->manager), "ready");
    clock_pass(600); /* longer than any TPM takes for a key */
    machine_until(machine, answer.calls > 0);
    expect_failure(&answer.failure, FAILURE_TPM_UNAVAILABLE, "has not answered for half a minute");
    assert_string_equal(manager_tpm_state(machine->manager), "unavailable");
    machine_until(machine, machine->changed[CHANGE_MANAGER_PROPERTIES] > 0);
    /* It is the TPM that is stuck, and no loop of ours: a restart would not help. */
    for (unsigned i = 0; i < 3; i++)
        assert_true(manager_is_alive(machine->manager));
    machine->changed[CHANGE_MANAGER_PROPERTIES] = 0;
    assert_int_equal(swtpm_resume(machine->swtpm), 0);
    machine_until(machine, machine->changed[CHANGE_MANAGER_PROPERTIES] > 0);
    assert_string_equal(manager_tpm_state(machine->manager), "ready");
    machine_settle(machine);
    assert_false(manager_waits_for_tpm(machine->manager));
}

static void test_alive(void **state) {
    Machine *machine = *state;
    Signing *signing = NULL;

    start_ready(machine, "");
    signing = device_signing(machine->device);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t beat = signing_heartbeat(signing);
        (void) manager_is_alive(machine->manager); /* asks for a sign of life */
        machine_until(machine, (machine_settle(machine), signing_heartbeat(signing) != beat));
        assert_true(manager_is_alive(machine->manager));
    }
}

/* ---- generations ---- */

static int open_handle(Machine *machine) {
    Failure failure = FAILURE_INIT;
    Caller caller = CALLER_INIT;
    const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, &caller };
    int fd = -1;

    caller.uid = caller.party = 1000;
    (void) handles_open(manager_lending(machine->manager), &request, &fd, &failure);
    return fd;
}

static void sign(Machine *machine, int fd) {
    static const uint8_t hash[32] = { 1 };
    const PacketHeader header = {
        .type = HANDLE_SIGN_TRANSCRIPT,
        .serial = 1,
        .generation = identity_generation(x_of(machine)),
        .scheme = 0x0403,
    };

    assert_int_equal(packet_send(fd, &header, (BytesView) { hash, sizeof hash }, NULL, 0), 0);
    machine_settle(machine);
}

/* What the signing thread says of handles and generations comes to those whom it concerns. */
static void test_handles(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n[Limits]\nHandlesPerUser=1\n",
                  swtpm_tcti(machine->swtpm));
    start_ready(machine, "[Access]\ntls-client=user:1000\n");
    int fd = open_handle(machine);
    assert_true(fd >= 0);
    assert_int_equal(open_handle(machine), -1);
    (void) close(fd);
    machine_settle(machine);
    fd = open_handle(machine);
    assert_true(fd >= 0); /* the place of the first is free again */
    sign(machine, fd);
    machine_until(machine, identity_generation_is_used(x_of(machine)));
    (void) close(fd);
    machine_settle(machine);
    asked_renew(x_of(machine), -1, answer_done, &answer);
    machine_until(machine, answer.calls > 0);
    machine_settle(machine);
    assert_int_equal(access(machine_path(machine, "state/x/generations/1"), F_OK), 0);
    fd = open_handle(machine);
    sign(machine, fd);
    machine_pass(machine, 601); /* programs that have its files have ten minutes */
    machine_until(machine, access(machine_path(machine, "state/x/generations/1"), F_OK) < 0);
    /* The limit is read again with the rest. */
    Failure failure = FAILURE_INIT;
    machine_write(machine, "etc/identityd.conf", "[TPM]\nTCTI=%s\n[Limits]\nHandlesPerUser=2\n",
                  swtpm_tcti(machine->swtpm));
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    int second = open_handle(machine);
    assert_true(second >= 0);
    assert_int_equal(open_handle(machine), -1);
    (void) close(second);
    (void) close(fd);
}

/* What the signing thread says of one that is gone meanwhile is nobody's. */
static void test_used_by_nobody(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;
    Caller caller = CALLER_INIT;
    int fd = -1;

    start_ready(machine, "[Access]\ntls-client=user:1000\n");
    caller.uid = caller.party = 1000;
    const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, &caller };
    assert_int_equal(handles_open(manager_lending(machine->manager), &request, &fd, &failure), 0);
    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    assert_int_equal(manager_reload(machine->manager, &failure), 0);
    machine_settle(machine);
    assert_int_equal(identity_set_count(manager_identities(machine->manager)), 0);
    (void) close(fd);
}

/* ---- a clock that is behind ---- */

#define CHECKED "[Revocation]\nCheck=crl\n"
#define LONG_LIFE                                                                                                      \
    {                                                                                                                  \
        .starts = -60, .ends = 86400L * 30, .crl = { "http://ca.example/a.crl" }                                       \
    }

/* x, which has seen an instant that the clock has not reached at the next start. y trusts another CA, which has signed
 * nothing of the kind. */
static FakeCa *start_with_two(Machine *machine) {
    FakeCa *other = fake_ca_new("other", NULL);
    const Reply late = { .identity = "x", .issue = LONG_LIFE },
                early = { .identity = "y",
                          .ca = other,
                          .cacerts = other->pem,
                          .issue = { .starts = -9000, .ends = 86400L * 30, .crl = { "http://ca.example/a.crl" } } };

    clock_pass(20000); /* so that all of it is later than the build */
    enroller_script(machine->enroller, &late);
    enroller_script(machine->enroller, &early);
    machine_write(machine, "etc/other.pem", "%s", other->pem);
    machine_write(machine, "etc/identities/y.conf",
                  "[Identity]\nSubject=CN=y\n[Enrollment]\nServer=https://ca.example/.well-known/est\n"
                  "Anchors=%s/etc/other.pem\n" CHECKED,
                  machine->root);
    start_ready(machine, CHECKED);
    machine_await_state(machine, "y", STATE_READY);
    machine_settle(machine);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 0);
    return other;
}

/* The power goes, and the clock begins anew, 5000 s before. */
static void boot(Machine *machine, int64_t clock) {
    machine_stop(machine);
    (void) unlink(machine_path(machine, "runtime/.clock"));
    (void) unlink(machine_path(machine, "runtime/.clock-was-behind"));
    clock_set(clock);
}

static unsigned renewals(Machine *machine, const char *name) {
    return enroller_count_of(machine->enroller, name, JOB_KIND_REENROLL);
}

static void test_boot_behind(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = start_with_two(machine);
    const Reply again = { .identity = "x", .issue = LONG_LIFE };

    enroller_script(machine->enroller, &again);
    boot(machine, -5000);
    machine_start(machine);
    machine_until(machine, renewals(machine, "x") == 1);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    machine_expect_log(machine,
                       "The system clock is behind what is certainly past: dates are judged by the latest known "
                       "instant, and one renewal and one revocation check are tried in this boot.",
                       1);
    assert_int_equal(renewals(machine, "y"), 0); /* whose time is another */
    assert_int_equal(identity_generation(x_of(machine)), 2);
    /* Once in a boot. */
    machine_stop(machine);
    machine_start(machine);
    machine_settle(machine);
    machine_pass(machine, 10);
    assert_int_equal(renewals(machine, "x"), 1);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 1);
    /* And in the next one again. */
    boot(machine, 0);
    machine_start(machine);
    machine_until(machine, renewals(machine, "x") == 2);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 2);
}

/* Without a TPM nothing can be renewed: it is tried once there is one. */
static void test_boot_behind_without_a_tpm(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = start_with_two(machine);

    boot(machine, -5000);
    assert_int_equal(swtpm_kill(machine->swtpm), 0);
    machine_start(machine);
    machine_settle(machine);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 0);
    assert_int_equal(swtpm_start(machine->swtpm), 0);
    machine_pass(machine, 120);
    machine_until(machine, renewals(machine, "x") == 1);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 1);
}

static void test_boot_with_a_good_clock(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = start_with_two(machine);

    boot(machine, 0);
    machine_start(machine);
    machine_settle(machine);
    machine_expect_log(machine, "The system clock is behind what is certainly past", 0);
    assert_int_equal(renewals(machine, "x"), 0);
    assert_int_equal(access(machine_path(machine, "runtime/.clock-was-behind"), F_OK), -1);
}

/* ---- a clock that is set ---- */

static void test_clock_set(void **state) {
    Machine *machine = *state;
    const Reply hold = { .kind = REPLY_HOLD };

    start_ready(machine, "");
    enroller_script(machine->enroller, &hold);
    enroller_script(machine->enroller, &hold);
    clock_set(20000); /* beyond the end */
    clock_tell();
    machine_await_state(machine, "x", STATE_EXPIRED);
    clock_set(-20000);
    clock_tell();
    machine_await_state(machine, "x", STATE_READY);
    /* To before what is certainly past: known at once. */
    assert_false(identity_clock_is_behind(x_of(machine)));
    clock_set(-realtime_seconds() + 1000);
    clock_tell();
    machine_until(machine, identity_clock_is_behind(x_of(machine)));
    assert_int_equal(identity_state(x_of(machine)), STATE_READY);
}

/* ---- what was learned of the time, forgotten ---- */

static int64_t floor_of(const Machine *machine, const char *name) {
    return identity_clock_floor(machine_identity(machine, name));
}

static void test_reset_clock(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "z", ""); /* trusts the same CA as x */
    _cleanup_(fake_ca_free_p) FakeCa *other = start_with_two(machine);
    machine_await_state(machine, "z", STATE_READY);
    machine_settle(machine);
    assert_true(floor_of(machine, "x") > 0 && floor_of(machine, "y") > 0 && floor_of(machine, "z") > 0);
    machine->changed[CHANGE_IDENTITY_PROPERTIES] = 0;
    assert_int_equal(manager_reset_clock(machine->manager, x_of(machine), &failure), 0);
    assert_int_equal(failure.kind, FAILURE_NONE);
    assert_int_equal(floor_of(machine, "x"), 0);
    assert_int_equal(floor_of(machine, "z"), 0);
    assert_true(floor_of(machine, "y") > 0);
    assert_int_equal(machine->changed[CHANGE_IDENTITY_PROPERTIES], 2); /* told before who asked is answered */
    /* On the disk, too. */
    machine_stop(machine);
    machine_start(machine);
    assert_int_equal(floor_of(machine, "x"), 0);
    assert_int_equal(floor_of(machine, "z"), 0);
}

/* The one who was asked for is reset also where he trusts nobody else's CA. */
static void test_reset_clock_of_one(void **state) {
    Machine *machine = *state;
    _cleanup_(fake_ca_free_p) FakeCa *other = start_with_two(machine);
    Failure failure = FAILURE_INIT;

    assert_int_equal(manager_reset_clock(machine->manager, machine_identity(machine, "y"), &failure), 0);
    assert_int_equal(floor_of(machine, "y"), 0);
    assert_true(floor_of(machine, "x") > 0);
}

/* What cannot be written is said, and done for the others. */
static void test_reset_clock_cannot_be_kept(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;

    machine_configure(machine, "a", "");
    start_ready(machine, "");
    machine_await_state(machine, "a", STATE_READY);
    machine_settle(machine);
    assert_int_equal(unlink(machine_path(machine, "state/a/state")), 0);
    assert_int_equal(mkdir(machine_path(machine, "state/a/state"), 0700), 0);
    machine_write(machine, "state/a/state/stays", "in the way");
    assert_true(manager_reset_clock(machine->manager, x_of(machine), &failure) < 0);
    expect_failure(&failure, FAILURE_STORAGE,
                   "The time that was learned is forgotten until the next start, for the state of a cannot be "
                   "written: ");
    assert_int_equal(floor_of(machine, "x"), 0);
    assert_int_equal(floor_of(machine, "a"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_tpm_goes),
        TEST(test_tpm_is_as_it_was),
        TEST(test_tpm_is_another),
        TEST(test_tpm_hangs),
        TEST(test_alive),
        TEST(test_handles),
        TEST(test_used_by_nobody),
        TEST(test_boot_behind),
        TEST(test_boot_behind_without_a_tpm),
        TEST(test_boot_with_a_good_clock),
        TEST(test_clock_set),
        TEST(test_reset_clock),
        TEST(test_reset_clock_of_one),
        TEST(test_reset_clock_cannot_be_kept),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
