/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SignedData through libtasn1, from the definitions in cms.asn: see cms.h. */
#include "idctl/cms.h"

#include <libtasn1.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

extern const asn1_static_node cms_asn1_tab[];

#define OID_DATA           "1.2.840.113549.1.7.1"
#define OID_SIGNED_DATA    "1.2.840.113549.1.7.2"
#define OID_CONTENT_TYPE   "1.2.840.113549.1.9.3"
#define OID_MESSAGE_DIGEST "1.2.840.113549.1.9.4"
#define OID_SIGNING_TIME   "1.2.840.113549.1.9.5"
#define OID_RSA            "1.2.840.113549.1.1.1"
#define OID_MGF1           "1.2.840.113549.1.1.8"
#define OID_RSA_PSS        "1.2.840.113549.1.1.10"

static const uint8_t der_null[] = { 0x05, 0x00 };

static void node_clear(asn1_node *node) {
    asn1_delete_structure(node);
}
#define _cleanup_node_ _cleanup_(node_clear)

static int to_errno(int error) {
    return error == ASN1_SUCCESS ? 0 : error == ASN1_MEM_ERROR || error == ASN1_MEM_ALLOC_ERROR ? -ENOMEM : -EINVAL;
}

/* A new structure of a type of cms.asn. The definitions may be freed: libtasn1 copies from them. */
static int node_new(const char *type, asn1_node *ret) {
    _cleanup_node_ asn1_node definitions = NULL;

    int r = to_errno(asn1_array2tree(cms_asn1_tab, &definitions, NULL));
    return r < 0 ? r : to_errno(asn1_create_element(definitions, type, ret));
}

static int put(asn1_node node, const char *field, BytesView value) {
    return to_errno(asn1_write_value(node, field, value.data, (int) value.size));
}

static int put_oid(asn1_node node, const char *field, const char *oid) {
    return to_errno(asn1_write_value(node, field, oid, 1));
}

static int put_integer(asn1_node node, const char *field, uint8_t small) {
    return put(node, field, (BytesView) { &small, 1 });
}

/* One more element of a SET OF; it is then FIELD.?LAST. */
static int put_new(asn1_node node, const char *field) {
    return to_errno(asn1_write_value(node, field, "NEW", 1));
}

static int encode(asn1_node node, Bytes *ret) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    int size = 0;

    int r = asn1_der_coding(node, "", NULL, &size, NULL);
    if (r != ASN1_MEM_ERROR)
        return r == ASN1_SUCCESS ? -EINVAL : to_errno(r);
    der.data = malloc((size_t) size + 1);
    if (!der.data)
        return -ENOMEM;
    r = to_errno(asn1_der_coding(node, "", der.data, &size, NULL));
    if (r < 0)
        return r;
    der.size = (size_t) size;
    der.data[der.size] = '\0';
    *ret = der;
    der = BYTES_NULL;
    return 0;
}

/* A type with one value, whole: OBJECT IDENTIFIER or OCTET STRING. `value.size` 1 with an OID's text. */
static int encode_single(const char *type, const void *value, int size, Bytes *ret) {
    _cleanup_node_ asn1_node node = NULL;

    int r = node_new(type, &node);
    if (r == 0)
        r = to_errno(asn1_write_value(node, "", value, size));
    return r < 0 ? r : encode(node, ret);
}

/* UTCTime up to 2049, GeneralizedTime after (RFC 5652 §11.3). */
static int encode_signing_time(int64_t seconds, Bytes *ret) {
    _cleanup_node_ asn1_node node = NULL;
    char text[32];
    struct tm parts;
    time_t time = (time_t) seconds;

    if (!gmtime_r(&time, &parts) || parts.tm_year < 50 || parts.tm_year > 8099)
        return -ERANGE;
    bool utc = parts.tm_year < 150;
    if (strftime(text, sizeof text, "%Y%m%d%H%M%SZ", &parts) == 0)
        return -ERANGE;
    int r = node_new("CMS.SigningTime", &node);
    if (r == 0)
        r = put_oid(node, "", utc ? "utcTime" : "generalTime");
    if (r == 0)
        r = put(node, utc ? "utcTime" : "generalTime", bytes_view_string(utc ? text + 2 : text));
    return r < 0 ? r : encode(node, ret);
}

