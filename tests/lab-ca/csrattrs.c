/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /csrattrs answers, encoded by libtasn1 from csrattrs.asn. */
#include "csrattrs.h"

#include <gnutls/x509-ext.h>
#include <libtasn1.h>
#include <stdio.h>
#include <string.h>

#define OID_CHALLENGE_PASSWORD "1.2.840.113549.1.9.7"
#define OID_EXTENSION_REQUEST  "1.2.840.113549.1.9.14"
#define OID_TEMPLATE           "1.2.840.113549.1.9.16.2.61" /* id-aa-certificationRequestInfoTemplate */
#define OID_EC_PUBLIC_KEY      "1.2.840.10045.2.1"
#define OID_P256               "1.2.840.10045.3.1.7"
#define OID_P384               "1.3.132.0.34"
#define OID_RSA                "1.2.840.113549.1.1.1"
#define OID_ECDSA_SHA384       "1.2.840.10045.4.3.3"
#define OID_SUBJECT_ALT_NAME   "2.5.29.17"
#define OID_EXT_KEY_USAGE      "2.5.29.37"
#define OID_UNKNOWN            "1.3.6.1.4.1.99999.1.1"

extern const asn1_static_node labca_asn1[]; /* generated from csrattrs.asn */

typedef struct Builder {
    asn1_node definitions, list;
} Builder;

static void node_clear(asn1_node *node) {
    (void) asn1_delete_structure(node);
}
#define _cleanup_node_ _cleanup_(node_clear)

static void builder_clear(Builder *builder) {
    node_clear(&builder->list);
    node_clear(&builder->definitions);
}

static int asn1_complain(int code) {
    complain("cannot encode csrattrs: %s", asn1_strerror(code));
    return -EIO;
}

static int node_encode(asn1_node node, gnutls_datum_t *ret) {
    int size = 0, r;

    r = asn1_der_coding(node, "", NULL, &size, NULL);
    if (r != ASN1_MEM_ERROR && r != ASN1_SUCCESS)
        return asn1_complain(r);
    ret->data = gnutls_malloc((size_t) size + 1);
    if (!ret->data)
        return -ENOMEM;
    r = asn1_der_coding(node, "", ret->data, &size, NULL);
    if (r != ASN1_SUCCESS) {
        datum_clear(ret);
        return asn1_complain(r);
    }
    ret->size = (unsigned) size;
    return 0;
}

/* One value of a simple type of csrattrs.asn. */
static int simple_value(Builder *builder, const char *type, const char *value, gnutls_datum_t *ret) {
    _cleanup_node_ asn1_node node = NULL;
    int r;

    r = asn1_create_element(builder->definitions, type, &node);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "", value, 0);
    return r == ASN1_SUCCESS ? node_encode(node, ret) : asn1_complain(r);
}

static int add_oid(Builder *builder, const char *oid) {
    int r;

    r = asn1_write_value(builder->list, "", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST", "oid", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST.oid", oid, 1);
    return r == ASN1_SUCCESS ? 0 : asn1_complain(r);
}

/* An attribute with the one value `der`. */
static int add_attribute(Builder *builder, const char *oid, const gnutls_datum_t *der) {
    int r;

    r = asn1_write_value(builder->list, "", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST", "attribute", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST.attribute.type", oid, 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST.attribute.values", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(builder->list, "?LAST.attribute.values.?LAST", der->data, (int) der->size);
    return r == ASN1_SUCCESS ? 0 : asn1_complain(r);
}

/* A key type as an attribute: the algorithm, with the curve or the size as its value. */
static int add_key_type(Builder *builder, const char *algorithm, const char *type, const char *value) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    int r;

    r = simple_value(builder, type, value, &der);
    return r < 0 ? r : add_attribute(builder, algorithm, &der);
}

/* `Extensions` with the one extension. */
static int extensions(Builder *builder, const char *oid, const gnutls_datum_t *value, gnutls_datum_t *ret) {
    _cleanup_node_ asn1_node node = NULL;
    int r;

    r = asn1_create_element(builder->definitions, "LABCA.Extensions", &node);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "?LAST.extnID", oid, 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "?LAST.critical", "FALSE", 0);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "?LAST.extnValue", value->data, (int) value->size);
    return r == ASN1_SUCCESS ? node_encode(node, ret) : asn1_complain(r);
}

