/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a client of TLS 1.2 signs (RFC 5246 §7.4.8): all handshake messages so far, as they were. With TLS12=yes a
 * `tls-client` handle signs exactly that, with its own certificate in it, and nothing that could be meant for anything
 * else. */
#pragma once

#include "common/bytes.h"
#include "common/scheme.h"

#define TLS12_FIRST_BYTE 1 /* of the ClientHello; what TLS 1.3 signs begins with a space */

/* Why `message` is not the transcript of a full handshake from the ClientHello to the ClientKeyExchange, in which the
 * client shows `certificate` (DER) and the server asks for signatures of `scheme`: a clause about "it", static. NULL if
 * it is. */
const char *tls12_refusal(BytesView message, BytesView certificate, uint16_t scheme);

/* The scheme that the TPM signs with for `scheme` and this key: TLS 1.2 lets ECDSA go with a shorter hash than the
 * curve's (RFC 5246 §7.4.1.4.1), and servers ask for SHA-256 alone. `scheme` itself where that fits the key; NULL where
 * none does. */
const SignatureScheme *tls12_key_scheme(const SignatureScheme *scheme, KeyAlgorithm algorithm);
/* Makes of a digest the one that `key_scheme` signs, for the same signature: a hash that is shorter than the curve's
 * order is a smaller number (FIPS 186-4 §6.4). Its new size. */
size_t tls12_fit_digest(const SignatureScheme *key_scheme, uint8_t digest[static 64], size_t size);
