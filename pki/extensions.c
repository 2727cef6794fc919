/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Extensions are read once. Those that verification rests on must be readable, or there is no Certificate: a reader who
 * passes over what he cannot read and one who refuses it would differ. */
#include "pki/extensions.h"

#include "pki/asn1.h"
#include "pki/strict.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REJECT(...) failure_set(ret_failure, -EBADMSG, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)

/* Those that the verifier acts on, or that restrict nothing here. */
static const char *const understood[] = {
    GNUTLS_X509EXT_OID_BASIC_CONSTRAINTS,
    GNUTLS_X509EXT_OID_KEY_USAGE,
    GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE,
    GNUTLS_X509EXT_OID_SAN,
    GNUTLS_X509EXT_OID_NAME_CONSTRAINTS,
    GNUTLS_X509EXT_OID_CRT_POLICY,
    OID_POLICY_MAPPINGS,
    OID_POLICY_CONSTRAINTS,
    OID_INHIBIT_ANY,
    GNUTLS_X509EXT_OID_AUTHORITY_KEY_ID,
    GNUTLS_X509EXT_OID_SUBJECT_KEY_ID,
    GNUTLS_X509EXT_OID_CRL_DIST_POINTS,
    GNUTLS_X509EXT_OID_AUTHORITY_INFO_ACCESS,
    GNUTLS_X509EXT_OID_TLSFEATURES,
};

const CertificateExtension *certificate_extension(const Certificate *certificate, const char *oid) {
    uint8_t buffer[DER_OID_MAX];
    BytesView wanted = der_oid(oid, buffer);

    for (size_t i = 0; i < certificate->extension_count; i++)
        if (bytes_view_equal(certificate->extensions[i].oid, wanted))
            return &certificate->extensions[i];
    return NULL;
}

/* For sentences. */
static void oid_to_text(BytesView oid, char *ret, size_t size) {
    size_t used = 0;
    unsigned long arc = 0;
    bool is_first = true;

    ret[0] = 0;
    for (size_t i = 0; i < oid.size && used < size; i++) {
        arc = arc << 7 | (oid.data[i] & 0x7f);
        if (oid.data[i] & 0x80)
            continue;
        unsigned long root = arc < 40 ? 0 : arc < 80 ? 1 : 2;
        int n = is_first ? snprintf(ret + used, size - used, "%lu.%lu", root, arc - 40 * root)
                         : snprintf(ret + used, size - used, ".%lu", arc);
        used += n > 0 ? (size_t) n : 0;
        is_first = false;
        arc = 0;
    }
}

bool certificate_unknown_critical(const Certificate *certificate, char *ret_oid, size_t size) {
    for (size_t i = 0; i < certificate->extension_count; i++) {
        const CertificateExtension *extension = &certificate->extensions[i];
        bool known = false;

        for (size_t k = 0; k < ARRAY_LENGTH(understood) && extension->critical && !known; k++) {
            uint8_t buffer[DER_OID_MAX];
            known = bytes_view_equal(extension->oid, der_oid(understood[k], buffer));
        }
        if (extension->critical && !known) {
            oid_to_text(extension->oid, ret_oid, size);
            return true;
        }
    }
    return false;
}

bool certificate_has_tls_feature(const Certificate *certificate, BytesView number) {
    const CertificateExtension *extension = certificate_extension(certificate, GNUTLS_X509EXT_OID_TLSFEATURES);
    BytesView rest;
    DerItem item;

    if (!extension || der_open_sequence(extension->value, &rest) < 0)
        return false;
    while (der_next(&rest, &item) > 0)
        if (bytes_view_equal(item.content, number))
            return true;
    return false;
}

/* ---- those that are read at once ---- */

