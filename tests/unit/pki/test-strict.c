/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is DER and what is only BER, value by value; and a certificate in which each byte that says how long something
 * is, or of which type, is changed. */
#include "pki/strict.h"

#include "fixture.h"
#include "pki/asn1.h"

#include <string.h>

#define BYTES(...)                                                                                                     \
    { (const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }) }
#define TEXT(text)                                                                                                     \
    { (const uint8_t *) (text), sizeof(text) - 1 }

/* `reason` NULL: it is DER. */
static const struct {
    BytesView der;
    const char *reason;
} values[] = {
    { { (const uint8_t *) "", 0 }, "not one value" },
    { BYTES(0x05, 0x00), NULL },
    { BYTES(0x05, 0x00, 0x00), "not one value" },
    { BYTES(0x05, 0x01, 0x00), "a NULL has content" },
    { BYTES(0x30), "not one value" },
    { BYTES(0x30, 0x01), "not one value" },
    /* lengths */
    { BYTES(0x04, 0x01, 0xff), NULL },
    { BYTES(0x04, 0x81, 0x01, 0xff), "shortest form" },
    { BYTES(0x04, 0x82, 0x00, 0x01, 0xff), "shortest form" },
    { BYTES(0x30, 0x80, 0x00, 0x00), "not one value" },
    { BYTES(0x30, 0x03, 0x04, 0x02, 0x00), "does not fit" },
    { BYTES(0x30, 0x04, 0x04, 0x81, 0x01, 0xff), "shortest form" },
    /* tags */
    { BYTES(0x9f, 0x1f, 0x00), NULL },
    { BYTES(0x9f, 0x1e, 0x00), "shortest form" },
    { BYTES(0x9f, 0x81, 0x00, 0x00), NULL },
    { BYTES(0x9f, 0x80, 0x1f, 0x00), "shortest form" },
    { BYTES(0x00, 0x00), "in pieces" },
    { BYTES(0x30, 0x02, 0x00, 0x00), "in pieces" },
    { BYTES(0x10, 0x00), "in pieces" },
    { BYTES(0x11, 0x00), "in pieces" },
    { BYTES(0x24, 0x03, 0x04, 0x01, 0xff), "in pieces" },
    { BYTES(0x23, 0x04, 0x03, 0x02, 0x00, 0xff), "in pieces" },
    { BYTES(0x2c, 0x03, 0x0c, 0x01, 'a'), "in pieces" },
    { BYTES(0x22, 0x00), "in pieces" },
    { BYTES(0xa0, 0x03, 0x02, 0x01, 0x02), NULL },
    { BYTES(0x31, 0x00), NULL },
    /* integers */
    { BYTES(0x02, 0x00), "an integer" },
    { BYTES(0x02, 0x01, 0x00), NULL },
    { BYTES(0x02, 0x01, 0x80), NULL },
    { BYTES(0x02, 0x02, 0x00, 0x7f), "an integer" },
    { BYTES(0x02, 0x02, 0x00, 0x80), NULL },
    { BYTES(0x02, 0x02, 0xff, 0x80), "an integer" },
    { BYTES(0x02, 0x02, 0xff, 0x7f), NULL },
    { BYTES(0x0a, 0x02, 0x00, 0x01), "an integer" },
    /* booleans */
    { BYTES(0x01, 0x01, 0x00), NULL },
    { BYTES(0x01, 0x01, 0xff), NULL },
    { BYTES(0x01, 0x01, 0x01), "BOOLEAN" },
    { BYTES(0x01, 0x00), "BOOLEAN" },
    { BYTES(0x01, 0x02, 0xff, 0xff), "BOOLEAN" },
    /* bit strings */
    { BYTES(0x03, 0x01, 0x00), NULL },
    { BYTES(0x03, 0x00), "BIT STRING" },
    { BYTES(0x03, 0x01, 0x01), "BIT STRING" },
    { BYTES(0x03, 0x02, 0x07, 0x80), NULL },
    { BYTES(0x03, 0x02, 0x07, 0xc0), "BIT STRING" },
    { BYTES(0x03, 0x02, 0x01, 0xfe), NULL },
    { BYTES(0x03, 0x02, 0x01, 0xff), "BIT STRING" },
    { BYTES(0x03, 0x02, 0x08, 0x00), "BIT STRING" },
    { BYTES(0x03, 0x03, 0x04, 0x0f, 0xf0), NULL },
    /* OIDs */
    { BYTES(0x06, 0x00), "an OID" },
    { BYTES(0x06, 0x03, 0x55, 0x1d, 0x0f), NULL },
    { BYTES(0x06, 0x04, 0x55, 0x1d, 0x80, 0x0f), "an OID" },
    { BYTES(0x06, 0x02, 0x80, 0x01), "an OID" },
    { BYTES(0x06, 0x03, 0x55, 0x1d, 0x8f), "an OID" },
    { BYTES(0x06, 0x04, 0x55, 0x1d, 0x81, 0x80), "an OID" },
    { BYTES(0x06, 0x05, 0x55, 0x1d, 0x81, 0x80, 0x00), NULL },
    /* times */
    { TEXT("\x17\x0d"
           "250615120000Z"),
      NULL },
    { TEXT("\x17\x0d"
           "240229000000Z"),
      NULL },
    { TEXT("\x17\x0d"
           "250229000000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "000229235959Z"),
      NULL },
    { TEXT("\x17\x0d"
           "250631000000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250600000000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250015000000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "251315000000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250615240000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250615006000Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250615000060Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "2506151200 0Z"),
      "UTCTime" },
    { TEXT("\x17\x0d"
           "250615120000z"),
      "UTCTime" },
    { TEXT("\x17\x0b"
           "2506151200Z"),
      "UTCTime" },
    { TEXT("\x17\x11"
           "250615120000+0100"),
      "UTCTime" },
    { TEXT("\x18\x0f"
           "20250615120000Z"),
      NULL },
    { TEXT("\x18\x0f"
           "21000228000000Z"),
      NULL },
    { TEXT("\x18\x0f"
           "21000229000000Z"),
      "GeneralizedTime" },
    { TEXT("\x18\x0f"
           "20000229000000Z"),
      NULL },
    { TEXT("\x18\x11"
           "20250615120000.5Z"),
      "GeneralizedTime" },
    { TEXT("\x18\x0e"
           "20250615120000"),
      "GeneralizedTime" },
};

static void test_values(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(values); i++) {
        const char *reason = "";
        bool strict = der_is_strict(values[i].der, &reason);
        if (strict != !values[i].reason || (values[i].reason && !strstr(reason, values[i].reason)))
            fail_msg("value %zu: %s, expected: %s", i, strict ? "taken" : reason, values[i].reason ?: "taken");
    }
}

