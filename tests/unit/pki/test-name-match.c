/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a peer presents, beside those that are asked for and the bases of name constraints. */
#include "pki/name-match.h"

#include "fixture.h"

#include <stdio.h>
#include <string.h>

#define TEXT(text) ((BytesView) { (const uint8_t *) (text), sizeof(text) - 1 })
#define BYTES(...) ((BytesView) { (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }) })
#define YES        NAME_MATCHES
#define NO         NAME_DIFFERS
#define UNCLEAR    NAME_UNCLEAR
#define FAIL_AT(i)                                                                                                     \
    fail_msg("case %zu: '%.*s' and '%.*s'", i, (int) cases[i].name.size, (const char *) cases[i].name.data,            \
             (int) cases[i].other.size, (const char *) cases[i].other.data)

static void test_dns_names(void **state) {
    static const struct {
        const char *text;
        bool plain, wildcard_too;
    } cases[] = {
        { "a", true, true },       { "a.b", true, true },          { "A-1.b", true, true },
        { "_x.b", true, true },    { "", false, false },           { ".", false, false },
        { "a.", false, false },    { ".a", false, false },         { "a..b", false, false },
        { "-a.b", false, false },  { "a-.b", false, false },       { "a b", false, false },
        { "*.a.b", false, true },  { "*.a", false, true },         { "*", false, false },
        { "*.", false, false },    { "*.*.a", false, false },      { "a*.b", false, false },
        { "a.*.b", false, false }, { "\xc3\xa4.b", false, false }, { "1.2.3.4", false, false },
        { "a.1", false, false },   { "1.a", true, true },
    };
    char label[65] = { 0 }, name[260] = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(name_is_dns(bytes_view_string(cases[i].text), false), cases[i].plain);
        assert_int_equal(name_is_dns(bytes_view_string(cases[i].text), true), cases[i].wildcard_too);
    }
    memset(label, 'a', 63);
    assert_true(name_is_dns(bytes_view_string(label), false));
    label[63] = 'a';
    assert_false(name_is_dns(bytes_view_string(label), false));
    for (size_t i = 0; i < 253; i++)
        name[i] = i % 2 ? '.' : 'a';
    assert_true(name_is_dns(bytes_view_string(name), false));
    strcpy(name + 253, ".a");
    assert_false(name_is_dns(bytes_view_string(name), false));
    assert_false(name_is_dns(TEXT("a\0b"), false));
}

