/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Object identifiers, subjects, alternative names and key references: each bound from both of its sides, and each
 * string type with what it allows. What people write in a configuration is in tests/unit/config/test-names.c. */
#include "common/alternative-name.h"
#include "common/distinguished-name.h"
#include "common/oid.h"

#include "tests/unit/common/test.h"

#include <gnutls/gnutls.h>
#include <stdio.h>
#include <string.h>

#define A10 "aaaaaaaaaa"
#define A60 A10 A10 A10 A10 A10 A10

/* `count` times the text `what`, behind `head`. The caller frees it. */
static char *repeated(const char *head, const char *what, size_t count) {
    size_t length = strlen(head), step = strlen(what);
    char *text = malloc(length + count * step + 1);

    assert_non_null(text);
    memcpy(text, head, length + 1);
    for (size_t i = 0; i < count; i++)
        memcpy(text + length + i * step, what, step + 1);
    return text;
}

/* ---- object identifiers ---- */

static void object_identifiers(void **state) {
    static const char *const good[] = {
        "0.0", "0.39", "1.0", "1.39", "2.0", "2.40", "2.999999999", "2.5.4.3", "1.3.6.1.4.1.99999.1", "2.10.0.100",
    };
    static const char *const bad[] = {
        "",     "0",    "2",        "2.",   ".2",   "2..5",           "0.40",         "1.40", "1.100",
        "3.0",  "2.5.", "2.5.4.03", "02.5", "2.05", "2.00",           "2.5 ",         " 2.5", "2,5",
        "2.5a", "a.5",  "-1.5",     "2.-5", "2./",  "2.5.1000000000", "2.1000000000", "2.:",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        if (!oid_is_valid(good[i], strlen(good[i])))
            fail_msg("%s is refused", good[i]);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        if (oid_is_valid(bad[i], strlen(bad[i])))
            fail_msg("'%s' is taken", bad[i]);
    assert_true(oid_is_valid("2.5.4.3/x", 7)); /* what stands behind its end is not looked at */
    assert_true(oid_is_valid("2.5.4.3.", 7));
    assert_false(oid_is_valid("2.5\0.4", 6));
    _cleanup_free_ char *longest = repeated("2.5", ".1", (OID_TEXT_MAX - 3) / 2);
    assert_int_equal(strlen(longest), OID_TEXT_MAX);
    assert_true(oid_is_valid(longest, OID_TEXT_MAX));
    _cleanup_free_ char *longer = repeated("2.55", ".1", (OID_TEXT_MAX - 3) / 2);
    assert_int_equal(strlen(longer), OID_TEXT_MAX + 1);
    assert_false(oid_is_valid(longer, OID_TEXT_MAX + 1));
}

/* ---- subjects ---- */

static const struct {
    const char *text, *hex;
} encoded[] = {
    { "", "3000" },
    { "CN=a", "300c310a30080603550403130161" },
    { "CN=\xc3\xbc", "300d310b300906035504030c02c3bc" },
    /* the last part comes first */
    { "CN=a,O=b", "3018310a3008060355040a130162310a30080603550403130161" },
    { "C=DE", "300d310b3009060355040613024445" },
    { "cn = a ", "300c310a30080603550403130161" },
    { "CN=\\61\\4a\\4A", "300e310c300a06035504031303614a4a" },
    { "CN=#0c0161", "300c310a300806035504030c0161" },
    { "CN=#0C0161 ", "300c310a300806035504030c0161" },
    { "CN=a\\ ", "300d310b3009060355040313026120" },
    { "2.5.4.3=a", "300c310a30080603550403130161" },
};

static void subjects_as_der(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(encoded); i++) {
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        if (distinguished_name_encode(encoded[i].text, &der, &failure) < 0)
            fail_msg("'%s': %s", encoded[i].text, failure.text);
        _cleanup_free_ char *hex = bytes_to_hex(bytes_view(&der));
        assert_string_equal(hex, encoded[i].hex);
    }
}

