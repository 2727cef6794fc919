/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One timer for the next thing due, over all identities. It runs on CLOCK_BOOTTIME, so that suspend counts, and is
 * computed anew after every turn of the loop in which anything happened, and when the system clock is set
 * (TFD_TIMER_CANCEL_ON_SET). */
#include "manager/internal.h"

#include <sys/timerfd.h>

#define FAR_FUTURE INT64_MAX

static int64_t earlier(int64_t a, int64_t b) {
    return b != 0 && b < a ? b : a;
}

static int64_t identity_when(Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    int64_t when = FAR_FUTURE;

    if (!identity->config || !identity->store)
        return when;
    if (leaf && identity->state == STATE_READY)
        when = earlier(when, leaf->not_after + 1);
    when = earlier(when, identity_chain_end_when(identity));
    when = earlier(when, enrolment_when(identity));
    when = earlier(when, rollover_when(identity));
    when = earlier(when, tidy_when(identity));
    when = earlier(when, publish_when(identity));
    when = earlier(when, staple_when(identity));
    return earlier(when, revocation_when(identity));
}

static void identity_run_due(Identity *identity, int64_t now) {
    if (!identity->config || !identity->store)
        return;
    identity_evaluate(identity);
    int64_t when = revocation_when(identity);
    if (when != 0 && when <= now)
        revocation_due(identity);
    when = enrolment_when(identity);
    if (when != 0 && when <= now)
        enrolment_due(identity);
    when = rollover_when(identity);
    if (when != 0 && when <= now)
        rollover_due(identity);
    when = tidy_when(identity);
    if (when != 0 && when <= now)
        identity_tidy(identity);
    when = staple_when(identity);
    if (when != 0 && when <= now)
        staple_expired(identity);
    when = publish_when(identity);
    if (when != 0 && when <= now)
        identity_publish_files(identity);
}

static int on_timer(sd_event_source *source, uint64_t usec, void *userdata) {
    Manager *manager = userdata;
    int64_t now = manager_now(manager);

    manager->timer_at = 0;
    for (size_t i = 0; i < manager->identity_count; i++)
        identity_run_due(manager->identities[i], now);
    return 0;
}

/* After each turn of the loop: what is the next thing due, and is the timer set to it? */
static int on_post(sd_event_source *source, void *userdata) {
    Manager *manager = userdata;
    uint64_t now = manager_now_usec(manager), boot = boottime_usec();
    int64_t when = FAR_FUTURE;

    for (size_t i = 0; i < manager->identity_count; i++)
        when = earlier(when, identity_when(manager->identities[i]));
    if (when == FAR_FUTURE) {
        manager->timer_at = 0;
        return sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
    }
    uint64_t when_usec = when <= 0 ? 0 : (uint64_t) when * USEC_PER_SECOND;
    uint64_t at = when_usec <= now ? boot : boot + (when_usec - now);
    uint64_t difference = at > manager->timer_at ? at - manager->timer_at : manager->timer_at - at;
    if (manager->timer_at != 0 && difference < 1000U)
        return 0;
    manager->timer_at = at;
    int r = sd_event_source_set_time(manager->timer, at);
    return r < 0 ? r : sd_event_source_set_enabled(manager->timer, SD_EVENT_ONESHOT);
}

static int clock_watch_arm(int fd) {
    struct itimerspec never = { .it_value.tv_sec = (time_t) INT64_MAX / 1000000000LL };

    return timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ? -errno : 0;
}

static int on_clock_set(sd_event_source *source, int fd, uint32_t events, void *userdata) {
    Manager *manager = userdata;
    uint64_t expirations;

    if (read(fd, &expirations, sizeof expirations) < 0 && errno == EAGAIN)
        return 0;
    (void) clock_watch_arm(fd);
    log_entry(LOG_INFO, MESSAGE_CLOCK, NULL, "The system clock was set; every date is looked at again.");
    return on_timer(NULL, 0, manager);
}

int timers_start(Manager *manager) {
    int r = sd_event_add_time(manager->loop, &manager->timer, CLOCK_BOOTTIME, 0, 1000, on_timer, manager);

    if (r >= 0)
        r = sd_event_source_set_enabled(manager->timer, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_post(manager->loop, &manager->post, on_post, manager);
    if (r < 0)
        return r;
    manager->clock_watch_fd = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC);
    if (manager->clock_watch_fd < 0)
        return -errno;
    r = clock_watch_arm(manager->clock_watch_fd);
    return r < 0 ? r
                 : sd_event_add_io(manager->loop, &manager->clock_watch, manager->clock_watch_fd, EPOLLIN, on_clock_set,
                                   manager);
}

void timers_stop(Manager *manager) {
    manager->timer = sd_event_source_disable_unref(manager->timer);
    manager->post = sd_event_source_disable_unref(manager->post);
    manager->clock_watch = sd_event_source_disable_unref(manager->clock_watch);
    manager->clock_watch_fd = close_safe(manager->clock_watch_fd);
}
