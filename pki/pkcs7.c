/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certs-only PKCS#7, as EST servers answer. What makes it more than a bag of certificates (content, signers) is
 * refused: nobody here would check it, and somebody might believe it. */
#include "pki/asn1.h"
#include "pki/certificate.h"

#include <gnutls/pkcs7.h>
#include <string.h>

#define REJECT(...)        failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define PKCS7_ELEMENTS_MAX 65536U /* of any kind, at any depth; a certificate has some 80 */
#define PKCS7_DEPTH_MAX    24U

static void pkcs7_p(gnutls_pkcs7_t *pkcs7) {
    if (*pkcs7)
        gnutls_pkcs7_deinit(*pkcs7);
}

/* Counts the elements before GnuTLS makes objects of them: a message of two megabytes that is all empty ones costs it
 * 400. Where an element has no definite length (BER), what it contains is counted as if it stood beside it. What cannot
 * be walked through, GnuTLS cannot either. */
static bool is_bounded(BytesView data, unsigned depth, size_t *count) {
    while (data.size > 0) {
        unsigned char class;
        int tag_length, length_length;
        unsigned long tag;
        DerItem item;

        if (++*count > PKCS7_ELEMENTS_MAX || depth > PKCS7_DEPTH_MAX)
            return false;
        if (asn1_get_tag_der(data.data, (int) data.size, &class, &tag_length, &tag) != ASN1_SUCCESS)
            return true;
        if (asn1_get_length_der(data.data + tag_length, (int) data.size - tag_length, &length_length) == -1) {
            size_t header = (size_t) tag_length + 1;
            data = (BytesView) { data.data + header, data.size - header };
            continue;
        }
        if (der_next(&data, &item) <= 0)
            return true;
        if ((class & ASN1_CLASS_STRUCTURED) && !is_bounded(item.content, depth + 1, count))
            return false;
    }
    return true;
}

static int check_bag(gnutls_pkcs7_t pkcs7, size_t maximum, size_t *ret_count, Failure *ret_failure) {
    gnutls_pkcs7_signature_info_st signer;
    _cleanup_datum_ gnutls_datum_t content = { 0 };
    int r;

    r = gnutls_pkcs7_get_signature_info(pkcs7, 0, &signer);
    if (r >= 0)
        gnutls_pkcs7_signature_info_deinit(&signer);
    if (r != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
        return REJECT("the PKCS#7 message has a signer: it is not certs-only");
    r = gnutls_pkcs7_get_embedded_data(pkcs7, GNUTLS_PKCS7_EDATA_GET_RAW, &content);
    if (r >= 0 && content.size > 0)
        return REJECT("the PKCS#7 message has content: it is not certs-only");
    r = gnutls_pkcs7_get_crt_count(pkcs7);
    if (r < 0)
        return REJECT("the certificates of the PKCS#7 message cannot be counted: %s", gnutls_strerror(r));
    if (r == 0)
        return REJECT("there is no certificate in the PKCS#7 message");
    if ((size_t) r > maximum)
        return REJECT("there are %d certificates in the PKCS#7 message, more than %zu", r, maximum);
    *ret_count = (size_t) r;
    return 0;
}

static int decode_entry(gnutls_pkcs7_t pkcs7, size_t i, Certificate **ret, Failure *ret_failure) {
    _cleanup_datum_ gnutls_datum_t raw = { 0 };
    int r = gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned) i, &raw);

    if (r < 0)
        return REJECT("entry %zu of the PKCS#7 message is not an X.509 certificate: %s", i + 1, gnutls_strerror(r));
    r = certificate_from_der(view_from_datum(&raw), ret, ret_failure);
    return r < 0 ? failure_prefix(ret_failure, r, "certificate %zu of the PKCS#7 message", i + 1) : 0;
}

static int open_bag(BytesView der, size_t maximum, gnutls_pkcs7_t *pkcs7, size_t *ret_count, Failure *ret_failure) {
    gnutls_datum_t datum = datum_from_view(der);
    size_t elements = 0;

    if (der.size == 0)
        return REJECT("the PKCS#7 message is empty");
    if (der.size > BUNDLE_BYTES_MAX)
        return REJECT("the PKCS#7 message has %zu bytes, more than %u", der.size, BUNDLE_BYTES_MAX);
    if (!is_bounded(der, 0, &elements))
        return REJECT("the PKCS#7 message has more than %u elements or nests too deep", PKCS7_ELEMENTS_MAX);
    if (gnutls_pkcs7_init(pkcs7) < 0)
        return failure_errno(ret_failure, -ENOMEM, "reading PKCS#7");
    int r = gnutls_pkcs7_import(*pkcs7, &datum, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return REJECT("what should be PKCS#7 SignedData is not: %s", gnutls_strerror(r));
    return check_bag(*pkcs7, maximum, ret_count, ret_failure);
}

int certificate_bundle_from_pkcs7(BytesView der, size_t maximum, CertificateList *ret, LeftOut *ret_left_out,
                                  Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };
    _cleanup_(pkcs7_p) gnutls_pkcs7_t pkcs7 = NULL;
    LeftOut left_out = { 0 };
    size_t count = 0;
    int r = open_bag(der, maximum, &pkcs7, &count, ret_failure);

    for (size_t i = 0; r >= 0 && i < count; i++) {
        Failure failure = FAILURE_INIT;
        Certificate *certificate;
        r = decode_entry(pkcs7, i, &certificate, &failure);
        if (r == -EBADMSG) {
            left_out_add(&left_out, &failure);
            r = 0;
        } else if (r >= 0) {
            r = certificate_list_add(&list, certificate);
        }
        if (r < 0)
            return failure_errno(ret_failure, r, "reading PKCS#7");
    }
    if (r < 0)
        return r;
    if (list.count == 0) {
        if (ret_failure)
            *ret_failure = left_out.first;
        return failure_prefix(ret_failure, -EBADMSG, "none of the %zu can be read; the first", left_out.count);
    }
    *ret_left_out = left_out;
    *ret = list;
    list = (CertificateList) { 0 };
    return 0;
}
