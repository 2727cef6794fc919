/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PKCS#10 requests. They are put together from DER pieces rather than with GnuTLS's request object, which would encode
 * the subject of a renewal anew; and none is returned whose signature does not verify. */
#include "pki/csr.h"

#include "common/oid.h"
#include "pki/asn1.h"
#include "pki/csr-names.h"

#include <gnutls/x509-ext.h>
#include <stdio.h>
#include <string.h>

#define INVALID(...)  failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, __VA_ARGS__)
#define INTERNAL(...) failure_set(ret_failure, -EIO, FAILURE_INTERNAL, __VA_ARGS__)

#define OID_EXTENSION_REQUEST  "1.2.840.113549.1.9.14"
#define OID_CHALLENGE_PASSWORD "1.2.840.113549.1.9.7"

#define PRINTABLE_CHARACTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?"

static void pubkey_p(gnutls_pubkey_t *key) {
    if (*key)
        gnutls_pubkey_deinit(*key);
}

static void purposes_p(gnutls_x509_key_purposes_t *purposes) {
    if (*purposes)
        gnutls_x509_key_purpose_deinit(*purposes);
}

/* ---- making one ---- */

static int add_extension(asn1_node extensions, const char *oid, bool critical, BytesView value) {
    int r = asn1_write_text(extensions, "", "NEW");

    if (r >= 0)
        r = asn1_write_text(extensions, "?LAST.extnID", oid);
    if (r >= 0)
        r = asn1_write_text(extensions, "?LAST.critical", critical ? "TRUE" : "FALSE");
    if (r >= 0)
        r = asn1_write(extensions, "?LAST.extnValue", value);
    return r;
}

static int add_key_usage(asn1_node extensions, const CsrTemplate *template) {
    _cleanup_datum_ gnutls_datum_t value = { 0 };
    unsigned usage = GNUTLS_KEY_DIGITAL_SIGNATURE | (template->key_encipherment ? GNUTLS_KEY_KEY_ENCIPHERMENT : 0);

    if (gnutls_x509_ext_export_key_usage(usage, &value) < 0)
        return -ENOMEM;
    return add_extension(extensions, GNUTLS_X509EXT_OID_KEY_USAGE, true, view_from_datum(&value));
}

static int add_extended_key_usage(asn1_node extensions, const CsrTemplate *template, Failure *ret_failure) {
    _cleanup_(purposes_p) gnutls_x509_key_purposes_t purposes = NULL;
    _cleanup_datum_ gnutls_datum_t value = { 0 };

    if (template->eku_count == 0)
        return 0;
    if (template->eku_count > CSR_EKU_MAX)
        return INVALID("there are %zu extended key usages, more than %u", template->eku_count, CSR_EKU_MAX);
    if (gnutls_x509_key_purpose_init(&purposes) < 0)
        return failure_errno(ret_failure, -ENOMEM, "encoding extended key usages");
    for (size_t i = 0; i < template->eku_count; i++) {
        const char *oid = template->eku[i];
        if (!oid_is_valid(oid, strlen(oid)) || gnutls_x509_key_purpose_set(purposes, oid) < 0)
            return INVALID("the extended key usage '%s' is not an object identifier", oid);
    }
    int r = gnutls_x509_ext_export_key_purposes(purposes, &value);
    if (r < 0)
        return INVALID("the extended key usages cannot be encoded: %s", gnutls_strerror(r));
    return add_extension(extensions, GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE, false, view_from_datum(&value));
}

/* -ENOENT: there is to be none. */
static int make_san(const CsrTemplate *template, Bytes *ret, bool *ret_critical, Failure *ret_failure) {
    const CertificateExtension *extension =
        template->renew ? certificate_extension(template->renew, GNUTLS_X509EXT_OID_SAN) : NULL;

    if (extension) {
        *ret_critical = extension->critical;
        return bytes_copy(extension->value, ret);
    }
    return template->renew || template->san_count == 0
               ? -ENOENT
               : csr_sans_encode(template->sans, template->san_count, ret, ret_failure);
}

static int add_subject_alternative_name(asn1_node extensions, const CsrTemplate *template, bool empty_subject,
                                        Failure *ret_failure) {
    _cleanup_bytes_ Bytes value = BYTES_NULL;
    bool critical = empty_subject; /* RFC 5280 §4.2.1.6 */

    int r = make_san(template, &value, &critical, ret_failure);
    if (r == -ENOENT)
        return 0;
    return r < 0 ? r : add_extension(extensions, GNUTLS_X509EXT_OID_SAN, critical, bytes_view(&value));
}

