/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Both ways between a name and the file that refers to it, with libtasn1's simple coders. */
#include "common/key-reference.h"

#include <gnutls/gnutls.h>
#include <libtasn1.h>
#include <string.h>

#define MARK         "org.identityd1"
#define TAG_SEQUENCE 0x30U
#define TLV_OVERHEAD 6U

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
    int r = append_utf8(&body, MARK);
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

/* Takes a UTF8String from the front of `rest`. */
static int take_utf8(BytesView *rest, BytesView *ret) {
    unsigned tag_length = 0;
    const unsigned char *text;
    unsigned size;

    if (asn1_decode_simple_der(ASN1_ETYPE_UTF8_STRING, rest->data, (int) rest->size, &text, &size) != ASN1_SUCCESS)
        return -EBADMSG;
    tag_length = (unsigned) (text - rest->data) + size;
    if (tag_length > rest->size)
        return -EBADMSG;
    *ret = (BytesView) { text, size };
    rest->data += tag_length;
    rest->size -= tag_length;
    return 0;
}

int key_reference_from_der(BytesView der, char ret_name[static IDENTITY_NAME_MAX + 1U]) {
    BytesView rest, mark, name;
    int length_size;

    if (der.size < 2U + TLV_OVERHEAD || der.size > KEY_REFERENCE_MAX || der.data[0] != TAG_SEQUENCE)
        return -ENOMSG;
    long length = asn1_get_length_der(der.data + 1, (int) der.size - 1, &length_size);
    if (length < 0 || (size_t) length != der.size - 1U - (size_t) length_size)
        return -ENOMSG;
    rest = (BytesView) { der.data + 1 + length_size, (size_t) length };
    if (take_utf8(&rest, &mark) < 0 || !bytes_view_equal(mark, bytes_view_string(MARK)))
        return -ENOMSG;
    if (take_utf8(&rest, &name) < 0 || rest.size != 0 || name.size > IDENTITY_NAME_MAX ||
        (name.size > 0 && memchr(name.data, '\0', name.size)))
        return -EBADMSG;
    char copy[IDENTITY_NAME_MAX + 1U] = { 0 };
    if (name.size > 0)
        memcpy(copy, name.data, name.size);
    if (!identity_name_is_valid(copy))
        return -EBADMSG;
    memcpy(ret_name, copy, sizeof copy);
    return 0;
}
