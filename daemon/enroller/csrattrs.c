/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads /csrattrs with libtasn1 by the module in csrattrs.asn. Bounded by CSRATTRS_MAX before anything is parsed and by
 * CSRATTRS_ITEMS_MAX in every loop. */
#include "enroller/csrattrs.h"

#include "common/asn1.h"

#define HAVE_CONFIG_H 0 /* the generated file asks */
#include "csrattrs-asn1.h"
#include "enroller/answer.h"

#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdio.h>
#include <string.h>

#define OID_CHALLENGE_PASSWORD "1.2.840.113549.1.9.7"
#define OID_EXTENSION_REQUEST  "1.2.840.113549.1.9.14"
#define OID_REQUEST_TEMPLATE   "1.2.840.113549.1.9.16.2.61" /* id-aa-certificationRequestInfoTemplate */
#define OID_EXTENSION_TEMPLATE "1.2.840.113549.1.9.16.2.62" /* id-aa-extensionReqTemplate */
#define OID_EC_PUBLIC_KEY      "1.2.840.10045.2.1"
#define OID_RSA_ENCRYPTION     "1.2.840.113549.1.1.1"
#define OID_SECP256R1          "1.2.840.10045.3.1.7"
#define OID_SECP384R1          "1.3.132.0.34"
#define OID_SUBJECT_ALT_NAME   "2.5.29.17"
#define OID_EXTENDED_KEY_USAGE "2.5.29.37"

#define ASN1_PATH_MAX   96U
#define DESCRIPTION_MAX (ANSWER_EXCERPT_MAX + 96U)

typedef struct Parser {
    CsrAttributes *attributes;
    unsigned key_types; /* how many different ones were asked for */
} Parser;

CsrAttributes *csr_attributes_free(CsrAttributes *attributes) {
    if (!attributes)
        return NULL;
    for (size_t i = 0; i < attributes->eku_count; i++)
        free(attributes->eku[i]);
    for (size_t i = 0; i < attributes->subject_count; i++)
        bytes_clear(&attributes->subject[i].value);
    free(attributes->subject);
    bytes_clear(&attributes->alternative_names);
    free(attributes);
    return NULL;
}

/* ---- libtasn1 ---- */

/* -EBADMSG where `der` is not a `type`. */
static int decode(const char *type, BytesView der, asn1_node *ret) {
    char name[64];

    (void) snprintf(name, sizeof name, "ENROLLER.%s", type);
    return asn1_tree_decode(csrattrs_asn1_table, name, der, ret);
}

/* The value at `path`. -ENOENT: absent. For a BIT STRING the bytes of it. */
static int read_value(asn1_node node, const char *path, Bytes *ret) {
    uint8_t none;
    int size = 0;
    unsigned type = 0;

    int r = asn1_read_value_type(node, path, NULL, &size, &type);
    if (r == ASN1_SUCCESS)
        return bytes_copy((BytesView) { &none, 0 }, ret); /* an empty string */
    if (r != ASN1_MEM_ERROR || size < 0 || (size_t) size > CSRATTRS_MAX * 8U)
        return -ENOENT;
    Bytes value = { malloc((size_t) size + 1U), (size_t) size };
    if (!value.data)
        return -ENOMEM;
    if (asn1_read_value(node, path, value.data, &size) != ASN1_SUCCESS) {
        bytes_clear(&value);
        return -ENOENT;
    }
    value.size = type == ASN1_ETYPE_BIT_STRING ? (size_t) size / 8U : (size_t) size;
    value.data[value.size] = '\0';
    *ret = value;
    return 0;
}

static bool read_oid(asn1_node node, const char *path, char ret[static CSRATTRS_OID_MAX]) {
    int size = CSRATTRS_OID_MAX;

    return asn1_read_value(node, path, ret, &size) == ASN1_SUCCESS;
}

static unsigned count(asn1_node node, const char *path) {
    int number = 0;

    if (asn1_number_of_elements(node, path, &number) != ASN1_SUCCESS || number < 0)
        return 0;
    return (unsigned) number > CSRATTRS_ITEMS_MAX ? CSRATTRS_ITEMS_MAX : (unsigned) number;
}

/* What is inside a DER value: UTF8String and PrintableString of the same letters are the same name. */
static BytesView der_content(BytesView der) {
    unsigned char class;
    unsigned long tag;
    int tag_size, length_size;

    if (asn1_get_tag_der(der.data, (int) der.size, &class, &tag_size, &tag) != ASN1_SUCCESS)
        return der;
    long length = asn1_get_length_der(der.data + tag_size, (int) der.size - tag_size, &length_size);
    if (length < 0 || (size_t) tag_size + (size_t) length_size + (size_t) length > der.size)
        return der;
    return (BytesView) { der.data + tag_size + length_size, (size_t) length };
}