static int add_attribute(asn1_node attributes, const char *type, const Bytes *value) {
    int r = put_new(attributes, "");

    if (r == 0)
        r = put_oid(attributes, "?LAST.attrType", type);
    if (r == 0)
        r = put_new(attributes, "?LAST.attrValues");
    if (r == 0)
        r = put(attributes, "?LAST.attrValues.?LAST", bytes_view(value));
    return r;
}

int cms_signed_attributes(BytesView digest, int64_t signing_time, Bytes *ret) {
    _cleanup_node_ asn1_node attributes = NULL;
    _cleanup_bytes_ Bytes content_type = BYTES_NULL, message_digest = BYTES_NULL, time = BYTES_NULL;

    int r = encode_single("CMS.ContentType", OID_DATA, 1, &content_type);
    if (r == 0)
        r = encode_single("CMS.MessageDigest", digest.data, (int) digest.size, &message_digest);
    if (r == 0)
        r = encode_signing_time(signing_time, &time);
    if (r == 0)
        r = node_new("CMS.SignedAttributes", &attributes);
    if (r == 0)
        r = add_attribute(attributes, OID_CONTENT_TYPE, &content_type);
    if (r == 0)
        r = add_attribute(attributes, OID_SIGNING_TIME, &time);
    if (r == 0)
        r = add_attribute(attributes, OID_MESSAGE_DIGEST, &message_digest);
    return r < 0 ? r : encode(attributes, ret);
}

bool cms_scheme_is_usable(const SignatureScheme *scheme) {
    return scheme->padding != SCHEME_RSA_PSS || scheme->hash == SCHEME_SHA256;
}

static const char *hash_oid(SchemeHash hash) {
    switch (hash) {
    case SCHEME_SHA256:
        return "2.16.840.1.101.3.4.2.1";
    case SCHEME_SHA384:
        return "2.16.840.1.101.3.4.2.2";
    case SCHEME_SHA512:
        return "2.16.840.1.101.3.4.2.3";
    }
    return NULL;
}

static const char *ecdsa_oid(SchemeHash hash) {
    switch (hash) {
    case SCHEME_SHA256:
        return "1.2.840.10045.4.3.2";
    case SCHEME_SHA384:
        return "1.2.840.10045.4.3.3";
    case SCHEME_SHA512:
        return "1.2.840.10045.4.3.4";
    }
    return NULL;
}

/* `parameters` empty: absent. */
static int put_algorithm(asn1_node node, const char *field, const char *oid, BytesView parameters) {
    char path[96];

    if (!oid)
        return -EINVAL;
    snprintf(path, sizeof path, "%s%salgorithm", field, field[0] ? "." : "");
    int r = put_oid(node, path, oid);
    if (r < 0)
        return r;
    snprintf(path, sizeof path, "%s%sparameters", field, field[0] ? "." : "");
    return parameters.size == 0 ? to_errno(asn1_write_value(node, path, NULL, 0)) : put(node, path, parameters);
}

static int encode_hash_algorithm(SchemeHash hash, Bytes *ret) {
    _cleanup_node_ asn1_node node = NULL;

    int r = node_new("CMS.AlgorithmIdentifier", &node);
    if (r == 0)
        r = put_algorithm(node, "", hash_oid(hash), (BytesView) { der_null, sizeof der_null });
    return r < 0 ? r : encode(node, ret);
}

static int encode_pss_parameters(SchemeHash hash, Bytes *ret) {
    _cleanup_node_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes hash_algorithm = BYTES_NULL;

    int r = encode_hash_algorithm(hash, &hash_algorithm);
    if (r == 0)
        r = node_new("CMS.RSASSAPSSParams", &node);
    if (r == 0)
        r = put_algorithm(node, "hashAlgorithm", hash_oid(hash), (BytesView) { der_null, sizeof der_null });
    if (r == 0)
        r = put_algorithm(node, "maskGenAlgorithm", OID_MGF1, bytes_view(&hash_algorithm));
    if (r == 0)
        r = put_integer(node, "saltLength", (uint8_t) hash);
    return r < 0 ? r : encode(node, ret);
}

