/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many lines of the log others may cause: so many a minute, and one source a quarter of them, so that who fills the
 * log hides neither what the others do nor what was there before. The rule alone: no clock but what the caller passes.
 *
 * Sources share a fixed number of counters, which one is a matter of chance: nothing grows with their number. */
#pragma once

#include "proxy/source.h"

#include <stdint.h>

#define LOG_LIMIT_COUNTERS 64U
#define LOG_LIMIT_PART     4U /* of all lines, for one source: one in so many */
#define LOG_LIMIT_MICROS   UINT64_C(60000000)

typedef struct LogCounter {
    uint64_t since; /* µs */
    unsigned lines;
} LogCounter;

typedef struct LogLimit {
    unsigned lines; /* a minute; 0: no limit */
    uint64_t seed;
    LogCounter all, of_source[LOG_LIMIT_COUNTERS];
    uint64_t left_out; /* since that was last told */
} LogLimit;

typedef enum LogVerdict {
    LOG_LINE,
    LOG_LAST_LINE,           /* of the minute: to be said after it */
    LOG_LAST_LINE_OF_SOURCE, /* likewise */
    LOG_NO_LINE,
} LogVerdict;

LogLimit log_limit(unsigned lines, uint64_t seed);

/* Whether a line that `source` causes at `now` (µs, monotonic) is written. Where it is, `*ret_left_out` is how many
 * were not, if that is to be said first, else 0. */
LogVerdict log_limit_decide(LogLimit *limit, const ProxySource *source, uint64_t now, uint64_t *ret_left_out);
