/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* systemd takes standard error for the journal, and the number in front for the priority. */
#include "enroller/note.h"

#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

void note(const char *identity, const char *format, ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    text_sanitize(text, strlen(text), (size_t) length >= sizeof text);
    (void) fprintf(stderr, SD_NOTICE "identityd-enroller: %s: %s\n", identity, text);
}
