/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests: what openssl reads in them, names copied byte for byte, and what is refused; then what comes back for them.
 */
#include "pki/csr.h"

#include "common/distinguished-name.h"
#include "pki/asn1.h"
#include "pki/chain.h"

#include "fixture.h"

#include <stdio.h>
#include <string.h>

typedef struct TestKey {
    gnutls_x509_privkey_t x509;
    gnutls_privkey_t key;
    Bytes spki;
} TestKey;

static TestKey test_key(gnutls_pk_algorithm_t pk, unsigned bits) {
    TestKey key;
    gnutls_pubkey_t public_key;
    _cleanup_datum_ gnutls_datum_t spki = { 0 };

    key.x509 = make_key(pk, bits);
    assert_int_equal(gnutls_privkey_init(&key.key), 0);
    assert_int_equal(gnutls_privkey_import_x509(key.key, key.x509, 0), 0);
    assert_int_equal(gnutls_pubkey_init(&public_key), 0);
    assert_int_equal(gnutls_pubkey_import_privkey(public_key, key.key, 0, 0), 0);
    assert_int_equal(gnutls_pubkey_export2(public_key, GNUTLS_X509_FMT_DER, &spki), 0);
    gnutls_pubkey_deinit(public_key);
    assert_int_equal(bytes_copy(view_from_datum(&spki), &key.spki), 0);
    return key;
}

static void test_key_clear(TestKey *key) {
    gnutls_privkey_deinit(key->key);
    gnutls_x509_privkey_deinit(key->x509);
    bytes_clear(&key->spki);
}
#define _cleanup_test_key_ _cleanup_(test_key_clear)

/* What openssl says of a request whose signature it finds right. */
static char *openssl_text(const Bytes *der) {
    _cleanup_directory_ char *directory = make_directory();

    write_file(directory, "request.der", bytes_view(der));
    return run(NULL, "openssl req -inform DER -in %s/request.der -verify -noout -text -nameopt RFC2253", directory);
}

static void expect(const char *text, const char *needle) {
    if (!strstr(text, needle))
        fail_msg("no '%s' in: %s", needle, text);
}

static void test_openssl_reads_it(void **state) {
    const struct {
        gnutls_pk_algorithm_t pk;
        unsigned bits;
        const char *algorithm;
    } kinds[] = { { GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), "ecdsa-with-SHA256" },
                  { GNUTLS_PK_ECDSA, GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP384R1), "ecdsa-with-SHA384" },
                  { GNUTLS_PK_RSA, 2048, "sha256WithRSAEncryption" },
                  { GNUTLS_PK_RSA, 3072, "sha256WithRSAEncryption" } };
    const CsrSan sans[] = { { SAN_DNS, "host_1.example.com" },
                            { SAN_IP, "192.0.2.1" },
                            { SAN_IP, "2001:db8::1" },
                            { SAN_URI, "urn:example:device:1" },
                            { SAN_HARDWARE_MODULE, "1.3.6.1.4.1.99999.1/A-123" },
                            { SAN_DNS, "device.example.org" } };
    const char *const eku[] = { EKU_CLIENT_AUTH, EKU_SERVER_AUTH };

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        _cleanup_test_key_ TestKey key = test_key(kinds[i].pk, kinds[i].bits);
        CsrTemplate template = { .subject = "CN=device-1,OU=a\\,b,O=Example",
                                 .sans = sans,
                                 .san_count = ARRAY_LENGTH(sans),
                                 .eku = eku,
                                 .eku_count = 2,
                                 .key_encipherment = kinds[i].pk == GNUTLS_PK_RSA };
        _cleanup_bytes_ Bytes der = BYTES_NULL, spki = BYTES_NULL, subject = BYTES_NULL, san = BYTES_NULL;
        Failure failure = FAILURE_INIT;

        assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
        _cleanup_free_ char *text = openssl_text(&der);
        expect(text, "Certificate request self-signature verify OK");
        expect(text, "Version: 1 (0x0)");
        expect(text, "Subject: CN=device-1,OU=a\\,b,O=Example");
        expect(text, kinds[i].algorithm);
        expect(text, "Key Usage: critical");
        expect(text, kinds[i].pk == GNUTLS_PK_RSA ? "Digital Signature, Key Encipherment\n" : "Digital Signature\n");
        expect(text, "TLS Web Client Authentication, TLS Web Server Authentication");
        expect(text, "DNS:host_1.example.com, IP Address:192.0.2.1, IP Address:2001:DB8:0:0:0:0:0:1, "
                     "URI:urn:example:device:1, othername: ");
        if (!strstr(text, "othername: Hardware Module Name")) /* OpenSSL 3.4 and later know the name */
            expect(text, "othername: 1.3.6.1.5.5.7.8.4");
        expect(text, "DNS:device.example.org");
        assert_int_equal(csr_spki(bytes_view(&der), &spki), 0);
        assert_true(bytes_view_equal(bytes_view(&spki), bytes_view(&key.spki)));
        assert_int_equal(csr_names(bytes_view(&der), &subject, &san), 0);
        assert_true(subject.size > 40 && san.size > 100);
    }
}

