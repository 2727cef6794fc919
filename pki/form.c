/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Numbers and parts of forms, and their order in a set. */
#include "pki/form.h"

#include <stdint.h>
#include <string.h>

int form_append_number(Bytes *form, size_t number) {
    const uint8_t data[] = { (uint8_t) (number >> 24), (uint8_t) (number >> 16), (uint8_t) (number >> 8),
                             (uint8_t) number };

    return bytes_append(form, (BytesView) { data, sizeof(data) });
}

int form_append_counted(Bytes *form, BytesView part) {
    int r = form_append_number(form, part.size);

    return r < 0 ? r : bytes_append(form, part);
}

int form_compare(const void *a, const void *b) {
    const Bytes *one = a, *other = b;

    if (one->size != other->size)
        return one->size < other->size ? -1 : 1;
    return memcmp(one->data, other->data, one->size);
}
