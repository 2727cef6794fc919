/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 4514 to DER. GnuTLS's own reader knows no byte escapes, takes the comma behind an escaped backslash for an
 * escaped comma and leaves a comma at the end out; so the text is taken apart here, and GnuTLS is given attribute by
 * attribute what is to stand there. It is asked which names mean which OID, and how each is encoded. */
#include "common/distinguished-name.h"

#include "common/oid.h"
#include "common/text.h"

#include <gnutls/x509.h>
#include <libtasn1.h>
#include <stdio.h>
#include <string.h>

#define INVALID(...) failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, __VA_ARGS__)

#define ATTRIBUTES_MAX 32U
#define TYPE_MAX       63U /* of an attribute's name */

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS  "0123456789"

typedef struct Attribute {
    char oid[OID_TEXT_MAX + 1];
    bool is_der;
    uint8_t value[DISTINGUISHED_NAME_MAX];
    size_t size;
} Attribute;

/* RFC 5280 appendix A.1: what a CA that keeps to it would refuse. Characters. */
static const struct {
    const char *oid;
    size_t minimum, maximum;
} bounds[] = {
    { GNUTLS_OID_X520_COMMON_NAME, 1, 64 },
    { "2.5.4.5", 1, 64 }, /* serialNumber */
    { GNUTLS_OID_X520_COUNTRY_NAME, 2, 2 },
    { GNUTLS_OID_X520_LOCALITY_NAME, 1, 128 },
    { GNUTLS_OID_X520_STATE_OR_PROVINCE_NAME, 1, 128 },
    { GNUTLS_OID_X520_ORGANIZATION_NAME, 1, 64 },
    { GNUTLS_OID_X520_ORGANIZATIONAL_UNIT_NAME, 1, 64 },
    { GNUTLS_OID_X520_TITLE, 1, 64 },
};

/* ---- reading ---- */

static int hex_digit(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* GnuTLS tells no OID of a name but in a name that it has read. "XX" is a value that each of them may have. */
static int oid_of_name(const char *name, char ret[static OID_TEXT_MAX + 1]) {
    gnutls_x509_dn_t dn;
    gnutls_x509_ava_st found;
    char text[TYPE_MAX + sizeof("=XX")];
    int r = -ENOENT;

    if (gnutls_x509_dn_init(&dn) < 0)
        return -ENOMEM;
    (void) snprintf(text, sizeof(text), "%s=XX", name);
    if (gnutls_x509_dn_set_str(dn, text, NULL) >= 0 && gnutls_x509_dn_get_rdn_ava(dn, 0, 0, &found) >= 0 &&
        found.oid.size <= OID_TEXT_MAX) {
        memcpy(ret, found.oid.data, found.oid.size);
        ret[found.oid.size] = 0;
        r = 0;
    }
    gnutls_x509_dn_deinit(dn);
    return r;
}

/* Up to and with the '='. */
static int read_type(const char **text, Attribute *attribute, Failure *ret_failure) {
    const char *begin = *text + strspn(*text, " ");
    size_t length = strspn(begin, LETTERS DIGITS "-."), blank = strspn(begin + length, " ");
    char name[TYPE_MAX + 1];

    if (begin[length + blank] != '=')
        return begin[length + blank] == 0 && length == 0
                   ? INVALID("it ends where another part is expected: take out the last comma")
                   : INVALID("a part begins with an attribute and '=', which \"%.40s\" does not", begin);
    *text = begin + length + blank + 1;
    if (length > 0 && strchr(DIGITS, begin[0])) {
        if (!oid_is_valid(begin, length))
            return INVALID("\"%.*s\" is no object identifier", (int) length, begin);
        memcpy(attribute->oid, begin, length);
        attribute->oid[length] = 0;
        return 0;
    }
    if (length == 0 || length > TYPE_MAX)
        return INVALID("there is no attribute before the '=' in \"%.40s\"", begin);
    memcpy(name, begin, length);
    name[length] = 0;
    int r = oid_of_name(name, attribute->oid);
    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "reading a distinguished name");
    return r < 0 ? INVALID("\"%s\" is no attribute that is known here: its object identifier can stand there", name)
                 : 0;
}

