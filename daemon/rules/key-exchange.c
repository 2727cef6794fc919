/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bytes that IKEv2 peers and TLS 1.2 servers sign: see key-exchange.h. */
#include "rules/key-exchange.h"

#include "common/macros.h"

#include <string.h>

#define RANDOMS_SIZE      64U /* client_random and server_random, RFC 5246 §7.4.3 */
#define IKE_HEADER_SIZE   28U
#define IKE_MAJOR_VERSION 2
#define IKE_SA_INIT       34

/* RFC 7296 §2.15: an IKEv2 peer signs its own first message, whose header (§3.1) has the version, the exchange type and
 * the message ID. What a verifier looks at is looked at here and nothing else: the minor version is ignored (§2.5), the
 * ID is 0 (§2.2), and whether the length is right not everyone asks. */
static bool begins_with_ike(BytesView message) {
    static const uint8_t no_id[4] = { 0 };
    const uint8_t *header = message.data;

    return message.size >= IKE_HEADER_SIZE && header[17] >> 4 == IKE_MAJOR_VERSION && header[18] == IKE_SA_INIT &&
           memcmp(header + 20, no_id, sizeof(no_id)) == 0;
}

/* Whether `rest` is exactly a row of length-prefixed vectors; `prefixes` holds the bytes of each length, 0 ends it.
 * Empty vectors count: not every client refuses them. */
static bool is_vectors(BytesView rest, const uint8_t *prefixes) {
    for (; *prefixes; prefixes++) {
        size_t length = 0;
        if (rest.size < *prefixes)
            return false;
        for (unsigned i = 0; i < *prefixes; i++)
            length = length << 8 | rest.data[i];
        rest.data += *prefixes;
        rest.size -= *prefixes;
        if (length > rest.size)
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
        if (is_vectors((BytesView) { parameters.data + header, parameters.size - header }, shapes[i].prefixes))
            return true;
    }
    return false;
}

const char *key_exchange_refusal(BytesView message) {
    if (begins_with_ike(message))
        return "it begins with the header of an IKE_SA_INIT message, as what IKEv2 signs does";
    if (has_key_exchange(message))
        return "after 64 bytes it looks like the key exchange of a TLS 1.2 server";
    return NULL;
}