/* RFC 4108 §5, to the byte. */
static void test_hardware_module_name(void **state) {
    static const uint8_t expected[] = { 0x30, 0x1d, 0xa0, 0x1b, 0x06, 0x08, 0x2b, 0x06, 0x01, 0x05, 0x05,
                                        0x07, 0x08, 0x04, 0xa0, 0x0f, 0x30, 0x0d, 0x06, 0x06, 0x2b, 0x06,
                                        0x01, 0x04, 0x01, 0x05, 0x04, 0x03, 'S',  'N',  '7' };
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    const CsrSan san = { SAN_HARDWARE_MODULE, "1.3.6.1.4.1.5/SN7" };
    CsrTemplate template = { .subject = "", .sans = &san, .san_count = 1 };
    _cleanup_bytes_ Bytes der = BYTES_NULL, subject = BYTES_NULL, value = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
    assert_int_equal(failure.kind, FAILURE_NONE); /* what is good says nothing */
    assert_int_equal(csr_names(bytes_view(&der), &subject, &value), 0);
    assert_int_equal(value.size, sizeof(expected));
    assert_memory_equal(value.data, expected, sizeof(expected));
    assert_int_equal(subject.size, 2);
    /* RFC 5280 §4.2.1.6: critical where the subject is empty */
    _cleanup_free_ char *text = openssl_text(&der);
    expect(text, "X509v3 Subject Alternative Name: critical");
}

static void test_minimal(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    CsrTemplate template = { .subject = "CN=x" };
    _cleanup_bytes_ Bytes der = BYTES_NULL, subject = BYTES_NULL, san = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
    assert_int_equal(failure.kind, FAILURE_NONE);
    _cleanup_free_ char *text = openssl_text(&der);
    expect(text, "Digital Signature\n");
    assert_null(strstr(text, "Extended"));
    assert_null(strstr(text, "Alternative"));
    assert_int_equal(csr_names(bytes_view(&der), &subject, &san), 0);
    assert_int_equal(san.size, 0);
}

