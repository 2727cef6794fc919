/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The calls of the library that sign, with what can be refused before identityd is asked; and the names of schemes. */
#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"

static const SignatureScheme *known_scheme(uint16_t id) {
    const SignatureScheme *scheme = scheme_by_id(id);

    if (!scheme)
        (void) client_error(-EINVAL, "signature scheme 0x%04x is not known", id);
    return scheme;
}

_public_ int identityd_sign_transcript(identityd_credential *credential, uint32_t generation, uint16_t scheme,
                                       const void *hash, size_t size, void *signature, size_t *signature_size) {
    PRESERVE_ERRNO;

    if (!known_scheme(scheme))
        return -EINVAL;
    if (size != 32 && size != 48)
        return client_error(-EINVAL, "a TLS 1.3 transcript hash has 32 or 48 bytes, not %zu", size);
    return credential_sign_once(credential,
                                &(SignRequest) { HANDLE_SIGN_TRANSCRIPT, generation, scheme, { hash, size } },
                                signature, signature_size);
}

_public_ int identityd_sign_message(identityd_credential *credential, uint32_t generation, uint16_t scheme,
                                    const void *message, size_t size, void *signature, size_t *signature_size) {
    PRESERVE_ERRNO;

    if (!known_scheme(scheme))
        return -EINVAL;
    if (size > IDENTITYD_MESSAGE_MAX)
        return client_error(-EMSGSIZE, "a message of %zu bytes is too long to be signed: the limit is %u", size,
                            IDENTITYD_MESSAGE_MAX);
    return credential_sign_once(credential,
                                &(SignRequest) { HANDLE_SIGN_MESSAGE, generation, scheme, { message, size } },
                                signature, signature_size);
}

_public_ int identityd_sign_digest(identityd_credential *credential, uint32_t generation, uint16_t scheme,
                                   const void *digest, size_t size, void *signature, size_t *signature_size) {
    PRESERVE_ERRNO;
    const SignatureScheme *known = known_scheme(scheme);

    if (!known)
        return -EINVAL;
    if (size != (size_t) known->hash)
        return client_error(-EINVAL, "%s signs a digest of %zu bytes, not %zu", known->name, (size_t) known->hash,
                            size);
    return credential_sign_once(credential, &(SignRequest) { HANDLE_SIGN_DIGEST, generation, scheme, { digest, size } },
                                signature, signature_size);
}

_public_ const char *identityd_scheme_name(uint16_t scheme) {
    PRESERVE_ERRNO;
    const SignatureScheme *known = scheme_by_id(scheme);

    return known ? known->name : NULL;
}

_public_ uint16_t identityd_scheme_number(const char *name) {
    PRESERVE_ERRNO;
    const SignatureScheme *known = name ? scheme_by_name(name) : NULL;

    return known ? known->id : 0;
}
