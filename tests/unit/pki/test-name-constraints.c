/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Distinguished names below others, and chains whose CAs are bound to some names or kept from others; where the matter
 * is clear, OpenSSL decides the same. */
#include "pki/chain.h"
#include "pki/directory-name.h"

#include "fixture.h"
#include "tests/unit/enroller/der.h"

#include <string.h>

#define CN   "2.5.4.3"
#define O    "2.5.4.10"
#define OU   "2.5.4.11"
#define DC   "0.9.2342.19200300.100.1.25"
#define MAIL "1.2.840.113549.1.9.1"
#define OWN  "1.2.3.4"

enum { UTF8 = 0x0c, NUMERIC = 0x12, PRINTABLE = 0x13, TELETEX = 0x14, IA5 = 0x16, BMP = 0x1e };

/* AttributeTypeAndValue, RelativeDistinguishedName of one, Name. */
#define ATTRIBUTE(oid, tag, text) DER_SEQUENCE(made_oid(oid), der_text(tag, text))
#define RDN(oid, tag, text)       DER_SET(ATTRIBUTE(oid, tag, text))
#define NAME(...)                 DER_SEQUENCE(__VA_ARGS__)
#define EXAMPLE                   RDN(O, PRINTABLE, "Example")

/* ---- names ---- */

static void test_prefix(void **state) {
    const BytesView example = NAME(EXAMPLE), line = NAME(EXAMPLE, RDN(OU, PRINTABLE, "Line 1")),
                    device = NAME(EXAMPLE, RDN(OU, PRINTABLE, "Line 1"), RDN(CN, PRINTABLE, "device")),
                    turned = NAME(RDN(CN, PRINTABLE, "device"), RDN(OU, PRINTABLE, "Line 1"), EXAMPLE),
                    empty = DER_EMPTY(0x30);

    assert_int_equal(name_is_below(example, example), NAME_MATCHES);
    assert_int_equal(name_is_below(device, example), NAME_MATCHES);
    assert_int_equal(name_is_below(device, line), NAME_MATCHES);
    assert_int_equal(name_is_below(device, device), NAME_MATCHES);
    assert_int_equal(name_is_below(example, line), NAME_DIFFERS);
    assert_int_equal(name_is_below(line, device), NAME_DIFFERS);
    assert_int_equal(name_is_below(turned, example), NAME_DIFFERS);
    assert_int_equal(name_is_below(NAME(EXAMPLE, RDN(OU, PRINTABLE, "Line 2")), line), NAME_DIFFERS);
    assert_int_equal(name_is_below(NAME(RDN(O, PRINTABLE, "Example2")), example), NAME_DIFFERS);
    assert_int_equal(name_is_below(device, empty), NAME_MATCHES);
    assert_int_equal(name_is_below(empty, empty), NAME_MATCHES);
    assert_int_equal(name_is_below(empty, example), NAME_DIFFERS);
    der_reset();
}

