/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Makes end-entity certificates, right or deliberately wrong. */
#include "issue.h"

#include "index.h"

#include <gnutls/abstract.h>
#include <gnutls/x509-ext.h>
#include <stdio.h>
#include <string.h>

#define OID_SUBJECT_ALT_NAME "2.5.29.17"
#define OID_KEY_USAGE        "2.5.29.15"
#define OID_EXT_KEY_USAGE    "2.5.29.37"

int request_import(const gnutls_datum_t *data, gnutls_x509_crt_fmt_t format, gnutls_x509_crq_t *ret,
                   const char **ret_reason) {
    _cleanup_crq_ gnutls_x509_crq_t request = NULL;
    unsigned bits = 0;
    int pk, r;

    r = gnutls_x509_crq_init(&request);
    if (r < 0)
        return gnutls_complain(r, "cannot read a request");
    if (gnutls_x509_crq_import(request, data, format) < 0) {
        *ret_reason = "not a PKCS#10 request";
        return -EBADMSG;
    }
    if (gnutls_x509_crq_verify(request, 0) < 0) {
        *ret_reason = "the request's signature is wrong";
        return -EBADMSG;
    }
    pk = gnutls_x509_crq_get_pk_algorithm(request, &bits);
    if ((pk != GNUTLS_PK_ECDSA || bits < 256) && (pk != GNUTLS_PK_RSA || bits < 2048)) {
        *ret_reason = "the request's key is neither ECDSA on P-256 or more nor RSA of 2048 bits or more";
        return -EBADMSG;
    }
    *ret = TAKE_PTR(request);
    return 0;
}

/* An extension's bytes in a request; empty without it. */
static int request_extension(gnutls_x509_crq_t request, const char *oid, gnutls_datum_t *ret) {
    int r;

    r = gnutls_x509_crq_get_extension_by_oid2(request, oid, 0, ret, NULL);
    return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : r;
}

static int request_san(gnutls_x509_crq_t request, gnutls_datum_t *ret) {
    return request_extension(request, OID_SUBJECT_ALT_NAME, ret);
}

static int certificate_san(gnutls_x509_crt_t certificate, gnutls_datum_t *ret) {
    int r;

    r = gnutls_x509_crt_get_extension_by_oid2(certificate, OID_SUBJECT_ALT_NAME, 0, ret, NULL);
    return r == GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE ? 0 : r;
}

static bool datum_equal(const gnutls_datum_t *a, const gnutls_datum_t *b) {
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

static int subject_bytes(gnutls_x509_crt_t certificate, gnutls_datum_t *ret) {
    gnutls_x509_dn_t dn;
    int r;

    r = gnutls_x509_crt_get_subject(certificate, &dn);
    return r < 0 ? r : gnutls_x509_dn_export2(dn, GNUTLS_X509_FMT_DER, ret);
}

/* GnuTLS gives a request's subject as text only: put it into a certificate to have its bytes. */
static int request_subject_bytes(gnutls_x509_crq_t request, gnutls_datum_t *ret) {
    _cleanup_crt_ gnutls_x509_crt_t scratch = NULL;
    int r;

    r = gnutls_x509_crt_init(&scratch);
    if (r >= 0)
        r = gnutls_x509_crt_set_crq(scratch, request);
    return r < 0 ? r : subject_bytes(scratch, ret);
}

bool request_matches_certificate(gnutls_x509_crq_t request, gnutls_x509_crt_t certificate, const char **ret_reason) {
    _cleanup_datum_ gnutls_datum_t old_dn = DATUM_NULL, new_dn = DATUM_NULL, old_san = DATUM_NULL, new_san = DATUM_NULL;

    if (subject_bytes(certificate, &old_dn) < 0 || certificate_san(certificate, &old_san) < 0)
        *ret_reason = "the old certificate's names cannot be read";
    else if (request_subject_bytes(request, &new_dn) < 0 || request_san(request, &new_san) < 0)
        *ret_reason = "the request's names cannot be read";
    else if (!datum_equal(&old_dn, &new_dn))
        *ret_reason = "the request's subject is not the certificate's";
    else if (!datum_equal(&old_san, &new_san))
        *ret_reason = "the request's subject alternative name is not the certificate's";
    else
        return true;
    return false;
}

/* ---- names ---- */

static int set_request_key(gnutls_x509_crt_t certificate, gnutls_x509_crq_t request) {
    gnutls_pubkey_t key = NULL;
    int r;

    r = gnutls_pubkey_init(&key);
    if (r < 0)
        return r;
    r = gnutls_pubkey_import_x509_crq(key, request, 0);
    if (r >= 0)
        r = gnutls_x509_crt_set_pubkey(certificate, key);
    gnutls_pubkey_deinit(key);
    return r;
}

static int common_name(gnutls_x509_crq_t request, char *ret, size_t size) {
    return gnutls_x509_crq_get_dn_by_oid(request, GNUTLS_OID_X520_COMMON_NAME, 0, 0, ret, &size);
}

static int set_own_organization(gnutls_x509_crt_t certificate, gnutls_x509_crq_t request) {
    static const char organization[] = "CA profile Ltd";
    char name[128];
    int r = common_name(request, name, sizeof(name));

    if (r >= 0)
        r = gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_ORGANIZATION_NAME, 0, organization,
                                          sizeof(organization) - 1);
    return r < 0 ? r
                 : gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                                 (unsigned) strlen(name));
}

