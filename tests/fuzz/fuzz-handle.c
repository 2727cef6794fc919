/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a holder's bytes pass through before the TPM: packets, fields and purposes. What must hold whatever comes in is
 * required, so that a wrong verdict is found like a crash. */
#include "fuzz.h"

#include "common/packet.h"
#include "common/tlv.h"
#include "signing/signing.h"

#include <string.h>
#include <sys/socket.h>

static PacketBuffer buffer;

/* A packet that is taken is sent on as the same bytes; one that is refused had a reason. */
static bool try_packet(const uint8_t *data, size_t size, Packet *ret) {
    int pair[2];

    require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    bool sent = send(pair[1], data, size, MSG_NOSIGNAL) == (ssize_t) size;
    Packet packet = PACKET_INIT;
    int r = sent ? packet_receive(pair[0], &buffer, false, &packet) : -EPROTO;
    bool good = size >= PACKET_HEADER_SIZE && size <= PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX &&
                data[0] == PACKET_VERSION && data[14] == 0 && data[15] == 0;
    require(!sent || (size == 0 ? r == PACKET_CLOSED : good ? r == PACKET_RECEIVED : r == -EPROTO));
    if (r == PACKET_RECEIVED) {
        static uint8_t again[PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX];
        require(packet.payload.size == size - PACKET_HEADER_SIZE);
        require(packet_send(pair[0], &packet.header, packet.payload, NULL, 0) == 0);
        require(recv(pair[1], again, sizeof(again), 0) == (ssize_t) size && memcmp(again, data, size) == 0);
        *ret = packet;
    }
    close(pair[0]);
    close(pair[1]);
    return r == PACKET_RECEIVED;
}

/* Fields that were read and written again are the bytes that were read. */
static void try_tlv(BytesView body) {
    TlvReader reader = { body };
    _cleanup_bytes_ Bytes again = BYTES_NULL;
    uint16_t tag;
    BytesView value;
    int r;

    while ((r = tlv_read(&reader, &tag, &value)) == 1) {
        uint8_t u8;
        uint16_t u16;
        uint32_t u32;
        uint64_t u64;
        char *string = NULL;
        require((tlv_value_u8(value, &u8) == 0) == (value.size == 1));
        require((tlv_value_u16(value, &u16) == 0) == (value.size == 2));
        require((tlv_value_u32(value, &u32) == 0) == (value.size == 4));
        require((tlv_value_u64(value, &u64) == 0) == (value.size == 8));
        if (tlv_value_string(value, 64, &string) == 0)
            require(strlen(string) == value.size && value.size >= 1 && value.size <= 64);
        free(string);
        require(tlv_append(&again, tag, value) == 0);
    }
    require(r == 0 || r == -EBADMSG);
    require(again.size <= body.size && (again.size == 0 || memcmp(again.data, body.data, again.size) == 0));
    require((r == 0) == (again.size == body.size));
}

static void try_purposes(const PacketHeader *header, BytesView payload) {
    const SignatureScheme *scheme = scheme_by_id(header->scheme) ?: scheme_by_id(0x0403);

    for (int purpose = 0; purpose < _PURPOSE_COUNT; purpose++) {
        const SignQuestion question = { (Purpose) purpose, "demo", scheme, header->type, payload };
        uint8_t expected[64];
        SignDigest digest;
        Failure failure = FAILURE_INIT;
        int r = purpose_check(&question, &digest, &failure);
        require(r == 0 || (r == -EPERM && failure.kind == FAILURE_PURPOSE_VIOLATION) ||
                (r == -EINVAL && failure.kind == FAILURE_INVALID_ARGUMENT));
        if (r < 0)
            continue;
        require(digest.size == (size_t) scheme->hash);
        bool message = header->type == HANDLE_SIGN_MESSAGE;
        bool spaces = payload.size >= 64;
        for (size_t i = 0; i < 64 && spaces; i++)
            spaces = payload.data[i] == 0x20;
        switch ((Purpose) purpose) {
        case PURPOSE_TLS_CLIENT:
        case PURPOSE_TLS_SERVER:
            require(scheme->tls);
            require(message ? (payload.size == 130 || payload.size == 146) && spaces &&
                                  payload.data[73] == (purpose == PURPOSE_TLS_CLIENT ? 'c' : 's')
                            : header->type == HANDLE_SIGN_TRANSCRIPT);
            break;
        case PURPOSE_DATA: /* set of sequences, array of four, or tildes: each whole */
            require(message && payload.size > 14 &&
                    (memcmp(payload.data, "\x84\x6aSignature1", 12) == 0 ||
                     (payload.data[0] == 0x31 && payload.size >= 77) ||
                     (payload.data[0] == 0x7e && payload.size >= 87)));
            break;
        case PURPOSE_DATA_RAW:
            require(message && !spaces &&
                    !(payload.size > 1 && payload.data[0] == 0x30 && payload.data[1] < 0x80 &&
                      payload.data[1] == payload.size - 2));
            break;
        default:
            require(message || header->type == HANDLE_SIGN_DIGEST);
        }
        if (message)
            require(scheme_digest(scheme, payload.data, payload.size, expected) == (int) digest.size &&
                    memcmp(digest.bytes, expected, digest.size) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Packet packet = PACKET_INIT;

    if (!try_packet(data, size, &packet))
        return 0;
    /* An exact copy: a read beyond it is seen, which behind the shared buffer it would not be. */
    _cleanup_free_ uint8_t *exact = malloc(packet.payload.size ?: 1);
    memcpy(exact, packet.payload.data, packet.payload.size);
    BytesView payload = { exact, packet.payload.size };
    try_tlv(payload);
    for (uint8_t type = HANDLE_SIGN_TRANSCRIPT; type <= HANDLE_SIGN_DIGEST; type++) {
        packet.header.type = type;
        try_purposes(&packet.header, payload);
    }
    return 0;
}
