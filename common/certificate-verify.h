/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The content that a TLS 1.3 CertificateVerify signs (RFC 8446 §4.4.3): 64 × 0x20, the side's context string,
 * 0x00, the transcript hash. */
#pragma once

#include "common/bytes.h"

typedef enum TlsSide {
    TLS_SIDE_CLIENT,
    TLS_SIDE_SERVER,
} TlsSide;

#define CERTIFICATE_VERIFY_MAX (64U + 33U + 1U + 48U)

/* Builds the content into `ret`; returns its length (130 or 146), or -EINVAL unless the hash has 32 or 48
 * bytes. */
int certificate_verify_build(TlsSide side, BytesView transcript_hash, uint8_t ret[static CERTIFICATE_VERIFY_MAX]);

/* Whether `message` is exactly such a content for `side`. */
bool certificate_verify_matches(TlsSide side, BytesView message);
