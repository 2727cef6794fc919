/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A reader of TLS 1.2 transcripts, strict: each length is exact, and what is not known to belong there is refused. See
 * tls12.h. */
#include "rules/tls12.h"

#include "common/macros.h"
#include "rules/key-exchange.h"

#include <string.h>

#define RANDOM_SIZE 32U
#define SESSION_MAX 32U

enum {
    CLIENT_HELLO = 1,
    SERVER_HELLO = 2,
    CERTIFICATE = 11,
    SERVER_KEY_EXCHANGE = 12,
    CERTIFICATE_REQUEST = 13,
    SERVER_HELLO_DONE = 14,
    CLIENT_KEY_EXCHANGE = 16,
    CERTIFICATE_STATUS = 22,
};

enum {
    EXTENSION_MASTER_SECRET = 23,
    EXTENSION_VERSIONS = 43,
    EXTENSION_RENEGOTIATION = 0xff01,
};

/* What was read so far. */
typedef struct Handshake {
    BytesView certificate; /* that the client has to show */
    uint16_t scheme;
    bool offers_13, client_extends, server_extends; /* extended master secret (RFC 7627) */
    bool renegotiates;
} Handshake;

/* ---- reading ---- */

static bool take(BytesView *rest, size_t size, BytesView *ret) {
    if (rest->size < size)
        return false;
    *ret = (BytesView) { rest->data, size };
    rest->data += size;
    rest->size -= size;
    return true;
}

static bool take_number(BytesView *rest, unsigned octets, size_t *ret) {
    BytesView bytes;
    size_t number = 0;

    if (!take(rest, octets, &bytes))
        return false;
    for (unsigned i = 0; i < octets; i++)
        number = number << 8 | bytes.data[i];
    *ret = number;
    return true;
}

/* A vector behind a length of so many octets. */
static bool take_vector(BytesView *rest, unsigned octets, BytesView *ret) {
    size_t size;

    return take_number(rest, octets, &size) && take(rest, size, ret);
}

static bool take_version(BytesView *rest) {
    size_t version;

    return take_number(rest, 2, &version) && version == 0x0303;
}

/* ---- hellos ---- */

static bool offers_13(BytesView versions) {
    BytesView list;
    size_t version;

    if (!take_vector(&versions, 1, &list))
        return false;
    while (take_number(&list, 2, &version))
        if (version == 0x0304)
            return true;
    return false;
}

static bool read_extension(Handshake *handshake, bool is_server, size_t type, BytesView value) {
    switch (type) {
    case EXTENSION_MASTER_SECRET:
        *(is_server ? &handshake->server_extends : &handshake->client_extends) = true;
        return value.size == 0;
    case EXTENSION_VERSIONS: /* a server that answers with it speaks TLS 1.3 */
        handshake->offers_13 = offers_13(value);
        return !is_server;
    case EXTENSION_RENEGOTIATION: /* RFC 5746 §3.2: a byte of length, and what the handshake before ended with */
        if (value.size < 1 || value.data[0] != value.size - 1)
            return false;
        handshake->renegotiates = handshake->renegotiates || value.size > 1;
        return true;
    default:
        return true;
    }
}

/* The rest of a hello: nothing, or one block of extensions, each once. */
static bool read_extensions(Handshake *handshake, bool is_server, BytesView rest) {
    uint8_t seen[65536 / 8] = { 0 };
    BytesView block, value;
    size_t type;

    if (rest.size == 0)
        return true;
    if (!take_vector(&rest, 2, &block) || rest.size > 0)
        return false;
    while (block.size > 0) {
        if (!take_number(&block, 2, &type) || !take_vector(&block, 2, &value) || seen[type / 8] & 1U << type % 8 ||
            !read_extension(handshake, is_server, type, value))
            return false;
        seen[type / 8] |= (uint8_t) (1U << type % 8);
    }
    return true;
}

static const char *read_client_hello(Handshake *handshake, BytesView body) {
    BytesView random, session, suites, compressions;

    if (!take_version(&body))
        return "its ClientHello is not one of TLS 1.2";
    if (!take(&body, RANDOM_SIZE, &random) || !take_vector(&body, 1, &session) || session.size > SESSION_MAX ||
        !take_vector(&body, 2, &suites) || suites.size < 2 || suites.size % 2 ||
        !take_vector(&body, 1, &compressions) || compressions.size < 1 || !read_extensions(handshake, false, body))
        return "its ClientHello is malformed";
    return NULL;
}

/* RFC 8446 §4.1.3: a server that could have spoken a later version says so, and whoever offered that one must end. */
static bool is_downgrade(BytesView random) {
    static const char sentinel[] = { 'D', 'O', 'W', 'N', 'G', 'R', 'D' };
    const uint8_t *end = random.data + RANDOM_SIZE - 8;

    return memcmp(end, sentinel, sizeof(sentinel)) == 0 && end[7] <= 1;
}

