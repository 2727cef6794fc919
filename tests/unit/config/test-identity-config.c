/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identities/NAME.conf: values, defaults, merging, each refusal with file, line and what would be accepted, and the
 * checks over several identities. */
#include "config/check.h"
#include "config/identity-config.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FINGERPRINT "sha256:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define GOOD                                                                                                           \
    "[Identity]\nSubject=CN=%d\n[Enrollment]\nServer=https://ca.example/est\nAnchors=/"                                \
    "a.pem\nAuthenticate=identity:factory\n"

static int load(const Fixture *fixture, const char *name, Problems *problems, IdentityConfig **ret) {
    _cleanup_strings_ char **paths = NULL;

    assert_int_equal(config_identity_paths(&fixture->directories, name, &paths), 0);
    return identity_config_load(name, paths, problems, ret);
}

static void test_everything(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;

    fixture_write(
        fixture, "etc/identities/mqtt.conf",
        "[Identity]\n"
        "Subject=CN=%d,O=Example\\, Inc.   # who\n"
        "SubjectAltName=dns:%H dns:a.%H.example ip:192.0.2.1 uri:urn:example:device:%d "
        "hardware-module:1.3.6.1.4.1.1/%s\n"
        "Kind=idevid\n"
        "[Key]\nAlgorithm=rsa-3072\n"
        "[Enrollment]\n"
        "Protocol=est\n"
        "Server=https://ca.example:8443/.well-known/est/line-1/ https://other.example\n"
        "Anchors=/etc/identityd/bootstrap.pem\n"
        "ServerAnchors=/etc/identityd/web.pem\n"
        "Proxy=http://proxy.example:3128\n"
        "ProxyUser=branch 7\n"
        "ProxyCredential=proxy-password\n"
        "Authenticate=credential:est-password\n"
        "User=device-%s\n"
        "Names=ca\n"
        "[Renewal]\nAt=-14d\nJitter=2.5%\nRotateKey=no\nAuthenticate=identity:renewer\nAnchorsInterval=12h\n"
        "[Revocation]\nCheck=crl,ocsp\nCRL=http://crl.example/a.crl\nInterval=30min\nAfterRevocation=enroll\n"
        "[Peers]\nAnchors=/etc/identityd/peers.pem\n"
        "[Access]\ntls-client=unit:mosquitto.service user:telemetry\ntls-server=unit:nginx.service group:1000\n");
    assert_int_equal(load(fixture, "mqtt", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_string_equal(config->name, "mqtt");
    assert_string_equal(config->file, fixture_path(fixture, "etc/identities/mqtt.conf"));
    assert_string_equal(config->subject, "CN=%d,O=Example\\, Inc.");
    assert_int_equal(config->san_count, 5);
    assert_int_equal(config->sans[0].kind, SAN_DNS);
    assert_string_equal(config->sans[1].value, "a.%H.example");
    assert_int_equal(config->sans[2].kind, SAN_IP);
    assert_string_equal(config->sans[3].value, "urn:example:device:%d");
    assert_int_equal(config->sans[4].kind, SAN_HARDWARE_MODULE);
    assert_string_equal(config->sans[4].value, "1.3.6.1.4.1.1/%s");
    assert_int_equal(config->kind, IDENTITY_IDEVID);
    assert_int_equal(config->algorithm, KEY_RSA_3072);
    assert_int_equal(config->protocol, PROTOCOL_EST);
    assert_int_equal(strings_count(config->servers), 2);
    assert_string_equal(config->servers[0], "https://ca.example:8443/.well-known/est/line-1");
    assert_string_equal(config->servers[1], "https://other.example/.well-known/est");
    assert_string_equal(config->anchors, "/etc/identityd/bootstrap.pem");
    assert_false(config->has_anchors_fingerprint);
    assert_string_equal(config->server_anchors, "/etc/identityd/web.pem");
    assert_string_equal(config->proxy, "http://proxy.example:3128");
    assert_string_equal(config->proxy_user, "branch 7");
    assert_string_equal(config->proxy_credential, "proxy-password");
    assert_null(config->authenticate.identity);
    assert_string_equal(config->authenticate.credential, "est-password");
    assert_string_equal(config->authenticate.user, "device-%s");
    assert_int_equal(config->authenticate.line, 15);
    assert_false(config->allow_tls12);
    assert_true(config->names_are_the_cas);
    assert_int_equal(config->renew_at_permille, 0);
    assert_int_equal(config->renew_before, 14 * 86400);
    assert_int_equal(config->jitter_permille, 25);
    assert_false(config->rotate_key);
    assert_string_equal(config->renewal_authenticate.identity, "renewer");
    assert_null(config->renewal_authenticate.credential);
    assert_true(identity_config_is_renewed_by_others(config));
    assert_null(config->renewal_authenticate.user);
    assert_int_equal(config->anchors_interval, 12 * 3600);
    assert_true(config->check_crl && config->check_ocsp);
    assert_string_equal(config->crl_urls[0], "http://crl.example/a.crl");
    assert_int_equal(config->revocation_interval, 1800);
    assert_int_equal(config->after_revocation, AFTER_REVOCATION_ENROLL);
    assert_string_equal(config->peers_anchors, "/etc/identityd/peers.pem");
    assert_int_equal(config->access[PURPOSE_TLS_CLIENT].count, 2);
    assert_int_equal(config->access[PURPOSE_TLS_CLIENT].rules[0].kind, ACCESS_RULE_UNIT);
    assert_string_equal(config->access[PURPOSE_TLS_CLIENT].rules[1].name, "telemetry");
    assert_int_equal(config->access[PURPOSE_TLS_SERVER].rules[1].kind, ACCESS_RULE_GROUP);
    assert_int_equal(config->access[PURPOSE_DATA_RAW].count + config->access[PURPOSE_DIGEST].count, 0);
}

static void test_defaults(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL, *other = NULL;

    fixture_write(fixture, "etc/identities/a.conf", GOOD);
    assert_int_equal(load(fixture, "a", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_int_equal(config->kind, IDENTITY_LDEVID);
    assert_int_equal(config->algorithm, KEY_ECDSA_P256);
    assert_false(config->names_are_the_cas);
    assert_int_equal(config->renew_at_permille, 660);
    assert_int_equal(config->jitter_permille, 100);
    assert_true(config->rotate_key);
    assert_false(authenticate_is_set(&config->renewal_authenticate));
    assert_false(identity_config_is_renewed_by_others(config));
    assert_int_equal(config->anchors_interval, 86400);
    assert_int_equal(config->revocation_interval, 21600);
    assert_false(config->check_crl || config->check_ocsp);
    assert_int_equal(config->after_revocation, AFTER_REVOCATION_WAIT);
    assert_null(config->server_anchors);
    assert_null(config->peers_anchors);
    assert_null(config->crl_urls);
    assert_int_equal(config->san_count, 0);

    fixture_write(
        fixture, "etc/identities/b.conf",
        "[Identity]\nSubject=CN=%d\n[Enrollment]\nServer=https://ca.example/est\nAnchorsFingerprint=" FINGERPRINT
        "\nAuthenticate=credential:x\n[Revocation]\n");
    assert_int_equal(load(fixture, "b", &problems, &other), 0);
    assert_int_equal(problems.count, 0);
    assert_true(other->check_crl);
    assert_false(other->check_ocsp);
    assert_true(other->has_anchors_fingerprint);
    assert_int_equal(other->anchors_fingerprint[31], 0xff);
    assert_string_equal(other->authenticate.user, "%d");
}

static void test_merge(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;

    /* A drop-in replaces key by key, also a list as a whole and a faulty value; an empty value is the default. */
    fixture_write(fixture, "vendor/identities/a.conf",
                  GOOD "[Key]\nAlgorithm=dsa\n[Renewal]\nAt=80%\nJitter=1%\n[Access]\ntls-client=user:a user:b\n");
    fixture_write(fixture, "etc/identities/a.conf.d/1.conf",
                  "[Key]\nAlgorithm=ecdsa-p384\n[Renewal]\nAt=\n[Access]\ntls-client=user:c\n");
    assert_int_equal(load(fixture, "a", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_int_equal(config->algorithm, KEY_ECDSA_P384);
    assert_int_equal(config->renew_at_permille, 660);
    assert_int_equal(config->jitter_permille, 10);
    assert_int_equal(config->access[PURPOSE_TLS_CLIENT].count, 1);
    assert_string_equal(config->access[PURPOSE_TLS_CLIENT].rules[0].name, "c");
    config = identity_config_free(config);

    /* A complaint names the file whose value won. */
    fixture_write(fixture, "etc/identities/a.conf.d/2.conf", "\n[Key]\nAlgorithm=rsa\n");
    assert_int_equal(load(fixture, "a", &problems, &config), -EINVAL);
    assert_null(config);
    expect_problem(fixture, &problems, false, "etc/identities/a.conf.d/2.conf", 3,
                   "[Key] Algorithm=rsa: must be ecdsa-p256, ecdsa-p384, rsa-2048 or rsa-3072");
}

/* A line in a section beside a good configuration (line 8), and the complaint. */
static void test_refused_values(void **state) {
    static const struct {
        const char *section, *line, *text;
    } cases[] = {
        { "Key", "Algorithm=ecdsa-p521", "must be ecdsa-p256" },
        { "Key", "algorithm=ecdsa-p256", "[Key] algorithm=: unknown key; known are Algorithm=" },
        { "Renewal", "At=9.9%", "must be 10% to 95% of the lifetime, or a time before its end" },
        { "Renewal", "At=95.1%", "must be 10% to 95%" },
        { "Renewal", "At=120%", "[Renewal] At=120%: must be 10% to 95%" },
        { "Renewal", "At=14d", "must be 10% to 95%" },
        { "Renewal", "At=-0s", "must be 10% to 95%" },
        { "Renewal", "At=-14", "must be 10% to 95%" },
        { "Renewal", "At=-10001w", "must be 10% to 95%" },
        { "Renewal", "Jitter=30.1%", "must be 0% to 30%" },
        { "Renewal", "Jitter=5", "must be 0% to 30%" },
        { "Renewal", "Jitter=-5%", "must be 0% to 30%" },
        { "Renewal", "RotateKey=maybe", "must be yes or no" },
        { "Renewal", "AnchorsInterval=0s", "from 1s to 52w" },
        { "Renewal", "AnchorsInterval=53w", "from 1s to 52w" },
        { "Renewal", "AnchorsInterval=3600", "from 1s to 52w" },
        { "Renewal", "Authenticate=factory", "must be identity:NAME, or credential:NAME" },
        { "Renewal", "Authenticate=identity:Bad", "must be identity:NAME, or credential:NAME" },
        { "Renewal", "Authenticate=credential:a/b", "must be identity:NAME, or credential:NAME" },
        { "Renewal", "Authenticate=identity:x", "must name another identity, or a credential beside this one" },
        { "Renewal", "Authenticate=identity:a identity:b", "must be identity:NAME, or credential:NAME" },
        { "Renewal", "Authenticate=credential:a identity:b credential:c", "must be identity:NAME, or credential:NAME" },
        { "Renewal", "User=x", "needs Authenticate=credential:NAME in the same section" },
        { "Revocation", "Check=crl,", "must be crl, ocsp, crl,ocsp or none" },
        { "Revocation", "Check=crl,crl", "must be crl, ocsp, crl,ocsp or none" },
        { "Revocation", "Check=none,crl", "must be crl, ocsp, crl,ocsp or none" },
        { "Revocation", "Check=ldap", "must be crl, ocsp, crl,ocsp or none" },
        { "Revocation", "CRL=ldap://x/y", "must be one or several http or https URLs" },
        { "Revocation", "CRL=file:///x", "must be one or several http or https URLs" },
        { "Revocation",
          "CRL=http://a/1 http://a/2 http://a/3 http://a/4 http://a/5 http://a/6 http://a/7 http://a/8 http://a/9",
          "at most 8 URLs" },
        { "Revocation", "Interval=1m", "from 1s to 52w" },
        { "Revocation", "AfterRevocation=panic", "must be wait or enroll" },
        { "Peers", "Anchors=peers.pem", "must be an absolute path" },
        { "Access", "tls-client=mosquitto", "\"mosquitto\": must be user:NAME, group:NAME" },
        { "Access", "tls-client=user:a unit:b", "\"unit:b\": must be user:NAME" },
        { "Access", "tls=user:a",
          "unknown key; known are tls-client=, TLS12=, tls-server=, data=, data-raw=, digest=" },
        { "Other", "X=y", NULL },
    };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char text[1024];

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        IdentityConfig *config = NULL;
        (void) snprintf(text, sizeof(text), "%s[%s]\n%s\n", GOOD, cases[i].section, cases[i].line);
        fixture_write(fixture, "etc/identities/x.conf", text);
        if (load(fixture, "x", &problems, &config) != -EINVAL)
            fail_msg("taken: %s", cases[i].line);
        assert_null(config);
        expect_problem(fixture, &problems, false, "etc/identities/x.conf", cases[i].text ? 8 : 7,
                       cases[i].text
                           ?: "[Other]: unknown section; known are [Identity], [Key], [Enrollment], [Renewal], "
                              "[Revocation], [Peers], [Access]");
    }
}

/* Lines that take the place of one in the good configuration: 2 Subject, 4 Server, 5 Anchors, 6 Authenticate. */
static void test_refused_enrollment(void **state) {
    static const struct {
        unsigned replaces;
        const char *line;
        unsigned at; /* complaint's line; 0: the file */
        const char *text;
    } cases[] = {
        { 2, "", 0, "[Identity] Subject= is missing" },
        { 2, "Subject=", 0, "[Identity] Subject= is missing" },
        { 2, "Subject=%d", 2, "%d may stand only in a value, behind an attribute" },
        { 2, "Subject=CN=a,,O=b", 2, "must be a distinguished name of RFC 4514" },
        { 2, "Subject=Unknown=a", 2, "must be a distinguished name of RFC 4514" },
        { 2, "Subject=CN=a,%s=b", 2, "%s may stand only in a value" },
        { 2, "Subject=CN=%x", 2, "unknown % specifier: %d, %H, %m, %s and %% are known" },
        { 2, "Subject=CN=device-%d", 2, "CN would have 71 characters; a certificate allows 64 (%d alone has 64" },
        { 2, "Subject=CN=a\nKind=vendor", 3, "must be ldevid or idevid" },
        { 2, "Subject=CN=a\nSubjectAltName=dns:%d.example", 3,
          "\"dns:%d.example\": must be a DNS name: letters, digits, '-', '_' and '.', labels of at most 63" },
        { 2, "Subject=CN=a\nSubjectAltName=dns:*.example", 3, "no wildcard" },
        { 2, "Subject=CN=a\nSubjectAltName=dns:%s:a", 3, "must be a DNS name" },
        { 2, "Subject=CN=a\nSubjectAltName=ip:1.2.3", 3, "must be an IPv4 or IPv6 address" },
        { 2, "Subject=CN=a\nSubjectAltName=ip:%d", 3, "%d must not stand in an address" },
        { 2, "Subject=CN=a\nSubjectAltName=uri:device", 3, "must be a URI" },
        { 2, "Subject=CN=a\nSubjectAltName=uri:urn:", 3, "must be a URI" },
        { 2, "Subject=CN=a\nSubjectAltName=uri:urn:<a>", 3, "must be a URI" },
        { 2, "Subject=CN=a\nSubjectAltName=uri:urn:%q", 3, "unknown % specifier" },
        { 2, "Subject=CN=a\nSubjectAltName=email:a@b", 3,
          "must be dns:NAME, ip:ADDRESS, uri:URI or hardware-module:OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1.3", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1.3/", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:3.1/x", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1.40/x", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1.03/x", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1.3./x", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=hardware-module:1/x", 3, "must be OID/SERIAL" },
        { 2, "Subject=CN=a\nSubjectAltName=dns:a dns:b dns:a", 3, "\"dns:a\" stands there twice" },
        { 4, "", 0, "[Enrollment] Server= is missing" },
        { 4, "Server=http://ca.example/est", 4, "must be one or several https://HOST[:PORT][/PATH]" },
        { 4, "Server=https://a/ http://b/", 4, "must be one or several https://" },
        { 4, "Server=https://a https://b https://c https://d https://e https://f https://g https://h https://i", 4,
          "must be at most 8 URLs" },
        { 4, "Server=https://a\nProtocol=scep", 5, "must be est or manual" },
        { 4, "Server=https://a\nProxy=proxy:3128", 5, "must be http://HOST:PORT" },
        { 4, "Server=https://a\nProxy=http://p:1\nProxyUser=a", 6, "needs ProxyCredential=" },
        { 4, "Server=https://a\nProxy=http://p:1\nProxyCredential=a", 6, "needs ProxyUser=" },
        { 4, "Server=https://a\nProxyUser=a\nProxyCredential=a", 6, "needs Proxy=" },
        { 4, "Server=https://a\nProxyUser=a:b", 5, "must be text of 1 to 255 bytes without a colon" },
        { 4, "Server=https://a\nProxyCredential=a/b", 5, "must be the name of a systemd credential" },
        { 4, "Server=https://a\nAllowTLS12=1.2", 5, "must be yes or no" },
        { 4, "Server=https://a\nNames=any", 5, "must be exact or ca" },
        { 4, "Server=https://a\nNames=CA", 5, "must be exact or ca" },
        { 5, "", 0, "[Enrollment] Anchors= is missing" },
        { 5, "Anchors=a.pem", 5, "must be an absolute path" },
        { 5, "AnchorsFingerprint=sha256:00", 5, "must be sha256: and the 64 hexadecimal digits" },
        { 5, "Anchors=/a\nAnchorsFingerprint=" FINGERPRINT, 6, "must not be set beside Anchors=" },
        { 5, "Anchors=/a\nServerAnchors=../b", 6, "must be an absolute path" },
        { 6, "Authenticate=identity:x", 6, "this one has no certificate before its enrolment" },
        { 6, "Authenticate=identity:a\nUser=b", 7, "needs Authenticate=credential:NAME" },
        { 6, "Authenticate=credential:a\nUser=b:c", 7, "without ':'" },
        { 6, "Authenticate=credential:a\nUser=%z", 7, "unknown % specifier" },
    };
    static const char *const good[] = { NULL,
                                        "[Identity]",
                                        "Subject=CN=%d",
                                        "[Enrollment]",
                                        "Server=https://ca.example/est",
                                        "Anchors=/a.pem",
                                        "Authenticate=identity:factory" };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        char text[1024];
        size_t length = 0;
        for (unsigned line = 1; line < ARRAY_LENGTH(good); line++)
            length += (size_t) snprintf(text + length, sizeof(text) - length, "%s\n",
                                        line == cases[i].replaces ? cases[i].line : good[line]);
        IdentityConfig *config = NULL;
        fixture_write(fixture, "etc/identities/x.conf", text);
        if (load(fixture, "x", &problems, &config) != -EINVAL)
            fail_msg("taken: %s", cases[i].line);
        expect_problem(fixture, &problems, false, "etc/identities/x.conf", cases[i].at, cases[i].text);
    }
}

static void test_several_faults_at_once(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;

    fixture_write(fixture, "etc/identities/x.conf", "[Key]\nAlgorithm=x\nnonsense\n[Renewal]\nAt=x\nJitter=x\n[Key]\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    assert_int_equal(problems.count, 5);
    for (size_t i = 0; i < problems.count; i++)
        assert_true(problems.list[i].line > 0);
}

/* Errors of an identity are found even where the list has no room any more. */
static void test_full_list_hides_no_error(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;

    for (unsigned i = 0; i <= PROBLEMS_MAX + 1; i++)
        assert_int_equal(problems_add(&problems, false, "f", 0, "x"), 0);
    fixture_write(fixture, "etc/identities/x.conf", GOOD "[Key]\nAlgorithm=x\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    assert_null(config);
}

static void test_unreadable(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;
    char *paths[] = { (char *) fixture_path(fixture, "nothing.conf"), NULL };

    assert_int_equal(identity_config_load("x", paths, &problems, &config), -ENOENT);
    expect_problem(fixture, &problems, false, "nothing.conf", 0, "cannot be read: No such file");
}

static void test_warnings(void **state) {
    static const struct {
        const char *text, *warning;
        unsigned line;
    } cases[] = {
        { "[Identity]\nSubject=CN=a\n[Enrollment]\nServer=https://a/b\nAnchors=/a\n", "the CA must accept that", 0 },
        { GOOD "[Renewal]\nAt=90%\n", "it reaches behind 95%", 8 },
        { GOOD "[Revocation]\nCheck=none\nAfterRevocation=enroll\n", "has no effect with Check=none", 9 },
        { GOOD "[Revocation]\nCheck=ocsp\nCRL=http://a/b\n", "has no effect without crl in Check=", 9 },
        { GOOD "[Access]\ntls-client=user:a\ndigest=user:a\n", "can sign anything with this key", 9 },
        { "[Identity]\nSubject=CN=a\n[Enrollment]\nProtocol=manual\nAnchors=/a\nServer=https://a/b\n",
          "has no effect with Protocol=manual", 6 },
    };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_identity_config_ IdentityConfig *config = NULL;
        fixture_write(fixture, "etc/identities/x.conf", cases[i].text);
        assert_int_equal(load(fixture, "x", &problems, &config), 0);
        assert_non_null(config);
        expect_problem(fixture, &problems, true, "etc/identities/x.conf", cases[i].line, cases[i].warning);
    }
}

static void test_manual(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;

    fixture_write(fixture, "etc/identities/x.conf",
                  "[Identity]\nSubject=CN=%s\n[Enrollment]\nProtocol=manual\nAnchors=/a\n");
    assert_int_equal(load(fixture, "x", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_int_equal(config->protocol, PROTOCOL_MANUAL);
    config = identity_config_free(config);

    fixture_write(fixture, "etc/identities/x.conf", "[Identity]\nSubject=CN=%s\n[Enrollment]\nProtocol=manual\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    expect_problem(fixture, &problems, false, "etc/identities/x.conf", 0, "Anchors= is missing");

    fixture_write(
        fixture, "etc/identities/x.conf",
        "[Identity]\nSubject=CN=%s\n[Enrollment]\nProtocol=manual\nAnchors=/a\n[Revocation]\nAfterRevocation=enroll\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    expect_problem(fixture, &problems, false, "etc/identities/x.conf", 7, "must be wait with Protocol=manual");
}

static void test_same_request(void **state) {
    static const struct {
        const char *text;
        bool same;
    } cases[] = {
        { GOOD, true },
        { GOOD "[Renewal]\nAt=50%\n[Access]\ndata-raw=user:a\n", true },
        { GOOD "[Key]\nAlgorithm=rsa-2048\n", false },
        { "[Identity]\nKind=idevid\nSubject=CN=%d\n[Enrollment]\nServer=https://ca.example/est\nAnchors=/"
          "a.pem\nAuthenticate=identity:f\n",
          false },
        { "[Identity]\nSubjectAltName=dns:a\nSubject=CN=%d\n[Enrollment]\nServer=https://a/\nAnchors=/"
          "a\nAuthenticate=identity:f\n",
          false },
        { "[Identity]\nSubject=CN=%m\n[Enrollment]\nServer=https://a/\nAnchors=/a\nAuthenticate=identity:f\n", false },
    };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;

    fixture_write(fixture, "etc/identities/x.conf", GOOD);
    assert_int_equal(load(fixture, "x", &problems, &config), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_identity_config_ IdentityConfig *other = NULL;
        fixture_write(fixture, "etc/identities/x.conf", cases[i].text);
        assert_int_equal(load(fixture, "x", &problems, &other), 0);
        assert_int_equal(identity_config_same_request(config, other), cases[i].same);
        assert_int_equal(identity_config_same_request(other, config), cases[i].same);
    }
}

/* ---- over all files ---- */

typedef struct Fleet {
    IdentityConfig *configs[4];
    size_t count;
    Problems problems;
} Fleet;

static void add(const Fixture *fixture, Fleet *fleet, const char *name, const char *authenticate, const char *rest) {
    char path[64], text[512];

    (void) snprintf(path, sizeof(path), "etc/identities/%s.conf", name);
    (void) snprintf(text, sizeof(text),
                    "[Identity]\nSubject=CN=a\n[Enrollment]\nServer=https://a/\nAnchors=/a\nAuthenticate=%s\n%s",
                    authenticate, rest);
    fixture_write(fixture, path, text);
    assert_int_equal(load(fixture, name, &fleet->problems, &fleet->configs[fleet->count++]), 0);
    assert_int_equal(fleet->problems.count, 0);
}

static void clear(Fleet *fleet) {
    for (size_t i = 0; i < fleet->count; i++)
        fleet->configs[i] = identity_config_free(fleet->configs[i]);
    fleet->count = 0;
}

static void check(Fleet *fleet, const DaemonConfig *daemon, char *const *faulty) {
    assert_int_equal(config_check_all(daemon, fleet->configs, fleet->count, faulty, &fleet->problems), 0);
    clear(fleet);
}

static void test_check_all(void **state) {
    const Fixture *fixture = *state;
    Fleet fleet = { 0 };
    DaemonConfig daemon = { .owner_authorization = (char *) "owner",
                            .endorsement_authorization = (char *) "ek",
                            .identities = 2 };
    char *faulty[] = { (char *) "factory", NULL };

    /* Good, as the warnings advise: an authenticator that is lent to nobody. */
    add(fixture, &fleet, "factory", "credential:x", "");
    add(fixture, &fleet, "mqtt", "identity:factory",
        "[Renewal]\nAuthenticate=identity:factory\n[Access]\ntls-client=user:a\n");
    check(&fleet, &daemon, NULL);
    assert_int_equal(fleet.problems.count, 0);

    /* Missing; but not when it is there and faulty. */
    add(fixture, &fleet, "mqtt", "identity:factory", "");
    check(&fleet, &daemon, NULL);
    expect_problem(fixture, &fleet.problems, false, "etc/identities/mqtt.conf", 6,
                   "[Enrollment] Authenticate=identity:factory: there is no such identity");
    add(fixture, &fleet, "mqtt", "identity:factory", "");
    check(&fleet, &daemon, faulty);
    assert_int_equal(fleet.problems.count, 0);
    add(fixture, &fleet, "mqtt", "credential:x", "[Renewal]\nAuthenticate=identity:renewer\n");
    check(&fleet, &daemon, NULL);
    expect_problem(fixture, &fleet.problems, false, "etc/identities/mqtt.conf", 8,
                   "[Renewal] Authenticate=identity:renewer: there is no such identity");

    /* Lent authenticators. */
    static const char *const lent[] = { "[Access]\ntls-client=user:a\n[Renewal]\nAuthenticate=credential:x\n",
                                        "[Access]\ndigest=user:a\n[Renewal]\nAuthenticate=credential:x\n" };
    static const char *const not_lent[] = { "[Access]\ntls-server=user:a\n", "[Access]\ndata-raw=user:a\n" };
    for (size_t i = 0; i < 2; i++) {
        add(fixture, &fleet, "factory", "credential:x", lent[i]);
        add(fixture, &fleet, "mqtt", "identity:factory", "");
        check(&fleet, NULL, NULL);
        expect_problem(fixture, &fleet.problems, true, "etc/identities/mqtt.conf", 6,
                       "that identity is lent to programs");
        add(fixture, &fleet, "factory", "credential:x", not_lent[i]);
        add(fixture, &fleet, "mqtt", "identity:factory", "");
        check(&fleet, NULL, NULL);
        assert_int_equal(fleet.problems.count, 0);
    }
    add(fixture, &fleet, "mqtt", "credential:x", "[Access]\ntls-client=user:a\n");
    check(&fleet, NULL, NULL);
    expect_problem(fixture, &fleet.problems, true, "etc/identities/mqtt.conf", 0,
                   "tls-client= and digest=, renew it: [Renewal] Authenticate=identity:NAME");

    /* The TPM's own authorizations never go to a CA. */
    add(fixture, &fleet, "mqtt", "credential:owner", "");
    check(&fleet, &daemon, NULL);
    expect_problem(fixture, &fleet.problems, false, "etc/identities/mqtt.conf", 6, "must not be sent to a CA");
    add(fixture, &fleet, "mqtt", "credential:x", "[Renewal]\nAuthenticate=credential:ek\n");
    check(&fleet, &daemon, NULL);
    expect_problem(fixture, &fleet.problems, false, "etc/identities/mqtt.conf", 8, "must not be sent to a CA");

    /* Too many, faulty ones counted. */
    add(fixture, &fleet, "a", "credential:x", "");
    add(fixture, &fleet, "b", "credential:x", "");
    check(&fleet, &daemon, faulty);
    expect_problem(fixture, &fleet.problems, false, NULL, 0,
                   "3 identities are configured, but [Limits] Identities= allows 2");
}

static void test_loops(void **state) {
    const Fixture *fixture = *state;
    Fleet fleet = { 0 };

    add(fixture, &fleet, "a", "identity:b", "");
    add(fixture, &fleet, "b", "identity:c", "");
    add(fixture, &fleet, "c", "identity:a", "");
    add(fixture, &fleet, "d", "identity:a", ""); /* leads into the circle, is not in it */
    check(&fleet, NULL, NULL);
    assert_int_equal(fleet.problems.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_non_null(strstr(fleet.problems.list[i].text, "in a circle"));
    problems_clear(&fleet.problems);

    /* Renewals may cross: the first certificates come otherwise. */
    add(fixture, &fleet, "a", "credential:x", "[Renewal]\nAuthenticate=identity:b\n");
    add(fixture, &fleet, "b", "credential:x", "[Renewal]\nAuthenticate=identity:a\n");
    check(&fleet, NULL, NULL);
    assert_int_equal(fleet.problems.count, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_everything),
        TEST(test_defaults),
        TEST(test_merge),
        TEST(test_refused_values),
        TEST(test_refused_enrollment),
        TEST(test_several_faults_at_once),
        TEST(test_full_list_hides_no_error),
        TEST(test_unreadable),
        TEST(test_warnings),
        TEST(test_manual),
        TEST(test_same_request),
        TEST(test_check_all),
        TEST(test_loops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
