/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading, ordering and showing certificates: see certificates.h. */
#include "idctl/certificates.h"

#include "idctl/file.h"
#include "idctl/output.h"

#include <string.h>

static void datum_free(gnutls_datum_t *datum) {
    gnutls_free(datum->data);
}

int certificates_from_der(const Bytes *list, size_t count, CertificateList *ret) {
    _cleanup_certificates_ CertificateList certificates = { 0 };

    for (size_t i = 0; i < count; i++) {
        Certificate *certificate;
        int r = certificate_from_der(bytes_view(&list[i]), &certificate, NULL);
        if (r >= 0)
            r = certificate_list_add(&certificates, certificate);
        if (r < 0)
            return r;
    }
    *ret = certificates;
    certificates = (CertificateList) { 0 };
    return 0;
}

/* ---- files ---- */

/* The first block with this label, decoded. */
static bool decode_pem(BytesView data, const char *label, gnutls_datum_t *ret) {
    gnutls_datum_t text = { (unsigned char *) (uintptr_t) data.data, (unsigned) data.size };

    return gnutls_pem_base64_decode2(label, &text, ret) >= 0;
}

/* A ContentInfo with SignedData, by its first bytes: a certificate begins with another SEQUENCE there. */
static bool is_pkcs7(BytesView data) {
    static const uint8_t oid[] = { 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02 };

    return memmem(data.data, data.size < 24 ? data.size : 24, oid, sizeof oid) != NULL;
}

static int parse_one(BytesView der, CertificateList *ret, Failure *ret_failure) {
    CertificateList list = { 0 };
    Certificate *certificate;
    int r = certificate_from_der(der, &certificate, ret_failure);

    if (r < 0)
        return r;
    r = certificate_list_add(&list, certificate);
    if (r < 0)
        return failure_errno(ret_failure, r, "reading a certificate");
    *ret = list;
    return 0;
}

int certificates_parse(BytesView data, CertificateList *ret, LeftOut *ret_left_out, Failure *ret_failure) {
    _cleanup_(datum_free) gnutls_datum_t decoded = { 0 };

    if (data.size > CERTIFICATES_FILE_MAX)
        return failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, "it has more than %u bytes",
                           CERTIFICATES_FILE_MAX);
    *ret_left_out = (LeftOut) { 0 };
    if (data.size > 0 && data.data[0] == 0x30)
        return is_pkcs7(data) ? certificate_bundle_from_pkcs7(data, BUNDLE_MAX, ret, ret_left_out, ret_failure)
                              : parse_one(data, ret, ret_failure);
    if (decode_pem(data, "PKCS7", &decoded) || decode_pem(data, "CMS", &decoded))
        return certificate_bundle_from_pkcs7((BytesView) { decoded.data, decoded.size }, BUNDLE_MAX, ret, ret_left_out,
                                             ret_failure);
    return certificate_bundle_from_pem(data, ret, ret_left_out, ret_failure);
}

/* Whether the first certificate of the file is the first of the list, and so was not left out. PKCS#7 has no order. */
static bool first_was_read(BytesView data, const CertificateList *list) {
    _cleanup_(datum_free) gnutls_datum_t first = { 0 };

    return decode_pem(data, "CERTIFICATE", &first) &&
           bytes_view_equal((BytesView) { first.data, first.size }, bytes_view(&list->list[0]->der));
}

static ExitCode read_certificates(const char *path, bool is_chain, CertificateList *ret) {
    _cleanup_bytes_ Bytes data = BYTES_NULL;
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;
    LeftOut left_out;

    ExitCode code = file_read(path, CERTIFICATES_FILE_MAX, &data);
    if (code != EXIT_OK)
        return code;
    int r = certificates_parse(bytes_view(&data), &list, &left_out, &failure);
    if (r < 0) {
        complain("%s holds no certificates that can be read: %s. Expected is PEM (\"-----BEGIN CERTIFICATE-----\"), "
                 "PKCS#7, or one certificate in DER.",
                 path, failure.text);
        return EXIT_FAILED;
    }
    if (is_chain && left_out.count > 0 && !first_was_read(bytes_view(&data), &list)) {
        complain("%s: what cannot be read may be the very certificate that has to be verified or installed: %s. The CA "
                 "has to issue another one.",
                 path, left_out.first.text);
        return EXIT_FAILED;
    }
    if (left_out.count > 0)
        complain("%s: left out is what cannot be read, %zu in number; the first: %s.", path, left_out.count,
                 left_out.first.text);
    *ret = list;
    list = (CertificateList) { 0 };
    return EXIT_OK;
}