static const char *read_server_hello(Handshake *handshake, BytesView body) {
    BytesView random, session;
    size_t suite, compression;
    bool offered_13 = handshake->offers_13;

    if (!take_version(&body))
        return "its ServerHello is not one of TLS 1.2";
    if (!take(&body, RANDOM_SIZE, &random) || !take_vector(&body, 1, &session) || session.size > SESSION_MAX ||
        !take_number(&body, 2, &suite) || !take_number(&body, 1, &compression) || compression != 0 ||
        !read_extensions(handshake, true, body))
        return "its ServerHello is malformed, compresses, or is one of TLS 1.3";
    if (offered_13 && is_downgrade(random))
        return "the server says that somebody kept it from TLS 1.3 (RFC 8446 section 4.1.3)";
    /* A renegotiation without RFC 7627 could continue somebody else's connection. */
    if (handshake->renegotiates && !(handshake->client_extends && handshake->server_extends))
        return "it renegotiates without the extended master secret";
    return NULL;
}

/* ---- certificates ---- */

/* At least one; `ret` is the first. */
static bool read_certificates(BytesView body, BytesView *ret) {
    BytesView list, one;
    bool is_first = true;

    if (!take_vector(&body, 3, &list) || body.size > 0 || list.size == 0)
        return false;
    for (; list.size > 0; is_first = false) {
        if (!take_vector(&list, 3, &one) || one.size == 0)
            return false;
        if (is_first)
            *ret = one;
    }
    return true;
}

static const char *read_server_certificate(Handshake *handshake, BytesView body) {
    BytesView first;

    return read_certificates(body, &first) ? NULL : "its server shows no certificate";
}

static const char *read_client_certificate(Handshake *handshake, BytesView body) {
    BytesView first;

    if (!read_certificates(body, &first))
        return "its client shows no certificate";
    return bytes_view_equal(first, handshake->certificate)
               ? NULL
               : "its client shows another certificate than this identity's";
}

static const char *read_status(Handshake *handshake, BytesView body) {
    BytesView response;
    size_t type;

    /* RFC 6066 §8 */
    return take_number(&body, 1, &type) && type == 1 && take_vector(&body, 3, &response) && response.size > 0 &&
                   body.size == 0
               ? NULL
               : "its CertificateStatus is malformed";
}

/* RFC 5246 §7.4.4: types of certificates, pairs of hash and signature, names of CAs. */
static const char *read_request(Handshake *handshake, BytesView body) {
    BytesView types, pairs, names, name;
    size_t pair;
    bool is_asked = false;

    if (!take_vector(&body, 1, &types) || types.size == 0 || !take_vector(&body, 2, &pairs) || pairs.size == 0 ||
        pairs.size % 2 || !take_vector(&body, 2, &names) || body.size > 0)
        return "its CertificateRequest is malformed";
    while (names.size > 0)
        if (!take_vector(&names, 2, &name) || name.size == 0)
            return "its CertificateRequest is malformed";
    while (take_number(&pairs, 2, &pair))
        is_asked = is_asked || pair == handshake->scheme;
    return is_asked ? NULL : "its server does not ask for signatures of this scheme";
}

/* ---- the rest ---- */

static const char *read_key_exchange(Handshake *handshake, BytesView body) {
    return body.size > 0 ? NULL : "a key exchange in it is empty";
}

static const char *read_done(Handshake *handshake, BytesView body) {
    return body.size == 0 ? NULL : "its ServerHelloDone is malformed";
}

static const struct {
    uint8_t type;
    bool is_optional;
    const char *(*read)(Handshake *handshake, BytesView body);
} messages[] = {
    { CLIENT_HELLO, false, read_client_hello },        { SERVER_HELLO, false, read_server_hello },
    { CERTIFICATE, false, read_server_certificate },   { CERTIFICATE_STATUS, true, read_status },
    { SERVER_KEY_EXCHANGE, true, read_key_exchange },  { CERTIFICATE_REQUEST, false, read_request },
    { SERVER_HELLO_DONE, false, read_done },           { CERTIFICATE, false, read_client_certificate },
    { CLIENT_KEY_EXCHANGE, false, read_key_exchange },
};

const char *tls12_refusal(BytesView message, BytesView certificate, uint16_t scheme) {
    Handshake handshake = { .certificate = certificate, .scheme = scheme };
    BytesView rest = message, body;
    size_t type;

    for (size_t i = 0; i < ARRAY_LENGTH(messages); i++) {
        if (messages[i].is_optional && rest.size > 0 && rest.data[0] != messages[i].type)
            continue;
        if (!take_number(&rest, 1, &type) || type != messages[i].type || !take_vector(&rest, 3, &body))
            return "it is no transcript of a client in TLS 1.2 from ClientHello to ClientKeyExchange";
        const char *reason = messages[i].read(&handshake, body);
        if (reason)
            return reason;
    }
    if (rest.size > 0)
        return "it goes on behind its ClientKeyExchange";
    /* The sequence alone is not enough: the client chooses its random number, and what follows it, so that the whole
     * could be what an IKEv2 peer or a TLS 1.2 server signs, too. */
    return key_exchange_refusal(message);
}

const SignatureScheme *tls12_key_scheme(const SignatureScheme *scheme, KeyAlgorithm algorithm) {
    if (scheme_fits(scheme, algorithm))
        return scheme;
    return scheme->id == 0x0403 && algorithm == KEY_ECDSA_P384 ? scheme_by_id(0x0503) : NULL;
}

size_t tls12_fit_digest(const SignatureScheme *key_scheme, uint8_t digest[static 64], size_t size) {
    size_t wanted = (size_t) key_scheme->hash;

    if (size >= wanted)
        return size;
    memmove(digest + (wanted - size), digest, size);
    memset(digest, 0, wanted - size);
    return wanted;
}
