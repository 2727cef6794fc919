/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of schemes in GnuTLS's words, and what a private key that is elsewhere answers GnuTLS. */
#pragma once

#include "common/bytes.h"
#include "common/scheme.h"

#include <gnutls/gnutls.h>

gnutls_digest_algorithm_t scheme_hash_to_gnutls(SchemeHash hash);

/* For verifying a signature: for ECDSA the algorithm that leaves the curve to the key. */
gnutls_sign_algorithm_t scheme_to_gnutls(const SignatureScheme *scheme);

/* GnuTLS has two numbers for ECDSA on each curve, TLS 1.3's and the older one, and two for RSA-PSS. NULL: none of ours.
 */
const SignatureScheme *scheme_from_gnutls(gnutls_sign_algorithm_t algorithm);

/* What a sign_hash callback is asked for: the scheme, and into `ret_digest` the digest, whose length is the scheme's.
 * For RSA PKCS#1, GNUTLS_SIGN_RSA_RAW, GnuTLS brings a ready DigestInfo, which is taken apart into `plain`. NULL: what
 * we do not sign. */
const SignatureScheme *scheme_from_gnutls_hash(gnutls_sign_algorithm_t algorithm, const gnutls_datum_t *hash,
                                               uint8_t plain[static 64], BytesView *ret_digest);

typedef struct KeyInformation {
    gnutls_pk_algorithm_t algorithm;
    unsigned bits;
    bool (*has_scheme)(const SignatureScheme *scheme, const void *userdata);
    const void *userdata;
} KeyInformation;

/* The answer of an info callback of gnutls_privkey_import_ext4(): GnuTLS negotiates nothing that it denies. */
int key_information_answer(const KeyInformation *information, unsigned flags);
