/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a name to the file that refers to it, with libtasn1's simple coders. The way back is the OpenSSL provider's,
 * with OpenSSL's. */
#include "common/key-reference.h"

#include <gnutls/gnutls.h>
#include <libtasn1.h>
#include <string.h>

#define TAG_SEQUENCE 0x30U

static int append_simple(Bytes *der, unsigned type, BytesView content) {
    unsigned char header[ASN1_MAX_TL_SIZE];
    unsigned size = sizeof header;

    if (asn1_encode_simple_der(type, content.data, (unsigned) content.size, header, &size) != ASN1_SUCCESS)
        return -EINVAL;
    int r = bytes_append(der, (BytesView) { header, size });
    return r < 0 ? r : bytes_append(der, content);
}

/* As few bytes as hold it, and a zero before one that would make it negative. */
static int append_number(Bytes *der, uint32_t number) {
    const uint8_t bytes[] = { 0, (uint8_t) (number >> 24), (uint8_t) (number >> 16), (uint8_t) (number >> 8),
                              (uint8_t) number };
    size_t skip = 0;

    while (skip < sizeof bytes - 1 && bytes[skip] == 0 && bytes[skip + 1] < 0x80)
        skip++;
    return append_simple(der, ASN1_ETYPE_INTEGER, (BytesView) { bytes + skip, sizeof bytes - skip });
}

int key_reference_to_pem(const char *name, uint32_t generation, Bytes *ret_pem) {
    _cleanup_bytes_ Bytes body = BYTES_NULL, der = BYTES_NULL;
    unsigned char header[1 + ASN1_MAX_LENGTH_SIZE] = { TAG_SEQUENCE };
    gnutls_datum_t pem = { NULL, 0 };
    int length_size = ASN1_MAX_LENGTH_SIZE;

    if (!identity_name_is_valid(name))
        return -EINVAL;
    int r = append_simple(&body, ASN1_ETYPE_UTF8_STRING, bytes_view_string(KEY_REFERENCE_MARK));
    if (r >= 0)
        r = append_simple(&body, ASN1_ETYPE_UTF8_STRING, bytes_view_string(name));
    if (r >= 0 && generation != 0)
        r = append_number(&body, generation);
    if (r < 0)
        return r;
    asn1_length_der(body.size, header + 1, &length_size);
    r = bytes_append(&der, (BytesView) { header, 1U + (size_t) length_size });
    if (r >= 0)
        r = bytes_append(&der, bytes_view(&body));
    if (r < 0)
        return r;
    gnutls_datum_t in = { der.data, (unsigned) der.size };
    if (gnutls_pem_base64_encode2(KEY_REFERENCE_LABEL, &in, &pem) < 0)
        return -ENOMEM;
    r = bytes_copy((BytesView) { pem.data, pem.size }, ret_pem);
    gnutls_free(pem.data);
    return r;
}
