/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See asn1.h. A tree does not need the definitions that it was made of: libtasn1 copies from them. */
#include "common/asn1.h"

#include <assert.h>
#include <limits.h>

int asn1_tree_new(const asn1_static_node *table, const char *type, asn1_node *ret) {
    _cleanup_asn1_ asn1_node definitions = NULL;
    asn1_node node = NULL;

    if (asn1_array2tree(table, &definitions, NULL) != ASN1_SUCCESS)
        return -ENOMEM;
    int code = asn1_create_element(definitions, type, &node);
    assert(code != ASN1_ELEMENT_NOT_FOUND);
    if (code != ASN1_SUCCESS)
        return -ENOMEM;
    *ret = node;
    return 0;
}

int asn1_tree_decode(const asn1_static_node *table, const char *type, BytesView der, asn1_node *ret) {
    _cleanup_asn1_ asn1_node node = NULL;

    if (der.size == 0 || der.size > INT_MAX / 2)
        return -EBADMSG;
    int r = asn1_tree_new(table, type, &node), size = (int) der.size;
    if (r < 0)
        return r;
    int code = asn1_der_decoding2(&node, der.data, &size, ASN1_DECODE_FLAG_STRICT_DER, NULL);
    if (code != ASN1_SUCCESS)
        return code == ASN1_MEM_ALLOC_ERROR ? -ENOMEM : -EBADMSG;
    if ((size_t) size != der.size)
        return -EBADMSG;
    *ret = TAKE_PTR(node);
    return 0;
}
