/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The purpose table of docs/design.md §8: each purpose × request × scheme against an oracle written from the text, and
 * every shape that `data-raw` refuses, with each cut and each bit around it. */
#include "common/certificate-verify.h"
#include "common/data-frame.h"
#include "signing/signing.h"

#include "tests/unit/common/test.h"

#include <stdlib.h>
#include <string.h>

static const uint16_t scheme_ids[] = { 0x0403, 0x0503, 0x0401, 0x0501, 0x0601, 0x0804, 0x0805, 0x0806 };
#define P256 scheme_by_id(0x0403)

static int ask(Purpose purpose, uint8_t type, const SignatureScheme *scheme, BytesView payload) {
    const SignQuestion question = { purpose, "demo", scheme, type, payload };
    SignDigest digest = { .size = 999 };
    Failure failure = FAILURE_INIT;

    int r = purpose_check(&question, &digest, &failure);
    if (r == 0) {
        assert_int_equal(digest.size, scheme->hash);
        assert_int_equal(failure.kind, FAILURE_NONE);
    } else {
        assert_int_equal(digest.size, 999); /* outputs change on success only */
        assert_int_equal(failure.kind, r == -EPERM ? FAILURE_PURPOSE_VIOLATION : FAILURE_INVALID_ARGUMENT);
        assert_true(strlen(failure.text) > 20);
    }
    return r;
}

static int ask_data(const void *message, size_t size) {
    /* An exact copy, so that ASan sees a read beyond it. */
    if (size > 1U << 20) /* what assert_true does not tell a compiler */
        abort();
    _cleanup_free_ uint8_t *exact = malloc(size ?: 1);
    if (size > 0)
        memcpy(exact, message, size);
    return ask(PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, P256, (BytesView) { exact, size });
}

/* SSH signs bare hashes: whatever has such a length is refused. */
static bool is_hash_size(size_t size) {
    return size == 20 || size == 32 || size == 48 || size == 64;
}

static void table(void **state) {
    uint8_t hash[64] = { 1, 2, 3 }, own[CERTIFICATE_VERIFY_MAX], other[CERTIFICATE_VERIFY_MAX];
    _cleanup_bytes_ Bytes framed = BYTES_NULL;
    static const uint8_t types[] = {
        HANDLE_SIGN_TRANSCRIPT, HANDLE_SIGN_MESSAGE, HANDLE_SIGN_DIGEST, HANDLE_GET_STATE, 0, 0x81, 0xff
    };

    assert_int_equal(data_frame_build("demo", bytes_view_string("hello"), &framed), 0);
    for (int purpose = 0; purpose < _PURPOSE_COUNT; purpose++)
        for (size_t s = 0; s < ARRAY_LENGTH(scheme_ids); s++) {
            const SignatureScheme *scheme = scheme_by_id(scheme_ids[s]);
            bool pkcs1 = strncmp(scheme->name, "rsa_pkcs1", 9) == 0;
            bool tls = purpose == PURPOSE_TLS_CLIENT || purpose == PURPOSE_TLS_SERVER;
            TlsSide side = purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
            for (size_t size = 0; size <= sizeof(hash); size++) {
                BytesView view = { hash, size };
                int r = ask((Purpose) purpose, HANDLE_SIGN_TRANSCRIPT, scheme, view);
                if (tls)
                    assert_int_equal(r, pkcs1 ? -EPERM : size == 32 || size == 48 ? 0 : -EINVAL);
                else
                    assert_int_equal(r, purpose == PURPOSE_DIGEST ? -EINVAL : -EPERM);
                r = ask((Purpose) purpose, HANDLE_SIGN_DIGEST, scheme, view);
                assert_int_equal(r, purpose != PURPOSE_DIGEST ? -EPERM : size == (size_t) scheme->hash ? 0 : -EINVAL);
            }
            for (size_t size = 32; size <= 48; size += 16) {
                int length = certificate_verify_build(side, (BytesView) { hash, size }, own);
                assert_int_equal(certificate_verify_build(side == TLS_SIDE_CLIENT ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT,
                                                          (BytesView) { hash, size }, other),
                                 length);
                BytesView right = { own, (size_t) length }, wrong = { other, (size_t) length };
                bool digest = purpose == PURPOSE_DIGEST;
                assert_int_equal(ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, scheme, right),
                                 (tls && !pkcs1) || digest ? 0 : -EPERM);
                assert_int_equal(ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, scheme, wrong), digest ? 0 : -EPERM);
            }
            assert_int_equal(ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, scheme, bytes_view_string("hello")),
                             purpose == PURPOSE_DATA_RAW || purpose == PURPOSE_DIGEST ? 0 : -EPERM);
            assert_int_equal(ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, scheme, bytes_view(&framed)),
                             tls ? -EPERM : 0);
            for (size_t t = 3; t < ARRAY_LENGTH(types); t++)
                assert_int_equal(ask((Purpose) purpose, types[t], scheme, (BytesView) { hash, 32 }), -EPERM);
        }
    assert_int_equal(ask(_PURPOSE_INVALID, HANDLE_SIGN_DIGEST, P256, (BytesView) { hash, 32 }), -EPERM);
    assert_int_equal(ask(_PURPOSE_COUNT, HANDLE_SIGN_DIGEST, P256, (BytesView) { hash, 32 }), -EPERM);
}

