/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 8446 §4.4.3, and nothing else: one builder, and a check that builds and compares. */
#include "common/certificate-verify.h"

#include <string.h>

#define SPACES         64U
#define CONTEXT_LENGTH 33U

int certificate_verify_build(TlsSide side, BytesView transcript_hash, uint8_t ret[static CERTIFICATE_VERIFY_MAX]) {
    static const char client[CONTEXT_LENGTH + 1U] = "TLS 1.3, client CertificateVerify";
    static const char server[CONTEXT_LENGTH + 1U] = "TLS 1.3, server CertificateVerify";

    if (transcript_hash.size != 32 && transcript_hash.size != 48)
        return -EINVAL;
    memset(ret, 0x20, SPACES);
    memcpy(ret + SPACES, side == TLS_SIDE_CLIENT ? client : server, CONTEXT_LENGTH + 1U); /* with the 0x00 */
    memcpy(ret + SPACES + CONTEXT_LENGTH + 1U, transcript_hash.data, transcript_hash.size);
    return (int) (SPACES + CONTEXT_LENGTH + 1U + transcript_hash.size);
}

bool certificate_verify_matches(TlsSide side, BytesView message) {
    const size_t prefix = SPACES + CONTEXT_LENGTH + 1U;
    uint8_t expected[CERTIFICATE_VERIFY_MAX];

    if (message.size < prefix)
        return false;
    int length = certificate_verify_build(side, (BytesView) { message.data + prefix, message.size - prefix }, expected);
    return length > 0 && memcmp(expected, message.data, (size_t) length) == 0;
}
