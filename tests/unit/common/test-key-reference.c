/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What key.pem holds, byte by byte, and who has none. */
#include "common/key-reference.h"
#include "common/macros.h"

#include <gnutls/gnutls.h>
#include <string.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MARK "\x0c\x0eorg.identityd1"

static void expect_der(const char *name, uint32_t generation, const char *der, size_t size) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    gnutls_datum_t found = { NULL, 0 };

    assert_int_equal(key_reference_to_pem(name, generation, &pem), 0);
    const gnutls_datum_t in = { pem.data, (unsigned) pem.size };
    assert_int_equal(gnutls_pem_base64_decode2("IDENTITYD PRIVATE KEY", &in, &found), 0);
    assert_true(found.size <= KEY_REFERENCE_MAX);
    assert_int_equal(found.size, size);
    assert_memory_equal(found.data, der, size);
    gnutls_free(found.data);
}

#define EXPECT(name, generation, der) expect_der(name, generation, der, sizeof(der) - 1)

static void test_content(void **state) {
    EXPECT("mqtt", 0, "\x30\x16" MARK "\x0c\x04mqtt");
    EXPECT("mqtt", 1, "\x30\x19" MARK "\x0c\x04mqtt\x02\x01\x01");
    EXPECT("mqtt", 127, "\x30\x19" MARK "\x0c\x04mqtt\x02\x01\x7f");
    EXPECT("mqtt", 128, "\x30\x1a" MARK "\x0c\x04mqtt\x02\x02\x00\x80"); /* not a negative number */
    EXPECT("mqtt", 0x1234, "\x30\x1a" MARK "\x0c\x04mqtt\x02\x02\x12\x34");
    EXPECT("mqtt", UINT32_MAX, "\x30\x1d" MARK "\x0c\x04mqtt\x02\x05\x00\xff\xff\xff\xff");
}

static void test_longest(void **state) {
    char name[IDENTITY_NAME_MAX + 2U] = { 0 }, der[128] = "\x30\x59" MARK "\x0c\x40";
    Bytes pem = BYTES_NULL;

    memset(name, 'a', IDENTITY_NAME_MAX);
    memset(der + 20, 'a', IDENTITY_NAME_MAX);
    memcpy(der + 20 + IDENTITY_NAME_MAX, "\x02\x05\x00\xff\xff\xff\xff", 7);
    expect_der(name, UINT32_MAX, der, 20 + IDENTITY_NAME_MAX + 7);
    name[IDENTITY_NAME_MAX] = 'a';
    assert_int_equal(key_reference_to_pem(name, 1, &pem), -EINVAL);
    assert_int_equal(key_reference_to_pem("", 1, &pem), -EINVAL);
    assert_int_equal(key_reference_to_pem("../x", 0, &pem), -EINVAL);
    assert_int_equal(key_reference_to_pem("A", 0, &pem), -EINVAL);
    assert_int_equal(key_reference_to_pem(".a", 0, &pem), -EINVAL);
    assert_int_equal(key_reference_to_pem(NULL, 0, &pem), -EINVAL);
    assert_null(pem.data);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_content), cmocka_unit_test(test_longest) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
