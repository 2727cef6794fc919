/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a configuration file makes of an identity: faults with file and line, what is another than before, and the
 * settings under which attempts count. */
#include "identity/definition.h"

#include "tests/unit/device/certify.h"

static const Duty *const table[] = { &loading_duty, NULL };

static Identity *start(void **state, const char *more) {
    return machine_start_alone(*state, more, table);
}

static void test_good(void **state) {
    Identity *identity = start(state, "");
    Failure failure = FAILURE_INIT;

    assert_null(identity_fault(identity));
    assert_false(identity_is_misconfigured(identity, &failure));
    assert_int_equal(failure.kind, FAILURE_NONE);
    assert_string_equal(identity_config(identity)->subject, "CN=x");
    assert_int_equal(identity_state(identity), STATE_EMPTY);
}

static void test_not_read_yet(void **state) {
    Machine *machine = *state;
    Failure failure = FAILURE_INIT;
    char digest[SETTINGS_DIGEST_SIZE] = "x";

    machine_start_parts(machine, table);
    _cleanup_(identity_free_p) Identity *identity = NULL;
    assert_int_equal(identity_new(&machine->context, "x", &identity), 0);
    assert_null(identity_config(identity));
    assert_null(identity_fault(identity));
    assert_true(identity_is_misconfigured(identity, &failure));
    expect_failure(&failure, FAILURE_NOT_READY, "x is out of use: its configuration was not read yet.");
    identity_settings_digest(identity, digest);
    assert_string_equal(digest, "");
}

static void test_fault(void **state) {
    static const struct {
        const char *more, *said;
    } cases[] = {
        { "Colour=red\n", "x.conf:6" },
        { "[Weather]\n", "x.conf:6" },
        { "[Renewal]\nAt=soon\n", "x.conf:7" },
        { "Server=http://ca.example/\n", "x.conf:" },
    };
    Machine *machine = *state;
    Identity *identity = start(state, "");

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Failure failure = FAILURE_INIT;
        machine_configure(machine, "x", cases[i].more);
        machine_forget_log(machine);
        identity_load(identity);
        assert_non_null(identity_fault(identity));
        assert_null(identity_config(identity));
        assert_non_null(strstr(identity_fault(identity), cases[i].said));
        assert_true(identity_is_misconfigured(identity, &failure));
        expect_failure(&failure, FAILURE_NOT_READY, cases[i].said);
        expect_failure(&failure, FAILURE_NOT_READY, ". Mend that, then run `idctl reload`.");
        assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
        assert_string_equal(identity_error(identity), identity_fault(identity));
        machine_expect_log(machine, ". This identity is out of use until that is mended", 1);
        assert_int_equal(identity_flush(identity) & (CHANGED_CONFIGURATION | CHANGED_STATE),
                         CHANGED_CONFIGURATION | (i == 0 ? CHANGED_STATE : 0));
    }
    machine_configure(machine, "x", "");
    identity_load(identity);
    assert_null(identity_fault(identity));
    assert_int_equal(identity_state(identity), STATE_EMPTY);
    assert_string_equal(identity_error(identity), "");
}

/* A file that is gone, and one that only its neighbour has. */
static void test_no_file(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    assert_int_equal(unlink(machine_path(machine, "etc/identities/x.conf")), 0);
    identity_load(identity);
    assert_non_null(identity_fault(identity));
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
    machine_configure(machine, "y", "");
    assert_int_equal(identity_state(machine_add(machine, "y")), STATE_EMPTY);
    assert_int_equal(identity_state(identity), STATE_MISCONFIGURED);
}

static void test_warning(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "[Access]\ndigest=user:root\ntls-client=user:root\n");

    assert_null(identity_fault(identity));
    assert_true(machine_logged(machine, "identityd: warning: x: ") >= 1);
    machine_expect_log(machine, "error: ", 0);
}

