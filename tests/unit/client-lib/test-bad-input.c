/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What goes wrong between a program and its identity, met through GnuTLS's URL: each cause has its code of GnuTLS and a
 * text, none hangs or crashes, and the same key works again once the cause is gone. test-pkcs11-sign.c and
 * test-openssl.py have the same rows for the other ways in; forks while threads sign are in fork-client.c. */
#include "fixture.h"
#include "identityd/identityd-gnutls.h"

#include <gnutls/abstract.h>
#include <unistd.h>

#define URL "identityd:mqtt"

static int setup_url(void **state) {
    assert_int_equal(identityd_gnutls_register_url(), 0);
    return setup(state);
}

static int load(const char *url, gnutls_privkey_t *ret) {
    gnutls_privkey_t key;

    assert_int_equal(gnutls_privkey_init(&key), 0);
    int code = gnutls_privkey_import_url(key, url, 0);
    if (code < 0)
        gnutls_privkey_deinit(key);
    else
        *ret = key;
    return code;
}

/* Signs and verifies. */
static int sign(gnutls_privkey_t key) {
    gnutls_datum_t data = { (unsigned char *) "message", 7 }, signature = { NULL, 0 };

    int code = gnutls_privkey_sign_data2(key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature);
    if (code >= 0)
        code = verify(fixture.chain, data.data, data.size, signature.data, signature.size);
    gnutls_free(signature.data);
    return code;
}

static void expect_recovery(gnutls_privkey_t key) {
    int code = -1;

    for (unsigned i = 0; i < 600 && (code = sign(key)) < 0; i++)
        usleep(100000);
    if (code < 0)
        fail_msg("it does not recover: %s; %s", gnutls_strerror(code), identityd_last_error());
}

/* ---- causes ---- */

static void refuse(const char *error, const char *text) {
    fake_identityd_close_handles(fixture.fake);
    fake_identityd_refuse(fixture.fake, error, text);
}

static void not_admitted(void) {
    refuse("org.identityd1.Error.AccessDenied", "Not lent to you.");
}

static void revoked(void) {
    set_generation(1, "revoked");
    refuse("org.identityd1.Error.Revoked", "It is revoked.");
}

static void retired(void) {
    set_generation(1, "retired");
    refuse("org.identityd1.Error.Retired", "It is retired.");
}

static void expired(void) {
    refuse("org.identityd1.Error.Expired", "It expired.");
}

static void without_tpm(void) {
    refuse("org.identityd1.Error.TpmUnavailable", "No TPM.");
}

static void without_daemon(void) {
    fake_identityd_leave_bus(fixture.fake);
    fake_identityd_close_handles(fixture.fake);
}

static void blocked(FailureKind kind) {
    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) {
            .name = "mqtt", .generation = 1, .key = fixture.key, .chain = fixture.chain, .blocked = kind });
}

static void blocked_as_revoked(void) {
    blocked(FAILURE_REVOKED);
}

static void blocked_as_expired(void) {
    blocked(FAILURE_EXPIRED);
}

static void blocked_without_tpm(void) {
    blocked(FAILURE_TPM_UNAVAILABLE);
}

static void blocked_by_a_fault(void) {
    blocked(FAILURE_INTERNAL);
}

static void mend(void) {
    fake_identityd_refuse(fixture.fake, NULL, NULL);
    fake_identityd_join_bus(fixture.fake);
    set_generation(1, "ready");
}

typedef struct Cause {
    void (*begin)(void);
    int at_load, at_sign; /* GnuTLS's codes; at_load 0: it can be loaded all the same */
    const char *text;
} Cause;

static const Cause causes[] = {
    { not_admitted, GNUTLS_E_INSUFFICIENT_CREDENTIALS, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "Not lent to you" },
    { revoked, GNUTLS_E_INSUFFICIENT_CREDENTIALS, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "revoked" },
    { retired, GNUTLS_E_INSUFFICIENT_CREDENTIALS, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "retired" },
    { expired, GNUTLS_E_INSUFFICIENT_CREDENTIALS, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "expired" },
    { without_tpm, GNUTLS_E_TPM_ERROR, GNUTLS_E_TPM_ERROR, "No TPM" },
    { without_daemon, GNUTLS_E_TPM_SESSION_ERROR, GNUTLS_E_TPM_SESSION_ERROR, "identityd is not running" },
    { blocked_as_revoked, 0, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "mqtt" },
    { blocked_as_expired, 0, GNUTLS_E_INSUFFICIENT_CREDENTIALS, "mqtt" },
    { blocked_without_tpm, 0, GNUTLS_E_TPM_ERROR, "mqtt" },
    { blocked_by_a_fault, 0, GNUTLS_E_PK_SIGN_FAILED, "mqtt" },
};