/* What the TPM is to sign when that is asked. */
static void expect_digest(Purpose purpose, uint8_t type, const SignatureScheme *scheme, BytesView payload,
                          const uint8_t *expected) {
    const SignQuestion question = { purpose, "demo", scheme, type, payload };
    SignDigest digest;

    assert_int_equal(purpose_check(&question, &digest, NULL), 0);
    assert_int_equal(digest.size, scheme->hash);
    assert_memory_equal(digest.bytes, expected, digest.size);
}

static void digests_are_the_right_ones(void **state) {
    uint8_t hash[48], content[CERTIFICATE_VERIFY_MAX], expected[64];
    _cleanup_bytes_ Bytes framed = BYTES_NULL;

    memset(hash, 0x5a, sizeof(hash));
    for (unsigned server = 0; server < 2; server++)
        for (size_t length = 32; length <= 48; length += 16)
            for (size_t s = 0; s < ARRAY_LENGTH(scheme_ids); s++) {
                const SignatureScheme *scheme = scheme_by_id(scheme_ids[s]);
                if (!scheme->tls)
                    continue;
                /* the transcript's hash is the cipher suite's, the digest's is the scheme's: any pair */
                int n = certificate_verify_build(server ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT,
                                                 (BytesView) { hash, length }, content);
                assert_true(scheme_digest(scheme, content, (size_t) n, expected) > 0);
                Purpose purpose = server ? PURPOSE_TLS_SERVER : PURPOSE_TLS_CLIENT;
                expect_digest(purpose, HANDLE_SIGN_TRANSCRIPT, scheme, (BytesView) { hash, length }, expected);
                expect_digest(purpose, HANDLE_SIGN_MESSAGE, scheme, (BytesView) { content, (size_t) n }, expected);
            }
    assert_int_equal(scheme_digest(P256, "abc", 3, expected), 32);
    expect_digest(PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, P256, bytes_view_string("abc"), expected);
    assert_int_equal(data_frame_build("demo", bytes_view_string("abc"), &framed), 0);
    assert_int_equal(scheme_digest(P256, framed.data, framed.size, expected), 32);
    expect_digest(PURPOSE_DATA, HANDLE_SIGN_MESSAGE, P256, bytes_view(&framed), expected);
    expect_digest(PURPOSE_DIGEST, HANDLE_SIGN_DIGEST, P256, (BytesView) { hash, 32 }, hash);
}