/* RFC 4514 in, what a person reads out. */
static void test_subjects(void **state) {
    static const struct {
        const char *in, *out;
    } good[] = {
        { "CN=a,O=b,C=DE", "CN=a,O=b,C=DE" },
        { "CN=a\\2cb", "CN=a\\,b" },
        { "CN=a\\,b", "CN=a\\,b" },
        { "CN=a\\+b", "CN=a\\+b" },
        { "CN=a\\2Bb", "CN=a\\+b" },
        { "CN=back\\\\slash", "CN=back\\\\slash" },
        { "CN=M\\C3\\BCller", "CN=M\\C3\\BCller" },
        { "CN=Müller", "CN=M\\C3\\BCller" },
        { "serialNumber=0815,CN=x", "serialNumber=0815,CN=x" },
        { "CN=\\#x", "CN=\\#x" },
        { "CN=a b", "CN=a b" },
        { "CN=a\\=b", "CN=a=b" },
    };
    static const char *const bad[] = { "x",         "CN",      "CN=",      "=x",     "CN=x,",    "CN=x, ",
                                       "CN=x,,O=y", "FOO=bar", "CN=a+O=b", "CN=x\\", "CN=a\\00b" };
    _cleanup_test_key_ TestKey key = test_key(0, 0);

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        CsrTemplate template = { .subject = good[i].in };
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        char line[128];
        Failure failure = FAILURE_INIT;
        assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
        _cleanup_free_ char *text = openssl_text(&der);
        (void) snprintf(line, sizeof(line), "Subject: %s\n", good[i].out);
        expect(text, line);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        CsrTemplate template = { .subject = bad[i] };
        Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        int r = csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure);
        if (r != -EINVAL || failure.kind != FAILURE_INVALID_ARGUMENT || !strstr(failure.text, bad[i]))
            fail_msg("'%s': %d %s", bad[i], r, failure.text);
        assert_null(der.data);
    }
}

static void test_refused_names(void **state) {
    static const CsrSan bad[] = {
        { SAN_DNS, "" },
        { SAN_DNS, "a b" },
        { SAN_DNS, "*.example.org" },
        { SAN_DNS, "-a.example" },
        { SAN_DNS, "a-.example" },
        { SAN_DNS, "a..b" },
        { SAN_DNS, "a." },
        { SAN_DNS, "münchen.example" },
        { SAN_DNS, "a.*.b" },
        { SAN_DNS, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.b" },
        { SAN_DNS, "a\nb" },
        { SAN_IP, "" },
        { SAN_IP, "1.2.3" },
        { SAN_IP, "1.2.3.4/24" },
        { SAN_IP, "::g" },
        { SAN_IP, "host" },
        { SAN_URI, "" },
        { SAN_URI, "no-scheme" },
        { SAN_URI, "urn:" },
        { SAN_URI, "http://a b" },
        { SAN_URI, "1x:y" },
        { SAN_URI, "urn:ü" },
        { SAN_HARDWARE_MODULE, "" },
        { SAN_HARDWARE_MODULE, "1.2.3" },
        { SAN_HARDWARE_MODULE, "/x" },
        { SAN_HARDWARE_MODULE, "1.2.3/" },
        { SAN_HARDWARE_MODULE, "1.x/y" },
        { SAN_HARDWARE_MODULE, "5/y" },
        { SAN_HARDWARE_MODULE, "9.9.9/y" },
        { SAN_HARDWARE_MODULE, "1..2/y" },
        { SAN_HARDWARE_MODULE, "1.2./y" },
        { SAN_HARDWARE_MODULE, "1.2/yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy" },
    };
    static const char *const bad_eku[] = { "", "clientAuth", "1", "1.2.x", "1..2" };
    _cleanup_test_key_ TestKey key = test_key(0, 0);

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        CsrTemplate template = { .subject = "CN=x", .sans = &bad[i], .san_count = 1 };
        Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        int r = csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure);
        if (r != -EINVAL || failure.kind != FAILURE_INVALID_ARGUMENT)
            fail_msg("'%s': %d %s", bad[i].value, r, failure.text);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad_eku); i++) {
        CsrTemplate template = { .subject = "CN=x", .eku = &bad_eku[i], .eku_count = 1 };
        Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        int r = csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure);
        if (r != -EINVAL || failure.kind != FAILURE_INVALID_ARGUMENT)
            fail_msg("'%s': %d %s", bad_eku[i], r, failure.text);
    }

    CsrSan many[CSR_SANS_MAX + 1];
    const char *purposes[CSR_EKU_MAX + 1];
    char long_subject[DISTINGUISHED_NAME_MAX + 2];
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++)
        many[i] = (CsrSan) { SAN_DNS, "a.example" };
    for (size_t i = 0; i < ARRAY_LENGTH(purposes); i++)
        purposes[i] = EKU_CLIENT_AUTH;
    memset(long_subject, 'x', sizeof(long_subject));
    memcpy(long_subject, "CN=", 3);
    long_subject[sizeof(long_subject) - 1] = 0;
    const struct {
        CsrTemplate template;
        const char *reason;
    } cases[] = {
        { { .subject = "CN=x", .sans = many, .san_count = ARRAY_LENGTH(many) }, "more than 32" },
        { { .subject = "CN=x", .eku = purposes, .eku_count = ARRAY_LENGTH(purposes) }, "more than 16" },
        { { .subject = long_subject }, "more than 1024" },
        { { .subject = "CN=a+O=b" }, "a '+' is written" },
        { { .subject = "CN=a\\" }, "is no escape" },
        { { .subject = NULL }, "needs a subject" },
        { { .subject = "" }, "needs a subject or" },
    };
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        assert_failure(csr_create(&cases[i].template, key.key, bytes_view(&key.spki), &der, &failure), EINVAL, failure,
                       cases[i].reason);
        assert_int_equal(failure.kind, FAILURE_INVALID_ARGUMENT);
    }
}

