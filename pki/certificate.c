/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One X.509 certificate. Everything that others ask for is read when it is parsed, so that a Certificate that exists is
 * one whose fields can be relied on; whether it is to be trusted is chain.c's business. */
#include "pki/certificate.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/signature.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define KEY_IDENTIFIER_MAX 128U /* bytes; a longer one counts for none */

#define REJECT(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

Certificate *certificate_free(Certificate *certificate) {
    if (!certificate)
        return NULL;
    if (certificate->crt)
        gnutls_x509_crt_deinit(certificate->crt);
    bytes_clear(&certificate->der);
    bytes_clear(&certificate->spki);
    bytes_clear(&certificate->subject_raw);
    bytes_clear(&certificate->issuer_raw);
    bytes_clear(&certificate->subject_form);
    bytes_clear(&certificate->issuer_form);
    free(certificate->subject);
    free(certificate->issuer);
    free(certificate->serial);
    free(certificate);
    return NULL;
}

static int copy_slice(asn1_node node, BytesView der, const char *field, Bytes *ret) {
    BytesView slice;
    int r = asn1_slice(node, der, field, &slice);

    return r < 0 ? -EBADMSG : bytes_copy(slice, ret);
}

static int read_serial(asn1_node node, char **ret) {
    _cleanup_bytes_ Bytes serial = BYTES_NULL;
    size_t zeros = 0;
    int r = asn1_value(node, "tbsCertificate.serialNumber", &serial);

    if (r < 0)
        return r;
    while (zeros + 1 < serial.size && serial.data[zeros] == 0)
        zeros++;
    *ret = bytes_to_hex((BytesView) { serial.data + zeros, serial.size - zeros });
    return *ret ? 0 : -ENOMEM;
}

/* RFC 5280 §4.2: an extension appears once. GnuTLS and others would each act on another one of two. */
static int check_extensions(asn1_node node, Failure *ret_failure) {
    char oids[CERTIFICATE_EXTENSIONS_MAX][ASN1_OID_MAX];
    size_t count = 0;
    int r = asn1_count(node, "tbsCertificate.extensions", &count);

    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return r;
    if (count > CERTIFICATE_EXTENSIONS_MAX)
        return REJECT("the certificate has %zu extensions, more than %u", count, CERTIFICATE_EXTENSIONS_MAX);
    for (size_t i = 0; i < count; i++) {
        char field[64];
        (void) snprintf(field, sizeof(field), "tbsCertificate.extensions.?%zu.extnID", i + 1);
        r = asn1_oid(node, field, oids[i]);
        if (r < 0)
            return r == -ENOMEM ? r : REJECT("the name of extension %zu of the certificate cannot be read", i + 1);
        for (size_t k = 0; k < i; k++)
            if (strcmp(oids[i], oids[k]) == 0)
                return REJECT("the certificate has the extension %s twice", oids[i]);
    }
    return 0;
}

static int read_fields(Certificate *certificate, asn1_node node, Failure *ret_failure) {
    BytesView der = bytes_view(&certificate->der);
    int r;

    r = copy_slice(node, der, "tbsCertificate.subjectPublicKeyInfo", &certificate->spki);
    if (r >= 0)
        r = copy_slice(node, der, "tbsCertificate.subject", &certificate->subject_raw);
    if (r >= 0)
        r = copy_slice(node, der, "tbsCertificate.issuer", &certificate->issuer_raw);
    if (r >= 0)
        r = name_form(bytes_view(&certificate->subject_raw), &certificate->subject_form);
    if (r >= 0)
        r = name_form(bytes_view(&certificate->issuer_raw), &certificate->issuer_form);
    if (r >= 0)
        r = name_to_text(bytes_view(&certificate->subject_raw), &certificate->subject);
    if (r >= 0)
        r = name_to_text(bytes_view(&certificate->issuer_raw), &certificate->issuer);
    if (r >= 0)
        r = read_serial(node, &certificate->serial);
    if (r < 0)
        return r == -ENOMEM ? failure_errno(ret_failure, r, "reading a certificate")
                            : REJECT("a field of the certificate cannot be read");
    if (asn1_time(node, "tbsCertificate.validity.notBefore", &certificate->not_before) < 0)
        return REJECT("the certificate has no notBefore that can be read");
    if (asn1_time(node, "tbsCertificate.validity.notAfter", &certificate->not_after) < 0)
        return REJECT("the certificate has no notAfter that can be read");
    certificate->self_issued =
        certificate->subject_raw.size > 2 &&
        bytes_view_equal(bytes_view(&certificate->subject_form), bytes_view(&certificate->issuer_form));
    return 0;
}