/* Whether a subject is taken; a refusal says what it must. */
static void expect_subject(const char *text, const char *reason) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    int r = distinguished_name_encode(text, &der, &failure);

    if (r != (reason ? -EINVAL : 0))
        fail_msg("'%.60s': %d %s", text, r, failure.text);
    if (!reason)
        return;
    assert_int_equal(failure.kind, FAILURE_INVALID_ARGUMENT);
    if (!strstr(failure.text, reason))
        fail_msg("'%.60s': %s", text, failure.text);
    assert_null(der.data);
}

/* RFC 5280 appendix A.1, in characters and not in bytes. */
static void lengths_of_values(void **state) {
    static const struct {
        const char *name, *character, *reason;
        size_t minimum, maximum;
    } bounds[] = {
        { "CN", "a", "a certificate allows 64", 1, 64 },        { "serialNumber", "1", "allows 64", 1, 64 },
        { "C", "D", "a certificate allows 2", 2, 2 },           { "L", "a", "a certificate allows 128", 1, 128 },
        { "ST", "a", "a certificate allows 128", 1, 128 },      { "O", "a", "a certificate allows 64", 1, 64 },
        { "OU", "a", "a certificate allows 64", 1, 64 },        { "title", "a", "a certificate allows 64", 1, 64 },
        { "CN", "\xc3\xbc", "a certificate allows 64", 1, 64 }, { "O", "\xe2\x82\xac", "allows 64", 1, 64 },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bounds); i++) {
        _cleanup_free_ char *head = NULL;
        assert_true(asprintf(&head, "%s=", bounds[i].name) > 0);
        for (size_t count = 1; count <= bounds[i].maximum + 1; count++) {
            _cleanup_free_ char *text = repeated(head, bounds[i].character, count);
            expect_subject(text, count < bounds[i].minimum || count > bounds[i].maximum ? bounds[i].reason : NULL);
        }
    }
    expect_subject("DC=" A60 A60 A60, NULL); /* which has no bound of its own */
}

/* Each type of string with characters that others do not have. */
static void characters_of_types(void **state) {
    expect_subject("serialNumber=AZaz09 '()+,-./:=?" + 0, "'+' is written");
    expect_subject("serialNumber=AZaz09 '()\\+\\,-./:=?", NULL);
    for (const char *c = "!$%&*@_`{|}~"; *c; c++) {
        char text[32];
        (void) snprintf(text, sizeof text, "serialNumber=a%cb", *c);
        expect_subject(text, "serialNumber may have only letters, digits");
        (void) snprintf(text, sizeof text, "CN=a%cb", *c); /* UTF-8 has them */
        expect_subject(text, NULL);
        (void) snprintf(text, sizeof text, "DC=a%cb", *c); /* and so has ASCII */
        expect_subject(text, NULL);
    }
    expect_subject("DC=\xc3\xbc", "DC may not have \"\xc3\xbc\" as its value");
    expect_subject("C=\xc3\xbc", "C may have only letters");
    expect_subject("CN=#120131", NULL);                    /* NumericString */
    expect_subject("CN=#12023120", NULL);                  /* with a space */
    expect_subject("CN=#120161", "CN may not have \"a\""); /* and a letter */
    expect_subject("CN=#160161", NULL);                    /* IA5String */
    expect_subject("CN=#1602c3bc", "CN may not have");     /* beyond ASCII */
    expect_subject("CN=#130161", NULL);                    /* PrintableString */
    expect_subject("CN=#13015f", "CN may have only letters");
    /* Octets and the older types are not looked into. */
    expect_subject("CN=#0401ff", NULL);
    expect_subject("CN=#1401ff", NULL);
    expect_subject("CN=#1e020161", NULL);
    expect_subject("CN=#1c0400000161", NULL);
    expect_subject("CN=#0c01ff", "is no UTF-8");
    expect_subject("CN=#030161", "is not the DER of one string"); /* a BIT STRING */
    expect_subject("CN=#8c0161", "is not the DER of one string"); /* not universal */
    expect_subject("CN=#0c00", "is not the DER of one string");
    expect_subject("CN=#0c0261", "is not the DER of one string");
    expect_subject("CN=#0c016161", "is not the DER of one string");
    expect_subject("CN=#", "is not the DER of one string");
    expect_subject("CN=#0c016", "even number of hexadecimal digits");
    expect_subject("CN=#0c01g1", "even number of hexadecimal digits");
    expect_subject("CN=#0c01/1", "even number of hexadecimal digits");
    expect_subject("CN=#0c01:1", "even number of hexadecimal digits");
    expect_subject("CN=#0c01@1", "even number of hexadecimal digits");
    expect_subject("CN=#0c01`1", "even number of hexadecimal digits");
}

