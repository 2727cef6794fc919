/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* [Peers] of identities/NAME.conf. */
#include "config/identity-config.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define GOOD                                                                                                           \
    "[Identity]\nSubject=CN=%d\n[Enrollment]\nServer=https://ca.example/est\nAnchors=/"                                \
    "a.pem\nAuthenticate=identity:factory\n[Peers]\n"

/* With these lines in [Peers], of which the first is line 8. */
static int load(const Fixture *fixture, const char *lines, Problems *problems, IdentityConfig **ret) {
    _cleanup_strings_ char **paths = NULL;
    char text[1024];

    (void) snprintf(text, sizeof(text), "%s%s\n", GOOD, lines);
    fixture_write(fixture, "etc/identities/x.conf", text);
    assert_int_equal(config_identity_paths(&fixture->directories, "x", &paths), 0);
    return identity_config_load("x", paths, problems, ret);
}

static void test_everything(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;

    assert_int_equal(load(*state,
                          "Anchors=/etc/identityd/peers.pem\nIntermediates=/etc/identityd/below.pem\nCheck=crl\n"
                          "CRL=http://crl.example/b.crl https://crl.example/c.crl\nInterval=1h",
                          &problems, &config),
                     0);
    assert_int_equal(problems.count, 0);
    assert_string_equal(config->peers_anchors, "/etc/identityd/peers.pem");
    assert_string_equal(config->peers_intermediates, "/etc/identityd/below.pem");
    assert_true(config->peers_check_crl);
    assert_int_equal(strings_count(config->peers_crl_urls), 2);
    assert_string_equal(config->peers_crl_urls[1], "https://crl.example/c.crl");
    assert_int_equal(config->peers_interval, 3600);
    assert_false(config->check_crl); /* that is about our own chain */
}

static void test_defaults(void **state) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;

    assert_int_equal(load(*state, "", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_null(config->peers_intermediates);
    assert_false(config->peers_check_crl);
    assert_null(config->peers_crl_urls);
    assert_int_equal(config->peers_interval, 21600);
}

static void test_refused(void **state) {
    static const struct {
        const char *line, *text;
    } cases[] = {
        { "Intermediates=below.pem", "must be an absolute path" },
        { "Check=crl,ocsp", "must be crl or none" },
        { "Check=ocsp", "must be crl or none" },
        { "CRL=ldap://x/y", "must be one or several http or https URLs" },
        { "CRL=http://a/1 http://a/2 http://a/3 http://a/4 http://a/5 http://a/6 http://a/7 http://a/8 http://a/9",
          "at most 8 URLs" },
        { "Interval=0s", "from 1s to 52w" },
        { "Interval=53w", "from 1s to 52w" },
    };
    _cleanup_problems_ Problems problems = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        IdentityConfig *config = NULL;
        if (load(*state, cases[i].line, &problems, &config) != -EINVAL)
            fail_msg("taken: %s", cases[i].line);
        expect_problem(*state, &problems, false, "etc/identities/x.conf", 8, cases[i].text);
    }
}

/* What has no effect is said: somebody thinks that peers are checked. */
static void test_warnings(void **state) {
    static const char *const lines[] = { "CRL=http://a/b", "Intermediates=/a", "Interval=1h" };
    _cleanup_problems_ Problems problems = { 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(lines); i++) {
        _cleanup_identity_config_ IdentityConfig *config = NULL;
        assert_int_equal(load(*state, lines[i], &problems, &config), 0);
        expect_problem(*state, &problems, true, "etc/identities/x.conf", 8,
                       "has no effect without Check=crl in the same section");
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_everything),
        TEST(test_defaults),
        TEST(test_refused),
        TEST(test_warnings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