static int make_extensions(const CsrTemplate *template, bool empty_subject, Bytes *ret, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node extensions = NULL;
    int r;

    r = asn1_create("Extensions", &extensions);
    if (r >= 0)
        r = add_key_usage(extensions, template);
    if (r >= 0)
        r = add_extended_key_usage(extensions, template, ret_failure);
    if (r >= 0)
        r = add_subject_alternative_name(extensions, template, empty_subject, ret_failure);
    return r < 0 ? r : asn1_encode(extensions, ret);
}

static int make_subject(const CsrTemplate *template, Bytes *ret, Failure *ret_failure) {
    if (template->renew)
        return bytes_copy(template->renew->subject_raw, ret);
    if (!template->subject)
        return INVALID("a certificate request needs a subject");
    if (template->subject[0] == 0 && template->san_count == 0)
        return INVALID("a certificate request needs a subject or a subject alternative name");
    return csr_subject_encode(template->subject, ret, ret_failure);
}

static int add_attribute(asn1_node info, const char *oid, BytesView value) {
    int r = asn1_write_text(info, "attributes", "NEW");

    if (r >= 0)
        r = asn1_write_text(info, "attributes.?LAST.type", oid);
    if (r >= 0)
        r = asn1_write_text(info, "attributes.?LAST.values", "NEW");
    return r < 0 ? r : asn1_write(info, "attributes.?LAST.values.?1", value);
}

static int add_challenge(asn1_node info, const char *challenge, Failure *ret_failure) {
    uint8_t der[2 + CSR_CHALLENGE_MAX];
    size_t length = challenge ? strlen(challenge) : 0;

    if (!challenge)
        return 0;
    if (length == 0 || length > CSR_CHALLENGE_MAX || strspn(challenge, PRINTABLE_CHARACTERS) < length)
        return INVALID("a challengePassword must be 1 to %u letters of a PrintableString", CSR_CHALLENGE_MAX);
    der[0] = ASN1_TAG_PRINTABLE_STRING;
    der[1] = (uint8_t) length;
    memcpy(der + 2, challenge, length);
    return add_attribute(info, OID_CHALLENGE_PASSWORD, (BytesView) { der, 2 + length });
}

/* CertificationRequestInfo: what is signed. */
static int make_info(const CsrTemplate *template, BytesView spki, Bytes *ret, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node info = NULL;
    _cleanup_bytes_ Bytes subject = BYTES_NULL, extensions = BYTES_NULL;
    int r;

    r = make_subject(template, &subject, ret_failure);
    if (r >= 0)
        r = make_extensions(template, subject.size == 2, &extensions, ret_failure);
    if (r >= 0)
        r = asn1_create("CertificationRequestInfo", &info);
    if (r >= 0)
        r = asn1_write(info, "version", (BytesView) { (const uint8_t *) "\0", 1 });
    if (r >= 0)
        r = asn1_write(info, "subject", bytes_view(&subject));
    if (r >= 0)
        r = asn1_write(info, "subjectPKInfo", spki);
    if (r >= 0)
        r = add_attribute(info, OID_EXTENSION_REQUEST, bytes_view(&extensions));
    if (r >= 0)
        r = add_challenge(info, template->challenge, ret_failure);
    return r < 0 ? r : asn1_encode(info, ret);
}

static gnutls_sign_algorithm_t algorithm_for(gnutls_pubkey_t key) {
    unsigned bits = 0;

    switch (gnutls_pubkey_get_pk_algorithm(key, &bits)) {
    case GNUTLS_PK_RSA:
        return GNUTLS_SIGN_RSA_SHA256;
    case GNUTLS_PK_ECDSA:
        return bits == 256 ? GNUTLS_SIGN_ECDSA_SHA256 : bits == 384 ? GNUTLS_SIGN_ECDSA_SHA384 : GNUTLS_SIGN_UNKNOWN;
    default:
        return GNUTLS_SIGN_UNKNOWN;
    }
}

