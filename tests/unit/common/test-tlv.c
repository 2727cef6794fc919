/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* common/tlv: the encoding byte by byte, every cut, every length, and the limit of a packet. */
#include "common/packet.h"
#include "common/tlv.h"

#include "tests/unit/common/test.h"

#include <string.h>

static void encoding_is_as_written(void **state) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;
    static const uint8_t expected[] = {
        1, 0, 1, 0, 0, 0, 0xab, 2, 1, 2, 0, 0, 0, 0x34, 0x12, 3, 0, 4, 0,   0,   0, 0x78, 0x56, 0x34, 0x12, 4, 0,
        8, 0, 0, 0, 8, 7, 6,    5, 4, 3, 2, 1, 5, 0,    2,    0, 0, 0, 'h', 'i', 6, 0,    0,    0,    0,    0,
    };

    assert_int_equal(tlv_append_u8(&body, 1, 0xab), 0);
    assert_int_equal(tlv_append_u16(&body, 0x102, 0x1234), 0);
    assert_int_equal(tlv_append_u32(&body, 3, 0x12345678), 0);
    assert_int_equal(tlv_append_u64(&body, 4, 0x0102030405060708), 0);
    assert_int_equal(tlv_append_string(&body, 5, "hi"), 0);
    assert_int_equal(tlv_append_string(&body, 9, NULL), 0);
    assert_int_equal(tlv_append(&body, 6, (BytesView) { NULL, 0 }), 0);
    assert_int_equal(body.size, sizeof(expected));
    assert_memory_equal(body.data, expected, sizeof(expected));

    TlvReader reader = { bytes_view(&body) };
    uint16_t tag, u16;
    BytesView value;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;
    _cleanup_free_ char *string = NULL;
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(tlv_value_u8(value, &u8), 0);
    assert_int_equal(u8, 0xab);
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(tag, 0x102);
    assert_int_equal(tlv_value_u16(value, &u16), 0);
    assert_int_equal(u16, 0x1234);
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(tlv_value_u32(value, &u32), 0);
    assert_int_equal(u32, 0x12345678);
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(tlv_value_u64(value, &u64), 0);
    assert_true(u64 == 0x0102030405060708);
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(tlv_value_string(value, 2, &string), 0);
    assert_string_equal(string, "hi");
    assert_int_equal(tlv_read(&reader, &tag, &value), 1);
    assert_int_equal(value.size, 0);
    assert_int_equal(tlv_read(&reader, &tag, &value), 0);
    assert_int_equal(tlv_read(&reader, &tag, &value), 0);
}

/* Every cut of a body either ends cleanly between fields or is refused; nothing is read beyond it (ASan: exact malloc).
 */
static void every_cut(void **state) {
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append_u8(&body, 1, 1), 0);
    assert_int_equal(tlv_append_string(&body, 2, "three"), 0);
    for (size_t cut = 0; cut <= body.size; cut++) {
        _cleanup_free_ uint8_t *exact = malloc(cut ?: 1);
        memcpy(exact, body.data, cut);
        TlvReader reader = { { exact, cut } };
        uint16_t tag;
        BytesView value;
        int r;
        while ((r = tlv_read(&reader, &tag, &value)) == 1)
            assert_true(value.data + value.size <= exact + cut);
        assert_int_equal(r, cut == 0 || cut == 7 || cut == body.size ? 0 : -EBADMSG);
    }
}

static void lying_lengths(void **state) {
    static const uint32_t lengths[] = { 2, 3, 0x100, 0x7fffffff, 0x80000000, 0xfffffffa, 0xffffffff };

    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++) {
        uint8_t bytes[7] = { 1, 0 };
        for (unsigned k = 0; k < 4; k++)
            bytes[2 + k] = (uint8_t) (lengths[i] >> 8 * k);
        TlvReader reader = { { bytes, sizeof(bytes) } };
        uint16_t tag = 77;
        BytesView value;
        assert_int_equal(tlv_read(&reader, &tag, &value), -EBADMSG);
        assert_int_equal(tag, 77);
    }
}

static void wrong_sizes(void **state) {
    uint8_t bytes[10] = { 'a', 'b', 'c', 0, 'd' }, u8 = 9;
    uint16_t u16 = 9;
    uint32_t u32 = 9;
    uint64_t u64 = 9;
    char *string = NULL;

    for (size_t size = 0; size < sizeof(bytes); size++) {
        BytesView value = { bytes, size };
        assert_int_equal(tlv_value_u8(value, &u8), size == 1 ? 0 : -EBADMSG);
        assert_int_equal(tlv_value_u16(value, &u16), size == 2 ? 0 : -EBADMSG);
        assert_int_equal(tlv_value_u32(value, &u32), size == 4 ? 0 : -EBADMSG);
        assert_int_equal(tlv_value_u64(value, &u64), size == 8 ? 0 : -EBADMSG);
        int r = tlv_value_string(value, 2, &string);
        assert_int_equal(r, size == 1 || size == 2 ? 0 : -EBADMSG);
        if (r == 0)
            free(string);
    }
    assert_int_equal(tlv_value_string((BytesView) { bytes, 5 }, 100, &string), -EBADMSG); /* a NUL inside */
}

static void the_limit_of_a_packet(void **state) {
    static uint8_t big[PACKET_PAYLOAD_MAX];
    _cleanup_bytes_ Bytes body = BYTES_NULL;

    assert_int_equal(tlv_append(&body, 1, (BytesView) { big, PACKET_PAYLOAD_MAX - 5 }), -EMSGSIZE);
    assert_int_equal(tlv_append(&body, 1, (BytesView) { big, SIZE_MAX }), -EMSGSIZE);
    assert_int_equal(body.size, 0);
    assert_int_equal(tlv_append(&body, 1, (BytesView) { big, PACKET_PAYLOAD_MAX - 6 }), 0);
    assert_int_equal(body.size, PACKET_PAYLOAD_MAX);
    assert_int_equal(tlv_append(&body, 1, (BytesView) { NULL, 0 }), -EMSGSIZE);
    bytes_clear(&body);
    assert_int_equal(tlv_append(&body, 1, (BytesView) { big, PACKET_PAYLOAD_MAX - 12 }), 0);
    assert_int_equal(tlv_append_u8(&body, 1, 1), -EMSGSIZE);
    assert_int_equal(tlv_append_u16(&body, 1, 1), -EMSGSIZE);
    assert_int_equal(tlv_append_u32(&body, 1, 1), -EMSGSIZE);
    assert_int_equal(tlv_append_u64(&body, 1, 1), -EMSGSIZE);
    assert_int_equal(tlv_append_string(&body, 1, "a"), -EMSGSIZE);
    assert_int_equal(body.size, PACKET_PAYLOAD_MAX - 6);
    assert_int_equal(tlv_append(&body, 1, (BytesView) { NULL, 0 }), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoding_is_as_written), cmocka_unit_test(every_cut),
        cmocka_unit_test(lying_lengths),          cmocka_unit_test(wrong_sizes),
        cmocka_unit_test(the_limit_of_a_packet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