/* Names that a later version refuses take no certificate out of use. */
static void test_certified(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    (void) machine_certify(machine, identity, &(Certified) { .ca = NULL });
    machine_write(machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=CN=x\nSubjectAltName=dns:-no-\n[Enrollment]\nServer=https://ca.example/\n"
                  "Anchors=%s/etc/ca.pem\n",
                  machine->root);
    identity_load(identity);
    assert_null(identity_fault(identity));
    assert_int_equal(identity_state(identity), STATE_READY);
    assert_non_null(identity_config(identity)->names_fault);
    machine_stop(machine);
    machine_start_parts(machine, table); /* as it is found on the disk at the start */
    assert_int_equal(identity_state(machine_add(machine, "x")), STATE_READY);
    assert_int_equal(identity_retire(machine_identity(machine, "x"), NULL), 0);
    identity_load(machine_identity(machine, "x"));
    assert_non_null(identity_fault(machine_identity(machine, "x")));
}

/* ---- what is another ---- */

#define ALL (CHANGED_CONFIGURATION | CHANGED_CHECKS | CHANGED_REQUEST)

static unsigned reload(Machine *machine, Identity *identity, const char *more) {
    machine_configure(machine, "x", more);
    identity_load(identity);
    return identity_flush(identity) & ALL;
}

static void test_differences(void **state) {
    static const char *const addresses[] = {
        "[Revocation]\nCheck=crl\nCRL=http://a.example/\n",
        "[Revocation]\nCheck=crl\nCRL=http://b.example/\n",
        "[Revocation]\nCheck=crl\nCRL=http://b.example/ http://a.example/\n",
        "[Revocation]\nCheck=crl\nCRL=http://b.example/ http://c.example/\n",
    };
    Machine *machine = *state;
    Identity *identity = start(state, "");

    assert_int_equal(identity_flush(identity) & ALL, CHANGED_CONFIGURATION | CHANGED_CHECKS);
    assert_int_equal(reload(machine, identity, ""), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, "[Revocation]\nCheck=crl\n"), CHANGED_CONFIGURATION | CHANGED_CHECKS);
    assert_int_equal(reload(machine, identity, "[Revocation]\nCheck=crl\nInterval=1h\n"), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, "[Revocation]\nCheck=crl,ocsp\n"),
                     CHANGED_CONFIGURATION | CHANGED_CHECKS);
    for (unsigned i = 0; i < 2; i++) /* each is another than the one before; the second time, none is */
        for (size_t j = 0; j < ARRAY_LENGTH(addresses); j++)
            assert_int_equal(reload(machine, identity, addresses[i == 0 ? j : ARRAY_LENGTH(addresses) - 1]),
                             CHANGED_CONFIGURATION | (i == 0 ? CHANGED_CHECKS : 0));
    assert_int_equal(reload(machine, identity, ""), CHANGED_CONFIGURATION | CHANGED_CHECKS);
    assert_int_equal(reload(machine, identity, "[Key]\nAlgorithm=ecdsa-p384\n"),
                     CHANGED_CONFIGURATION | CHANGED_REQUEST);
    assert_int_equal(reload(machine, identity, "[Key]\nAlgorithm=ecdsa-p384\n"), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, ""), CHANGED_CONFIGURATION | CHANGED_REQUEST);
}

/* A typing error in between hides no difference from those who compare. */
static void test_differences_over_a_fault(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    (void) identity_flush(identity);
    assert_int_equal(reload(machine, identity, "[Weather]\n"), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, ""), CHANGED_CONFIGURATION | CHANGED_CHECKS);
    assert_int_equal(reload(machine, identity, "[Weather]\n"), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, "[Weather]\n"), CHANGED_CONFIGURATION);
    assert_int_equal(reload(machine, identity, "[Key]\nAlgorithm=ecdsa-p384\n"), ALL);
}

/* ---- settings ---- */