static void sizes_of_subjects(void **state) {
    /* As many parts as there may be, and one more. */
    _cleanup_free_ char *parts = repeated("DC=a", ",DC=a", 31), *more = repeated("DC=a", ",DC=a", 32);
    expect_subject(parts, NULL);
    expect_subject(more, "more than 32 parts");
    /* Of values that have no bound: the whole text decides. */
    _cleanup_free_ char *longest = repeated("DC=", "a", DISTINGUISHED_NAME_MAX - 3);
    _cleanup_free_ char *longer = repeated("DC=", "a", DISTINGUISHED_NAME_MAX - 2);
    expect_subject(longest, NULL);
    expect_subject(longer, "it has 1025 bytes, more than 1024");
    _cleanup_free_ char *known = repeated("", "a", 63), *name = NULL, *longer_name = NULL;
    assert_true(asprintf(&name, "%s=b", known) > 0 && asprintf(&longer_name, "a%s=b", known) > 0);
    expect_subject(name, "is no attribute that is known here");
    expect_subject(longer_name, "no attribute before the '='");
}

static void syntax_of_subjects(void **state) {
    expect_subject("CN=a,", "take out the last comma");
    expect_subject("CN=a ,", "take out the last comma");
    expect_subject("CN=a, O", "begins with an attribute and '=', which \"O\" does not");
    expect_subject("=a", "no attribute before the '='");
    expect_subject("CN=", "a part has no value");
    expect_subject("CN=a\\7", "is no escape");
    expect_subject("CN=a\\", "is no escape");
    expect_subject("CN=a\\!", "is no escape");
    for (const char *c = "\"<>;"; *c; c++) {
        char text[16];
        (void) snprintf(text, sizeof text, "CN=a%cb", *c);
        expect_subject(text, "is written as");
        (void) snprintf(text, sizeof text, "CN=a\\%cb", *c);
        expect_subject(text, NULL);
    }
    expect_subject("CN=a+b", "a '+' is written as");
    expect_subject("3.5=a", "\"3.5\" is no object identifier");
    expect_subject("2.5.4.3.99999=a", "how a value of 2.5.4.3.99999 is encoded is not known here");
    expect_subject("1.2.3.4=#0c0161", NULL);
    expect_subject("CN=a\\07b", "control character");
    expect_subject("CN=a\\7fb", "control character");
}

/* ---- alternative names ---- */

static void expect_san(SanKind kind, const char *value, bool good) {
    const char *fault = san_fault(kind, value);

    if ((fault == NULL) != good)
        fail_msg("'%.60s': %s", value, fault ? fault : "taken");
    if (fault)
        assert_memory_equal(fault, "must be ", 8);
}

