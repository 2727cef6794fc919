/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which names are the same: distinguished ones by RFC 5280 §7.1, alternative ones as sets, and what that means for
 * chains. */
#include "pki/chain.h"
#include "pki/directory-name.h"
#include "pki/general-names.h"

#include "fixture.h"
#include "pki/form.h"
#include "tests/unit/enroller/der.h"

#include <string.h>

#define CN   "2.5.4.3"
#define O    "2.5.4.10"
#define DC   "0.9.2342.19200300.100.1.25"
#define USER "0.9.2342.19200300.100.1.1"
#define MAIL "1.2.840.113549.1.9.1"
#define OWN  "1.2.3.4"

enum { UTF8 = 0x0c, NUMERIC = 0x12, PRINTABLE = 0x13, TELETEX = 0x14, IA5 = 0x16, BMP = 0x1e };

#define ATTRIBUTE(oid, tag, text) DER_SEQUENCE(made_oid(oid), der_text(tag, text))
#define RDN(oid, tag, text)       DER_SET(ATTRIBUTE(oid, tag, text))
#define NAME(...)                 DER_SEQUENCE(__VA_ARGS__)
#define BMP_RDN(oid, bytes)                                                                                            \
    DER_SET(DER_SEQUENCE(made_oid(oid), der_bytes(BMP, (BytesView) { (const uint8_t *) (bytes), sizeof(bytes) - 1 })))

typedef int (*Form)(BytesView, Bytes *);

static bool same(Form form, BytesView a, BytesView b) {
    _cleanup_bytes_ Bytes one = BYTES_NULL, other = BYTES_NULL;

    assert_int_equal(form(a, &one), 0);
    assert_int_equal(form(b, &other), 0);
    return bytes_view_equal(bytes_view(&one), bytes_view(&other));
}

/* ---- distinguished names ---- */

static void test_texts(void **state) {
    const struct {
        BytesView one, other;
        bool same;
    } cases[] = {
        { RDN(O, PRINTABLE, "Example AG"), RDN(O, UTF8, "Example AG"), true },
        { RDN(O, PRINTABLE, "Example AG"), RDN(O, UTF8, " eXAMPLE   ag "), true },
        { RDN(O, PRINTABLE, "Example AG"), RDN(O, UTF8, "ExampleAG"), false },
        { RDN(O, PRINTABLE, "Example AG"), RDN(O, UTF8, "Example A"), false },
        { RDN(O, PRINTABLE, "Example AG"), RDN(CN, PRINTABLE, "Example AG"), false },
        { RDN(O, UTF8, "B\xc3\xbcro"), RDN(O, TELETEX, "B\xdcro"), true },
        { RDN(O, UTF8, "B\xc3\xbcro"), BMP_RDN(O, "\0B\0\xfc\0r\0o"), true },
        { RDN(O, UTF8, "B\xc3\xbcro"), BMP_RDN(O, "\0B\0u\0r\0o"), false },
        { RDN(O, UTF8, "\xe4\xb8\xad"), BMP_RDN(O, "\x4e\x2d"), true },
        { RDN(O, UTF8,
              "Stra\xc3\x9f"
              "E"),
          RDN(O, UTF8,
              "STRA\xc3\x9f"
              "e"),
          true },
        /* what follows a space may be a mark upon it */
        { RDN(O, UTF8, "a  \xcc\x81"), RDN(O, UTF8, "a \xcc\x81"), false },
        { RDN(O, UTF8,
              "Stra\xc3\x9f"
              "e"),
          RDN(O, UTF8, "Strasse"), false },
        { RDN(MAIL, IA5, "Root@Example"), RDN(MAIL, IA5, "root@example"), true },
        { RDN(DC, IA5, "Example"), RDN(DC, UTF8, "example"), true },
        { RDN(USER, UTF8, "Anna"), RDN(USER, PRINTABLE, "anna"), true },
        /* whether an unknown attribute has letter case or spaces is not known, but its text is the same in any type */
        { RDN(OWN, UTF8, "Example"), RDN(OWN, PRINTABLE, "Example"), true },
        { RDN(OWN, UTF8, "Example"), RDN(OWN, UTF8, "example"), false },
        { RDN(OWN, UTF8, "a  b"), RDN(OWN, UTF8, "a b"), false },
        /* what is no text, or malformed, is its bytes */
        { RDN(O, NUMERIC, "1"), RDN(O, NUMERIC, "1"), true },
        { RDN(O, NUMERIC, "1"), RDN(O, PRINTABLE, "1"), false },
        { RDN(O, UTF8, "\xff"), RDN(O, UTF8, "\xff"), true },
        { RDN(O, UTF8, "\xff"), RDN(O, TELETEX, "\xff"), false },
        { BMP_RDN(O, "\xd8\x00\xdc\x00"), RDN(O, UTF8, "\xf0\x90\x80\x80"), false },
        { BMP_RDN(O, "\0a\0"), RDN(O, UTF8, "a"), false },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("           case %zu\n", i);
        assert_int_equal(same(name_form, NAME(cases[i].one), NAME(cases[i].other)), cases[i].same);
    }
    der_reset();
}