static int put_signature_algorithm(asn1_node node, const char *field, const SignatureScheme *scheme) {
    _cleanup_bytes_ Bytes parameters = BYTES_NULL;
    int r;

    switch (scheme->padding) {
    case SCHEME_ECDSA:
        return put_algorithm(node, field, ecdsa_oid(scheme->hash), (BytesView) { 0 });
    case SCHEME_RSA_PKCS1:
        return put_algorithm(node, field, OID_RSA, (BytesView) { der_null, sizeof der_null });
    case SCHEME_RSA_PSS:
        r = encode_pss_parameters(scheme->hash, &parameters);
        return r < 0 ? r : put_algorithm(node, field, OID_RSA_PSS, bytes_view(&parameters));
    }
    return -EINVAL;
}

static int put_signer_id(asn1_node node, const Certificate *leaf) {
    int r = put(node, "signerInfos.?LAST.sid.issuer", leaf->issuer_raw);

    return r < 0 ? r : put(node, "signerInfos.?LAST.sid.serialNumber", leaf->serial_bytes);
}

static int put_signer(asn1_node node, const CmsSignature *signature) {
    _cleanup_bytes_ Bytes attributes = BYTES_NULL;

    int r = bytes_copy(signature->signed_attributes, &attributes);
    if (r < 0)
        return r;
    /* Signed as a SET, written as [0] IMPLICIT (RFC 5652 §5.4). */
    attributes.data[0] = 0xa0;
    if ((r = put_new(node, "signerInfos")) < 0 || (r = put_integer(node, "signerInfos.?LAST.version", 1)) < 0 ||
        (r = put_signer_id(node, signature->chain->list[0])) < 0 ||
        (r = put_algorithm(node, "signerInfos.?LAST.digestAlgorithm", hash_oid(signature->scheme->hash),
                           (BytesView) { 0 })) < 0 ||
        (r = put(node, "signerInfos.?LAST.signedAttrs", bytes_view(&attributes))) < 0 ||
        (r = put_signature_algorithm(node, "signerInfos.?LAST.signatureAlgorithm", signature->scheme)) < 0)
        return r;
    return put(node, "signerInfos.?LAST.signature", signature->signature);
}

static int put_certificates(asn1_node node, const CertificateList *chain) {
    int r = 0;

    for (size_t i = 0; r == 0 && i < chain->count; i++) {
        r = put_new(node, "certificates");
        if (r == 0)
            r = put(node, "certificates.?LAST", bytes_view(&chain->list[i]->der));
    }
    return r;
}

int cms_signed_data(const CmsSignature *signature, Bytes *ret) {
    _cleanup_node_ asn1_node node = NULL, outer = NULL;
    _cleanup_bytes_ Bytes signed_data = BYTES_NULL;

    if (!cms_scheme_is_usable(signature->scheme) || signature->chain->count == 0 ||
        signature->signed_attributes.size == 0)
        return -EINVAL;
    int r = node_new("CMS.SignedData", &node);
    if (r < 0 || (r = put_integer(node, "version", 1)) < 0 || (r = put_new(node, "digestAlgorithms")) < 0 ||
        (r = put_algorithm(node, "digestAlgorithms.?LAST", hash_oid(signature->scheme->hash), (BytesView) { 0 })) < 0 ||
        (r = put_oid(node, "encapContentInfo.eContentType", OID_DATA)) < 0 ||
        (r = put_certificates(node, signature->chain)) < 0 || (r = put_signer(node, signature)) < 0 ||
        (r = encode(node, &signed_data)) < 0)
        return r;
    r = node_new("CMS.ContentInfo", &outer);
    if (r == 0)
        r = put_oid(outer, "contentType", OID_SIGNED_DATA);
    if (r == 0)
        r = put(outer, "content", bytes_view(&signed_data));
    return r < 0 ? r : encode(outer, ret);
}