/* BasicConstraints ::= SEQUENCE { cA BOOLEAN DEFAULT FALSE, pathLenConstraint INTEGER (0..MAX) OPTIONAL } */
static int read_basic_constraints(Certificate *certificate, BytesView value) {
    BytesView rest;
    DerItem item;

    if (der_open_sequence(value, &rest) < 0)
        return -EBADMSG;
    certificate->has_basic_constraints = true;
    int r = der_next(&rest, &item);
    if (r > 0 && der_is(&item, ASN1_TAG_BOOLEAN)) {
        certificate->is_ca = item.content.size == 1 && item.content.data[0] != 0;
        r = der_next(&rest, &item);
    }
    if (r > 0) {
        if (!der_is(&item, ASN1_TAG_INTEGER) || item.content.size == 0 || item.content.data[0] & 0x80 || rest.size > 0)
            return -EBADMSG;
        certificate->path_length = item.content.size > 1 ? 255 : item.content.data[0]; /* no path is so long */
    }
    return r;
}

static int read_key_usage(Certificate *certificate, BytesView value) {
    DerItem item;

    if (der_next(&value, &item) <= 0 || value.size > 0 || !der_is(&item, ASN1_TAG_BIT_STRING) ||
        item.content.size < 1 || item.content.size > 3 || item.content.data[0] > 7)
        return -EBADMSG;
    certificate->has_key_usage = true;
    certificate->key_usage = (item.content.size > 1 ? item.content.data[1] : 0U) |
                             (item.content.size > 2 && item.content.data[2] & 0x80 ? GNUTLS_KEY_DECIPHER_ONLY : 0U);
    return 0;
}

static int read_key_identifier(Certificate *certificate, BytesView value) {
    DerItem item;

    if (der_next(&value, &item) <= 0 || value.size > 0 || !der_is(&item, ASN1_TAG_OCTET_STRING))
        return -EBADMSG;
    certificate->key_identifier = item.content;
    return 0;
}

/* AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] OPTIONAL, authorityCertIssuer [1] and its number [2] }: the
 * latter two are a hint, and the signature decides. */
static int read_authority_key_identifier(Certificate *certificate, BytesView value) {
    unsigned long least = 0;
    BytesView rest;
    DerItem item;
    int r = der_open_sequence(value, &rest);

    while (r >= 0 && (r = der_next(&rest, &item)) > 0) {
        if (!(item.class & ASN1_CLASS_CONTEXT_SPECIFIC) || item.tag < least)
            return -EBADMSG;
        least = item.tag + 1;
        if (item.class == ASN1_CLASS_CONTEXT_SPECIFIC && item.tag == 0)
            certificate->authority_key_identifier = item.content;
    }
    return r;
}

/* SEQUENCE SIZE (1..MAX) OF something. */
static int read_list(Certificate *certificate _unused_, BytesView value) {
    BytesView rest;
    DerItem item;
    int r = der_open_sequence(value, &rest);

    while (r >= 0 && (r = der_next(&rest, &item)) > 0)
        ;
    return r;
}

/* An INTEGER, which its reader looks at (policy.c). */
static int read_number(Certificate *certificate _unused_, BytesView value) {
    DerItem item;

    return der_next(&value, &item) > 0 && value.size == 0 && der_is(&item, ASN1_TAG_INTEGER) ? 0 : -EBADMSG;
}

static const struct {
    const char *oid, *what;
    int (*read)(Certificate *certificate, BytesView value);
} readers[] = {
    { GNUTLS_X509EXT_OID_BASIC_CONSTRAINTS, "basic constraints", read_basic_constraints },
    { GNUTLS_X509EXT_OID_KEY_USAGE, "key usage", read_key_usage },
    { GNUTLS_X509EXT_OID_SUBJECT_KEY_ID, "subject key identifier", read_key_identifier },
    { GNUTLS_X509EXT_OID_AUTHORITY_KEY_ID, "authority key identifier", read_authority_key_identifier },
    { GNUTLS_X509EXT_OID_EXTENDED_KEY_USAGE, "extended key usage", read_list },
    { GNUTLS_X509EXT_OID_SAN, "subject alternative names", read_list },
    { GNUTLS_X509EXT_OID_CRL_DIST_POINTS, "CRL distribution points", read_list },
    { GNUTLS_X509EXT_OID_NAME_CONSTRAINTS, "name constraints", read_list },
    { GNUTLS_X509EXT_OID_CRT_POLICY, "certificate policies", read_list },
    { OID_POLICY_MAPPINGS, "policy mappings", read_list },
    { OID_POLICY_CONSTRAINTS, "policy constraints", read_list },
    { OID_INHIBIT_ANY, "inhibitAnyPolicy", read_number },
    { GNUTLS_X509EXT_OID_TLSFEATURES, "TLS features", read_list },
};

