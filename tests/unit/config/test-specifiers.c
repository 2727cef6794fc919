/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Values of a device in names: whatever a host name or the firmware's serial number is, the name keeps the parts that
 * its template has, or is refused with the value and the reason. */
#include "config/specifiers.h"

#include "common/distinguished-name.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const Specifiers device = {
    .device_id = "d0",
    .host_name = " a,b+\"\\<>;=# ",
    .machine_id = "#m",
    .serial = "",
    .serial_problem = "the serial is empty",
};

/* Either `expected`, or a refusal with `reason` in it. */
static void expect(const Specifiers *specifiers, SpecifierPlace place, const char *template, const char *expected,
                   const char *reason) {
    _cleanup_free_ char *text = NULL, *problem = NULL;

    int r = specifiers_expand(template, specifiers, place, &text, &problem);
    if (r != (expected ? 0 : -EINVAL))
        fail_msg("%s: %d %s%s", template, r, text ? text : "", problem ? problem : "");
    if (expected)
        assert_string_equal(text, expected);
    else if (!strstr(problem, reason))
        fail_msg("%s: no '%s' in '%s'", template, reason, problem);
    assert_true((text != NULL) == (expected != NULL) && (problem == NULL) == (expected != NULL));
}

static void test_expansion(void **state) {
    const Specifiers empty = { .device_id_problem = "why not" };
    char big[SPECIFIERS_EXPANDED_MAX + 2], *text = NULL, *problem = NULL;

    expect(&device, PLACE_SUBJECT, "", "", NULL);
    expect(&device, PLACE_SUBJECT, "CN=%d,O=x%%y", "CN=d0,O=x%y", NULL);
    expect(&device, PLACE_SUBJECT, "CN=%H", "CN=\\ a\\,b\\+\\\"\\\\\\<\\>\\;\\=#\\ ", NULL);
    expect(&device, PLACE_SUBJECT, "CN=%m", "CN=\\#m", NULL);
    expect(&device, PLACE_USER, "%H", " a,b+\"\\<>;=# ", NULL);
    expect(&device, PLACE_SUBJECT, "CN=%s", NULL, "the serial is empty");
    expect(&device, PLACE_SUBJECT, "CN=%x", NULL, "unknown % specifier");
    expect(&device, PLACE_SUBJECT, "CN=a%", NULL, "unknown % specifier");
    expect(&empty, PLACE_SUBJECT, "CN=%d", NULL, "why not");
    expect(&empty, PLACE_SUBJECT, "CN=%H", NULL, "no static host name");

    memset(big, 'a', sizeof(big));
    big[SPECIFIERS_EXPANDED_MAX] = '\0';
    assert_int_equal(specifiers_expand(big, &empty, PLACE_USER, &text, &problem), 0);
    free(text);
    big[SPECIFIERS_EXPANDED_MAX] = 'a';
    big[SPECIFIERS_EXPANDED_MAX + 1] = '\0';
    assert_int_equal(specifiers_expand(big, &empty, PLACE_USER, &text, &problem), -E2BIG);
    assert_string_equal(problem, "longer than 1024 bytes when expanded");
    free(problem);

    assert_true(specifiers_uses("a%%%d", 'd'));
    assert_false(specifiers_uses("a%%d", 'd'));
    assert_false(specifiers_uses("a%", 'd'));
}

/* Where a template has a specifier, before anybody knows its value: `idctl check` finds these. */
static void test_positions(void **state) {
    static const struct {
        SpecifierPlace place;
        const char *template, *reason;
    } bad[] = {
        { PLACE_SUBJECT, "%s=a", "only in a value" },
        { PLACE_SUBJECT, "CN=a,%s", "only in a value" },
        { PLACE_SUBJECT, "CN=a, %s=b", "only in a value" },
        { PLACE_SUBJECT, "CN=a\\\\,%s", "only in a value" },
        { PLACE_SUBJECT, "CN=#%s", "begins with '#'" },
        { PLACE_SUBJECT, "CN= #0C01%s", "begins with '#'" },
        { PLACE_SUBJECT, "CN=a\\%s", "within an escape" },
        { PLACE_SUBJECT, "CN=a\\2%s", "within an escape" },
        { PLACE_SUBJECT, "CN=\\\\\\%s", "within an escape" },
        { PLACE_URI, "%s:a", "in the scheme" },
        { PLACE_URI, "ur%s:a", "in the scheme" },
        { PLACE_URI, "urn:a%%%s", "within an escape" },
        { PLACE_URI, "urn:a%%2%s", "within an escape" },
        { PLACE_HARDWARE_MODULE, "1.3.%s/a", "in an object identifier" },
        { PLACE_HARDWARE_MODULE, "%s", "in an object identifier" },
        { PLACE_IP, "192.0.2.%s", "in an address" },
    };
    static const struct {
        SpecifierPlace place;
        const char *template, *expected;
    } good[] = {
        { PLACE_SUBJECT, "CN=a\\,%s,O = %s", "CN=a\\,1,O = 1" },
        { PLACE_SUBJECT, "CN=a\\2C%s", "CN=a\\2C1" },
        { PLACE_SUBJECT, "CN=a#%s,O=%%%s", "CN=a#1,O=%1" },
        { PLACE_SUBJECT, "CN=\\#%s", "CN=\\#1" },
        { PLACE_URI, "urn:%s", "urn:1" },
        { PLACE_URI, "urn:a%%20%s", "urn:a%201" },
        { PLACE_HARDWARE_MODULE, "1.3/%s/%s", "1.3/1/1" },
        { PLACE_DNS, "a%s.%s", "a1.1" },
        { PLACE_IP, "192.0.2.1", "192.0.2.1" },
    };
    static const Specifiers one = { .serial = "1" };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++)
        expect(&one, bad[i].place, bad[i].template, NULL, bad[i].reason);
    for (size_t i = 0; i < ARRAY_LENGTH(good); i++)
        expect(&one, good[i].place, good[i].template, good[i].expected, NULL);
}

