/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identityd-proxy says while it runs: one line an event on standard error, with the priority that the journal
 * understands where that is the journal. */
#pragma once

#include "common/macros.h"
#include "proxy/log-limit.h"

#include <stdbool.h>

typedef enum ProxyLogLevel { PROXY_LOG_ERROR = 3, PROXY_LOG_WARNING = 4, PROXY_LOG_INFO = 6 } ProxyLogLevel;

/* Whether lines of PROXY_LOG_INFO are left out. Before the first line. */
void proxy_log_set_quiet(bool quiet);

/* Control characters are replaced: parts of the text come from peers. */
void proxy_log(ProxyLogLevel level, const char *format, ...) _printf_(2, 3);

/* The same for a line that somebody can cause as often as they like: within the limit of `source`, at `now` (µs,
 * monotonic). That lines are left out is said once when it begins, and how many when it has ended. */
void proxy_log_limited(LogLimit *limit, const ProxySource *source, uint64_t now, ProxyLogLevel level,
                       const char *format, ...) _printf_(5, 6);
/* How many lines were left out and not told yet, if any. */
void proxy_log_left_out(LogLimit *limit);