/* UTF8String for anything else, and PrintableString for that; of values below 128 bytes. */
static int set_retagged(gnutls_x509_crt_t certificate, gnutls_x509_crq_t request) {
    _cleanup_datum_ gnutls_datum_t raw = DATUM_NULL;
    gnutls_x509_dn_t name = NULL;
    gnutls_x509_ava_st part;
    int r = request_subject_bytes(request, &raw);

    if (r >= 0)
        r = gnutls_x509_dn_init(&name);
    if (r < 0)
        return r;
    r = gnutls_x509_dn_import(name, &raw);
    for (int i = 0; r >= 0 && gnutls_x509_dn_get_rdn_ava(name, i, 0, &part) >= 0; i++) {
        uint8_t value[2 + 127] = { part.value_tag == 0x0c ? 0x13 : 0x0c, (uint8_t) part.value.size };
        if (part.value.size > sizeof(value) - 2) {
            r = GNUTLS_E_SHORT_MEMORY_BUFFER;
            break;
        }
        memcpy(value + 2, part.value.data, part.value.size);
        r = gnutls_x509_crt_set_dn_by_oid(certificate, (const char *) part.oid.data, 1, value, part.value.size + 2);
    }
    gnutls_x509_dn_deinit(name);
    return r;
}

/* The request's, or a wrong one. */
static int set_subject(gnutls_x509_crt_t certificate, const IssueOrder *order) {
    int r;

    if (order->fault != FAULT_WRONG_NAME && order->fault != FAULT_OWN_ORG && order->fault != FAULT_RETAG)
        return gnutls_x509_crt_set_crq(certificate, order->request);
    r = set_request_key(certificate, order->request);
    if (r < 0)
        return r;
    if (order->fault == FAULT_OWN_ORG)
        return set_own_organization(certificate, order->request);
    if (order->fault == FAULT_RETAG)
        return set_retagged(certificate, order->request);
    return gnutls_x509_crt_set_dn(certificate, "CN=somebody else,O=identityd lab", NULL);
}

static void lower_dns_name(const gnutls_datum_t *name) {
    for (unsigned i = 0; i < name->size; i++)
        if (name->data[i] >= 'A' && name->data[i] <= 'Z')
            name->data[i] = (uint8_t) (name->data[i] - 'A' + 'a');
}

