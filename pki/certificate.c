/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One X.509 certificate. Everything that others ask for is read when it is parsed, so that a Certificate that exists is
 * one whose fields can be relied on; whether it is to be trusted is chain.c's business. */
#include "pki/certificate.h"

#include "pki/asn1.h"
#include "pki/directory-name.h"
#include "pki/extensions.h"
#include "pki/signature.h"
#include "pki/strict.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

#define REJECT(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

Certificate *certificate_free(Certificate *certificate) {
    if (!certificate || atomic_fetch_sub_explicit(&certificate->references, 1, memory_order_acq_rel) > 1)
        return NULL;
    bytes_clear(&certificate->der);
    bytes_clear(&certificate->subject_form);
    bytes_clear(&certificate->issuer_form);
    free(certificate->extensions);
    free(certificate->subject);
    free(certificate->issuer);
    free(certificate->serial);
    free(certificate);
    return NULL;
}

Certificate *certificate_ref(const Certificate *certificate) {
    Certificate *mine = (Certificate *) certificate; /* nothing in it changes but the count */

    (void) atomic_fetch_add_explicit(&mine->references, 1, memory_order_relaxed);
    return mine;
}

bool certificate_is_shared(const Certificate *certificate) {
    return atomic_load_explicit(&certificate->references, memory_order_acquire) > 1;
}

/* TBSCertificate (RFC 5280 §4.1), field by field; those at the end may be missing. */
typedef struct Fields {
    DerItem serial, inner_algorithm, issuer, validity, subject, spki;
    BytesView extensions; /* content of the SEQUENCE OF Extension */
    unsigned version;
} Fields;

static bool is_explicit(const DerItem *item, unsigned long tag) {
    return item->class == (ASN1_CLASS_CONTEXT_SPECIFIC | ASN1_CLASS_STRUCTURED) && item->tag == tag;
}

static int read_version(BytesView *tbs, Fields *fields) {
    BytesView rest = *tbs;
    DerItem outer, version;

    fields->version = 1;
    if (der_next(&rest, &outer) <= 0)
        return -EBADMSG;
    if (!is_explicit(&outer, 0))
        return 0;
    *tbs = rest;
    if (der_next(&outer.content, &version) <= 0 || outer.content.size > 0 || !der_is(&version, ASN1_TAG_INTEGER) ||
        version.content.size != 1 || version.content.data[0] > 2)
        return -EBADMSG;
    fields->version = version.content.data[0] + 1U;
    return 0;
}

/* issuerUniqueID [1], subjectUniqueID [2], extensions [3], in this order. */
static int read_tail(BytesView tbs, Fields *fields) {
    unsigned long last = 0;
    DerItem item;
    int r;

    while ((r = der_next(&tbs, &item)) > 0) {
        if (!(item.class & ASN1_CLASS_CONTEXT_SPECIFIC) || item.tag <= last || item.tag > 3)
            return -EBADMSG;
        last = item.tag;
        if (item.tag == 3 && (!is_explicit(&item, 3) || der_open_sequence(item.content, &fields->extensions) < 0 ||
                              fields->extensions.size == 0))
            return -EBADMSG;
    }
    return r;
}

static int split(BytesView tbs, Fields *ret) {
    Fields fields = { 0 };

    if (read_version(&tbs, &fields) < 0 || der_next(&tbs, &fields.serial) <= 0 ||
        !der_is(&fields.serial, ASN1_TAG_INTEGER) || der_next(&tbs, &fields.inner_algorithm) <= 0 ||
        !der_is_sequence(&fields.inner_algorithm) || der_next(&tbs, &fields.issuer) <= 0 ||
        !der_is_sequence(&fields.issuer) || der_next(&tbs, &fields.validity) <= 0 ||
        !der_is_sequence(&fields.validity) || der_next(&tbs, &fields.subject) <= 0 ||
        !der_is_sequence(&fields.subject) || der_next(&tbs, &fields.spki) <= 0 || !der_is_sequence(&fields.spki) ||
        read_tail(tbs, &fields) < 0)
        return -EBADMSG;
    *ret = fields;
    return 0;
}

static int read_validity(Certificate *certificate, BytesView validity, Failure *ret_failure) {
    DerItem begin, end;

    if (der_next(&validity, &begin) <= 0 || der_time(&begin, &certificate->not_before) < 0)
        return REJECT("the certificate has no notBefore that can be read");
    if (der_next(&validity, &end) <= 0 || validity.size > 0 || der_time(&end, &certificate->not_after) < 0)
        return REJECT("the certificate has no notAfter that can be read");
    return 0;
}

static int read_names(Certificate *certificate, const Fields *fields) {
    certificate->spki = fields->spki.whole;
    certificate->subject_raw = fields->subject.whole;
    certificate->issuer_raw = fields->issuer.whole;
    int r = name_form(fields->subject.whole, &certificate->subject_form);
    if (r >= 0)
        r = name_form(fields->issuer.whole, &certificate->issuer_form);
    if (r >= 0)
        r = name_to_text(fields->subject.whole, &certificate->subject);
    if (r >= 0)
        r = name_to_text(fields->issuer.whole, &certificate->issuer);
    return r;
}

static int read_serial(Certificate *certificate, BytesView serial) {
    certificate->serial_bytes = serial;
    while (serial.size > 1 && serial.data[0] == 0)
        serial = (BytesView) { serial.data + 1, serial.size - 1 };
    certificate->serial = bytes_to_hex(serial);
    return certificate->serial ? 0 : -ENOMEM;
}