/* A tls handle signs the one content and nothing a bit, a byte or a cut away from it. */
static void mutations_of_the_content(void **state) {
    uint8_t hash[48] = { 7 }, content[CERTIFICATE_VERIFY_MAX + 1];

    for (int purpose = PURPOSE_TLS_CLIENT; purpose <= PURPOSE_TLS_SERVER; purpose++) {
        TlsSide side = purpose == PURPOSE_TLS_SERVER ? TLS_SIDE_SERVER : TLS_SIDE_CLIENT;
        size_t size = (size_t) certificate_verify_build(side, (BytesView) { hash, 48 }, content);
        for (size_t bit = 0; bit < size * 8; bit++) {
            content[bit / 8] ^= (uint8_t) (1U << bit % 8);
            int r = ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, P256, (BytesView) { content, size });
            assert_int_equal(r, bit < 98 * 8 ? -EPERM : 0); /* beyond it lies the hash, which is anything */
            content[bit / 8] ^= (uint8_t) (1U << bit % 8);
        }
        for (size_t cut = 0; cut <= size + 1; cut++) {
            int r = ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, P256, (BytesView) { content, cut });
            assert_int_equal(r, cut == 130 || cut == 146 ? 0 : -EPERM);
        }
        assert_int_equal(ask((Purpose) purpose, HANDLE_SIGN_MESSAGE, P256, (BytesView) { content + 1, size - 1 }),
                         -EPERM);
    }
}

static void data_and_spaces(void **state) {
    uint8_t message[200];

    memset(message, 0x20, sizeof(message));
    for (size_t size = 0; size <= sizeof(message); size++)
        assert_int_equal(ask_data(message, size), size >= 64 || is_hash_size(size) ? -EPERM : 0);
    for (size_t i = 0; i < sizeof(message); i++) {
        message[i] = 'x';
        assert_int_equal(ask_data(message, sizeof(message)), i < 64 ? 0 : -EPERM);
        message[i] = 0x20;
    }
}

static void data_and_handshakes(void **state) {
    static const uint8_t assigned[] = { 0,  1,  2,  3,  4,  5,  6,  8,  9,  10, 11, 12, 13,
                                        14, 15, 16, 20, 21, 22, 23, 24, 25, 26, 67, 254 };
    uint8_t message[600] = { 0 };

    memset(message + 12, 0xa5, sizeof(message) - 12);
    for (size_t i = 0; i < sizeof(assigned); i++)
        for (size_t length = 0; length < 300; length += 1 + length / 7) {
            message[0] = assigned[i];
            message[2] = (uint8_t) (length >> 8);
            message[3] = (uint8_t) length;
            assert_int_equal(ask_data(message, 4 + length), -EPERM);      /* exactly this message */
            assert_int_equal(ask_data(message, sizeof(message)), -EPERM); /* others behind it */
            if (length > 0 && assigned[i] > 0) /* 0 may be the length of a string of SSH, which is tested elsewhere */
                assert_int_equal(ask_data(message, 3 + length), is_hash_size(3 + length) ? -EPERM : 0); /* too short */
            /* DTLS: sequence 0, fragment offset 0, fragment length = length */
            memcpy(message + 9, message + 1, 3);
            assert_int_equal(ask_data(message, 12 + length), -EPERM);
            message[1] = 1; /* 65536 more than there is */
            assert_int_equal(ask_data(message, sizeof(message)), 0);
            message[1] = 0;
        }
    memset(message, 0, 4);
    for (unsigned type = 27; type < 256; type++) {
        message[0] = (uint8_t) type;
        if (type != 67 && type != 254 && type != 0x30)
            assert_int_equal(ask_data(message, 4), 0);
    }
    /* what people sign */
    assert_int_equal(ask_data("{\"temperature\":21.53}", 21), 0);
    assert_int_equal(ask_data("", 0), 0);
    assert_int_equal(ask_data("\x01", 1), 0);
    assert_int_equal(ask_data("\x01\x00\x00", 3), 0);
    assert_int_equal(ask_data("\x7f"
                              "ELF\x02\x01\x01\x00",
                              8),
                     0);
    assert_int_equal(ask_data("\x1f\x8b\x08\x00\x00\x00\x00\x00", 8), 0);
    assert_int_equal(ask_data("PK\x03\x04\x14\x00\x00\x00", 8), 0);
}