ExitCode certificates_read(const char *path, CertificateList *ret) {
    return read_certificates(path, false, ret);
}

ExitCode certificates_read_chain(const char *path, CertificateList *ret) {
    ExitCode code = read_certificates(path, true, ret);

    if (code == EXIT_OK)
        certificates_leaf_first(ret);
    return code;
}

/* ---- order ---- */

static bool issued_another(const CertificateList *certificates, size_t place) {
    const Certificate *issuer = certificates->list[place];

    for (size_t i = 0; i < certificates->count; i++) {
        const Certificate *other = certificates->list[i];
        if (i != place && !certificate_equal(issuer, other) && certificate_names_issuer(other, issuer))
            return true;
    }
    return false;
}

static size_t find_leaf(const CertificateList *certificates) {
    const Certificate *first = certificates->list[0];
    size_t leaves = 0, leaf = 0;

    /* Version 1 does not say whether it is a CA. */
    if (!first->is_ca && first->version == 3)
        return 0;
    for (size_t i = 0; i < certificates->count; i++)
        if (!certificates->list[i]->is_ca) {
            leaves++;
            leaf = i;
        }
    if (leaves == 1)
        return leaf;
    for (size_t i = 0; i < certificates->count; i++)
        if (!issued_another(certificates, i))
            return i;
    return 0;
}

void certificates_leaf_first(CertificateList *certificates) {
    size_t leaf = certificates->count > 0 ? find_leaf(certificates) : 0;

    for (size_t i = leaf; i > 0; i--) {
        Certificate *other = certificates->list[i - 1];
        certificates->list[i - 1] = certificates->list[i];
        certificates->list[i] = other;
    }
}

/* ---- showing ---- */

static uint64_t to_microseconds(int64_t seconds) {
    return seconds <= 0 ? 0 : (uint64_t) seconds * 1000000U;
}

void certificates_print(const CertificateList *certificates, FILE *stream, const char *indent) {
    for (size_t i = 0; i < certificates->count; i++) {
        const Certificate *certificate = certificates->list[i];
        _cleanup_free_ char *subject = printable_copy(certificate->subject),
                            *issuer = printable_copy(certificate->issuer),
                            *end = time_to_text(to_microseconds(certificate->not_after), time_now());
        fprintf(stream, "%s%zu  %s\n%s   issued by %s\n%s   serial %s, not after %s\n", indent, i,
                subject ? subject : "", indent, issuer ? issuer : "", indent, certificate->serial, end ? end : "");
    }
}

char *certificate_sha256(const Certificate *certificate) {
    uint8_t fingerprint[32];

    return certificate_fingerprint(certificate, fingerprint) < 0
               ? NULL
               : bytes_to_hex((BytesView) { fingerprint, sizeof fingerprint });
}

json_t *certificate_to_json(const Certificate *certificate) {
    _cleanup_free_ char *sha256 = certificate_sha256(certificate);

    return json_pack("{s:o, s:o, s:s, s:o, s:o, s:s, s:o}", "subject", text_to_json(certificate->subject), "issuer",
                     text_to_json(certificate->issuer), "serial_number", certificate->serial, "not_before",
                     time_to_json(to_microseconds(certificate->not_before)), "not_after",
                     time_to_json(to_microseconds(certificate->not_after)), "sha256", sha256, "pem",
                     pem_to_json("CERTIFICATE", bytes_view(&certificate->der)));
}

json_t *certificates_to_json(const CertificateList *certificates) {
    json_t *array = json_array();

    for (size_t i = 0; array && i < certificates->count; i++)
        if (json_array_append_new(array, certificate_to_json(certificates->list[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    return array;
}

int pem_encode(const char *label, BytesView der, Bytes *ret) {
    gnutls_datum_t data = { (unsigned char *) der.data, (unsigned) der.size }, pem;

    if (gnutls_pem_base64_encode2(label, &data, &pem) < 0)
        return -ENOMEM;
    int r = bytes_copy((BytesView) { pem.data, pem.size }, ret);
    gnutls_free(pem.data);
    return r;
}

json_t *pem_to_json(const char *label, BytesView der) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    if (der.size == 0)
        return json_null();
    return pem_encode(label, der, &pem) < 0 ? NULL : json_stringn((const char *) pem.data, pem.size);
}
