/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bump allocator and four encoders. */
#include "der.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static uint8_t arena[1 << 20];
static size_t used;

void der_reset(void) {
    used = 0;
}

static uint8_t *take(size_t size) {
    uint8_t *place = arena + used;

    assert(size <= sizeof arena - used);
    used += size;
    return place;
}

BytesView der_bytes(uint8_t tag, BytesView content) {
    uint8_t *out = take(content.size + 4);
    size_t at = 0;

    assert(content.size < 65536);
    out[at++] = tag;
    if (content.size >= 128) {
        out[at++] = content.size > 255 ? 0x82 : 0x81;
        if (content.size > 255)
            out[at++] = (uint8_t) (content.size >> 8);
    }
    out[at++] = (uint8_t) content.size;
    if (content.size > 0)
        memcpy(out + at, content.data, content.size);
    return (BytesView) { out, at + content.size };
}

BytesView der_of(uint8_t tag, ...) {
    uint8_t *content = take(65535);
    size_t size = 0;
    va_list parts;

    va_start(parts, tag);
    for (;;) {
        BytesView part = va_arg(parts, BytesView);
        if (part.size == SIZE_MAX)
            break;
        memcpy(content + size, part.data, part.size);
        size += part.size;
    }
    va_end(parts);
    used -= 65535 - size;
    return der_bytes(tag, (BytesView) { content, size });
}

BytesView der_text(uint8_t tag, const char *text) {
    return der_bytes(tag, bytes_view_string(text));
}

BytesView der_integer(unsigned value) {
    uint8_t bytes[4] = { 0, (uint8_t) (value >> 16), (uint8_t) (value >> 8), (uint8_t) value };
    size_t skip = 0;

    while (skip < 3 && bytes[skip] == 0 && bytes[skip + 1] < 0x80)
        skip++;
    return der_bytes(2, (BytesView) { bytes + skip, 4 - skip });
}

BytesView made_oid(const char *dotted) {
    uint8_t bytes[64];
    size_t size = 0;
    unsigned long first = 0, number;
    char *end;

    for (unsigned i = 0;; i++) {
        number = strtoul(dotted, &end, 10);
        if (i == 0)
            first = number;
        else {
            if (i == 1)
                number += 40 * first;
            for (int shift = 28; shift >= 0; shift -= 7)
                if (number >> shift || shift == 0)
                    bytes[size++] = (uint8_t) ((number >> shift & 0x7f) | (shift ? 0x80 : 0));
        }
        if (*end != '.')
            break;
        dotted = end + 1;
    }
    return der_bytes(6, (BytesView) { bytes, size });
}
