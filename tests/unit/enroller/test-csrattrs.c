/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /csrattrs as RFC 7030, 8951 and 9908 have it, and as they do not. */
#include "der.h"
#include "enroller/csrattrs.h"
#include "support.h"

#include "pki/csr.h"

#include <string.h>

#define EXTENSION_REQUEST  "1.2.840.113549.1.9.14"
#define REQUEST_TEMPLATE   "1.2.840.113549.1.9.16.2.61"
#define EXTENSION_TEMPLATE "1.2.840.113549.1.9.16.2.62"
#define EC                 "1.2.840.10045.2.1"
#define P256               "1.2.840.10045.3.1.7"
#define P384               "1.3.132.0.34"
#define P521               "1.3.132.0.35"
#define RSA                "1.2.840.113549.1.1.1"
#define SAN                "2.5.29.17"
#define EKU                "2.5.29.37"
#define CN                 "2.5.4.3"
#define OU                 "2.5.4.11"

static Device device;

static CsrAttributes *parse(BytesView der) {
    CsrAttributes *attributes = NULL;
    Failure failure = FAILURE_INIT;

    if (csr_attributes_parse(der, &attributes, &failure) < 0)
        fail_msg("%s", failure.text);
    return attributes;
}

static void refused(BytesView der) {
    CsrAttributes *attributes = (CsrAttributes *) 1;
    Failure failure = FAILURE_INIT;

    assert_int_equal(csr_attributes_parse(der, &attributes, &failure), -EBADMSG);
    assert_ptr_equal(attributes, (CsrAttributes *) 1);
    assert_non_null(strstr(failure.text, "expected the DER of CSR attributes"));
}

static BytesView attribute(const char *oid, BytesView value) {
    return DER_SEQUENCE(made_oid(oid), DER_SET(value));
}

static void check_key(BytesView der, int key_type) {
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = parse(der);

    assert_int_equal(attributes->key_type, key_type);
    der_reset();
}

static void test_key_types(void **state) {
    check_key(DER_EMPTY(0x30), -1);
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P256))), KEY_ECDSA_P256);
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P384))), KEY_ECDSA_P384);
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P521))), -1);
    check_key(DER_SEQUENCE(attribute(RSA, der_integer(2048))), KEY_RSA_2048);
    check_key(DER_SEQUENCE(attribute(RSA, der_integer(3072))), KEY_RSA_3072);
    check_key(DER_SEQUENCE(attribute(RSA, der_integer(4096))), -1);
    check_key(DER_SEQUENCE(DER_SEQUENCE(made_oid(EC), DER_EMPTY(0x31))), -1); /* any curve */
    check_key(DER_SEQUENCE(made_oid(EC)), -1);
    check_key(DER_SEQUENCE(attribute(EC, der_integer(5))), -1); /* not understood: ignored */
    check_key(DER_SEQUENCE(attribute(RSA, made_oid(P256))), -1);
    /* as in RFC 7030: challengePassword, P-384, an OID, a signature algorithm */
    check_key(DER_SEQUENCE(made_oid("1.2.840.113549.1.9.7"), attribute(EC, made_oid(P384)),
                           made_oid("1.3.6.1.1.1.1.22"), made_oid("1.2.840.10045.4.3.3")),
              KEY_ECDSA_P384);
    /* the same twice is one; two are a choice, and ours stays */
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P384)), attribute(EC, made_oid(P384))), KEY_ECDSA_P384);
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P384)), attribute(RSA, der_integer(2048))), -1);
    check_key(
        DER_SEQUENCE(attribute(EC, made_oid(P384)), attribute(RSA, der_integer(2048)), attribute(EC, made_oid(P384))),
        -1);
}

static BytesView extension(const char *oid, BytesView value) {
    return DER_SEQUENCE(made_oid(oid), der_bytes(4, value));
}

static void test_eku(void **state) {
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = parse(DER_SEQUENCE(
        attribute(EXTENSION_REQUEST,
                  DER_SEQUENCE(extension("2.5.29.15", der_bytes(3, bytes_view_string("\x07\x80"))),
                               extension(EKU, DER_SEQUENCE(made_oid(EKU_CLIENT_AUTH), made_oid(EKU_SERVER_AUTH)))))));

    assert_int_equal(attributes->eku_count, 2);
    assert_string_equal(attributes->eku[0], EKU_CLIENT_AUTH);
    assert_string_equal(attributes->eku[1], EKU_SERVER_AUTH);
    assert_false(attributes->wants_alternative_names);
    der_reset();
}

