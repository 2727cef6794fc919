/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificates as they come: DER, PEM bundles and PKCS#7, well made and not. */
#include "pki/certificate.h"

#include "pki/asn1.h"

#include "fixture.h"

#include <gnutls/pkcs7.h>
#include <stdio.h>
#include <string.h>

static void test_fields(void **state) {
    _cleanup_entity_ Entity root = ENTITY(.subject = "CN=Root,O=Example", .ca = true),
                            leaf = ENTITY(.subject = "CN=leaf", .issuer = &root, .serial = 0xab01, .dns = "a.example");
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificate_ Certificate *copy = NULL;
    Failure failure = FAILURE_INIT;
    uint8_t fingerprint[32];

    assert_string_equal(leaf.certificate->subject, "CN=leaf");
    assert_string_equal(leaf.certificate->issuer, "CN=Root,O=Example");
    assert_string_equal(leaf.certificate->serial, "ab01");
    assert_int_equal(leaf.certificate->not_before, NOW - 100 * DAY);
    assert_int_equal(leaf.certificate->not_after, NOW + 100 * DAY);
    assert_true(root.certificate->is_ca && !leaf.certificate->is_ca);
    assert_true(root.certificate->self_issued && !leaf.certificate->self_issued);
    assert_true(certificate_is_self_signed(root.certificate) && !certificate_is_self_signed(leaf.certificate));

    /* openssl on the same bytes */
    write_file(directory, "leaf.der", bytes_view(&leaf.certificate->der));
    assert_int_equal(certificate_fingerprint(leaf.certificate, fingerprint), 0);
    _cleanup_free_ char *hex = bytes_to_hex((BytesView) { fingerprint, 32 });
    _cleanup_free_ char *sum =
        run(NULL,
            "openssl x509 -inform DER -in %s/leaf.der -fingerprint -sha256 -noout | sed 's/.*=//;s/://g' "
            "| tr A-F a-f | tr -d '\\n'",
            directory);
    assert_string_equal(sum, hex);
    free(run(NULL,
             "openssl x509 -inform DER -in %s/leaf.der -pubkey -noout | openssl pkey -pubin -outform DER -out %s/spki",
             directory, directory));
    _cleanup_bytes_ Bytes spki = read_test_file(directory, "spki");
    assert_true(bytes_view_equal(bytes_view(&spki), leaf.certificate->spki));

    _cleanup_certificate_ Certificate *same = certificate_ref(leaf.certificate);
    assert_ptr_equal(same, leaf.certificate);
    assert_null(certificate_free(certificate_ref(same))); /* one of three */
    assert_ok(certificate_from_der(bytes_view(&same->der), &copy, &failure), failure);
    assert_true(certificate_equal(copy, leaf.certificate) && !certificate_equal(copy, root.certificate));
    const CertificateExtension *san = certificate_extension(leaf.certificate, "2.5.29.17");
    assert_non_null(san);
    assert_false(san->critical);
    assert_int_equal(san->value.size, 13);
    assert_null(certificate_extension(leaf.certificate, "1.2.3"));
}

/* An IDevID has no end (IEEE 802.1AR §8.7); and times before 2000 and after 2050 are encoded differently. */
static void test_times(void **state) {
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList list = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    char text[CERTIFICATE_TIME_MAX];

    write_file(directory, "index.txt", (BytesView) { NULL, 0 });
    write_file(directory, "serial", bytes_view_string("01\n"));
    write_file(directory, "config",
               bytes_view_string("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\nserial=serial\nnew_certs_dir=.\n"
                                 "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n"
                                 "[req]\ndistinguished_name=dn\nprompt=no\n[dn]\nCN=forever\n"));
    free(run(NULL,
             "cd %s && openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out csr -config "
             "config && "
             "openssl ca -batch -config config -selfsign -keyfile key -in csr -startdate 19991231235959Z "
             "-enddate 99991231235959Z -out c.pem -notext",
             directory));
    pem = read_test_file(directory, "c.pem");
    assert_ok(certificate_list_from_pem(bytes_view(&pem), 1, &list, &failure), failure);
    assert_int_equal(list.list[0]->not_before, 946684799);
    assert_int_equal(list.list[0]->not_after, 253402300799);
    assert_string_equal(certificate_time(list.list[0]->not_after, text), "9999-12-31 23:59:59 UTC");
}

