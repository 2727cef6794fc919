/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See log.h. */
#include "proxy/log.h"

#include "command/printable.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

static bool is_quiet;

void proxy_log_set_quiet(bool quiet) {
    is_quiet = quiet;
}

/* $JOURNAL_STREAM is DEVICE:INODE of the socket to the journal (systemd.exec(5)). */
static bool goes_to_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    uintmax_t device, inode;
    struct stat status;

    return stream && sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

static void write_line(ProxyLogLevel level, const char *format, va_list arguments) {
    _cleanup_free_ char *printable = printable_format(format, arguments);

    if (!printable)
        level = PROXY_LOG_ERROR;
    if (goes_to_journal())
        fprintf(stderr, "<%d>%s\n", level, printable ? printable : "out of memory");
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, printable ? printable : "out of memory");
}

static bool is_left_out(ProxyLogLevel level) {
    return is_quiet && level == PROXY_LOG_INFO;
}

void proxy_log(ProxyLogLevel level, const char *format, ...) {
    va_list arguments;

    if (is_left_out(level))
        return;
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
}

static void tell_left_out(uint64_t left_out) {
    if (left_out > 0)
        proxy_log(PROXY_LOG_WARNING, "%" PRIu64 " lines about connections were left out (--log-limit)", left_out);
}

void proxy_log_left_out(LogLimit *limit) {
    tell_left_out(limit->left_out);
    limit->left_out = 0;
}

void proxy_log_limited(LogLimit *limit, const ProxySource *source, uint64_t now, ProxyLogLevel level,
                       const char *format, ...) {
    char from[PROXY_SOURCE_TEXT];
    uint64_t left_out;
    va_list arguments;

    if (is_left_out(level))
        return;
    LogVerdict verdict = log_limit_decide(limit, source, now, &left_out);
    if (verdict == LOG_NO_LINE)
        return;
    tell_left_out(left_out);
    va_start(arguments, format);
    write_line(level, format, arguments);
    va_end(arguments);
    if (verdict == LOG_LAST_LINE)
        proxy_log(PROXY_LOG_WARNING,
                  "%u lines about connections within a minute: more are left out until that has passed (--log-limit)",
                  limit->lines);
    else if (verdict == LOG_LAST_LINE_OF_SOURCE) {
        proxy_source_text(source, from);
        proxy_log(
            PROXY_LOG_WARNING,
            "%u lines about connections from %s within a minute: more are left out until that has passed (--log-limit)",
            limit->lines / LOG_LIMIT_PART, from);
    }
}