static void test_settings(void **state) {
    static const char *const others[] = {
        "Authenticate=identity:y\n",
        "Authenticate=credential:c\n",
        "Authenticate=credential:c\nUser=u\n",
        "ServerAnchors=/a\n",
        "Proxy=http://p.example:1\n",
        "Proxy=http://p.example:1\nProxyUser=u\nProxyCredential=c\n",
        "Proxy=http://p.example:1\nProxyUser=v\nProxyCredential=c\n",
        "Proxy=http://p.example:1\nProxyUser=u\nProxyCredential=d\n",
        "Names=ca\n",
        "AllowTLS12=yes\n",
        "[Renewal]\nAt=50%\n",
        "[Renewal]\nJitter=5%\n",
        "[Renewal]\nAt=-5d\n",
        "[Renewal]\nRotateKey=no\n",
        "[Renewal]\nAuthenticate=identity:y\n",
        "[Renewal]\nAuthenticate=credential:c\n",
        "[Renewal]\nAuthenticate=credential:c\nUser=u\n",
    };
    static const char *const same[] = { "", "[Access]\ntls-client=user:root\n", "[Revocation]\nCheck=crl\n",
                                        "[Key]\nAlgorithm=ecdsa-p384\n" };
    Machine *machine = *state;
    Identity *identity = start(state, "");
    char digests[ARRAY_LENGTH(others) + 1][SETTINGS_DIGEST_SIZE], digest[SETTINGS_DIGEST_SIZE];

    identity_settings_digest(identity, digests[0]);
    assert_int_equal(strlen(digests[0]), SETTINGS_DIGEST_SIZE - 1U);
    for (size_t i = 0; i < ARRAY_LENGTH(same); i++) {
        (void) reload(machine, identity, same[i]);
        identity_settings_digest(identity, digest);
        assert_string_equal(digest, digests[0]);
    }
    for (size_t i = 1; i <= ARRAY_LENGTH(others); i++) {
        (void) reload(machine, identity, others[i - 1]);
        if (identity_fault(identity))
            fail_msg("%s", identity_fault(identity));
        identity_settings_digest(identity, digests[i]);
        for (size_t j = 0; j < i; j++)
            if (strcmp(digests[i], digests[j]) == 0)
                fail_msg("the same: %s", others[i - 1]);
    }
    machine_write(machine, "etc/identities/x.conf",
                  "[Identity]\nSubject=CN=x\n[Enrollment]\nServer=https://ca2.example/\nAnchors=%s/etc/ca.pem\n",
                  machine->root);
    identity_load(identity);
    identity_settings_digest(identity, digest);
    assert_string_not_equal(digest, digests[0]);
    machine_configure_fingerprint(machine, "x", machine->ca, "");
    identity_load(identity);
    identity_settings_digest(identity, digests[0]);
    assert_string_not_equal(digest, digests[0]);
    _cleanup_(fake_ca_free_p) FakeCa *other = fake_ca_new("other", NULL);
    machine_configure_fingerprint(machine, "x", other, "");
    identity_load(identity);
    identity_settings_digest(identity, digest);
    assert_string_not_equal(digest, digests[0]);
}

static void test_refuse(void **state) {
    Machine *machine = *state;
    Identity *identity = start(state, "");

    (void) identity_flush(identity);
    definition_refuse(identity, "what is configured cannot be.");
    assert_string_equal(identity_fault(identity), "what is configured cannot be.");
    assert_null(identity_config(identity));
    machine_expect_log(machine, "error: x: what is configured cannot be. This identity is out of use", 1);
    assert_int_equal(identity_flush(identity) & ALL, CHANGED_CONFIGURATION);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, machine_setup, machine_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_good),     TEST(test_not_read_yet), TEST(test_fault),       TEST(test_no_file),
        TEST(test_warning),  TEST(test_certified),    TEST(test_differences), TEST(test_differences_over_a_fault),
        TEST(test_settings), TEST(test_refuse),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
