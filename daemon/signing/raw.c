/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The messages that a `data-raw` handle refuses, as pure tests of the bytes: see raw.h. */
#include "signing/raw.h"

#include "common/macros.h"
#include "rules/key-exchange.h"
#include "signing/data.h"

#include <string.h>

#define SPACES_SIZE  64U /* RFC 8446 §4.4.3 */
#define TAG_SEQUENCE 16U
#define TAG_SET      17U

/* ---- TLS ---- */

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

/* Where a client begins in the format of SSL 2 (RFC 5246 §E.2), TLS 1.2 signs that message as it came, without a
 * handshake header: type 1, then the version. Servers take every minor version behind 3 for the highest that they know.
 */
static bool begins_with_v2_hello(BytesView message) {
    static const uint8_t ssl2[] = { 1, 0, 2 };

    return message.size >= 3 &&
           (memcmp(message.data, ssl2, sizeof(ssl2)) == 0 || (message.data[0] == 1 && message.data[1] == 3));
}

/* ---- others ---- */

/* TCG "TPM 2.0 Library", Part 2, §6.2: what a TPM attests begins so, and what begins so it signs with a restricted key
 * only if it has made it itself. */
static bool begins_like_an_attestation(BytesView message) {
    static const uint8_t generated[] = { 0xff, 'T', 'C', 'G' };

    return message.size >= sizeof(generated) && memcmp(message.data, generated, sizeof(generated)) == 0;
}

/* SSH signs a string first (RFC 4252 §7: the session's hash; certificates: the name of their format), or with the magic
 * of SSHSIG, or (a server, RFC 4253 §8) a bare hash. */
static bool is_ssh(BytesView message) {
    static const size_t hashes[] = { 20, 32, 48, 64 };
    static const char sshsig[] = { 'S', 'S', 'H', 'S', 'I', 'G' };

    for (size_t i = 0; i < ARRAY_LENGTH(hashes); i++)
        if (message.size == hashes[i])
            return true;
    if (message.size >= sizeof(sshsig) && memcmp(message.data, sshsig, sizeof(sshsig)) == 0)
        return true;
    if (message.size < 4)
        return false;
    size_t length = (size_t) message.data[0] << 24 | (size_t) message.data[1] << 16 | (size_t) message.data[2] << 8 |
                    message.data[3];
    return length <= message.size - 4;
}

/* ---- ASN.1 ---- */

/* Takes the identifier octets (X.690 §8.1.2) of something constructed and universal off the front; its tag, 0 for
 * anything else. The form for high tag numbers counts for low ones too: OpenSSL reads it so. */
static size_t take_tag(BytesView *rest) {
    if (rest->size < 2 || (rest->data[0] & 0xe0) != 0x20)
        return 0;
    size_t tag = rest->data[0] & 0x1f, used = 1;
    if (tag == 0x1f) {
        tag = 0;
        do
            tag = tag << 7 | (rest->data[used] & 0x7f);
        while (rest->data[used++] & 0x80 && used < rest->size && tag < 0x10000);
    }
    rest->data += used;
    rest->size -= used;
    return tag;
}

/* Whether what follows the identifier is exactly one length with its content. Lengths that only BER allows count as
 * well, since some who verify accept them. */
static bool take_content(BytesView *rest) {
    if (rest->size < 1)
        return false;
    uint8_t first = rest->data[0];
    size_t octets = first < 0x80 ? 0 : first & 0x7f, length = first < 0x80 ? first : 0;
    if (first == 0x80) { /* indefinite: ends with end-of-contents */
        if (rest->size < 3 || rest->data[rest->size - 1] != 0 || rest->data[rest->size - 2] != 0)
            return false;
        *rest = (BytesView) { rest->data + 1, rest->size - 3 };
        return true;
    }
    if (octets > rest->size - 1)
        return false;
    for (size_t i = 0; i < octets; i++) {
        if (length > SIZE_MAX >> 8)
            return false;
        length = length << 8 | rest->data[1 + i];
    }
    *rest = (BytesView) { rest->data + 1 + octets, rest->size - 1 - octets };
    return length == rest->size;
}

static bool is_whole(BytesView message, size_t tag, BytesView *ret_content) {
    *ret_content = message;
    return take_tag(ret_content) == tag && take_content(ret_content);
}

/* A certificate request, a certificate, a CRL, an OCSP response: each is signed as one SEQUENCE. */
static bool is_sequence(BytesView message) {
    BytesView content;

    return is_whole(message, TAG_SEQUENCE, &content);
}

/* ---- CMS ---- */

/* With signed attributes CMS signs a SET of SEQUENCEs: so do SCEP and CMC, which ask for certificates. What `data`
 * signs of that is signed here, too. */
static bool is_other_cms(BytesView message) {
    BytesView content;

    return is_whole(message, TAG_SET, &content) && take_tag(&content) == TAG_SEQUENCE &&
           data_recognize("", message, NULL) != DATA_FRAMING_CMS;
}

/* ---- all of it ---- */

const char *raw_refusal(BytesView message) {
    if (begins_with_spaces(message))
        return "it begins with 64 spaces, as what TLS 1.3 signs does";
    if (begins_with_handshake(message))
        return "it begins with the header of a TLS handshake message";
    if (begins_with_v2_hello(message))
        return "it begins like a ClientHello in the format of SSL 2, which TLS 1.2 signs";
    if (begins_like_an_attestation(message))
        return "it begins with ff 54 43 47 (TPM_GENERATED), as what a TPM attests does";
    if (is_ssh(message))
        return "it is as long as a hash (20, 32, 48 or 64 bytes), begins with SSHSIG, or with a string and its length "
               "in "
               "four bytes: SSH signs such";
    const char *key_exchange = key_exchange_refusal(message);
    if (key_exchange)
        return key_exchange;
    if (is_sequence(message))
        return "it is one whole DER SEQUENCE, as certificates and requests for them are";
    if (is_other_cms(message))
        return "it is a SET of attributes of CMS that are not those of a signature on plain data: requests for "
               "certificates are signed so";
    return NULL;
}
