/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The framings of `data`: each in its one encoding, and with every byte of it, every cut and every other form around.
 */
#include "common/certificate-verify.h"
#include "common/data-frame.h"
#include "rules/key-exchange.h"
#include "signing/data.h"
#include "signing/raw.h"

#include "tests/unit/common/test.h"

#include <string.h>

static DataFraming recognize(const void *message, size_t size) {
    /* An exact copy, so that ASan sees a read beyond it. */
    _cleanup_free_ uint8_t *exact = malloc(size ?: 1);
    const char *reason = NULL;

    if (size > 0)
        memcpy(exact, message, size);
    DataFraming framing = data_recognize("demo", (BytesView) { exact, size }, &reason);
    assert_int_equal(framing == DATA_FRAMING_NONE, reason != NULL);
    assert_int_equal(data_recognize("demo", (BytesView) { exact, size }, NULL), framing);
    if (framing == DATA_FRAMING_NONE) {
        assert_true(strlen(reason) > 40);
        return framing;
    }
    /* Nothing else that anybody signs. */
    BytesView view = { exact, size };
    assert_null(key_exchange_refusal(view));
    assert_false(certificate_verify_matches(TLS_SIDE_CLIENT, view));
    assert_false(certificate_verify_matches(TLS_SIDE_SERVER, view));
    if (size != 20 && size != 32 && size != 48 && size != 64) /* the lengths of hashes, which these are none of */
        assert_null(raw_refusal(view));
    return framing;
}

/* ---- CMS ---- */

#define OID          "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09"
#define LONG_OID     "\x06\x0b\x2a\x86\x48\x86\xf7\x0d\x01\x09\x10\x02"
#define CONTENT_TYPE "\x30\x18" OID "\x03\x31\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
#define DIGEST       "0123456789abcdef0123456789abcdef"
#define DIGEST_256   "\x30\x2f" OID "\x04\x31\x22\x04\x20" DIGEST
#define DIGEST_384   "\x30\x3f" OID "\x04\x31\x32\x04\x30" DIGEST "0123456789abcdef"
#define DIGEST_512   "\x30\x4f" OID "\x04\x31\x42\x04\x40" DIGEST DIGEST
#define TIME                                                                                                           \
    "\x30\x1c" OID "\x05\x31\x0f\x17\x0d"                                                                              \
    "261130120000Z"
#define LATE_TIME                                                                                                      \
    "\x30\x1e" OID "\x05\x31\x11\x18\x0f"                                                                              \
    "20501130120000Z"
#define CAPABILITIES  "\x30\x0f" OID "\x0f\x31\x02\x30\x00"
#define PROTECTION    "\x30\x12" OID "\x34\x31\x05\x30\x03\x02\x01\x00"
#define CERTIFICATE   "\x30\x11" LONG_OID "\x0c\x31\x02\x30\x00"
#define CERTIFICATE_2 "\x30\x11" LONG_OID "\x2f\x31\x02\x30\x00"

typedef struct Set {
    const char *text;
    size_t size;
    bool good;
} Set;
#define SET(text, good)                                                                                                \
    { text, sizeof(text) - 1, good }

static size_t make_set(const char *content, size_t size, uint8_t *ret) {
    size_t front = size < 0x80 ? 2 : size < 0x100 ? 3 : 4;

    ret[0] = 0x31;
    if (front > 2)
        ret[1] = (uint8_t) (0x80 | (front - 2));
    ret[front - 1] = (uint8_t) size;
    if (front == 4)
        ret[2] = (uint8_t) (size >> 8);
    memcpy(ret + front, content, size);
    return front + size;
}

