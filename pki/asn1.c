/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libtasn1 made safe to use. Only strict DER gets in, and nothing is read past a length that was checked. */
#include "pki/asn1.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#undef HAVE_CONFIG_H
#define HAVE_CONFIG_H 0 /* the table asks with #if */
#include "pki/pki-asn1.h"

#define TYPE_NAME_MAX 64U /* with the NUL */

static int asn1_errno(int code) {
    if (code == ASN1_SUCCESS)
        return 0;
    if (code == ASN1_ELEMENT_NOT_FOUND || code == ASN1_VALUE_NOT_FOUND)
        return -ENOENT;
    if (code == ASN1_MEM_ALLOC_ERROR)
        return -ENOMEM;
    return -EBADMSG;
}

static const char *full_name(const char *type, char buffer[static TYPE_NAME_MAX]) {
    int n = snprintf(buffer, TYPE_NAME_MAX, "PKI.%s", type);

    assert(n > 0 && (size_t) n < TYPE_NAME_MAX);
    return buffer;
}

int asn1_create(const char *type, asn1_node *ret) {
    char name[TYPE_NAME_MAX];

    return asn1_tree_new(pki_asn1_table, full_name(type, name), ret);
}

int asn1_decode(const char *type, BytesView der, asn1_node *ret) {
    char name[TYPE_NAME_MAX];

    return asn1_tree_decode(pki_asn1_table, full_name(type, name), der, ret);
}

int asn1_encode(asn1_node node, Bytes *ret) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    int size = 0, code;

    code = asn1_der_coding(node, "", NULL, &size, NULL);
    if (code != ASN1_MEM_ERROR || size <= 0)
        return code == ASN1_MEM_ALLOC_ERROR ? -ENOMEM : -EINVAL;
    der.data = malloc((size_t) size + 1);
    if (!der.data)
        return -ENOMEM;
    code = asn1_der_coding(node, "", der.data, &size, NULL);
    if (code != ASN1_SUCCESS)
        return code == ASN1_MEM_ALLOC_ERROR ? -ENOMEM : -EINVAL;
    der.size = (size_t) size;
    der.data[der.size] = 0;
    *ret = der;
    der = BYTES_NULL;
    return 0;
}

int asn1_slice(asn1_node node, BytesView der, const char *field, BytesView *ret) {
    int start, end, code;

    code = asn1_der_decoding_startEnd(node, der.data, (int) der.size, field, &start, &end);
    if (code != ASN1_SUCCESS)
        return asn1_errno(code);
    if (start < 0 || end < start || (size_t) end >= der.size)
        return -ENOENT; /* how libtasn1 says that an optional field was not there */
    *ret = (BytesView) { der.data + start, (size_t) (end - start) + 1 };
    return 0;
}

int asn1_value(asn1_node node, const char *field, Bytes *ret) {
    _cleanup_bytes_ Bytes value = BYTES_NULL;
    unsigned type;
    int size = 0, code;

    code = asn1_read_value_type(node, field, NULL, &size, &type);
    if (code == ASN1_SUCCESS)
        size = 0;
    else if (code != ASN1_MEM_ERROR)
        return asn1_errno(code);
    int capacity = size;
    value.data = malloc((size_t) capacity + 1);
    if (!value.data)
        return -ENOMEM;
    if (capacity > 0) {
        code = asn1_read_value_type(node, field, value.data, &size, &type);
        if (code != ASN1_SUCCESS)
            return asn1_errno(code);
    }
    if (type == ASN1_ETYPE_BIT_STRING) { /* counted in bits */
        if (size % 8 != 0)
            return -EBADMSG;
        size /= 8;
    }
    if (size < 0 || size > capacity)
        return -EBADMSG;
    value.size = (size_t) size;
    value.data[value.size] = 0;
    *ret = value;
    value = BYTES_NULL;
    return 0;
}

int asn1_oid(asn1_node node, const char *field, char ret[static ASN1_OID_MAX]) {
    char oid[ASN1_OID_MAX];
    int size = sizeof(oid), code;

    code = asn1_read_value(node, field, oid, &size);
    if (code == ASN1_MEM_ERROR)
        return -EBADMSG;
    if (code != ASN1_SUCCESS)
        return asn1_errno(code);
    memcpy(ret, oid, sizeof(oid));
    ret[ASN1_OID_MAX - 1] = 0;
    return 0;
}

int asn1_boolean(asn1_node node, const char *field, bool *ret) {
    char text[8];
    int size = sizeof(text), code;

    code = asn1_read_value(node, field, text, &size);
    if (code == ASN1_VALUE_NOT_FOUND || code == ASN1_ELEMENT_NOT_FOUND) {
        *ret = false;
        return 0;
    }
    if (code != ASN1_SUCCESS)
        return -EBADMSG;
    *ret = strcmp(text, "TRUE") == 0;
    return 0;
}

int asn1_count(asn1_node node, const char *field, size_t *ret) {
    int count = 0, r;

    r = asn1_errno(asn1_number_of_elements(node, field, &count));
    if (r < 0)
        return r;
    *ret = (size_t) count;
    return 0;
}

static int two_digits(const char *text) {
    if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
        return -1;
    return (text[0] - '0') * 10 + (text[1] - '0');
}

