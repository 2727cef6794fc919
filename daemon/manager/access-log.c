/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decisions about access in the log: a line each, until one user has caused too many of them. All of them are counted
 * for the metrics. */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdarg.h>

#define SUMMARY_ACCURACY USEC_PER_SECOND

static void say_summary(const LineSummary *summary, uint64_t now) {
    char uid[64], count[64];
    const char *const fields[] = { count, uid, NULL };
    const char *what = summary->kind == LINE_REFUSED ? "refusals" : "permissions";
    uint64_t seconds = (now - summary->begun + USEC_PER_SECOND - 1U) / USEC_PER_SECOND;

    snprintf(count, sizeof count, "IDENTITYD_LINES=%" PRIu32, summary->count);
    snprintf(uid, sizeof uid, "IDENTITYD_CALLER_UID=%" PRIu32, (uint32_t) summary->uid);
    if (summary->others)
        log_fields(LOG_NOTICE, MESSAGE_ACCESS_REPEATED, NULL, (const char *const[]) { count, NULL },
                   "%" PRIu32 " more %s for further users in the last %" PRIu64 " s.", summary->count, what, seconds);
    else
        log_fields(LOG_NOTICE, MESSAGE_ACCESS_REPEATED, NULL, fields,
                   "%" PRIu32 " more %s for uid %" PRIu32 " in the last %" PRIu64 " s.", summary->count, what,
                   (uint32_t) summary->uid, seconds);
}

/* Of windows that are over at `until`. */
static void say_summaries(Manager *manager, uint64_t until) {
    LineSummary summary;

    while (line_limit_take(manager->access_lines, until, &summary))
        say_summary(&summary, boottime_usec());
}

static void arm(Manager *manager);

static int on_window_over(sd_event_source *source, uint64_t usec, void *userdata) {
    Manager *manager = userdata;

    say_summaries(manager, boottime_usec());
    arm(manager);
    return 0;
}

/* Without a timer the summary is said before the next line, or at the end. */
static void arm(Manager *manager) {
    uint64_t next = line_limit_next(manager->access_lines);

    if (next == UINT64_MAX)
        return;
    if (!manager->access_timer && sd_event_add_time(manager->loop, &manager->access_timer, CLOCK_BOOTTIME, next,
                                                    SUMMARY_ACCURACY, on_window_over, manager) < 0)
        return;
    (void) sd_event_source_set_time(manager->access_timer, next);
    (void) sd_event_source_set_enabled(manager->access_timer, SD_EVENT_ONESHOT);
}

bool manager_writes_access(Manager *manager, bool granted, uid_t uid) {
    uint64_t now = boottime_usec();

    (*(granted ? &manager->access_granted : &manager->access_refused))++;
    say_summaries(manager, now);
    if (line_limit_admits(manager->access_lines, granted ? LINE_GRANTED : LINE_REFUSED, uid, now))
        return true;
    arm(manager);
    return false;
}

void access_log_end(Manager *manager) {
    manager->access_timer = sd_event_source_disable_unref(manager->access_timer);
    if (manager->access_lines) /* what is still held back */
        say_summaries(manager, UINT64_MAX);
    manager->access_lines = line_limit_free(manager->access_lines);
}