/* A certificate with names that nobody here would write so: T61String and a multi-valued RDN, an unknown otherName,
 * made by openssl. The request for its renewal has the very bytes. */
static void test_renewal_copies_bytes(void **state) {
    static const char config[] =
        "[req]\ndistinguished_name=dn\nprompt=no\nstring_mask=MASK:0x0006\nx509_extensions=ext\n"
        "[dn]\nO=Ex\xc3\xa4mple\nCN=old\n+serialNumber=7\n"
        "[ext]\nsubjectAltName=critical,otherName:1.2.3.4;UTF8:something,DNS:Old.Example,URI:urn:x\n";
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList old = { 0 };
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    _cleanup_bytes_ Bytes pem = BYTES_NULL, der = BYTES_NULL, subject = BYTES_NULL, san = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    write_file(directory, "config", bytes_view_string(config));
    free(
        run(NULL,
            "openssl req -x509 -utf8 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/key -out %s/old.pem "
            "-config %s/config -days 10",
            directory, directory, directory));
    pem = read_test_file(directory, "old.pem");
    assert_ok(certificate_list_from_pem(bytes_view(&pem), 1, &old, &failure), failure);
    const CertificateExtension *old_san = certificate_extension(old.list[0], "2.5.29.17");
    assert_non_null(old_san);
    assert_true(old_san->critical);

    CsrTemplate template = { .renew = old.list[0], .subject = "CN=ignored" };
    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
    assert_int_equal(csr_names(bytes_view(&der), &subject, &san), 0);
    assert_true(bytes_view_equal(bytes_view(&subject), old.list[0]->subject_raw));
    assert_true(bytes_view_equal(bytes_view(&san), old_san->value));
    _cleanup_free_ char *text = openssl_text(&der);
    expect(text, "X509v3 Subject Alternative Name: critical");
    expect(text, "DNS:Old.Example");

    /* none there, none asked for */
    _cleanup_entity_ Entity plain = ENTITY(.subject = "CN=plain");
    _cleanup_bytes_ Bytes plain_der = BYTES_NULL, plain_subject = BYTES_NULL, plain_san = BYTES_NULL;
    const CsrSan ignored = { SAN_DNS, "ignored.example" };
    CsrTemplate plain_template = { .renew = plain.certificate, .sans = &ignored, .san_count = 1 };
    assert_ok(csr_create(&plain_template, key.key, bytes_view(&key.spki), &plain_der, &failure), failure);
    assert_int_equal(csr_names(bytes_view(&plain_der), &plain_subject, &plain_san), 0);
    assert_int_equal(plain_san.size, 0);
}

