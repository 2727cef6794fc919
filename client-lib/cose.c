/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of the purpose `data`: over a message in identityd's own frame, and as a whole COSE_Sign1 (RFC 9052),
 * which any COSE library reads. What is signed is made here, so that a program cannot get it wrong; identityd looks at
 * every byte of it. */
#include "client-lib/credential.h"
#include "client-lib/entry.h"
#include "client-lib/error.h"
#include "common/data-frame.h"
#include "common/scheme.h"

#include <string.h>

/* Of CBOR (RFC 8949 §3.1). */
enum {
    MAJOR_UNSIGNED = 0x00,
    MAJOR_NEGATIVE = 0x20,
    MAJOR_BYTES = 0x40,
    MAJOR_TEXT = 0x60,
    MAJOR_ARRAY = 0x80,
    MAJOR_MAP = 0xa0,
    MAJOR_TAG = 0xc0,
    CBOR_NULL = 0xf6,
};

#define TAG_SIGN1      18U /* RFC 9052 §2 */
#define HEADER_ALG     1U
#define HEADER_X5CHAIN 33U /* RFC 9360 §2 */
#define CHAIN_LENGTH   16U /* certificates */

/* RFC 9053 §2.1, RFC 8230 §2, RFC 8812 §2: −1 − alg, as CBOR writes it. */
static const struct {
    uint16_t scheme, alg;
    size_t half; /* bytes of r and of s; 0: RSA */
} algorithms[] = {
    { 0x0403, 6, 32 }, { 0x0503, 34, 48 }, { 0x0804, 36, 0 },  { 0x0805, 37, 0 },
    { 0x0806, 38, 0 }, { 0x0401, 256, 0 }, { 0x0501, 257, 0 }, { 0x0601, 258, 0 },
};

/* ---- CBOR ---- */

/* The shortest form. */
static int put_head(Bytes *out, uint8_t major, size_t value) {
    uint8_t head[5] = { major };
    size_t size = 1;

    if (value < 24)
        head[0] = (uint8_t) (major | value);
    else {
        unsigned octets = value < 0x100 ? 1 : value < 0x10000 ? 2 : 4;
        head[0] = (uint8_t) (major | (octets == 1 ? 24U : octets == 2 ? 25U : 26U));
        for (unsigned i = 0; i < octets; i++)
            head[size++] = (uint8_t) (value >> 8 * (octets - 1 - i));
    }
    return bytes_append(out, (BytesView) { head, size });
}

static int put(Bytes *out, uint8_t major, BytesView value) {
    int r = put_head(out, major, value.size);

    return r < 0 ? r : bytes_append(out, value);
}

/* ---- the chain ---- */

static int digit_of(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int) (at - digits) : -1;
}

/* Base64 up to the first '-'; identityd wrote it. */
static int decode(const char *text, Bytes *ret) {
    unsigned bits = 0, count = 0;

    ret->data = malloc(strlen(text) * 3 / 4 + 4);
    if (!ret->data)
        return -ENOMEM;
    for (; *text && *text != '-'; text++) {
        int digit = digit_of(*text);
        if (digit < 0)
            continue;
        bits = bits << 6 | (unsigned) digit;
        if (++count % 4 == 1)
            continue;
        ret->data[ret->size++] = (uint8_t) (bits >> (6 - 2 * ((count - 1) % 4)));
    }
    return 0;
}

static int put_certificate(Bytes *out, const char *text) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    int r = decode(text, &der);

    return r < 0 ? r : put(out, MAJOR_BYTES, bytes_view(&der));
}

/* RFC 9360 §2: one certificate stands by itself, more in an array, leaf first. */
static int put_chain(Bytes *out, const char *pem) {
    static const char begin[] = "-----BEGIN CERTIFICATE-----";
    const char *found[CHAIN_LENGTH];
    size_t count = 0;

    for (const char *at = pem; count < CHAIN_LENGTH && (at = strstr(at, begin)); count++)
        found[count] = at += sizeof(begin) - 1;
    int r = count == 1 ? 0 : put_head(out, MAJOR_ARRAY, count);
    for (size_t i = 0; r >= 0 && i < count; i++)
        r = put_certificate(out, found[i]);
    return r;
}

/* ---- COSE_Sign1 ---- */

/* Of an INTEGER in DER the number, in so many bytes. False: it is none that fits. */
static bool take_number(BytesView *rest, size_t half, uint8_t *ret) {
    if (rest->size < 2 || rest->data[0] != 0x02 || rest->data[1] > rest->size - 2)
        return false;
    BytesView number = { rest->data + 2, rest->data[1] };
    rest->data += 2 + number.size;
    rest->size -= 2 + number.size;
    for (; number.size > 0 && number.data[0] == 0; number.size--)
        number.data++;
    if (number.size > half)
        return false;
    memset(ret, 0, half - number.size);
    memcpy(ret + half - number.size, number.data, number.size);
    return true;
}

/* RFC 9053 §2.1: r and s side by side; on a handle they are a SEQUENCE. */
static int unwrap(uint8_t *signature, size_t *size, size_t half) {
    uint8_t both[2 * 48];
    BytesView rest = { signature + 2, *size - 2 };

    if (*size < 8 || signature[0] != 0x30 || !take_number(&rest, half, both) || !take_number(&rest, half, both + half))
        return client_error(-EBADMSG, "identityd answered with an ECDSA signature that is none");
    memcpy(signature, both, 2 * half);
    *size = 2 * half;
    return 0;
}

