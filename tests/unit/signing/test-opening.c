/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The first State of a handle: it comes while the TPM is at work for others, is of what main has said last, and is
 * followed by another where the thread knew better which schemes the TPM can make. */
#include "tests/unit/signing/support.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#define PSS_AND_PKCS1 "\x04\x08\x05\x08\x06\x08\x01\x04\x01\x05\x01\x06"
#define PKCS1         "\x01\x04\x01\x05\x01\x06"

static Answer answer;

static void expect_state(int fd, const char *state, uint32_t generation, const char *oldest) {
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.type, HANDLE_STATE);
    assert_int_equal(answer.serial, 0);
    assert_int_equal(answer.generation, generation);
    assert_memory_equal(state_value(&answer, HANDLE_STATE_STATE).data, state, strlen(state));
    assert_memory_equal(state_value(&answer, HANDLE_STATE_OLDEST).data, oldest, 4);
    answer_clear(&answer);
}

static void expect_schemes(int fd, const char *schemes, size_t size) {
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.type, HANDLE_STATE);
    BytesView value = state_value(&answer, HANDLE_STATE_SCHEMES);
    assert_int_equal(value.size, size);
    assert_memory_equal(value.data, schemes, size);
    answer_clear(&answer);
}

static bool has_something(int fd) {
    struct pollfd wait = { fd, POLLIN, 0 };
    return poll(&wait, 1, 0) == 1;
}

/* Whatever the thread is at, and with what main has said to it meanwhile. */
static void while_the_tpm_is_at_work(void **state) {
    Bench *bench = *state;
    Hold *hold = bench_hold(bench);
    SigningIdentity identity = bench_identity(bench, 1);

    _cleanup_close_ int first = bench_open(bench, PURPOSE_DATA_RAW);
    expect_state(first, "ready", 1, "\1\0\0\0");
    holder_send(first, HANDLE_GET_STATE, 7, 0, 0, bytes_view_string(""));

    identity.state = "expired";
    identity.blocked = FAILURE_EXPIRED;
    identity.blocked_reason = "demo expired";
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    _cleanup_close_ int second = bench_open(bench, PURPOSE_DATA_RAW);
    expect_state(second, "expired", 1, "\1\0\0\0");

    identity = bench_identity(bench, 2);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
    _cleanup_close_ int third = bench_open(bench, PURPOSE_DATA_RAW);
    expect_state(third, "ready", 2, "\1\0\0\0");

    assert_int_equal(signing_forget_generation(bench->signing, "demo", 1), 0);
    _cleanup_close_ int fourth = bench_open(bench, PURPOSE_DATA_RAW);
    expect_state(fourth, "ready", 2, "\2\0\0\0");
    assert_false(has_something(first)); /* of what has changed it hears when the thread is back */

    bench_let_go(bench, hold);
    for (unsigned generation = 0, answers = 0;
         generation != 2 || answers < 1;) { /* and what came before, if it was so */
        assert_true(holder_receive(first, &answer));
        answers += answer.serial == 7;
        generation = answer.generation;
        answer_clear(&answer);
    }
    assert_true(holder_receive(second, &answer));
    assert_int_equal(answer.generation, 2);
    answer_clear(&answer);
    holder_sign_message(third, bench->keys[1], 2, "each signs");
    holder_sign_message(fourth, bench->keys[1], 2, "each signs");
    bench_settle(bench);
    assert_false(has_something(fourth)); /* what it was shown is what there is */
}

/* What is sent before the thread has heard of the handle is answered once it has. */
static void asked_before_it_is_known(void **state) {
    Bench *bench = *state;
    Hold *hold = bench_hold(bench);
    _cleanup_close_ int fd = bench_open(bench, PURPOSE_DATA_RAW);

    holder_send(fd, HANDLE_SIGN_MESSAGE, 3, 0, 0x0403, bytes_view_string("early"));
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.type, HANDLE_STATE);
    answer_clear(&answer);
    assert_false(has_something(fd));
    bench_let_go(bench, hold);
    assert_true(holder_receive(fd, &answer));
    assert_int_equal(answer.serial, 3);
    assert_int_equal(answer.status, 0);
}