/* The public half given must be the signing key's. */
static void test_key_mismatch(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0), other = test_key(0, 0);
    CsrTemplate template = { .subject = "CN=x" };
    Bytes der = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_failure(csr_create(&template, key.key, bytes_view(&other.spki), &der, &failure), EIO, failure,
                   "not by the key that the request is for");
    assert_int_equal(failure.kind, FAILURE_INTERNAL);
    assert_failure(csr_create(&template, key.key, bytes_view_string("nonsense"), &der, &failure), EIO, failure,
                   "cannot be read");
}

static void test_has_names(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    const CsrSan sans[] = { { SAN_DNS, "a.example" }, { SAN_DNS, "b.example" } };
    const struct {
        CsrTemplate template;
        int result;
    } cases[] = {
        { { .subject = "CN=x,O=y", .sans = sans, .san_count = 1 }, 1 },
        { { .subject = "CN=x,O=z", .sans = sans, .san_count = 1 }, 0 },
        { { .subject = "CN=x", .sans = sans, .san_count = 1 }, 0 },
        { { .subject = "CN=x,O=y", .sans = sans, .san_count = 2 }, 0 },
        { { .subject = "CN=x,O=y", .sans = sans + 1, .san_count = 1 }, 0 },
        { { .subject = "CN=x,O=y" }, 0 },
        { { .subject = "no name" }, -EINVAL },
    };
    _cleanup_bytes_ Bytes der = BYTES_NULL, plain = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(csr_create(&cases[0].template, key.key, bytes_view(&key.spki), &der, &failure), failure);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++)
        assert_int_equal(csr_has_names(bytes_view(&der), &cases[i].template, &failure), cases[i].result);
    assert_ok(csr_create(&cases[5].template, key.key, bytes_view(&key.spki), &plain, &failure), failure);
    assert_int_equal(csr_has_names(bytes_view(&plain), &cases[5].template, NULL), 1);
    assert_int_equal(csr_has_names(bytes_view(&plain), &cases[0].template, NULL), 0);
    assert_int_equal(csr_has_names(bytes_view_string("none"), &cases[0].template, NULL), -EBADMSG);
}

static void test_challenge(void **state) {
    static const char *const good[] = { "x", "AQ+/aZ09==",
                                        "1234567890123456789012345678901234567890123456789012345678901234" };
    static const char *const bad[] = { "", "a\"b", "a_b", "\xc3\xa4",
                                       "12345678901234567890123456789012345678901234567890123456789012345" };
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    CsrTemplate template = { .subject = "CN=x" };
    Failure failure = FAILURE_INIT;

    for (size_t i = 0; i < ARRAY_LENGTH(good); i++) {
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        uint8_t value[80];
        size_t size = sizeof value;
        template.challenge = good[i];
        assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
        assert_true(csr_has_challenge(bytes_view(&der)));
        gnutls_x509_crq_t crq = NULL;
        assert_int_equal(gnutls_x509_crq_init(&crq), 0);
        assert_int_equal(
            gnutls_x509_crq_import(crq, &(gnutls_datum_t) { der.data, (unsigned) der.size }, GNUTLS_X509_FMT_DER), 0);
        assert_int_equal(gnutls_x509_crq_get_attribute_by_oid(crq, "1.2.840.113549.1.9.7", 0, value, &size), 0);
        assert_int_equal(size, 2 + strlen(good[i]));
        assert_int_equal(value[0], 0x13); /* PrintableString: RFC 2985 §5.4.1 prefers it */
        assert_memory_equal(value + 2, good[i], strlen(good[i]));
        gnutls_x509_crq_deinit(crq);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        Bytes der = BYTES_NULL;
        template.challenge = bad[i];
        assert_failure(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), EINVAL, failure,
                       "a challengePassword must be 1 to 64 letters of a PrintableString");
    }
    _cleanup_bytes_ Bytes plain = BYTES_NULL;
    template.challenge = NULL;
    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &plain, &failure), failure);
    assert_false(csr_has_challenge(bytes_view(&plain)));
    assert_false(csr_has_challenge(bytes_view_string("none")));
}