/* Everything but what GnuTLS's object has, out of the DER that is the certificate's own. */
static int read_fields(Certificate *certificate, Failure *ret_failure) {
    BytesView content;
    DerItem tbs, algorithm, signature;
    Fields fields;
    int r;

    if (der_open_sequence(bytes_view(&certificate->der), &content) < 0 || der_next(&content, &tbs) <= 0 ||
        !der_is_sequence(&tbs) || der_next(&content, &algorithm) <= 0 || !der_is_sequence(&algorithm) ||
        der_next(&content, &signature) <= 0 || content.size > 0 || !der_is(&signature, ASN1_TAG_BIT_STRING) ||
        signature.content.size < 2 || signature.content.data[0] != 0 || split(tbs.content, &fields) < 0)
        return REJECT("what should be a certificate is not one in DER (RFC 5280)");
    if (!bytes_view_equal(algorithm.whole, fields.inner_algorithm.whole))
        return REJECT("the certificate names two signature algorithms");
    certificate->version = fields.version;
    certificate->signed_part = tbs.whole;
    certificate->signature = (BytesView) { signature.content.data + 1, signature.content.size - 1 };
    r = read_names(certificate, &fields);
    if (r >= 0)
        r = read_serial(certificate, fields.serial.content);
    if (r < 0)
        return r == -ENOMEM ? failure_errno(ret_failure, r, "reading a certificate")
                            : REJECT("a field of the certificate cannot be read");
    r = read_validity(certificate, fields.validity.content, ret_failure);
    if (r < 0)
        return r;
    certificate->self_issued =
        certificate->subject_raw.size > 2 &&
        bytes_view_equal(bytes_view(&certificate->subject_form), bytes_view(&certificate->issuer_form));
    return extensions_read(certificate, fields.extensions, ret_failure);
}

/* Bytes after the certificate are told apart from what is no certificate at all. */
static int check_outer(BytesView der, Failure *ret_failure) {
    const char *reason;
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
    return der_is_strict(der, &reason) ? 0 : REJECT("the certificate is not DER: %s", reason);
}

static void crt_p(gnutls_x509_crt_t *crt) {
    if (*crt)
        gnutls_x509_crt_deinit(*crt);
}

/* What is GnuTLS's to say: whether it can read the certificate at all, and what the algorithms are. */
static int read_algorithms(Certificate *certificate, Failure *ret_failure) {
    _cleanup_(crt_p) gnutls_x509_crt_t crt = NULL;
    _cleanup_datum_ gnutls_datum_t modulus = { 0 }, exponent = { 0 };
    gnutls_datum_t der = datum_from_view(bytes_view(&certificate->der));

    if (gnutls_x509_crt_init(&crt) < 0)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    int r = gnutls_x509_crt_import(crt, &der, GNUTLS_X509_FMT_DER);
    if (r == GNUTLS_E_MEMORY_ERROR)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    if (r < 0)
        return REJECT("the certificate cannot be read: %s", gnutls_strerror(r));
    r = gnutls_x509_crt_get_signature_algorithm(crt);
    certificate->algorithm = r < 0 ? GNUTLS_SIGN_UNKNOWN : (gnutls_sign_algorithm_t) r;
    r = gnutls_x509_crt_get_pk_algorithm(crt, &certificate->key_bits);
    certificate->key_algorithm = r < 0 ? GNUTLS_PK_UNKNOWN : (gnutls_pk_algorithm_t) r;
    if ((r == GNUTLS_PK_RSA || r == GNUTLS_PK_RSA_PSS) && gnutls_x509_crt_get_pk_rsa_raw(crt, &modulus, &exponent) >= 0)
        certificate->exponent_size = exponent.size;
    return 0;
}

int certificate_from_der(BytesView der, Certificate **ret, Failure *ret_failure) {
    _cleanup_certificate_ Certificate *certificate = NULL;
    int r = check_outer(der, ret_failure);

    if (r < 0)
        return r;
    certificate = calloc(1, sizeof(*certificate));
    if (!certificate)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    atomic_init(&certificate->references, 1);
    if (bytes_copy(der, &certificate->der) < 0)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    r = read_fields(certificate, ret_failure);
    if (r >= 0)
        r = read_algorithms(certificate, ret_failure);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(certificate);
    return 0;
}

bool certificate_equal(const Certificate *a, const Certificate *b) {
    return a == b || bytes_view_equal(bytes_view(&a->der), bytes_view(&b->der));
}

bool certificate_names_issuer(const Certificate *certificate, const Certificate *issuer) {
    BytesView wanted = certificate->authority_key_identifier, found = issuer->key_identifier;

    return bytes_view_equal(bytes_view(&certificate->issuer_form), bytes_view(&issuer->subject_form)) &&
           (wanted.size == 0 || found.size == 0 || bytes_view_equal(wanted, found));
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

static bool has_purpose(const Certificate *certificate, const char *oid) {
    const CertificateExtension *extension = certificate_extension(certificate, GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE);
    uint8_t buffer[DER_OID_MAX];
    BytesView wanted = der_oid(oid, buffer), rest;
    DerItem item;

    if (!extension || der_open_sequence(extension->value, &rest) < 0)
        return false;
    while (der_next(&rest, &item) > 0)
        if (bytes_view_equal(item.content, wanted))
            return true;
    return false;
}

bool certificate_allows_purpose(const Certificate *certificate, const char *oid) {
    return !certificate_extension(certificate, GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE) ||
           has_purpose(certificate, oid) || has_purpose(certificate, GNUTLS_KP_ANY);
}

bool certificate_names_purpose(const Certificate *certificate, const char *oid) {
    return has_purpose(certificate, oid);
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
