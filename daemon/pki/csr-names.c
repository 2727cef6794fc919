/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of a request in DER. A name that cannot be what it says it is (a DNS name with a space, an IP address of three
 * parts) is refused here, where the admin can be told which one, rather than by the CA. */
#include "pki/csr-names.h"

#include "pki/asn1.h"

#include <arpa/inet.h>
#include <gnutls/x509-ext.h>
#include <string.h>

#define INVALID(...) failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, __VA_ARGS__)

static void dn_p(gnutls_x509_dn_t *dn) {
    if (*dn)
        gnutls_x509_dn_deinit(*dn);
}

static void sans_p(gnutls_subject_alt_names_t *sans) {
    if (*sans)
        gnutls_subject_alt_names_deinit(*sans);
}

/* ---- subject ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* RFC 4514 §2.4 lets every byte be written as a backslash and two digits. GnuTLS knows only the backslash before a
 * special character, so the one is turned into the other. A plus sign that separates is found on the way. */
static int unescape(const char *subject, char **ret, bool *ret_multi_valued) {
    char *text = malloc(2 * strlen(subject) + 1), *out = text;
    bool multi_valued = false;

    if (!text)
        return -ENOMEM;
    while (*subject) {
        if (*subject == ',' && subject[1 + strspn(subject + 1, " ")] == 0) { /* GnuTLS would take no notice */
            free(text);
            return -EINVAL;
        }
        if (*subject != '\\') {
            multi_valued = multi_valued || *subject == '+';
            *out++ = *subject++;
            continue;
        }
        int high = hex_digit(subject[1]), low = high < 0 ? -1 : hex_digit(subject[2]);
        char c = low < 0 ? subject[1] : (char) (high * 16 + low);
        if (!c) {
            free(text);
            return -EINVAL;
        }
        if (strchr(",+\"\\<>;#= ", c))
            *out++ = '\\';
        *out++ = c;
        subject += low < 0 ? 2 : 3;
    }
    *out = 0;
    *ret = text;
    *ret_multi_valued = multi_valued;
    return 0;
}

int csr_subject_encode(const char *subject, Bytes *ret_der, Failure *ret_failure) {
    _cleanup_(dn_p) gnutls_x509_dn_t dn = NULL;
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    _cleanup_free_ char *text = NULL;
    bool multi_valued;
    const char *where = NULL;
    int r;

    if (strlen(subject) > CSR_SUBJECT_MAX)
        return INVALID("the subject has %zu bytes, more than %u", strlen(subject), CSR_SUBJECT_MAX);
    if (subject[0] == 0)
        return asn1_sequence(NULL, 0, ret_der);
    r = unescape(subject, &text, &multi_valued);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "encoding a subject");
    if (r < 0)
        return INVALID("the subject '%s' ends with a comma or within an escape, or has a NUL byte", subject);
    if (multi_valued)
        return INVALID("the subject '%s' has a '+': write it as '\\+', or use one value for each part", subject);
    if (gnutls_x509_dn_init(&dn) < 0)
        return failure_errno(ret_failure, -ENOMEM, "encoding a subject");
    r = gnutls_x509_dn_set_str(dn, text, &where);
    if (r < 0)
        return INVALID("the subject '%s' is not of the form of RFC 4514 (such as CN=device,O=Example)%s%.64s%s",
                       subject, where && *where ? ", from '" : "", where ?: "", where && *where ? "' on" : "");
    r = gnutls_x509_dn_export2(dn, GNUTLS_X509_FMT_DER, &der);
    if (r < 0)
        return INVALID("the subject '%s' cannot be encoded: %s", subject, gnutls_strerror(r));
    return bytes_copy(view_from_datum(&der), ret_der);
}

/* ---- subject alternative names ---- */

/* RFC 1123 labels, with underscores, which are found in practice, and a wildcard as the first one. */
static bool is_dns_name(const char *name) {
    size_t length = strlen(name), label = 0;

    if (length == 0 || length > 253)
        return false;
    if (strncmp(name, "*.", 2) == 0)
        name += 2;
    for (;; name++) {
        if (*name == '.' || *name == 0) {
            if (label == 0 || label > 63 || name[-1] == '-')
                return false;
            if (*name == 0)
                return true;
            label = 0;
            continue;
        }
        bool letter_or_digit = (*name >= 'a' && *name <= 'z') || (*name >= 'A' && *name <= 'Z') ||
                               (*name >= '0' && *name <= '9') || *name == '_';
        if (!letter_or_digit && !(*name == '-' && label > 0))
            return false;
        label++;
    }
}