/* Both as serial number and as host name; NULL: refused. */
static void test_values(void **state) {
    static const char label[] = "cannot stand in a label of a DNS name", name[] = "cannot stand in a DNS name",
                      control[] = "has a control character, or is no UTF-8", colon[] = "has a ':'";
    static const struct {
        SpecifierPlace place;
        const char *template, *value, *expected, *reason;
    } cases[] = {
        { PLACE_SUBJECT, "CN=%s,O=x", "a,O=evil", "CN=a\\,O\\=evil,O=x", NULL },
        { PLACE_SUBJECT, "CN=%s", "a\nb", NULL, control },
        { PLACE_SUBJECT, "CN=%s", "\xff", NULL, control },
        { PLACE_DNS, "%s.example", "A-1_b", "A-1_b.example", NULL },
        { PLACE_DNS, "%s.example", "a.b", NULL, label },
        { PLACE_DNS, "%H.example", "a.b", "a.b.example", NULL },
        { PLACE_DNS, "%s", "To be filled", NULL, "%s is \"To be filled\" on this device and cannot stand in a label" },
        { PLACE_DNS, "%H", "a/b", NULL, name },
        { PLACE_DNS, "%s", "*", NULL, label },
        { PLACE_DNS, "%s", "%d", NULL, label },
        { PLACE_URI, "urn:x:%s:y", "a:b/c?d#e", "urn:x:a%3Ab%2Fc%3Fd%23e:y", NULL },
        { PLACE_URI, "urn:x:%s", "50%41", "urn:x:50%2541", NULL },
        { PLACE_URI, "urn:x:%s", "Z-._~0", "urn:x:Z-._~0", NULL },
        { PLACE_URI, "urn:x:%s", "\xc3\xbc [1]", "urn:x:%C3%BC%20%5B1%5D", NULL },
        { PLACE_URI, "urn:x:%s", "a\x7f", NULL, control },
        { PLACE_URI, "https://%s.example/", "a@b", NULL, label },
        { PLACE_URI, "https://%s.example/", "a.b", NULL, label },
        { PLACE_URI, "https://%H/%H", "a.b", "https://a.b/a.b", NULL },
        { PLACE_URI, "https://%H/", "evil/x", NULL, name },
        { PLACE_URI, "https://a.example/%s", "b/c", "https://a.example/b%2Fc", NULL },
        { PLACE_URI, "https://a.example?%s", "b&c=d", "https://a.example?b%26c%3Dd", NULL },
        /* Two slashes begin an authority only where the scheme ends, and a value does not end one. */
        { PLACE_URI, "x:%s//%s", "a.b", "x:a.b//a.b", NULL },
        { PLACE_URI, "x:/%s/%s", "a.b", "x:/a.b/a.b", NULL },
        { PLACE_URI, "https://%H.%s/", "a.b", NULL, label },
        { PLACE_HARDWARE_MODULE, "1.3/%s", "a/b c", "1.3/a/b c", NULL },
        { PLACE_HARDWARE_MODULE, "1.3/%s", "a\x01", NULL, control },
        { PLACE_USER, "device-%s", "a b@c", "device-a b@c", NULL },
        { PLACE_USER, "device-%s", "a:b", NULL, colon },
        { PLACE_USER, "device-%H", "a\rb", NULL, control },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        const Specifiers specifiers = { .serial = cases[i].value, .host_name = cases[i].value };
        expect(&specifiers, cases[i].place, cases[i].template, cases[i].expected, cases[i].reason);
    }
}

/* Every byte and every pair of two that mean something, in the middle, at both ends and alone: one value in, that value
 * out of the DER. */
static void test_subject_keeps_its_shape(void **state) {
    static const char bytes[] = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~0aFzZ";
    static const struct {
        const char *before, *after;
    } shapes[] = { { "", "" }, { "a", "a" }, { " ", " " }, { "\\", "" }, { "", "\\" }, { "4", "1" } };
    static const uint8_t head[] = { 0x30, 0x00, 0x31, 0x00, 0x30, 0x00, 0x06, 0x03, 0x55, 0x04, 0x03 };

    for (size_t i = 0; i < sizeof(bytes) - 1; i++)
        for (size_t j = 0; j < sizeof(bytes) - 1; j++)
            for (size_t k = 0; k < ARRAY_LENGTH(shapes); k++) {
                _cleanup_free_ char *value = NULL, *text = NULL, *problem = NULL;
                _cleanup_bytes_ Bytes der = BYTES_NULL;
                Failure failure = FAILURE_INIT;
                assert_true(asprintf(&value, "%s%c%c%s", shapes[k].before, bytes[i], bytes[j], shapes[k].after) > 0);
                const Specifiers specifiers = { .serial = value };
                assert_int_equal(specifiers_expand("CN=%s", &specifiers, PLACE_SUBJECT, &text, &problem), 0);
                if (distinguished_name_encode(text, &der, &failure) < 0)
                    fail_msg("'%s', '%s': %s", value, text, failure.text);
                /* SEQUENCE { SET { SEQUENCE { id-at-commonName, string } } }, lengths aside */
                assert_int_equal(der.size, sizeof(head) + 2 + strlen(value));
                for (size_t n = 0; n < sizeof(head); n++)
                    if (head[n] != 0 && der.data[n] != head[n])
                        fail_msg("'%s' made another name", value);
                assert_memory_equal(der.data + sizeof(head) + 2, value, strlen(value));
            }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expansion),
        cmocka_unit_test(test_positions),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_subject_keeps_its_shape),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