static void cms_sets(void **state) {
    static const Set sets[] = {
        SET(CONTENT_TYPE DIGEST_256, true),
        SET(CONTENT_TYPE DIGEST_384, true),
        SET(CONTENT_TYPE DIGEST_512, true),
        SET(CONTENT_TYPE TIME DIGEST_256, true),
        SET(CONTENT_TYPE LATE_TIME DIGEST_256, true),
        SET(CAPABILITIES CERTIFICATE PROTECTION CONTENT_TYPE TIME DIGEST_512, true),
        SET(CERTIFICATE CERTIFICATE_2 CONTENT_TYPE DIGEST_256, true),
        SET("", false),
        SET(CONTENT_TYPE, false),
        SET(DIGEST_256, false),
        SET(TIME DIGEST_256, false),
        SET(DIGEST_256 CONTENT_TYPE, false), /* not sorted */
        SET(CONTENT_TYPE DIGEST_256 TIME, false),
        SET(CONTENT_TYPE DIGEST_256 DIGEST_256, false), /* twice */
        SET(CONTENT_TYPE DIGEST_256 DIGEST_384, false),
        SET(CONTENT_TYPE CONTENT_TYPE DIGEST_256, false),
        SET(CONTENT_TYPE TIME LATE_TIME DIGEST_256, false),
        SET(CERTIFICATE_2 CERTIFICATE CONTENT_TYPE DIGEST_256, false),
        /* SCEP's messageType, CMC's content, PKINIT's, a countersignature, an OID that is another's beginning */
        SET("\x30\x12\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x02\x31\x04\x13\x02\x31\x37" CONTENT_TYPE DIGEST_256,
            false),
        SET("\x30\x17" OID "\x03\x31\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x0c\x02" DIGEST_256, false),
        SET("\x30\x16" OID "\x03\x31\x09\x06\x07\x2b\x06\x01\x05\x02\x03\x01" DIGEST_256, false),
        SET("\x30\x0f" OID "\x06\x31\x02\x30\x00" CONTENT_TYPE DIGEST_256, false),
        SET("\x30\x0e\x06\x08\x2a\x86\x48\x86\xf7\x0d\x01\x09\x31\x02\x30\x00" CONTENT_TYPE DIGEST_256, false),
        /* a digest of no such length, no value, two values, something behind the values */
        SET(CONTENT_TYPE "\x30\x23" OID "\x04\x31\x16\x04\x14"
                         "0123456789abcdef0123",
            false),
        SET(CONTENT_TYPE "\x30\x0f" OID "\x04\x31\x02\x04\x00", false),
        SET("\x30\x0d" OID "\x04\x31\x00" CONTENT_TYPE, false),
        SET("\x30\x11" OID "\x0f\x31\x04\x30\x00\x30\x00" CONTENT_TYPE DIGEST_256, false),
        SET(CONTENT_TYPE "\x30\x31" OID "\x04\x31\x22\x04\x20" DIGEST "\x05\x00", false),
        /* times that RFC 5652 §11.3 does not have */
        SET(CONTENT_TYPE "\x30\x1a" OID "\x05\x31\x0d\x17\x0b"
                         "2611301200Z" DIGEST_256,
            false),
        SET(CONTENT_TYPE "\x30\x1c" OID "\x05\x31\x0f\x17\x0d"
                         "2611301200+00" DIGEST_256,
            false),
        SET(CONTENT_TYPE "\x30\x20" OID "\x05\x31\x13\x18\x11"
                         "20501130120000.5Z" DIGEST_256,
            false),
    };
    uint8_t message[512];

    for (size_t i = 0; i < ARRAY_LENGTH(sets); i++) {
        size_t size = make_set(sets[i].text, sets[i].size, message);
        if (recognize(message, size) != (sets[i].good ? DATA_FRAMING_CMS : DATA_FRAMING_NONE))
            fail_msg("set %zu", i);
        for (size_t cut = 0; cut < size; cut++)
            assert_int_equal(recognize(message, cut), DATA_FRAMING_NONE);
        message[size] = 0;
        assert_int_equal(recognize(message, size + 1), DATA_FRAMING_NONE);
    }
}

/* No byte but those of the digest and the time may be another. */
static void cms_bytes(void **state) {
    static const char content[] = CONTENT_TYPE TIME DIGEST_256;
    uint8_t honest[256], message[256];
    size_t size = make_set(content, sizeof(content) - 1, honest), digest = size - 32, time = 2 + 26 + 17;

    for (size_t at = 0; at < size; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(message, honest, size);
            message[at] = (uint8_t) value;
            bool free = at >= digest || (at >= time && at < time + 12 && value >= '0' && value <= '9');
            bool good = free || value == honest[at];
            if ((recognize(message, size) == DATA_FRAMING_CMS) != good)
                fail_msg("byte %zu is %u", at, value);
        }
}