static void test_hosts(void **state) {
    const struct {
        BytesView name, other;
        bool is;
    } cases[] = {
        { TEXT("a.example.com"), TEXT("a.example.com"), true },
        { TEXT("A.EXAMPLE.com"), TEXT("a.example.COM"), true },
        { TEXT("a.example.com"), TEXT("b.example.com"), false },
        { TEXT("a.example.com"), TEXT("a.example.co"), false },
        { TEXT("a.example.com."), TEXT("a.example.com."), false }, /* the caller takes the dot off */
        { TEXT("a.example.com\0"), TEXT("a.example.com\0"), false },
        { TEXT("*.example.com"), TEXT("a.example.com"), true },
        { TEXT("*.EXAMPLE.com"), TEXT("a.example.com"), true },
        { TEXT("*.example.com"), TEXT("xn--bcher-kva.example.com"), true },
        { TEXT("*.example.com"), TEXT("example.com"), false },
        { TEXT("*.example.com"), TEXT("a.b.example.com"), false },
        { TEXT("*.com"), TEXT("example.com"), false },
        { TEXT("*"), TEXT("localhost"), false },
        { TEXT("a*.example.com"), TEXT("ab.example.com"), false },
        { TEXT("a.*.com"), TEXT("a.b.com"), false },
        { TEXT("*.*.com"), TEXT("a.b.com"), false },
        { TEXT("*.example.com"), TEXT("a.example.org"), false },
        { TEXT("[.example.com"), TEXT("{.example.com"), false }, /* 0x20 apart, and no letters */
        { TEXT("localhost"), TEXT("localhost"), true },
        { TEXT(""), TEXT(""), false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (dns_name_is_host(cases[i].name, cases[i].other) != cases[i].is)
            FAIL_AT(i);
}

static void test_dns_bases(void **state) {
    const struct {
        BytesView name, other;
        NameMatch permitted, excluded;
    } cases[] = {
        { TEXT("a.example.com"), TEXT("example.com"), YES, YES },
        { TEXT("example.com"), TEXT("example.com"), YES, YES },
        { TEXT("a.EXAMPLE.com"), TEXT("example.COM"), YES, YES },
        { TEXT("aexample.com"), TEXT("example.com"), NO, NO },
        { TEXT("com"), TEXT("example.com"), NO, NO },
        { TEXT("a.b"), TEXT(""), YES, YES },
        { TEXT("no name"), TEXT(""), YES, YES },
        { TEXT("no name"), TEXT("example.com"), UNCLEAR, UNCLEAR },
        { TEXT("a.example.com."), TEXT("example.com"), UNCLEAR, UNCLEAR },
        { TEXT("a.example.com"), TEXT(".example.com"), UNCLEAR, UNCLEAR },
        { TEXT("a.example.com"), TEXT("*.example.com"), UNCLEAR, UNCLEAR },
        { TEXT("*.example.com"), TEXT("example.com"), YES, YES },
        { TEXT("*.example.com"), TEXT("com"), YES, YES },
        { TEXT("*.example.com"), TEXT("a.example.com"), NO, YES },
        { TEXT("*.example.com"), TEXT("A.EXAMPLE.com"), NO, YES },
        { TEXT("*.example.com"), TEXT("a.b.example.com"), NO, NO }, /* it has a.example.com, but nothing below it */
        { TEXT("*.example.com"), TEXT("example.org"), NO, NO },
        { TEXT("*.example.com"), TEXT("a.example.org"), NO, NO },
        { TEXT("*.com"), TEXT("com"), YES, YES },
        { TEXT("*.com"), TEXT("example.com"), NO, YES },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (dns_name_is_below(cases[i].name, cases[i].other, false) != cases[i].permitted ||
            dns_name_is_below(cases[i].name, cases[i].other, true) != cases[i].excluded)
            FAIL_AT(i);
}

/* What a wildcard covers is nowhere kept out and nevertheless let in. */
static void test_wildcards_and_what_they_stand_for(void **state) {
    static const char *const labels[] = { "a", "b" }, *const parents[] = { "a.x", "b.x", "x" };
    static const char *const bases[] = { "x", "a.x", "b.x", "a.a.x", "b.a.x", "c.a.x", "a.a.a.x", "y" };

    for (size_t p = 0; p < ARRAY_LENGTH(parents); p++)
        for (size_t b = 0; b < ARRAY_LENGTH(bases); b++) {
            char wildcard[16], name[16];
            (void) snprintf(wildcard, sizeof wildcard, "*.%s", parents[p]);
            for (size_t l = 0; l < ARRAY_LENGTH(labels); l++) {
                (void) snprintf(name, sizeof name, "%s.%s", labels[l], parents[p]);
                NameMatch one = dns_name_is_below(bytes_view_string(name), bytes_view_string(bases[b]), true);
                NameMatch all = dns_name_is_below(bytes_view_string(wildcard), bytes_view_string(bases[b]), true);
                NameMatch permitted =
                    dns_name_is_below(bytes_view_string(wildcard), bytes_view_string(bases[b]), false);
                assert_true(one != YES || all == YES);       /* excluded with one of its names */
                assert_true(permitted != YES || one == YES); /* permitted with all of its names only */
            }
        }
}

static void test_mail(void **state) {
    const struct {
        BytesView name, other;
        NameMatch match;
    } cases[] = {
        { TEXT("a@example.com"), TEXT("a@example.com"), YES },
        { TEXT("a@EXAMPLE.com"), TEXT("a@example.com"), YES },
        { TEXT("A@example.com"), TEXT("a@example.com"), NO },
        { TEXT("a@example.com"), TEXT("example.com"), YES },
        { TEXT("a@b.example.com"), TEXT("example.com"), NO },
        { TEXT("a@b.example.com"), TEXT(".example.com"), YES },
        { TEXT("a@example.com"), TEXT(".example.com"), NO },
        { TEXT("a@b.example.com"), TEXT(".EXAMPLE.com"), YES },
        { TEXT("a@example.com"), TEXT(""), YES },
        { TEXT("a"), TEXT("example.com"), UNCLEAR },
        { TEXT("@example.com"), TEXT("example.com"), UNCLEAR },
        { TEXT("a@"), TEXT("example.com"), UNCLEAR },
        { TEXT("\"a\"@example.com"), TEXT("example.com"), UNCLEAR },
        { TEXT("a@b@example.com"), TEXT("example.com"), UNCLEAR },
        { TEXT("a b@example.com"), TEXT("example.com"), UNCLEAR },
        { TEXT("a\0@example.com"), TEXT("example.com"), UNCLEAR },
        { TEXT("a@[192.0.2.1]"), TEXT("example.com"), UNCLEAR },
        { TEXT("a@example.com"), TEXT("*.example.com"), UNCLEAR },
        { TEXT("a@example.com"), TEXT("."), UNCLEAR },
        { TEXT("a@example.com"), TEXT("@example.com"), UNCLEAR },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (mail_is_below(cases[i].name, cases[i].other) != cases[i].match)
            FAIL_AT(i);
}

static void test_addresses(void **state) {
    const BytesView v6 = BYTES(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);
    const struct {
        BytesView address, base;
        NameMatch match;
    } cases[] = {
        { BYTES(10, 1, 2, 3), BYTES(10, 0, 0, 0, 255, 0, 0, 0), YES },
        { BYTES(10, 1, 2, 3), BYTES(10, 9, 9, 9, 255, 0, 0, 0), YES },
        { BYTES(11, 1, 2, 3), BYTES(10, 0, 0, 0, 255, 0, 0, 0), NO },
        { BYTES(10, 0, 0, 128), BYTES(10, 0, 0, 128, 255, 255, 255, 128), YES },
        { BYTES(10, 0, 0, 127), BYTES(10, 0, 0, 128, 255, 255, 255, 128), NO },
        { BYTES(10, 0, 0, 1), BYTES(0, 0, 0, 0, 0, 0, 0, 0), YES },
        { BYTES(10, 0, 0, 1), BYTES(10, 0, 0, 1, 255, 255, 255, 255), YES },
        { BYTES(10, 0, 0, 1), BYTES(10, 0, 0, 0, 255, 0, 255, 0), UNCLEAR },
        { BYTES(10, 0, 0, 1), BYTES(10, 0, 0, 0, 254, 128, 0, 0), UNCLEAR },
        { BYTES(10, 0, 0, 1), BYTES(10, 0, 0, 0), UNCLEAR },
        { BYTES(10, 0, 0), BYTES(10, 0, 0, 0, 255, 0, 0, 0), UNCLEAR },
        { BYTES(10, 0, 0, 0, 0), BYTES(10, 0, 0, 0, 255, 0, 0, 0), UNCLEAR },
        { v6, BYTES(10, 0, 0, 0, 255, 0, 0, 0), NO },
        { v6,
          BYTES(0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0),
          YES },
        { v6,
          BYTES(0x20, 1, 0xd, 0xb9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                0, 0, 0),
          NO },
        { BYTES(10, 0, 0, 1),
          BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), NO },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (address_is_below(cases[i].address, cases[i].base) != cases[i].match)
            fail_msg("case %zu", i);
}

static void test_uri_bases(void **state) {
    const struct {
        BytesView name, other;
        NameMatch permitted, excluded;
    } cases[] = {
        { TEXT("https://a.example/"), TEXT("a.example"), YES, YES },
        { TEXT("https://A.example/"), TEXT("a.EXAMPLE"), YES, YES },
        { TEXT("https://a.example:443/x"), TEXT("a.example"), YES, YES },
        { TEXT("https://b.a.example/"), TEXT("a.example"), NO, NO },
        { TEXT("https://b.a.example"), TEXT(".a.example"), YES, YES },
        { TEXT("https://a.example"), TEXT(".a.example"), NO, NO },
        { TEXT("https://a.example."), TEXT("a.example"), YES, YES },
        { TEXT("https://a.example@evil.test/"), TEXT("a.example"), NO, NO },
        { TEXT("https://evil.test?@a.example/"), TEXT("a.example"), NO, NO },
        { TEXT("https://evil.test#@a.example/"), TEXT("a.example"), NO, NO },
        { TEXT("https://%61.example/"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("https://192.0.2.1/"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("https://[2001:db8::1]/"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("https:///x"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("urn:a.example"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("//a.example/"), TEXT("a.example"), UNCLEAR, UNCLEAR },
        { TEXT("https://a.example/"), TEXT(""), NO, YES },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (uri_is_below(cases[i].name, cases[i].other, false) != cases[i].permitted ||
            uri_is_below(cases[i].name, cases[i].other, true) != cases[i].excluded)
            FAIL_AT(i);
}

/* Every byte as a host of one character: a letter of any case is one, '_' is taken for one, all else is unclear. */
static void test_hosts_of_one_character(void **state) {
    for (unsigned c = 0; c < 256; c++) {
        uint8_t uri[] = "https://c/";
        uri[8] = (uint8_t) c;
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        NameMatch match = uri_is_below((BytesView) { uri, sizeof(uri) - 1 }, TEXT("x"), false);
        if (match != (!is_letter ? UNCLEAR : c == 'x' || c == 'X' ? YES : NO))
            fail_msg("%u: %d", c, match);
        uint8_t name[] = "c.x";
        name[0] = (uint8_t) c;
        bool is_label = is_letter || (c >= '0' && c <= '9');
        assert_int_equal(name_is_dns((BytesView) { name, 3 }, true), is_label || c == '*');
        uint8_t mail[] = "c@x.y";
        mail[0] = (uint8_t) c;
        bool is_local = c > 0x20 && c < 0x7f && !memchr("\"\\@()<>,;:[]", (int) c, 12);
        assert_int_equal(mail_is_below((BytesView) { mail, 5 }, TEXT("x.y")), is_local ? YES : UNCLEAR);
    }
}

static void test_uris(void **state) {
    const struct {
        BytesView name, other;
        bool is;
    } cases[] = {
        { TEXT("spiffe://a.example/x"), TEXT("spiffe://a.example/x"), true },
        { TEXT("SPIFFE://A.example/x"), TEXT("spiffe://a.EXAMPLE/x"), true },
        { TEXT("spiffe://a.example/X"), TEXT("spiffe://a.example/x"), false },
        { TEXT("spiffe://a.example/x"), TEXT("spiffe://a.example/xy"), false },
        { TEXT("spiffe://a.example/x"), TEXT("https_://a.example/x"), false },
        { TEXT("https://a.example:80/"), TEXT("https://a.example:81/"), false },
        { TEXT("https://u@a.example/"), TEXT("https://U@a.example/"), false },
        { TEXT("https://a@b.example/"), TEXT("https://ab.example/x"), false },
        { TEXT("urn:x:y"), TEXT("URN:x:y"), true },
        { TEXT("urn:x:y"), TEXT("urn:x:Y"), false },
        { TEXT("a.example"), TEXT("a.example"), false },
        { TEXT(":x"), TEXT(":x"), false },
        { TEXT(""), TEXT(""), false },
    };

    for (unsigned c = 0; c < 256; c++) { /* only letters have two cases */
        uint8_t one[] = { (uint8_t) c, ':', 'x' }, other[] = { (uint8_t) (c ^ 0x20), ':', 'x' };
        bool is_letter = ((c | 0x20) >= 'a' && (c | 0x20) <= 'z'), is_colon = c == ':' || (c ^ 0x20) == ':';
        if (uri_is_same((BytesView) { one, 3 }, (BytesView) { other, 3 }) != (is_letter && !is_colon))
            fail_msg("%u", c);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        if (uri_is_same(cases[i].name, cases[i].other) != cases[i].is ||
            uri_is_same(cases[i].other, cases[i].name) != cases[i].is)
            FAIL_AT(i);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dns_names), cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_dns_bases), cmocka_unit_test(test_wildcards_and_what_they_stand_for),
        cmocka_unit_test(test_mail),      cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_uri_bases), cmocka_unit_test(test_hosts_of_one_character),
        cmocka_unit_test(test_uris),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
