/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DER has one way to write each value. Parsers that take others disagree about what was signed, so none gets in; GnuTLS
 * and libtasn1 take several. */
#include "pki/strict.h"

#include "pki/asn1.h"

#include <time.h>

#define DEPTH_MAX 32U /* of values in values; certificates need a dozen */

static bool header_is_shortest(const DerItem *item) {
    const uint8_t *data = item->whole.data;
    size_t header = (size_t) (item->content.data - data), tag = 1;

    if ((data[0] & 0x1f) == 0x1f) {
        if (item->tag < 0x1f || data[1] == 0x80)
            return false;
        while (tag < header && (data[tag] & 0x80))
            tag++;
        tag++;
    }
    if (tag >= header)
        return false;
    if (item->content.size < 0x80)
        return header == tag + 1;
    return header > tag + 1 && data[tag + 1] != 0 && (header > tag + 2 || data[tag + 1] >= 0x80);
}

static bool integer_is_shortest(BytesView content) {
    if (content.size == 0)
        return false;
    if (content.size == 1)
        return true;
    return !(content.data[0] == 0 && !(content.data[1] & 0x80)) && !(content.data[0] == 0xff && content.data[1] & 0x80);
}

static bool is_leap(int year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int number_at(BytesView text, size_t at, size_t digits) {
    int number = 0;

    for (size_t i = at; i < at + digits; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return -1;
        number = number * 10 + (text.data[i] - '0');
    }
    return number;
}

/* [YY]YYMMDDHHMMSSZ, a day that there is. */
static bool time_exists(BytesView text, bool utc) {
    static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    size_t digits = utc ? 2 : 4;

    if (text.size != digits + 11 || text.data[text.size - 1] != 'Z')
        return false;
    int year = number_at(text, 0, digits), month = number_at(text, digits, 2), day = number_at(text, digits + 2, 2),
        hour = number_at(text, digits + 4, 2), minute = number_at(text, digits + 6, 2),
        second = number_at(text, digits + 8, 2);
    if (year < 0 || month < 1 || month > 12 || day < 1 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
        second < 0 || second > 59)
        return false;
    if (utc)
        year += year < 50 ? 2000 : 1900;
    return day <= days[month - 1] + (month == 2 && is_leap(year));
}

/* The bits behind the last one are there to fill a byte, and are zeros. */
static bool bits_are_clean(BytesView content) {
    uint8_t unused = content.size > 0 ? content.data[0] : 8;

    return unused <= 7 && (content.size > 1 ? !(content.data[content.size - 1] & ((1U << unused) - 1)) : unused == 0);
}

/* Each number ends with a byte below 0x80, and does not begin with zeros, or one OID could be written as another. */
static bool oid_is_shortest(BytesView content) {
    bool begins = true;

    for (size_t i = 0; i < content.size; i++) {
        if (begins && content.data[i] == 0x80)
            return false;
        begins = !(content.data[i] & 0x80);
    }
    return content.size > 0 && begins;
}

/* SEQUENCE and SET are made of values, and so are two types that no certificate has; all others are whole. */
static bool form_fits_type(const DerItem *item) {
    bool is_structured = item->class & ASN1_CLASS_STRUCTURED,
         of_values = item->tag == ASN1_TAG_SEQUENCE || item->tag == ASN1_TAG_SET || item->tag == 8 || item->tag == 11;

    return (item->class & ~ASN1_CLASS_STRUCTURED) != ASN1_CLASS_UNIVERSAL ||
           (item->tag != 0 && is_structured == of_values);
}

static const char *fault_of_primitive(const DerItem *item) {
    if (item->class != ASN1_CLASS_UNIVERSAL)
        return NULL;
    switch (item->tag) {
    case ASN1_TAG_INTEGER:
    case ASN1_TAG_ENUMERATED:
        return integer_is_shortest(item->content) ? NULL : "an integer is not in its shortest form";
    case ASN1_TAG_BOOLEAN:
        return item->content.size == 1 && (item->content.data[0] == 0 || item->content.data[0] == 0xff)
                   ? NULL
                   : "a BOOLEAN is neither 00 nor FF";
    case ASN1_TAG_UTCTime:
        return time_exists(item->content, true) ? NULL : "a UTCTime is no time that exists, in the form YYMMDDHHMMSSZ";
    case ASN1_TAG_GENERALIZEDTime:
        return time_exists(item->content, false) ? NULL
                                                 : "a GeneralizedTime is no time that exists, in the form "
                                                   "YYYYMMDDHHMMSSZ";
    case ASN1_TAG_OBJECT_ID:
        return oid_is_shortest(item->content) ? NULL : "an OID is cut off or not in its shortest form";
    case ASN1_TAG_BIT_STRING:
        return bits_are_clean(item->content) ? NULL : "a BIT STRING has bits behind its last one";
    case ASN1_TAG_NULL:
        return item->content.size == 0 ? NULL : "a NULL has content";
    default:
        return NULL;
    }
}

static const char *fault_of(BytesView rest, unsigned depth) {
    DerItem item;
    int r;

    if (depth > DEPTH_MAX)
        return "its values are nested too deeply";
    while ((r = der_next(&rest, &item)) > 0) {
        if (!header_is_shortest(&item))
            return "a tag or length is not in its shortest form";
        if (!form_fits_type(&item))
            return "a string is in pieces, or a list is not made of values";
        const char *fault =
            item.class & ASN1_CLASS_STRUCTURED ? fault_of(item.content, depth + 1) : fault_of_primitive(&item);
        if (fault)
            return fault;
    }
    return r < 0 ? "a value does not fit into the one around it" : NULL;
}

bool der_is_strict(BytesView der, const char **ret_reason) {
    BytesView rest = der;
    DerItem item;
    const char *fault = der_next(&rest, &item) <= 0 || rest.size > 0 ? "it is not one value" : fault_of(der, 0);

    if (fault)
        *ret_reason = fault;
    return !fault;
}