typedef struct Shape {
    const char *name;
    size_t size;
    uint8_t bytes[64];
} Shape;

static void data_and_key_exchanges(void **state) {
    static const Shape shapes[] = {
        { "ECDHE P-256 (point cut down to 5)", 9, { 3, 0, 23, 5, 4, 1, 2, 3, 4 } },
        { "ECDHE X25519", 36, { 3, 0, 29, 32, [4 ... 35] = 7 } },
        { "ECDHE private group", 6, { 3, 0xfe, 1, 2, 9, 9 } },
        { "DHE", 11, { 0, 3, 9, 9, 9, 0, 1, 2, 0, 1, 7 } },
        { "SRP", 13, { 0, 2, 9, 9, 0, 1, 2, 1, 5, 0, 2, 7, 7 } },
        { "explicit prime", 15, { 1, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9 } },
        { "explicit char2 trinomial", 18, { 2, 0, 163, 1, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9 } },
        { "explicit char2 pentanomial", 22, { 2, 0, 163, 2, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9, 1, 9 } },
    };
    uint8_t message[64 + 64 + 1];

    for (size_t i = 0; i < ARRAY_LENGTH(shapes); i++) {
        memset(message, 'r', 64); /* two randoms; no other refusal fits them */
        memcpy(message + 64, shapes[i].bytes, shapes[i].size);
        message[64 + shapes[i].size] = 0;
        for (size_t size = 0; size <= 64 + shapes[i].size + 1; size++) {
            int r = ask_data(message, size);
            if (r != (size == 64 + shapes[i].size || is_hash_size(size) ? -EPERM : 0))
                fail_msg("%s cut to %zu: %d", shapes[i].name, size, r);
        }
        assert_int_equal(ask_data(message + 1, 63 + shapes[i].size), 0); /* not after 64 bytes */
    }
    memset(message, 'r', sizeof(message));
    memcpy(message + 64, "\x04\x00\x17\x01\x09", 5); /* no such curve type */
    assert_int_equal(ask_data(message, 69), 0);
}

static void data_and_sequences(void **state) {
    static uint8_t message[70000];

    for (size_t length = 0; length < 65000; length += 1 + length / 3) {
        uint8_t headers[5][6] = {
            { 0x30, 0x81, (uint8_t) length },
            { 0x30, 0x82, (uint8_t) (length >> 8), (uint8_t) length },
            { 0x30, 0x83, 0, (uint8_t) (length >> 8), (uint8_t) length },
            { 0x30, 0x84, 0, 0, (uint8_t) (length >> 8), (uint8_t) length },
            { 0x30, (uint8_t) length },
        };
        static const size_t sizes[5] = { 3, 4, 5, 6, 2 };
        for (size_t form = 0; form < 5; form++) {
            if ((form == 0 && length > 255) || (form == 4 && length > 127))
                continue;
            memset(message, 'x', sizes[form] + length + 1);
            memcpy(message, headers[form], sizes[form]);
            size_t whole = sizes[form] + length;
            assert_int_equal(ask_data(message, whole), -EPERM);
            /* not one whole SEQUENCE */
            assert_int_equal(ask_data(message, whole + 1), is_hash_size(whole + 1) ? -EPERM : 0);
            assert_int_equal(ask_data(message, whole - 1), is_hash_size(whole - 1) ? -EPERM : 0);
            for (unsigned tag = 0x2f; tag <= 0x31; tag += 2) { /* a SET: CMS signed attributes */
                message[0] = (uint8_t) tag;
                assert_int_equal(ask_data(message, whole), is_hash_size(whole) ? -EPERM : 0);
            }
        }
    }
    assert_int_equal(ask_data("\x30\x80\x01\x00\x00\x00", 6), -EPERM); /* indefinite */
    assert_int_equal(ask_data("\x30\x80\x00\x00", 4), -EPERM);
    assert_int_equal(ask_data("\x30\x80\x00", 3), 0);
    assert_int_equal(ask_data("\x30\x80\x01\x01\x01", 5), 0);
    assert_int_equal(ask_data("\x30", 1), 0);
    assert_int_equal(ask_data("\x30\xff", 2), 0);
    /* a length of more octets than a size_t has */
    memset(message, 0xff, 40);
    message[0] = 0x30;
    message[1] = 0x80 | 20;
    assert_int_equal(ask_data(message, 40), 0);
    memcpy(message + 1, "\x89\x01\0\0\0\0\0\0\0\x12", 10); /* 2^64 + 18 is not 18 */
    assert_int_equal(ask_data(message, 11 + 18), 0);
    message[1] = 0x80 | 20;
    memset(message + 2, 0, 20); /* twenty octets that say 18 */
    message[21] = 18;
    assert_int_equal(ask_data(message, 40), -EPERM);
}