static void test_eku_bounded(void **state) {
    BytesView oid = made_oid(EKU_CLIENT_AUTH);
    BytesView four =
        der_of(0x30, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, oid, DER_END);
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes =
        parse(DER_SEQUENCE(attribute(EXTENSION_REQUEST, DER_SEQUENCE(extension(EKU, four)))));

    assert_int_equal(attributes->eku_count, CSRATTRS_EKU_MAX);
    der_reset();
}

/* ---- names ---- */

static void check_request(BytesView der, const char *subject, const char *const *dns, const char *part) {
    _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = parse(der);
    _cleanup_bytes_ Bytes request = device_request(&device, subject, dns);
    Failure failure = FAILURE_INIT;

    int r = csr_attributes_check_request(attributes, bytes_view(&request), &failure);
    if (part ? r != -EKEYREJECTED || !strstr(failure.text, part) : r != 0)
        fail_msg("wanted \"%s\": %d: %s", part ? part : "success", r, failure.text);
    der_reset();
}

static BytesView san_request(BytesView names) {
    return DER_SEQUENCE(attribute(EXTENSION_REQUEST, DER_SEQUENCE(extension(SAN, names))));
}

static void test_alternative_names(void **state) {
    static const char *const one[] = { "a.example", NULL }, *const two[] = { "b.example", "a.example", NULL };

    check_request(san_request(DER_SEQUENCE(der_text(0x82, "a.example"))), NULL, one, NULL);
    check_request(san_request(DER_SEQUENCE(der_text(0x82, "a.example"))), NULL, two, NULL);
    check_request(san_request(DER_SEQUENCE(der_text(0x82, "b.example"))), NULL, one,
                  "the CA wants a DNS name=b.example in the SubjectAltName");
    check_request(san_request(DER_SEQUENCE(der_text(0x82, "a.example"))), NULL, NULL, "the CA wants a SubjectAltName");
    check_request(san_request(DER_SEQUENCE(der_text(0x86, "urn:x"))), NULL, one, "the CA wants a URI=urn:x");
    check_request(san_request(DER_SEQUENCE(der_text(0x82, ""))), NULL, one, NULL); /* of that kind, any */
    check_request(san_request(DER_SEQUENCE(der_text(0x87, ""))), NULL, one,
                  "the CA wants an IP address in the SubjectAltName");
    check_request(san_request(der_text(4, "nobody knows")), NULL, one, NULL);
    check_request(san_request(DER_SEQUENCE(der_text(0x82, "\x1b[2Jx"))), NULL, one, "a DNS name=?[2Jx in the");
}

/* ---- the template of RFC 9908 ---- */

static BytesView rdn(const char *oid, BytesView value) {
    return value.data ? DER_SET(DER_SEQUENCE(made_oid(oid), value)) : DER_SET(DER_SEQUENCE(made_oid(oid)));
}

static BytesView template_of(BytesView subject, BytesView key, BytesView attributes) {
    uint8_t zero[] = { 0 };
    BytesView none = { zero, 0 };

    return DER_SEQUENCE(
        attribute(REQUEST_TEMPLATE, DER_SEQUENCE(der_integer(0), subject.data ? subject : none, key.data ? key : none,
                                                 attributes.data ? attributes : DER_EMPTY(0xa1))));
}

#define NOTHING ((BytesView) { NULL, 0 })

static BytesView ec_key(const char *curve) {
    return der_of(0xa0, DER_SEQUENCE(made_oid(EC), made_oid(curve)), DER_END);
}