static void refuse(BytesView der, const char *reason) {
    Certificate *certificate = NULL;
    Failure failure = FAILURE_INIT;

    assert_failure(certificate_from_der(der, &certificate, &failure), EBADMSG, failure, reason);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_null(certificate);
}

/* Replaces the one place of `old`, of equal length. */
static void replace(const Bytes *der, const void *old, const void *new, size_t size) {
    uint8_t *at = memmem(der->data, der->size, old, size);

    assert_non_null(at);
    memcpy(at, new, size);
}

static void test_malformed(void **state) {
    const Extension twice[2] = { { "1.2.3.4.5", "\x05\x00", 2, false }, { "1.2.3.4.6", "\x05\x00", 2, false } };
    _cleanup_entity_ Entity entity = ENTITY(.subject = "CN=x", .extensions = { twice[0], twice[1] });
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_free_ uint8_t *huge = calloc(1, CERTIFICATE_MAX + 1);

    refuse((BytesView) { NULL, 0 }, "empty");
    refuse((BytesView) { huge, CERTIFICATE_MAX + 1 }, "more than 32768");
    refuse(bytes_view_string("-----BEGIN CERTIFICATE-----"), "not DER");
    refuse((BytesView) { (const uint8_t *) "\x30\x80\x00\x00", 4 }, "not DER");
    refuse((BytesView) { (const uint8_t *) "\x30\x00", 2 }, "not one in DER");
    for (size_t size = 1; size < entity.certificate->der.size; size++)
        refuse((BytesView) { entity.certificate->der.data, size }, "");
    assert_int_equal(bytes_copy(bytes_view(&entity.certificate->der), &der), 0);
    assert_int_equal(bytes_append(&der, (BytesView) { (const uint8_t *) "\x05\x00", 2 }), 0);
    refuse(bytes_view(&der), "2 bytes after the end");
    der.size -= 2;
    replace(&der, "\x2a\x03\x04\x06", "\x2a\x03\x04\x05", 4);
    refuse(bytes_view(&der), "the extension 1.2.3.4.5 twice");
    replace(&der, "250307150640Z", "25130x150640Z", 13);
    refuse(bytes_view(&der), "");
}

static void test_times_that_are_none(void **state) {
    static const char *const bad[] = { "251307150640Z", "250300150640Z", "250332150640Z", "250307240640Z",
                                       "250307156040Z", "250307150661Z", "250307150640+", "2503071506400" };
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        _cleanup_entity_ Entity entity = ENTITY(.subject = "CN=x");
        replace(&entity.certificate->der, "250307150640Z", bad[i], 13);
        refuse(bytes_view(&entity.certificate->der), "");
    }
}

static void test_urls(void **state) {
    static const char long_prefix[] = "http://long.example/";
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_certificates_ CertificateList list = { 0 };
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    char config[8192], **urls;
    Failure failure = FAILURE_INIT;
    int n;

    n = snprintf(config, sizeof(config),
                 "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=ext\n[dn]\nCN=x\n[ext]\n"
                 "crlDistributionPoints=URI:ldap://a/b,URI:http://one.example/a.crl,URI:file:///etc/passwd,URI:HTTPS://"
                 "two.example/,"
                 "URI:http://one.example/a.crl,DNS:three.example,URI:http://four.example/a b,URI:http://,URI:%s%0*d\n"
                 "authorityInfoAccess=caIssuers;URI:http://ca.example/,OCSP;URI:http://ocsp.example/,OCSP;URI:ldap://x,"
                 "OCSP;URI:https://ocsp2.example/\n",
                 long_prefix, (int) CERTIFICATE_URL_LENGTH_MAX, 0);
    assert_true(n > 0 && (size_t) n < sizeof(config));
    write_file(directory, "config", bytes_view_string(config));
    free(run(NULL,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s/key -out %s/c.pem "
             "-config %s/config",
             directory, directory, directory));
    pem = read_test_file(directory, "c.pem");
    assert_ok(certificate_list_from_pem(bytes_view(&pem), 1, &list, &failure), failure);
    assert_int_equal(certificate_crl_urls(list.list[0], &urls), 0);
    assert_string_equal(urls[0], "http://one.example/a.crl");
    assert_string_equal(urls[1], "HTTPS://two.example/");
    assert_null(urls[2]);
    certificate_urls_free(urls);
    assert_int_equal(certificate_ocsp_urls(list.list[0], &urls), 0);
    assert_string_equal(urls[0], "http://ocsp.example/");
    assert_string_equal(urls[1], "https://ocsp2.example/");
    assert_null(urls[2]);
    certificate_urls_free(urls);

    _cleanup_entity_ Entity plain = ENTITY(.subject = "CN=x");
    assert_int_equal(certificate_crl_urls(plain.certificate, &urls), 0);
    assert_null(urls[0]);
    certificate_urls_free(urls);
    assert_null(certificate_urls_free(NULL));
}