/* `#` and the encoding of one string (RFC 4514 §2.4), in primitive form. */
static int read_der(const char **text, Attribute *attribute, Failure *ret_failure) {
    static const unsigned long strings[] = {
        ASN1_TAG_OCTET_STRING,   ASN1_TAG_UTF8_STRING, ASN1_TAG_NUMERIC_STRING,   ASN1_TAG_PRINTABLE_STRING,
        ASN1_TAG_TELETEX_STRING, ASN1_TAG_IA5_STRING,  ASN1_TAG_UNIVERSAL_STRING, ASN1_TAG_BMP_STRING,
    };
    const char *begin = *text, *next = begin + 1;
    unsigned char class;
    unsigned long tag;
    int high, low, tag_size, length_size;
    bool known = false;

    for (; (high = hex_digit(next[0])) >= 0 && (low = hex_digit(next[1])) >= 0; next += 2)
        attribute->value[attribute->size++] = (uint8_t) (high * 16 + low);
    next += strspn(next, " ");
    if (*next && *next != ',')
        return INVALID(
            "\"%.40s\" is no even number of hexadecimal digits; a value that begins with '#' is written '\\#'", begin);
    *text = next;
    attribute->is_der = true;
    int size = (int) attribute->size;
    if (asn1_get_tag_der(attribute->value, size, &class, &tag_size, &tag) == ASN1_SUCCESS &&
        class == ASN1_CLASS_UNIVERSAL)
        for (size_t i = 0; i < ARRAY_LENGTH(strings); i++)
            known = known || tag == strings[i];
    long length = known ? asn1_get_length_der(attribute->value + tag_size, size - tag_size, &length_size) : -1;
    if (length <= 0 || tag_size + length_size + length != size)
        return INVALID("\"%.40s\" is not the DER of one string", begin);
    return 0;
}

/* What a backslash begins. */
static int read_escape(const char **text, uint8_t *ret, Failure *ret_failure) {
    const char *at = *text;
    int high = hex_digit(at[1]), low = high < 0 ? -1 : hex_digit(at[2]);

    if (low >= 0) {
        *ret = (uint8_t) (high * 16 + low);
        *text += 3;
    } else if (at[1] && strchr(",+\"\\<>;#= ", at[1])) {
        *ret = (uint8_t) at[1];
        *text += 2;
    } else
        return INVALID(
            "\"%.3s\" is no escape: behind a backslash stands one of ',+\"\\<>;#= ' or two hexadecimal digits", at);
    return 0;
}

static int read_value(const char **text, Attribute *attribute, Failure *ret_failure) {
    const char *begin = *text + strspn(*text, " "), *next = begin;
    size_t size = 0;

    if (*next == '#') {
        *text = next;
        return read_der(text, attribute, ret_failure);
    }
    while (*next && *next != ',') {
        uint8_t byte = (uint8_t) *next;
        bool escaped = byte == '\\';
        if (byte == '+')
            return INVALID("a '+' is written as '\\+': there is one value for each part");
        if (strchr("\"<>;", *next))
            return INVALID("a '%c' is written as '\\%c'", *next, *next);
        int r = escaped ? read_escape(&next, &byte, ret_failure) : (next++, 0);
        if (r < 0)
            return r;
        attribute->value[size++] = byte;
        if (escaped || byte != ' ') /* spaces at the end do not count, unless they are escaped */
            attribute->size = size;
    }
    *text = next;
    if (attribute->size == 0)
        return INVALID("a part has no value");
    if (!text_is_clean((const char *) attribute->value, attribute->size))
        return INVALID("the value \"%.40s\" has a control character, or is no UTF-8", begin);
    if (!gnutls_x509_dn_oid_known(attribute->oid))
        return INVALID("how a value of %s is encoded is not known here: write it as '#' and its DER in hexadecimal",
                       attribute->oid);
    return 0;
}

/* ---- writing ---- */

static size_t characters(const gnutls_x509_ava_st *value) {
    size_t count = 0;

    for (unsigned i = 0; i < value->value.size; i++)
        count += value->value_tag != ASN1_TAG_UTF8_STRING || (value->value.data[i] & 0xc0) != 0x80;
    return count;
}

