/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Decisions about access in the log: a line each, until one user has caused too many of them. All of them are counted
 * for the metrics. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

typedef struct AccessLog AccessLog;

int access_log_new(sd_event *loop, AccessLog **ret);
/* Says what was held back first. */
AccessLog *access_log_free(AccessLog *log);
DEFINE_CLEANUP(AccessLog, access_log_free)

/* `uid`: with whom the caller is counted (Caller.party). */

/* Whether a decision about what that user wants is to be written to the log, or is one of too many: those are told in
 * one line, later. Counts it. */
bool access_log_admits(AccessLog *log, bool granted, uid_t uid);

/* The same for a limit that that user has reached. */
bool access_log_admits_limit(AccessLog *log, uid_t uid);

typedef struct AccessCounters {
    uint64_t granted, refused, limited; /* since the start */
} AccessCounters;
AccessCounters access_log_counters(const AccessLog *log);