/* Bytes after the certificate are told apart from what is no certificate at all. */
static int check_outer(BytesView der, Failure *ret_failure) {
    BytesView rest = der;
    DerItem item;

    if (der.size == 0)
        return REJECT("the certificate is empty");
    if (der.size > CERTIFICATE_MAX)
        return REJECT("the certificate has %zu bytes, more than %u", der.size, CERTIFICATE_MAX);
    if (der_next(&rest, &item) <= 0 || !der_is_sequence(&item))
        return REJECT("what should be a certificate is not DER");
    if (rest.size > 0)
        return REJECT("there are %zu bytes after the end of the certificate", rest.size);
    return 0;
}

int certificate_from_der(BytesView der, Certificate **ret, Failure *ret_failure) {
    _cleanup_certificate_ Certificate *certificate = NULL;
    _cleanup_asn1_ asn1_node node = NULL;
    gnutls_datum_t datum = datum_from_view(der);
    unsigned critical;
    int r;

    r = check_outer(der, ret_failure);
    if (r < 0)
        return r;
    r = asn1_decode("Certificate", der, &node);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "decoding a certificate");
    if (r < 0)
        return REJECT("what should be a certificate is not one in DER (RFC 5280)");
    r = check_extensions(node, ret_failure);
    if (r < 0)
        return r;
    certificate = calloc(1, sizeof(*certificate));
    if (!certificate)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    r = bytes_copy(der, &certificate->der);
    if (r < 0)
        return failure_errno(ret_failure, r, "decoding a certificate");
    if (gnutls_x509_crt_init(&certificate->crt) < 0)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    r = gnutls_x509_crt_import(certificate->crt, &datum, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return REJECT("the certificate cannot be read: %s", gnutls_strerror(r));
    r = read_fields(certificate, node, ret_failure);
    if (r < 0)
        return r;
    certificate->is_ca = gnutls_x509_crt_get_ca_status(certificate->crt, &critical) > 0;
    *ret = TAKE_PTR(certificate);
    return 0;
}

int certificate_copy(const Certificate *certificate, Certificate **ret) {
    return certificate_from_der(bytes_view(&certificate->der), ret, NULL);
}

bool certificate_equal(const Certificate *a, const Certificate *b) {
    return a == b || bytes_view_equal(bytes_view(&a->der), bytes_view(&b->der));
}

bool certificate_names_issuer(const Certificate *certificate, const Certificate *issuer) {
    uint8_t wanted[KEY_IDENTIFIER_MAX], found[KEY_IDENTIFIER_MAX];
    size_t wanted_size = sizeof(wanted), found_size = sizeof(found);

    if (!bytes_view_equal(bytes_view(&certificate->issuer_form), bytes_view(&issuer->subject_form)))
        return false;
    if (gnutls_x509_crt_get_authority_key_id(certificate->crt, wanted, &wanted_size, NULL) < 0 ||
        gnutls_x509_crt_get_subject_key_id(issuer->crt, found, &found_size, NULL) < 0)
        return true; /* an issuer and a serial number instead are a hint, and the signature decides */
    return bytes_view_equal((BytesView) { wanted, wanted_size }, (BytesView) { found, found_size });
}

bool certificate_is_self_signed(const Certificate *certificate) {
    return certificate->self_issued && certificate_is_signed_by(certificate, certificate, true);
}

int certificate_fingerprint(const Certificate *certificate, uint8_t ret[static 32]) {
    uint8_t digest[32];

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, certificate->der.data, certificate->der.size, digest) < 0)
        return -EIO;
    memcpy(ret, digest, sizeof(digest));
    return 0;
}

int certificate_extension(const Certificate *certificate, const char *oid, Bytes *ret, bool *ret_critical) {
    for (unsigned i = 0; i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        _cleanup_datum_ gnutls_datum_t value = { 0 };
        char found[ASN1_OID_MAX];
        size_t size = sizeof(found);
        unsigned critical = 0;
        int r = gnutls_x509_crt_get_extension_info(certificate->crt, i, found, &size, &critical);

        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (r < 0 || strcmp(found, oid) != 0)
            continue;
        if (gnutls_x509_crt_get_extension_data2(certificate->crt, i, &value) < 0)
            return -EIO;
        r = bytes_copy(view_from_datum(&value), ret);
        if (r >= 0 && ret_critical)
            *ret_critical = critical != 0;
        return r;
    }
    *ret = BYTES_NULL;
    if (ret_critical)
        *ret_critical = false;
    return -ENOENT;
}

