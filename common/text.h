/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that came from elsewhere, made fit for a log, a terminal, D-Bus and JSON. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* Makes `size` bytes at `text` valid UTF-8 without characters that act on what shows them: line breaks and tabs become
 * a space, every other control character (C0, DEL, C1), what turns the direction of writing, and bytes that are no
 * UTF-8 become "?", one for each byte. `cut`: the end may lie within a character, which is then dropped, and a NUL put
 * there. */
void text_sanitize(char *text, size_t size, bool cut);

/* Whether text_sanitize would leave these bytes as they are: valid UTF-8 that acts on nobody who reads it. */
bool text_is_clean(const char *text, size_t size);

/* What `text` lacks before another sentence follows it: "." or, where it ends with one, "". A constant. */
const char *text_full_stop(const char *text);
