/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lines, and what stands for those that are too many. */
#include "lending/access-log.h"

#include "access/access.h"
#include "device/domains.h"
#include "device/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#define USEC_PER_SECOND  1000000ULL
#define SUMMARY_ACCURACY USEC_PER_SECOND

struct AccessLog {
    sd_event *loop;
    LineLimit *lines;
    sd_event_source *timer; /* while something is held back */
    AccessCounters counters;
};

static void say_summary(const LineSummary *summary, uint64_t now) {
    char uid[64], count[64];
    const char *const fields[] = { count, uid, NULL };
    static const char *const words[_LINE_KIND_COUNT] = {
        [LINE_REFUSED] = "refusals", [LINE_GRANTED] = "permissions", [LINE_LIMITED] = "calls beyond a limit"
    };
    const char *what = words[summary->kind];
    uint64_t seconds = (now - summary->begun + USEC_PER_SECOND - 1U) / USEC_PER_SECOND;

    snprintf(count, sizeof count, "IDENTITYD_LINES=%" PRIu32, summary->count);
    snprintf(uid, sizeof uid, "IDENTITYD_CALLER_UID=%" PRIu32, (uint32_t) summary->uid);
    if (summary->others)
        log_fields(LOG_NOTICE, MESSAGE_ACCESS_REPEATED, NULL, (const char *const[]) { count, NULL },
                   "%" PRIu32 " more %s for further users in the last %" PRIu64 " s.", summary->count, what, seconds);
    else if (summary->uid == PARTY_UNKNOWN)
        log_fields(LOG_NOTICE, MESSAGE_ACCESS_REPEATED, NULL, (const char *const[]) { count, NULL },
                   "%" PRIu32 " more %s for users whom the system does not know in the last %" PRIu64 " s.",
                   summary->count, what, seconds);
    else
        log_fields(LOG_NOTICE, MESSAGE_ACCESS_REPEATED, NULL, fields,
                   "%" PRIu32 " more %s for uid %" PRIu32 " in the last %" PRIu64 " s.", summary->count, what,
                   (uint32_t) summary->uid, seconds);
}

/* Of windows that are over at `until`. */
static void say_summaries(AccessLog *log, uint64_t until) {
    LineSummary summary;

    while (line_limit_take(log->lines, until, &summary))
        say_summary(&summary, boottime_usec());
}

static void arm(AccessLog *log);

static int on_window_over(sd_event_source *source, uint64_t usec, void *userdata) {
    AccessLog *log = userdata;

    say_summaries(log, boottime_usec());
    arm(log);
    return 0;
}

/* Without a timer the summary is said before the next line, or at the end. */
static void arm(AccessLog *log) {
    uint64_t next = line_limit_next(log->lines);

    if (next == UINT64_MAX)
        return;
    if (!log->timer &&
        sd_event_add_time(log->loop, &log->timer, CLOCK_BOOTTIME, next, SUMMARY_ACCURACY, on_window_over, log) < 0)
        return;
    (void) sd_event_source_set_time(log->timer, next);
    (void) sd_event_source_set_enabled(log->timer, SD_EVENT_ONESHOT);
}

int access_log_new(sd_event *loop, AccessLog **ret) {
    _cleanup_(access_log_free_p) AccessLog *log = calloc(1, sizeof *log);

    if (!log)
        return -ENOMEM;
    log->loop = sd_event_ref(loop);
    int r = line_limit_new(&log->lines);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(log);
    return 0;
}

AccessLog *access_log_free(AccessLog *log) {
    if (!log)
        return NULL;
    sd_event_source_disable_unref(log->timer);
    if (log->lines) /* what is still held back */
        say_summaries(log, UINT64_MAX);
    line_limit_free(log->lines);
    sd_event_unref(log->loop);
    free(log);
    return NULL;
}

static bool admits(AccessLog *log, LineKind kind, uid_t uid) {
    uint64_t now = boottime_usec();

    say_summaries(log, now);
    if (line_limit_admits(log->lines, kind, uid, now))
        return true;
    arm(log);
    return false;
}

bool access_log_admits(AccessLog *log, bool granted, uid_t uid) {
    if (granted)
        log->counters.granted++;
    else
        log->counters.refused++;
    return admits(log, granted ? LINE_GRANTED : LINE_REFUSED, uid);
}

bool access_log_admits_limit(AccessLog *log, uid_t uid) {
    log->counters.limited++;
    return admits(log, LINE_LIMITED, uid);
}

AccessCounters access_log_counters(const AccessLog *log) {
    return log->counters;
}