/* RFC 3986 §3.1: a scheme, a colon and something; printable ASCII without what is never in a URI. */
static bool is_uri(const char *uri) {
    size_t scheme = strspn(uri, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

    if (scheme == 0 || uri[scheme] != ':' || uri[scheme + 1] == 0 || strlen(uri) > 1024 ||
        !((uri[0] >= 'a' && uri[0] <= 'z') || (uri[0] >= 'A' && uri[0] <= 'Z')))
        return false;
    for (const char *c = uri; *c; c++)
        if (*c <= 0x20 || *c >= 0x7f || strchr("\"<>\\^`{|}", *c))
            return false;
    return true;
}

static int add_text(gnutls_subject_alt_names_t names, unsigned type, const char *value) {
    gnutls_datum_t datum = datum_from_view(bytes_view_string(value));

    return gnutls_subject_alt_names_set(names, type, &datum, NULL) < 0 ? -EINVAL : 0;
}

static int add_ip(gnutls_subject_alt_names_t names, const char *value) {
    uint8_t address[16];
    gnutls_datum_t datum = { address, 0 };

    if (inet_pton(AF_INET, value, address) == 1)
        datum.size = 4;
    else if (inet_pton(AF_INET6, value, address) == 1)
        datum.size = 16;
    else
        return -EINVAL;
    return gnutls_subject_alt_names_set(names, GNUTLS_SAN_IPADDRESS, &datum, NULL) < 0 ? -EINVAL : 0;
}

/* "OID/SERIAL" as id-on-hardwareModuleName (RFC 4108 §5, IEEE 802.1AR §8.10.2). */
static int add_hardware_module(gnutls_subject_alt_names_t names, const char *value) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    char oid[ASN1_OID_MAX];
    const char *slash = strchr(value, '/'), *serial = slash ? slash + 1 : "";
    size_t length = slash ? (size_t) (slash - value) : 0;
    gnutls_datum_t datum;
    int r;

    if (length == 0 || length >= sizeof(oid) || *serial == 0 || strlen(serial) > CSR_SERIAL_MAX)
        return -EINVAL;
    memcpy(oid, value, length);
    oid[length] = 0;
    if (!asn1_oid_is_valid(oid))
        return -EINVAL;
    r = asn1_create("HardwareModuleName", &node);
    if (r >= 0)
        r = asn1_write_text(node, "hwType", oid);
    if (r >= 0)
        r = asn1_write(node, "hwSerialNum", bytes_view_string(serial));
    if (r >= 0)
        r = asn1_encode(node, &der);
    if (r < 0)
        return r;
    datum = datum_from_view(bytes_view(&der));
    return gnutls_subject_alt_names_set(names, GNUTLS_SAN_OTHERNAME, &datum, "1.3.6.1.5.5.7.8.4") < 0 ? -EINVAL : 0;
}

static int add_san(gnutls_subject_alt_names_t names, const CsrSan *san, Failure *ret_failure) {
    int r = -EINVAL;

    switch (san->kind) {
    case CSR_SAN_DNS:
        if (!is_dns_name(san->value) || add_text(names, GNUTLS_SAN_DNSNAME, san->value) < 0)
            return INVALID("'%s' is not a DNS name: letters, digits and '-' in labels of at most 63, 253 in all",
                           san->value);
        return 0;
    case CSR_SAN_IP:
        if (add_ip(names, san->value) < 0)
            return INVALID("'%s' is neither an IPv4 nor an IPv6 address", san->value);
        return 0;
    case CSR_SAN_URI:
        if (!is_uri(san->value) || add_text(names, GNUTLS_SAN_URI, san->value) < 0)
            return INVALID("'%s' is not a URI: a scheme, ':' and printable ASCII without spaces, 1024 in all",
                           san->value);
        return 0;
    case CSR_SAN_HARDWARE_MODULE:
        r = add_hardware_module(names, san->value);
        break;
    }
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "encoding a subject alternative name");
    if (r < 0)
        return INVALID(
            "'%s' is not a hardware module: OID/SERIAL, such as 1.3.6.1.4.1.99999.1/A123, with a serial number "
            "of at most %u bytes",
            san->value, CSR_SERIAL_MAX);
    return 0;
}

int csr_sans_encode(const CsrSan *sans, size_t count, Bytes *ret_der, Failure *ret_failure) {
    _cleanup_(sans_p) gnutls_subject_alt_names_t names = NULL;
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    int r;

    if (count > CSR_SANS_MAX)
        return INVALID("there are %zu subject alternative names, more than %u", count, CSR_SANS_MAX);
    if (gnutls_subject_alt_names_init(&names) < 0)
        return failure_errno(ret_failure, -ENOMEM, "encoding subject alternative names");
    for (size_t i = 0; i < count; i++) {
        r = add_san(names, &sans[i], ret_failure);
        if (r < 0)
            return r;
    }
    r = gnutls_x509_ext_export_subject_alt_names(names, &der);
    if (r < 0)
        return INVALID("the subject alternative names cannot be encoded: %s", gnutls_strerror(r));
    return bytes_copy(view_from_datum(&der), ret_der);
}
