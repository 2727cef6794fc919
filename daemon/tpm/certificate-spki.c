/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See certificate-spki.h. */
#include "tpm/certificate-spki.h"

#include "tpm/asn1.h"

#include <limits.h>

int certificate_spki(BytesView content, Bytes *ret) {
    _cleanup_asn1_ asn1_node certificate = NULL;
    int start = 0, end = 0, size = (int) content.size;

    if (content.size < 2 || content.size > INT_MAX)
        return -EINVAL;
    int r = asn1_tree_new(tpm_asn1_table, "IdentitydTpm.Certificate", &certificate);
    if (r < 0)
        return r;
    if (asn1_der_decoding2(&certificate, content.data, &size, ASN1_DECODE_FLAG_ALLOW_PADDING, NULL) != ASN1_SUCCESS)
        return -EINVAL;
    if (asn1_der_decoding_startEnd(certificate, content.data, (int) content.size, "tbsCertificate.subjectPublicKeyInfo",
                                   &start, &end) != ASN1_SUCCESS ||
        start <= 0 || end < start || (size_t) end >= content.size)
        return -EINVAL;
    return bytes_copy((BytesView) { content.data + start, (size_t) (end - start) + 1U }, ret);
}
