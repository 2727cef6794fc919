/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What each purpose may sign (DESIGN §8), as a table and four pure tests of a message. Nothing reaches the TPM that did
 * not pass through purpose_check, and nothing but handle, packet and this file decides what passes. */
#include "signing/signing.h"

#include "common/certificate-verify.h"

#include <string.h>

/* What a purpose does with one kind of request. */
typedef enum Rule {
    REFUSE,
    TRANSCRIPT, /* build the CertificateVerify content for the purpose's side and hash it */
    CONTENT,    /* a message that must be such a content */
    DATA,       /* a message that must be no part of TLS and no DER SEQUENCE */
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
    [PURPOSE_DATA] = { TLS_SIDE_CLIENT, false, REFUSE, DATA, REFUSE },
    [PURPOSE_DIGEST] = { TLS_SIDE_CLIENT, false, SIDELESS, ANYTHING, DIGEST },
};

#define SPACES_SIZE  64U /* RFC 8446 §4.4.3 */
#define RANDOMS_SIZE 64U /* client_random and server_random, RFC 5246 §7.4.3 */

/* RFC 8446 §4.4.3: whatever TLS 1.3 signs begins with 64 spaces, exported authenticators (RFC 9261) and delegated
 * credentials (RFC 9345) included. */
static bool begins_with_spaces(BytesView message) {
    for (size_t i = 0; i < SPACES_SIZE; i++)
        if (i >= message.size || message.data[i] != 0x20)
            return false;
    return true;
}

/* A TLS 1.2 CertificateVerify signs all handshake messages so far (RFC 5246 §7.4.8): type, 24-bit length, body. The
 * DTLS header (RFC 6347 §4.2.2) begins with the same four bytes and is eight longer, so what fits as DTLS fits as TLS.
 */
static bool begins_with_handshake(BytesView message) {
    static const uint8_t others[] = { 67, 254 }; /* next_protocol, message_hash */

    if (message.size < 4)
        return false;
    uint8_t type = message.data[0];
    if (type > 26 && !memchr(others, type, sizeof(others)))
        return false;
    size_t length = (size_t) message.data[1] << 16 | (size_t) message.data[2] << 8 | message.data[3];
    return length <= message.size - 4;
}

/* Whether `rest` is exactly a row of length-prefixed vectors; `prefixes` holds the bytes of each length, 0 ends it. */
static bool is_vectors(BytesView rest, const uint8_t *prefixes) {
    for (; *prefixes; prefixes++) {
        size_t length = 0;
        if (rest.size < *prefixes)
            return false;
        for (unsigned i = 0; i < *prefixes; i++)
            length = length << 8 | rest.data[i];
        rest.data += *prefixes;
        rest.size -= *prefixes;
        if (length == 0 || length > rest.size)
            return false;
        rest.data += length;
        rest.size -= length;
    }
    return rest.size == 0;
}

/* The parameters that a TLS 1.2 server signs behind the two randoms: DHE (RFC 5246 §7.4.3), SRP (RFC 5054 §2.5.3) and
 * ECDHE (RFC 8422 §5.4, with the explicit curves of RFC 4492). */
static bool has_key_exchange(BytesView message) {
    static const struct {
        uint8_t header_size, first, third; /* bytes before the vectors; what the first and (for char2) fourth must be */
        uint8_t prefixes[10];
    } shapes[] = {
        { 0, 0, 0, { 2, 2, 2 } },                   /* dh_p, dh_g, dh_Ys */
        { 0, 0, 0, { 2, 2, 1, 2 } },                /* srp N, g, s, B */
        { 3, 3, 0, { 1 } },                         /* named_curve, group, point */
        { 1, 1, 0, { 1, 1, 1, 1, 1, 1, 1 } },       /* explicit_prime: p, a, b, base, order, cofactor, point */
        { 4, 2, 1, { 1, 1, 1, 1, 1, 1, 1 } },       /* explicit_char2, m, trinomial: k, a, b, … */
        { 4, 2, 2, { 1, 1, 1, 1, 1, 1, 1, 1, 1 } }, /* pentanomial: k1, k2, k3, a, b, … */
    };

    if (message.size <= RANDOMS_SIZE)
        return false;
    BytesView parameters = { message.data + RANDOMS_SIZE, message.size - RANDOMS_SIZE };
    for (size_t i = 0; i < ARRAY_LENGTH(shapes); i++) {
        size_t header = shapes[i].header_size;
        if (parameters.size < header || (header > 0 && parameters.data[0] != shapes[i].first))
            continue;
        if (header == 4 && parameters.data[3] != shapes[i].third)
            continue;
        if (is_vectors((BytesView){ parameters.data + header, parameters.size - header }, shapes[i].prefixes))
            return true;
    }
    return false;
}

/* A certificate request, a certificate, a CRL, an OCSP response: each is signed as one SEQUENCE. Lengths that only BER
 * allows count as well, since some who verify accept them. */
static bool is_sequence(BytesView message) {
    if (message.size < 2 || message.data[0] != 0x30)
        return false;
    uint8_t first = message.data[1];
    if (first < 0x80)
        return first == message.size - 2;
    if (first == 0x80) /* indefinite: ends with end-of-contents */
        return message.size >= 4 && message.data[message.size - 1] == 0 && message.data[message.size - 2] == 0;
    size_t octets = first & 0x7f, length = 0;
    if (octets > message.size - 2)
        return false;
    for (size_t i = 0; i < octets; i++) {
        if (length > SIZE_MAX >> 8)
            return false;
        length = length << 8 | message.data[2 + i];
    }
    return length == message.size - 2 - octets;
}

static const char *why_not_data(BytesView message) {
    if (begins_with_spaces(message))
        return "it begins with 64 spaces, as what TLS 1.3 signs does";
    if (begins_with_handshake(message))
        return "it begins with the header of a TLS handshake message";
    if (has_key_exchange(message))
        return "after 64 bytes it looks like the key exchange of a TLS 1.2 server";
    if (is_sequence(message))
        return "it is one whole DER SEQUENCE, as certificates and requests for them are";
    return NULL;
}

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
    return hash_into(scheme, (BytesView){ content, (size_t) length }, ret_digest, ret_size, ret_failure);
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
        reason = why_not_data(payload);
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
