/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of the C library's. */
#include "tests/unit/device/clock.h"

#include "common/macros.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

static _Atomic int64_t passed, set;

void clock_pass(int64_t seconds) {
    passed += seconds;
}

void clock_set(int64_t seconds) {
    set += seconds;
}

void clock_restore(void) {
    passed = set = 0;
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
