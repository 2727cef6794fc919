/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Old generations and retired keys go from the disk when nobody needs them, not before, and at last in any case. */
#include "enrolment/asked.h"
#include "tests/unit/lending/lent.h"

#define ACCESS "[Access]\ntls-client=user:1000\n"

static bool has_generation(const Machine *machine, uint32_t number) {
    char path[64];

    (void) snprintf(path, sizeof path, "state/x/generations/%u", number);
    return access(machine_path(machine, path), F_OK) == 0;
}

static void use(Machine *machine, int fd) {
    _cleanup_seen_ Seen seen = { .type = 0 };

    holder_sign(machine, fd, &seen);
    assert_int_equal(seen.status, 0);
    machine_settle(machine);
}

/* Nothing is removed from now on, and it is again. */
static void block_trash(Machine *machine) {
    (void) rmdir(machine_path(machine, "state/x/trash"));
    machine_write(machine, "state/x/trash", "in the way");
}

static void free_trash(Machine *machine) {
    assert_int_equal(unlink(machine_path(machine, "state/x/trash")), 0);
}

/* What programs that read a pair of files have for reading the next one. */
#define PAIR_SECONDS 600

/* One that nobody holds goes ten minutes later, if the next has signed. */
static void test_used(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    renew_x(machine);
    machine_pass(machine, 5);
    assert_true(has_generation(machine, 1));
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    machine_settle(machine);
    assert_true(has_generation(machine, 1)); /* being shown is no use */
    use(machine, fd);
    machine_pass(machine, PAIR_SECONDS - 30);
    assert_true(has_generation(machine, 1));
    machine_pass(machine, 31);
    assert_false(has_generation(machine, 1));
    assert_true(has_generation(machine, 2));
    machine_expect_log(machine, "x: Generation 1 is used by nobody any more and was removed.", 1);
}

/* The ten minutes are over before it signs. */
static void test_used_late(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    renew_x(machine);
    machine_pass(machine, PAIR_SECONDS + 1);
    assert_true(has_generation(machine, 1));
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    assert_false(has_generation(machine, 1));
}

/* Who read the older pair of files just before it was replaced holds it, though it was said that nobody does. */
static void test_used_again(void **state) {
    Machine *machine = *state;
    _cleanup_seen_ Seen seen = { .type = 0 };

    start_ready(machine, ACCESS);
    renew_x(machine);
    int old = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    holder_sign_with(machine, old, 1, &seen);
    assert_int_equal(seen.status, 0);
    machine_settle(machine);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    machine_pass(machine, 2 * PAIR_SECONDS);
    assert_true(has_generation(machine, 1));
    holder_sign_with(machine, old, 1, &seen);
    assert_int_equal(seen.status, 0);
    (void) close(old);
    machine_settle(machine);
    assert_true(has_generation(machine, 1));
    machine_pass(machine, PAIR_SECONDS + 1);
    assert_false(has_generation(machine, 1));
}

/* A holder who was shown it may be in the middle of a handshake. */
static void test_held(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    int old = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, old);
    renew_x(machine);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    machine_pass(machine, 5);
    assert_true(has_generation(machine, 1));
    machine_pass(machine, PAIR_SECONDS);
    assert_true(has_generation(machine, 1));
    (void) close(old);
    machine_settle(machine);
    assert_true(has_generation(machine, 1));
    machine_pass(machine, PAIR_SECONDS + 1);
    assert_false(has_generation(machine, 1));
}

/* Where nobody ever signs, the last few are kept, and no more. */
static void test_never_used(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    for (unsigned i = 2; i <= 4; i++)
        renew_x(machine);
    machine_pass(machine, 5);
    for (uint32_t i = 1; i <= 4; i++)
        assert_true(has_generation(machine, i));
    renew_x(machine);
    assert_false(has_generation(machine, 1));
    for (uint32_t i = 2; i <= 5; i++)
        assert_true(has_generation(machine, i));
    renew_x(machine);
    assert_false(has_generation(machine, 2));
    for (uint32_t i = 3; i <= 6; i++)
        assert_true(has_generation(machine, i));
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    for (uint32_t i = 3; i <= 6; i++)
        assert_true(has_generation(machine, i));
    machine_pass(machine, PAIR_SECONDS + 1);
    for (uint32_t i = 1; i <= 5; i++)
        assert_false(has_generation(machine, i));
    assert_true(has_generation(machine, 6));
}

