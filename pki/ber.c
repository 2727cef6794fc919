/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One pass from the outside in; what has no indefinite length in it is copied as it stands. */
#include "pki/ber.h"

#include "pki/asn1.h"

#include <limits.h>
#include <string.h>

#define DEPTH_MAX    24U
#define ELEMENTS_MAX 16384U /* a message with ten certificates has some thousand */

static int append_header(Bytes *ret, const uint8_t *tag, size_t tag_size, size_t length) {
    uint8_t header[16];
    int length_size = 0;

    if (tag_size > 6)
        return -EBADMSG;
    memcpy(header, tag, tag_size);
    asn1_length_der((unsigned long) length, header + tag_size, &length_size);
    return bytes_append(ret, (BytesView) { header, tag_size + (size_t) length_size });
}

/* Takes `size` bytes off the front. */
static void advance(BytesView *view, size_t size) {
    view->data += size;
    view->size -= size;
}

static int convert_all(BytesView content, unsigned depth, size_t *elements, Bytes *ret);

/* One value off `rest`. 1; 0 for the end of an indefinite one around it. */
static int convert_next(BytesView *rest, unsigned depth, size_t *elements, Bytes *ret) {
    _cleanup_bytes_ Bytes inner = BYTES_NULL;
    const uint8_t *start = rest->data;
    unsigned char class;
    unsigned long tag;
    int tag_size, length_size, r;

    if (depth > DEPTH_MAX || ++*elements > ELEMENTS_MAX || rest->size < 2 || rest->size > INT_MAX ||
        asn1_get_tag_der(start, (int) rest->size, &class, &tag_size, &tag) != ASN1_SUCCESS)
        return -EBADMSG;
    if (start[0] == 0 && start[1] == 0) {
        advance(rest, 2);
        return 0;
    }
    long length = asn1_get_length_der(start + tag_size, (int) rest->size - tag_size, &length_size);
    if (length < -1 || (length == -1 && !(class & ASN1_CLASS_STRUCTURED)))
        return -EBADMSG;
    size_t header = (size_t) tag_size + (length == -1 ? 1 : (size_t) length_size);
    if (header > rest->size || (length >= 0 && (size_t) length > rest->size - header))
        return -EBADMSG;
    advance(rest, header);
    if (length == -1) {
        while ((r = convert_next(rest, depth + 1, elements, &inner)) > 0)
            ;
        if (r < 0)
            return r;
    } else {
        BytesView content = { rest->data, (size_t) length };
        advance(rest, content.size);
        r = class & ASN1_CLASS_STRUCTURED ? convert_all(content, depth + 1, elements, &inner)
                                          : bytes_append(&inner, content);
        if (r < 0)
            return r;
        if (bytes_view_equal(bytes_view(&inner), content))
            return bytes_append(ret, (BytesView) { start, header + content.size }) < 0 ? -ENOMEM : 1;
    }
    r = append_header(ret, start, (size_t) tag_size, inner.size);
    if (r >= 0)
        r = bytes_append(ret, bytes_view(&inner));
    return r < 0 ? r : 1;
}

static int convert_all(BytesView content, unsigned depth, size_t *elements, Bytes *ret) {
    while (content.size > 0) {
        int r = convert_next(&content, depth, elements, ret);
        if (r <= 0)
            return r < 0 ? r : -EBADMSG;
    }
    return 0;
}

int ber_make_definite(BytesView ber, Bytes *ret) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    size_t elements = 0;

    int r = convert_next(&ber, 0, &elements, &der);
    if (r <= 0 || ber.size > 0)
        return r == -ENOMEM ? r : -EBADMSG;
    *ret = der;
    der = BYTES_NULL;
    return 0;
}