/* [YY]YYMMDDHHMMSSZ and nothing else: RFC 5280 allows neither fractions nor offsets. */
static int parse_time(const char *text, bool utc, int64_t *ret) {
    size_t length = strlen(text), skip = utc ? 2 : 4;
    int part[7], year;
    struct tm tm = { 0 };

    if (length != (utc ? 13 : 15) || text[length - 1] != 'Z')
        return -EBADMSG;
    for (size_t i = 0; i < length / 2; i++) {
        part[i] = two_digits(text + 2 * i);
        if (part[i] < 0)
            return -EBADMSG;
    }
    year = utc ? part[0] + (part[0] < 50 ? 2000 : 1900) : part[0] * 100 + part[1];
    const int *rest = part + skip / 2;
    tm.tm_year = year - 1900;
    tm.tm_mon = rest[0] - 1;
    tm.tm_mday = rest[1];
    tm.tm_hour = rest[2];
    tm.tm_min = rest[3];
    tm.tm_sec = rest[4];
    if (rest[0] < 1 || rest[0] > 12 || rest[1] < 1 || rest[1] > 31 || rest[2] > 23 || rest[3] > 59 || rest[4] > 60)
        return -EBADMSG;
    int64_t when = (int64_t) timegm(&tm);
    if (tm.tm_mday != rest[1] || tm.tm_sec != rest[4]) /* made into another day or minute: there is none such */
        return -EBADMSG;
    *ret = when;
    return 0;
}

static int write_errno(int code) {
    return code == ASN1_SUCCESS ? 0 : code == ASN1_MEM_ALLOC_ERROR ? -ENOMEM : -EINVAL;
}

int asn1_write(asn1_node node, const char *field, BytesView value) {
    if (value.size > INT_MAX)
        return -EINVAL;
    return write_errno(asn1_write_value(node, field, value.data, (int) value.size));
}

int asn1_write_text(asn1_node node, const char *field, const char *value) {
    return write_errno(asn1_write_value(node, field, value, 1));
}

int asn1_write_bits(asn1_node node, const char *field, BytesView value) {
    if (value.size > INT_MAX / 8)
        return -EINVAL;
    return write_errno(asn1_write_value(node, field, value.data, (int) value.size * 8));
}

int asn1_sequence(const BytesView *elements, size_t count, Bytes *ret) {
    _cleanup_asn1_ asn1_node node = NULL;
    int r;

    r = asn1_create("SequenceOfAny", &node);
    if (r < 0)
        return r;
    for (size_t i = 0; i < count; i++) {
        r = asn1_write_text(node, "", "NEW");
        if (r < 0)
            return r;
        r = asn1_write(node, "?LAST", elements[i]);
        if (r < 0)
            return r;
    }
    return asn1_encode(node, ret);
}

int der_next(BytesView *rest, DerItem *ret) {
    DerItem item;
    int tag_length, length_length;
    long length;

    if (rest->size == 0)
        return 0;
    if (rest->size > INT_MAX)
        return -EBADMSG;
    if (asn1_get_tag_der(rest->data, (int) rest->size, &item.class, &tag_length, &item.tag) != ASN1_SUCCESS)
        return -EBADMSG;
    length = asn1_get_length_der(rest->data + tag_length, (int) rest->size - tag_length, &length_length);
    if (length < 0)
        return -EBADMSG;
    size_t header = (size_t) tag_length + (size_t) length_length;
    if (header > rest->size || (size_t) length > rest->size - header)
        return -EBADMSG;
    item.whole = (BytesView) { rest->data, header + (size_t) length };
    item.content = (BytesView) { rest->data + header, (size_t) length };
    rest->data += item.whole.size;
    rest->size -= item.whole.size;
    *ret = item;
    return 1;
}

bool der_is(const DerItem *item, unsigned long tag) {
    return item->class == ASN1_CLASS_UNIVERSAL && item->tag == tag;
}

int der_time(const DerItem *item, int64_t *ret) {
    char text[16] = { 0 };

    if ((!der_is(item, ASN1_TAG_UTCTime) && !der_is(item, ASN1_TAG_GENERALIZEDTime)) ||
        item->content.size >= sizeof text || memchr(item->content.data, 0, item->content.size))
        return -EBADMSG;
    memcpy(text, item->content.data, item->content.size);
    return parse_time(text, item->tag == ASN1_TAG_UTCTime, ret);
}

BytesView der_oid(const char *dotted, uint8_t buffer[static DER_OID_MAX]) {
    size_t size = 0;
    unsigned long first = strtoul(dotted, (char **) &dotted, 10);

    for (bool is_second = true; *dotted == '.'; is_second = false) {
        unsigned long arc = strtoul(dotted + 1, (char **) &dotted, 10) + (is_second ? 40 * first : 0);
        unsigned digits = 1;
        for (unsigned long rest = arc >> 7; rest > 0; rest >>= 7)
            digits++;
        assert(size + digits <= DER_OID_MAX);
        while (digits-- > 0)
            buffer[size++] = (uint8_t) ((arc >> (7 * digits) & 0x7f) | (digits > 0 ? 0x80 : 0));
    }
    return (BytesView) { buffer, size };
}

bool der_is_sequence(const DerItem *item) {
    return item->class == (ASN1_CLASS_UNIVERSAL | ASN1_CLASS_STRUCTURED) && item->tag == ASN1_TAG_SEQUENCE;
}

int der_open_sequence(BytesView der, BytesView *ret_content) {
    DerItem item;

    if (der_next(&der, &item) <= 0 || der.size > 0 || !der_is_sequence(&item))
        return -EBADMSG;
    *ret_content = item.content;
    return 0;
}
