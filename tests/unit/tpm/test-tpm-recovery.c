/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens to a TPM while we use it: reset, killed, replaced, cleared, hung, power cut, crowded. */
#include "support.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static int try_to_sign(Tpm *tpm, const TpmKey *key, Failure *failure) {
    const SignatureScheme *scheme = scheme_by_name("ecdsa_secp256r1_sha256");
    uint8_t digest[32] = { 1 }, signature[SIGNATURE_MAX];
    size_t size = 0;

    return tpm_key_sign(tpm, key, scheme, (BytesView) { digest, sizeof digest }, signature, &size, failure);
}

static TpmInformation probe(Tpm *tpm) {
    TpmInformation information;

    assert_success(tpm_probe(tpm, NULL, &information, failure));
    assert_int_equal(information.state, TPM_STATE_READY);
    return information;
}

/* docs/facts.md, "TPM": after a reset, another key lands on the old handle, and signing through the old handle would
 * succeed. */
static void reset_never_signs_with_another_key(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P256);
    uint64_t epoch = probe(tpm).epoch;

    sign(tpm, a);
    sign(tpm, b);
    sign(tpm, a);
    assert_int_equal(swtpm_reset(swtpm, true), 0);
    sign(tpm, b);
    sign(tpm, a);
    assert_true(probe(tpm).epoch > epoch);
}

static void reset_and_handles_taken_by_others(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P256);

    for (int i = 0; i < 10; i++) {
        ESYS_CONTEXT *esys;

        sign(tpm, a);
        sign(tpm, b);
        assert_int_equal(swtpm_reset(swtpm, true), 0);
        esys = raw_open(swtpm_tcti(swtpm));
        (void) foreign_key(esys, TPMA_OBJECT_NODA, "one");
        (void) foreign_key(esys, TPMA_OBJECT_NODA, "two");
        (void) foreign_key(esys, TPMA_OBJECT_NODA, "three"); /* every place of a transient object is taken */
        raw_close(esys);
        sign(tpm, i % 2 ? a : b);
        sign(tpm, i % 2 ? b : a);
    }
}

static void reset_without_startup(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *more = NULL;

    for (int i = 0; i < 3; i++) {
        sign(tpm, key);
        assert_int_equal(swtpm_reset(swtpm, false), 0);
    }
    sign(tpm, key);
    assert_int_equal(swtpm_reset(swtpm, false), 0);
    (void) probe(tpm);
    assert_int_equal(swtpm_reset(swtpm, false), 0);
    more = create_key(tpm, KEY_ECDSA_P256);
    sign(tpm, more);
}

static void killed_and_back(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    TpmInformation before = probe(tpm), after;

    sign(tpm, key);
    for (int i = 0; i < 3; i++) {
        TpmInformation gone;

        assert_int_equal(swtpm_kill(swtpm), 0);
        for (int k = 0; k < 3; k++)
            assert_failure(try_to_sign(tpm, key, failure), FAILURE_TPM_UNAVAILABLE, "check TCTI=");
        assert_failure(tpm_probe(tpm, NULL, &gone, failure), FAILURE_TPM_UNAVAILABLE, "swtpm:path=");
        assert_int_equal(gone.state, TPM_STATE_UNAVAILABLE);
        assert_string_equal(gone.device_id, "");
        assert_int_equal(swtpm_start(swtpm), 0);
        if (i == 1)
            (void) probe(tpm);
        sign(tpm, key);
    }
    after = probe(tpm);
    assert_string_equal(before.device_id, after.device_id);
    assert_true(before.device_id[0] != '\0');
    assert_int_equal(before.parent_name_size, after.parent_name_size);
    assert_memory_equal(before.parent_name, after.parent_name, after.parent_name_size);
}

static void missing_at_start(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = NULL;
    TpmInformation information;

    assert_int_equal(swtpm_kill(swtpm), 0);
    assert_failure(tpm_probe(tpm, NULL, &information, failure), FAILURE_TPM_UNAVAILABLE, "opening \"swtpm:path=");
    assert_int_equal(information.state, TPM_STATE_UNAVAILABLE);
    assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, ANY_PARENT, &key, failure), FAILURE_TPM_UNAVAILABLE,
                   "opening");
    assert_int_equal(swtpm_start(swtpm), 0);
    information = probe(tpm);
    assert_string_equal(information.vendor, "IBM SW TPM");
    assert_true(strchr(information.firmware, '.') != NULL);
    assert_false(information.resource_manager);
    assert_true(information.parent_is_persistent);
    assert_int_equal(information.parent_name_size, 34);
}

