/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See log-limit.h. */
#include "proxy/log-limit.h"

LogLimit log_limit(unsigned lines, uint64_t seed) {
    return (LogLimit) { .lines = lines, .seed = seed };
}

/* Multiplication by an odd constant and a shift, for each byte: enough for a source not to choose its counter. */
static LogCounter *counter_of(LogLimit *limit, const ProxySource *source) {
    uint64_t hash = limit->seed ^ source->kind;

    for (size_t i = 0; i < sizeof source->bytes; i++) {
        hash = (hash ^ source->bytes[i]) * UINT64_C(0x9e3779b97f4a7c15);
        hash ^= hash >> 29;
    }
    return &limit->of_source[hash % LOG_LIMIT_COUNTERS];
}

static void begin_minute(LogCounter *counter, uint64_t now) {
    if (counter->lines == 0 || now - counter->since >= LOG_LIMIT_MICROS)
        *counter = (LogCounter) { .since = now };
}

LogVerdict log_limit_decide(LogLimit *limit, const ProxySource *source, uint64_t now, uint64_t *ret_left_out) {
    LogCounter *of_source = counter_of(limit, source);
    unsigned share = limit->lines / LOG_LIMIT_PART > 0 ? limit->lines / LOG_LIMIT_PART : 1;

    *ret_left_out = 0;
    if (limit->lines == 0)
        return LOG_LINE;
    begin_minute(&limit->all, now);
    begin_minute(of_source, now);
    if (limit->all.lines >= limit->lines || of_source->lines >= share) {
        limit->left_out++;
        return LOG_NO_LINE;
    }
    if (limit->all.lines++ == 0) {
        *ret_left_out = limit->left_out;
        limit->left_out = 0;
    }
    of_source->lines++;
    if (limit->all.lines == limit->lines)
        return LOG_LAST_LINE;
    return of_source->lines == share ? LOG_LAST_LINE_OF_SOURCE : LOG_LINE;
}
