/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Raw signatures as GnuTLS verifies them. */
#pragma once

#include "common/bytes.h"
#include "common/scheme.h"
#include "pki/certificate.h"

/* Whether `signature` is one of `message` by the certificate's key with this scheme. 0; -EBADMSG: it is not; -ENOTSUP:
 * the scheme is not for such a key. */
int signature_check(const Certificate *certificate, const SignatureScheme *scheme, BytesView message,
                    BytesView signature);

/* Digest of what a descriptor still holds, whatever its size, with the scheme's hash. Returns its length or -errno. */
int signature_digest_fd(int fd, const SignatureScheme *scheme, uint8_t ret[static 64]);

/* The schemes that a certificate's key may have used, at most SCHEMES_PER_KEY_MAX; returns how many. */
size_t signature_schemes(const Certificate *certificate, const SignatureScheme *ret[static SCHEMES_PER_KEY_MAX]);
