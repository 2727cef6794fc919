/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names of a request in DER. What may be one is decided in common/, for the configuration and for the request alike. */
#include "pki/csr-names.h"

#include "common/distinguished-name.h"
#include "common/oid.h"
#include "pki/asn1.h"

#include <arpa/inet.h>
#include <gnutls/x509-ext.h>
#include <string.h>

#define INVALID(...) failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, __VA_ARGS__)

static void sans_p(gnutls_subject_alt_names_t *sans) {
    if (*sans)
        gnutls_subject_alt_names_deinit(*sans);
}

/* ---- subject ---- */

int csr_subject_encode(const char *subject, Bytes *ret_der, Failure *ret_failure) {
    int r = distinguished_name_encode(subject, ret_der, ret_failure);

    return r == -EINVAL
               ? failure_prefix(ret_failure, r, "the subject '%.200s' is not a distinguished name of RFC 4514", subject)
               : r;
}

/* ---- subject alternative names ---- */

static int add_text(gnutls_subject_alt_names_t names, unsigned type, const char *value) {
    gnutls_datum_t datum = datum_from_view(bytes_view_string(value));

    return gnutls_subject_alt_names_set(names, type, &datum, NULL) < 0 ? -EINVAL : 0;
}

static int add_ip(gnutls_subject_alt_names_t names, const char *value) {
    uint8_t address[16];
    bool v4 = inet_pton(AF_INET, value, address) == 1;
    gnutls_datum_t datum = { address, v4 ? 4 : 16 };

    if (!v4 && inet_pton(AF_INET6, value, address) != 1)
        return -EINVAL;
    return gnutls_subject_alt_names_set(names, GNUTLS_SAN_IPADDRESS, &datum, NULL) < 0 ? -EINVAL : 0;
}

/* "OID/SERIAL" as id-on-hardwareModuleName (RFC 4108 §5, IEEE 802.1AR §8.10.2). */
static int add_hardware_module(gnutls_subject_alt_names_t names, const char *value) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    char oid[OID_TEXT_MAX + 1];
    size_t length = strcspn(value, "/");
    gnutls_datum_t datum;
    int r;

    memcpy(oid, value, length);
    oid[length] = 0;
    r = asn1_create("HardwareModuleName", &node);
    if (r >= 0)
        r = asn1_write_text(node, "hwType", oid);
    if (r >= 0)
        r = asn1_write(node, "hwSerialNum", bytes_view_string(value + length + 1));
    if (r >= 0)
        r = asn1_encode(node, &der);
    if (r < 0)
        return r;
    datum = datum_from_view(bytes_view(&der));
    return gnutls_subject_alt_names_set(names, GNUTLS_SAN_OTHERNAME, &datum, "1.3.6.1.5.5.7.8.4") < 0 ? -EINVAL : 0;
}

static int add_san(gnutls_subject_alt_names_t names, const CsrSan *san, Failure *ret_failure) {
    const char *fault = san_fault(san->kind, san->value);
    int r = -EINVAL;

    if (fault)
        return INVALID("the subject alternative name '%s' %s", san->value, fault);
    switch (san->kind) {
    case SAN_DNS:
        r = add_text(names, GNUTLS_SAN_DNSNAME, san->value);
        break;
    case SAN_IP:
        r = add_ip(names, san->value);
        break;
    case SAN_URI:
        r = add_text(names, GNUTLS_SAN_URI, san->value);
        break;
    case SAN_HARDWARE_MODULE:
        r = add_hardware_module(names, san->value);
        break;
    }
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "encoding a subject alternative name");
    return r < 0 ? INVALID("the subject alternative name '%s' cannot be encoded", san->value) : 0;
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
