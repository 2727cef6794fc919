/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading, ordering and showing certificates: see certificates.h. */
#include "idctl/certificates.h"

#include "idctl/file.h"
#include "idctl/output.h"

#include <gnutls/pkcs7.h>
#include <stdio.h>
#include <string.h>

void certificates_clear(Certificates *certificates) {
    for (size_t i = 0; i < certificates->count; i++)
        gnutls_x509_crt_deinit(certificates->list[i]);
    free(certificates->list);
    *certificates = (Certificates) { 0 };
}

static int error_to_errno(int error) {
    return error == GNUTLS_E_MEMORY_ERROR ? -ENOMEM : -EBADMSG;
}

int certificates_from_views(const gnutls_datum_t *list, size_t count, Certificates *ret) {
    _cleanup_certificates_ Certificates certificates = { 0 };

    if (count > CERTIFICATES_MAX)
        return -E2BIG;
    certificates.list = calloc(count + 1, sizeof certificates.list[0]);
    if (!certificates.list)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++) {
        if (gnutls_x509_crt_init(&certificates.list[i]) < 0)
            return -ENOMEM;
        certificates.count++;
        int r = gnutls_x509_crt_import(certificates.list[i], &list[i], GNUTLS_X509_FMT_DER);
        if (r < 0)
            return error_to_errno(r);
    }
    *ret = certificates;
    certificates = (Certificates) { 0 };
    return 0;
}

int certificates_from_der(const Bytes *list, size_t count, Certificates *ret) {
    _cleanup_free_ gnutls_datum_t *views = calloc(count + 1, sizeof views[0]);

    if (!views)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        views[i] = (gnutls_datum_t) { list[i].data, (unsigned) list[i].size };
    return certificates_from_views(views, count, ret);
}

