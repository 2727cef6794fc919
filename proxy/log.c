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

void proxy_log(ProxyLogLevel level, const char *format, ...) {
    va_list arguments;

    if (is_quiet && level == PROXY_LOG_INFO)
        return;
    va_start(arguments, format);
    _cleanup_free_ char *printable = printable_format(format, arguments);
    va_end(arguments);
    if (!printable)
        level = PROXY_LOG_ERROR;
    if (goes_to_journal())
        fprintf(stderr, "<%d>%s\n", level, printable ? printable : "out of memory");
    else
        fprintf(stderr, "%s: %s\n", program_invocation_short_name, printable ? printable : "out of memory");
}