/* Who held them all lets go of them at once: the newest stay, in whatever order that is said. */
static void test_held_all(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    int old = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, old);
    for (unsigned i = 2; i <= 6; i++)
        renew_x(machine);
    for (uint32_t i = 1; i <= 6; i++)
        assert_true(has_generation(machine, i));
    (void) close(old);
    machine_until(machine, !has_generation(machine, 2));
    machine_settle(machine);
    for (uint32_t i = 1; i <= 6; i++)
        assert_int_equal(has_generation(machine, i), i >= 3);
}

/* After a start nobody holds anything. */
static void test_restart(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int old = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, old);
    renew_x(machine);
    machine_stop(machine);
    machine_start(machine);
    machine_await_state(machine, "x", STATE_READY);
    machine_settle(machine);
    assert_true(has_generation(machine, 1));
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    assert_false(has_generation(machine, 1));
    assert_true(has_generation(machine, 2));
}

/* A reload is no start: what is held stays. */
static void test_reload(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    _cleanup_close_ int old = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, old);
    renew_x(machine);
    reload_with(machine, ACCESS);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    machine_pass(machine, 5);
    assert_true(has_generation(machine, 1));
}

/* What was revoked goes at once, used or not, with all before it. */
static void test_way_out(void **state) {
    Machine *machine = *state;
    Answer answer = { .calls = 0 };

    start_ready(machine, ACCESS);
    renew_x(machine);
    revoke_x(machine);
    assert_true(has_generation(machine, 1) && has_generation(machine, 2));
    asked_enroll(x_of(machine), true, answer_done, &answer);
    machine_until(machine, answer.calls > 0);
    assert_int_equal(answer.failure.kind, FAILURE_NONE);
    machine_settle(machine);
    assert_false(identity_generation_is_used(x_of(machine)));
    assert_false(has_generation(machine, 1) || has_generation(machine, 2));
    assert_true(has_generation(machine, 3));
    /* After that it is as ever. */
    renew_x(machine);
    assert_true(has_generation(machine, 3));
}

/* ---- a disk that does not let it ---- */

static void test_cannot_be_removed(void **state) {
    const Reply long_lived = { .issue = { .starts = -60, .ends = 90L * 86400 } };
    Machine *machine = *state;

    for (unsigned i = 0; i < 3; i++)
        enroller_script(machine->enroller, &long_lived);
    start_ready(machine, ACCESS);
    for (unsigned i = 2; i <= 3; i++)
        renew_x(machine);
    block_trash(machine);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    machine_pass(machine, PAIR_SECONDS + 1);
    assert_true(has_generation(machine, 1) && has_generation(machine, 2));
    machine_expect_log(machine, "; what is to be removed is usable by nobody, and its removal is tried again.", 1);
    for (unsigned i = 0; i < 24; i++) /* said once; a try comes every hour at last */
        machine_pass(machine, 600);
    machine_expect_log(machine, "and its removal is tried again.", 1);
    assert_true(has_generation(machine, 1) && has_generation(machine, 2));
    free_trash(machine);
    machine_pass(machine, 3601);
    assert_false(has_generation(machine, 1) || has_generation(machine, 2));
    machine_expect_log(machine, "is used by nobody any more and was removed.", 2);
    machine_pass(machine, 7200);
    machine_expect_log(machine, "is used by nobody any more and was removed.", 2);
}

/* The first try comes five seconds later. */
static void test_soon(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    renew_x(machine);
    block_trash(machine);
    machine_pass(machine, PAIR_SECONDS + 1);
    _cleanup_close_ int fd = lend(machine, PURPOSE_TLS_CLIENT, 1000);
    use(machine, fd);
    free_trash(machine);
    machine_pass(machine, 3);
    assert_true(has_generation(machine, 1));
    machine_pass(machine, 3);
    assert_false(has_generation(machine, 1));
}

/* A key that was to be destroyed must not stay until the next start. */
static void test_retired(void **state) {
    Machine *machine = *state;

    start_ready(machine, ACCESS);
    block_trash(machine);
    retire_x(machine, FAILURE_STORAGE);
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
    assert_true(has_generation(machine, 1));
    machine_expect_log(machine, "and its removal is tried again.", 1);
    free_trash(machine);
    machine_pass(machine, 6);
    assert_false(has_generation(machine, 1));
    assert_int_equal(identity_state(x_of(machine)), STATE_RETIRED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_used),       TEST(test_used_late), TEST(test_used_again),        TEST(test_held),
        TEST(test_never_used), TEST(test_held_all),  TEST(test_restart),           TEST(test_reload),
        TEST(test_way_out),    TEST(test_soon),      TEST(test_cannot_be_removed), TEST(test_retired),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