/* A placeholder: only its size counts. */
static BytesView rsa_key(unsigned bits) {
    uint8_t content[1024] = { 0 };
    uint8_t *modulus = content + 1; /* after the unused bits of a BIT STRING */

    modulus[0] = 0; /* DER's sign byte */
    memset(modulus + 1, 0xaa, bits / 8);
    BytesView key = DER_SEQUENCE(der_bytes(2, (BytesView) { modulus, bits / 8 + 1 }), der_integer(65537));
    memcpy(content + 1, key.data, key.size);
    content[0] = 0;
    return der_of(0xa0, DER_SEQUENCE(made_oid(RSA), der_bytes(5, (BytesView) { content, 0 })),
                  der_bytes(3, (BytesView) { content, key.size + 1 }), DER_END);
}

static void test_template_key(void **state) {
    check_key(template_of(NOTHING, ec_key(P384), NOTHING), KEY_ECDSA_P384);
    check_key(template_of(NOTHING, ec_key(P256), NOTHING), KEY_ECDSA_P256);
    check_key(template_of(NOTHING, rsa_key(2048), NOTHING), KEY_RSA_2048);
    check_key(template_of(NOTHING, rsa_key(3072), NOTHING), KEY_RSA_3072);
    check_key(template_of(NOTHING, rsa_key(4096), NOTHING), -1);
    check_key(template_of(NOTHING, NOTHING, NOTHING), -1);
}

static void test_template_names(void **state) {
    static const char *const dns[] = { "www.example", NULL };
    BytesView wanted[] = { rdn(CN, NOTHING), rdn(OU, der_text(0x0c, "myDept")), rdn(OU, der_text(0x0c, "myGroup")) };

#define SUBJECT DER_SEQUENCE(wanted[0], wanted[1], wanted[2])
    check_request(template_of(SUBJECT, NOTHING, NOTHING), "CN=x,OU=myDept,OU=myGroup", NULL, NULL);
    wanted[0] = rdn(CN, NOTHING), wanted[1] = rdn(OU, der_text(0x13, "myDept")),
    wanted[2] = rdn(OU, der_text(0x0c, "myGroup"));
    check_request(template_of(SUBJECT, NOTHING, NOTHING), "CN=x,OU=myGroup,OU=myDept", NULL,
                  NULL); /* PrintableString is as good */
    wanted[0] = rdn(CN, NOTHING), wanted[1] = rdn(OU, der_text(0x0c, "myDept")),
    wanted[2] = rdn(OU, der_text(0x0c, "myGroup"));
    check_request(template_of(SUBJECT, NOTHING, NOTHING), "CN=x,OU=myDept", NULL,
                  "the CA wants OU=myGroup in the Subject");
    wanted[0] = rdn(CN, NOTHING), wanted[1] = rdn(OU, der_text(0x0c, "myDept")),
    wanted[2] = rdn(OU, der_text(0x0c, "myGroup"));
    check_request(template_of(SUBJECT, NOTHING, NOTHING), "OU=myDept,OU=myGroup", NULL,
                  "the CA wants CN in the Subject");
#undef SUBJECT
    /* ExtensionTemplate: a SAN with one value given and one to be filled in */
    check_request(template_of(NOTHING, NOTHING,
                              der_of(0xa1,
                                     attribute(EXTENSION_TEMPLATE,
                                               DER_SEQUENCE(extension(SAN, DER_SEQUENCE(der_text(0x82, "www.example"),
                                                                                        der_text(0x87, ""))),
                                                            DER_SEQUENCE(made_oid(EKU)))),
                                     DER_END)),
                  NULL, dns, "the CA wants an IP address in the SubjectAltName");
    /* a SAN without a value: some SAN */
    check_request(
        template_of(NOTHING, NOTHING,
                    der_of(0xa1, attribute(EXTENSION_TEMPLATE, DER_SEQUENCE(DER_SEQUENCE(made_oid(SAN)))), DER_END)),
        NULL, NULL, "the CA wants a SubjectAltName");
    check_request(
        template_of(NOTHING, NOTHING,
                    der_of(0xa1, attribute(EXTENSION_TEMPLATE, DER_SEQUENCE(DER_SEQUENCE(made_oid(SAN)))), DER_END)),
        NULL, dns, NULL);
}

