/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See text.h. */
#include "common/text.h"

#include <stdint.h>
#include <string.h>

/* Length of the UTF-8 character at `text` (Unicode 15, table 3-7), 0 if it is none, -1 if it is cut short by the end.
 */
static int utf8_length(const uint8_t *text, size_t size) {
    uint8_t first = text[0], low = 0x80, high = 0xbf;
    size_t length;

    if (first < 0x80)
        return 1;
    if (first >= 0xc2 && first <= 0xdf)
        length = 2;
    else if (first >= 0xe0 && first <= 0xef)
        length = 3;
    else if (first >= 0xf0 && first <= 0xf4)
        length = 4;
    else
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    for (size_t i = 1; i < length; i++) {
        if (i >= size)
            return -1;
        if (text[i] < low || text[i] > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return (int) length;
}

/* Control characters would let a peer write lines of its own into a log or a terminal; what turns the direction of
 * writing (Unicode, UAX #9) would let it show one name as another; and D-Bus and JSON take only valid UTF-8. */
static bool acts_on_the_reader(const uint8_t *character, int length) {
    static const char *const directions[] = {
        "\u061c", "\u200e", "\u200f", "\u2028", "\u2029", "\u202a", "\u202b",
        "\u202c", "\u202d", "\u202e", "\u2066", "\u2067", "\u2068", "\u2069",
    };

    if (length == 1)
        return character[0] < 0x20 || character[0] == 0x7f;
    if (length == 2 && character[0] == 0xc2 && character[1] < 0xa0)
        return true;
    for (size_t i = 0; i < sizeof(directions) / sizeof(directions[0]); i++)
        if (strlen(directions[i]) == (size_t) length && memcmp(character, directions[i], (size_t) length) == 0)
            return true;
    return false;
}

void text_sanitize(char *text, size_t size, bool cut) {
    uint8_t *bytes = (uint8_t *) text;

    for (size_t i = 0; i < size;) {
        int length = utf8_length(bytes + i, size - i);

        if (length < 0 && cut) {
            bytes[i] = 0;
            return;
        }
        size_t step = length > 0 ? (size_t) length : 1;
        if (length <= 0 || acts_on_the_reader(bytes + i, length)) {
            bool space = bytes[i] == '\n' || bytes[i] == '\t' || bytes[i] == '\r';
            memset(bytes + i, space ? ' ' : '?', step);
        }
        i += step;
    }
}

bool text_is_clean(const char *text, size_t size) {
    const uint8_t *bytes = (const uint8_t *) text;

    for (size_t i = 0; i < size;) {
        int length = utf8_length(bytes + i, size - i);
        if (length <= 0 || acts_on_the_reader(bytes + i, length))
            return false;
        i += (size_t) length;
    }
    return true;
}

const char *text_full_stop(const char *text) {
    size_t length = strlen(text);

    return length > 0 && text[length - 1] == '.' ? "" : ".";
}