/* The same alternative names with DNS names in lower case. */
static int lower_san(gnutls_datum_t *san) {
    gnutls_subject_alt_names_t names = NULL;
    gnutls_datum_t lower = DATUM_NULL, name, oid;
    unsigned type;
    int r;

    r = gnutls_subject_alt_names_init(&names);
    if (r < 0)
        return r;
    r = gnutls_x509_ext_import_subject_alt_names(san, names, 0);
    for (unsigned i = 0; r >= 0 && gnutls_subject_alt_names_get(names, i, &type, &name, &oid) >= 0; i++)
        if (type == GNUTLS_SAN_DNSNAME)
            lower_dns_name(&name);
    if (r >= 0)
        r = gnutls_x509_ext_export_subject_alt_names(names, &lower);
    gnutls_subject_alt_names_deinit(names);
    if (r < 0)
        return r;
    gnutls_free(san->data);
    *san = lower;
    return 0;
}

/* Key and names: the request's, or wrong ones. */
static int set_names(gnutls_x509_crt_t certificate, const IssueOrder *order) {
    _cleanup_datum_ gnutls_datum_t san = DATUM_NULL;
    char name[128] = "somebody-else.example";
    int r;

    r = set_subject(certificate, order);
    if (r >= 0 && order->fault == FAULT_SAN_FROM_CN)
        r = common_name(order->request, name, sizeof(name));
    if (r >= 0 && (order->fault == FAULT_WRONG_SAN || order->fault == FAULT_SAN_FROM_CN))
        return gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, name, (unsigned) strlen(name),
                                                    GNUTLS_FSAN_SET);
    if (r >= 0)
        r = request_san(order->request, &san);
    if (r >= 0 && order->fault == FAULT_LOWER_CASE && san.size > 0)
        r = lower_san(&san);
    if (r >= 0 && san.size > 0)
        r = gnutls_x509_crt_set_extension_by_oid(certificate, OID_SUBJECT_ALT_NAME, san.data, san.size, 0);
    return r;
}

/* Usages: what the request asks for; digitalSignature and no extended one where it is silent. */
static int set_usages(gnutls_x509_crt_t certificate, const IssueOrder *order) {
    _cleanup_datum_ gnutls_datum_t usage = DATUM_NULL, purposes = DATUM_NULL;
    int r;

    r = request_extension(order->request, OID_KEY_USAGE, &usage);
    if (r < 0)
        return r;
    if (usage.size > 0)
        r = gnutls_x509_crt_set_extension_by_oid(certificate, OID_KEY_USAGE, usage.data, usage.size, 1);
    else
        r = gnutls_x509_crt_set_key_usage(certificate, GNUTLS_KEY_DIGITAL_SIGNATURE);
    if (r >= 0 && order->fault == FAULT_WRONG_USAGE)
        return gnutls_x509_crt_set_key_purpose_oid(certificate, GNUTLS_KP_TIME_STAMPING, 1);
    if (r >= 0)
        r = request_extension(order->request, OID_EXT_KEY_USAGE, &purposes);
    if (r >= 0 && purposes.size > 0)
        r = gnutls_x509_crt_set_extension_by_oid(certificate, OID_EXT_KEY_USAGE, purposes.data, purposes.size, 0);
    return r;
}

static int set_pointers(const Ca *ca, gnutls_x509_crt_t certificate, const char *issuer) {
    _cleanup_free_ char *crl_url = ca_crl_url(ca, issuer);
    int r = 0;

    if (crl_url)
        r = gnutls_x509_crt_set_crl_dist_points2(certificate, GNUTLS_SAN_URI, crl_url, (unsigned) strlen(crl_url), 0);
    if (r >= 0 && ca->ocsp_url) {
        gnutls_datum_t url = { (uint8_t *) ca->ocsp_url, (unsigned) strlen(ca->ocsp_url) };

        r = gnutls_x509_crt_set_authority_info_access(certificate, GNUTLS_IA_OCSP_URI, &url);
    }
    return r;
}