static void test_values(void **state) {
    const struct {
        const char *oid;
        uint8_t tag;
        const char *text;
        uint8_t other_tag;
        const char *other;
        NameMatch match;
    } cases[] = {
        { O, PRINTABLE, "Example", UTF8, "Example", NAME_MATCHES },
        { O, PRINTABLE, "Example", UTF8, "eXAMPLE", NAME_MATCHES },
        { O, UTF8, "Example AG", UTF8, "  example   ag ", NAME_MATCHES },
        { O, UTF8, "Example AG", UTF8, "ExampleAG", NAME_DIFFERS },
        { O, UTF8, "Example", UTF8, "Example.", NAME_DIFFERS },
        { O, UTF8, "", UTF8, "   ", NAME_MATCHES },
        { O, UTF8, "", UTF8, "x", NAME_DIFFERS },
        /* the same bytes are the same, whatever they are */
        { O, UTF8, "B\xc3\xbcro", UTF8, "B\xc3\xbcro", NAME_MATCHES },
        { O, TELETEX, "Example", TELETEX, "Example", NAME_MATCHES },
        { O, TELETEX, "Example", IA5, "example", NAME_MATCHES },
        { O, UTF8, "B\xc3\xbcro", UTF8, "B\xc3\x9cRO", NAME_MATCHES },
        { O, UTF8, "B\xc3\xbcro", UTF8, "Buro", NAME_DIFFERS },
        { O, UTF8, "\xce\x94\xd0\x96\xd0\x84", UTF8, "\xce\xb4\xd0\xb6\xd1\x94", NAME_MATCHES },
        /* a Latin-1 reader and one of T.61 see other characters in a TeletexString */
        { O, UTF8, "B\xc3\xbcro", TELETEX, "B\xfcro", NAME_UNCLEAR },
        { O, UTF8, "B\xc3\xbcro", TELETEX, "Buro", NAME_DIFFERS },
        /* what other characters come to is not known here: the Kelvin sign is a k, a soft hyphen nothing, and the sharp
         * s two letters */
        { O, UTF8,
          "Stra\xc3\x9f"
          "e",
          UTF8, "Strasse", NAME_UNCLEAR },
        { O, UTF8, "\xe4\xb8\xad", UTF8, "\xe4\xb8\xad ", NAME_UNCLEAR },
        { O, UTF8, "\xc3", UTF8, "x", NAME_UNCLEAR },
        { O, UTF8, "\xc0\xa0", UTF8, " ", NAME_UNCLEAR },
        { O, PRINTABLE, "B\xfcro", UTF8, "B\xc3\xbcro", NAME_UNCLEAR },
        { O, UTF8, "\xe2\x84\xaa", UTF8, "k", NAME_UNCLEAR },
        { O, UTF8, "Exam\xc2\xadple", PRINTABLE, "Example", NAME_UNCLEAR },
        { O, UTF8, "Exam\tple", PRINTABLE, "Exam ple", NAME_UNCLEAR },
        { O, UTF8, "Other", BMP, "", NAME_DIFFERS },
        { O, UTF8, "Other", BMP, "x", NAME_UNCLEAR },
        { O, TELETEX, "Other", PRINTABLE, "Example", NAME_DIFFERS },
        { O, NUMERIC, "1", PRINTABLE, "1", NAME_UNCLEAR },
        /* letter case counts neither in mail nor in domains, and may in what is not known */
        { MAIL, IA5, "Root@example", IA5, "root@example", NAME_MATCHES },
        { MAIL, IA5, "root@example", IA5, "root@example", NAME_MATCHES },
        { MAIL, IA5, "root@example", IA5, "admin@example", NAME_DIFFERS },
        { DC, IA5, "Example", IA5, "example", NAME_MATCHES },
        { DC, IA5, "Example", UTF8, "example", NAME_MATCHES },
        { DC, IA5, "example", IA5, "other", NAME_DIFFERS },
        { OWN, UTF8, "Example", UTF8, "example", NAME_UNCLEAR },
        { OWN, UTF8, "Example", UTF8, "Example", NAME_MATCHES },
        { OWN, UTF8, "Example", UTF8, "Other", NAME_DIFFERS },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        BytesView one = NAME(RDN(cases[i].oid, cases[i].tag, cases[i].text)),
                  other = NAME(RDN(cases[i].oid, cases[i].other_tag, cases[i].other));
        print_message("           %s, %s\n", cases[i].text, cases[i].other);
        assert_int_equal(name_is_below(one, other), cases[i].match);
        assert_int_equal(name_is_below(other, one), cases[i].match);
    }
    /* another type is another name */
    assert_int_equal(name_is_below(NAME(RDN(CN, UTF8, "Example")), NAME(RDN(O, UTF8, "Example"))), NAME_DIFFERS);
    der_reset();
}

