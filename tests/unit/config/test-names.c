/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `idctl check` takes and what a request is made with are the same names: each is given to both. */
#include "config/identity-rules.h"
#include "pki/csr-names.h"

#include <gnutls/x509.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define A63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

typedef struct Subject {
    const char *text;
    const char *expected; /* as GnuTLS writes what it reads in the DER; NULL: refused … */
    const char *reason;   /* … with this */
} Subject;

static const Subject subjects[] = {
    { "CN=a", "CN=a", NULL },
    { "CN=a,O=b,C=DE", "CN=a,O=b,C=DE", NULL },
    { " CN = a , O = b ", "CN=a,O=b", NULL },
    { "cn=a", "CN=a", NULL },
    { "CN=a\\2Cb", "CN=a\\,b", NULL },
    { "CN=a\\2cb,O=c", "CN=a\\,b,O=c", NULL },
    { "CN=a\\,b", "CN=a\\,b", NULL },
    { "CN=a\\\\,O=b", "CN=a\\\\,O=b", NULL }, /* the comma separates: the backslash before it is a value's */
    { "CN=a\\5C,O=b", "CN=a\\\\,O=b", NULL },
    { "CN=a\\\\\\,O\\=b", "CN=a\\\\\\,O=b", NULL },
    { "CN=a\\+b", "CN=a\\+b", NULL },
    { "CN=a\\2Bb,O=\\\"c\\\"", "CN=a\\+b,O=\\\"c\\\"", NULL },
    { "CN=a\\<b\\>\\;", "CN=a\\<b\\>\\;", NULL },
    { "CN=a\\ ", "CN=a\\ ", NULL },
    { "CN=\\ a\\20,O=b", "CN=\\ a\\ ,O=b", NULL },
    { "CN=a\\ \\ ,O=b", "CN=a \\ ,O=b", NULL },
    { "CN=\\#a", "CN=\\#a", NULL },
    { "CN=a#b", "CN=a#b", NULL },
    { "CN=a=b", "CN=a=b", NULL },
    { "CN=M\\C3\\BCller", "CN=Müller", NULL },
    { "CN=Müller", "CN=Müller", NULL },
    { "2.5.4.3=a", "CN=a", NULL },
    { "CN=#0C0161", "CN=a", NULL },
    { "CN=#0c0161 ,O=b", "CN=a,O=b", NULL },
    { "1.2.3.4=#130161", "1.2.3.4=#130161", NULL },
    { "serialNumber=A/1:2,DC=example,UID=u", "serialNumber=A/1:2,DC=example,UID=u", NULL },
    { "CN=" A63 "a", "CN=" A63 "a", NULL },
    { "a", NULL, "begins with an attribute and '='" },
    { "CN", NULL, "begins with an attribute and '='" },
    { "CN=", NULL, "a part has no value" },
    { "CN= ", NULL, "a part has no value" },
    { "=a", NULL, "no attribute before the '='" },
    { "CN=a,", NULL, "take out the last comma" },
    { "CN=a, ", NULL, "take out the last comma" },
    { ",CN=a", NULL, "begins with an attribute and '='" },
    { "CN=a,,O=b", NULL, "begins with an attribute and '='" },
    { "CN=a\\", NULL, "is no escape" },
    { "CN=a\\x", NULL, "is no escape" },
    { "CN=a\\4", NULL, "is no escape" },
    { "CN=a\\4g", NULL, "is no escape" },
    { "CN=a\\00b", NULL, "control character" },
    { "CN=a\\0Ab", NULL, "control character" },
    { "CN=a\\FFb", NULL, "is no UTF-8" },
    { "CN=a\\E2\\80\\AEb", NULL, "control character" }, /* what turns the direction of writing */
    { "CN=a+O=b", NULL, "a '+' is written as '\\+'" },
    { "CN=a;O=b", NULL, "a ';' is written as '\\;'" },
    { "O=\"a, Inc.\",CN=b", NULL, "a '\"' is written as" },
    { "CN=<a>", NULL, "a '<' is written as" },
    { "FOO=a", NULL, "\"FOO\" is no attribute that is known" },
    { "C N=a", NULL, "begins with an attribute and '='" },
    { "2.5=a", NULL, "how a value of 2.5 is encoded" },
    { "9.5.4=a", NULL, "no object identifier" },
    { "2..5=a", NULL, "no object identifier" },
    { "CN=#", NULL, "is not the DER of one string" },
    { "CN=#0C01", NULL, "is not the DER of one string" },
    { "CN=#0C016162", NULL, "is not the DER of one string" },
    { "CN=#0C00", NULL, "is not the DER of one string" },
    { "CN=#0C0161300", NULL, "is no even number of hexadecimal digits" },
    { "CN=#a", NULL, "is no even number of hexadecimal digits" },
    { "CN=#abcg", NULL, "is no even number of hexadecimal digits" },
    { "CN=#30030C0161", NULL, "is not the DER of one string" },
    { "CN=#0C800000", NULL, "is not the DER of one string" },
    { "CN=#0C01FF", NULL, "is no UTF-8" },
    { "CN=#13015F", NULL, "letters, digits" },
    { "serialNumber=A_1", NULL, "serialNumber may have only letters, digits" },
    { "DC=\\C3\\BC", NULL, "DC may not have" },
    { "C=DEU", NULL, "C would have 3 characters; a certificate allows 2" },
    { "CN=" A63 "aa", NULL, "CN would have 65 characters; a certificate allows 64" },
};