static void test_depth(void **state) {
    for (size_t depth = 1; depth <= 60; depth++) {
        uint8_t der[122];
        const char *reason = "";
        for (size_t i = 0; i < depth; i++) {
            der[2 * i] = 0x30;
            der[2 * i + 1] = (uint8_t) (2 * (depth - i - 1));
        }
        bool strict = der_is_strict((BytesView) { der, 2 * depth }, &reason);
        assert_int_equal(strict, depth <= 32);
        assert_true(strict || strstr(reason, "nested"));
    }
}

/* How often a value's header is another one and the whole is still taken; every certificate that is taken must give
 * back the bytes that it came from. */
static void test_headers_of_a_certificate(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=root", .ca = true);
    const Bytes *der = &root.certificate->der;
    size_t taken = 0;

    for (size_t i = 0; i < 4; i++)
        for (unsigned value = 0; value < 256; value++) {
            _cleanup_bytes_ Bytes changed = BYTES_NULL;
            _cleanup_certificate_ Certificate *certificate = NULL;
            assert_int_equal(bytes_copy(bytes_view(der), &changed), 0);
            changed.data[i] = (uint8_t) value;
            if (certificate_from_der(bytes_view(&changed), &certificate, NULL) < 0)
                continue;
            taken++;
            assert_int_equal(value, der->data[i]);
        }
    assert_int_equal(taken, 4);
}

