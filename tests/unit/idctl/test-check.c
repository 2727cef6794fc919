/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What idctl check says of an identity by its properties, of whom [Access] admits, and of a CA's report: tables of what
 * there is and the one finding that follows. */
#include "idctl/check-access.h"
#include "idctl/check-identity.h"
#include "idctl/check-report.h"
#include "idctl/output.h"

#include "found.h"
#include "lab.h"

#include <stdio.h>
#include <unistd.h>

#define DAY UINT64_C(86400000000)
#define NOW (UINT64_C(20000) * DAY)

/* ---- findings ---- */

static void test_findings(void **state) {
    _cleanup_findings_ Findings findings = { 0 };

    assert_int_equal(findings_exit_code(&findings), EXIT_OK);
    findings_add(&findings, (FindingAbout) { "clock", NULL }, FINDING_OK, "unused", "%d", 1);
    findings_add(&findings, (FindingAbout) { "clock", "a" }, FINDING_WARNING, "do it", "b\x1b[31m");
    findings_add(&findings, (FindingAbout) { "key", "a" }, FINDING_SKIPPED, NULL, "c");
    assert_int_equal(findings_exit_code(&findings), EXIT_OK);
    assert_true(findings_have(&findings, "clock", NULL, FINDING_OK));
    assert_true(findings_have(&findings, "clock", "a", FINDING_WARNING));
    assert_false(findings_have(&findings, "clock", "a", FINDING_OK));
    assert_false(findings_have(&findings, "clock", "b", FINDING_WARNING));
    assert_false(findings_have(&findings, "key", NULL, FINDING_SKIPPED));
    _cleanup_json_ json_t *array = findings_to_json(&findings);
    assert_int_equal(json_array_size(array), 3);
    assert_true(json_is_null(json_object_get(json_array_get(array, 0), "advice"))); /* nothing is to be done */
    assert_string_equal(json_string_value(json_object_get(json_array_get(array, 1), "advice")), "do it");
    assert_string_equal(json_string_value(json_object_get(json_array_get(array, 2), "verdict")), "skipped");
    findings_add(&findings, (FindingAbout) { "key", "a" }, FINDING_FAILED, NULL, "d: \xff");
    _cleanup_json_ json_t *strange = findings_to_json(&findings); /* a name of a file need not be UTF-8 */
    assert_string_equal(json_string_value(json_object_get(json_array_get(strange, 3), "text")), "d: ?");
    assert_int_equal(findings_exit_code(&findings), EXIT_FAILED);
    findings_clear(&findings);
    findings.incomplete = true; /* who was not told all is not told that all is well */
    assert_int_equal(findings_exit_code(&findings), EXIT_FAILED);
}

/* ---- the state ---- */

static IdentityProperties properties_of(const char *state, const char *activity, const char *error) {
    return (IdentityProperties) {
        .name = (char *) "x",
        .state = (char *) state,
        .activity = (char *) activity,
        .last_error = (char *) error,
        .key_algorithm = (char *) "ecdsa-p256",
        .ready_by_itself = true,
        .not_before = NOW - 30 * DAY,
        .not_after = NOW + 60 * DAY,
        .next_renewal = NOW + 30 * DAY,
    };
}

