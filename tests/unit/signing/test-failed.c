/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A handle that has to be closed because the system refuses something: main is told why, and of nothing where the
 * holder itself was the reason. And a loop that finds no memory. The calls are those of this file, which come before
 * libc's. */
#include "common/packet.h"
#include "tests/unit/signing/support.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static atomic_int refused; /* errno of the next call; 0: it is made */

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    const int error = atomic_exchange(&refused, 0);

    if (error == 0)
        return syscall(SYS_sendmsg, fd, message, flags);
    errno = error;
    return -1;
}

static atomic_int loops_refused; /* how often the thread's loop finds no memory */

static bool loop_is_refused(void) {
    if (gettid() == getpid() || atomic_load(&loops_refused) == 0)
        return false;
    atomic_fetch_sub(&loops_refused, 1);
    errno = ENOMEM;
    return true;
}

/* sd-event has one or the other. */
__attribute__((visibility("default"))) int epoll_wait(int fd, struct epoll_event *ret, int count, int timeout) {
    return loop_is_refused() ? -1 : (int) syscall(SYS_epoll_pwait, fd, ret, count, timeout, NULL, _NSIG / 8);
}

__attribute__((visibility("default"))) int epoll_pwait2(int fd, struct epoll_event *ret, int count,
                                                        const struct timespec *timeout, const sigset_t *mask) {
    return loop_is_refused() ? -1 : (int) syscall(SYS_epoll_pwait2, fd, ret, count, timeout, mask, _NSIG / 8);
}

static Answer answer; /* large, so not on the stack */

/* Nothing of an earlier handle is on its way to main any more. */
static unsigned closed_so_far(Bench *bench) {
    bench_wait_handles(bench, 0);
    bench_settle(bench);
    return bench->closed;
}

/* A handle whose holder has read its State. */
static int open_and_read(Bench *bench) {
    int fd = bench_open(bench, PURPOSE_DIGEST);

    assert_true(holder_receive(fd, &answer));
    answer_clear(&answer);
    bench->failed = 0;
    return fd;
}

static void what_is_refused_is_told(void **state) {
    static const int errors[] = { ENOBUFS, ENOMEM, ETOOMANYREFS };
    static const uint8_t digest[32] = { 1 };
    Bench *bench = *state;

    for (size_t i = 0; i < 2 * ARRAY_LENGTH(errors); i++) {
        const unsigned closed = closed_so_far(bench);
        _cleanup_close_ int fd = open_and_read(bench);
        const bool signs = i % 2 > 0;
        uint8_t bytes[PACKET_HEADER_SIZE + sizeof digest] = {
            PACKET_VERSION,       signs ? HANDLE_SIGN_DIGEST : HANDLE_GET_STATE, [4] = 1, [12] = signs ? 3 : 0,
            [13] = signs ? 4 : 0,
        };
        memcpy(bytes + PACKET_HEADER_SIZE, digest, sizeof digest);
        atomic_store(&refused, errors[i / 2]);
        assert_true(write(fd, bytes, signs ? sizeof bytes : PACKET_HEADER_SIZE) > 0); /* not by sendmsg */
        holder_expect_closed(fd);
        bench_wait(bench, &bench->closed, closed + 1);
        assert_int_equal(bench->failed, -errors[i / 2]);
    }
}

static void a_holder_who_is_gone_is_no_failure(void **state) {
    static const int errors[] = { EPIPE, ECONNRESET };
    Bench *bench = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++) {
        const unsigned closed = closed_so_far(bench);
        const uint8_t bytes[PACKET_HEADER_SIZE] = { PACKET_VERSION, HANDLE_GET_STATE, [4] = 1 };
        _cleanup_close_ int fd = open_and_read(bench);
        atomic_store(&refused, errors[i]);
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
        bench_wait(bench, &bench->closed, closed + 1);
        assert_int_equal(bench->failed, 0);
    }
}

static void nor_is_one_who_sends_rubbish(void **state) {
    Bench *bench = *state;
    const unsigned closed = closed_so_far(bench);
    _cleanup_close_ int fd = open_and_read(bench), other = open_and_read(bench);

    assert_int_equal(write(fd, "rubbish", 7), 7);
    holder_expect_closed(fd);
    other = close_safe(other);
    bench_wait(bench, &bench->closed, closed + 2);
    assert_int_equal(bench->failed, 0);
}

static void the_thread_goes_on_when_memory_is_back(void **state) {
    Bench *bench = *state;
    _cleanup_close_ int fd = open_and_read(bench);

    atomic_store(&loops_refused, 3);
    for (unsigned i = 0; i < 2; i++)
        holder_sign_message(fd, bench->keys[0], 1, "hello");
    assert_int_equal(atomic_load(&loops_refused), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_thread_goes_on_when_memory_is_back),
        cmocka_unit_test(what_is_refused_is_told),
        cmocka_unit_test(a_holder_who_is_gone_is_no_failure),
        cmocka_unit_test(nor_is_one_who_sends_rubbish),
    };

    return cmocka_run_group_tests(tests, bench_start, bench_stop);
}