static int read_known(Certificate *certificate, Failure *ret_failure) {
    const char *reason;

    for (size_t i = 0; i < ARRAY_LENGTH(readers); i++) {
        const CertificateExtension *extension = certificate_extension(certificate, readers[i].oid);
        if (!extension)
            continue;
        if (!der_is_strict(extension->value, &reason))
            return REJECT("the %s of the certificate are not DER: %s", readers[i].what, reason);
        if (readers[i].read(certificate, extension->value) < 0)
            return REJECT("the %s of the certificate cannot be read", readers[i].what);
    }
    return 0;
}

/* ---- the list ---- */

/* Extension ::= SEQUENCE { extnID OBJECT IDENTIFIER, critical BOOLEAN DEFAULT FALSE, extnValue OCTET STRING } */
int extension_next(BytesView *extensions, CertificateExtension *ret) {
    DerItem item, part;
    int r = der_next(extensions, &item);

    if (r <= 0)
        return r;
    if (!der_is_sequence(&item) || der_next(&item.content, &part) <= 0 || !der_is(&part, ASN1_TAG_OBJECT_ID))
        return -EBADMSG;
    ret->oid = part.content;
    ret->critical = false;
    if (der_next(&item.content, &part) <= 0)
        return -EBADMSG;
    if (der_is(&part, ASN1_TAG_BOOLEAN)) {
        ret->critical = part.content.size != 1 || part.content.data[0] != 0;
        if (der_next(&item.content, &part) <= 0)
            return -EBADMSG;
    }
    if (!der_is(&part, ASN1_TAG_OCTET_STRING) || item.content.size > 0)
        return -EBADMSG;
    ret->value = part.content;
    return 1;
}

/* RFC 5280 §4.2: an extension appears once. GnuTLS and others would each act on another one of two. */
static int check_once(const CertificateExtension *list, size_t count, Failure *ret_failure) {
    char oid[64];

    for (size_t i = 0; i + 1 < count; i++)
        if (bytes_view_equal(list[i].oid, list[count - 1].oid)) {
            oid_to_text(list[i].oid, oid, sizeof oid);
            return REJECT("the certificate has the extension %s twice", oid);
        }
    return 0;
}

int extensions_read(Certificate *certificate, BytesView extensions, Failure *ret_failure) {
    CertificateExtension list[CERTIFICATE_EXTENSIONS_MAX];
    CertificateExtension next;
    size_t count = 0;
    int r;

    certificate->path_length = -1;
    certificate->key_usage = ~0U;
    while ((r = extension_next(&extensions, &next)) > 0) {
        if (count == ARRAY_LENGTH(list))
            return REJECT("the certificate has more than %u extensions", CERTIFICATE_EXTENSIONS_MAX);
        list[count++] = next;
        r = check_once(list, count, ret_failure);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return REJECT("extension %zu of the certificate cannot be read", count + 1);
    if (count == 0)
        return 0;
    certificate->extensions = calloc(count, sizeof list[0]);
    if (!certificate->extensions)
        return failure_errno(ret_failure, -ENOMEM, "decoding a certificate");
    memcpy(certificate->extensions, list, count * sizeof list[0]);
    certificate->extension_count = count;
    return read_known(certificate, ret_failure);
}