/* Whose identity is removed by then, or never was, gets no State, and is closed. */
static void of_what_is_gone(void **state) {
    Bench *bench = *state;
    Hold *hold = bench_hold(bench);
    unsigned closed = bench->closed;

    assert_int_equal(signing_remove_identity(bench->signing, "demo"), 0);
    _cleanup_close_ int gone = bench_open(bench, PURPOSE_DATA_RAW);
    _cleanup_close_ int never = bench_open_of(bench, "nobody", PURPOSE_DATA_RAW);
    assert_false(has_something(gone) || has_something(never));
    bench_let_go(bench, hold);
    holder_expect_closed(gone);
    holder_expect_closed(never);
    bench_wait(bench, &bench->closed, closed + 2);
    const SigningIdentity identity = bench_identity(bench, 1);
    assert_int_equal(signing_set_identity(bench->signing, &identity), 0);
}

/* The State that cannot be sent is a handle that is not opened: whoever asked hears why. */
static void a_state_that_cannot_be_sent(void **state) {
    Bench *bench = *state;
    unsigned closed = bench->closed, before = count_fds();
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
    close(fds[1]);
    const SigningHandle handle = { bench->next_id++, "demo", PURPOSE_DATA_RAW, fds[0], 0, -1 };
    assert_int_equal(signing_open_handle(bench->signing, &handle), -EPIPE);
    assert_int_equal(count_fds(), before);
    bench_settle(bench);
    assert_int_equal(bench->closed, closed);
}

/* PSS is offered until it is known that this TPM makes it in another way; who was told otherwise hears of it, and
 * nobody else. What is known then is in the first State. */
static void schemes_that_turn_out_to_be_others(void **state) {
    Bench *bench = *state;
    SigningIdentity rsa = bench_identity(bench, 3);
    Hold *hold = bench_hold(bench);

    rsa.name = "rsa";
    bench_inject(bench, "Sign flip 100 1\n"); /* stands for a salt of another length: does not verify */
    assert_int_equal(signing_set_identity(bench->signing, &rsa), 0);
    _cleanup_close_ int early = bench_open_of(bench, "rsa", PURPOSE_DATA_RAW);
    _cleanup_close_ int other = bench_open(bench, PURPOSE_DATA_RAW);
    expect_schemes(early, PSS_AND_PKCS1, 12);
    expect_schemes(other, "\x03\x04", 2);
    bench_let_go(bench, hold);
    expect_schemes(early, PKCS1, 6);
    bench_settle(bench);
    assert_false(has_something(other));
    hold = bench_hold(bench);
    _cleanup_close_ int late = bench_open_of(bench, "rsa", PURPOSE_DATA_RAW);
    expect_schemes(late, PKCS1, 6);
    bench_let_go(bench, hold);
    holder_send(late, HANDLE_SIGN_MESSAGE, 1, 0, 0x0804, bytes_view_string("hello"));
    assert_true(holder_receive(late, &answer));
    assert_int_equal(answer.status, FAILURE_INVALID_ARGUMENT);
    holder_send(late, HANDLE_SIGN_MESSAGE, 2, 0, 0x0401, bytes_view_string("hello"));
    assert_true(holder_receive(late, &answer));
    assert_int_equal(answer.status, 0);
    bench_inject(bench, "");
    assert_int_equal(signing_remove_identity(bench->signing, "rsa"), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(while_the_tpm_is_at_work, bench_start, bench_stop),
        cmocka_unit_test_setup_teardown(asked_before_it_is_known, bench_start, bench_stop),
        cmocka_unit_test_setup_teardown(of_what_is_gone, bench_start, bench_stop),
        cmocka_unit_test_setup_teardown(a_state_that_cannot_be_sent, bench_start, bench_stop),
        cmocka_unit_test_setup_teardown(schemes_that_turn_out_to_be_others, bench_start_with_faults, bench_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
