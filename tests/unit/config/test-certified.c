/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An identity that has a certificate: which faults of its file keep it from being used, and which do not. */
#include "config/identity-config.h"
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static int load(const Fixture *fixture, bool certified, Problems *problems, IdentityConfig **ret) {
    _cleanup_strings_ char **paths = NULL;

    assert_int_equal(config_identity_paths(&fixture->directories, "x", &paths), 0);
    return certified ? identity_config_load_certified("x", paths, problems, ret)
                     : identity_config_load("x", paths, problems, ret);
}

/* A certificate has its own names: what is wrong with the configured ones is a warning there, all else is an error. */
static void test_certified(void **state) {
    static const struct {
        const char *subject, *names, *fault;
        unsigned line;
    } cases[] = {
        { "CN=a,O=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "dns:a",
          "O would have 65 characters", 2 },
        { "serialNumber=a_b", "dns:a", "serialNumber may have only letters", 2 },
        { "CN=a", "dns:a uri:urn:50%%", "\"uri:urn:50%%\": must be a URI", 3 },
    };
    const Fixture *fixture = *state;
    char text[1024];

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        _cleanup_problems_ Problems problems = { 0 };
        _cleanup_identity_config_ IdentityConfig *config = NULL;
        IdentityConfig *none = NULL;
        (void) snprintf(text, sizeof(text),
                        "[Identity]\nSubject=%s\nSubjectAltName=%s\n[Enrollment]\nProtocol=manual\nAnchors=/a\n",
                        cases[i].subject, cases[i].names);
        fixture_write(fixture, "etc/identities/x.conf", text);
        assert_int_equal(load(fixture, false, &problems, &none), -EINVAL);
        assert_null(none);
        problems_clear(&problems);
        assert_int_equal(load(fixture, true, &problems, &config), 0);
        assert_string_equal(config->subject, cases[i].subject);
        assert_int_equal(config->san_count, 1);
        assert_non_null(strstr(config->names_fault, cases[i].fault));
        expect_problem(fixture, &problems, true, "etc/identities/x.conf", cases[i].line, cases[i].fault);

        strcat(text, "[Key]\nAlgorithm=rsa-512\n");
        fixture_write(fixture, "etc/identities/x.conf", text);
        assert_int_equal(load(fixture, true, &problems, &none), -EINVAL);
        assert_null(none);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = { TEST(test_certified) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
