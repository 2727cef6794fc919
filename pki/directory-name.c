/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names as RFC 5280 §7.1 compares them: by the characters of their texts and not by the string types, without regard to
 * letter case and spaces where the attribute has none. Two answers: whether one is below another, which may be unclear
 * (name constraints); and a form that is the same for names that are (chains, requests, CRLs), where what is unclear
 * must be the same in each character. */
#include "pki/directory-name.h"

#include "pki/asn1.h"
#include "pki/form.h"
#include "pki/name-text.h"

#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

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

/* Types whose texts are compared without regard to letter case: X.520's, and emailAddress, domainComponent and userid
 * (RFC 5280 §4.1.2.6 and §7.3, RFC 4519). */
static bool ignores_case(const DerItem *type) {
    static const uint8_t email[] = { 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01 },
                         component[] = { 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19 },
                         user[] = { 0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01 };
    BytesView oid = type->content;

    return (oid.size == 3 && oid.data[0] == 0x55 && oid.data[1] == 0x04) ||
           bytes_view_equal(oid, (BytesView) { email, sizeof(email) }) ||
           bytes_view_equal(oid, (BytesView) { component, sizeof(component) }) ||
           bytes_view_equal(oid, (BytesView) { user, sizeof(user) });
}

static int open_text(const Attribute *attribute, bool folds, NameText *ret, NameTextClarity *ret_clarity) {
    if (attribute->value.class != ASN1_CLASS_UNIVERSAL)
        return -EBADMSG;
    return name_text_open(attribute->value.tag, attribute->value.content, folds, ret, ret_clarity);
}

static bool same_texts(NameText a, NameText b) {
    uint32_t one = 0, other = 0;
    int r;

    while ((r = name_text_next(&a, &one)) == name_text_next(&b, &other)) {
        if (r == 0)
            return true;
        if (one != other)
            return false;
    }
    return false;
}

static NameMatch match_values(const Attribute *one, const Attribute *other) {
    NameTextClarity one_is, other_is;
    NameText a, b;

    if (bytes_view_equal(one->value.whole, other->value.whole))
        return NAME_MATCHES;
    if (open_text(one, true, &a, &one_is) < 0 || open_text(other, true, &b, &other_is) < 0)
        return NAME_UNCLEAR;
    if (!same_texts(a, b))
        return one_is == NAME_TEXT_CLEAR && other_is == NAME_TEXT_CLEAR ? NAME_DIFFERS : NAME_UNCLEAR;
    return ignores_case(&one->type) && one_is != NAME_TEXT_AMBIGUOUS && other_is != NAME_TEXT_AMBIGUOUS ? NAME_MATCHES
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

/* ---- the form that is the same ---- */

/* How a value is written: what it is compared by. */
enum { FORM_BYTES, FORM_EXACT_TEXT, FORM_FOLDED_TEXT };
/* How a name is: one that is malformed is compared as a whole. */
enum { FORM_MALFORMED, FORM_NAME };

static int append_text(Bytes *bytes, NameText text) {
    _cleanup_free_ uint32_t *characters = calloc(text.rest.size + 1, sizeof(*characters));
    size_t count = 0;

    if (!characters)
        return -ENOMEM;
    while (name_text_next(&text, &characters[count]) > 0)
        count++;
    return bytes_append(bytes, (BytesView) { (const uint8_t *) characters, count * sizeof(*characters) });
}

static int append_attribute(Bytes *bytes, const Attribute *attribute) {
    bool folds = ignores_case(&attribute->type);
    NameTextClarity clarity;
    NameText text = { 0 };
    uint8_t form = folds ? FORM_FOLDED_TEXT : FORM_EXACT_TEXT;

    if (open_text(attribute, folds, &text, &clarity) < 0)
        form = FORM_BYTES;
    int r = form_append_counted(bytes, attribute->type.content);
    if (r >= 0)
        r = bytes_append(bytes, (BytesView) { &form, 1 });
    if (r >= 0)
        r = form == FORM_BYTES ? bytes_append(bytes, attribute->value.whole) : append_text(bytes, text);
    return r;
}

/* The order of attributes is the encoding's, not the name's. */
static int append_rdn(Bytes *bytes, const Attributes *attributes) {
    Bytes forms[ATTRIBUTES_MAX] = { 0 };
    int r = form_append_number(bytes, attributes->count);

    for (size_t i = 0; r >= 0 && i < attributes->count; i++)
        r = append_attribute(&forms[i], &attributes->list[i]);
    if (r >= 0)
        qsort(forms, attributes->count, sizeof(forms[0]), form_compare);
    for (size_t i = 0; i < attributes->count; i++) {
        if (r >= 0)
            r = form_append_counted(bytes, bytes_view(&forms[i]));
        bytes_clear(&forms[i]);
    }
    return r;
}

/* 0, -ENOMEM, -EBADMSG or -E2BIG. */
static int append_name(Bytes *bytes, BytesView name) {
    Attributes attributes;
    BytesView rest;
    DerItem rdn;
    int r = der_open_sequence(name, &rest);

    while (r >= 0 && (r = der_next(&rest, &rdn)) > 0) {
        r = read_attributes(&rdn, &attributes);
        if (r >= 0)
            r = append_rdn(bytes, &attributes);
    }
    return r;
}

int name_form(BytesView name, Bytes *ret) {
    _cleanup_bytes_ Bytes form = BYTES_NULL;
    uint8_t kind = FORM_NAME;
    int r = bytes_append(&form, (BytesView) { &kind, 1 });

    if (r >= 0)
        r = append_name(&form, name);
    if (r == -EBADMSG || r == -E2BIG) {
        bytes_clear(&form);
        kind = FORM_MALFORMED;
        r = bytes_append(&form, (BytesView) { &kind, 1 });
        if (r >= 0)
            r = bytes_append(&form, name);
    }
    if (r < 0)
        return r;
    *ret = form;
    form = BYTES_NULL;
    return 0;
}

/* ---- text ---- */

int name_to_text(BytesView raw, char **ret) {
    _cleanup_datum_ gnutls_datum_t text = { 0 };
    _cleanup_free_ char *hex = NULL;
    gnutls_datum_t datum = datum_from_view(raw);
    gnutls_x509_dn_t dn;
    char *copy = NULL;
    int r;

    if (raw.size == 2) {
        copy = strdup("");
    } else {
        if (gnutls_x509_dn_init(&dn) < 0)
            return -ENOMEM;
        r = gnutls_x509_dn_import(dn, &datum);
        if (r >= 0)
            r = gnutls_x509_dn_get_str2(dn, &text, 0);
        gnutls_x509_dn_deinit(dn);
        if (r >= 0 && text.data && strlen((const char *) text.data) == text.size) {
            copy = strdup((const char *) text.data);
        } else {
            hex = bytes_to_hex(raw);
            if (!hex || asprintf(&copy, "#%s", hex) < 0)
                return -ENOMEM;
        }
    }
    if (!copy)
        return -ENOMEM;
    *ret = copy;
    return 0;
}
