/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See data-frame.h. Written and recognized in one place, so that both agree. */
#include "common/data-frame.h"

#include <string.h>

size_t data_frame_overhead(const char *identity) {
    return DATA_FRAME_TILDES + sizeof(DATA_FRAME_TITLE) + strlen(identity) + 1;
}

static void write_front(const char *identity, uint8_t *at) {
    memset(at, 0x7e, DATA_FRAME_TILDES);
    memcpy(at + DATA_FRAME_TILDES, DATA_FRAME_TITLE, sizeof(DATA_FRAME_TITLE));
    memcpy(at + DATA_FRAME_TILDES + sizeof(DATA_FRAME_TITLE), identity, strlen(identity) + 1);
}

int data_frame_build(const char *identity, BytesView message, Bytes *ret) {
    size_t front = data_frame_overhead(identity);
    Bytes framed = { malloc(front + message.size), front + message.size };

    if (!framed.data)
        return -ENOMEM;
    write_front(identity, framed.data);
    if (message.size > 0)
        memcpy(framed.data + front, message.data, message.size);
    *ret = framed;
    return 0;
}

bool data_frame_matches(const char *identity, BytesView framed) {
    static const char title[] = DATA_FRAME_TITLE;
    size_t name = strlen(identity) + 1, front = data_frame_overhead(identity);

    if (framed.size < front)
        return false;
    for (size_t i = 0; i < DATA_FRAME_TILDES; i++)
        if (framed.data[i] != 0x7e)
            return false;
    return memcmp(framed.data + DATA_FRAME_TILDES, title, sizeof(title)) == 0 &&
           memcmp(framed.data + front - name, identity, name) == 0;
}
