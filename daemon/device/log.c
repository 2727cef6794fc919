/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a line goes: to the journal with its fields when stderr is the journal's, else to stderr as text. */
#include "device/log.h"

#include "common/names.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>

#define LOG_LINE_MAX   2048U
#define LOG_FIELDS_MAX 16U

static int log_level = LOG_INFO;

void log_set_level(int priority) {
    log_level = priority;
}

/* JOURNAL_STREAM=DEVICE:INODE names the socket behind stderr (systemd.exec(5)). */
static bool stderr_is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long device, inode;
    struct stat st;

    return stream && sscanf(stream, "%lu:%lu", &device, &inode) == 2 && fstat(STDERR_FILENO, &st) == 0 &&
           st.st_dev == device && st.st_ino == inode;
}

static void log_emit(int priority, const char *message_id, const char *identity, const char *const *fields,
                     const char *text) {
    if (!stderr_is_journal()) {
        static const char *const words[] = { "emergency: ", "alert: ", "critical: ", "error: ",
                                             "warning: ",   "",        "",           "debug: " };
        fprintf(stderr, "identityd: %s%s%s%s\n", words[priority & 7], identity ? identity : "", identity ? ": " : "",
                text);
        return;
    }

    char buffers[4][LOG_LINE_MAX + 128U];
    struct iovec iov[LOG_FIELDS_MAX];
    size_t n = 0;

    snprintf(buffers[0], sizeof buffers[0], "MESSAGE=%s%s%s", identity ? identity : "", identity ? ": " : "", text);
    snprintf(buffers[1], sizeof buffers[1], "PRIORITY=%d", priority & 7);
    iov[n++] = (struct iovec) { buffers[0], strlen(buffers[0]) };
    iov[n++] = (struct iovec) { buffers[1], strlen(buffers[1]) };
    if (message_id) {
        snprintf(buffers[2], sizeof buffers[2], "MESSAGE_ID=%s", message_id);
        iov[n++] = (struct iovec) { buffers[2], strlen(buffers[2]) };
    }
    if (identity) {
        snprintf(buffers[3], sizeof buffers[3], "IDENTITYD_IDENTITY=%s", identity);
        iov[n++] = (struct iovec) { buffers[3], strlen(buffers[3]) };
    }
    for (size_t i = 0; fields && fields[i] && n < LOG_FIELDS_MAX; i++)
        iov[n++] = (struct iovec) { (char *) fields[i], strlen(fields[i]) };
    (void) sd_journal_sendv(iov, (int) n);
}

static void _printf_(5, 0) log_formatted(int priority, const char *message_id, const char *identity,
                                         const char *const *fields, const char *format, va_list arguments) {
    char text[LOG_LINE_MAX];

    if (priority > log_level)
        return;
    vsnprintf(text, sizeof text, format, arguments);
    log_emit(priority, message_id, identity, fields, text);
}

void log_entry(int priority, const char *message_id, const char *identity, const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    log_formatted(priority, message_id, identity, NULL, format, arguments);
    va_end(arguments);
}

void log_fields(int priority, const char *message_id, const char *identity, const char *const *fields,
                const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    log_formatted(priority, message_id, identity, fields, format, arguments);
    va_end(arguments);
}
