/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AlgorithmIdentifiers of our signatures in DER, which OpenSSL asks for when it makes requests, certificates and CMS
 * (RFC 5758 §3.2 for ECDSA, RFC 8017 appendix A.2 for RSA). They are constants: nothing is encoded here. */
#include "openssl/provider.h"

#include <string.h>

#define ECDSA_SHA2 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03
#define PKCS1      0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01
#define SHA2(n)    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, n, 0x05, 0x00
#define PSS(n, salt)                                                                                                   \
    {                                                                                                                  \
        0x30, 0x41, 0x06, 0x09, PKCS1, 0x0a, 0x30, 0x34, 0xa0, 0x0f, SHA2(n), 0xa1, 0x1c, 0x30, 0x1a, 0x06, 0x09,      \
            PKCS1, 0x08, SHA2(n), 0xa2, 0x03, 0x02, 0x01, salt                                                         \
    }

static const uint8_t ecdsa_sha256[] = { 0x30, 0x0a, 0x06, 0x08, ECDSA_SHA2, 0x02 };
static const uint8_t ecdsa_sha384[] = { 0x30, 0x0a, 0x06, 0x08, ECDSA_SHA2, 0x03 };
static const uint8_t ecdsa_sha512[] = { 0x30, 0x0a, 0x06, 0x08, ECDSA_SHA2, 0x04 };
static const uint8_t rsa_sha256[] = { 0x30, 0x0d, 0x06, 0x09, PKCS1, 0x0b, 0x05, 0x00 };
static const uint8_t rsa_sha384[] = { 0x30, 0x0d, 0x06, 0x09, PKCS1, 0x0c, 0x05, 0x00 };
static const uint8_t rsa_sha512[] = { 0x30, 0x0d, 0x06, 0x09, PKCS1, 0x0d, 0x05, 0x00 };
static const uint8_t pss_sha256[] = PSS(0x01, 32);
static const uint8_t pss_sha384[] = PSS(0x02, 48);
static const uint8_t pss_sha512[] = PSS(0x03, 64);

static const struct {
    uint16_t scheme;
    const uint8_t *der;
    size_t size;
} identifiers[] = {
    { 0x0403, ecdsa_sha256, sizeof ecdsa_sha256 }, { 0x0503, ecdsa_sha384, sizeof ecdsa_sha384 },
    { 0x0603, ecdsa_sha512, sizeof ecdsa_sha512 }, { 0x0401, rsa_sha256, sizeof rsa_sha256 },
    { 0x0501, rsa_sha384, sizeof rsa_sha384 },     { 0x0601, rsa_sha512, sizeof rsa_sha512 },
    { 0x0804, pss_sha256, sizeof pss_sha256 },     { 0x0805, pss_sha384, sizeof pss_sha384 },
    { 0x0806, pss_sha512, sizeof pss_sha512 },
};

const uint8_t *algorithm_id(uint16_t scheme, size_t *ret_size) {
    for (size_t i = 0; i < sizeof identifiers / sizeof *identifiers; i++)
        if (identifiers[i].scheme == scheme) {
            *ret_size = identifiers[i].size;
            return identifiers[i].der;
        }
    return NULL;
}