/* Each length in a longer form than DER has; the lengths around it grow with it. */
static void cms_lengths(void **state) {
    static const char content[] = CONTENT_TYPE DIGEST_256;
    static const struct {
        size_t at;
        size_t around[4];
    } lengths[] = {
        /* of the SET; then of an attribute, its OID, its values, its value */
        { 1, { 0 } },     { 3, { 1, 0 } },      { 5, { 1, 3, 0 } },   { 16, { 1, 3, 0 } },      { 18, { 1, 3, 16, 0 } },
        { 29, { 1, 0 } }, { 31, { 1, 29, 0 } }, { 42, { 1, 29, 0 } }, { 44, { 1, 29, 42, 0 } },
    };
    uint8_t honest[128], message[128];
    size_t size = make_set(content, sizeof(content) - 1, honest);

    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        for (size_t octets = 1; octets <= 5; octets++) {
            size_t at = lengths[i].at;
            memcpy(message, honest, at);
            for (size_t j = 0; lengths[i].around[j]; j++)
                message[lengths[i].around[j]] = (uint8_t) (message[lengths[i].around[j]] + octets);
            message[at] = (uint8_t) (0x80 | octets);
            memset(message + at + 1, 0, octets);
            message[at + octets] = honest[at];
            memcpy(message + at + octets + 1, honest + at + 1, size - at - 1);
            assert_int_equal(recognize(message, size + octets), DATA_FRAMING_NONE);
        }
}

/* ---- COSE ---- */

#define FRONT                                                                                                          \
    "\x84\x6a"                                                                                                         \
    "Signature1"

static size_t put_bytes(uint8_t *at, unsigned form, size_t size) {
    /* form: how many bytes of length; 0: in the first one */
    static const uint8_t first[] = { 0x40, 0x58, 0x59, 0, 0x5a };

    at[0] = (uint8_t) (first[form] | (form == 0 ? size : 0));
    for (unsigned i = 0; i < form; i++)
        at[1 + i] = (uint8_t) (size >> 8 * (form - 1 - i));
    memset(at + 1 + form, 'x', size);
    return 1 + form + size;
}

static void cose_lengths(void **state) {
    static const size_t sizes[] = { 0, 1, 23, 24, 25, 255, 256, 257, 3000, 65000 };
    static const unsigned forms[] = { 0, 1, 2, 4 };
    static uint8_t message[70000];

    memcpy(message, FRONT "\x43\xa1\x01\x26\x40", 17);
    for (size_t i = 0; i < ARRAY_LENGTH(sizes); i++)
        for (size_t f = 0; f < ARRAY_LENGTH(forms); f++) {
            unsigned shortest = sizes[i] < 24 ? 0 : sizes[i] < 256 ? 1 : 2;
            if (forms[f] < shortest)
                continue;
            size_t size = 17 + put_bytes(message + 17, forms[f], sizes[i]);
            assert_int_equal(recognize(message, size), forms[f] == shortest ? DATA_FRAMING_COSE : DATA_FRAMING_NONE);
            assert_int_equal(recognize(message, size - 1), DATA_FRAMING_NONE);
            message[size] = 0x40;
            assert_int_equal(recognize(message, size + 1), DATA_FRAMING_NONE);
        }
}