static void test_states(void **state) {
    static const struct {
        const char *state, *activity, *error;
        bool stuck; /* somebody has to act */
        FindingVerdict verdict;
        const char *text, *advice;
    } cases[] = {
        { "ready", "idle", "", false, FINDING_OK, "ready, idle", "" },
        { "ready", "waiting", "no way.", false, FINDING_WARNING, "ready, waiting: no way.", "idctl renew" },
        { "empty", "enrolling", "", false, FINDING_WARNING, "empty, enrolling", "idctl wait" },
        { "empty", "waiting", "no way", false, FINDING_WARNING, "empty, waiting: no way", "idctl enroll" },
        { "empty", "idle", "", true, FINDING_WARNING, "empty, idle", "idctl request" },
        { "expired", "waiting", "no way", false, FINDING_FAILED, "expired, waiting: no way", "idctl renew" },
        { "expired", "idle", "", true, FINDING_FAILED, "expired, idle", "idctl request" },
        { "revoked", "idle", "", true, FINDING_FAILED, "revoked, idle", "idctl enroll --new-key" },
        { "revoked", "idle", "on hold", false, FINDING_FAILED, "revoked, idle: on hold", "lifts the hold" },
        { "unavailable", "idle", "disk", false, FINDING_FAILED, "unavailable, idle: disk", "journalctl" },
        { "retired", "idle", "", true, FINDING_WARNING, "retired, idle", "idctl enroll" },
        { "misconfigured", "idle", "x:3: y", true, FINDING_FAILED, "misconfigured, idle: x:3: y", "idctl reload" },
        { "asleep", "idle", "", false, FINDING_WARNING, "\"asleep\"", "another version" },
    };
    const CheckTerms terms = { .now = NOW };
    Findings findings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        IdentityProperties properties = properties_of(cases[i].state, cases[i].activity, cases[i].error);
        properties.ready_by_itself = !cases[i].stuck;
        check_state(&properties, &terms, &findings);
        expect_only(&findings, cases[i].verdict, cases[i].text, cases[i].advice);
    }
    IdentityProperties properties = properties_of("revoked", "idle", "");
    properties.next_attempt = NOW + DAY;
    check_state(&properties, &terms, &findings);
    expect_only(&findings, FINDING_FAILED, "revoked, idle", "AfterRevocation=enroll");
}

/* What another finding says already is not said again. */
static void test_one_cause(void **state) {
    const CheckTerms no_tpm = { .now = NOW, .tpm_failed = true }, faulty = { .now = NOW, .config_failed = true },
                     no_ca = { .now = NOW, .ca_failure = "the server https://a/ did not answer" };
    IdentityProperties properties = properties_of("unavailable", "idle", "the TPM is gone");
    Findings findings = { 0 };

    check_state(&properties, &no_tpm, &findings);
    expect_only(&findings, FINDING_SKIPPED, "unavailable", NULL);
    check_state(&properties, &faulty, &findings);
    expect_only(&findings, FINDING_FAILED, "the TPM is gone", "journalctl");
    properties = properties_of("misconfigured", "idle", "x.conf:3: y");
    check_state(&properties, &faulty, &findings);
    expect_only(&findings, FINDING_SKIPPED, "misconfigured", NULL);
    check_state(&properties, &no_tpm, &findings);
    expect_only(&findings, FINDING_FAILED, "x.conf:3: y", "idctl reload");
    properties = properties_of("ready", "waiting", "renewal: the server https://a/ did not answer");
    check_state(&properties, &no_ca, &findings);
    expect_only(&findings, FINDING_OK, "ready, waiting", "");
    properties.last_error = (char *) "the CA refused it: 403";
    check_state(&properties, &no_ca, &findings);
    expect_only(&findings, FINDING_WARNING, "ready, waiting: the CA refused it: 403", "idctl renew");
}

/* ---- certificate and renewal ---- */

