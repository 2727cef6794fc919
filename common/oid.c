/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See oid.h. */
#include "common/oid.h"

#include <stdlib.h>
#include <string.h>

bool oid_is_valid(const char *text, size_t length) {
    const char *end = text + length;
    unsigned long arcs[2] = { 0 };
    size_t count = 0;

    if (length > OID_TEXT_MAX || memchr(text, 0, length))
        return false;
    for (;; text++) {
        size_t digits = 0;
        while (text + digits < end && text[digits] >= '0' && text[digits] <= '9')
            digits++;
        if (digits == 0 || digits > 9 || (digits > 1 && text[0] == '0'))
            return false;
        if (count < 2)
            arcs[count] = strtoul(text, NULL, 10);
        count++;
        text += digits;
        if (text == end || *text != '.')
            break;
    }
    return text == end && count >= 2 && arcs[0] <= 2 && (arcs[0] == 2 || arcs[1] < 40);
}
