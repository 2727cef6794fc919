/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From what the identities say is due to a timer that is armed for it. */
#include "manager/timer.h"

#include "device/domains.h"
#include "device/log.h"
#include "identity/duties.h"
#include "identity/time.h"

#include <sys/timerfd.h>

#define USEC_PER_SECOND 1000000ULL
#define NEVER           UINT64_MAX

struct Timer {
    TimerOptions options;
    sd_event_source *due, *post, *watch;
    int watch_fd;
    uint64_t at; /* µs of CLOCK_BOOTTIME that it is armed for; 0: it is not */
};

static int on_due(sd_event_source *source, uint64_t usec, void *userdata) {
    Timer *timer = userdata;

    timer->at = 0;
    for (size_t i = 0; i < identity_set_count(timer->options.set); i++)
        identity_run_due(identity_set_at(timer->options.set, i));
    return 0;
}

/* µs from now until the identity is due. */
static uint64_t wait_of(const Identity *identity) {
    Instant when = identity_when(identity);
    uint64_t now = identity_now_usec(identity);

    if (when.kind == INSTANT_NEVER)
        return NEVER;
    if (when.kind == INSTANT_AT_ONCE || when.seconds <= 0)
        return 0;
    uint64_t at = (uint64_t) when.seconds * USEC_PER_SECOND;
    return at > now ? at - now : 0;
}

static int arm(Timer *timer, uint64_t at) {
    uint64_t difference = at > timer->at ? at - timer->at : timer->at - at;

    if (timer->at != 0 && difference < 1000U)
        return 0;
    timer->at = at;
    int r = sd_event_source_set_time(timer->due, at);
    return r < 0 ? r : sd_event_source_set_enabled(timer->due, SD_EVENT_ONESHOT);
}

/* After each turn of the loop: what changed is told, and then: what is the next thing due, and is the timer set to it?
 */
static int on_post(sd_event_source *source, void *userdata) {
    Timer *timer = userdata;
    uint64_t wait = NEVER;

    timer->options.flush(timer->options.userdata);
    for (size_t i = 0; i < identity_set_count(timer->options.set); i++) {
        uint64_t one = wait_of(identity_set_at(timer->options.set, i));
        if (one < wait)
            wait = one;
    }
    if (wait != NEVER)
        return arm(timer, boottime_usec() + wait);
    timer->at = 0;
    return sd_event_source_set_enabled(timer->due, SD_EVENT_OFF);
}

static int watch_arm(int fd) {
    struct itimerspec never = { .it_value.tv_sec = (time_t) INT64_MAX / 1000000000LL };

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ? -errno : 0;
}

static int on_clock_set(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Timer *timer = userdata;
    uint64_t expirations;

    if (read(fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
        return 0;
    (void) watch_arm(fd);
    log_entry(LOG_INFO, MESSAGE_CLOCK, NULL, "The system clock was set; every date is looked at again.");
    timer->options.clock_set(timer->options.userdata);
    return on_due(NULL, 0, timer);
}

static int start(Timer *timer) {
    sd_event *loop = timer->options.loop;
    int r = sd_event_add_time(loop, &timer->due, CLOCK_BOOTTIME, 0, 1000, on_due, timer);

    if (r >= 0)
        r = sd_event_source_set_enabled(timer->due, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_post(loop, &timer->post, on_post, timer);
    if (r < 0)
        return r;
    timer->watch_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (timer->watch_fd < 0)
        return -errno;
    r = watch_arm(timer->watch_fd);
    return r < 0 ? r : sd_event_add_io(loop, &timer->watch, timer->watch_fd, EPOLLIN, on_clock_set, timer);
}

int timer_new(const TimerOptions *options, Timer **ret) {
    _cleanup_(timer_free_p) Timer *timer = calloc(1, sizeof *timer);

    if (!timer)
        return -ENOMEM;
    timer->options = *options;
    timer->watch_fd = -1;
    int r = start(timer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(timer);
    return 0;
}

Timer *timer_free(Timer *timer) {
    if (!timer)
        return NULL;
    sd_event_source_disable_unref(timer->due);
    sd_event_source_disable_unref(timer->post);
    sd_event_source_disable_unref(timer->watch);
    close_safe(timer->watch_fd);
    free(timer);
    return NULL;
}
