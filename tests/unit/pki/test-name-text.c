/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each character that there is: whether it is clear, against a table of its own, and what it becomes, against what the
 * C library knows of letter case. And each string type with what it cannot have. */
#include "pki/name-text.h"

#include "pki/asn1.h"

#include "fixture.h"

#include <locale.h>
#include <string.h>
#include <wctype.h>

#define TEXT(text) ((BytesView) { (const uint8_t *) (text), sizeof(text) - 1 })

/* The first character of each run, and whether the run is clear. */
static const struct {
    uint32_t first;
    bool is_clear;
} runs[] = {
    { 0, false },     { 0x20, true },  { 0x7f, false },  { 0xc0, true },      { 0xd7, false },  { 0xd8, true },
    { 0xdf, false },  { 0xe0, true },  { 0xf7, false },  { 0xf8, true },      { 0x100, false }, { 0x391, true },
    { 0x3a2, false }, { 0x3a3, true }, { 0x3aa, false }, { 0x3b1, true },     { 0x3c2, false }, { 0x3c3, true },
    { 0x3ca, false }, { 0x400, true }, { 0x460, false }, { 0x110000, false },
};

static size_t to_utf8(uint32_t c, uint8_t ret[static 4]) {
    static const uint8_t leads[] = { 0, 0xc0, 0xe0, 0xf0 };
    size_t more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;

    ret[0] = (uint8_t) (leads[more] | c >> 6 * more);
    for (size_t i = 1; i <= more; i++)
        ret[i] = (uint8_t) (0x80 | (c >> 6 * (more - i) & 0x3f));
    return more + 1;
}

static void test_each_character(void **state) {
    assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
    for (size_t run = 0; run + 1 < ARRAY_LENGTH(runs); run++)
        for (uint32_t c = runs[run].first; c < runs[run + 1].first; c++) {
            uint8_t bytes[4], wide[2] = { (uint8_t) (c >> 8), (uint8_t) c };
            BytesView utf8 = { bytes, to_utf8(c, bytes) };
            bool is_surrogate = c >= 0xd800 && c <= 0xdfff;
            NameTextClarity clarity;
            NameText text;
            uint32_t read;
            if (c < 0x10000)
                assert_int_equal(name_text_open(ASN1_TAG_BMP_STRING, (BytesView) { wide, 2 }, true, &text, &clarity),
                                 is_surrogate ? -EBADMSG : 0);
            int r = name_text_open(ASN1_TAG_UTF8_STRING, utf8, true, &text, &clarity);
            assert_int_equal(r, is_surrogate ? -EBADMSG : 0);
            if (is_surrogate)
                continue;
            if (clarity != (runs[run].is_clear ? NAME_TEXT_CLEAR : NAME_TEXT_UNCLEAR))
                fail_msg("U+%04X: %d", c, clarity);
            if (!runs[run].is_clear || c == ' ')
                continue;
            assert_int_equal(name_text_next(&text, &read), 1);
            if (read != towlower((wint_t) c))
                fail_msg("U+%04X becomes U+%04X", c, read);
            assert_int_equal(name_text_next(&text, &read), 0);
            assert_int_equal(name_text_open(ASN1_TAG_UTF8_STRING, utf8, false, &text, &clarity), 0);
            assert_int_equal(name_text_next(&text, &read), 1);
            assert_int_equal(read, c); /* where case counts */
        }
}

static void test_malformed(void **state) {
    static const struct {
        unsigned long tag;
        BytesView content;
    } cases[] = {
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\x80", 1 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xc1\xbf", 2 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xc3", 1 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xc3z", 2 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xc3\xc0", 2 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xe0\x9f\xbf", 3 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xe2\x82", 2 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xf0\x8f\xbf\xbf", 4 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xf4\x90\x80\x80", 4 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xf5\x80\x80\x80", 4 } },
        { ASN1_TAG_UTF8_STRING, { (const uint8_t *) "\xf1\x80\x80", 3 } },
        { ASN1_TAG_BMP_STRING, { (const uint8_t *) "\0a\0", 3 } },
        { ASN1_TAG_PRINTABLE_STRING, { (const uint8_t *) "a\x80", 2 } },
        { ASN1_TAG_IA5_STRING, { (const uint8_t *) "a\xff", 2 } },
        { ASN1_TAG_OCTET_STRING, { (const uint8_t *) "a", 1 } },
        { ASN1_TAG_OCTET_STRING, { (const uint8_t *) "", 0 } },
        { ASN1_TAG_INTEGER, { (const uint8_t *) "", 0 } },
    };
    NameTextClarity clarity;
    NameText text;

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (name_text_open(cases[i].tag, cases[i].content, true, &text, &clarity) != -EBADMSG)
            fail_msg("case %zu", i);
}

/* The text that comes out, in ASCII. */
static void expect_text(BytesView content, bool folds, const char *expected) {
    NameTextClarity clarity;
    NameText text;
    uint32_t c;

    assert_int_equal(name_text_open(ASN1_TAG_UTF8_STRING, content, folds, &text, &clarity), 0);
    for (; *expected; expected++) {
        assert_int_equal(name_text_next(&text, &c), 1);
        assert_int_equal(c, *expected);
    }
    assert_int_equal(name_text_next(&text, &c), 0);
    assert_int_equal(name_text_next(&text, &c), 0);
}

static void test_spaces(void **state) {
    expect_text(TEXT(""), true, "");
    expect_text(TEXT("   "), true, "");
    expect_text(TEXT("  A  b C "), true, "a b c");
    expect_text(TEXT("a b"), true, "a b");
    expect_text(TEXT("  A  b C "), false, "  A  b C ");
    expect_text(TEXT(" A \x7f "), true, " a \x7f "); /* unclear: the spaces stay */
}

static void test_teletex(void **state) {
    NameTextClarity clarity;
    NameText text;
    uint32_t c;

    assert_int_equal(name_text_open(ASN1_TAG_TELETEX_STRING, TEXT("a\xc4"), true, &text, &clarity), 0);
    assert_int_equal(clarity, NAME_TEXT_AMBIGUOUS);
    assert_int_equal(name_text_open(ASN1_TAG_TELETEX_STRING, TEXT("a\x80"), true, &text, &clarity), 0);
    assert_int_equal(clarity, NAME_TEXT_AMBIGUOUS);
    assert_int_equal(name_text_open(ASN1_TAG_TELETEX_STRING, TEXT("A~"), true, &text, &clarity), 0);
    assert_int_equal(clarity, NAME_TEXT_CLEAR);
    assert_int_equal(name_text_next(&text, &c), 1);
    assert_int_equal(c, 'a');
    assert_int_equal(name_text_open(ASN1_TAG_TELETEX_STRING, TEXT("\x7f"), true, &text, &clarity), 0);
    assert_int_equal(clarity, NAME_TEXT_UNCLEAR);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_character),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_spaces),
        cmocka_unit_test(test_teletex),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