static void test_several_values(void **state) {
    const BytesView cn = ATTRIBUTE(CN, UTF8, "device"), ou = ATTRIBUTE(OU, UTF8, "Line 1"),
                    other_ou = ATTRIBUTE(OU, UTF8, "Line 2"), unclear = ATTRIBUTE(OU, NUMERIC, "Line 1"),
                    loud_cn = ATTRIBUTE(CN, PRINTABLE, "DEVICE");
    const struct {
        BytesView one, other;
        NameMatch match;
    } cases[] = {
        { DER_SET(cn, ou), DER_SET(cn, ou), NAME_MATCHES },
        { DER_SET(cn, ou), DER_SET(ou, cn), NAME_MATCHES }, /* the order is the encoding's */
        { DER_SET(ou, loud_cn), DER_SET(cn, ou), NAME_MATCHES },
        { DER_SET(cn, ou), DER_SET(cn), NAME_DIFFERS }, /* the whole RDN, not a part of it */
        { DER_SET(cn, ou), DER_SET(ou), NAME_DIFFERS },
        { DER_SET(cn, ou), DER_SET(cn, other_ou), NAME_DIFFERS },
        { DER_SET(cn, ou), DER_SET(cn, cn), NAME_DIFFERS },
        { DER_SET(cn, unclear), DER_SET(cn, ou), NAME_UNCLEAR },
        { DER_SET(unclear, cn), DER_SET(cn, other_ou), NAME_UNCLEAR },
        { DER_SET(unclear, cn), DER_SET(unclear), NAME_DIFFERS },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        assert_int_equal(name_is_below(NAME(cases[i].one), NAME(cases[i].other)), cases[i].match);
        assert_int_equal(name_is_below(NAME(cases[i].other), NAME(cases[i].one)), cases[i].match);
        /* an RDN that differs decides, whatever is unclear beside it */
        assert_int_equal(name_is_below(NAME(cases[i].one, EXAMPLE), NAME(cases[i].other, RDN(O, UTF8, "x"))),
                         NAME_DIFFERS);
    }
    der_reset();
}