/* OpenSSL reads the identifier for high tag numbers as SEQUENCE too. */
static void data_and_long_identifiers(void **state) {
    assert_int_equal(ask_data("\x3f\x10\x03\x02\x01\x05", 6), -EPERM);
    assert_int_equal(ask_data("\x3f\x80\x80\x10\x03\x02\x01\x05", 8), -EPERM);
    assert_int_equal(ask_data("\x3f\x10\x80\x02\x01\x05\x00\x00", 8), -EPERM);
    assert_int_equal(ask_data("\x3f\x10\x04\x02\x01\x05", 6), 0); /* not whole */
    assert_int_equal(ask_data("\x3f\x0f\x03\x02\x01\x05", 6), 0); /* another tag */
    assert_int_equal(ask_data("\x3f\x90\x10\x03\x02\x01\x05", 7), 0);
    assert_int_equal(ask_data("\x1f\x10\x03\x02\x01\x05", 6), 0); /* primitive */
    assert_int_equal(ask_data("?\x80\x80\x80\x80\x80\x80", 7), 0);
    assert_int_equal(ask_data("?", 1), 0);
    assert_int_equal(ask_data("? or not", 8), 0);
}

static void data_and_v2_hellos(void **state) {
    /* msg_type, version 3.3, cipher_spec_length 3, session_id_length 0, challenge_length 16 (RFC 5246 §E.2) */
    uint8_t message[300] = { 1, 3, 3, 0, 3, 0, 0, 0, 16, 0, 0x00, 0x2f };

    for (unsigned minor = 0; minor < 256; minor++) {
        message[2] = (uint8_t) minor;
        assert_int_equal(ask_data(message, sizeof(message)), -EPERM);
        assert_int_equal(ask_data(message, 3), -EPERM);
    }
    assert_int_equal(ask_data(message, 2), 0);
    message[1] = 4;
    assert_int_equal(ask_data(message, sizeof(message)), 0);
    memcpy(message, "\x01\x00\x02", 3); /* version 2 */
    message[3] = 0xff;                  /* no handshake message that fits */
    assert_int_equal(ask_data(message, sizeof(message)), -EPERM);
}

static void data_and_ike(void **state) {
    /* SPIs, next payload SA, version 2.0, IKE_SA_INIT, flags, message id 0, length 28 + 40 */
    uint8_t message[200] = "IIIIIIII\0\0\0\0\0\0\0\0\x21\x20\x22\x08\0\0\0\0\0\0\0\x44";

    memset(message + 28, 'x', sizeof(message) - 28); /* payloads, then the other's nonce and the MAC of the identity */
    for (size_t size = 0; size <= sizeof(message); size++)
        assert_int_equal(ask_data(message, size), size >= 28 || is_hash_size(size) ? -EPERM : 0);
    /* strongSwan took a minor version of 1 (RFC 7296 §2.5 has it ignored). */
    message[17] = 0x21;
    assert_int_equal(ask_data(message, sizeof(message)), -EPERM);
}