static int make_structure(BytesView protected, BytesView payload, Bytes *ret) {
    int r = put_head(ret, MAJOR_ARRAY, 4);

    if (r >= 0)
        r = put(ret, MAJOR_TEXT, bytes_view_string("Signature1"));
    if (r >= 0)
        r = put(ret, MAJOR_BYTES, protected);
    if (r >= 0)
        r = put(ret, MAJOR_BYTES, (BytesView) { NULL, 0 });
    return r < 0 ? r : put(ret, MAJOR_BYTES, payload);
}

static int make_protected(uint16_t alg, Bytes *ret) {
    int r = put_head(ret, MAJOR_MAP, 1);

    if (r >= 0)
        r = put_head(ret, MAJOR_UNSIGNED, HEADER_ALG);
    return r < 0 ? r : put_head(ret, MAJOR_NEGATIVE, alg);
}

typedef struct Sign1 {
    BytesView protected, payload, signature;
    bool detached;
    const char *chain;
} Sign1;

static int make_sign1(const Sign1 *parts, Bytes *ret) {
    static const uint8_t null = CBOR_NULL;
    int r = put_head(ret, MAJOR_TAG, TAG_SIGN1);

    if (r >= 0)
        r = put_head(ret, MAJOR_ARRAY, 4);
    if (r >= 0)
        r = put(ret, MAJOR_BYTES, parts->protected);
    if (r >= 0)
        r = put_head(ret, MAJOR_MAP, 1);
    if (r >= 0)
        r = put_head(ret, MAJOR_UNSIGNED, HEADER_X5CHAIN);
    if (r >= 0)
        r = put_chain(ret, parts->chain);
    if (r >= 0)
        r = parts->detached ? bytes_append(ret, (BytesView) { &null, 1 }) : put(ret, MAJOR_BYTES, parts->payload);
    return r < 0 ? r : put(ret, MAJOR_BYTES, parts->signature);
}

static int find_algorithm(uint16_t scheme) {
    for (size_t i = 0; i < ARRAY_LENGTH(algorithms); i++)
        if (algorithms[i].scheme == scheme)
            return (int) i;
    return client_error(-EINVAL, "signature scheme 0x%04x is not known", scheme);
}

_public_ int identityd_sign_cose(identityd_credential *credential, const identityd_snapshot *snapshot, uint16_t scheme,
                                 unsigned flags, const void *payload, size_t size, void **ret, size_t *ret_size) {
    PRESERVE_ERRNO;
    _cleanup_bytes_ Bytes protected = BYTES_NULL, structure = BYTES_NULL, whole = BYTES_NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t signature_size = sizeof(signature);

    if (!credential || !snapshot || !ret || !ret_size || (!payload && size > 0) || flags & ~IDENTITYD_COSE_DETACHED)
        return client_error(-EINVAL, "signing with COSE: an argument is NULL, or unknown flags 0x%x", flags);
    int place = find_algorithm(scheme);
    if (place < 0)
        return place;
    if (size > IDENTITYD_COSE_PAYLOAD_MAX)
        return client_error(-EMSGSIZE, "a payload of %zu bytes is too long for COSE here: the limit is %u", size,
                            IDENTITYD_COSE_PAYLOAD_MAX);
    int r = make_protected(algorithms[place].alg, &protected);
    if (r >= 0)
        r = make_structure(bytes_view(&protected), (BytesView) { payload, size }, &structure);
    if (r < 0)
        return client_errno(r, "signing with COSE");
    r = identityd_sign_message(credential, identityd_snapshot_generation(snapshot), scheme, structure.data,
                               structure.size, signature, &signature_size);
    if (r >= 0 && algorithms[place].half > 0)
        r = unwrap(signature, &signature_size, algorithms[place].half);
    if (r < 0)
        return r;
    r = make_sign1(&(Sign1) { bytes_view(&protected),
                              { payload, size },
                              { signature, signature_size },
                              flags & IDENTITYD_COSE_DETACHED,
                              identityd_snapshot_chain(snapshot, NULL) },
                   &whole);
    if (r < 0)
        return client_errno(r, "signing with COSE");
    *ret_size = whole.size;
    *ret = TAKE_PTR(whole.data);
    return 0;
}

/* ---- identityd's own frame ---- */

_public_ int identityd_sign_data(identityd_credential *credential, uint32_t generation, uint16_t scheme,
                                 const void *message, size_t size, void *signature, size_t *signature_size) {
    PRESERVE_ERRNO;
    _cleanup_bytes_ Bytes framed = BYTES_NULL;

    if (!credential || (!message && size > 0))
        return client_error(-EINVAL, "signing: an argument is NULL");
    if (size > IDENTITYD_MESSAGE_MAX)
        return client_error(-EMSGSIZE, "a message of %zu bytes is too long to be signed", size);
    _cleanup_snapshot_ identityd_snapshot *snapshot = credential_latest(credential);
    if (data_frame_build(identityd_snapshot_identity(snapshot), (BytesView) { message, size }, &framed) < 0)
        return client_errno(-ENOMEM, "signing");
    return identityd_sign_message(credential, generation, scheme, framed.data, framed.size, signature, signature_size);
}
