/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of libsystemd's. */
#include "tests/unit/device/journal.h"

#include "common/macros.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

static char text[1 << 16]; /* FIELD=value, a NUL after each */
static size_t used;

void journal_begin(void) {
    char stream[64];
    struct stat status;

    if (fstat(STDERR_FILENO, &status) < 0)
        abort();
    (void) snprintf(stream, sizeof stream, "%lu:%lu", (unsigned long) status.st_dev, (unsigned long) status.st_ino);
    if (setenv("JOURNAL_STREAM", stream, 1) < 0)
        abort();
    journal_forget();
}

void journal_end(void) {
    (void) unsetenv("JOURNAL_STREAM");
}

void journal_forget(void) {
    used = 0;
}

const char *journal_field(const char *name) {
    const char *found = "";

    for (size_t at = 0; at < used; at += strlen(text + at) + 1)
        if (strncmp(text + at, name, strlen(name)) == 0 && text[at + strlen(name)] == '=')
            found = text + at + strlen(name) + 1;
    return found;
}

_public_ int sd_journal_sendv_with_location(const char *file, const char *line, const char *func,
                                            const struct iovec *fields, int count) {
    for (int i = 0; i < count; i++) {
        if (used + fields[i].iov_len + 1 > sizeof text)
            abort();
        memcpy(text + used, fields[i].iov_base, fields[i].iov_len);
        used += fields[i].iov_len;
        text[used++] = '\0';
    }
    return 0;
}
