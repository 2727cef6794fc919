/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The mechanisms: what the keys of the token can do, and hashes, without which some programs (Java's provider) do not
 * believe that a key signs what was hashed with them. */
#include "client-lib/pkcs11/module.h"
#include "common/scheme.h"

const MechanismInfo mechanisms[] = {
    { CKM_ECDSA, CKK_EC, SCHEME_ECDSA, 0 },
    { CKM_ECDSA_SHA256, CKK_EC, SCHEME_ECDSA, SCHEME_SHA256 },
    { CKM_ECDSA_SHA384, CKK_EC, SCHEME_ECDSA, SCHEME_SHA384 },
    { CKM_ECDSA_SHA512, CKK_EC, SCHEME_ECDSA, SCHEME_SHA512 },
    { CKM_RSA_PKCS, CKK_RSA, SCHEME_RSA_PKCS1, 0 },
    { CKM_SHA256_RSA_PKCS, CKK_RSA, SCHEME_RSA_PKCS1, SCHEME_SHA256 },
    { CKM_SHA384_RSA_PKCS, CKK_RSA, SCHEME_RSA_PKCS1, SCHEME_SHA384 },
    { CKM_SHA512_RSA_PKCS, CKK_RSA, SCHEME_RSA_PKCS1, SCHEME_SHA512 },
    { CKM_RSA_PKCS_PSS, CKK_RSA, SCHEME_RSA_PSS, 0 },
    { CKM_SHA256_RSA_PKCS_PSS, CKK_RSA, SCHEME_RSA_PSS, SCHEME_SHA256 },
    { CKM_SHA384_RSA_PKCS_PSS, CKK_RSA, SCHEME_RSA_PSS, SCHEME_SHA384 },
    { CKM_SHA512_RSA_PKCS_PSS, CKK_RSA, SCHEME_RSA_PSS, SCHEME_SHA512 },
    { CKM_SHA256, MECHANISM_NO_KEY, 0, SCHEME_SHA256 },
    { CKM_SHA384, MECHANISM_NO_KEY, 0, SCHEME_SHA384 },
    { CKM_SHA512, MECHANISM_NO_KEY, 0, SCHEME_SHA512 },
};
const size_t mechanism_count = ARRAY_LENGTH(mechanisms);

const MechanismInfo *mechanism_find(CK_MECHANISM_TYPE type) {
    for (size_t i = 0; i < mechanism_count; i++)
        if (mechanisms[i].type == type)
            return &mechanisms[i];
    return NULL;
}

const MechanismInfo *mechanism_find_signing(CK_MECHANISM_TYPE type) {
    const MechanismInfo *found = mechanism_find(type);

    return found && found->key_type != MECHANISM_NO_KEY ? found : NULL;
}

const MechanismInfo *mechanism_find_hash(CK_MECHANISM_TYPE type) {
    const MechanismInfo *found = mechanism_find(type);

    return found && found->key_type == MECHANISM_NO_KEY ? found : NULL;
}
