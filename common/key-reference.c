/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* From a name to the file that refers to it, with libtasn1's simple coders. The way back is the OpenSSL provider's,
 * with OpenSSL's. */
#include "common/key-reference.h"

#include <gnutls/gnutls.h>
#include <libtasn1.h>
#include <string.h>

#define TAG_SEQUENCE 0x30U

static int append_utf8(Bytes *der, const char *text) {
    unsigned char header[ASN1_MAX_TL_SIZE];
    unsigned size = sizeof header;

    if (asn1_encode_simple_der(ASN1_ETYPE_UTF8_STRING, (const unsigned char *) text, (unsigned) strlen(text), header,
                               &size) != ASN1_SUCCESS)
        return -EINVAL;
    int r = bytes_append(der, (BytesView) { header, size });
    return r < 0 ? r : bytes_append(der, bytes_view_string(text));
}

int key_reference_to_pem(const char *name, Bytes *ret_pem) {
    _cleanup_bytes_ Bytes body = BYTES_NULL, der = BYTES_NULL;
    unsigned char header[1 + ASN1_MAX_LENGTH_SIZE] = { TAG_SEQUENCE };
    gnutls_datum_t pem = { NULL, 0 };
    int length_size = ASN1_MAX_LENGTH_SIZE;

    if (!identity_name_is_valid(name))
        return -EINVAL;
    int r = append_utf8(&body, KEY_REFERENCE_MARK);
    if (r >= 0)
        r = append_utf8(&body, name);
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