static void test_certificates(void **state) {
    static const struct {
        const char *state, *error;
        int before, after, within; /* days from now; --expires-in */
        FindingVerdict verdict;
        const char *text;
    } cases[] = {
        { "ready", "", -30, 60, 0, FINDING_OK, "ends at " },
        { "ready", "", -30, 60, 60, FINDING_OK, "ends at " },
        { "ready", "", -30, 60, 61, FINDING_FAILED, "sooner than in 61 days" },
        { "ready", "", -95, 5, 0, FINDING_WARNING, "less than a tenth" },
        { "ready", "the CA is gone", -95, 5, 0, FINDING_OK, "ends at " }, /* the state tells why */
        { "ready", "the CA is gone", -95, 5, 14, FINDING_FAILED, "sooner than in 14 days" },
        { "unavailable", "", -95, -5, 0, FINDING_FAILED, "ended at " },
        { "expired", "", -95, -5, 0, FINDING_SKIPPED, "ended at " }, /* the state tells that */
        { "expired", "", -95, -5, 14, FINDING_SKIPPED, "ended at " },
        { "ready", "", 1, 60, 0, FINDING_SKIPPED, "see the clock" },
    };
    Findings findings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        IdentityProperties properties = properties_of(cases[i].state, "idle", cases[i].error);
        const CheckTerms terms = { .now = NOW, .expires_in = (uint64_t) cases[i].within * DAY };
        properties.not_before = (uint64_t) ((int64_t) NOW + cases[i].before * (int64_t) DAY);
        properties.not_after = (uint64_t) ((int64_t) NOW + cases[i].after * (int64_t) DAY);
        check_certificate(&properties, &terms, &findings);
        assert_int_equal(findings.count, 1);
        if (findings.list[0].verdict != cases[i].verdict || !strstr(findings.list[0].text, cases[i].text))
            fail_msg("case %zu: %s", i, findings.list[0].text);
        findings_clear(&findings);
    }
}

static void test_renewals(void **state) {
    static const IdentityConfig manual = { .protocol = PROTOCOL_MANUAL }, est = { .protocol = PROTOCOL_EST };
    static const struct {
        const IdentityConfig *config;
        const char *error;
        int before, after, renewal; /* days from now; 0: none */
        FindingVerdict verdict;
        const char *text;
    } cases[] = {
        { &est, "", -30, 60, 30, FINDING_OK, "planned for " },
        { NULL, "", -30, 60, 30, FINDING_OK, "planned for " },
        { &manual, "", -30, 60, 0, FINDING_SKIPPED, "by hand" },
        { &est, "", -30, 60, 0, FINDING_WARNING, "none is planned" },
        { &est, "", -30, 60, 60, FINDING_FAILED, "after the end" },
        { &est, "", -60, 40, -6, FINDING_WARNING, "overdue" },
        { &est, "", -60, 40, -4, FINDING_OK, "planned for " },       /* a twentieth of the life is allowed */
        { &est, "no way", -60, 40, -6, FINDING_OK, "planned for " }, /* the state tells why */
        { &est, "", -95, 5, -30, FINDING_OK, "planned for " },       /* the certificate tells that it ends */
    };
    Findings findings = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        IdentityProperties properties = properties_of("ready", "idle", cases[i].error);
        const CheckTerms terms = { .now = NOW, .config = cases[i].config };
        properties.not_before = (uint64_t) ((int64_t) NOW + cases[i].before * (int64_t) DAY);
        properties.not_after = (uint64_t) ((int64_t) NOW + cases[i].after * (int64_t) DAY);
        properties.next_renewal = cases[i].renewal ? (uint64_t) ((int64_t) NOW + cases[i].renewal * (int64_t) DAY) : 0;
        check_renewal(&properties, &terms, &findings);
        assert_int_equal(findings.count, 1);
        if (findings.list[0].verdict != cases[i].verdict || !strstr(findings.list[0].text, cases[i].text))
            fail_msg("case %zu: %s", i, findings.list[0].text);
        findings_clear(&findings);
    }
}

/* ---- key and chain ---- */

static void write_pem(const char *path, const LabCertificate *certificate) {
    gnutls_datum_t pem;
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(gnutls_x509_crt_export2(certificate->certificate, GNUTLS_X509_FMT_PEM, &pem) >= 0);
    assert_int_equal(fwrite(pem.data, 1, pem.size, file), pem.size);
    assert_int_equal(fclose(file), 0);
    gnutls_free(pem.data);
}