static void test_structure(void **state) {
    const BytesView cn = ATTRIBUTE(CN, UTF8, "x"), loud = ATTRIBUTE(CN, PRINTABLE, "X"), o = ATTRIBUTE(O, UTF8, "y"),
                    none = { NULL, 0 };

    assert_true(same(name_form, NAME(DER_SET(cn, o)), NAME(DER_SET(o, loud))));
    assert_false(same(name_form, NAME(DER_SET(cn, o)), NAME(DER_SET(cn), DER_SET(o))));
    assert_false(same(name_form, NAME(DER_SET(cn), DER_SET(o)), NAME(DER_SET(o), DER_SET(cn))));
    assert_false(same(name_form, NAME(DER_SET(cn, o)), NAME(DER_SET(cn))));
    assert_false(same(name_form, NAME(DER_SET(cn, cn)), NAME(DER_SET(cn))));
    assert_true(same(name_form, DER_EMPTY(0x30), DER_EMPTY(0x30)));
    assert_false(same(name_form, DER_EMPTY(0x30), none));
    /* malformed ones */
    assert_true(same(name_form, NAME(cn), NAME(cn)));
    assert_false(same(name_form, NAME(cn), NAME(loud)));
    der_reset();
}

/* ---- alternative names ---- */

#define DNS(text)  der_text(0x82, text)
#define POST(text) der_text(0x81, text)
#define URI(text)  der_text(0x86, text)
#define IP(text)   der_text(0x87, text)