/* ---- keys ---- */

static void ask_key_type(Parser *parser, int key_type) {
    if (key_type >= 0 && key_type == parser->attributes->key_type)
        return;
    /* Several are a choice that the RFC does not provide for: ours stays as it is configured. */
    parser->attributes->key_type = ++parser->key_types == 1 ? key_type : -1;
}

static void ask_curve(Parser *parser, BytesView der) {
    _cleanup_asn1_ asn1_node node = NULL;
    char curve[CSRATTRS_OID_MAX];

    if (decode("CurveName", der, &node) < 0 || !read_oid(node, "", curve))
        return;
    ask_key_type(parser, strcmp(curve, OID_SECP256R1) == 0   ? (int) KEY_ECDSA_P256
                         : strcmp(curve, OID_SECP384R1) == 0 ? (int) KEY_ECDSA_P384
                                                             : -1);
}

static int key_type_of_bits(unsigned long bits) {
    return bits == 2048 ? (int) KEY_RSA_2048 : bits == 3072 ? (int) KEY_RSA_3072 : -1;
}

static void ask_rsa_size(Parser *parser, BytesView der) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes size = BYTES_NULL;
    unsigned long bits = 0;

    if (decode("KeySize", der, &node) < 0 || read_value(node, "", &size) < 0 || size.size > 4)
        return;
    for (size_t i = 0; i < size.size; i++)
        bits = bits << 8 | size.data[i];
    ask_key_type(parser, key_type_of_bits(bits));
}

/* The size of an RSA key is given by a placeholder for the key (RFC 9908 §3.4). */
static void ask_rsa_placeholder(Parser *parser, BytesView der) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes modulus = BYTES_NULL;

    if (decode("RsaKey", der, &node) < 0 || read_value(node, "modulus", &modulus) < 0)
        return;
    size_t size = modulus.size;
    if (size > 0 && modulus.data[0] == 0)
        size--;
    ask_key_type(parser, key_type_of_bits(size * 8UL));
}

/* ---- extensions ---- */

static int ask_eku(Parser *parser, BytesView der) {
    CsrAttributes *attributes = parser->attributes;
    _cleanup_asn1_ asn1_node node = NULL;

    if (decode("ObjectIdentifiers", der, &node) < 0)
        return 0;
    unsigned number = count(node, "");
    for (unsigned i = 1; i <= number && attributes->eku_count < CSRATTRS_EKU_MAX; i++) {
        char path[ASN1_PATH_MAX], oid[CSRATTRS_OID_MAX];

        (void) snprintf(path, sizeof path, "?%u", i);
        if (!read_oid(node, path, oid))
            continue;
        char *copy = strdup(oid);
        if (!copy)
            return -ENOMEM;
        attributes->eku[attributes->eku_count++] = copy;
    }
    return 0;
}

static int ask_extension(Parser *parser, asn1_node node, unsigned index) {
    CsrAttributes *attributes = parser->attributes;
    _cleanup_bytes_ Bytes value = BYTES_NULL;
    char path[ASN1_PATH_MAX], oid[CSRATTRS_OID_MAX];

    (void) snprintf(path, sizeof path, "?%u.extnID", index);
    if (!read_oid(node, path, oid))
        return 0;
    (void) snprintf(path, sizeof path, "?%u.extnValue", index);
    int r = read_value(node, path, &value);
    if (r == -ENOMEM)
        return r;
    if (strcmp(oid, OID_EXTENDED_KEY_USAGE) == 0 && r >= 0)
        return ask_eku(parser, bytes_view(&value));
    if (strcmp(oid, OID_SUBJECT_ALT_NAME) == 0 && !attributes->wants_alternative_names) {
        attributes->wants_alternative_names = true;
        attributes->alternative_names = value;
        value = BYTES_NULL;
    }
    return 0;
}

static int ask_extensions(Parser *parser, BytesView der) {
    _cleanup_asn1_ asn1_node node = NULL;
    int r = 0;

    if (decode("ExtensionTemplates", der, &node) < 0)
        return 0;
    unsigned number = count(node, "");
    for (unsigned i = 1; r >= 0 && i <= number; i++)
        r = ask_extension(parser, node, i);
    return r;
}

/* ---- the template ---- */