static void test_malformed_requests(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    const CsrSan san = { SAN_DNS, "a.example" };
    CsrTemplate template = { .subject = "CN=x", .sans = &san, .san_count = 1 };
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Bytes out = BYTES_NULL, out2 = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &der, &failure), failure);
    for (size_t size = 0; size < der.size; size++) {
        BytesView cut = { der.data, size };
        assert_int_equal(csr_spki(cut, &out), -EBADMSG);
        assert_int_equal(csr_names(cut, &out, &out2), -EBADMSG);
    }
    assert_int_equal(bytes_append(&der, bytes_view_string("x")), 0);
    assert_int_equal(csr_spki(bytes_view(&der), &out), -EBADMSG);
    _cleanup_free_ uint8_t *huge = calloc(1, CSR_MAX + 1);
    assert_int_equal(csr_spki((BytesView) { huge, CSR_MAX + 1 }, &out), -EBADMSG);
    assert_null(out.data);
}

/* ---- what comes back ---- */

static void check_refused(const Entity *leaf, const IssuedExpectation *expectation, const char *reason) {
    Failure failure = FAILURE_INIT;

    assert_failure(issued_check(leaf->certificate, expectation, &failure), EKEYREJECTED, failure, reason);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
}

static void test_issued(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0), other = test_key(0, 0);
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true);
    const CsrSan san = { SAN_DNS, "a.example" };
    CsrTemplate template = { .subject = "CN=x,O=y", .sans = &san, .san_count = 1 };
    _cleanup_bytes_ Bytes request = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &request, &failure), failure);
    IssuedExpectation expectation = { .spki = bytes_view(&key.spki), .request = bytes_view(&request) };
#define LEAF(...)                                                                                                      \
    _cleanup_entity_ Entity leaf =                                                                                     \
        ENTITY(.issuer = &root, .subject = "CN=x,O=y", .dns = "a.example", .key = key.x509, ##__VA_ARGS__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverride-init"
    {
        LEAF();
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
        IssuedExpectation wrong = { .spki = bytes_view(&other.spki), .request = bytes_view(&request) };
        check_refused(&leaf, &wrong, "for another public key than ours");
    }
    {
        LEAF(.ca = true);
        check_refused(&leaf, &expectation, "is a CA certificate");
    }
    {
        LEAF(.usage = GNUTLS_KEY_KEY_ENCIPHERMENT);
        check_refused(&leaf, &expectation, "does not allow digital signatures");
    }
    {
        LEAF(.no_key_usage = true);
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
    }
    {
        LEAF(.not_before = NOW, .not_after = NOW - 1);
        check_refused(&leaf, &expectation, "ends before it begins");
    }
    {
        LEAF(.not_before = NOW, .not_after = NOW + 9);
        check_refused(&leaf, &expectation, "less than 10 seconds");
    }
    {
        LEAF(.not_before = NOW, .not_after = NOW + 10);
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
    }
    {
        LEAF(.subject = "CN=somebody,O=y");
        check_refused(
            &leaf, &expectation,
            "its subject is \"CN=somebody,O=y\", but the request has \"CN=x,O=y\": mend the CA, or set Names=ca");
    }
    {
        LEAF(.subject = "CN=x");
        check_refused(&leaf, &expectation, "its subject is \"CN=x\", but the request has \"CN=x,O=y\"");
    }
    {
        LEAF(.dns = "b.example");
        check_refused(
            &leaf, &expectation,
            "its subject alternative names are dns:b.example, but the request has dns:a.example: mend the CA");
    }
    {
        LEAF(.dns = NULL);
        check_refused(&leaf, &expectation, "its subject alternative names are none, but the request has dns:a.example");
    }
    {
        LEAF(.uri = "urn:extra");
        check_refused(&leaf, &expectation, "but the request has dns:a.example");
    }
    {
        LEAF(.subject = "CN=z", .dns = "A.Example");
        check_refused(&leaf, &expectation, "its subject is \"CN=z\", but");
    }
    {
        LEAF(.subject = "CN=z", .dns = "b.example");
        check_refused(
            &leaf, &expectation,
            "its subject is \"CN=z\" and its subject alternative names are dns:b.example, but the request has "
            "\"CN=x,O=y\" and dns:a.example: mend the CA, or set Names=ca in [Enrollment] if it is the CA that "
            "decides names");
    }
    {
        LEAF(.subject = "CN=X,O=Y", .dns = "A.Example");
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
    }
    {
        /* the same names in UTF8String, as a CA may encode them: CN=x, O=y */
        static const uint8_t utf8[] = { 0x30, 0x18, 0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x0a, 0x0c, 0x01,
                                        'y',  0x31, 0x0a, 0x30, 0x08, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x01, 'x' };
        LEAF();
        BytesView kept = leaf.certificate->subject_raw;
        leaf.certificate->subject_raw = (BytesView) { utf8, sizeof(utf8) };
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
        leaf.certificate->subject_raw = kept;
    }
}

