/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* systemd takes standard error for the journal, and the number in front for the priority. */
#include "enroller/note.h"

#include "common/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-daemon.h>

void note(const char *identity, const char *format, ...) {
    char text[FAILURE_TEXT_MAX] = "";
    va_list arguments;

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    size_t length = strlen(text);
    text_sanitize(text, length, length + 1 == sizeof text); /* may be cut where there is no more room */
    (void) fprintf(stderr, SD_NOTICE "identityd-enroller: %s: %s\n", identity, text);
}