static int usage_extensions(Builder *builder, const char *purpose, gnutls_datum_t *ret) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    gnutls_x509_key_purposes_t purposes;
    int r;

    r = gnutls_x509_key_purpose_init(&purposes);
    if (r < 0)
        return gnutls_complain(r, "cannot make key purposes");
    r = gnutls_x509_key_purpose_set(purposes, purpose);
    if (r >= 0)
        r = gnutls_x509_ext_export_key_purposes(purposes, &der);
    gnutls_x509_key_purpose_deinit(purposes);
    return r < 0 ? gnutls_complain(r, "cannot make key purposes") : extensions(builder, OID_EXT_KEY_USAGE, &der, ret);
}

static int add_usage(Builder *builder, const char *purpose) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL;
    int r;

    r = usage_extensions(builder, purpose, &der);
    return r < 0 ? r : add_attribute(builder, OID_EXTENSION_REQUEST, &der);
}

/* A name that the CA demands and that is not the client's. */
static int add_foreign_name(Builder *builder) {
    _cleanup_datum_ gnutls_datum_t der = DATUM_NULL, list = DATUM_NULL;
    const gnutls_datum_t name = { (uint8_t *) (uintptr_t) "demanded.example", 16 };
    gnutls_subject_alt_names_t names;
    int r;

    r = gnutls_subject_alt_names_init(&names);
    if (r < 0)
        return gnutls_complain(r, "cannot make names");
    r = gnutls_subject_alt_names_set(names, GNUTLS_SAN_DNSNAME, &name, NULL);
    if (r >= 0)
        r = gnutls_x509_ext_export_subject_alt_names(names, &der);
    gnutls_subject_alt_names_deinit(names);
    if (r < 0)
        return gnutls_complain(r, "cannot make names");
    r = extensions(builder, OID_SUBJECT_ALT_NAME, &der, &list);
    return r < 0 ? r : add_attribute(builder, OID_EXTENSION_REQUEST, &list);
}

/* RFC 9908 §3.4: a template with the key type and an extended key usage. */
static int add_template(Builder *builder, const char *curve) {
    _cleanup_datum_ gnutls_datum_t parameters = DATUM_NULL, usage = DATUM_NULL, der = DATUM_NULL;
    _cleanup_node_ asn1_node node = NULL;
    int r;

    r = simple_value(builder, "LABCA.OidValue", curve, &parameters);
    if (r == 0)
        r = usage_extensions(builder, GNUTLS_KP_TLS_WWW_CLIENT, &usage);
    if (r < 0)
        return r;
    r = asn1_create_element(builder->definitions, "LABCA.CertificationRequestInfoTemplate", &node);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "version", "0", 0);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "subject", NULL, 0);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "subjectPKInfo.algorithm.algorithm", OID_EC_PUBLIC_KEY, 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "subjectPKInfo.algorithm.parameters", parameters.data, (int) parameters.size);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "attributes", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "attributes.?LAST.type", OID_EXTENSION_REQUEST, 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "attributes.?LAST.values", "NEW", 1);
    if (r == ASN1_SUCCESS)
        r = asn1_write_value(node, "attributes.?LAST.values.?LAST", usage.data, (int) usage.size);
    if (r != ASN1_SUCCESS)
        return asn1_complain(r);
    r = node_encode(node, &der);
    return r < 0 ? r : add_attribute(builder, OID_TEMPLATE, &der);
}

static int build_empty(Builder *builder) {
    return 0;
}

/* The example of RFC 7030 §4.5.2: bare object identifiers. */
static int build_oids(Builder *builder) {
    int r;

    r = add_oid(builder, OID_CHALLENGE_PASSWORD);
    if (r == 0)
        r = add_key_type(builder, OID_EC_PUBLIC_KEY, "LABCA.OidValue", OID_P384);
    return r == 0 ? add_oid(builder, OID_ECDSA_SHA384) : r;
}

static int build_proof(Builder *builder) {
    return add_oid(builder, OID_CHALLENGE_PASSWORD);
}

static int build_key_p256(Builder *builder) {
    return add_key_type(builder, OID_EC_PUBLIC_KEY, "LABCA.OidValue", OID_P256);
}

static int build_key_p384(Builder *builder) {
    return add_key_type(builder, OID_EC_PUBLIC_KEY, "LABCA.OidValue", OID_P384);
}

static int build_key_rsa2048(Builder *builder) {
    return add_key_type(builder, OID_RSA, "LABCA.IntegerValue", "2048");
}