static int assemble(BytesView info, gnutls_sign_algorithm_t algorithm, BytesView signature, Bytes *ret) {
    static const uint8_t null[] = { ASN1_TAG_NULL, 0 };
    _cleanup_asn1_ asn1_node request = NULL;
    bool rsa = gnutls_sign_get_pk_algorithm(algorithm) == GNUTLS_PK_RSA;
    int r;

    r = asn1_create("CertificationRequest", &request);
    if (r >= 0)
        r = asn1_write(request, "certificationRequestInfo", info);
    if (r >= 0)
        r = asn1_write_text(request, "signatureAlgorithm.algorithm", gnutls_sign_get_oid(algorithm));
    if (r >= 0 && rsa) /* RFC 4055 §5: NULL; RFC 5758 §3.2: absent */
        r = asn1_write(request, "signatureAlgorithm.parameters", (BytesView) { null, sizeof(null) });
    else if (r >= 0)
        r = asn1_write(request, "signatureAlgorithm.parameters", (BytesView) { NULL, 0 });
    if (r >= 0)
        r = asn1_write_bits(request, "signature", signature);
    return r < 0 ? r : asn1_encode(request, ret);
}

int csr_create(const CsrTemplate *template, gnutls_privkey_t key, BytesView spki, Bytes *ret_der,
               Failure *ret_failure) {
    _cleanup_(pubkey_p) gnutls_pubkey_t public_key = NULL;
    _cleanup_bytes_ Bytes info = BYTES_NULL, der = BYTES_NULL;
    _cleanup_datum_ gnutls_datum_t signature = { 0 };
    gnutls_datum_t spki_datum = datum_from_view(spki), info_datum;
    gnutls_sign_algorithm_t algorithm;
    Failure failure = FAILURE_INIT;
    int r;

    if (gnutls_pubkey_init(&public_key) < 0)
        return failure_errno(ret_failure, -ENOMEM, "making a certificate request");
    if (gnutls_pubkey_import(public_key, &spki_datum, GNUTLS_X509_FMT_DER) < 0)
        return INTERNAL("the public key for a certificate request cannot be read");
    algorithm = algorithm_for(public_key);
    if (algorithm == GNUTLS_SIGN_UNKNOWN)
        return INTERNAL("the key for a certificate request is of a kind that identityd does not use");
    r = make_info(template, spki, &info, &failure);
    if (r < 0 && failure.kind == FAILURE_NONE)
        return failure_errno(ret_failure, r, "making a certificate request");
    if (r < 0) {
        if (ret_failure)
            *ret_failure = failure;
        return r;
    }
    info_datum = datum_from_view(bytes_view(&info));
    r = gnutls_privkey_sign_data2(key, algorithm, 0, &info_datum, &signature);
    if (r < 0)
        return INTERNAL("the key did not sign the certificate request: %s", gnutls_strerror(r));
    if (gnutls_pubkey_verify_data2(public_key, algorithm, 0, &info_datum, &signature) < 0)
        return INTERNAL("the signature of the certificate request is not by the key that the request is for");
    r = assemble(bytes_view(&info), algorithm, view_from_datum(&signature), &der);
    if (r < 0)
        return failure_errno(ret_failure, r, "making a certificate request");
    if (der.size > CSR_MAX)
        return INVALID("the certificate request has %zu bytes, more than %u", der.size, CSR_MAX);
    *ret_der = der;
    der = BYTES_NULL;
    return 0;
}

/* ---- reading one ---- */

static int open_request(BytesView der, asn1_node *ret_info, BytesView *ret_info_der) {
    _cleanup_asn1_ asn1_node request = NULL;
    BytesView info;
    int r;

    if (der.size > CSR_MAX)
        return -EBADMSG;
    r = asn1_decode("CertificationRequest", der, &request);
    if (r >= 0)
        r = asn1_slice(request, der, "certificationRequestInfo", &info);
    if (r >= 0)
        r = asn1_decode("CertificationRequestInfo", info, ret_info);
    if (r < 0)
        return r == -ENOMEM ? r : -EBADMSG;
    *ret_info_der = info;
    return 0;
}

int csr_spki(BytesView der, Bytes *ret_spki) {
    _cleanup_asn1_ asn1_node info = NULL, spki = NULL;
    BytesView info_der, slice;
    int r;

    r = open_request(der, &info, &info_der);
    if (r < 0)
        return r;
    if (asn1_slice(info, info_der, "subjectPKInfo", &slice) < 0)
        return -EBADMSG;
    r = asn1_decode("SubjectPublicKeyInfo", slice, &spki);
    return r < 0 ? r : bytes_copy(slice, ret_spki);
}

