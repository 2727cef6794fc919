/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See complain.h. */
#include "command/complain.h"

#include "command/colour.h"
#include "command/printable.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

void complain(const char *format, ...) {
    va_list arguments;

    va_start(arguments, format);
    _cleanup_free_ char *printable = printable_format(format, arguments);
    va_end(arguments);
    fprintf(stderr, "%s%s:%s %s\n", colour_of(stderr, COLOUR_BAD), program_invocation_short_name,
            colour_of(stderr, COLOUR_NONE), printable ? printable : "out of memory");
}
