/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys on a real (software) TPM: created, described, signed with, kept loaded and flushed. */
#include "support.h"

#include <stdio.h>
#include <string.h>

static void ecdsa_p256(void **state) {
    _cleanup_tpm_ Tpm *tpm = open_tpm(*state);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);

    for (int i = 0; i < 300; i++) /* leading zeros in r and s come up */
        sign_and_verify(tpm, key, "ecdsa_secp256r1_sha256");
}

static void ecdsa_p384(void **state) {
    _cleanup_tpm_ Tpm *tpm = open_tpm(*state);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P384);

    sign_and_verify(tpm, key, "ecdsa_secp384r1_sha384");
}

static void rsa(void **state) {
    static const KeyAlgorithm algorithms[] = { KEY_RSA_2048, KEY_RSA_3072 };

    for (size_t i = 0; i < ARRAY_LENGTH(algorithms); i++) {
        _cleanup_tpm_ Tpm *tpm = open_tpm(*state);
        _cleanup_tpm_key_ TpmKey *key = create_key(tpm, algorithms[i]);
        bool usable = false;

        sign_and_verify(tpm, key, "rsa_pkcs1_sha256");
        sign_and_verify(tpm, key, "rsa_pkcs1_sha384");
        sign_and_verify(tpm, key, "rsa_pkcs1_sha512");
        assert_success(tpm_key_pss_is_usable(tpm, key, &usable, failure));
        print_message("PSS usable: %d\n", usable);
        if (usable)
            sign_and_verify(tpm, key, "rsa_pss_rsae_sha256");
    }
}

/* What is known without a command: loaded by its first signature, until it is flushed or a reset has been noticed. */
static void known_to_be_loaded(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *other = create_key(tpm, KEY_ECDSA_P256);

    assert_false(tpm_key_is_loaded(tpm, key));
    sign(tpm, key);
    assert_true(tpm_key_is_loaded(tpm, key));
    assert_false(tpm_key_is_loaded(tpm, other));
    tpm_key_unload(tpm, key);
    assert_false(tpm_key_is_loaded(tpm, key));
    sign(tpm, key);
    assert_int_equal(swtpm_kill(swtpm), 0);
    assert_int_equal(swtpm_start(swtpm), 0);
    sign(tpm, other);
    assert_false(tpm_key_is_loaded(tpm, key));
    assert_true(tpm_key_is_loaded(tpm, other));
    for (unsigned i = 0; i < 10; i++) { /* more than there is room for: the oldest goes */
        _cleanup_tpm_key_ TpmKey *one_more = create_key(tpm, KEY_ECDSA_P256);
        sign(tpm, one_more);
        assert_true(tpm_key_is_loaded(tpm, one_more));
    }
    assert_false(tpm_key_is_loaded(tpm, other));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ecdsa_p256, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(ecdsa_p384, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(rsa, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(known_to_be_loaded, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
