/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See colour.h. */
#include "command/colour.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool colour_is_shown(FILE *stream) {
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

    return (!no_color || !no_color[0]) && term && strcmp(term, "dumb") != 0 && isatty(fileno(stream));
}

static const char *const sequences[] = {
    [COLOUR_NONE] = "\033[0m",       [COLOUR_GOOD] = "\033[32m", [COLOUR_BAD] = "\033[1;31m",
    [COLOUR_ATTENTION] = "\033[33m", [COLOUR_FAINT] = "\033[2m", [COLOUR_STRONG] = "\033[1m",
};

const char *colour_of(FILE *stream, Colour colour) {
    return colour_is_shown(stream) ? sequences[colour] : "";
}
