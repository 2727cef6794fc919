/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each purpose may sign (docs/design.md §8), as a table. Nothing reaches the TPM that did not pass through
 * purpose_check, and nothing but handle, packet, this file and raw.c decides what passes. */
#include "signing/signing.h"

#include "common/certificate-verify.h"
#include "signing/raw.h"

#include <string.h>

/* What a purpose does with one kind of request. */
typedef enum Rule {
    REFUSE,
    TRANSCRIPT, /* build the CertificateVerify content for the purpose's side and hash it */
    CONTENT,    /* a message that must be such a content */
    DATA,       /* a message that can be taken for nothing else: raw.h */
    ANYTHING,   /* any message */
    DIGEST,     /* any digest of the scheme's length */
    SIDELESS,   /* a transcript on a handle that belongs to neither side of TLS */
} Rule;

typedef struct PurposeRow {
    TlsSide side;
    bool tls_schemes_only;
    Rule transcript, message, digest;
} PurposeRow;

static const PurposeRow table[_PURPOSE_COUNT] = {
    [PURPOSE_TLS_CLIENT] = { TLS_SIDE_CLIENT, true, TRANSCRIPT, CONTENT, REFUSE },
    [PURPOSE_TLS_SERVER] = { TLS_SIDE_SERVER, true, TRANSCRIPT, CONTENT, REFUSE },
    [PURPOSE_DATA_RAW] = { TLS_SIDE_CLIENT, false, REFUSE, DATA, REFUSE },
    [PURPOSE_DIGEST] = { TLS_SIDE_CLIENT, false, SIDELESS, ANYTHING, DIGEST },
};

static Rule find_rule(const PurposeRow *row, uint8_t type) {
    switch (type) {
    case HANDLE_SIGN_TRANSCRIPT:
        return row->transcript;
    case HANDLE_SIGN_MESSAGE:
        return row->message;
    case HANDLE_SIGN_DIGEST:
        return row->digest;
    default:
        return REFUSE;
    }
}

static const char *type_name(uint8_t type) {
    return type == HANDLE_SIGN_TRANSCRIPT ? "SignTranscript"
           : type == HANDLE_SIGN_MESSAGE  ? "SignMessage"
           : type == HANDLE_SIGN_DIGEST   ? "SignDigest"
                                          : "this request";
}

static int hash_into(const SignatureScheme *scheme, BytesView message, uint8_t ret_digest[static 64], size_t *ret_size,
                     Failure *ret_failure) {
    uint8_t digest[64];
    int size = scheme_digest(scheme, message.data, message.size, digest);

    if (size < 0)
        return failure_set(ret_failure, size, FAILURE_INTERNAL, "GnuTLS does not hash for %s", scheme->name);
    memcpy(ret_digest, digest, (size_t) size);
    *ret_size = (size_t) size;
    return 0;
}

static int build_and_hash(TlsSide side, const SignatureScheme *scheme, BytesView hash, uint8_t ret_digest[static 64],
                          size_t *ret_size, Failure *ret_failure) {
    uint8_t content[CERTIFICATE_VERIFY_MAX];
    int length = certificate_verify_build(side, hash, content);

    if (length < 0)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "a transcript hash has 32 or 48 bytes, not %zu", hash.size);
    return hash_into(scheme, (BytesView) { content, (size_t) length }, ret_digest, ret_size, ret_failure);
}

int purpose_check(Purpose purpose, uint8_t type, const SignatureScheme *scheme, BytesView payload,
                  uint8_t ret_digest[static 64], size_t *ret_size, Failure *ret_failure) {
    const char *name = purpose_to_string(purpose), *reason;

    if (!name)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a handle without a purpose signs nothing");
    const PurposeRow *row = &table[purpose];
    Rule rule = find_rule(row, type);
    if (rule == REFUSE)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a %s handle does not take %s", name,
                           type_name(type));
    if (row->tls_schemes_only && !scheme->tls)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                           "a %s handle does not sign with %s, which TLS 1.3 does not allow", name, scheme->name);
    switch (rule) {
    case TRANSCRIPT:
        return build_and_hash(row->side, scheme, payload, ret_digest, ret_size, ret_failure);
    case CONTENT:
        if (!certificate_verify_matches(row->side, payload))
            return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                               "a %s handle signs only a TLS 1.3 CertificateVerify of its own side", name);
        return hash_into(scheme, payload, ret_digest, ret_size, ret_failure);
    case DATA:
        reason = raw_refusal(payload);
        if (reason)
            return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                               "a %s handle does not sign this message: %s", name, reason);
        return hash_into(scheme, payload, ret_digest, ret_size, ret_failure);
    case ANYTHING:
        return hash_into(scheme, payload, ret_digest, ret_size, ret_failure);
    case DIGEST:
        if (payload.size != (size_t) scheme->hash)
            return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "a digest for %s has %u bytes, not %zu",
                               scheme->name, (unsigned) scheme->hash, payload.size);
        memcpy(ret_digest, payload.data, payload.size);
        *ret_size = payload.size;
        return 0;
    case SIDELESS:
        return failure_set(
            ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
            "a %s handle belongs to neither side of TLS: send the CertificateVerify content by SignMessage, "
            "or its digest by SignDigest",
            name);
    case REFUSE:
        break;
    }
    return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a %s handle does not take this", name);
}