static void test_key_and_chain(void **state) {
    LabCertificate root, other, same_name, leaf;
    Bytes der = BYTES_NULL;
    Findings findings = { 0 };
    gnutls_pubkey_t key;
    gnutls_datum_t spki;

    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, 256, 30, NULL, &root);
    lab_certificate_new("other", true, GNUTLS_PK_ECDSA, 256, 30, NULL, &other);
    lab_certificate_new("root", true, GNUTLS_PK_ECDSA, 256, 30, NULL, &same_name);
    lab_certificate_new("leaf", false, GNUTLS_PK_ECDSA, 256, 30, &root, &leaf);
    _cleanup_certificate_ Certificate *read = lab_certificate_read(&leaf);
    assert_int_equal(bytes_copy(bytes_view(&read->der), &der), 0);
    assert_true(gnutls_pubkey_init(&key) >= 0);
    assert_true(gnutls_pubkey_import_x509(key, leaf.certificate, 0) >= 0);
    assert_true(gnutls_pubkey_export2(key, GNUTLS_X509_FMT_DER, &spki) >= 0);
    IdentityProperties properties = properties_of("ready", "idle", "");
    properties.certificates = (BytesArray) { &der, 1 };
    properties.public_key = (Bytes) { spki.data, spki.size };
    check_key(&properties, &findings);
    expect_only(&findings, FINDING_OK, "ecdsa-p256, fits the certificate", NULL);
    spki.data[spki.size - 1] ^= 1;
    check_key(&properties, &findings);
    expect_only(&findings, FINDING_FAILED, "do not belong together", "--new-key");

    IdentityConfig config = { .name = (char *) "x", .anchors = (char *) "anchors.pem" };
    const struct {
        const LabCertificate *anchor;
        bool good;
    } anchors[] = { { &root, true }, { &other, false }, { &same_name, false }, { &leaf, false } };
    for (size_t i = 0; i < ARRAY_LENGTH(anchors); i++) {
        write_pem("anchors.pem", anchors[i].anchor);
        check_chain(&properties, &config, &findings);
        if (anchors[i].good)
            expect_nothing(&findings);
        else
            expect_only(&findings, FINDING_WARNING, "Anchors=anchors.pem, but in \"CN=root\"", "enrolled anew");
    }
    assert_int_equal(unlink("anchors.pem"), 0);
    check_chain(&properties, &config, &findings); /* what is wrong with the file is told elsewhere */
    check_chain(&properties, NULL, &findings);
    expect_nothing(&findings);
    gnutls_free(spki.data);
    gnutls_pubkey_deinit(key);
    bytes_clear(&der);
    for (LabCertificate *const *one = (LabCertificate *[]) { &root, &other, &same_name, &leaf, NULL }; *one; one++)
        lab_certificate_clear(*one);
}

/* ---- access ---- */

static Existence no_user(const char *name, void *userdata) {
    return strcmp(name, "unknowable") == 0 ? EXISTENCE_UNKNOWN : strcmp(name, "root") == 0 ? EXISTS : EXISTS_NOT;
}

static void rules(AccessRules *ret, const char *words) {
    char *copy = strdup(words), *position = NULL;

    for (const char *word = strtok_r(copy, " ", &position); word; word = strtok_r(NULL, " ", &position)) {
        AccessRule rule;
        assert_int_equal(access_rule_parse(word, &rule), 0);
        assert_int_equal(access_rules_add(ret, rule), 0);
    }
    free(copy);
}

