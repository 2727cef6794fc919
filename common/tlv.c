/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Type-length-value bodies. The reader never looks beyond its view and never allocates; the writer never makes what a
 * packet cannot carry. */
#include "common/tlv.h"

#include "common/packet.h"

#include <string.h>

#define TLV_HEADER_SIZE 6U

static uint64_t load_le(const uint8_t *data, size_t size) {
    uint64_t value = 0;

    for (size_t i = size; i > 0; i--)
        value = value << 8 | data[i - 1];
    return value;
}

static void store_le(uint8_t *data, size_t size, uint64_t value) {
    for (size_t i = 0; i < size; i++, value >>= 8)
        data[i] = (uint8_t) value;
}

int tlv_read(TlvReader *reader, uint16_t *ret_tag, BytesView *ret_value) {
    BytesView rest = reader->rest;

    if (rest.size == 0)
        return 0;
    if (rest.size < TLV_HEADER_SIZE)
        return -EBADMSG;
    uint32_t length = (uint32_t) load_le(rest.data + 2, 4);
    if (length > rest.size - TLV_HEADER_SIZE)
        return -EBADMSG;
    *ret_tag = (uint16_t) load_le(rest.data, 2);
    *ret_value = (BytesView) { rest.data + TLV_HEADER_SIZE, length };
    reader->rest = (BytesView) { rest.data + TLV_HEADER_SIZE + length, rest.size - TLV_HEADER_SIZE - length };
    return 1;
}

int tlv_value_u8(BytesView value, uint8_t *ret) {
    if (value.size != sizeof(*ret))
        return -EBADMSG;
    *ret = value.data[0];
    return 0;
}

int tlv_value_u16(BytesView value, uint16_t *ret) {
    if (value.size != sizeof(*ret))
        return -EBADMSG;
    *ret = (uint16_t) load_le(value.data, value.size);
    return 0;
}

int tlv_value_u32(BytesView value, uint32_t *ret) {
    if (value.size != sizeof(*ret))
        return -EBADMSG;
    *ret = (uint32_t) load_le(value.data, value.size);
    return 0;
}

int tlv_value_u64(BytesView value, uint64_t *ret) {
    if (value.size != sizeof(*ret))
        return -EBADMSG;
    *ret = load_le(value.data, value.size);
    return 0;
}

int tlv_value_string(BytesView value, size_t maximum, char **ret) {
    if (value.size == 0 || value.size > maximum || memchr(value.data, 0, value.size))
        return -EBADMSG;
    char *string = strndup((const char *) value.data, value.size);
    if (!string)
        return -ENOMEM;
    *ret = string;
    return 0;
}

int tlv_append(Bytes *body, uint16_t tag, BytesView value) {
    uint8_t header[TLV_HEADER_SIZE];
    size_t size = body->size;

    if (value.size > PACKET_PAYLOAD_MAX - TLV_HEADER_SIZE || size > PACKET_PAYLOAD_MAX - TLV_HEADER_SIZE - value.size)
        return -EMSGSIZE;
    store_le(header, 2, tag);
    store_le(header + 2, 4, value.size);
    int r = bytes_append(body, (BytesView) { header, sizeof(header) });
    if (r < 0)
        return r;
    r = bytes_append(body, value);
    if (r < 0) { /* all or nothing */
        body->size = size;
        body->data[size] = 0;
    }
    return r;
}

static int append_integer(Bytes *body, uint16_t tag, uint64_t value, size_t size) {
    uint8_t encoded[8];

    store_le(encoded, size, value);
    return tlv_append(body, tag, (BytesView) { encoded, size });
}

int tlv_append_u8(Bytes *body, uint16_t tag, uint8_t value) {
    return append_integer(body, tag, value, sizeof(value));
}

int tlv_append_u16(Bytes *body, uint16_t tag, uint16_t value) {
    return append_integer(body, tag, value, sizeof(value));
}

int tlv_append_u32(Bytes *body, uint16_t tag, uint32_t value) {
    return append_integer(body, tag, value, sizeof(value));
}

int tlv_append_u64(Bytes *body, uint16_t tag, uint64_t value) {
    return append_integer(body, tag, value, sizeof(value));
}

int tlv_append_string(Bytes *body, uint16_t tag, const char *value) {
    return value ? tlv_append(body, tag, bytes_view_string(value)) : 0;
}
