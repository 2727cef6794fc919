/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Type-length-value bodies of packets: tag (2 bytes), length (4 bytes), value; little-endian; no padding, no
 * nesting; tags may repeat where a protocol says so. */
#pragma once

#include "common/bytes.h"

typedef struct TlvReader {
    BytesView rest;
} TlvReader;

/* Next field: 1 and the field, 0 at the end, -EBADMSG where a header or value is cut short. */
int tlv_read(TlvReader *reader, uint16_t *ret_tag, BytesView *ret_value);

/* Fixed-size values: 0, or -EBADMSG when `value` has another length. */
int tlv_value_u8(BytesView value, uint8_t *ret);
int tlv_value_u16(BytesView value, uint16_t *ret);
int tlv_value_u32(BytesView value, uint32_t *ret);
int tlv_value_u64(BytesView value, uint64_t *ret);

/* Text of 1 to `maximum` bytes without NUL: an owned string. -EBADMSG, -ENOMEM. */
int tlv_value_string(BytesView value, size_t maximum, char **ret);

/* Append a field to `body`. 0, -ENOMEM, -EMSGSIZE when the body would pass PACKET_PAYLOAD_MAX. */
int tlv_append(Bytes *body, uint16_t tag, BytesView value);
int tlv_append_u8(Bytes *body, uint16_t tag, uint8_t value);
int tlv_append_u16(Bytes *body, uint16_t tag, uint16_t value);
int tlv_append_u32(Bytes *body, uint16_t tag, uint32_t value);
int tlv_append_u64(Bytes *body, uint16_t tag, uint64_t value);
int tlv_append_string(Bytes *body, uint16_t tag, const char *value); /* NULL: nothing is appended, 0 */
