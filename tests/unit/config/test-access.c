/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* [Access] of identities/NAME.conf: which purposes stand beside each other, and which are warned about. */
#include "config/identity-config.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define GOOD                                                                                                           \
    "[Identity]\nSubject=CN=%d\n[Enrollment]\nServer=https://ca.example/est\nAnchors=/"                                \
    "a.pem\nAuthenticate=identity:factory\n"

static int load(const Fixture *fixture, const char *name, Problems *problems, IdentityConfig **ret) {
    _cleanup_strings_ char **paths = NULL;

    assert_int_equal(config_identity_paths(&fixture->directories, name, &paths), 0);
    return identity_config_load(name, paths, problems, ret);
}

static void test_mixture(void **state) {
    static const char *const purposes[] = { "tls-client", "tls-server", "data", "data-raw", "digest" };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    char text[512], expected[128];

    for (size_t i = 0; i < 4; i++) {
        IdentityConfig *config = NULL;
        (void) snprintf(text, sizeof(text), "%s[Access]\n%s=user:a\n%s=user:b\n", GOOD, purposes[i % 2],
                        purposes[2 + i / 2]);
        fixture_write(fixture, "etc/identities/x.conf", text);
        assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
        (void) snprintf(expected, sizeof expected, "[Access] %s=user:b: must not stand beside %s=", purposes[2 + i / 2],
                        purposes[i % 2]);
        expect_problem(fixture, &problems, false, "etc/identities/x.conf", 9, expected);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(purposes); i++) {
        IdentityConfig *config = NULL;
        (void) snprintf(text, sizeof(text), "%s[Access]\n%s=user:a\n", GOOD, purposes[i]);
        fixture_write(fixture, "etc/identities/x.conf", text);
        assert_int_equal(load(fixture, "x", &problems, &config), 0);
        assert_int_equal(problems.count, 0);
        assert_int_equal(identity_config_signs_data(config), strncmp(purposes[i], "data", 4) == 0);
        (void) identity_config_free(config);
    }
}

static void test_warnings(void **state) {
    static const struct {
        const char *text, *warning;
    } cases[] = {
        { GOOD "[Access]\ndata-raw=user:a\ndigest=user:a\n", "can sign anything with this key" },
        { GOOD "[Access]\ndata=user:a\ndigest=user:a\n", "can sign anything with this key" },
        { GOOD "[Access]\ntls-client=user:a\ndigest=user:a\n", "can sign anything with this key" },
        { GOOD "[Access]\ntls-server=user:a\ndigest=user:a\n", "can sign anything with this key" },
        { GOOD "[Access]\ndata=user:a\ndata-raw=user:a\n", "any bytes but those that a list refuses" },
        { GOOD "[Access]\ndata=user:a\nTLS12=yes\n", "has no effect without tls-client=" },
    };
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        _cleanup_identity_config_ IdentityConfig *config = NULL;
        fixture_write(fixture, "etc/identities/x.conf", cases[i].text);
        assert_int_equal(load(fixture, "x", &problems, &config), 0);
        expect_problem(fixture, &problems, true, "etc/identities/x.conf", 9, cases[i].warning);
    }
}

static void test_tls12(void **state) {
    const Fixture *fixture = *state;
    _cleanup_problems_ Problems problems = { 0 };
    IdentityConfig *config = NULL;

    fixture_write(fixture, "etc/identities/x.conf", GOOD "[Access]\ntls-client=user:a\n");
    assert_int_equal(load(fixture, "x", &problems, &config), 0);
    assert_false(config->tls12);
    config = identity_config_free(config);
    fixture_write(fixture, "etc/identities/x.conf", GOOD "[Access]\ntls-client=user:a\nTLS12=yes\n");
    assert_int_equal(load(fixture, "x", &problems, &config), 0);
    assert_int_equal(problems.count, 0);
    assert_true(config->tls12);
    config = identity_config_free(config);
    fixture_write(fixture, "etc/identities/x.conf", GOOD "[Access]\ntls-client=user:a\ntls-server=user:a\nTLS12=yes\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    expect_problem(fixture, &problems, false, "etc/identities/x.conf", 10,
                   "[Access] TLS12=yes: must not be yes beside tls-server=");
    fixture_write(fixture, "etc/identities/x.conf", GOOD "[Access]\ntls-client=user:a\nTLS12=1.2\n");
    assert_int_equal(load(fixture, "x", &problems, &config), -EINVAL);
    expect_problem(fixture, &problems, false, "etc/identities/x.conf", 9, "must be yes or no");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_mixture), TEST(test_warnings), TEST(test_tls12) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
