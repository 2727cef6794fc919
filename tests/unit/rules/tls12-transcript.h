/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A transcript that a client of TLS 1.2 would sign, for tests of who is asked to. */
#pragma once

#include "common/bytes.h"

#include <string.h>

#define TLS12_TRANSCRIPT_MAX 8192U

/* In which the client shows `leaf`, DER, and the server asks for ecdsa_secp256r1_sha256. Its size. */
static inline size_t tls12_transcript_with(BytesView leaf, uint8_t ret[static TLS12_TRANSCRIPT_MAX]) {
    static const uint8_t front[] = "\x01\x00\x00\x29\x03\x03"
                                   "0123456789abcdef0123456789abcdef"
                                   "\x00\x00\x02\xc0\x2b\x01\x00"
                                   "\x02\x00\x00\x26\x03\x03"
                                   "0123456789abcdef0123456789abcdef"
                                   "\x00\xc0\x2b\x00"
                                   "\x0b\x00\x00\x07\x00\x00\x04\x00\x00\x01"
                                   "s"
                                   "\x0d\x00\x00\x08\x01\x40\x00\x02\x04\x03\x00\x00"
                                   "\x0e\x00\x00\x00";
    static const uint8_t end[] = "\x10\x00\x00\x04"
                                 "\x03"
                                 "pub";
    uint8_t *at = ret;

    memcpy(at, front, sizeof(front) - 1);
    at += sizeof(front) - 1;
    const size_t sizes[] = { leaf.size + 6, leaf.size + 3, leaf.size };
    *at++ = 11;
    for (size_t i = 0; i < 3; i++) {
        *at++ = 0;
        *at++ = (uint8_t) (sizes[i] >> 8);
        *at++ = (uint8_t) sizes[i];
    }
    memcpy(at, leaf.data, leaf.size);
    at += leaf.size;
    memcpy(at, end, sizeof(end) - 1);
    return (size_t) (at + sizeof(end) - 1 - ret);
}