static void replaced(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *fresh = NULL;
    TpmInformation before = probe(tpm), after;

    sign(tpm, key);
    assert_int_equal(swtpm_kill(swtpm), 0);
    assert_int_equal(swtpm_replace(swtpm), 0);
    assert_int_equal(swtpm_start(swtpm), 0);
    assert_failure(try_to_sign(tpm, key, failure), FAILURE_TPM_REPLACED, "enrol with a new key");
    after = probe(tpm);
    assert_memory_not_equal(before.parent_name, after.parent_name, before.parent_name_size);
    assert_string_not_equal(before.device_id, after.device_id);
    assert_failure(tpm_key_create_under(tpm, KEY_ECDSA_P256, tpm_key_parent_name(key), &fresh, failure),
                   FAILURE_TPM_REPLACED, "recorded");
    fresh = create_key(tpm, KEY_ECDSA_P256);
    sign(tpm, fresh);
    assert_failure(try_to_sign(tpm, key, failure), FAILURE_TPM_REPLACED, "enrol with a new key");
}

static void cleared(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256), *fresh = NULL;
    TpmInformation before = probe(tpm), after;
    ESYS_CONTEXT *esys;

    sign(tpm, key);
    esys = raw_open(swtpm_tcti(swtpm));
    assert_int_equal(Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), 0);
    raw_close(esys);
    assert_failure(try_to_sign(tpm, key, failure), FAILURE_TPM_REPLACED, "cleared");
    after = probe(tpm);
    assert_memory_not_equal(before.parent_name, after.parent_name, before.parent_name_size);
    assert_string_equal(before.device_id, after.device_id); /* docs/facts.md, "TPM": the EK survives TPM2_Clear */
    fresh = create_key(tpm, KEY_ECDSA_P256);
    sign(tpm, fresh);
}

static void clear_is_seen_by_probe(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    TpmInformation before = probe(tpm), after;
    ESYS_CONTEXT *esys = raw_open(swtpm_tcti(swtpm));

    assert_int_equal(Esys_Clear(esys, ESYS_TR_RH_LOCKOUT, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE), 0);
    raw_close(esys);
    after = probe(tpm);
    assert_memory_not_equal(before.parent_name, after.parent_name, before.parent_name_size);
}

static TSS2_RC raw_sign(ESYS_CONTEXT *esys, ESYS_TR object) {
    const TPM2B_DIGEST digest = { .size = 32 };
    const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
    const TPMT_TK_HASHCHECK ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
    TPMT_SIGNATURE *signature = NULL;
    TSS2_RC rc =
        Esys_Sign(esys, object, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme, &ticket, &signature);
    Esys_Free(signature);
    return rc;
}

/* Eight times used and cut off. The same with a key without noDA ends in lockout, which shows that this can fail;
 * and even then our keys sign. */
static void power_cuts_do_not_lock_out(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    ESYS_CONTEXT *esys;
    TSS2_RC rc = 0;

    for (int i = 0; i < 8; i++) {
        sign(tpm, key);
        assert_int_equal(swtpm_kill(swtpm), 0);
        assert_int_equal(swtpm_start(swtpm), 0);
    }
    sign(tpm, key);
    for (int i = 0; i < 8 && rc == 0; i++) {
        esys = raw_open(swtpm_tcti(swtpm));
        rc = raw_sign(esys, foreign_key(esys, 0, "no noDA"));
        raw_close(esys);
        assert_int_equal(swtpm_kill(swtpm), 0);
        assert_int_equal(swtpm_start(swtpm), 0);
    }
    assert_int_equal(rc, TPM2_RC_LOCKOUT);
    sign(tpm, key);
    (void) probe(tpm);
}

static void many_keys_few_places(void **state) {
    Swtpm *swtpm = *state;
    Tpm *tpm = open_tpm(swtpm);
    TpmKey *keys[7] = { NULL };

    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
        keys[i] = create_key(tpm, i % 3 == 2 ? KEY_ECDSA_P384 : KEY_ECDSA_P256);
        assert_true(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT) <= 2);
    }
    for (size_t round = 0; round < 5; round++)
        for (size_t i = 0; i < ARRAY_LENGTH(keys); i++) {
            sign_and_verify(tpm, keys[i], i % 3 == 2 ? "ecdsa_secp384r1_sha384" : "ecdsa_secp256r1_sha256");
            assert_true(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT) <= 2);
        }
    tpm_key_unload(tpm, keys[ARRAY_LENGTH(keys) - 1]);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 1);
    tpm_free(tpm);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 0);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        tpm_key_free(keys[i]);
}

