/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What RFC 5280 §4 demands of every certificate and can be told from it alone. Enforced is what readers would
 * understand in two ways; not enforced is what many private CAs leave out and nobody is harmed by: key identifiers, and
 * the criticality of basic constraints and of policy constraints, which count all the same. */
#include "pki/extensions.h"

#include "pki/name-constraints.h"

#define SERIAL_MAX 21U /* bytes of an INTEGER of 20 octets with a sign */

/* Extensions that are to be passed over by who does not know them. */
static const struct {
    const char *oid, *reason;
} never_critical[] = {
    { GNUTLS_X509EXT_OID_AUTHORITY_KEY_ID, "its authority key identifier is critical (RFC 5280 §4.2.1.1)" },
    { GNUTLS_X509EXT_OID_SUBJECT_KEY_ID, "its subject key identifier is critical (RFC 5280 §4.2.1.2)" },
    { GNUTLS_X509EXT_OID_AUTHORITY_INFO_ACCESS, "its authority information access is critical (RFC 5280 §4.2.2.1)" },
};

static const char *fault_of_criticality(const Certificate *certificate) {
    for (size_t i = 0; i < ARRAY_LENGTH(never_critical); i++) {
        const CertificateExtension *extension = certificate_extension(certificate, never_critical[i].oid);
        if (extension && extension->critical)
            return never_critical[i].reason;
    }
    return NULL;
}

static bool serial_is_positive(BytesView serial) {
    bool has_bits = false;

    for (size_t i = 0; i < serial.size; i++)
        has_bits = has_bits || serial.data[i] != 0;
    return has_bits && !(serial.data[0] & 0x80);
}

static const char *fault_of_fields(const Certificate *certificate) {
    const CertificateExtension *san = certificate_extension(certificate, GNUTLS_X509EXT_OID_SAN);
    bool has_subject = certificate->subject_raw.size > 2;

    if (!serial_is_positive(certificate->serial_bytes) || certificate->serial_bytes.size > SERIAL_MAX ||
        (certificate->serial_bytes.size == SERIAL_MAX && certificate->serial_bytes.data[0] != 0))
        return "its serial number is not a positive one of at most 20 bytes (RFC 5280 §4.1.2.2)";
    if (certificate->issuer_raw.size <= 2)
        return "its issuer has no name (RFC 5280 §4.1.2.4)";
    if (certificate->is_ca && !has_subject)
        return "it is a CA without a name (RFC 5280 §4.1.2.6)";
    if (!has_subject && san && !san->critical)
        return "it has no subject, and its subject alternative names are not critical (RFC 5280 §4.2.1.6)";
    if (certificate->extension_count > 0 && certificate->version != 3)
        return "it has extensions and is not of version 3 (RFC 5280 §4.1.2.1)";
    return NULL;
}

static const char *fault_of_a_leaf(const Certificate *certificate) {
    if (certificate->has_key_usage && certificate->key_usage & GNUTLS_KEY_KEY_CERT_SIGN)
        return "its key usage has it sign certificates, and it is no CA (RFC 5280 §4.2.1.9)";
    if (certificate_extension(certificate, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS))
        return "it has name constraints, and is no CA (RFC 5280 §4.2.1.10)";
    return NULL;
}

bool certificate_keeps_profile(const Certificate *certificate, bool is_anchor, const char **ret_reason) {
    const CertificateExtension *constraints = certificate_extension(certificate, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS);
    const char *fault = NULL;

    if (!name_constraints_are_readable(certificate))
        fault = "its name constraints cannot be read, or have a base that is no name of its kind (RFC 5280 §4.2.1.10)";
    if (!fault && constraints && !constraints->critical)
        fault = "its name constraints are not critical, so that others pass over them (RFC 5280 §4.2.1.10)";
    if (!fault)
        fault = fault_of_criticality(certificate);
    if (!fault && !is_anchor)
        fault = fault_of_fields(certificate);
    if (!fault && !certificate->is_ca)
        fault = fault_of_a_leaf(certificate);
    if (fault)
        *ret_reason = fault;
    return !fault;
}
