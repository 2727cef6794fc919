/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identityd-proxy says while it runs: one line an event on standard error, with the priority that the journal
 * understands where that is the journal. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>

typedef enum ProxyLogLevel { PROXY_LOG_ERROR = 3, PROXY_LOG_WARNING = 4, PROXY_LOG_INFO = 6 } ProxyLogLevel;

/* Whether lines of PROXY_LOG_INFO are left out. Before the first line. */
void proxy_log_set_quiet(bool quiet);

/* Control characters are replaced: parts of the text come from peers. */
void proxy_log(ProxyLogLevel level, const char *format, ...) _printf_(2, 3);
