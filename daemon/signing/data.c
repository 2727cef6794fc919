/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The framings of `data`, as pure readers of the bytes: see data.h. Each takes one encoding and no other. */
#include "signing/data.h"

#include "common/data-frame.h"

#include <string.h>

#define TAG_OCTETS           0x04
#define TAG_OID              0x06
#define TAG_UTC_TIME         0x17
#define TAG_GENERALIZED_TIME 0x18
#define TAG_SEQUENCE         0x30
#define TAG_SET              0x31

/* ---- CMS ---- */

/* Takes one element in DER with that tag off the front: the shortest form of its length. */
static bool take_element(BytesView *rest, uint8_t tag, BytesView *ret) {
    if (rest->size < 2 || rest->data[0] != tag)
        return false;
    size_t first = rest->data[1], octets = first < 0x80 ? 0 : first & 0x7f, length = first < 0x80 ? first : 0;
    if (first == 0x80 || octets > 3 || rest->size < 2 + octets)
        return false;
    for (size_t i = 0; i < octets; i++)
        length = length << 8 | rest->data[2 + i];
    if (octets > 0 && (length < 0x80 || length >> 8 * (octets - 1) == 0))
        return false;
    if (length > rest->size - 2 - octets)
        return false;
    *ret = (BytesView) { rest->data + 2 + octets, length };
    rest->data += 2 + octets + length;
    rest->size -= 2 + octets + length;
    return true;
}

static bool is_id_data(BytesView values) {
    static const uint8_t id_data[] = { TAG_OID, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01 };

    return bytes_view_equal(values, (BytesView) { id_data, sizeof(id_data) });
}

static bool is_digest(BytesView values) {
    BytesView digest;

    return take_element(&values, TAG_OCTETS, &digest) && values.size == 0 &&
           (digest.size == 32 || digest.size == 48 || digest.size == 64);
}

/* RFC 5652 §11.3: in seconds, and in UTC. */
static bool is_time(BytesView values) {
    size_t digits = values.size > 0 && values.data[0] == TAG_UTC_TIME ? 12 : 14;
    BytesView time;

    if (!take_element(&values, digits == 12 ? TAG_UTC_TIME : TAG_GENERALIZED_TIME, &time) || values.size > 0 ||
        time.size != digits + 1 || time.data[digits] != 'Z')
        return false;
    for (size_t i = 0; i < digits; i++)
        if (time.data[i] < '0' || time.data[i] > '9')
            return false;
    return true;
}

static bool is_sequence(BytesView values) {
    BytesView content;

    return take_element(&values, TAG_SEQUENCE, &content) && values.size == 0;
}

/* The attributes that a signature on plain content may have, by the end of their OIDs below 1.2.840.113549.1.9 (RFC
 * 5652 §11, RFC 8551 §2.5.2, RFC 6211, RFC 5035). The first two are needed; those that ask for certificates (SCEP, CMC)
 * or log in (PKINIT) have others, or another content. */
static const struct {
    uint8_t arcs[3];
    size_t size;
    bool (*fits)(BytesView values);
} attributes[] = {
    { { 3 }, 1, is_id_data },          /* contentType */
    { { 4 }, 1, is_digest },           /* messageDigest */
    { { 5 }, 1, is_time },             /* signingTime */
    { { 15 }, 1, is_sequence },        /* smimeCapabilities */
    { { 52 }, 1, is_sequence },        /* cmsAlgorithmProtection */
    { { 16, 2, 12 }, 3, is_sequence }, /* signingCertificate */
    { { 16, 2, 47 }, 3, is_sequence }, /* signingCertificateV2 */
};
#define NEEDED 3U /* a bit for each */

/* Takes one attribute with its one value off the front; its place in the table, -1 for any other. */
static int take_attribute(BytesView *rest) {
    static const uint8_t pkcs9[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09 };
    BytesView content, oid, values;

    if (!take_element(rest, TAG_SEQUENCE, &content) || !take_element(&content, TAG_OID, &oid) ||
        !take_element(&content, TAG_SET, &values) || content.size > 0)
        return -1;
    if (oid.size < sizeof(pkcs9) || memcmp(oid.data, pkcs9, sizeof(pkcs9)) != 0)
        return -1;
    BytesView arcs = { oid.data + sizeof(pkcs9), oid.size - sizeof(pkcs9) };
    for (size_t i = 0; i < ARRAY_LENGTH(attributes); i++)
        if (bytes_view_equal(arcs, (BytesView) { attributes[i].arcs, attributes[i].size }))
            return attributes[i].fits(values) ? (int) i : -1;
    return -1;
}