static int ask_name(Parser *parser, asn1_node node, const char *path) {
    CsrAttributes *attributes = parser->attributes;
    char field[ASN1_PATH_MAX + 8];
    NameDemand demand = { .value = BYTES_NULL };

    (void) snprintf(field, sizeof field, "%s.type", path);
    if (attributes->subject_count >= CSRATTRS_ITEMS_MAX || !read_oid(node, field, demand.oid))
        return 0;
    (void) snprintf(field, sizeof field, "%s.value", path);
    int r = read_value(node, field, &demand.value);
    if (r == -ENOMEM)
        return r;
    NameDemand *longer = reallocarray(attributes->subject, attributes->subject_count + 1, sizeof *longer);
    if (!longer) {
        bytes_clear(&demand.value);
        return -ENOMEM;
    }
    attributes->subject = longer;
    attributes->subject[attributes->subject_count++] = demand;
    return 0;
}

static int ask_names(Parser *parser, asn1_node node) {
    unsigned rdns = count(node, "subject");
    char path[ASN1_PATH_MAX];
    int r = 0;

    for (unsigned i = 1; r >= 0 && i <= rdns; i++) {
        (void) snprintf(path, sizeof path, "subject.?%u", i);
        unsigned parts = count(node, path);
        for (unsigned j = 1; r >= 0 && j <= parts; j++) {
            (void) snprintf(path, sizeof path, "subject.?%u.?%u", i, j);
            r = ask_name(parser, node, path);
        }
    }
    return r;
}

static void ask_template_key(Parser *parser, asn1_node node) {
    _cleanup_bytes_ Bytes parameters = BYTES_NULL, placeholder = BYTES_NULL;
    char oid[CSRATTRS_OID_MAX];

    if (!read_oid(node, "subjectPKInfo.algorithm.algorithm", oid))
        return;
    if (strcmp(oid, OID_EC_PUBLIC_KEY) == 0 && read_value(node, "subjectPKInfo.algorithm.parameters", &parameters) >= 0)
        ask_curve(parser, bytes_view(&parameters));
    if (strcmp(oid, OID_RSA_ENCRYPTION) == 0 && read_value(node, "subjectPKInfo.subjectPublicKey", &placeholder) >= 0)
        ask_rsa_placeholder(parser, bytes_view(&placeholder));
}

static int ask_template(Parser *parser, BytesView der) {
    _cleanup_asn1_ asn1_node node = NULL;
    _cleanup_bytes_ Bytes version = BYTES_NULL;

    int r = decode("RequestTemplate", der, &node);
    if (r < 0)
        return r;
    if (read_value(node, "version", &version) < 0 || version.size != 1 || version.data[0] != 0)
        return -EBADMSG;
    ask_template_key(parser, node);
    r = ask_names(parser, node);
    unsigned number = count(node, "attributes");
    for (unsigned i = 1; r >= 0 && i <= number; i++) {
        _cleanup_bytes_ Bytes value = BYTES_NULL;
        char path[ASN1_PATH_MAX], oid[CSRATTRS_OID_MAX];

        (void) snprintf(path, sizeof path, "attributes.?%u.type", i);
        if (!read_oid(node, path, oid) ||
            (strcmp(oid, OID_EXTENSION_REQUEST) != 0 && strcmp(oid, OID_EXTENSION_TEMPLATE) != 0))
            continue;
        (void) snprintf(path, sizeof path, "attributes.?%u.values.?1", i);
        r = read_value(node, path, &value);
        r = r == -ENOENT ? 0 : r < 0 ? r : ask_extensions(parser, bytes_view(&value));
    }
    return r;
}

/* ---- the whole ---- */

/* An attribute of the list: its OID, and its first value, the only one that any known attribute has. */
static int read_attribute(asn1_node node, unsigned index, char ret_oid[static CSRATTRS_OID_MAX], Bytes *ret_value) {
    char path[ASN1_PATH_MAX];

    (void) snprintf(path, sizeof path, "?%u.attribute.type", index);
    if (!read_oid(node, path, ret_oid))
        return -ENOENT;
    (void) snprintf(path, sizeof path, "?%u.attribute.values.?1", index);
    return read_value(node, path, ret_value);
}

/* 1 when the template was there and understood. */
static int parse_template(Parser *parser, asn1_node node) {
    unsigned number = count(node, "");

    for (unsigned i = 1; i <= number; i++) {
        _cleanup_bytes_ Bytes value = BYTES_NULL;
        char oid[CSRATTRS_OID_MAX];

        int r = read_attribute(node, i, oid, &value);
        if (r == -ENOMEM)
            return r;
        if (r < 0 || strcmp(oid, OID_REQUEST_TEMPLATE) != 0)
            continue;
        r = ask_template(parser, bytes_view(&value));
        return r == -EBADMSG ? 0 : r < 0 ? r : 1;
    }
    return 0;
}