static void test_access(void **state) {
    const AccessDirectory directory = { no_user, no_user, no_user, NULL };
    IdentityConfig config = { .name = (char *) "x" };
    Findings findings = { 0 };

    rules(&config.access[PURPOSE_TLS_CLIENT], "user:root group:root user:1000 group:7 user:unknowable");
    check_access(&config, &directory, &findings);
    expect_nothing(&findings);
    rules(&config.access[PURPOSE_TLS_CLIENT], "user:nobody-such");
    rules(&config.access[PURPOSE_DIGEST], "user:nobody-such user:nobody-such");
    check_access(&config, &directory, &findings);
    expect_only(&findings, FINDING_WARNING, "[Access] tls-client=, digest=: there is no user \"nobody-such\"",
                "make the user");
    access_rules_clear(&config.access[PURPOSE_TLS_CLIENT]);
    access_rules_clear(&config.access[PURPOSE_DIGEST]);
    rules(&config.access[PURPOSE_DATA_RAW], "group:nobody-such");
    check_access(&config, &directory, &findings);
    expect_only(&findings, FINDING_WARNING, "data-raw=: there is no group \"nobody-such\"", "make the group");
    access_rules_clear(&config.access[PURPOSE_DATA_RAW]);
    rules(&config.access[PURPOSE_DATA_RAW], "unit:nobody-such.service");
    check_access(&config, &directory, &findings);
    expect_only(&findings, FINDING_WARNING, "data-raw=: there is no unit \"nobody-such.service\"", "install the unit");
    access_rules_clear(&config.access[PURPOSE_DATA_RAW]);
    /* What stands for everybody whom a user namespace does not map is nobody, whether or not it has an entry. */
    static const char *const many[] = { "user:nobody", "user:65534", "group:nogroup", "group:nobody", "group:65534" };
    for (size_t i = 0; i < ARRAY_LENGTH(many); i++) {
        rules(&config.access[PURPOSE_DATA_RAW], many[i]);
        check_access(&config, &directory, &findings);
        expect_only(&findings, FINDING_WARNING, many[i], "a user or group of its own");
        access_rules_clear(&config.access[PURPOSE_DATA_RAW]);
    }
    const AccessDirectory system = access_directory_system(NULL);
    rules(&config.access[PURPOSE_DATA_RAW], "user:root user:nobody-has-this-name group:root");
    check_access(&config, &system, &findings); /* nobody is asked about the unit */
    expect_only(&findings, FINDING_WARNING, "there is no user \"nobody-has-this-name\"", "make the user");
    access_rules_clear(&config.access[PURPOSE_DATA_RAW]);
}

/* ---- the CA's report ---- */

static void test_report(void **state) {
    static const struct {
        const char *line;
        FindingVerdict verdict;
        const char *text;
    } clocks[] = {
        { "clock: 0\n", FINDING_OK, "as the CA's, to 0 s" },
        { "clock: 60\n", FINDING_OK, "to 60 s" },
        { "clock: -60\n", FINDING_OK, "to 60 s" },
        { "clock: 61\n", FINDING_WARNING, "61 seconds ahead of the CA's clock" },
        { "clock: -7200\n", FINDING_WARNING, "2 hours behind the CA's clock" },
        { "clock: -9223372036854775808\n", FINDING_WARNING, "behind the CA's clock" },
        { "clock: noon\n", FINDING_WARNING, "cannot be read: noon" },
        { "clock: 99999999999999999999\n", FINDING_WARNING, "cannot be read" },
    };
    Findings findings = { 0 };

    check_report("x", "server: https://a/\nsession: TLS1.3\n\nanswer: 1 CA certificate: \"CN=a;b\"\nclock: 3\n",
                 &findings);
    assert_int_equal(findings.count, 4); /* a line each */
    assert_string_equal(findings.list[0].text, "server: https://a/");
    assert_string_equal(findings.list[2].text, "answer: 1 CA certificate: \"CN=a;b\"");
    assert_string_equal(found(&findings, "clock")->text, "as the CA's, to 3 s");
    assert_int_equal(findings_exit_code(&findings), EXIT_OK);
    findings_clear(&findings);
    check_report("x", "", &findings);
    expect_nothing(&findings);
    for (size_t i = 0; i < ARRAY_LENGTH(clocks); i++) {
        check_report("x", clocks[i].line, &findings);
        expect_only(&findings, clocks[i].verdict, clocks[i].text,
                    clocks[i].verdict == FINDING_OK  ? NULL
                    : strstr(clocks[i].text, "read") ? "version"
                                                     : "time service");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_findings),     cmocka_unit_test(test_states),   cmocka_unit_test(test_one_cause),
        cmocka_unit_test(test_certificates), cmocka_unit_test(test_renewals), cmocka_unit_test(test_key_and_chain),
        cmocka_unit_test(test_access),       cmocka_unit_test(test_report),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