static void test_at_load(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(causes); i++) {
        gnutls_privkey_t key = NULL;
        causes[i].begin();
        int code = load(URL, &key);
        if (code != causes[i].at_load)
            fail_msg("cause %zu: %s; %s", i, gnutls_strerror(code), identityd_last_error());
        if (code < 0)
            assert_error_says(causes[i].text);
        else
            assert_true(sign(key) < 0);
        mend();
        if (code < 0)
            assert_int_equal(load(URL, &key), 0);
        expect_recovery(key);
        gnutls_privkey_deinit(key);
    }
}

static void test_between_load_and_sign(void **state) {
    for (size_t i = 0; i < ARRAY_LENGTH(causes); i++) {
        gnutls_privkey_t key = NULL;
        assert_int_equal(load(URL, &key), 0);
        assert_int_equal(sign(key), 0);
        causes[i].begin();
        int code = sign(key);
        if (code != causes[i].at_sign)
            fail_msg("cause %zu: %s; %s", i, gnutls_strerror(code), identityd_last_error());
        assert_error_says(causes[i].text);
        mend();
        expect_recovery(key);
        gnutls_privkey_deinit(key);
    }
}

/* The daemon is back before the program signs again: nothing is noticed. */
static void test_restart(void **state) {
    gnutls_privkey_t key = NULL;

    assert_int_equal(load(URL, &key), 0);
    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(sign(key), 0);
    gnutls_privkey_deinit(key);
}

static void test_unknown_name(void **state) {
    gnutls_privkey_t key = NULL;

    assert_int_equal(load("identityd:nobody", &key), GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE);
    assert_error_says("nobody");
    assert_int_equal(load("identityd:No.Name", &key), GNUTLS_E_INVALID_REQUEST);
    assert_error_says("No.Name");
}

static void test_wrong_purpose(void **state) {
    static const char *const urls[] = { URL "?purpose=tls-client", URL "?purpose=tls-server", URL "?purpose=data-raw" };

    for (size_t i = 0; i < ARRAY_LENGTH(urls); i++) {
        gnutls_privkey_t key = NULL;
        assert_int_equal(load(urls[i], &key), 0);
        assert_int_equal(sign(key), GNUTLS_E_INSUFFICIENT_CREDENTIALS);
        assert_error_says("and nothing else: this is none");
        gnutls_privkey_deinit(key);
    }
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
}

/* ---- descriptors ---- */

static int lose_handle(void *userdata) {
    int ends[HANDLES_TAKEN_MAX];
    gnutls_privkey_t key = NULL;

    if (load(URL, &key) < 0 || sign(key) < 0)
        return 1;
    for (unsigned i = 0; i < 2; i++) {
        int count = take_handles_away(ends);
        if (count <= 0)
            return 2;
        if (i == 0 && sign(key) < 0)
            return 3;
        if (i == 1)
            gnutls_privkey_deinit(key); /* closes nobody else's */
        if (!were_left_alone(ends, count))
            return 4;
    }
    return 0;
}

static void test_handle_closed_under_the_program(void **state) {
    expect_child(lose_handle, NULL);
}

static int lose_inherited_handle(void *userdata) {
    int ends[HANDLES_TAKEN_MAX], count = take_handles_away(ends);

    if (count <= 0 || sign(userdata) < 0 || sign(userdata) < 0)
        return 1;
    return were_left_alone(ends, count) ? 0 : 2;
}

/* As a daemon does: load, fork, close everything. */
static void test_handle_closed_after_fork(void **state) {
    gnutls_privkey_t key = NULL;

    assert_int_equal(load(URL, &key), 0);
    expect_child(lose_inherited_handle, key);
    assert_int_equal(sign(key), 0);
    gnutls_privkey_deinit(key);
}

/* ---- processes ---- */

static int sign_twice(void *userdata) {
    return sign(userdata) < 0 || sign(userdata) < 0;
}

static int fork_again(void *userdata) {
    int r = sign_twice(userdata);

    if (r == 0)
        expect_child(sign_twice, userdata);
    gnutls_privkey_deinit(userdata);
    return r;
}

static void test_fork_between_load_and_sign(void **state) {
    gnutls_privkey_t key = NULL;

    assert_int_equal(load(URL, &key), 0);
    expect_child(fork_again, key);
    assert_int_equal(sign(key), 0);
    expect_child(fork_again, key);
    assert_int_equal(sign(key), 0);
    gnutls_privkey_deinit(key);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_url, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_at_load),
        TEST(test_between_load_and_sign),
        TEST(test_restart),
        TEST(test_unknown_name),
        TEST(test_wrong_purpose),
        TEST(test_handle_closed_under_the_program),
        TEST(test_handle_closed_after_fork),
        TEST(test_fork_between_load_and_sign),
    };

    return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