/* The value of one extension in an ExtensionRequest. -ENOENT. */
static int requested_extension(BytesView extensions_der, const char *oid, Bytes *ret) {
    _cleanup_asn1_ asn1_node extensions = NULL;
    size_t count;
    int r = asn1_decode("Extensions", extensions_der, &extensions);

    if (r < 0)
        return r;
    if (asn1_count(extensions, "", &count) < 0 || count > CERTIFICATE_EXTENSIONS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        char field[32], found[ASN1_OID_MAX];
        (void) snprintf(field, sizeof(field), "?%zu.extnID", i + 1);
        if (asn1_oid(extensions, field, found) < 0)
            return -EBADMSG;
        if (strcmp(found, oid) != 0)
            continue;
        (void) snprintf(field, sizeof(field), "?%zu.extnValue", i + 1);
        return asn1_value(extensions, field, ret);
    }
    return -ENOENT;
}

static int requested_san(asn1_node info, BytesView info_der, Bytes *ret) {
    size_t count;
    int r;

    if (asn1_count(info, "attributes", &count) < 0 || count > CERTIFICATE_EXTENSIONS_MAX)
        return -EBADMSG;
    for (size_t i = 0; i < count; i++) {
        char field[48], oid[ASN1_OID_MAX];
        BytesView value;
        (void) snprintf(field, sizeof(field), "attributes.?%zu.type", i + 1);
        if (asn1_oid(info, field, oid) < 0)
            return -EBADMSG;
        if (strcmp(oid, OID_EXTENSION_REQUEST) != 0)
            continue;
        (void) snprintf(field, sizeof(field), "attributes.?%zu.values.?1", i + 1);
        if (asn1_slice(info, info_der, field, &value) < 0)
            return -EBADMSG;
        r = requested_extension(value, GNUTLS_X509EXT_OID_SAN, ret);
        if (r != -ENOENT)
            return r;
    }
    *ret = BYTES_NULL;
    return 0;
}

int csr_names(BytesView der, Bytes *ret_subject, Bytes *ret_san) {
    _cleanup_asn1_ asn1_node info = NULL;
    _cleanup_bytes_ Bytes subject = BYTES_NULL, san = BYTES_NULL;
    BytesView info_der, slice;
    int r;

    r = open_request(der, &info, &info_der);
    if (r < 0)
        return r;
    if (asn1_slice(info, info_der, "subject", &slice) < 0)
        return -EBADMSG;
    r = bytes_copy(slice, &subject);
    if (r >= 0)
        r = requested_san(info, info_der, &san);
    if (r < 0)
        return r;
    *ret_subject = subject;
    *ret_san = san;
    subject = san = BYTES_NULL;
    return 0;
}

bool csr_has_challenge(BytesView der) {
    _cleanup_asn1_ asn1_node info = NULL;
    BytesView info_der;
    size_t count;

    if (open_request(der, &info, &info_der) < 0 || asn1_count(info, "attributes", &count) < 0)
        return false;
    for (size_t i = 0; i < count && i < CERTIFICATE_EXTENSIONS_MAX; i++) {
        char field[48], oid[ASN1_OID_MAX];
        (void) snprintf(field, sizeof(field), "attributes.?%zu.type", i + 1);
        if (asn1_oid(info, field, oid) >= 0 && strcmp(oid, OID_CHALLENGE_PASSWORD) == 0)
            return true;
    }
    return false;
}

int csr_has_names(BytesView der, const CsrTemplate *template, Failure *ret_failure) {
    _cleanup_bytes_ Bytes subject = BYTES_NULL, san = BYTES_NULL, wanted_subject = BYTES_NULL, wanted_san = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    bool is_critical;

    int r = csr_names(der, &subject, &san);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "the certificate request cannot be read");
    r = make_subject(template, &wanted_subject, &failure);
    if (r >= 0)
        r = make_san(template, &wanted_san, &is_critical, &failure);
    if (r < 0 && r != -ENOENT) {
        if (failure.kind == FAILURE_NONE)
            (void) failure_errno(&failure, r, "encoding names");
        if (ret_failure)
            *ret_failure = failure;
        return r;
    }
    return bytes_view_equal(bytes_view(&subject), bytes_view(&wanted_subject)) &&
           bytes_view_equal(bytes_view(&san), bytes_view(&wanted_san));
}