static void test_malformed(void **state) {
    const BytesView good = NAME(EXAMPLE), rdn = EXAMPLE, attribute = ATTRIBUTE(O, PRINTABLE, "Example"),
                    type = made_oid(O);
    const BytesView bad[] = {
        { (const uint8_t *) "", 0 },
        rdn,                                                                       /* no SEQUENCE */
        NAME(attribute),                                                           /* no SET in it */
        NAME(DER_EMPTY(0x31)),                                                     /* an empty one */
        NAME(DER_SET(type)),                                                       /* no attribute */
        NAME(DER_SET(DER_SEQUENCE(type))),                                         /* no value */
        NAME(DER_SET(DER_SEQUENCE(type, der_text(PRINTABLE, "a"), DER_EMPTY(5)))), /* more than a value */
        NAME(DER_SET(DER_SEQUENCE(der_text(PRINTABLE, "a"), type))),
        { good.data, good.size - 1 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(name_is_below(bad[i], good), NAME_UNCLEAR);
        assert_int_equal(name_is_below(good, bad[i]), NAME_UNCLEAR);
    }

    BytesView many[18];
    for (size_t i = 0; i < 17; i++)
        many[i] = ATTRIBUTE(CN, UTF8, "x");
    BytesView crowd = DER_SET(many[0], many[1], many[2], many[3], many[4], many[5], many[6], many[7], many[8], many[9],
                              many[10], many[11], many[12], many[13], many[14], many[15], many[16]);
    assert_int_equal(name_is_below(NAME(crowd), good), NAME_UNCLEAR);
    der_reset();
}

/* ---- chains ---- */

#define DIRECTORY(name)   der_of(0xa4, name, DER_END)
#define PERMITTED(...)    der_of(0xa0, __VA_ARGS__, DER_END)
#define EXCLUDED(...)     der_of(0xa1, __VA_ARGS__, DER_END)
#define SUBTREE(base)     DER_SEQUENCE(base)
#define CONSTRAINTS(list) ((Extension) { "2.5.29.30", (list).data, (list).size, true })
#define SAN(list)         ((Extension) { "2.5.29.17", (list).data, (list).size, false })

typedef enum Verdict { GOOD, BAD, UNCLEAR, UNCLEAR_GOOD } Verdict; /* unclear: OpenSSL may think otherwise */

typedef struct NameCase {
    BytesView constraints; /* of the upper CA */
    const char *subject;
    BytesView san; /* of the leaf; empty: none */
    Verdict verdict;
    const char *reason;
} NameCase;

static bool openssl_agrees(const Entity *leaf, const Entity *between, const Entity *root) {
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList leaves = LIST(leaf->certificate), roots = LIST(root->certificate),
                                           issuers = LIST(between[0].certificate, between[1].certificate);
    int status;

    write_pem(directory, "root.pem", &roots);
    write_pem(directory, "between.pem", &issuers);
    write_pem(directory, "leaf.pem", &leaves);
    free(run(&status, "openssl verify -attime %lld -CAfile %s/root.pem -untrusted %s/between.pem %s/leaf.pem",
             (long long) NOW, directory, directory, directory));
    return status == 0;
}

static void check_case(const NameCase *c) {
    Extension constraints = CONSTRAINTS(c->constraints);
    Spec spec = { .subject = c->subject };
    Failure failure = FAILURE_INIT;

    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true);
    Entity between[] = { ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root, .extensions = { constraints }),
                         { NULL, NULL } };
    /* below the constraints, and within them as far as it can be: a CA has a name too */
    between[1] = ENTITY(.subject = "CN=Lower,OU=CAs,O=Example", .ca = true, .issuer = &between[0]);
    spec.issuer = &between[1];
    if (c->san.size > 0)
        spec.extensions[0] = SAN(c->san);
    spec.extensions[0].critical = c->san.size > 0 && !c->subject;
    _cleanup_entity_ Entity leaf = make_entity(&spec);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate),
                                           candidates = LIST(between[0].certificate, between[1].certificate);
    int r = chain_build(leaf.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure);
    if (c->verdict == GOOD || c->verdict == UNCLEAR_GOOD)
        assert_ok(r, failure);
    else {
        assert_failure(r, EKEYREJECTED, failure, c->reason);
        assert_non_null(strstr(failure.text, "name constraints of CN=Upper"));
    }
    if (c->verdict == GOOD || c->verdict == BAD)
        assert_int_equal(openssl_agrees(&leaf, between, &root), c->verdict == GOOD);
    entity_clear(&between[0]);
    entity_clear(&between[1]);
}

