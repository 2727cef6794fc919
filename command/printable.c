/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See printable.h. */
#include "command/printable.h"

#include "common/text.h"

#include <stdio.h>
#include <string.h>

char *printable_copy(const char *text) {
    char *copy = strdup(text);

    if (copy)
        text_sanitize(copy, strlen(copy), false);
    return copy;
}

char *printable_format(const char *format, va_list arguments) {
    char *text = NULL;

    if (vasprintf(&text, format, arguments) < 0)
        return NULL;
    text_sanitize(text, strlen(text), false);
    return text;
}