static int parse_pem(const gnutls_datum_t *data, Certificates *ret) {
    gnutls_x509_crt_t *list;
    unsigned count;

    int r = gnutls_x509_crt_list_import2(&list, &count, data, GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return error_to_errno(r);
    /* GnuTLS allocates with its own allocator, which is malloc's unless a program replaced it: idctl does not. */
    *ret = (Certificates) { list, count };
    return 0;
}

static void pkcs7_deinit(gnutls_pkcs7_t *pkcs7) {
    if (*pkcs7)
        gnutls_pkcs7_deinit(*pkcs7);
}

static void datums_free(gnutls_datum_t **list) {
    for (gnutls_datum_t *datum = *list; datum && datum->data; datum++)
        gnutls_free(datum->data);
    free(*list);
}

static int parse_pkcs7(const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format, Certificates *ret) {
    _cleanup_(pkcs7_deinit) gnutls_pkcs7_t pkcs7 = NULL;
    _cleanup_(datums_free) gnutls_datum_t *list = NULL;

    if (gnutls_pkcs7_init(&pkcs7) < 0)
        return -ENOMEM;
    int r = gnutls_pkcs7_import(pkcs7, data, format);
    if (r < 0)
        return error_to_errno(r);
    int count = gnutls_pkcs7_get_crt_count(pkcs7);
    if (count <= 0)
        return -EBADMSG;
    if ((unsigned) count > CERTIFICATES_MAX)
        return -E2BIG;
    list = calloc((size_t) count + 1, sizeof list[0]);
    if (!list)
        return -ENOMEM;
    for (int i = 0; i < count; i++)
        if ((r = gnutls_pkcs7_get_crt_raw2(pkcs7, (unsigned) i, &list[i])) < 0)
            return error_to_errno(r);
    return certificates_from_views(list, (size_t) count, ret);
}

int certificates_parse(BytesView data, Certificates *ret) {
    if (data.size > CERTIFICATES_FILE_MAX)
        return -E2BIG;
    gnutls_datum_t datum = { (unsigned char *) data.data, (unsigned) data.size };
    if (data.size == 0)
        return -EBADMSG;
    if (data.data[0] != 0x30) {
        int r = parse_pem(&datum, ret);
        return r != -EBADMSG ? r : parse_pkcs7(&datum, GNUTLS_X509_FMT_PEM, ret);
    }
    int r = certificates_from_views(&datum, 1, ret);
    return r != -EBADMSG ? r : parse_pkcs7(&datum, GNUTLS_X509_FMT_DER, ret);
}

ExitCode certificates_read(const char *path, Certificates *ret) {
    _cleanup_bytes_ Bytes data = BYTES_NULL;

    ExitCode code = file_read(path, CERTIFICATES_FILE_MAX, &data);
    if (code != EXIT_OK)
        return code;
    int r = certificates_parse(bytes_view(&data), ret);
    if (r == -EBADMSG)
        complain("%s holds no certificates: expected PEM (\"-----BEGIN CERTIFICATE-----\"), PKCS#7, or one certificate "
                 "in DER.",
                 path);
    else if (r < 0)
        complain("cannot read certificates from %s: %s.", path, strerror(-r));
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static bool is_ca(gnutls_x509_crt_t certificate) {
    unsigned critical;

    return gnutls_x509_crt_get_basic_constraints(certificate, &critical, &(unsigned) { 0 }, &(int) { 0 }) >= 0 &&
           gnutls_x509_crt_get_ca_status(certificate, &critical) > 0;
}

static bool issued_another(const Certificates *certificates, size_t place) {
    for (size_t i = 0; i < certificates->count; i++)
        if (i != place && gnutls_x509_crt_check_issuer(certificates->list[i], certificates->list[place]))
            return true;
    return false;
}

void certificates_leaf_first(Certificates *certificates) {
    size_t leaves = 0, leaf = 0;

    for (size_t i = certificates->count; i-- > 0;)
        if (!is_ca(certificates->list[i])) {
            leaves++;
            leaf = i;
        }
    if (leaves != 1) {
        leaf = 0;
        for (size_t i = certificates->count; i-- > 0;)
            if (!issued_another(certificates, i))
                leaf = i;
    }
    for (size_t i = leaf; i > 0; i--) {
        gnutls_x509_crt_t other = certificates->list[i - 1];
        certificates->list[i - 1] = certificates->list[i];
        certificates->list[i] = other;
    }
}

int certificate_to_der(gnutls_x509_crt_t certificate, Bytes *ret) {
    gnutls_datum_t der;

    if (gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der) < 0)
        return -ENOMEM;
    int r = bytes_copy((BytesView) { der.data, der.size }, ret);
    gnutls_free(der.data);
    return r;
}

static char *name_to_text(gnutls_x509_crt_t certificate, int (*get)(gnutls_x509_crt_t, gnutls_datum_t *, unsigned)) {
    gnutls_datum_t text;

    if (get(certificate, &text, 0) < 0)
        return strdup("");
    char *copy = strndup((const char *) text.data, text.size);
    gnutls_free(text.data);
    return copy;
}

char *certificate_subject(gnutls_x509_crt_t certificate) {
    return name_to_text(certificate, gnutls_x509_crt_get_dn3);
}

char *certificate_issuer(gnutls_x509_crt_t certificate) {
    return name_to_text(certificate, gnutls_x509_crt_get_issuer_dn3);
}

char *certificate_serial(gnutls_x509_crt_t certificate) {
    unsigned char serial[64];
    size_t size = sizeof serial;

    if (gnutls_x509_crt_get_serial(certificate, serial, &size) < 0)
        return strdup("");
    return bytes_to_hex((BytesView) { serial, size });
}

static uint64_t to_microseconds(time_t seconds) {
    return seconds <= 0 ? 0 : (uint64_t) seconds * 1000000U;
}

void certificates_print(const Certificates *certificates, FILE *stream, const char *indent) {
    for (size_t i = 0; i < certificates->count; i++) {
        gnutls_x509_crt_t certificate = certificates->list[i];
        _cleanup_free_ char *subject = certificate_subject(certificate), *issuer = certificate_issuer(certificate),
                            *serial = certificate_serial(certificate), *subject_text = NULL, *issuer_text = NULL,
                            *end = NULL;
        subject_text = printable_copy(subject ? subject : "");
        issuer_text = printable_copy(issuer ? issuer : "");
        end = time_to_text(to_microseconds(gnutls_x509_crt_get_expiration_time(certificate)), time_now());
        fprintf(stream, "%s%zu  %s\n%s   issued by %s\n%s   serial %s, not after %s\n", indent, i,
                subject_text ? subject_text : "", indent, issuer_text ? issuer_text : "", indent, serial ? serial : "",
                end ? end : "");
    }
}

json_t *certificates_to_json(const Certificates *certificates) {
    json_t *array = json_array();

    for (size_t i = 0; array && i < certificates->count; i++) {
        gnutls_x509_crt_t certificate = certificates->list[i];
        _cleanup_free_ char *subject = certificate_subject(certificate), *issuer = certificate_issuer(certificate),
                            *serial = certificate_serial(certificate);
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        if (!subject || !issuer || !serial || certificate_to_der(certificate, &der) < 0) {
            json_decref(array);
            return NULL;
        }
        json_array_append_new(array,
                              json_pack("{s:o, s:o, s:s, s:o, s:o, s:o}", "subject", text_to_json(subject), "issuer",
                                        text_to_json(issuer), "serial_number", serial, "not_before",
                                        time_to_json(to_microseconds(gnutls_x509_crt_get_activation_time(certificate))),
                                        "not_after",
                                        time_to_json(to_microseconds(gnutls_x509_crt_get_expiration_time(certificate))),
                                        "pem", pem_to_json("CERTIFICATE", bytes_view(&der))));
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