static void test_chains(void **state) {
    const BytesView example = SUBTREE(DIRECTORY(NAME(EXAMPLE))),
                    line = SUBTREE(DIRECTORY(NAME(EXAMPLE, RDN(OU, PRINTABLE, "Line 1")))),
                    cas = SUBTREE(DIRECTORY(NAME(EXAMPLE, RDN(OU, PRINTABLE, "CAs")))),
                    foreign = SUBTREE(DIRECTORY(NAME(RDN(O, PRINTABLE, "Foreign")))),
                    both = SUBTREE(DIRECTORY(
                        NAME(EXAMPLE, DER_SET(ATTRIBUTE(CN, UTF8, "device"), ATTRIBUTE(OU, UTF8, "Line 1"))))),
                    street = SUBTREE(DIRECTORY(NAME(RDN(O, UTF8,
                                                        "Stra\xc3\x9f"
                                                        "e")))),
                    dns = SUBTREE(der_text(0x82, "example.com")), mail = SUBTREE(der_text(0x81, "example.com")),
                    ip = SUBTREE(der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0a\0\0\0\xff\0\0\0", 8 }));
    const BytesView san_both = DIRECTORY(
                        NAME(EXAMPLE, DER_SET(ATTRIBUTE(OU, PRINTABLE, "LINE 1"), ATTRIBUTE(CN, PRINTABLE, "device")))),
                    san_example = DIRECTORY(NAME(EXAMPLE, RDN(CN, UTF8, "x"))),
                    san_foreign = DIRECTORY(NAME(RDN(O, PRINTABLE, "Foreign"), RDN(CN, UTF8, "x"))),
                    san_dns = der_text(0x82, "a.example.com"), san_other_dns = der_text(0x82, "a.example.org"),
                    san_ip = der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0a\x01\x02\x03", 4 }),
                    san_other_ip = der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0b\x01\x02\x03", 4 }),
                    san_mail = der_text(0x81, "a@example.com"), san_other_mail = der_text(0x81, "a@example.org"),
                    none = { NULL, 0 };
    const char *outside = "its subject is outside", *san_outside = "alternative names is outside",
               *other_outside = "is outside";
    const NameCase cases[] = {
        /* excluded ones: what is below them, and nothing else */
        { DER_SEQUENCE(EXCLUDED(foreign)), "CN=x,O=Example", none, GOOD, NULL },
        { DER_SEQUENCE(EXCLUDED(foreign)), "CN=x,O=Foreign", none, BAD, outside },
        { DER_SEQUENCE(EXCLUDED(foreign)), "CN=x,O=FOREIGN", none, BAD, outside },
        { DER_SEQUENCE(EXCLUDED(foreign)), "O=Foreign,CN=x", none, GOOD, NULL }, /* the other way round */
        { DER_SEQUENCE(EXCLUDED(foreign)), NULL, DER_SEQUENCE(san_dns), GOOD, NULL },
        { DER_SEQUENCE(EXCLUDED(line)), "CN=x,OU=Line 1,O=Example", none, BAD, outside },
        { DER_SEQUENCE(EXCLUDED(line)), "CN=x,OU=Line 2,O=Example", none, GOOD, NULL },
        { DER_SEQUENCE(EXCLUDED(line)), "O=Example", none, GOOD, NULL }, /* above it */
        { DER_SEQUENCE(EXCLUDED(foreign, line)), "CN=x,OU=Line 1,O=Example", none, BAD, outside },
        { DER_SEQUENCE(EXCLUDED(street)), "CN=x,O=Strasse", none, UNCLEAR, outside },
        { DER_SEQUENCE(EXCLUDED(example)), "CN=x,O=Foreign", none, BAD, "do not allow CN=Lower" },
        /* permitted ones */
        { DER_SEQUENCE(PERMITTED(example)), "CN=x,O=Example", none, GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(example)), "CN=x,O=example", none, GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(example)), "CN=x,O=Foreign", none, BAD, outside },
        { DER_SEQUENCE(PERMITTED(line, cas)), "CN=x,OU=Line 1,O=Example", none, GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(line, cas)), "O=Example", none, BAD, outside },
        { DER_SEQUENCE(PERMITTED(example, street)), "CN=x,O=Strasse", none, UNCLEAR, outside },
        { DER_SEQUENCE(PERMITTED(example), EXCLUDED(line)), "CN=x,OU=Line 1,O=Example", none, BAD, outside },
        { DER_SEQUENCE(PERMITTED(example), EXCLUDED(line)), "CN=x,OU=Line 2,O=Example", none, GOOD, NULL },
        /* among the alternative names, and of several values */
        { DER_SEQUENCE(PERMITTED(example)), "CN=x,O=Example", DER_SEQUENCE(san_example), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(example)), "CN=x,O=Example", DER_SEQUENCE(san_example, san_foreign), BAD,
          san_outside },
        { DER_SEQUENCE(EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_example), GOOD, NULL },
        { DER_SEQUENCE(EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_dns, san_foreign), BAD, san_outside },
        { DER_SEQUENCE(EXCLUDED(both)), "CN=x,O=Example", DER_SEQUENCE(san_both), BAD, san_outside },
        { DER_SEQUENCE(EXCLUDED(both)), "CN=x,O=Example", DER_SEQUENCE(san_example), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(both, cas, SUBTREE(DIRECTORY(NAME(EXAMPLE, RDN(CN, UTF8, "x")))))), "CN=x,O=Example",
          DER_SEQUENCE(san_both), GOOD, NULL },
        /* nobody compares registered identifiers */
        { DER_SEQUENCE(EXCLUDED(SUBTREE(der_text(0x88, "\x2a\x03")))), "CN=x", DER_SEQUENCE(der_text(0x88, "\x2a\x04")),
          UNCLEAR, "of a kind that they are about" },
        /* what GnuTLS compares counts beside them */
        { DER_SEQUENCE(PERMITTED(dns), EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_dns), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(dns), EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_other_dns), BAD,
          other_outside },
        { DER_SEQUENCE(EXCLUDED(foreign, dns)), "CN=x,O=Example", DER_SEQUENCE(san_dns), BAD, other_outside },
        { DER_SEQUENCE(EXCLUDED(foreign, dns)), "CN=x,O=Example", DER_SEQUENCE(san_other_dns), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(ip, example)), "CN=x,O=Example", DER_SEQUENCE(san_ip), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(ip, example)), "CN=x,O=Example", DER_SEQUENCE(san_other_ip), BAD, other_outside },
        { DER_SEQUENCE(PERMITTED(mail), EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_mail), GOOD, NULL },
        { DER_SEQUENCE(PERMITTED(mail), EXCLUDED(foreign)), "CN=x,O=Example", DER_SEQUENCE(san_other_mail), BAD,
          other_outside },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        print_message("           case %zu: %s\n", i, cases[i].subject ? cases[i].subject : "no subject");
        check_case(&cases[i]);
    }
    der_reset();
}

