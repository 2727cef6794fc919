/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that runs out, at each place in turn: a handle is opened whole or not at all, what was taken for it is given
 * back, and what could not be told or published is made up for. (The sanitizers look for what is lost on the way.) */
#include "tests/unit/device/memory.h"
#include "tests/unit/lending/lent.h"

#define ACCESS "[Access]\ntls-client=user:1000\n"

static void test_new(void **state) {
    Machine *machine = *state;
    unsigned failed = 0;

    start_ready(machine, ACCESS);
    for (bool fails = true; fails; failed++) {
        Lending *lending = NULL;
        memory_fail_after(failed);
        int r = lending_new(machine->device, &lending);
        fails = memory_is_back();
        assert_int_equal(r, fails ? -ENOMEM : 0);
        assert_int_equal(!lending, fails);
        lending_free(lending);
    }
    assert_true(failed > 3);
}

/* One place is all that there is: it must be free again after each failure. */
static void test_open(void **state) {
    Machine *machine = *state;
    unsigned failed = 0;

    configure_daemon(machine, "[Limits]\nHandlesPerUser=1\n");
    start_ready(machine, ACCESS);
    for (bool fails = true; fails; failed++) {
        _cleanup_caller_ Caller caller = caller_of(1000);
        const HandleRequest request = { x_of(machine), PURPOSE_TLS_CLIENT, &caller };
        Failure failure = FAILURE_INIT;
        int fd = -1;
        memory_fail_after(failed);
        int r = handles_open(manager_lending(machine->manager), &request, &fd, &failure);
        fails = memory_is_back();
        if (r < 0) {
            assert_true(fails && failure.kind != FAILURE_NONE && failure.text[0]);
            assert_int_equal(fd, -1);
        } else {
            assert_int_equal(failure.kind, FAILURE_NONE);
            (void) close(fd);
            machine_settle(machine);
        }
        int again = lend(machine, PURPOSE_TLS_CLIENT, 1000);
        (void) close(again);
        machine_settle(machine);
    }
    assert_true(failed > 1);
}

static void test_sign(void **state) {
    Machine *machine = *state;
    Caller caller = caller_of(1000);
    unsigned failed = 0;

    start_ready(machine, "[Access]\ndata-raw=user:1000\n");
    const SignatureRequest request = { x_of(machine), &caller, "raw", "ecdsa_secp256r1_sha256",
                                       bytes_view_string("message") };
    for (bool fails = true; fails && failed < 100; failed++) {
        Answer answer = { .calls = 0 }, later = { .calls = 0 };
        memory_fail_after(failed);
        signatures_sign(manager_lending(machine->manager), &request, answer_done, &answer);
        fails = memory_is_back();
        machine_settle(machine);
        assert_true(answer.calls <= 1); /* without memory to answer with, nobody is answered */
        if (!fails)
            assert_true(answer.calls == 1 && answer.failure.kind == FAILURE_NONE && answer.size > 0);
        signatures_sign(manager_lending(machine->manager), &request, answer_done, &later);
        machine_until(machine, later.calls > 0);
        assert_int_equal(later.failure.kind, FAILURE_NONE);
    }
    assert_true(failed > 2);
}

/* What changed comes to programs in the end, whatever failed on the way. */
static void test_publish(void **state) {
    Machine *machine = *state;
    unsigned failed = 0;

    start_ready(machine, ACCESS);
    for (bool fails = true; fails; failed++) {
        assert_int_equal(unlink(machine_path(machine, "runtime/x/chain.pem")), 0);
        memory_fail_after(failed);
        publication_duty.hear(x_of(machine), CHANGED_GENERATION);
        fails = memory_is_back();
        bool is_there = access(machine_path(machine, "runtime/x/chain.pem"), F_OK) == 0;
        assert_true(fails || is_there);
        assert_true(is_there || publication_duty.when(x_of(machine)).kind == INSTANT_AT);
        machine_pass(machine, 61);
        assert_int_equal(access(machine_path(machine, "runtime/x/chain.pem"), F_OK), 0);
        assert_int_equal(publication_duty.when(x_of(machine)).kind, INSTANT_NEVER);
    }
    assert_true(failed > 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_open),
        TEST(test_sign),
        TEST(test_publish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
