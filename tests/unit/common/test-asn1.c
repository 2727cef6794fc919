/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Trees from a table: made, and decoded from what is exactly one value in DER. */
#include "common/asn1.h"

#include "test.h"

#include <stdlib.h>
#include <string.h>

#define HAVE_CONFIG_H 0 /* the table asks with #if */
#include "test-asn1-table.h"

static int decode(const char *bytes, size_t size, asn1_node *ret) {
    return asn1_tree_decode(test_asn1_table, "TEST.Pair", (BytesView) { (const uint8_t *) bytes, size }, ret);
}

static void test_both_ways(void **state) {
    _cleanup_asn1_ asn1_node made = NULL, read = NULL;
    char der[16], text[8];
    int size = sizeof(der);

    assert_int_equal(asn1_tree_new(test_asn1_table, "TEST.Pair", &made), 0);
    assert_int_equal(asn1_write_value(made, "number", "\x07", 1), ASN1_SUCCESS);
    assert_int_equal(asn1_write_value(made, "text", "abc", 3), ASN1_SUCCESS);
    assert_int_equal(asn1_der_coding(made, "", der, &size, NULL), ASN1_SUCCESS);
    assert_int_equal(decode(der, (size_t) size, &read), 0);
    size = sizeof(text);
    assert_int_equal(asn1_read_value(read, "text", text, &size), ASN1_SUCCESS);
    assert_int_equal(size, 3);
    assert_memory_equal(text, "abc", 3);
}

static void test_what_is_no_der(void **state) {
    const struct {
        const char *bytes;
        size_t size;
    } cases[] = {
        { "", 0 },
        { "\x30", 1 },
        { "\x30\x06\x02\x01\x07\x04\x01", 7 },             /* cut off */
        { "\x30\x06\x02\x01\x07\x04\x01x\x05\x00", 10 },   /* more behind it */
        { "\x30\x80\x02\x01\x07\x04\x01x\x00\x00", 10 },   /* of no definite length */
        { "\x30\x03\x02\x01\x07", 5 },                     /* a field too few */
        { "\x31\x06\x02\x01\x07\x04\x01x", 8 },            /* something else */
        { "\x30\x0a\x02\x01\x07\x24\x05\x04\x03xyz", 12 }, /* a string in parts */
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        asn1_node untouched = NULL;
        assert_int_equal(decode(cases[i].bytes, cases[i].size, &untouched), -EBADMSG);
        assert_null(untouched);
    }
    asn1_node untouched = NULL;
    assert_int_equal(decode("x", SIZE_MAX, &untouched), -EBADMSG); /* no length that libtasn1 can count */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),
        cmocka_unit_test(test_what_is_no_der),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