/* Where the CA decides names, everything else is wanted all the same. */
static void test_names_of_the_ca(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0), other = test_key(0, 0);
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            previous = ENTITY(.issuer = &root, .subject = "CN=x,O=y", .dns = "a.example");
    CsrTemplate template = { .subject = "CN=x,O=y" };
    _cleanup_bytes_ Bytes request = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    assert_ok(csr_create(&template, key.key, bytes_view(&key.spki), &request, &failure), failure);
    IssuedExpectation expectation = { .spki = bytes_view(&key.spki),
                                      .request = bytes_view(&request),
                                      .previous = previous.certificate,
                                      .names_are_the_cas = true };
    {
        LEAF(.subject = "CN=z,O=the CA", .dns = "b.example");
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
        IssuedExpectation wrong = { .spki = bytes_view(&other.spki), .names_are_the_cas = true };
        check_refused(&leaf, &wrong, "for another public key than ours");
    }
    {
        LEAF(.ca = true);
        check_refused(&leaf, &expectation, "is a CA certificate");
    }
    {
        LEAF(.usage = GNUTLS_KEY_KEY_ENCIPHERMENT);
        check_refused(&leaf, &expectation, "does not allow digital signatures");
    }
}

static void test_renewed(void **state) {
    _cleanup_test_key_ TestKey key = test_key(0, 0);
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root", .ca = true),
                            previous = ENTITY(.issuer = &root, .subject = "CN=x,O=y", .dns = "a.example", .serial = 77,
                                              .not_after = NOW + 10 * DAY);
    IssuedExpectation expectation = { .spki = bytes_view(&key.spki), .previous = previous.certificate };
    Failure failure = FAILURE_INIT;
    {
        LEAF(.serial = 78);
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
    }
    { /* whether it is better than what there is is not for here */
        LEAF(.serial = 78, .not_after = NOW + 9 * DAY);
        assert_ok(issued_check(leaf.certificate, &expectation, &failure), failure);
    }
    {
        LEAF(.serial = 78, .subject = "CN=z,O=y");
        check_refused(&leaf, &expectation,
                      "its subject is \"CN=z,O=y\", but the certificate that it renews has \"CN=x,O=y\"");
    }
    {
        LEAF(.serial = 78, .dns = "b.example");
        check_refused(&leaf, &expectation, "but the certificate that it renews has dns:a.example");
    }
    {
        LEAF(.serial = 78, .dns = NULL);
        check_refused(&leaf, &expectation, "names are none, but the certificate that it renews has dns:a.example");
    }
#pragma GCC diagnostic pop
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_openssl_reads_it), cmocka_unit_test(test_hardware_module_name),
        cmocka_unit_test(test_minimal),          cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_refused_names),    cmocka_unit_test(test_renewal_copies_bytes),
        cmocka_unit_test(test_key_mismatch),     cmocka_unit_test(test_has_names),
        cmocka_unit_test(test_challenge),        cmocka_unit_test(test_malformed_requests),
        cmocka_unit_test(test_issued),           cmocka_unit_test(test_names_of_the_ca),
        cmocka_unit_test(test_renewed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
