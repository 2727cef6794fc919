/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded into identityd (tests/sandbox --clocks): all its clocks are as many seconds ahead as the 8 bytes at the
 * beginning of the file $TIME_PASSES say, so that a test need not wait for five minutes to see what happens after
 * them. Whoever moves them wakes the daemon, by a call on the bus say: timers that are armed already go by the
 * kernel's clock, and are looked at whenever the loop turns. */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("TIME_PASSES");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    void *memory = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, fd, 0);
    if (memory != MAP_FAILED)
        ahead = memory;
    (void) close(fd);
}

static int64_t seconds_ahead(void) {
    return ahead ? *ahead : 0;
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
    if (syscall(SYS_clock_gettime, clock, ret) < 0)
        return -1;
    if (clock != CLOCK_PROCESS_CPUTIME_ID && clock != CLOCK_THREAD_CPUTIME_ID && clock >= 0)
        ret->tv_sec += seconds_ahead();
    return 0;
}

time_t time(time_t *ret) {
    struct timespec now;

    (void) clock_gettime(CLOCK_REALTIME, &now);
    if (ret)
        *ret = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
    struct timespec now;

    (void) zone;
    (void) clock_gettime(CLOCK_REALTIME, &now);
    *ret = (struct timeval) { .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
    return 0;
}

/* What is armed by our clock goes off by the kernel's. */
int timerfd_settime(int fd, int flags, const struct itimerspec *value, struct itimerspec *ret_old) {
    struct itimerspec moved = *value;

    if (flags & TFD_TIMER_ABSTIME && (moved.it_value.tv_sec != 0 || moved.it_value.tv_nsec != 0)) {
        moved.it_value.tv_sec -= seconds_ahead();
        if (moved.it_value.tv_sec < 0)
            moved.it_value = (struct timespec) { .tv_nsec = 1 };
    }
    return (int) syscall(SYS_timerfd_settime, fd, flags, &moved, ret_old);
}
