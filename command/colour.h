/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Colours on a terminal: only there, and never with NO_COLOR (https://no-color.org). */
#pragma once

#include <stdbool.h>
#include <stdio.h>

typedef enum Colour { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_ATTENTION, COLOUR_FAINT, COLOUR_STRONG } Colour;

/* Whether a stream is a terminal that takes colours. */
bool colour_is_shown(FILE *stream);
/* The sequence that switches a colour on, "" where the stream takes none; COLOUR_NONE switches back. */
const char *colour_of(FILE *stream, Colour colour);
