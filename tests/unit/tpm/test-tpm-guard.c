/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A TPM without a resource manager that others interfere with while we sign: never with another key than the one that
 * is meant, and never for long. Each signature is verified with its key. */
#include "support.h"

#include <string.h>
#include <time.h>
#include <tss2/tss2_sys.h>

#define OBJECTS_COUNT  3 /* that libtpms has room for */
#define SESSIONS_COUNT 3

/* After a pause in which anything may have happened to the TPM. */
static void sign_after_pause(Tpm *tpm, const TpmKey *key) {
    const struct timespec pause = { .tv_nsec = 5000000L };

    (void) nanosleep(&pause, NULL);
    sign(tpm, key);
}

static uint64_t epoch(Tpm *tpm) {
    TpmInformation information;

    assert_success(tpm_probe(tpm, NULL, &information, failure));
    return information.epoch;
}

/* Flushes the one object or session of a kind that there is, as a tool would that means to tidy up; its number. */
static TPM2_HANDLE flush_the_one(ESYS_CONTEXT *esys, TPM2_HANDLE first) {
    TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_SYS_CONTEXT *sys = NULL;

    assert_int_equal(
        Esys_GetCapability(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, TPM2_CAP_HANDLES, first, 64, NULL, &data),
        TSS2_RC_SUCCESS);
    assert_int_equal(data->data.handles.count, 1);
    TPM2_HANDLE number = data->data.handles.handle[0];
    Esys_Free(data);
    assert_int_equal(Esys_GetSysContext(esys, &sys), TSS2_RC_SUCCESS);
    assert_int_equal(Tss2_Sys_FlushContext(sys, number), TSS2_RC_SUCCESS);
    return number;
}

/* A signing key of somebody else's, as often as it takes until it has that number. */
static void load_foreign_key(ESYS_CONTEXT *esys, TPMA_OBJECT more, TPM2_HANDLE wanted) {
    TPM2_HANDLE number = 0;

    for (int i = 0; i < OBJECTS_COUNT && number != wanted; i++)
        assert_int_equal(Esys_TR_GetTpmHandle(esys, foreign_key(esys, more, ""), &number), TSS2_RC_SUCCESS);
    assert_int_equal(number, wanted);
}

/* One session is kept for all keys, and goes with the daemon. */
static void one_session(void **state) {
    Swtpm *swtpm = *state;
    Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P384);
    uint64_t before = epoch(tpm);

    sign(tpm, a);
    for (int i = 0; i < 10; i++) {
        sign_after_pause(tpm, a);
        sign_and_verify(tpm, b, "ecdsa_secp384r1_sha384");
        sign_after_pause(tpm, a);
    }
    assert_int_equal(epoch(tpm), before);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 1);
    tpm_free(tpm);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 0);
    assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), TRANSIENT), 0);
}

/* Our key's number given to another key, without a reset: the session lives on, and the TPM tells them apart by it.
 * Also by keys that a failed authorization counts against: once. */
static void number_taken_by_others(void **state) {
    static const TPMA_OBJECT kinds[] = { TPMA_OBJECT_NODA, 0 };
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);

    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++) {
        sign(tpm, key);
        sign_after_pause(tpm, key);
        uint64_t before = epoch(tpm);
        ESYS_CONTEXT *esys = raw_open(swtpm_tcti(swtpm));
        load_foreign_key(esys, kinds[i], flush_the_one(esys, TRANSIENT));
        raw_close(esys);
        assert_int_equal(raw_count_handles(swtpm_tcti(swtpm), SESSIONS), 1);
        sign_after_pause(tpm, key);
        assert_int_equal(epoch(tpm), before + 1);
    }
}

/* A reset that somebody else followed with Startup: what is loaded next gets the number of what is gone. No time passes
 * between that and the signature that would have come from the wrong key. */
static void reset_before_a_load(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *a = create_key(tpm, KEY_ECDSA_P256), *b = create_key(tpm, KEY_ECDSA_P256);
    uint64_t before = epoch(tpm);

    sign(tpm, a);
    assert_int_equal(swtpm_reset(swtpm, true), 0);
    sign(tpm, b);
    sign(tpm, a);
    assert_int_equal(epoch(tpm), before + 1);
}

/* Sessions that others flush, or leave no room for, cost no signature. */
static void session_taken_away(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
    ESYS_TR session = ESYS_TR_NONE;

    sign(tpm, key);
    sign_after_pause(tpm, key);
    ESYS_CONTEXT *esys = raw_open(swtpm_tcti(swtpm));
    (void) flush_the_one(esys, SESSIONS);
    sign_after_pause(tpm, key); /* begins anew */
    sign_after_pause(tpm, key);
    (void) flush_the_one(esys, SESSIONS);
    for (int i = 0; i < SESSIONS_COUNT; i++)
        assert_int_equal(Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &session),
                         TSS2_RC_SUCCESS);
    /* One of them now has the number that ours had: the nonces differ, and everything begins anew. */
    sign_after_pause(tpm, key);
    sign_after_pause(tpm, key);
    raw_close(esys);
}

/* Without a session, a signature after a pause is verified. */
static void no_room_for_a_session(void **state) {
    Swtpm *swtpm = *state;
    _cleanup_tpm_ Tpm *tpm = open_tpm(swtpm);
    _cleanup_tpm_key_ TpmKey *key = create_key(tpm, KEY_ECDSA_P256);
    const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
    ESYS_TR session = ESYS_TR_NONE;
    uint64_t before = epoch(tpm);

    sign(tpm, key);
    ESYS_CONTEXT *esys = raw_open(swtpm_tcti(swtpm));
    for (int i = 0; i < SESSIONS_COUNT; i++)
        assert_int_equal(Esys_StartAuthSession(esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                               ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &none, TPM2_ALG_SHA256, &session),
                         TSS2_RC_SUCCESS);
    sign_after_pause(tpm, key);
    assert_int_equal(epoch(tpm), before);
    load_foreign_key(esys, TPMA_OBJECT_NODA, flush_the_one(esys, TRANSIENT));
    raw_close(esys);
    sign_after_pause(tpm, key);
    assert_int_equal(epoch(tpm), before + 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_session, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(number_taken_by_others, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(reset_before_a_load, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(session_taken_away, start_swtpm, stop_swtpm),
        cmocka_unit_test_setup_teardown(no_room_for_a_session, start_swtpm, stop_swtpm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
