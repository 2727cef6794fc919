/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of signature schemes and key algorithms; everything else in the project asks it. */
#include "common/scheme.h"

#include "common/macros.h"

#include <string.h>

static const char *const algorithm_names[_KEY_ALGORITHM_COUNT] = {
    [KEY_ECDSA_P256] = "ecdsa-p256",
    [KEY_ECDSA_P384] = "ecdsa-p384",
    [KEY_RSA_2048] = "rsa-2048",
    [KEY_RSA_3072] = "rsa-3072",
};

/* In order of preference within a kind of key: PSS before PKCS #1, the smaller hash first. */
static const SignatureScheme schemes[] = {
    { 0x0403, "ecdsa_secp256r1_sha256", SCHEME_ECDSA, SCHEME_SHA256, true },
    { 0x0503, "ecdsa_secp384r1_sha384", SCHEME_ECDSA, SCHEME_SHA384, true },
    { 0x0804, "rsa_pss_rsae_sha256", SCHEME_RSA_PSS, SCHEME_SHA256, true },
    { 0x0805, "rsa_pss_rsae_sha384", SCHEME_RSA_PSS, SCHEME_SHA384, true },
    { 0x0806, "rsa_pss_rsae_sha512", SCHEME_RSA_PSS, SCHEME_SHA512, true },
    { 0x0401, "rsa_pkcs1_sha256", SCHEME_RSA_PKCS1, SCHEME_SHA256, false },
    { 0x0501, "rsa_pkcs1_sha384", SCHEME_RSA_PKCS1, SCHEME_SHA384, false },
    { 0x0601, "rsa_pkcs1_sha512", SCHEME_RSA_PKCS1, SCHEME_SHA512, false },
};

const char *key_algorithm_to_string(KeyAlgorithm algorithm) {
    return (unsigned) algorithm < _KEY_ALGORITHM_COUNT ? algorithm_names[algorithm] : NULL;
}

KeyAlgorithm key_algorithm_from_string(const char *name) {
    for (int i = 0; name && i < _KEY_ALGORITHM_COUNT; i++)
        if (strcmp(algorithm_names[i], name) == 0)
            return (KeyAlgorithm) i;
    return _KEY_ALGORITHM_INVALID;
}

const SignatureScheme *scheme_by_id(uint16_t id) {
    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++)
        if (schemes[i].id == id)
            return &schemes[i];
    return NULL;
}

const SignatureScheme *scheme_by_name(const char *name) {
    for (size_t i = 0; name && i < ARRAY_LENGTH(schemes); i++)
        if (strcmp(schemes[i].name, name) == 0)
            return &schemes[i];
    return NULL;
}

bool scheme_fits(const SignatureScheme *scheme, KeyAlgorithm algorithm) {
    switch (algorithm) {
    case KEY_ECDSA_P256:
        return scheme->padding == SCHEME_ECDSA && scheme->hash == SCHEME_SHA256;
    case KEY_ECDSA_P384:
        return scheme->padding == SCHEME_ECDSA && scheme->hash == SCHEME_SHA384;
    case KEY_RSA_2048:
    case KEY_RSA_3072:
        return scheme->padding != SCHEME_ECDSA;
    default:
        return false;
    }
}

size_t scheme_list(KeyAlgorithm algorithm, const SignatureScheme *ret[static SCHEMES_PER_KEY_MAX]) {
    size_t count = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++)
        if (scheme_fits(&schemes[i], algorithm))
            ret[count++] = &schemes[i];
    return count;
}