/* The oldest makes room, not the one in use: seen by what stays loaded. */
static void least_recently_used_goes(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = NULL;
    _cleanup_tpm_key_ TpmKey *a = NULL, *b = NULL;
    TpmOptions options = { .tcti = swtpm_tcti(swtpm), .loaded_keys_max = 1 };

    assert_int_equal(tpm_new(&options, &tpm), 0);
    a = create_key(tpm, KEY_ECDSA_P256);
    b = create_key(tpm, KEY_ECDSA_P256);
    for (int i = 0; i < 5; i++) {
        sign(tpm, a);
        assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 1);
        sign(tpm, b);
        assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 1);
    }
}

static void nothing_leaks(void **state) {
    Swtpm *swtpm = *state;
    Tpm *tpm = open_tpm(swtpm);
    TpmKey *keys[3] = { NULL };

    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        keys[i] = create_key(tpm, KEY_ECDSA_P256);
    for (int i = 0; i < 1000; i++) {
        TpmKey *key = NULL;

        sign(tpm, keys[i % 3]);
        if (i % 20 == 0) {
            key = create_key(tpm, KEY_ECDSA_P256);
            (void) probe(tpm);
            tpm_key_free(key);
        }
    }
    assert_true(raw_count_handles(swtpm_tcti(swtpm), SESSIONS) <= 1); /* the guard's */
    assert_true(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT) <= 2);
    tpm_free(tpm);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 0);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(keys); i++)
        tpm_key_free(keys[i]);
}

/* A life that ends by kill -9 with keys loaded and sessions open: the next one finds room. */
static void orphans_are_flushed(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = NULL;
    _cleanup_tpm_key_ TpmKey *key = NULL;
    int status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        ESYS_CONTEXT *esys = raw_open(swtpm_tcti(swtpm));
        const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
        const TPM2B_AUTH empty = { .size = 0 };
        ESYS_TR object = ESYS_TR_NONE;

        (void) foreign_key(esys, TPMA_OBJECT_NODA, "one");
        (void) foreign_key(esys, TPMA_OBJECT_NODA, "two");
        (void) Esys_HashSequenceStart(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &empty, TPM2_ALG_SHA256, &object);
        for (int i = 0; i < 3; i++)
            (void) Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                         NULL, i == 1 ? TPM2_SE_POLICY : TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &object);
        (void) raise(SIGKILL);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 3);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 3);
    tpm = open_tpm(swtpm);
    key = create_key(tpm, KEY_ECDSA_P256);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 0);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 0);
    sign(tpm, key);
}

/* Others leave their objects while we run: our own keys make room, and in the end the error is clear and short. */
static void crowded_by_others(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P256);
    ESYS_CONTEXT *esys;

    sign(tpm, a);
    esys = raw_open(swtpm_tcti(swtpm));
    (void) foreign_key(esys, TPMA_OBJECT_NODA, "one");
    sign(tpm, b);
    sign(tpm, a);
    tpm_key_unload(tpm, a);
    tpm_key_unload(tpm, b);
    (void) foreign_key(esys, TPMA_OBJECT_NODA, "two");
    raw_close(esys);
    assert_failure(try_to_sign(tpm, a, failure), FAILURE_TPM_UNAVAILABLE, "resource manager");
}

typedef struct Hang {
    Tpm *tpm;
    const TpmKey *key;
    int result;
    bool done;
} Hang;

static void *sign_in_thread(void *data) {
    Hang *hang = data;
    Failure failure = FAILURE_INIT;

    hang->result = try_to_sign(hang->tpm, hang->key, &failure);
    __atomic_store_n(&hang->done, true, __ATOMIC_RELEASE);
    return NULL;
}

static void hung_and_back(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    Hang hang = { .tpm = tpm, .key = key };
    const struct timespec wait = { .tv_nsec = 200000000L };
    pthread_t thread;

    sign(tpm, key);
    assert_int_equal(swtpm_suspend(swtpm), 0);
    assert_int_equal(pthread_create(&thread, NULL, sign_in_thread, &hang), 0);
    (void) nanosleep(&wait, NULL);
    assert_false(__atomic_load_n(&hang.done, __ATOMIC_ACQUIRE));
    assert_int_equal(swtpm_resume(swtpm), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(hang.result, 0);
    sign(tpm, key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reset_never_signs_with_another_key, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(reset_and_handles_taken_by_others, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(reset_without_startup, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(killed_and_back, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(missing_at_start, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(replaced, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(cleared, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(clear_is_seen_by_probe, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(power_cuts_do_not_lock_out, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(many_keys_few_places, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(least_recently_used_goes, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(nothing_leaks, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(orphans_are_flushed, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(crowded_by_others, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(hung_and_back, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