/* ContentType with a value that follows, and a MessageDigest: what every signature of CMS has. */
#define CONTENT_TYPE   "\x30\x18\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x03\x31\x0b"
#define ID_DATA        "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x01"
#define ID_PKI_DATA    "\x06\x09\x2b\x06\x01\x05\x05\x07\x0c\x02\x00"
#define DIGEST         "0123456789abcdef0123456789abcdef"
#define MESSAGE_DIGEST "\x30\x2f\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x04\x31\x22\x04\x20" DIGEST
/* 2.16.840.1.113733.1.9.2, a PrintableString "17": the message type of SCEP, RenewalReq */
#define SCEP_TYPE "\x30\x12\x06\x0a\x60\x86\x48\x01\x86\xf8\x45\x01\x09\x02\x31\x04\x13\x02\x31\x37"

static void data_and_cms(void **state) {
    static const struct {
        const char *message;
        size_t size;
        int verdict;
    } sets[] = {
#define SET(length, text, verdict) { "\x31" length text, sizeof("\x31" length text) - 1, verdict }
        SET("\x4b", CONTENT_TYPE ID_DATA MESSAGE_DIGEST, 0),
        SET("\x31", MESSAGE_DIGEST, -EPERM), /* no content type */
        SET("\x4b", CONTENT_TYPE ID_PKI_DATA MESSAGE_DIGEST, -EPERM),
        SET("\x5f", SCEP_TYPE CONTENT_TYPE ID_DATA MESSAGE_DIGEST, -EPERM),
        SET("\x81\x4b", CONTENT_TYPE ID_DATA MESSAGE_DIGEST, -EPERM), /* not DER */
        SET("\x80", CONTENT_TYPE ID_DATA MESSAGE_DIGEST "\x00\x00", -EPERM),
        SET("\x4b", MESSAGE_DIGEST CONTENT_TYPE ID_DATA, -EPERM), /* in another order than that of DER */
        SET("\x02", "\x30\x00", -EPERM),                          /* no attribute */
        SET("\x4c", CONTENT_TYPE ID_DATA MESSAGE_DIGEST, 0),      /* not whole: no SET of anybody */
        SET("\x00", "", 0),
        SET("\x03", "abc", 0), /* a text that begins with the digit 1 */
#undef SET
    };

    for (size_t i = 0; i < ARRAY_LENGTH(sets); i++) {
        int r = ask_data(sets[i].message, sets[i].size);
        if (r != sets[i].verdict)
            fail_msg("set %zu: %d", i, r);
    }
}

/* The same refusals do not depend on the scheme, and the limit of a packet is served. */
static void data_is_refused_for_every_scheme(void **state) {
    static uint8_t big[65536];

    memset(big, 'x', sizeof(big));
    for (size_t s = 0; s < ARRAY_LENGTH(scheme_ids); s++) {
        const SignatureScheme *scheme = scheme_by_id(scheme_ids[s]);
        assert_int_equal(ask(PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, scheme, (BytesView) { (const uint8_t *) "0\0", 2 }),
                         -EPERM);
        assert_int_equal(ask(PURPOSE_DATA_RAW, HANDLE_SIGN_MESSAGE, scheme, (BytesView) { big, sizeof(big) }), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),
        cmocka_unit_test(digests_are_the_right_ones),
        cmocka_unit_test(mutations_of_the_content),
        cmocka_unit_test(data_and_spaces),
        cmocka_unit_test(data_and_handshakes),
        cmocka_unit_test(data_and_key_exchanges),
        cmocka_unit_test(data_and_sequences),
        cmocka_unit_test(data_and_long_identifiers),
        cmocka_unit_test(data_and_v2_hellos),
        cmocka_unit_test(data_and_ike),
        cmocka_unit_test(data_and_cms),
        cmocka_unit_test(data_is_refused_for_every_scheme),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
