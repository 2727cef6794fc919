/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names are compared as RFC 5280 §7.1 has it as far as that can be told without tables of Unicode: text of printable
 * ASCII in PrintableString or UTF8String of an attribute of X.520, where the preparation of RFC 4518 comes to letter
 * case and spaces, or what is the same byte for byte. Whatever else might turn out to be the same is said to be
 * unclear. */
#include "pki/directory-name.h"

#include "pki/asn1.h"

#define ATTRIBUTES_MAX 16U /* of one RDN; with more it is unclear */

typedef struct Attribute {
    DerItem type, value;
} Attribute;

typedef struct Attributes {
    Attribute list[ATTRIBUTES_MAX];
    size_t count;
} Attributes;

/* ---- values ---- */

static bool has_tag(const DerItem *item, unsigned long tag) {
    return item->class == ASN1_CLASS_UNIVERSAL && item->tag == tag;
}

static bool is_directory_string(const DerItem *value) {
    return has_tag(value, ASN1_TAG_PRINTABLE_STRING) || has_tag(value, ASN1_TAG_UTF8_STRING);
}

static bool is_printable_ascii(BytesView text) {
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

/* The next character as RFC 4518 §2.6.1 leaves it: lower case, one space for several, none at the ends; 0 at the end.
 */
static uint8_t next_prepared(BytesView *text, bool is_first) {
    size_t spaces = 0;

    while (spaces < text->size && text->data[spaces] == ' ')
        spaces++;
    if (spaces > 0) {
        *text = (BytesView) { text->data + spaces, text->size - spaces };
        if (!is_first && text->size > 0)
            return ' ';
    }
    if (text->size == 0)
        return 0;
    uint8_t c = *text->data;
    *text = (BytesView) { text->data + 1, text->size - 1 };
    return c >= 'A' && c <= 'Z' ? (uint8_t) (c - 'A' + 'a') : c;
}

static bool same_prepared(BytesView a, BytesView b) {
    bool is_first = true;

    for (;; is_first = false) {
        uint8_t one = next_prepared(&a, is_first), other = next_prepared(&b, is_first);
        if (one != other)
            return false;
        if (one == 0)
            return true;
    }
}

/* Of X.520, whose texts are all compared without regard to letter case. */
static bool is_of_the_directory(const DerItem *type) {
    return type->content.size == 3 && type->content.data[0] == 0x55 && type->content.data[1] == 0x04;
}

static NameMatch match_values(const Attribute *one, const Attribute *other) {
    const DerItem *a = &one->value, *b = &other->value;

    if (bytes_view_equal(a->whole, b->whole))
        return NAME_MATCHES;
    bool both_text = (is_directory_string(a) || has_tag(a, ASN1_TAG_IA5_STRING)) &&
                     (is_directory_string(b) || has_tag(b, ASN1_TAG_IA5_STRING));
    if (!both_text || !is_printable_ascii(a->content) || !is_printable_ascii(b->content))
        return NAME_UNCLEAR;
    if (!same_prepared(a->content, b->content))
        return NAME_DIFFERS;
    /* IA5String may be mail, whose letter case counts, or a domain, where it does not. */
    return is_of_the_directory(&one->type) && is_directory_string(a) && is_directory_string(b) ? NAME_MATCHES
                                                                                               : NAME_UNCLEAR;
}

/* ---- RDNs ---- */

static NameMatch match_attributes(const Attribute *a, const Attribute *b) {
    return bytes_view_equal(a->type.whole, b->type.whole) ? match_values(a, b) : NAME_DIFFERS;
}

/* RelativeDistinguishedName ::= SET OF SEQUENCE { type OBJECT IDENTIFIER, value ANY } */
static int read_attributes(const DerItem *rdn, Attributes *ret) {
    BytesView rest = rdn->content;
    DerItem item, extra;
    int r;

    if (rdn->class != (ASN1_CLASS_UNIVERSAL | ASN1_CLASS_STRUCTURED) || rdn->tag != ASN1_TAG_SET)
        return -EBADMSG;
    for (ret->count = 0; (r = der_next(&rest, &item)) > 0; ret->count++) {
        if (ret->count == ATTRIBUTES_MAX)
            return -E2BIG;
        Attribute *attribute = &ret->list[ret->count];
        if (!der_is_sequence(&item) || der_next(&item.content, &attribute->type) <= 0 ||
            !has_tag(&attribute->type, ASN1_TAG_OBJECT_ID) || der_next(&item.content, &attribute->value) <= 0 ||
            der_next(&item.content, &extra) != 0)
            return -EBADMSG;
    }
    return r < 0 ? r : ret->count > 0 ? 0 : -EBADMSG;
}

/* How well the one of `list` that fits best matches. */
static NameMatch best_match(const Attribute *attribute, const Attributes *list) {
    NameMatch best = NAME_DIFFERS;

    for (size_t i = 0; i < list->count; i++) {
        NameMatch match = match_attributes(attribute, &list->list[i]);
        if (match > best)
            best = match;
    }
    return best;
}

/* As many attributes, and each has its like on the other side; their order is the encoding's, not the name's. */
static NameMatch match_rdns(const DerItem *a, const DerItem *b) {
    Attributes one, other;
    NameMatch worst = NAME_MATCHES;

    if (bytes_view_equal(a->whole, b->whole))
        return NAME_MATCHES;
    if (read_attributes(a, &one) < 0 || read_attributes(b, &other) < 0)
        return NAME_UNCLEAR;
    if (one.count != other.count)
        return NAME_DIFFERS;
    for (size_t i = 0; i < one.count; i++) {
        NameMatch there = best_match(&one.list[i], &other), back = best_match(&other.list[i], &one);
        NameMatch match = there < back ? there : back;
        if (match < worst)
            worst = match;
    }
    return worst;
}

NameMatch name_is_below(BytesView name, BytesView base) {
    BytesView name_rest, base_rest;
    NameMatch worst = NAME_MATCHES;
    DerItem one, other;
    int r;

    if (der_open_sequence(name, &name_rest) < 0 || der_open_sequence(base, &base_rest) < 0)
        return NAME_UNCLEAR;
    while ((r = der_next(&base_rest, &other)) > 0) {
        r = der_next(&name_rest, &one);
        if (r <= 0)
            return r < 0 ? NAME_UNCLEAR : NAME_DIFFERS;
        NameMatch match = match_rdns(&one, &other);
        if (match < worst)
            worst = match;
    }
    return r < 0 ? NAME_UNCLEAR : worst;
}