static int check_value(const gnutls_x509_ava_st *value, Failure *ret_failure) {
    const char *oid = (const char *) value->oid.data,
               *name = gnutls_x509_dn_oid_name(oid, GNUTLS_X509_DN_OID_RETURN_OID);
    const char *text = (const char *) value->value.data;
    int size = (int) value->value.size;

    if (value->value_tag == ASN1_TAG_OCTET_STRING || value->value_tag == ASN1_TAG_BMP_STRING ||
        value->value_tag == ASN1_TAG_UNIVERSAL_STRING || value->value_tag == ASN1_TAG_TELETEX_STRING)
        return 0;
    if (!text_is_clean(text, value->value.size))
        return INVALID("the value of %s has a control character, or is no UTF-8", name);
    for (int i = 0; i < size; i++) {
        bool printable = strchr(LETTERS DIGITS " '()+,-./:=?", text[i]);
        if (value->value_tag == ASN1_TAG_PRINTABLE_STRING && !printable)
            return INVALID("%s may have only letters, digits, spaces and '()+,-./:=? in it, not \"%.*s\"", name, size,
                           text);
        if ((value->value_tag == ASN1_TAG_IA5_STRING && (text[i] & 0x80)) ||
            (value->value_tag == ASN1_TAG_NUMERIC_STRING && !strchr(DIGITS " ", text[i])))
            return INVALID("%s may not have \"%.*s\" as its value", name, size, text);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++)
        if (strcmp(oid, bounds[i].oid) == 0 &&
            (characters(value) < bounds[i].minimum || characters(value) > bounds[i].maximum))
            return INVALID("%s would have %zu characters; a certificate allows %zu", name, characters(value),
                           bounds[i].maximum);
    return 0;
}

/* The last part of the text comes first in DER (RFC 4514 §2.1). */
static int encode(const Attribute *attributes, size_t count, gnutls_x509_crt_t bearer, Bytes *ret,
                  Failure *ret_failure) {
    gnutls_datum_t der = { 0 };
    gnutls_x509_ava_st value;
    gnutls_x509_dn_t dn;
    int r;

    for (size_t i = count; i-- > 0;) {
        const Attribute *attribute = &attributes[i];
        r = gnutls_x509_crt_set_dn_by_oid(bearer, attribute->oid, attribute->is_der, attribute->value,
                                          (unsigned) attribute->size);
        if (r < 0)
            return INVALID("the value of %s cannot be encoded: %s", attribute->oid, gnutls_strerror(r));
    }
    if (gnutls_x509_crt_get_subject(bearer, &dn) < 0)
        return failure_errno(ret_failure, -ENOMEM, "encoding a distinguished name");
    for (size_t i = 0; i < count; i++) {
        r = gnutls_x509_dn_get_rdn_ava(dn, (int) i, 0, &value);
        if (r < 0)
            return INVALID("it cannot be encoded: %s", gnutls_strerror(r));
        r = check_value(&value, ret_failure);
        if (r < 0)
            return r;
    }
    r = gnutls_x509_dn_export2(dn, GNUTLS_X509_FMT_DER, &der);
    if (r < 0)
        return INVALID("it cannot be encoded: %s", gnutls_strerror(r));
    r = bytes_copy((BytesView) { der.data, der.size }, ret);
    gnutls_free(der.data);
    return r < 0 ? failure_errno(ret_failure, r, "encoding a distinguished name") : 0;
}

static void bearer_deinit_p(gnutls_x509_crt_t *bearer) {
    if (*bearer)
        gnutls_x509_crt_deinit(*bearer);
}

int distinguished_name_encode(const char *text, Bytes *ret_der, Failure *ret_failure) {
    static const uint8_t none[] = { ASN1_TAG_SEQUENCE | ASN1_CLASS_STRUCTURED, 0 };
    _cleanup_(bearer_deinit_p) gnutls_x509_crt_t bearer = NULL; /* of which only the subject is ever looked at */
    _cleanup_free_ Attribute *attributes = NULL;
    size_t count = 0;
    int r;

    if (strlen(text) > DISTINGUISHED_NAME_MAX)
        return INVALID("it has %zu bytes, more than %u", strlen(text), DISTINGUISHED_NAME_MAX);
    if (!text[0])
        return bytes_copy((BytesView) { none, sizeof(none) }, ret_der);
    attributes = calloc(ATTRIBUTES_MAX, sizeof(*attributes));
    if (!attributes || gnutls_x509_crt_init(&bearer) < 0)
        return failure_errno(ret_failure, -ENOMEM, "encoding a distinguished name");
    for (;; text++) {
        if (count == ATTRIBUTES_MAX)
            return INVALID("it has more than %u parts", ATTRIBUTES_MAX);
        r = read_type(&text, &attributes[count], ret_failure);
        if (r >= 0)
            r = read_value(&text, &attributes[count], ret_failure);
        if (r < 0)
            return r;
        count++;
        if (!*text)
            break;
    }
    return encode(attributes, count, bearer, ret_der, ret_failure);
}