static int build_key_rsa3072(Builder *builder) {
    return add_key_type(builder, OID_RSA, "LABCA.IntegerValue", "3072");
}

static int build_key_rsa4096(Builder *builder) {
    return add_key_type(builder, OID_RSA, "LABCA.IntegerValue", "4096");
}

static int build_usage(Builder *builder) {
    return add_usage(builder, GNUTLS_KP_TLS_WWW_CLIENT);
}

/* RFC 9908 §3.2 allows one id-ExtensionReq only. */
static int build_two_requests(Builder *builder) {
    int r;

    r = add_usage(builder, GNUTLS_KP_TLS_WWW_CLIENT);
    return r == 0 ? add_usage(builder, GNUTLS_KP_TLS_WWW_SERVER) : r;
}

static int build_foreign_name(Builder *builder) {
    return add_foreign_name(builder);
}

static int build_unknown(Builder *builder) {
    int r;

    r = add_oid(builder, OID_UNKNOWN);
    return r == 0 ? add_key_type(builder, OID_UNKNOWN ".2", "LABCA.IntegerValue", "7") : r;
}

/* The template says P-384, the plain attribute beside it RSA: only the template counts. */
static int build_template(Builder *builder) {
    int r;

    r = add_key_type(builder, OID_RSA, "LABCA.IntegerValue", "3072");
    return r == 0 ? add_template(builder, OID_P384) : r;
}

static const struct {
    const char *name;
    unsigned status;
    int (*build)(Builder *builder);
    const char *help;
    bool wants_proof;
} variants[] = {
    { "none", 404, NULL, "404: the server has no csrattrs" },
    { "no-content", 204, NULL, "204" },
    { "empty", 200, build_empty, "an empty sequence" },
    { "oids", 200, build_oids, "challengePassword, P-384 and ecdsa-with-SHA384, as in RFC 7030" },
    { "proof", 200, build_proof, "challengePassword, without which requests are refused (RFC 7030 section 3.5)", true },
    { "key-p256", 200, build_key_p256, "a P-256 key" },
    { "key-p384", 200, build_key_p384, "a P-384 key" },
    { "key-rsa2048", 200, build_key_rsa2048, "an RSA key of 2048 bits" },
    { "key-rsa3072", 200, build_key_rsa3072, "an RSA key of 3072 bits" },
    { "key-rsa4096", 200, build_key_rsa4096, "an RSA key of 4096 bits" },
    { "usage", 200, build_usage, "the extended key usage of TLS clients" },
    { "two-requests", 200, build_two_requests, "two id-ExtensionReq, which RFC 9908 forbids" },
    { "foreign-name", 200, build_foreign_name, "a subject alternative name that the CA demands" },
    { "unknown", 200, build_unknown, "what nobody knows" },
    { "template", 200, build_template, "an RFC 9908 template (P-384), beside an attribute that it overrules" },
};

static int build(size_t variant, gnutls_datum_t *ret) {
    _cleanup_(builder_clear) Builder builder = { NULL, NULL };
    int r;

    r = asn1_array2tree(labca_asn1, &builder.definitions, NULL);
    if (r == ASN1_SUCCESS)
        r = asn1_create_element(builder.definitions, "LABCA.CsrAttrs", &builder.list);
    if (r != ASN1_SUCCESS)
        return asn1_complain(r);
    r = variants[variant].build(&builder);
    return r < 0 ? r : node_encode(builder.list, ret);
}

int csrattrs_make(const char *name, Csrattrs *ret) {
    Csrattrs made = { .status = 200 };
    int r;

    if (strncmp(name, "file:", 5) == 0) {
        r = file_read(".", name + 5, &made.der);
        if (r == 0)
            *ret = made;
        return r;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(variants); i++) {
        if (strcmp(variants[i].name, name) != 0)
            continue;
        made.status = variants[i].status;
        made.wants_proof = variants[i].wants_proof;
        r = variants[i].build ? build(i, &made.der) : 0;
        if (r == 0)
            *ret = made;
        return r;
    }
    return -EINVAL;
}

void csrattrs_print_help(void) {
    (void) puts("Variants of /csrattrs (serve --csrattrs, control DIR csrattrs), or file:PATH of DER:");
    for (size_t i = 0; i < ARRAY_LENGTH(variants); i++)
        (void) printf("  %-14s %s\n", variants[i].name, variants[i].help);
}