/* Where a template is there and understood, nothing else counts; where it is not understood, the rest does. */
static void test_template_precedence(void **state) {
    BytesView template = attribute(REQUEST_TEMPLATE, DER_SEQUENCE(der_integer(0), ec_key(P384), DER_EMPTY(0xa1)));
    check_key(DER_SEQUENCE(attribute(EC, made_oid(P256)), template), KEY_ECDSA_P384);

    template =
        attribute(REQUEST_TEMPLATE, DER_SEQUENCE(der_integer(1), ec_key(P384), DER_EMPTY(0xa1))); /* another version */
    check_key(DER_SEQUENCE(template, attribute(EC, made_oid(P256))), KEY_ECDSA_P256);

    template = attribute(REQUEST_TEMPLATE, der_text(0x0c, "not a template"));
    check_key(DER_SEQUENCE(template, attribute(EC, made_oid(P256))), KEY_ECDSA_P256);
}

/* ---- hostile input ---- */

static void test_refused(void **state) {
    static uint8_t large[CSRATTRS_MAX + 1] = { 0x30, 0x82, 0x40, 0x00 - 0x03 };

    refused((BytesView) { large, 0 });
    refused(bytes_view_string("<html>"));
    refused(DER_SET(made_oid(EC)));
    refused(DER_SEQUENCE(der_integer(1)));
    refused(DER_SEQUENCE(DER_SEQUENCE(made_oid(EC)))); /* an attribute without its SET */
    refused((BytesView) { large, sizeof large });
    der_reset();
}

static void test_challenge_password(void **state) {
    BytesView lists[] = { DER_SEQUENCE(made_oid("1.2.840.113549.1.9.7")), DER_SEQUENCE(made_oid(EC)) };

    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++) {
        _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = parse(lists[i]);

        assert_int_equal(attributes->wants_challenge_password, i == 0);
    }
    der_reset();
}

/* Servers were seen that send more than the one SEQUENCE. */
static void test_more_behind_it(void **state) {
    BytesView good = DER_SEQUENCE(attribute(EC, made_oid(P256)));
    _cleanup_bytes_ Bytes trailing = BYTES_NULL;

    assert_int_equal(bytes_copy(good, &trailing), 0);
    assert_int_equal(bytes_append(&trailing, (BytesView) { (const uint8_t *) "\0x", 2 }), 0);
    check_key(bytes_view(&trailing), KEY_ECDSA_P256);
    der_reset();
}

/* Cut and changed at every byte: parsed or refused, and what was parsed can be compared with a request. */
static void test_mutations(void **state) {
    BytesView der = template_of(
        DER_SEQUENCE(rdn(CN, NOTHING), rdn(OU, der_text(0x0c, "myDept"))), ec_key(P384),
        der_of(0xa1,
               attribute(EXTENSION_TEMPLATE,
                         DER_SEQUENCE(extension(SAN, DER_SEQUENCE(der_text(0x82, "www.example"), der_text(0x87, ""))),
                                      extension(EKU, DER_SEQUENCE(made_oid(EKU_CLIENT_AUTH))))),
               DER_END));
    _cleanup_bytes_ Bytes request = device_request(&device, NULL, NULL), copy = BYTES_NULL;

    assert_int_equal(bytes_copy(der, &copy), 0);
    for (size_t i = 0; i < copy.size; i++)
        for (unsigned change = 0; change < 256; change = change * 2 + 1) {
            _cleanup_(csr_attributes_free_p) CsrAttributes *attributes = NULL;
            Failure failure = FAILURE_INIT;

            copy.data[i] ^= (uint8_t) change;
            BytesView view = change == 0 ? (BytesView) { copy.data, i } : bytes_view(&copy);
            if (csr_attributes_parse(view, &attributes, &failure) >= 0)
                (void) csr_attributes_check_request(attributes, bytes_view(&request), &failure);
            copy.data[i] ^= (uint8_t) change;
        }
    der_reset();
}

static int setup(void **state) {
    device_new(&device, GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1));
    return 0;
}

static int teardown(void **state) {
    device_clear(&device);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_types),           cmocka_unit_test(test_eku),
        cmocka_unit_test(test_eku_bounded),         cmocka_unit_test(test_alternative_names),
        cmocka_unit_test(test_template_key),        cmocka_unit_test(test_template_names),
        cmocka_unit_test(test_template_precedence), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_more_behind_it),      cmocka_unit_test(test_challenge_password),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