static void cose_bytes(void **state) {
    static const char honest[] = FRONT "\x43\xa1\x01\x26\x41"
                                       "A"
                                       "\x43"
                                       "abc";
    uint8_t message[sizeof(honest)];
    size_t size = sizeof(honest) - 1;

    for (size_t at = 0; at < size; at++)
        for (unsigned value = 0; value < 256; value++) {
            memcpy(message, honest, size);
            message[at] = (uint8_t) value;
            /* the protected map's first byte, its content, what the application adds, and the payload */
            bool good = value == (uint8_t) honest[at] || at == 14 || at == 15 || at == 17 || at > 18 ||
                        (at == 13 && value > 0xa0 && value < 0xb8);
            if (at == 12 && value != (uint8_t) honest[at])
                continue; /* a header of another length: another message, good or not */
            if ((recognize(message, size) == DATA_FRAMING_COSE) != good)
                fail_msg("byte %zu is %u", at, value);
        }
    assert_int_equal(recognize(FRONT "\x40\x40\x40", 15), DATA_FRAMING_COSE);     /* an empty header is no byte … */
    assert_int_equal(recognize(FRONT "\x41\xa0\x40\x40", 16), DATA_FRAMING_NONE); /* … and not an empty map */
    assert_int_equal(recognize(FRONT "\x42\x81\x01\x40\x40", 17), DATA_FRAMING_NONE); /* no map */
    assert_int_equal(recognize(FRONT "\x40\x40", 14), DATA_FRAMING_NONE);             /* three */
    assert_int_equal(recognize(FRONT "\x40\x40\x40\x40", 16), DATA_FRAMING_NONE);     /* five */
    assert_int_equal(recognize(FRONT "\x40\x40\x60", 15), DATA_FRAMING_NONE);         /* a text */
    assert_int_equal(recognize(FRONT "\x40\x40\x5f\xff", 16), DATA_FRAMING_NONE);     /* of no said length */
    assert_int_equal(recognize("\x9f\x6a"
                               "Signature1"
                               "\x40\x40\x40\xff",
                               16),
                     DATA_FRAMING_NONE);
    /* COSE_Sign's, with a fifth element */
    assert_int_equal(recognize("\x85\x69"
                               "Signature"
                               "\x40\x40\x40\x40",
                               15),
                     DATA_FRAMING_NONE);
    assert_int_equal(recognize("\x84\x70"
                               "CounterSignature"
                               "\x40\x40\x40",
                               21),
                     DATA_FRAMING_NONE);
}

/* ---- identityd's own ---- */

static void own_frame(void **state) {
    _cleanup_bytes_ Bytes framed = BYTES_NULL, empty = BYTES_NULL, other = BYTES_NULL;

    assert_int_equal(data_frame_build("demo", bytes_view_string("hello"), &framed), 0);
    assert_int_equal(framed.size, data_frame_overhead("demo") + 5);
    assert_int_equal(framed.size, 64 + 17 + 1 + 4 + 1 + 5);
    assert_memory_equal(framed.data + 64, "identityd data v1\0demo\0hello", 28);
    for (size_t at = 0; at < framed.size; at++) {
        uint8_t kept = framed.data[at];
        for (unsigned value = 0; value < 256; value++) {
            framed.data[at] = (uint8_t) value;
            bool good = at >= framed.size - 5 || value == kept;
            if ((recognize(framed.data, framed.size) == DATA_FRAMING_IDENTITYD) != good)
                fail_msg("byte %zu is %u", at, value);
        }
        framed.data[at] = kept;
    }
    for (size_t size = 0; size <= framed.size; size++)
        assert_int_equal(recognize(framed.data, size),
                         size >= framed.size - 5 ? DATA_FRAMING_IDENTITYD : DATA_FRAMING_NONE);
    assert_int_equal(data_frame_build("demo", (BytesView) { NULL, 0 }, &empty), 0);
    assert_int_equal(recognize(empty.data, empty.size), DATA_FRAMING_IDENTITYD);
    /* what another identity signs, also where its name is the beginning of this one's */
    static const char *const others[] = { "dem", "demo2", "other", "demo-data" };
    for (size_t i = 0; i < ARRAY_LENGTH(others); i++) {
        bytes_clear(&other);
        assert_int_equal(data_frame_build(others[i], bytes_view_string("hello"), &other), 0);
        assert_int_equal(recognize(other.data, other.size), DATA_FRAMING_NONE);
    }
}

/* Whatever does not begin with one of the three bytes. */
static void other_beginnings(void **state) {
    uint8_t message[100] = { 0 };

    for (unsigned first = 0; first < 256; first++) {
        message[0] = (uint8_t) first;
        for (size_t size = 0; size <= sizeof(message); size += 9)
            assert_int_equal(recognize(message, size), DATA_FRAMING_NONE);
    }
    assert_int_equal(recognize("hello", 5), DATA_FRAMING_NONE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cms_sets),         cmocka_unit_test(cms_bytes),  cmocka_unit_test(cms_lengths),
        cmocka_unit_test(cose_lengths),     cmocka_unit_test(cose_bytes), cmocka_unit_test(own_frame),
        cmocka_unit_test(other_beginnings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