/* When the certificate is valid. */
static void choose_dates(const IssueOrder *order, time_t *ret_not_before, time_t *ret_not_after) {
    time_t now = time(NULL), begin = now, end;

    if (order->fault == FAULT_EXPIRED)
        begin = now - order->lifetime - 3600;
    else if (order->fault == FAULT_NOT_YET_VALID)
        begin = now + 3600;
    end = order->lifetime > 0 ? begin + order->lifetime : (time_t) -1;
    if (order->fault == FAULT_SAME_NOT_AFTER && order->previous)
        end = gnutls_x509_crt_get_expiration_time(order->previous);
    *ret_not_before = begin;
    *ret_not_after = end;
}

/* Keys: the request's is in the certificate already; a wrong one replaces it. */
static int set_wrong_key(gnutls_x509_crt_t certificate) {
    _cleanup_key_ gnutls_x509_privkey_t key = NULL;
    int r;

    r = key_generate(CA_ECDSA_P256, &key);
    return r < 0 ? r : gnutls_x509_crt_set_key(certificate, key);
}

static int fill_and_sign(const Ca *ca, const IssueOrder *order, const Authority *issuer,
                         gnutls_x509_crt_t certificate) {
    time_t not_before, not_after;
    int r;

    r = set_names(certificate, order);
    if (r >= 0)
        r = set_usages(certificate, order);
    if (r >= 0)
        r = gnutls_x509_crt_set_basic_constraints(certificate, order->fault == FAULT_CA_CERTIFICATE, -1);
    if (r >= 0)
        r = set_pointers(ca, certificate, issuer->name);
    if (r >= 0 && order->fault == FAULT_WRONG_KEY)
        r = set_wrong_key(certificate);
    if (r < 0)
        return gnutls_complain(r, "cannot make a certificate");
    choose_dates(order, &not_before, &not_after);
    r = certificate_fill(certificate, issuer, not_before, not_after);
    return r < 0 ? r : certificate_sign(certificate, issuer);
}

static int record(const Ca *ca, gnutls_x509_crt_t certificate, const Authority *issuer) {
    char serial[INDEX_SERIAL_MAX], name[INDEX_SERIAL_MAX + 16];
    int r;

    r = index_record(ca->directory, certificate, issuer->name);
    if (r == 0)
        r = serial_of_certificate(certificate, serial);
    if (r < 0)
        return r;
    (void) snprintf(name, sizeof(name), "issued/%s.pem", serial);
    return certificates_write(ca->directory, name, &certificate, 1);
}

static int certificate_copy(gnutls_x509_crt_t certificate, gnutls_x509_crt_t *ret) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    _cleanup_crt_ gnutls_x509_crt_t copy = NULL;
    int r;

    r = gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_DER, &der);
    if (r >= 0)
        r = gnutls_x509_crt_init(&copy);
    if (r >= 0)
        r = gnutls_x509_crt_import(copy, &der, GNUTLS_X509_FMT_DER);
    if (r < 0)
        return gnutls_complain(r, "cannot copy a certificate");
    *ret = TAKE_PTR(copy);
    return 0;
}

int issue_certificate(const Ca *ca, const IssueOrder *order, gnutls_x509_crt_t *ret) {
    _cleanup_crt_ gnutls_x509_crt_t certificate = NULL;
    _cleanup_authority_ Authority *nobody = NULL;
    const Authority *issuer = ca_issuer(ca);
    const AuthorityTemplate template = {
        .name = "nobody", .subject = "CN=nobody knows this CA", .algorithm = CA_ECDSA_P256, .path_length = -1
    };
    int r;

    if (order->fault == FAULT_SAME_SERIAL && order->previous)
        return certificate_copy(order->previous, ret);
    if (order->fault == FAULT_NO_CHAIN) {
        r = authority_create(NULL, &template, &nobody);
        if (r < 0)
            return r;
        issuer = nobody;
    }
    r = gnutls_x509_crt_init(&certificate);
    if (r < 0)
        return gnutls_complain(r, "cannot make a certificate");
    r = fill_and_sign(ca, order, issuer, certificate);
    if (r == 0)
        r = record(ca, certificate, issuer);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(certificate);
    return 0;
}
