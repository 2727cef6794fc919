/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RFC 4518 as far as it goes without tables of Unicode: characters out of five string types; the letter case of ASCII,
 * Latin-1, Greek and Cyrillic; spaces. What this makes equal, RFC 4518 makes equal as well. What it leaves different
 * may be equal only in texts with other characters, and those are called unclear. */
#include "pki/name-text.h"

#include "pki/asn1.h"

#include <errno.h>

static bool is_between(uint32_t c, uint32_t first, uint32_t last) {
    return c >= first && c <= last;
}

/* One of UTF-8, in its shortest form. 1, or -EBADMSG. */
static int read_utf8(BytesView *rest, uint32_t *ret) {
    static const uint32_t least[] = { 0, 0x80, 0x800, 0x10000 };
    uint8_t first = rest->data[0];
    size_t more = first < 0x80 ? 0 : is_between(first, 0xc2, 0xdf) ? 1 : is_between(first, 0xe0, 0xef) ? 2 : 3;
    uint32_t c = more == 0 ? first : first & (0x3fU >> more);

    if ((more == 3 && !is_between(first, 0xf0, 0xf4)) || rest->size <= more)
        return -EBADMSG;
    for (size_t i = 1; i <= more; i++) {
        if ((rest->data[i] & 0xc0) != 0x80)
            return -EBADMSG;
        c = c << 6 | (rest->data[i] & 0x3fU);
    }
    if (c < least[more] || c > 0x10ffff || is_between(c, 0xd800, 0xdfff))
        return -EBADMSG;
    *rest = (BytesView) { rest->data + more + 1, rest->size - more - 1 };
    *ret = c;
    return 1;
}

static int read_bmp(BytesView *rest, uint32_t *ret) {
    if (rest->size < 2)
        return -EBADMSG;
    uint32_t c = (uint32_t) rest->data[0] << 8 | rest->data[1];
    if (is_between(c, 0xd800, 0xdfff))
        return -EBADMSG;
    *rest = (BytesView) { rest->data + 2, rest->size - 2 };
    *ret = c;
    return 1;
}

/* TeletexString is Latin-1 in practice, whatever T.61 says. */
static int read_byte(unsigned long tag, BytesView *rest, uint32_t *ret) {
    uint8_t c = rest->data[0];

    if (tag != ASN1_TAG_TELETEX_STRING && c >= 0x80)
        return -EBADMSG;
    *rest = (BytesView) { rest->data + 1, rest->size - 1 };
    *ret = c;
    return 1;
}

static int read_character(unsigned long tag, BytesView *rest, uint32_t *ret) {
    if (rest->size == 0)
        return 0;
    switch (tag) {
    case ASN1_TAG_UTF8_STRING:
        return read_utf8(rest, ret);
    case ASN1_TAG_BMP_STRING:
        return read_bmp(rest, ret);
    case ASN1_TAG_PRINTABLE_STRING:
    case ASN1_TAG_IA5_STRING:
    case ASN1_TAG_TELETEX_STRING:
        return read_byte(tag, rest, ret);
    default:
        return -EBADMSG;
    }
}

/* Characters of which RFC 4518 changes nothing but the letter case, and that nothing else becomes. The sharp s becomes
 * two letters, the micro sign and the final sigma become others. */
static bool is_clear(uint32_t c) {
    return is_between(c, 0x20, 0x7e) || (is_between(c, 0xc0, 0xff) && c != 0xd7 && c != 0xdf && c != 0xf7) ||
           (is_between(c, 0x391, 0x3a9) && c != 0x3a2) || (is_between(c, 0x3b1, 0x3c9) && c != 0x3c2) ||
           is_between(c, 0x400, 0x45f);
}

/* Table B.2 of RFC 3454, for the clear ones. */
static uint32_t to_lower(uint32_t c) {
    if (is_between(c, 'A', 'Z') || (is_between(c, 0xc0, 0xde) && c != 0xd7) ||
        (is_between(c, 0x391, 0x3a9) && c != 0x3a2) || is_between(c, 0x410, 0x42f))
        return c + 0x20;
    return is_between(c, 0x400, 0x40f) ? c + 0x50 : c;
}

int name_text_open(unsigned long tag, BytesView content, bool folds, NameText *ret, NameTextClarity *ret_clarity) {
    NameTextClarity clarity = NAME_TEXT_CLEAR;
    BytesView rest = content;
    uint32_t c;
    int r;

    if (content.size == 0 && read_character(tag, &(BytesView) { (const uint8_t *) "\0", 2 }, &c) < 0)
        return -EBADMSG;
    while ((r = read_character(tag, &rest, &c)) > 0) {
        if (!is_clear(c) && clarity == NAME_TEXT_CLEAR)
            clarity = NAME_TEXT_UNCLEAR;
        if (tag == ASN1_TAG_TELETEX_STRING && c >= 0x80)
            clarity = NAME_TEXT_AMBIGUOUS;
    }
    if (r < 0)
        return r;
    *ret = (NameText) { content, tag, folds, folds && clarity == NAME_TEXT_CLEAR, false };
    *ret_clarity = clarity;
    return 0;
}

int name_text_next(NameText *text, uint32_t *ret) {
    BytesView before = text->rest;
    bool has_spaces = false, has_begun = text->has_begun;
    uint32_t c;

    text->has_begun = true;
    while (read_character(text->tag, &text->rest, &c) > 0) {
        if (text->folds_spaces && c == ' ') {
            before = text->rest;
            has_spaces = true;
            continue;
        }
        if (has_spaces && has_begun) {
            text->rest = before; /* it comes after the one space */
            c = ' ';
        }
        *ret = text->folds_case ? to_lower(c) : c;
        return 1;
    }
    return 0;
}