/* Two names never read alike: what has no RFC 4514 form is hex. */
static void test_describe(void **state) {
    char text[CERTIFICATE_DESCRIPTION_MAX];
    char subject[300] = "CN=";
    _cleanup_entity_ Entity entity = ENTITY(.subject = "CN=x", .serial = 0x0a), nameless = ENTITY(.serial = 0x0b);

    assert_string_equal(certificate_describe(entity.certificate, text), "CN=x (serial 0a)");
    assert_string_equal(certificate_describe(nameless.certificate, text),
                        "the certificate without a subject (serial 0b)");
    assert_string_equal(nameless.certificate->subject, "");
    assert_false(nameless.certificate->self_issued);
    memset(subject + 3, 'y', 250);
    _cleanup_entity_ Entity tall = ENTITY(.subject = subject, .serial = 0x0c);
    assert_non_null(strstr(certificate_describe(tall.certificate, text), "yyy (serial 0c)"));
}

/* ---- PEM ---- */

static void refuse_pem(const char *pem, size_t maximum, const char *reason) {
    CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    assert_failure(certificate_list_from_pem(bytes_view_string(pem), maximum, &list, &failure), EBADMSG, failure,
                   reason);
    assert_null(list.list);
}

static void test_pem(void **state) {
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a"), b = ENTITY(.subject = "CN=b");
    _cleanup_certificates_ CertificateList one = LIST(a.certificate), two = LIST(a.certificate, b.certificate),
                                           back = { 0 }, crlf = { 0 };
    _cleanup_bytes_ Bytes pem_one = BYTES_NULL, pem_two = BYTES_NULL;
    _cleanup_free_ char *text = NULL, *windows = NULL;
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_to_pem(&one, &pem_one), 0);
    assert_int_equal(certificate_list_to_pem(&two, &pem_two), 0);
    assert_true(asprintf(&text, "# roots\nsubject=CN=a -----BEGIN\n%s\nend of it", (char *) pem_two.data) > 0);
    assert_ok(certificate_list_from_pem(bytes_view_string(text), 2, &back, &failure), failure);
    assert_int_equal(back.count, 2);
    assert_true(certificate_equal(back.list[1], b.certificate));
    assert_true(certificate_list_contains(&back, a.certificate));
    assert_false(certificate_list_contains(&one, b.certificate));

    windows = calloc(1, 2 * pem_two.size);
    for (size_t i = 0, k = 0; i < pem_two.size; i++) {
        if (pem_two.data[i] == '\n')
            windows[k++] = '\r';
        windows[k++] = (char) pem_two.data[i];
    }
    assert_ok(certificate_list_from_pem(bytes_view_string(windows), 2, &crlf, &failure), failure);
    assert_int_equal(crlf.count, 2);

    refuse_pem((char *) pem_two.data, 1, "more than 1 certificates");
    refuse_pem("", 5, "no certificate");
    refuse_pem("nothing\nto see", 5, "no certificate");
    refuse_pem("\n\n-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n", 5,
               "PEM block 1 (line 3) is a 'RSA PRIVATE KEY', not a CERTIFICATE");
    refuse_pem("-----BEGIN CERTIFICATE-----\nAAAA\n", 5, "PEM block 1 (line 1) has no END line");
    refuse_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 5,
               "PEM block 1 (line 1) has no END line");
    refuse_pem("-----BEGIN CERTIFICATE-----\nAAAA\n-----END X509 CRL-----\n", 5,
               "ends with the END line of something else (line 3)");
    refuse_pem("-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n", 5,
               "PEM block 1 (line 1) is not base64");
    _cleanup_free_ char *second = NULL;
    assert_true(asprintf(&second, "%s-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                         (char *) pem_one.data) > 0);
    refuse_pem(second, 5, "PEM block 2 (line ");
    refuse_pem(second, 5, "not one in DER");

    _cleanup_free_ uint8_t *huge = calloc(1, BUNDLE_BYTES_MAX + 1);
    CertificateList list = { 0 };
    assert_failure(certificate_list_from_pem((BytesView) { huge, BUNDLE_BYTES_MAX + 1 }, 5, &list, &failure), EBADMSG,
                   failure, "more than 2097152");
    assert_failure(certificate_list_from_pem((BytesView) { huge, 1000 }, 5, &list, &failure), EBADMSG, failure,
                   "no certificate");
}

/* What others keep is taken without what cannot be read, and that is told. */
static void test_pem_bundle(void **state) {
    static const char junk[] = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"
                               "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n"
                               "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n",
                      open_end[] = "-----BEGIN CERTIFICATE-----\nMAA=\n";
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a"), b = ENTITY(.subject = "CN=b");
    _cleanup_certificates_ CertificateList one = LIST(a.certificate), two = LIST(b.certificate), back = { 0 },
                                           none = { 0 };
    _cleanup_bytes_ Bytes pem_a = BYTES_NULL, pem_b = BYTES_NULL;
    _cleanup_free_ char *text = NULL, *cut = NULL;
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;

    assert_int_equal(certificate_list_to_pem(&one, &pem_a), 0);
    assert_int_equal(certificate_list_to_pem(&two, &pem_b), 0);
    assert_true(asprintf(&text, "%s%s%s", (char *) pem_a.data, junk, (char *) pem_b.data) > 0);
    assert_ok(certificate_bundle_from_pem(bytes_view_string(text), &back, &left_out, &failure), failure);
    assert_int_equal(back.count, 2);
    assert_true(certificate_equal(back.list[1], b.certificate));
    assert_int_equal(left_out.count, 3);
    assert_non_null(strstr(left_out.first.text, "PEM block 2 (line "));
    /* nothing is left, there never was anything, and a file that is cut off */
    assert_failure(certificate_bundle_from_pem(bytes_view_string(junk), &none, &left_out, &failure), EBADMSG, failure,
                   "none of the 3 can be read; the first: PEM block 1 (line 1): ");
    assert_failure(certificate_bundle_from_pem(bytes_view_string("x"), &none, &left_out, &failure), EBADMSG, failure,
                   "no certificate in the PEM text");
    assert_true(asprintf(&cut, "%s%s", (char *) pem_a.data, open_end) > 0);
    assert_failure(certificate_bundle_from_pem(bytes_view_string(cut), &none, &left_out, &failure), EBADMSG, failure,
                   "has no END line");
    assert_null(none.list);
    assert_int_equal(left_out.count, 3);
}

/* ---- PKCS#7 ---- */

static void refuse_pkcs7(BytesView der, size_t maximum, const char *reason) {
    CertificateList list = { 0 };
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;

    assert_failure(certificate_bundle_from_pkcs7(der, maximum, &list, &left_out, &failure), EBADMSG, failure, reason);
    assert_int_equal(failure.kind, FAILURE_CERTIFICATE_REJECTED);
    assert_true(!list.list && left_out.count == 0);
}

static void test_pkcs7(void **state) {
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a"), b = ENTITY(.subject = "CN=b");
    _cleanup_certificates_ CertificateList two = LIST(a.certificate, b.certificate), back = { 0 }, empty = { 0 };
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_bytes_ Bytes der = BYTES_NULL, none = BYTES_NULL, longer = BYTES_NULL;
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;

    write_pem(directory, "two.pem", &two);
    write_pem(directory, "empty.pem", &empty);
    free(run(NULL, "openssl crl2pkcs7 -nocrl -certfile %s/two.pem -outform DER -out %s/two.p7", directory, directory));
    free(run(NULL, "openssl crl2pkcs7 -nocrl -certfile %s/empty.pem -outform DER -out %s/empty.p7", directory,
             directory));
    der = read_test_file(directory, "two.p7");
    none = read_test_file(directory, "empty.p7");

    assert_ok(certificate_bundle_from_pkcs7(bytes_view(&der), 2, &back, &left_out, &failure), failure);
    assert_int_equal(back.count, 2);
    assert_int_equal(left_out.count, 0);
    assert_true(certificate_list_contains(&back, a.certificate) && certificate_list_contains(&back, b.certificate));

    refuse_pkcs7(bytes_view(&der), 1, "there are 2 certificates");
    refuse_pkcs7(bytes_view(&none), 2, "no certificate in the PKCS#7");
    refuse_pkcs7((BytesView) { NULL, 0 }, 2, "empty");
    refuse_pkcs7(bytes_view_string("<html>not found</html>"), 2, "what should be PKCS#7");
    refuse_pkcs7(bytes_view(&a.certificate->der), 2, "what should be PKCS#7");
    for (size_t size = 1; size < der.size; size += 7)
        refuse_pkcs7((BytesView) { der.data, size }, 2, "");
    assert_int_equal(bytes_copy(bytes_view(&der), &longer), 0);
    assert_int_equal(bytes_append(&longer, bytes_view_string("xx")), 0);
    refuse_pkcs7(bytes_view(&longer), 2, "");
    _cleanup_free_ uint8_t *huge = calloc(1, BUNDLE_BYTES_MAX + 1);
    refuse_pkcs7((BytesView) { huge, BUNDLE_BYTES_MAX + 1 }, 2, "more than 2097152");
}

static void test_pkcs7_bundle(void **state) {
    const Extension twice[2] = { { "1.2.3.4.5", "\x05\x00", 2, false }, { "1.2.3.4.6", "\x05\x00", 2, false } };
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a"),
                            junk = ENTITY(.subject = "CN=x", .extensions = { twice[0], twice[1] });
    _cleanup_certificates_ CertificateList both = LIST(junk.certificate, a.certificate), alone = LIST(junk.certificate),
                                           back = { 0 }, none = { 0 };
    _cleanup_directory_ char *directory = make_directory();
    LeftOut left_out = { 0 };
    Failure failure = FAILURE_INIT;

    write_pem(directory, "both.pem", &both);
    write_pem(directory, "alone.pem", &alone);
    free(run(NULL,
             "cd %s; for n in both alone; do openssl crl2pkcs7 -nocrl -certfile $n.pem -outform DER -out $n.p7; done",
             directory));
    _cleanup_bytes_ Bytes one = read_test_file(directory, "both.p7"), other = read_test_file(directory, "alone.p7");
    replace(&one, "\x2a\x03\x04\x06", "\x2a\x03\x04\x05", 4);
    replace(&other, "\x2a\x03\x04\x06", "\x2a\x03\x04\x05", 4);
    assert_ok(certificate_bundle_from_pkcs7(bytes_view(&one), 2, &back, &left_out, &failure), failure);
    assert_int_equal(back.count, 1);
    assert_true(certificate_equal(back.list[0], a.certificate));
    assert_int_equal(left_out.count, 1);
    assert_non_null(strstr(left_out.first.text, "has the extension 1.2.3.4.5 twice"));
    assert_failure(certificate_bundle_from_pkcs7(bytes_view(&other), 2, &none, &left_out, &failure), EBADMSG, failure,
                   "none of the 1 can be read; the first: certificate 1 of the PKCS#7 message: ");
    assert_null(none.list);
}

/* A signed message, and an unsigned one with content, are not certs-only. */
static void test_pkcs7_with_more(void **state) {
    _cleanup_directory_ char *directory = make_directory();
    _cleanup_bytes_ Bytes with_signer = BYTES_NULL, with_content = BYTES_NULL;

    write_file(directory, "text", bytes_view_string("content\n"));
    free(run(NULL,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out c.pem "
             "-subj /CN=x && "
             "openssl cms -sign -in text -signer c.pem -inkey key -outform DER -out signed.p7 && "
             "openssl cms -sign -in text -binary -nodetach -signer c.pem -inkey key -outform DER -out content.p7",
             directory));
    with_signer = read_test_file(directory, "signed.p7");
    refuse_pkcs7(bytes_view(&with_signer), 5, "has a signer");
    with_content = read_test_file(directory, "content.p7");
    refuse_pkcs7(bytes_view(&with_content), 5, "has a signer");

    /* content without a signer: ContentInfo { signedData, { 1, {}, { data, [0] OCTET STRING "x" }, [0] { cert }, {} } }
     */
    _cleanup_entity_ Entity a = ENTITY(.subject = "CN=a");
    static const uint8_t version[] = { 2, 1, 1 },
                         digests[] = { 0x31, 0 }, content[] = { 0x30, 0x10, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7,
                                                                0x0d, 1,    7, 1, 0xa0, 3,    4,    1,    'x' },
                         signed_data[] = { 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2 };
    const BytesView certificate = bytes_view(&a.certificate->der);
    _cleanup_bytes_ Bytes set = BYTES_NULL, inner = BYTES_NULL, wrapped = BYTES_NULL, whole = BYTES_NULL;
    assert_int_equal(asn1_sequence(&certificate, 1, &set), 0);
    set.data[0] = 0xa0;
    const BytesView parts[] = {
        { version, sizeof(version) }, { digests, 2 }, { content, sizeof(content) }, bytes_view(&set), { digests, 2 }
    };
    assert_int_equal(asn1_sequence(parts, 5, &inner), 0);
    const BytesView inner_view = bytes_view(&inner);
    assert_int_equal(asn1_sequence(&inner_view, 1, &wrapped), 0);
    wrapped.data[0] = 0xa0;
    const BytesView outer[] = { { signed_data, sizeof(signed_data) }, bytes_view(&wrapped) };
    assert_int_equal(asn1_sequence(outer, 2, &whole), 0);
    refuse_pkcs7(bytes_view(&whole), 5, "has content");
}

/* Millions of empty elements, with definite and indefinite lengths, cost nothing. */
static void test_pkcs7_bombs(void **state) {
    static const uint8_t prefix[] = { 0x30, 0x80, 6,    9,    0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,    7, 2,
                                      0xa0, 0x80, 0x30, 0x80, 2,    1,    1,    0x31, 0,    0x30, 0x0b, 6, 9,
                                      0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1,    7,    1,    0xa0, 0x80 };
    _cleanup_free_ uint8_t *bomb = calloc(1, BUNDLE_BYTES_MAX);

    for (size_t i = 0; i + 1 < BUNDLE_BYTES_MAX; i += 2)
        bomb[i] = 0x30;
    refuse_pkcs7((BytesView) { bomb, BUNDLE_BYTES_MAX }, 5, "more than 65536 elements");
    memcpy(bomb, prefix, sizeof(prefix));
    for (size_t i = sizeof(prefix); i + 1 < BUNDLE_BYTES_MAX; i += 2) {
        bomb[i] = 0x30;
        bomb[i + 1] = 0;
    }
    refuse_pkcs7((BytesView) { bomb, BUNDLE_BYTES_MAX }, 5, "more than 65536 elements");
    for (size_t i = 0; i + 1 < 4096; i += 2) { /* nesting without end */
        bomb[i] = 0x30;
        bomb[i + 1] = 0x80;
    }
    refuse_pkcs7((BytesView) { bomb, 4096 }, 5, "");
    /* each SEQUENCE in the next one, definite lengths */
    size_t size = 2;
    uint8_t nested[128];
    memset(nested, 0, sizeof(nested));
    for (size_t depth = 0; depth < 40; depth++) {
        memmove(nested + 2, nested, size);
        nested[0] = 0x30;
        nested[1] = (uint8_t) size;
        size += 2;
    }
    refuse_pkcs7((BytesView) { nested, size }, 5, "nests too deep");
}

static void test_list_begun(void **state) {
    _cleanup_entity_ Entity early = ENTITY(.subject = "CN=a", .not_before = NOW - DAY),
                            late = ENTITY(.subject = "CN=b", .not_before = NOW + DAY),
                            between = ENTITY(.subject = "CN=c", .not_before = NOW);
    _cleanup_certificates_ CertificateList list = LIST(early.certificate, late.certificate, between.certificate);
    const CertificateList none = { 0 };

    assert_true(certificate_list_begun(&list, NOW) == NOW + DAY);
    assert_true(certificate_list_begun(&list, NOW + 2 * DAY) == NOW + 2 * DAY);
    assert_true(certificate_list_begun(&none, NOW) == NOW);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_times_that_are_none),
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_describe),
        cmocka_unit_test(test_pem),
        cmocka_unit_test(test_pem_bundle),
        cmocka_unit_test(test_pkcs7_bundle),
        cmocka_unit_test(test_pkcs7),
        cmocka_unit_test(test_pkcs7_with_more),
        cmocka_unit_test(test_pkcs7_bombs),
        cmocka_unit_test(test_list_begun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