/* X.690 §11.6: in DER the elements of a set ascend. No element is the beginning of another. */
static bool ascends(BytesView previous, BytesView next) {
    size_t common = previous.size < next.size ? previous.size : next.size;

    return memcmp(previous.data, next.data, common) < 0;
}

static bool is_cms(BytesView message) {
    BytesView rest, previous = { NULL, 0 };
    unsigned seen = 0;

    if (!take_element(&message, TAG_SET, &rest) || message.size > 0)
        return false;
    while (rest.size > 0) {
        BytesView attribute = rest;
        int place = take_attribute(&rest);
        attribute.size -= rest.size;
        if (place < 0 || seen & 1U << place || (previous.size > 0 && !ascends(previous, attribute)))
            return false;
        seen |= 1U << place;
        previous = attribute;
    }
    return (seen & NEEDED) == NEEDED;
}

/* ---- COSE ---- */

/* Takes a byte string off the front, its length in the shortest form (RFC 8949 §4.2.1). */
static bool take_bytes(BytesView *rest, BytesView *ret) {
    if (rest->size < 1 || rest->data[0] >> 5 != 2)
        return false;
    size_t length = rest->data[0] & 0x1f, octets = length < 24 ? 0 : length == 24 ? 1 : length == 25 ? 2 : 4;
    if (length > 26 || rest->size < 1 + octets)
        return false;
    if (octets > 0) {
        length = 0;
        for (size_t i = 0; i < octets; i++)
            length = length << 8 | rest->data[1 + i];
        if (length < (octets == 1 ? 24U : octets == 2 ? 0x100U : 0x10000U))
            return false;
    }
    if (length > rest->size - 1 - octets)
        return false;
    *ret = (BytesView) { rest->data + 1 + octets, length };
    rest->data += 1 + octets + length;
    rest->size -= 1 + octets + length;
    return true;
}

/* An array of four: "Signature1", the protected header (a map, or nothing where that is empty), what the application
 * adds, the payload. */
static bool is_cose(BytesView message) {
    static const uint8_t front[] = { 0x84, 0x6a, 'S', 'i', 'g', 'n', 'a', 't', 'u', 'r', 'e', '1' };
    BytesView protected, aad, payload;

    if (message.size < sizeof(front) || memcmp(message.data, front, sizeof(front)) != 0)
        return false;
    message.data += sizeof(front);
    message.size -= sizeof(front);
    if (!take_bytes(&message, &protected) || !take_bytes(&message, &aad) || !take_bytes(&message, &payload) ||
        message.size > 0)
        return false;
    return protected.size == 0 || (protected.data[0] > 0xa0 && protected.data[0] < 0xb8);
}

/* ---- all three ---- */

DataFraming data_recognize(const char *identity, BytesView message, const char **ret_reason) {
    DataFraming framing = DATA_FRAMING_NONE;
    const char *reason;

    switch (message.size > 0 ? message.data[0] : 0) {
    case TAG_SET:
        framing = is_cms(message) ? DATA_FRAMING_CMS : DATA_FRAMING_NONE;
        reason =
            "it begins like the signed attributes of CMS, but is not exactly those of a signature on plain content "
            "in DER: contentType id-data and messageDigest, and at most signingTime, smimeCapabilities, "
            "cmsAlgorithmProtection and signingCertificate(V2)";
        break;
    case 0x84:
        framing = is_cose(message) ? DATA_FRAMING_COSE : DATA_FRAMING_NONE;
        reason = "it begins like a Sig_structure of COSE, but is not exactly [\"Signature1\", protected header, "
                 "external_aad, payload] in deterministic CBOR";
        break;
    case 0x7e:
        framing = data_frame_matches(identity, message) ? DATA_FRAMING_IDENTITYD : DATA_FRAMING_NONE;
        reason = "it begins like identityd's own framing, but is not 64 bytes 0x7e, \"" DATA_FRAME_TITLE "\", a zero "
                 "byte, the name of this identity, a zero byte, and a message";
        break;
    default:
        reason = "it is in none of the framings that `data` signs (CMS signed attributes, a COSE Sig_structure, "
                 "identityd's own: see identityd-handle(7)); a bare message needs the purpose data-raw";
    }
    if (framing == DATA_FRAMING_NONE && ret_reason)
        *ret_reason = reason;
    return framing;
}