static void test_sets(void **state) {
    const BytesView none = { NULL, 0 };
    const struct {
        BytesView one, other;
        bool same;
    } cases[] = {
        { DER_SEQUENCE(DNS("a.example"), URI("urn:x")), DER_SEQUENCE(URI("urn:x"), DNS("A.Example")), true },
        { DER_SEQUENCE(DNS("a"), DNS("b"), DNS("A")), DER_SEQUENCE(DNS("b"), DNS("a")), true },
        { DER_SEQUENCE(DNS("a"), DNS("b")), DER_SEQUENCE(DNS("a")), false },
        { DER_SEQUENCE(DNS("a")), DER_SEQUENCE(URI("a")), false },
        { DER_SEQUENCE(DNS("a")), none, false },
        { DER_EMPTY(0x30), none, true },
        { DER_SEQUENCE(POST("Anna@Example.org")), DER_SEQUENCE(POST("Anna@example.ORG")), true },
        { DER_SEQUENCE(POST("Anna@example")), DER_SEQUENCE(POST("anna@example")), false },
        { DER_SEQUENCE(POST("\"A@B\"@C")), DER_SEQUENCE(POST("\"A@B\"@c")), true },
        { DER_SEQUENCE(URI("HTTPS://A@Host.Example:443/P")), DER_SEQUENCE(URI("https://A@host.example:443/P")), true },
        { DER_SEQUENCE(URI("https://a/P")), DER_SEQUENCE(URI("https://a/p")), false },
        { DER_SEQUENCE(URI("https://A@a/")), DER_SEQUENCE(URI("https://a@a/")), false },
        { DER_SEQUENCE(URI("urn:X")), DER_SEQUENCE(URI("urn:x")), false },
        { DER_SEQUENCE(URI("URN:x")), DER_SEQUENCE(URI("urn:x")), true },
        { DER_SEQUENCE(URI("X")), DER_SEQUENCE(URI("x")), false },
        { DER_SEQUENCE(IP("AAAA")), DER_SEQUENCE(IP("aaaa")), false },
        { DER_SEQUENCE(der_of(0xa4, NAME(RDN(CN, UTF8, "x")), DER_END)),
          DER_SEQUENCE(der_of(0xa4, NAME(RDN(CN, PRINTABLE, "X")), DER_END)), true },
        { DER_SEQUENCE(der_text(0x80, "A")), DER_SEQUENCE(der_text(0x80, "a")), false },
        /* malformed ones are their bytes */
        { DER_SEQUENCE(der_text(0x0c, "a"), DNS("A")), DER_SEQUENCE(der_text(0x0c, "a"), DNS("a")), false },
        { DNS("A"), DNS("a"), false },
        { DNS("a"), DNS("a"), true },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("           case %zu\n", i);
        assert_int_equal(same(general_names_form, cases[i].one, cases[i].other), cases[i].same);
    }
    der_reset();
}

static void test_set_text(void **state) {
    char text[GENERAL_NAMES_TEXT_MAX], long_name[GENERAL_NAMES_TEXT_MAX + 1];
    const uint8_t address[] = { 192, 0, 2, 1 };

    memset(long_name, 'x', sizeof(long_name) - 1);
    long_name[sizeof(long_name) - 1] = '\0';
    BytesView all = DER_SEQUENCE(DNS("a.example"), POST("a@b"), URI("urn:\nx"),
                                 der_bytes(0x87, (BytesView) { address, 4 }), IP("abc"), der_text(0x88, "\x2a"));
    assert_string_equal(general_names_text(all, text),
                        "dns:a.example mail:a@b uri:urn:?x ip:192.0.2.1 ip:616263 oid:2a");
    assert_string_equal(general_names_text((BytesView) { NULL, 0 }, text), "none");
    assert_string_equal(general_names_text(DNS("a"), text), "names that cannot be read");
    general_names_text(DER_SEQUENCE(DNS(long_name)), text);
    assert_int_equal(strlen(text), GENERAL_NAMES_TEXT_MAX - 1);
    assert_string_equal(text + strlen(text) - 6, "xxx…");
    der_reset();
}

static void test_hosts(void **state) {
    const struct {
        const char *uri, *host;
    } cases[] = {
        { "https://host.example/x", "host.example" },
        { "https://host.example", "host.example" },
        { "a+b-c.1://h?q", "h" },
        { "x://u:p@h:8#f", "h" },
        { "x://[2001:db8::1]:8/", "[2001:db8::1]" },
        { "x://a@b@c/", "c" },
        { "urn:x", NULL },
        { "https:///x", NULL },
        { "x://:8/", NULL },
        { "//h/", NULL },
        { "1x://h/", NULL },
        { "x:/", NULL },
        { "", NULL },
        { "x://u@/", NULL },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        BytesView host;
        print_message("           %s\n", cases[i].uri);
        assert_int_equal(uri_host(bytes_view_string(cases[i].uri), &host), cases[i].host != NULL);
        if (cases[i].host)
            assert_true(bytes_view_equal(host, bytes_view_string(cases[i].host)));
    }
}

