/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of the C library's. */
#include "tests/unit/device/clock.h"

#include "common/macros.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static _Atomic int64_t passed, set;
static int watch = -1; /* who waits for the clock's being set; closed by whoever made it */

void clock_pass(int64_t seconds) {
    passed += seconds;
}

void clock_set(int64_t seconds) {
    set += seconds;
}

void clock_restore(void) {
    passed = set = 0;
}

void clock_tell(void) {
    const uint64_t one = 1;

    if (write(watch, &one, sizeof one) != sizeof one)
        abort();
}

void clock_untell(void) {
    uint64_t value;

    if (read(watch, &value, sizeof value) != sizeof value)
        abort();
}

/* sd-event has none of this clock, so it is somebody's who waits for its being set. */
_public_ int timerfd_create(int clock, int flags) {
    if (clock != CLOCK_REALTIME)
        return (int) syscall(SYS_timerfd_create, clock, flags);
    watch = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return watch;
}

_public_ int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
    if (fd == watch && (flags & TFD_TIMER_CANCEL_ON_SET))
        return 0;
    return (int) syscall(SYS_timerfd_settime, fd, flags, new, old);
}

_public_ int clock_gettime(clockid_t clock, struct timespec *ret) {
    int r = (int) syscall(SYS_clock_gettime, clock, ret);

    if (r < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID)
        return r;
    ret->tv_sec += passed;
    if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)
        ret->tv_sec += set;
    return 0;
}

_public_ time_t time(time_t *ret) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}