static void hosts(void **state) {
    static const char *const good[] = { "a", "a.b", "1.a", "a-b.c-d", "0x", "a.0xg", "a.1a", "A.Z", "a_b", "z9.z" };
    static const char *const bad[] = {
        "",     ".",    "a.",   ".a",    "a..b",   "-a", "a-",  "a.-b", "a-.b", "a b", "a/b", "*.a",
        "a.12", "a.0x", "0x7f", "a.0X1", "a.0xfF", "1",  "a@b", "a[b",  "a`b",  "a{b", "a:b", "\xc3\xbc",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        expect_san(SAN_DNS, good[i], !strstr(good[i], "0x") || strcmp(good[i], "a.0xg") == 0);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_san(SAN_DNS, bad[i], false);
    expect_san(SAN_DNS, A60 "aaa.b", true); /* 63 */
    expect_san(SAN_DNS, A60 "aaaa.b", false);
    expect_san(SAN_DNS, "b." A60 "aaa", true);
    expect_san(SAN_DNS, "b." A60 "aaaa", false);
    _cleanup_free_ char *longest = repeated("a", ".a", 126), *longer = repeated("aa", ".a", 126);
    assert_int_equal(strlen(longest), 253);
    expect_san(SAN_DNS, longest, true);
    expect_san(SAN_DNS, longer, false);
    assert_true(dns_name_is_valid("a_b.c", 5, true));
    assert_false(dns_name_is_valid("a_b.c", 5, false));
    assert_true(dns_name_is_valid("a-b.c", 5, false));
    assert_true(dns_name_is_valid("a.b/c", 3, false)); /* what stands behind its end is not looked at */
    assert_true(dns_name_is_valid("a.12b", 5, false));
    assert_false(dns_name_is_valid("a.12b", 4, false));
    assert_true(dns_name_is_valid("a.0x1g", 6, false));
    assert_false(dns_name_is_valid("a.0x1g", 5, false));
    assert_false(dns_name_is_valid("a\0b", 3, true));
}

static void addresses_and_uris(void **state) {
    static const char *const good[] = {
        "urn:a",
        "a:b",
        "a+b-c.9:d",
        "https://a.example//b",
        "https://a.example/.../b",
        "urn:%41%fF",
        "a:..",
        "x:/.a/b.",
        "x:/a?/./",
        "x:/a#/../",
        "x:-._~:/?#[]@!$&'()*+,;=",
    };
    static const char *const bad[] = {
        "",      "a",      ":a",     "a:",     "9a:b",    "+a:b",     "-a:b",      ".a:b",    "a/b:c",
        "a b:c", "a:b c",  "a:\"",   "a:<",    "a:\\",    "a:^",      "a:`",       "a:{",     "a:|",
        "a:}",   "a:\x7f", "a:%",    "a:%4",   "a:%4g",   "a:%g4",    "a:%%41",    "a:%41%4", "a:\xc3\xbc",
        "x:/.",  "x:/..",  "x:/./a", "x:/../", "x:/a/..", "x:/a/.?b", "x:/a/..#b",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        expect_san(SAN_URI, good[i], true);
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect_san(SAN_URI, bad[i], false);
    _cleanup_free_ char *longest = repeated("u:", "a", SAN_URI_MAX - 2), *longer = repeated("u:", "a", SAN_URI_MAX - 1);
    expect_san(SAN_URI, longest, true);
    expect_san(SAN_URI, longer, false);
    expect_san(SAN_IP, "192.0.2.1", true);
    expect_san(SAN_IP, "::1", true);
    expect_san(SAN_IP, "192.0.2.256", false);
    expect_san(SAN_IP, "::g", false);
    expect_san(SAN_IP, "", false);
}

static void hardware_modules(void **state) {
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/a", true);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/a/b", true); /* the rest is the serial number */
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/" A60 "aaaa", true);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/" A60 "aaaaa", false);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/", false);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6", false);
    expect_san(SAN_HARDWARE_MODULE, "1/a", false);
    expect_san(SAN_HARDWARE_MODULE, "/a", false);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/a\tb", false);
    expect_san(SAN_HARDWARE_MODULE, "1.3.6/\xff", false);
    assert_string_equal(san_fault((SanKind) 99, "a"), "is of no known kind");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(object_identifiers),
        cmocka_unit_test(subjects_as_der),
        cmocka_unit_test(lengths_of_values),
        cmocka_unit_test(characters_of_types),
        cmocka_unit_test(sizes_of_subjects),
        cmocka_unit_test(syntax_of_subjects),
        cmocka_unit_test(hosts),
        cmocka_unit_test(addresses_and_uris),
        cmocka_unit_test(hardware_modules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