static void test_subjects(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(subjects); i++) {
        const Subject *subject = &subjects[i];
        _cleanup_free_ char *fault = NULL;
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        int r = csr_subject_encode(subject->text, &der, &failure);
        assert_int_equal(subject_fault(subject->text, &fault), 0);
        if ((r < 0) != (fault != NULL))
            fail_msg("'%s': the request says %d %s, check says %s", subject->text, r, failure.text,
                     fault ? fault : "good");
        if (!subject->expected) {
            if (r != -EINVAL || failure.kind != FAILURE_INVALID_ARGUMENT || !strstr(failure.text, subject->reason) ||
                !strstr(fault, subject->reason))
                fail_msg("'%s': %d %s; %s", subject->text, r, failure.text, fault);
            assert_null(der.data);
            continue;
        }
        if (r < 0)
            fail_msg("'%s': %s", subject->text, failure.text);
        gnutls_datum_t datum = { der.data, (unsigned) der.size }, text = { 0 };
        gnutls_x509_dn_t dn;
        assert_int_equal(gnutls_x509_dn_init(&dn), 0);
        assert_int_equal(gnutls_x509_dn_import(dn, &datum), 0);
        assert_int_equal(gnutls_x509_dn_get_str2(dn, &text, 0), 0);
        if (strcmp((char *) text.data, subject->expected) != 0)
            fail_msg("'%s' became '%s'", subject->text, text.data);
        gnutls_free(text.data);
        gnutls_x509_dn_deinit(dn);
    }
}

/* The word of SubjectAltName=, and whether it is a name. */
static const struct {
    const char *word;
    SanKind kind;
    bool good;
} names[] = {
    { "dns:a", SAN_DNS, true },
    { "dns:host_1.example.com", SAN_DNS, true },
    { "dns:x-1.Example", SAN_DNS, true },
    { "dns:" A63 ".b", SAN_DNS, true },
    { "dns:", SAN_DNS, false },
    { "dns:*.example.com", SAN_DNS, false },
    { "dns:a..b", SAN_DNS, false },
    { "dns:a.", SAN_DNS, false },
    { "dns:-a.b", SAN_DNS, false },
    { "dns:a-", SAN_DNS, false },
    { "dns:" A63 "a", SAN_DNS, false },
    { "dns:192.0.2.1", SAN_DNS, false },
    { "dns:a/b", SAN_DNS, false },
    { "dns:m\xc3\xbcnchen.example", SAN_DNS, false },
    { "ip:192.0.2.1", SAN_IP, true },
    { "ip:2001:db8::1", SAN_IP, true },
    { "ip:192.0.2.1/24", SAN_IP, false },
    { "ip:192.0.2", SAN_IP, false },
    { "ip:fe80::1%eth0", SAN_IP, false },
    { "uri:urn:example:device:1", SAN_URI, true },
    { "uri:https://[2001:db8::1]:8443/a;b?c=d#e", SAN_URI, true },
    { "uri:https://a.example/b.c/...", SAN_URI, true },
    { "uri:a", SAN_URI, false },
    { "uri:urn:", SAN_URI, false },
    { "uri:1x:y", SAN_URI, false },
    { "uri:urn:a|b", SAN_URI, false },
    { "uri:urn:{a}", SAN_URI, false },
    { "uri:urn:\xc3\xbc", SAN_URI, false },
    { "uri:https://a.example/../b", SAN_URI, false },
    { "uri:https://a.example/.", SAN_URI, false },
    { "uri:https://a.example/b/..?c", SAN_URI, false },
    { "hardware-module:1.3.6.1.4.1.99999.1/A-1/2 b", SAN_HARDWARE_MODULE, true },
    { "hardware-module:1.3.6/" A63 "a", SAN_HARDWARE_MODULE, true },
    { "hardware-module:1.3.6/" A63 "aa", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1.3.6/", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1.3.6", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1.40/a", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1/a", SAN_HARDWARE_MODULE, false },
    { "hardware-module:/a", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1.3.06/a", SAN_HARDWARE_MODULE, false },
    { "hardware-module:1.3.6/a\nb", SAN_HARDWARE_MODULE, false },
};

static void test_alternative_names(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(names); i++) {
        _cleanup_free_ char *fault = NULL;
        _cleanup_bytes_ Bytes der = BYTES_NULL;
        Failure failure = FAILURE_INIT;
        SanTemplate template = { 0 };
        const CsrSan san = { names[i].kind, strchr(names[i].word, ':') + 1 };
        int r = csr_sans_encode(&san, 1, &der, &failure);
        assert_int_equal(san_parse(names[i].word, &template, &fault), 0);
        if ((r >= 0) != names[i].good || (fault == NULL) != names[i].good)
            fail_msg("'%s': the request says %d %s, check says %s", names[i].word, r, failure.text,
                     fault ? fault : "good");
        if (!names[i].good && (failure.kind != FAILURE_INVALID_ARGUMENT || !strstr(failure.text, " must be ")))
            fail_msg("'%s': %s", names[i].word, failure.text);
        free(template.value);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_alternative_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