bool certificate_allows_purpose(const Certificate *certificate, const char *oid) {
    return gnutls_x509_crt_check_key_purpose(certificate->crt, oid, 0) != 0;
}

bool certificate_names_purpose(const Certificate *certificate, const char *oid) {
    char first[ASN1_OID_MAX];
    size_t size = sizeof(first);

    return gnutls_x509_crt_get_key_purpose_oid(certificate->crt, 0, first, &size, NULL) >= 0 &&
           gnutls_x509_crt_check_key_purpose(certificate->crt, oid, GNUTLS_KP_FLAG_DISALLOW_ANY) != 0;
}

/* ---- URLs ---- */

char **certificate_urls_free(char **urls) {
    if (urls)
        for (char **url = urls; *url; url++)
            free(*url);
    free(urls);
    return NULL;
}

static bool url_is_usable(const gnutls_datum_t *url) {
    const char *text = (const char *) url->data;

    if (!text || url->size > CERTIFICATE_URL_LENGTH_MAX)
        return false;
    if (!(url->size > 7 && strncasecmp(text, "http://", 7) == 0) &&
        !(url->size > 8 && strncasecmp(text, "https://", 8) == 0))
        return false;
    for (unsigned i = 0; i < url->size; i++)
        if (url->data[i] <= 0x20 || url->data[i] >= 0x7f)
            return false;
    return true;
}

/* Adds a copy of a usable URL that is not there yet; `urls` has room for CERTIFICATE_URLS_MAX and a NULL. */
static int add_url(char **urls, const gnutls_datum_t *url) {
    size_t count = 0;

    if (!url_is_usable(url))
        return 0;
    for (; urls[count]; count++)
        if (strlen(urls[count]) == url->size && memcmp(urls[count], url->data, url->size) == 0)
            return 0;
    if (count >= CERTIFICATE_URLS_MAX)
        return 0;
    urls[count] = strndup((const char *) url->data, url->size);
    return urls[count] ? 0 : -ENOMEM;
}

int certificate_crl_urls(const Certificate *certificate, char ***ret) {
    char **urls = calloc(CERTIFICATE_URLS_MAX + 1, sizeof(*urls));

    if (!urls)
        return -ENOMEM;
    for (unsigned i = 0; i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        char name[CERTIFICATE_URL_LENGTH_MAX + 1];
        size_t size = sizeof(name);
        unsigned reasons, critical;
        int type = gnutls_x509_crt_get_crl_dist_points(certificate->crt, i, name, &size, &reasons, &critical);

        if (type == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (type < 0)
            break;
        gnutls_datum_t url = { (unsigned char *) name, (unsigned) strnlen(name, size) };
        if (type == GNUTLS_SAN_URI && add_url(urls, &url) < 0) {
            certificate_urls_free(urls);
            return -ENOMEM;
        }
    }
    *ret = urls;
    return 0;
}

int certificate_ocsp_urls(const Certificate *certificate, char ***ret) {
    char **urls = calloc(CERTIFICATE_URLS_MAX + 1, sizeof(*urls));

    if (!urls)
        return -ENOMEM;
    for (unsigned i = 0; i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        _cleanup_datum_ gnutls_datum_t url = { 0 };
        unsigned critical;
        int r = gnutls_x509_crt_get_authority_info_access(certificate->crt, i, GNUTLS_IA_OCSP_URI, &url, &critical);

        if (r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE)
            break;
        if (r < 0)
            continue;
        if (add_url(urls, &url) < 0) {
            certificate_urls_free(urls);
            return -ENOMEM;
        }
    }
    *ret = urls;
    return 0;
}

/* ---- sentences ---- */

const char *certificate_describe(const Certificate *certificate, char buffer[static CERTIFICATE_DESCRIPTION_MAX]) {
    (void) snprintf(buffer, CERTIFICATE_DESCRIPTION_MAX, "%.150s (serial %.64s)",
                    certificate->subject[0] ? certificate->subject : "the certificate without a subject",
                    certificate->serial);
    return buffer;
}

const char *certificate_time(int64_t when, char buffer[static CERTIFICATE_TIME_MAX]) {
    time_t seconds = (time_t) when;
    struct tm tm;

    if (!gmtime_r(&seconds, &tm) || strftime(buffer, CERTIFICATE_TIME_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
        (void) snprintf(buffer, CERTIFICATE_TIME_MAX, "%lld s after 1970", (long long) when);
    return buffer;
}