/* What comes of a self-signed certificate with one extension. */
static int read_with(gnutls_x509_privkey_t key, const char *oid, BytesView value) {
    _cleanup_certificate_ Certificate *certificate = NULL;
    _cleanup_datum_ gnutls_datum_t der = { 0 };
    gnutls_x509_crt_t crt;

    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\x05", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_dn(crt, "CN=x", NULL), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, key), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, (time_t) NOW), 0);
    assert_int_equal(gnutls_x509_crt_set_expiration_time(crt, (time_t) (NOW + DAY)), 0);
    assert_int_equal(gnutls_x509_crt_set_extension_by_oid(crt, oid, value.data, value.size, 0), 0);
    assert_int_equal(gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_DER, &der), 0);
    gnutls_x509_crt_deinit(crt);
    return certificate_from_der(view_from_datum(&der), &certificate, NULL);
}

/* They lie in OCTET STRINGs, and are DER as well. */
static void test_values_of_extensions(void **state) {
    const struct {
        const char *oid;
        BytesView good, bad;
    } extensions[] = {
        { "2.5.29.15", BYTES(0x03, 0x02, 0x07, 0x80), BYTES(0x03, 0x02, 0x07, 0x81) },
        { "2.5.29.17", BYTES(0x30, 0x03, 0x82, 0x01, 'a'), BYTES(0x30, 0x81, 0x03, 0x82, 0x01, 'a') },
        { "2.5.29.30", BYTES(0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x82, 0x01, 'a'),
          BYTES(0x30, 0x81, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x82, 0x01, 'a') },
        { "2.5.29.32", BYTES(0x30, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a),
          BYTES(0x30, 0x81, 0x05, 0x30, 0x03, 0x06, 0x01, 0x2a) },
        { "2.5.29.33", BYTES(0x30, 0x08, 0x30, 0x06, 0x06, 0x01, 0x2a, 0x06, 0x01, 0x2b),
          BYTES(0x30, 0x09, 0x30, 0x07, 0x06, 0x02, 0x80, 0x2a, 0x06, 0x01, 0x2b) },
        { "2.5.29.35", BYTES(0x30, 0x03, 0x80, 0x01, 0x01), BYTES(0x30, 0x06, 0x80, 0x01, 0x01, 0x80, 0x01, 0x01) },
        { "2.5.29.36", BYTES(0x30, 0x03, 0x80, 0x01, 0x05), BYTES(0x30, 0x81, 0x03, 0x80, 0x01, 0x05) },
        { "2.5.29.54", BYTES(0x02, 0x01, 0x00), BYTES(0x02, 0x02, 0x00, 0x00) },
        { "2.5.29.54", BYTES(0x02, 0x01, 0x00), BYTES(0x01, 0x01, 0xff) },
        { "1.3.6.1.5.5.7.1.24", BYTES(0x30, 0x03, 0x02, 0x01, 0x05), BYTES(0x30, 0x04, 0x02, 0x02, 0x00, 0x05) },
    };
    gnutls_x509_privkey_t key = make_key(0, 0);

    for (size_t i = 0; i < ARRAY_LENGTH(extensions); i++) {
        if (read_with(key, extensions[i].oid, extensions[i].good) != 0)
            fail_msg("the good value of extension %s (%zu) was refused", extensions[i].oid, i);
        if (read_with(key, extensions[i].oid, extensions[i].bad) != -EBADMSG)
            fail_msg("the bad value of extension %s (%zu) was taken", extensions[i].oid, i);
    }
    gnutls_x509_privkey_deinit(key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_headers_of_a_certificate),
        cmocka_unit_test(test_values_of_extensions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
