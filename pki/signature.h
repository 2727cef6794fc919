/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of certificates, CRLs and OCSP answers: which algorithms count, and one check with one key. Internal to
 * pki/. */
#pragma once

#include "pki/certificate.h"

#include <gnutls/gnutls.h>

/* RSA (PKCS#1 or PSS) and ECDSA with SHA-256 or better, Ed25519, Ed448; nothing with MD5 or SHA-1. */
bool signature_is_acceptable(gnutls_sign_algorithm_t algorithm);
/* For sentences; never NULL. */
const char *signature_name(gnutls_sign_algorithm_t algorithm);

/* Whether a key may sign certificates or statements: RSA of 2048 to RSA_BITS_MAX bits with an exponent of at most 64
 * bits, since checking a signature must cost little whoever made the key; curves of 256 bits and more. `ret_reason`
 * (static) on false. */
#define RSA_BITS_MAX 8192U
bool key_is_acceptable(const Certificate *certificate, const char **ret_reason);

/* Whether `signature` over `data` is by the key of `signer`. `weak_too`: also where the algorithm is not acceptable,
 * for signatures that nothing depends on. */
bool signature_verify(const Certificate *signer, gnutls_sign_algorithm_t algorithm, BytesView data, BytesView signature,
                      bool weak_too);
/* The same, strictly, with the salt that an RSA-PSS signature says it has, in bytes; -1: it is none. */
bool signature_verify_salted(const Certificate *signer, gnutls_sign_algorithm_t algorithm, int salt, BytesView data,
                             BytesView signature);
/* The same for the signature of a certificate. Names are not compared. */
bool certificate_is_signed_by(const Certificate *certificate, const Certificate *signer, bool weak_too);