/* RFC 5280 §4.2.1.10: a host, or a domain with a dot before it. */
static void test_uris(void **state) {
#define URI(text) der_text(0x86, text)
    const BytesView domain = SUBTREE(URI(".example")), host = SUBTREE(URI("D1.example")), all = SUBTREE(URI("")),
                    foreign = SUBTREE(DIRECTORY(NAME(RDN(O, PRINTABLE, "Foreign"))));
    const char *outside = "a URI among its subject alternative names is outside";
    const struct {
        BytesView constraints;
        const char *uri;
        Verdict verdict;
    } cases[] = {
        { DER_SEQUENCE(PERMITTED(domain)), "https://d1.example/x", GOOD },
        { DER_SEQUENCE(PERMITTED(domain)), "https://u@a.b.EXAMPLE:8443", GOOD },
        { DER_SEQUENCE(PERMITTED(domain)), "https://example/x", BAD },
        { DER_SEQUENCE(PERMITTED(domain)), "https://d1.example.org/x", BAD },
        { DER_SEQUENCE(PERMITTED(domain)), "https://d1example/x", BAD },
        { DER_SEQUENCE(PERMITTED(domain)), "https://d1.example.org/.example", BAD },
        { DER_SEQUENCE(PERMITTED(host)), "https://d1.example/x", GOOD },
        { DER_SEQUENCE(PERMITTED(host)), "https://d1.example./x", UNCLEAR_GOOD },
        { DER_SEQUENCE(PERMITTED(host)), "https://a.d1.example/x", BAD },
        { DER_SEQUENCE(PERMITTED(host, domain)), "https://d2.example/x", GOOD },
        { DER_SEQUENCE(EXCLUDED(domain)), "https://d1.example/x", BAD },
        { DER_SEQUENCE(EXCLUDED(domain)), "https://d1.example./x", UNCLEAR },
        { DER_SEQUENCE(EXCLUDED(domain)), "https://example/x", GOOD },
        { DER_SEQUENCE(EXCLUDED(host)), "https://d2.example/x", GOOD },
        { DER_SEQUENCE(PERMITTED(domain), EXCLUDED(host)), "https://d1.example/x", BAD },
        { DER_SEQUENCE(PERMITTED(domain), EXCLUDED(host)), "https://d2.example/x", GOOD },
        { DER_SEQUENCE(EXCLUDED(all)), "https://d2.example/x", UNCLEAR },
        { DER_SEQUENCE(PERMITTED(all)), "https://d2.example/x", UNCLEAR },
        { DER_SEQUENCE(EXCLUDED(foreign, host)), "https://d2.example/x", GOOD },
        /* without a DNS name there is nothing to compare */
        { DER_SEQUENCE(EXCLUDED(host)), "urn:x", UNCLEAR },
        { DER_SEQUENCE(PERMITTED(domain)), "urn:x", UNCLEAR },
        { DER_SEQUENCE(EXCLUDED(host)), "https://192.0.2.1/", UNCLEAR },
        { DER_SEQUENCE(EXCLUDED(host)), "https://[2001:db8::1]/", UNCLEAR },
        { DER_SEQUENCE(EXCLUDED(host)), "https://d1%2eexample/", UNCLEAR },
        /* what is not about URIs does not touch them */
        { DER_SEQUENCE(EXCLUDED(foreign)), "urn:x", GOOD },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        bool is_good = cases[i].verdict == GOOD || cases[i].verdict == UNCLEAR_GOOD;
        NameCase c = { cases[i].constraints, "CN=x,O=Example", DER_SEQUENCE(URI(cases[i].uri)), cases[i].verdict,
                       is_good ? NULL : outside };
        print_message("           case %zu: %s\n", i, cases[i].uri);
        check_case(&c);
    }
    der_reset();
}

