/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each purpose may sign (docs/design.md §8), as a table. Nothing reaches the TPM that did not pass through
 * purpose_check, and nothing but handle, packet, this file, data.c, raw.c and rules/tls12.c decides what passes. */
#include "signing/signing.h"

#include "common/certificate-verify.h"
#include "rules/tls12.h"
#include "signing/data.h"
#include "signing/raw.h"

#include <string.h>

/* What a purpose does with one kind of request. */
typedef enum Rule {
    REFUSE,
    TRANSCRIPT, /* build the CertificateVerify content for the purpose's side and hash it */
    CONTENT,    /* a message that must be such a content */
    FRAMED,     /* a message in a framing that can be taken for nothing else: data.h */
    RAW,        /* a message that no refusal of raw.h concerns */
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
    [PURPOSE_DATA] = { TLS_SIDE_CLIENT, false, REFUSE, FRAMED, REFUSE },
    [PURPOSE_DATA_RAW] = { TLS_SIDE_CLIENT, false, REFUSE, RAW, REFUSE },
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

static int hash_message(const SignQuestion *question, BytesView message, SignDigest *ret, Failure *ret_failure) {
    SignDigest digest;
    int size = scheme_digest(question->scheme, message.data, message.size, digest.bytes);

    if (size < 0)
        return failure_set(ret_failure, size, FAILURE_INTERNAL, "GnuTLS does not hash for %s", question->scheme->name);
    digest.size = (size_t) size;
    *ret = digest;
    return 0;
}

static int refuse(const SignQuestion *question, const char *reason, Failure *ret_failure) {
    return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a %s handle does not sign this message: %s",
                       purpose_to_string(question->purpose), reason);
}

static int sign_transcript(const SignQuestion *question, TlsSide side, SignDigest *ret, Failure *ret_failure) {
    uint8_t content[CERTIFICATE_VERIFY_MAX];
    int length = certificate_verify_build(side, question->payload, content);

    if (length < 0)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "a transcript hash has 32 or 48 bytes, not %zu", question->payload.size);
    return hash_message(question, (BytesView) { content, (size_t) length }, ret, ret_failure);
}

static int sign_content(const SignQuestion *question, TlsSide side, SignDigest *ret, Failure *ret_failure) {
    if (!certificate_verify_matches(side, question->payload))
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                           "a %s handle signs only a TLS 1.3 CertificateVerify of its own side",
                           purpose_to_string(question->purpose));
    return hash_message(question, question->payload, ret, ret_failure);
}

static int sign_framed(const SignQuestion *question, SignDigest *ret, Failure *ret_failure) {
    const char *reason;

    if (data_recognize(question->identity, question->payload, &reason) == DATA_FRAMING_NONE)
        return refuse(question, reason, ret_failure);
    return hash_message(question, question->payload, ret, ret_failure);
}

static int sign_raw(const SignQuestion *question, SignDigest *ret, Failure *ret_failure) {
    const char *reason = raw_refusal(question->payload);

    return reason ? refuse(question, reason, ret_failure) : hash_message(question, question->payload, ret, ret_failure);
}

static int sign_digest(const SignQuestion *question, SignDigest *ret, Failure *ret_failure) {
    if (question->payload.size != (size_t) question->scheme->hash)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "a digest for %s has %u bytes, not %zu",
                           question->scheme->name, (unsigned) question->scheme->hash, question->payload.size);
    memcpy(ret->bytes, question->payload.data, question->payload.size);
    ret->size = question->payload.size;
    return 0;
}

bool purpose_asks_tls12(const SignQuestion *question) {
    return question->tls12 && question->purpose == PURPOSE_TLS_CLIENT && question->type == HANDLE_SIGN_MESSAGE &&
           question->payload.size > 0 && question->payload.data[0] == TLS12_FIRST_BYTE;
}

static int sign_tls12(const SignQuestion *question, SignDigest *ret, Failure *ret_failure) {
    const char *reason = tls12_refusal(question->payload, question->certificate, question->scheme->id);

    return reason ? refuse(question, reason, ret_failure) : hash_message(question, question->payload, ret, ret_failure);
}

int purpose_check(const SignQuestion *question, SignDigest *ret, Failure *ret_failure) {
    const char *name = purpose_to_string(question->purpose);

    if (!name)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a handle without a purpose signs nothing");
    const PurposeRow *row = &table[question->purpose];
    Rule rule = find_rule(row, question->type);
    if (rule == REFUSE)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION, "a %s handle does not take %s", name,
                           type_name(question->type));
    if (purpose_asks_tls12(question))
        return sign_tls12(question, ret, ret_failure);
    if (row->tls_schemes_only && !question->scheme->tls)
        return failure_set(ret_failure, -EPERM, FAILURE_PURPOSE_VIOLATION,
                           "a %s handle does not sign with %s, which TLS 1.3 does not allow", name,
                           question->scheme->name);
    switch (rule) {
    case TRANSCRIPT:
        return sign_transcript(question, row->side, ret, ret_failure);
    case CONTENT:
        return sign_content(question, row->side, ret, ret_failure);
    case FRAMED:
        return sign_framed(question, ret, ret_failure);
    case RAW:
        return sign_raw(question, ret, ret_failure);
    case ANYTHING:
        return hash_message(question, question->payload, ret, ret_failure);
    case DIGEST:
        return sign_digest(question, ret, ret_failure);
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