/* An OID that stands in the list by itself asks for an attribute of that type. */
static void ask_by_oid(Parser *parser, asn1_node node, unsigned index) {
    char path[ASN1_PATH_MAX], oid[CSRATTRS_OID_MAX];

    (void) snprintf(path, sizeof path, "?%u.oid", index);
    if (read_oid(node, path, oid) && strcmp(oid, OID_CHALLENGE_PASSWORD) == 0)
        parser->attributes->wants_challenge_password = true;
}

static int parse_list(Parser *parser, asn1_node node) {
    unsigned number = count(node, "");

    for (unsigned i = 1; i <= number; i++) {
        _cleanup_bytes_ Bytes value = BYTES_NULL;
        char oid[CSRATTRS_OID_MAX];

        ask_by_oid(parser, node, i);
        int r = read_attribute(node, i, oid, &value);
        if (r == -ENOMEM)
            return r;
        if (r < 0)
            continue;
        if (strcmp(oid, OID_EC_PUBLIC_KEY) == 0)
            ask_curve(parser, bytes_view(&value));
        else if (strcmp(oid, OID_RSA_ENCRYPTION) == 0)
            ask_rsa_size(parser, bytes_view(&value));
        else if (strcmp(oid, OID_EXTENSION_REQUEST) == 0) {
            r = ask_extensions(parser, bytes_view(&value));
            if (r < 0)
                return r;
        }
    }
    return 0;
}

/* Servers were seen that send more: the rest is none of ours. All of `der` where no whole element begins it. */
static BytesView first_element(BytesView der) {
    BytesView content = der_content(der);
    size_t size = (size_t) (content.data - der.data) + content.size;

    return (BytesView) { der.data, size };
}

int csr_attributes_parse(BytesView der, CsrAttributes **ret, Failure *ret_failure) {
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = calloc(1, sizeof *attributes);
    _cleanup_asn1_ asn1_node node = NULL;

    if (!attributes)
        return failure_errno(ret_failure, -ENOMEM, "Reading /csrattrs");
    attributes->key_type = -1;
    Parser parser = { .attributes = attributes };
    int r = der.size > CSRATTRS_MAX ? -EBADMSG : decode("CsrAttrs", first_element(der), &node);
    if (r == -EBADMSG)
        return failure_set(ret_failure, r, FAILURE_ENROLLMENT_FAILED,
                           "expected the DER of CSR attributes (RFC 8951), but %zu other bytes came", der.size);
    if (r >= 0)
        r = parse_template(&parser, node);
    if (r == 0)
        r = parse_list(&parser, node);
    if (r < 0)
        return failure_errno(ret_failure, r, "Reading /csrattrs");
    *ret = TAKE_PTR(attributes);
    return 0;
}

/* ---- comparing with the request ---- */

static void crq_clear(gnutls_x509_crq_t *crq) {
    if (*crq)
        gnutls_x509_crq_deinit(*crq);
}

static bool subject_has(gnutls_x509_crq_t crq, const NameDemand *demand) {
    uint8_t value[1024];

    for (unsigned i = 0; i < CSRATTRS_ITEMS_MAX; i++) {
        size_t size = sizeof value;
        int r = gnutls_x509_crq_get_dn_by_oid(crq, demand->oid, i, 1, value, &size);
        if (r == GNUTLS_E_SHORT_MEMORY_BUFFER)
            continue;
        if (r < 0)
            return false;
        if (demand->value.size == 0 ||
            bytes_view_equal(der_content((BytesView) { value, size }), der_content(bytes_view(&demand->value))))
            return true;
    }
    return false;
}

/* For messages: bytes from the network, made harmless. */
static void describe_bytes(const char *kind, BytesView value, char ret[static DESCRIPTION_MAX]) {
    char excerpt[ANSWER_EXCERPT_MAX];

    answer_excerpt(value, excerpt);
    (void) snprintf(ret, DESCRIPTION_MAX, "%s%s%s", kind, value.size > 0 ? "=" : "", excerpt);
}

static void describe_rdn(const NameDemand *demand, char ret[static DESCRIPTION_MAX]) {
    const char *name = gnutls_x509_dn_oid_name(demand->oid, GNUTLS_X509_DN_OID_RETURN_OID);

    describe_bytes(name, demand->value.size > 0 ? der_content(bytes_view(&demand->value)) : (BytesView) { NULL, 0 },
                   ret);
}