/* The names of a CA in between are bound as well. */
static void test_intermediates(void **state) {
    const BytesView dns = SUBTREE(der_text(0x82, "example.com")), mail = SUBTREE(der_text(0x81, "example.com")),
                    uri = SUBTREE(URI(".example.com")),
                    ip = SUBTREE(der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0a\0\0\0\xff\0\0\0", 8 })),
                    constraints = DER_SEQUENCE(PERMITTED(dns, mail, uri, ip));
    const struct {
        BytesView name;
        const char *reason; /* NULL: good */
    } cases[] = {
        { der_text(0x82, "ca.example.com"), NULL },
        { der_text(0x82, "ca.example.org"), "among its subject alternative names is outside" },
        { der_text(0x81, "ca@example.com"), NULL },
        { der_text(0x81, "ca@example.org"), "among its subject alternative names is outside" },
        { der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0a\x01\x02\x03", 4 }), NULL },
        { der_bytes(0x87, (BytesView) { (const uint8_t *) "\x0b\x01\x02\x03", 4 }),
          "among its subject alternative names is outside" },
        { URI("https://ca.example.com/"), NULL },
        { URI("https://ca.example.org/"), "a URI among its subject alternative names is outside" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        BytesView san = DER_SEQUENCE(cases[i].name);
        _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                                upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root,
                                               .extensions = { CONSTRAINTS(constraints) }),
                                lower = ENTITY(.subject = "CN=Lower", .ca = true, .issuer = &upper,
                                               .extensions = { SAN(san) }),
                                leaf = ENTITY(.subject = "CN=leaf", .issuer = &lower, .dns = "a.example.com");
        _cleanup_certificates_ CertificateList anchors = LIST(root.certificate),
                                               candidates = LIST(upper.certificate, lower.certificate);
        Failure failure = FAILURE_INIT;
        print_message("           case %zu\n", i);
        int r = chain_build(leaf.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure);
        if (!cases[i].reason)
            assert_ok(r, failure);
        else {
            assert_failure(r, EKEYREJECTED, failure, cases[i].reason);
            assert_non_null(strstr(failure.text, "do not allow CN=Lower"));
        }
    }
    der_reset();
}

/* `count` times the same, in one constructed value. */
static BytesView crowd_of(uint8_t tag, BytesView one, size_t count) {
    _cleanup_bytes_ Bytes all = BYTES_NULL;

    for (size_t i = 0; i < count; i++)
        assert_int_equal(bytes_append(&all, one), 0);
    return der_bytes(tag, bytes_view(&all));
}

static void test_crowds(void **state) {
    const BytesView foreign = DIRECTORY(NAME(RDN(O, PRINTABLE, "Foreign"))),
                    example = DIRECTORY(NAME(EXAMPLE, RDN(CN, UTF8, "x")));
    const NameCase cases[] = {
        { DER_SEQUENCE(crowd_of(0xa1, SUBTREE(foreign), 256)), "CN=x", crowd_of(0x30, example, 64), GOOD, NULL },
        { DER_SEQUENCE(crowd_of(0xa1, SUBTREE(foreign), 600)), "CN=x", crowd_of(0x30, example, 600), UNCLEAR,
          "too many names and constraints" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        check_case(&cases[i]);
    der_reset();
}

/* The constraints of each CA count, whichever is GnuTLS's part and whichever ours. */
static void test_two_levels(void **state) {
    BytesView foreign = DER_SEQUENCE(EXCLUDED(SUBTREE(DIRECTORY(NAME(RDN(O, PRINTABLE, "Foreign")))))),
              example = DER_SEQUENCE(PERMITTED(SUBTREE(DIRECTORY(NAME(EXAMPLE)))));
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            upper = ENTITY(.subject = "CN=Upper", .ca = true, .issuer = &root,
                                           .extensions = { CONSTRAINTS(foreign) }),
                            lower = ENTITY(.subject = "CN=Lower,O=Example", .ca = true, .issuer = &upper,
                                           .permitted_dns = "example.com"),
                            middle = ENTITY(.subject = "CN=Middle,O=Example", .ca = true, .issuer = &upper,
                                            .extensions = { CONSTRAINTS(example) }),
                            bottom = ENTITY(.subject = "CN=Bottom,O=Example", .ca = true, .issuer = &middle,
                                            .extensions = { CONSTRAINTS(example) }),
                            good = ENTITY(.subject = "CN=x,O=Example", .issuer = &lower, .dns = "a.example.com"),
                            bad_dns = ENTITY(.subject = "CN=x,O=Example", .issuer = &lower, .dns = "a.example.org"),
                            bad_name = ENTITY(.subject = "CN=x,O=Foreign", .issuer = &lower, .dns = "a.example.com"),
                            permitted = ENTITY(.subject = "CN=x,O=Example", .issuer = &bottom),
                            stray = ENTITY(.subject = "CN=x,O=Stray", .issuer = &bottom);
    _cleanup_certificates_ CertificateList anchors = LIST(root.certificate),
                                           candidates = LIST(upper.certificate, lower.certificate, middle.certificate,
                                                             bottom.certificate);
    Failure failure = FAILURE_INIT;

    assert_ok(chain_build(good.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), failure);
    assert_ok(chain_build(permitted.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), failure);
    assert_failure(chain_build(bad_dns.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "name constraints of CN=Lower");
    assert_failure(chain_build(bad_name.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "name constraints of CN=Upper");
    assert_failure(chain_build(stray.certificate, &candidates, &anchors, NOW, NULL, NULL, &failure), EKEYREJECTED,
                   failure, "its subject is outside");
    der_reset();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefix),    cmocka_unit_test(test_values),        cmocka_unit_test(test_several_values),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_chains),        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_uris),      cmocka_unit_test(test_intermediates), cmocka_unit_test(test_two_levels),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