/* Each byte as the first and as another one of a scheme (RFC 3986 §3.1). */
static void test_schemes(void **state) {
    for (unsigned c = 0; c < 256; c++) {
        uint8_t first[] = "?b://h", other[] = "a?://h";
        BytesView host;
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        first[0] = other[1] = (uint8_t) c;
        assert_int_equal(uri_host((BytesView) { first, 6 }, &host), is_letter);
        assert_int_equal(uri_host((BytesView) { other, 6 }, &host),
                         is_letter || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.');
    }
}

/* Of what forms are put together, byte by byte. */
static void test_forms(void **state) {
    static const uint8_t expected[] = { 1, 2, 3, 4, 0, 0, 0, 2, 'a', 'b', 0, 0, 0, 0 };
    _cleanup_bytes_ Bytes form = BYTES_NULL;
    Bytes one = { (uint8_t *) (uintptr_t) "ab", 2 }, same = { (uint8_t *) (uintptr_t) "ab", 2 },
          other = { (uint8_t *) (uintptr_t) "ac", 2 }, longer = { (uint8_t *) (uintptr_t) "aba", 3 };

    assert_int_equal(form_append_number(&form, 0x01020304), 0);
    assert_int_equal(form_append_counted(&form, bytes_view_string("ab")), 0);
    assert_int_equal(form_append_counted(&form, (BytesView) { NULL, 0 }), 0);
    assert_true(bytes_view_equal(bytes_view(&form), (BytesView) { expected, sizeof expected }));
    assert_int_equal(form_compare(&one, &same), 0);
    assert_true(form_compare(&one, &other) * form_compare(&other, &one) < 0);
    assert_true(form_compare(&one, &longer) * form_compare(&longer, &one) < 0);
    assert_true(form_compare(&other, &longer) * form_compare(&longer, &other) < 0);
}

/* ---- what chains by them ---- */

/* The CA's certificate spells its name in one way, what it issues in another. */
static void test_spelling(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=String Root", .ca = true),
                            spelled = ENTITY(.subject = "CN=STRING root", .ca = true, .key = root.key),
                            other = ENTITY(.subject = "CN=String Rood", .ca = true, .key = root.key),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &spelled),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &upper),
                            stray = ENTITY(.subject = "CN=leaf", .issuer = &other),
                            impostor = ENTITY(.subject = "CN=String Root", .ca = true, .no_key_ids = true),
                            web = ENTITY(.subject = "CN=Web", .ca = true, .issuer = &spelled,
                                         .permitted_dns = "example.com"),
                            bad_name = ENTITY(.subject = "CN=x", .issuer = &web, .dns = "a.example.org");
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate), strangers = LIST(impostor.certificate),
                                           candidates = LIST(upper.certificate, web.certificate);
    Failure failure = FAILURE_INIT;

    assert_ok(chain_build(leaf.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), failure);
    assert_failure(chain_build(stray.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "no issuer was found");
    assert_failure(chain_build(leaf.certificate, &candidates, &strangers, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "was not made by the key of");
    assert_failure(chain_build(bad_name.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "name constraints of CN=Web");
    assert_true(certificate_names_issuer(upper.certificate, root.certificate));
    assert_false(certificate_names_issuer(stray.certificate, root.certificate));
    assert_true(certificate_names_issuer(upper.certificate, impostor.certificate));
}

static void test_key_identifiers(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            namesake = ENTITY(.subject = "CN=Root", .ca = true),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &root);

    assert_true(certificate_names_issuer(leaf.certificate, root.certificate));
    assert_false(certificate_names_issuer(leaf.certificate, namesake.certificate));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),    cmocka_unit_test(test_structure), cmocka_unit_test(test_sets),
        cmocka_unit_test(test_set_text), cmocka_unit_test(test_hosts),     cmocka_unit_test(test_schemes),
        cmocka_unit_test(test_forms),    cmocka_unit_test(test_spelling),  cmocka_unit_test(test_key_identifiers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