/* RFC 5280 §4.2.1.6: the tag says which kind of name it is. */
static void describe_name(BytesView name, char ret[static DESCRIPTION_MAX]) {
    const char *kind = name.data[0] == 0x81   ? "a mail address"
                       : name.data[0] == 0x82 ? "a DNS name"
                       : name.data[0] == 0x86 ? "a URI"
                       : name.data[0] == 0x87 ? "an IP address"
                                              : "a name of another kind";
    bool text = name.data[0] == 0x81 || name.data[0] == 0x82 || name.data[0] == 0x86;

    describe_bytes(kind, text ? der_content(name) : (BytesView) { NULL, 0 }, ret);
}

/* RFC 9908 §3.4: an empty name, or an empty DN in a directoryName, is for the client to fill in. */
static bool name_is_open(BytesView name) {
    BytesView content = der_content(name);

    return content.size == 0 || (name.data[0] == 0xa4 && der_content(content).size == 0);
}

static bool names_have(asn1_node names, BytesView wanted) {
    unsigned number = count(names, "");

    for (unsigned i = 1; i <= number; i++) {
        _cleanup_bytes_ Bytes name = BYTES_NULL;
        char path[ASN1_PATH_MAX];

        (void) snprintf(path, sizeof path, "?%u", i);
        if (read_value(names, path, &name) < 0 || name.size == 0)
            continue;
        if (bytes_view_equal(bytes_view(&name), wanted) || (name_is_open(wanted) && name.data[0] == wanted.data[0]))
            return true;
    }
    return false;
}

static int check_names(BytesView demanded, BytesView present, Failure *ret_failure) {
    _cleanup_asn1_ asn1_node wanted = NULL;
    _cleanup_asn1_ asn1_node have = NULL;
    char text[DESCRIPTION_MAX];

    if (decode("GeneralNames", demanded, &wanted) < 0)
        return 0; /* not understood, or no value at all */
    if (decode("GeneralNames", present, &have) < 0)
        return failure_set(ret_failure, -EBADMSG, FAILURE_ENROLLMENT_FAILED,
                           "our request's SubjectAltName cannot be read");
    unsigned number = count(wanted, "");
    for (unsigned i = 1; i <= number; i++) {
        _cleanup_bytes_ Bytes name = BYTES_NULL;
        char path[ASN1_PATH_MAX];

        (void) snprintf(path, sizeof path, "?%u", i);
        if (read_value(wanted, path, &name) < 0 || name.size == 0 || names_have(have, bytes_view(&name)))
            continue;
        describe_name(bytes_view(&name), text);
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_ENROLLMENT_FAILED,
                           "the CA wants %s in the SubjectAltName, which this identity's request does not have; set "
                           "SubjectAltName= to what the CA wants, or correct the CA's profile",
                           text);
    }
    return 0;
}

static int check_alternative_names(const CsrAttributes *attributes, gnutls_x509_crq_t crq, Failure *ret_failure) {
    gnutls_datum_t names = { NULL, 0 };

    if (!attributes->wants_alternative_names)
        return 0;
    if (gnutls_x509_crq_get_extension_by_oid2(crq, OID_SUBJECT_ALT_NAME, 0, &names, NULL) < 0)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_ENROLLMENT_FAILED,
                           "the CA wants a SubjectAltName, which this identity's request does not have; set "
                           "SubjectAltName=");
    int r =
        check_names(bytes_view(&attributes->alternative_names), (BytesView) { names.data, names.size }, ret_failure);
    gnutls_free(names.data);
    return r;
}

int csr_attributes_check_request(const CsrAttributes *attributes, BytesView request, Failure *ret_failure) {
    _cleanup_(crq_clear) gnutls_x509_crq_t crq = NULL;

    if (gnutls_x509_crq_init(&crq) < 0)
        return failure_errno(ret_failure, -ENOMEM, "Reading our request");
    if (gnutls_x509_crq_import(crq, &(gnutls_datum_t) { (uint8_t *) request.data, (unsigned) request.size },
                               GNUTLS_X509_FMT_DER) < 0)
        return failure_set(ret_failure, -EBADMSG, FAILURE_ENROLLMENT_FAILED, "our request is not PKCS#10");

    for (size_t i = 0; i < attributes->subject_count; i++) {
        const NameDemand *demand = &attributes->subject[i];
        char text[DESCRIPTION_MAX];

        if (subject_has(crq, demand))
            continue;
        describe_rdn(demand, text);
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_ENROLLMENT_FAILED,
                           "the CA wants %s in the Subject, which this identity's request does not have; set Subject= "
                           "to what the CA wants, or "
                           "correct the CA's profile",
                           text);
    }
    return check_alternative_names(attributes, crq, ret_failure);
}
