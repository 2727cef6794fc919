/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signatures of the PKCS#11 module, and its life: renewals, restarts, absence, forks, threads. */
#include "pkcs11-fixture.h"

#include <gnutls/crypto.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned char message[] = "what is to be signed";

static size_t digest_info(gnutls_digest_algorithm_t algorithm, unsigned char *ret) {
    unsigned char digest[64];
    size_t length = gnutls_hash_get_len(algorithm);
    gnutls_datum_t hash = { digest, (unsigned) length }, info;

    assert_int_equal(gnutls_hash_fast(algorithm, message, sizeof(message), digest), 0);
    assert_int_equal(gnutls_encode_ber_digest_info(algorithm, &hash, &info), 0);
    memcpy(ret, info.data, info.size);
    size_t size = info.size;
    gnutls_free(info.data);
    return size;
}

static void test_ecdsa(void **state) {
    static const struct {
        CK_MECHANISM_TYPE type;
        gnutls_digest_algorithm_t hash;
        gnutls_sign_algorithm_t algorithm;
    } table[] = {
        { CKM_ECDSA_SHA256, GNUTLS_DIG_SHA256, GNUTLS_SIGN_ECDSA_SHA256 },
        { CKM_ECDSA_SHA384, GNUTLS_DIG_SHA384, GNUTLS_SIGN_ECDSA_SHA384 },
        { CKM_ECDSA_SHA512, GNUTLS_DIG_SHA512, GNUTLS_SIGN_ECDSA_SHA512 },
    };
    gnutls_privkey_t p384 = fake_key_new(FAKE_KEY_P384);
    char *chain = fake_ca_issue(fixture.ca, p384, &(FakeRequest) { .common_name = "p384" });
    unsigned char signature[128], digest[64];

    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "p384", .generation = 1, .key = p384, .chain = chain });
    CK_SESSION_HANDLE session = open_session();
    for (unsigned k = 0; k < 2; k++) {
        CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, k ? "p384" : "mqtt");
        const char *certificate = k ? chain : fixture.chain;
        assert_int_not_equal(key, 0);
        for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
            CK_ULONG size = sizeof(signature);
            CK_MECHANISM mechanism = { table[i].type, NULL, 0 }, raw = { CKM_ECDSA, NULL, 0 };
            assert_int_equal(sign_with(session, &mechanism, key, message, sizeof(message), signature, &size), CKR_OK);
            assert_int_equal(size, k ? 96 : 64);
            assert_true(verify_as(certificate, table[i].algorithm, message, sizeof(message), signature, size) >= 0);
            /* a digest of any of these lengths, whatever the curve */
            assert_int_equal(gnutls_hash_fast(table[i].hash, message, sizeof(message), digest), 0);
            size = sizeof(signature);
            assert_int_equal(
                sign_with(session, &raw, key, digest, gnutls_hash_get_len(table[i].hash), signature, &size), CKR_OK);
            assert_true(verify_as(certificate, table[i].algorithm, message, sizeof(message), signature, size) >= 0);
        }
    }
    (void) module->C_CloseAllSessions(1);
    fake_identityd_remove(fixture.fake, "p384");
    free(chain);
    gnutls_privkey_deinit(p384);
}

/* r and s are as wide as the curve, also where one begins with zeroes, as some of 600 signatures do. */
static void test_ecdsa_width(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    unsigned char signature[64];

    for (unsigned i = 0; i < 600; i++) {
        CK_ULONG size = sizeof(signature);
        assert_int_equal(sign_with(session, &mechanism, key, message, sizeof(message), signature, &size), CKR_OK);
        assert_int_equal(size, 64);
        assert_true(verify_as(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, message, sizeof(message), signature, size) >= 0);
    }
}

static void test_rsa(void **state) {
    CK_RSA_PKCS_PSS_PARAMS pss[] = { { CKM_SHA256, CKG_MGF1_SHA256, 32 },
                                     { CKM_SHA384, CKG_MGF1_SHA384, 48 },
                                     { CKM_SHA512, CKG_MGF1_SHA512, 64 } };
    const struct {
        CK_MECHANISM_TYPE pkcs1, pss;
        gnutls_digest_algorithm_t hash;
        gnutls_sign_algorithm_t algorithm, pss_algorithm;
    } table[] = {
        { CKM_SHA256_RSA_PKCS, CKM_SHA256_RSA_PKCS_PSS, GNUTLS_DIG_SHA256, GNUTLS_SIGN_RSA_SHA256,
          GNUTLS_SIGN_RSA_PSS_SHA256 },
        { CKM_SHA384_RSA_PKCS, CKM_SHA384_RSA_PKCS_PSS, GNUTLS_DIG_SHA384, GNUTLS_SIGN_RSA_SHA384,
          GNUTLS_SIGN_RSA_PSS_SHA384 },
        { CKM_SHA512_RSA_PKCS, CKM_SHA512_RSA_PKCS_PSS, GNUTLS_DIG_SHA512, GNUTLS_SIGN_RSA_SHA512,
          GNUTLS_SIGN_RSA_PSS_SHA512 },
    };
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "rsa");
    unsigned char signature[256], data[128];

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        CK_MECHANISM hashing = { table[i].pkcs1, NULL, 0 }, raw = { CKM_RSA_PKCS, NULL, 0 };
        CK_MECHANISM hashing_pss = { table[i].pss, &pss[i], sizeof(pss[i]) },
                     raw_pss = { CKM_RSA_PKCS_PSS, &pss[i], sizeof(pss[i]) };
        CK_ULONG size = sizeof(signature);
        assert_int_equal(sign_with(session, &hashing, key, message, sizeof(message), signature, &size), CKR_OK);
        assert_int_equal(size, 256);
        assert_true(verify_as(fixture.rsa_chain, table[i].algorithm, message, sizeof(message), signature, size) >= 0);
        assert_int_equal(sign_with(session, &hashing_pss, key, message, sizeof(message), signature, &size), CKR_OK);
        assert_true(verify_as(fixture.rsa_chain, table[i].pss_algorithm, message, sizeof(message), signature, size) >=
                    0);
        assert_int_equal(sign_with(session, &raw, key, data, digest_info(table[i].hash, data), signature, &size),
                         CKR_OK);
        assert_true(verify_as(fixture.rsa_chain, table[i].algorithm, message, sizeof(message), signature, size) >= 0);
        assert_int_equal(gnutls_hash_fast(table[i].hash, message, sizeof(message), data), 0);
        assert_int_equal(sign_with(session, &raw_pss, key, data, gnutls_hash_get_len(table[i].hash), signature, &size),
                         CKR_OK);
        assert_true(verify_as(fixture.rsa_chain, table[i].pss_algorithm, message, sizeof(message), signature, size) >=
                    0);
    }
}

static void test_bad_data(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt"),
                     rsa = find_object(session, CKO_PRIVATE_KEY, "rsa");
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 }, pkcs1 = { CKM_RSA_PKCS, NULL, 0 };
    CK_RSA_PKCS_PSS_PARAMS parameters = { CKM_SHA256, CKG_MGF1_SHA256, 32 };
    CK_MECHANISM pss = { CKM_RSA_PKCS_PSS, &parameters, sizeof(parameters) };
    unsigned char data[512] = { 0x30 }, signature[256];
    CK_ULONG size = sizeof(signature);

    for (CK_ULONG n = 0; n < 300; n++) {
        if (n < 32 || n > 64)
            assert_int_equal(sign_with(session, &ecdsa, key, data, n, signature, &size), CKR_DATA_LEN_RANGE);
        if (n != 32)
            assert_int_equal(sign_with(session, &pss, rsa, data, n, signature, &size), CKR_DATA_LEN_RANGE);
    }
    for (CK_ULONG n = 0; n < 256; n++)
        assert_int_equal(sign_with(session, &pkcs1, rsa, data, n, signature, &size), CKR_DATA_INVALID);
    assert_int_equal(sign_with(session, &pkcs1, rsa, data, digest_info(GNUTLS_DIG_SHA1, data), signature, &size),
                     CKR_DATA_INVALID);
    assert_int_equal(sign_with(session, &ecdsa, key, NULL, 32, signature, &size), CKR_ARGUMENTS_BAD);
    assert_int_equal(fake_identityd_asked(fixture.fake), 0);
    /* each failure ended its operation */
    assert_int_equal(module->C_Sign(session, data, 32, signature, &size), CKR_OPERATION_NOT_INITIALIZED);
}

static void test_bad_init(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt"),
                     rsa = find_object(session, CKO_PRIVATE_KEY, "rsa");
    CK_RSA_PKCS_PSS_PARAMS good = { CKM_SHA256, CKG_MGF1_SHA256, 32 }, wrong_salt = { CKM_SHA256, CKG_MGF1_SHA256, 20 };
    CK_RSA_PKCS_PSS_PARAMS wrong_mgf = { CKM_SHA256, CKG_MGF1_SHA1, 32 }, sha384 = { CKM_SHA384, CKG_MGF1_SHA384, 48 };
    const struct {
        CK_MECHANISM mechanism;
        CK_OBJECT_HANDLE key;
        CK_RV rv;
    } table[] = {
        { { CKM_ECDSA, NULL, 0 }, 0, CKR_KEY_HANDLE_INVALID },
        { { CKM_ECDSA, NULL, 0 }, 123456, CKR_KEY_HANDLE_INVALID },
        { { CKM_ECDSA, NULL, 0 }, rsa, CKR_KEY_TYPE_INCONSISTENT },
        { { CKM_ECDSA, NULL, 0 }, find_object(session, CKO_CERTIFICATE, "mqtt"), CKR_KEY_TYPE_INCONSISTENT },
        { { CKM_ECDSA, NULL, 0 }, find_object(session, CKO_PUBLIC_KEY, "mqtt"), CKR_KEY_TYPE_INCONSISTENT },
        { { CKM_ECDSA, &good, sizeof(good) }, key, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_ECDSA_SHA1, NULL, 0 }, key, CKR_MECHANISM_INVALID },
        { { CKM_RSA_X_509, NULL, 0 }, rsa, CKR_MECHANISM_INVALID },
        { { CKM_RSA_PKCS, NULL, 0 }, key, CKR_KEY_TYPE_INCONSISTENT },
        { { CKM_RSA_PKCS_PSS, NULL, 0 }, rsa, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_RSA_PKCS_PSS, NULL, sizeof(good) }, rsa, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_RSA_PKCS_PSS, &good, sizeof(good) - 1 }, rsa, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_RSA_PKCS_PSS, &wrong_salt, sizeof(good) }, rsa, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_RSA_PKCS_PSS, &wrong_mgf, sizeof(good) }, rsa, CKR_MECHANISM_PARAM_INVALID },
        { { CKM_SHA256_RSA_PKCS_PSS, &sha384, sizeof(good) }, rsa, CKR_MECHANISM_PARAM_INVALID },
    };
    CK_MECHANISM ecdsa = { CKM_ECDSA, NULL, 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        CK_MECHANISM mechanism = table[i].mechanism;
        assert_int_equal(module->C_SignInit(session, &mechanism, table[i].key), table[i].rv);
    }
    assert_int_equal(module->C_SignInit(session, NULL, key), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_SignInit(session, &ecdsa, key), CKR_OK);
    assert_int_equal(module->C_SignInit(session, &ecdsa, key), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_CloseSession(session), CKR_OK); /* with the operation: nothing leaks */
}

static void test_lengths_and_parts(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    unsigned char signature[64], *data = (unsigned char *) (uintptr_t) message;
    CK_ULONG size = 0;

    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_Sign(session, data, sizeof(message), NULL, &size), CKR_OK);
    assert_int_equal(size, 64);
    size = 63;
    assert_int_equal(module->C_Sign(session, data, sizeof(message), signature, &size), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(size, 64);
    assert_int_equal(module->C_Sign(session, data, sizeof(message), signature, &size), CKR_OK);
    assert_true(verify_as(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, message, sizeof(message), signature, size) >= 0);
    assert_int_equal(module->C_Sign(session, data, sizeof(message), signature, &size), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(fake_identityd_asked(fixture.fake), 1); /* asking for the length costs no signature */

    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_SignUpdate(session, data, 5), CKR_OK);
    assert_int_equal(module->C_SignUpdate(session, NULL, 0), CKR_OK);
    assert_int_equal(module->C_SignUpdate(session, data + 5, sizeof(message) - 5), CKR_OK);
    CK_SESSION_HANDLE mixing = open_session();
    assert_int_equal(module->C_SignInit(mixing, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_SignUpdate(mixing, data, 5), CKR_OK);
    assert_int_equal(module->C_Sign(mixing, data, 1, signature, &size), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_SignFinal(mixing, signature, &size), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_SignInit(mixing, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_Sign(mixing, data, 1, NULL, &size), CKR_OK);
    assert_int_equal(module->C_SignUpdate(mixing, data, 5), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_SignFinal(session, NULL, &size), CKR_OK);
    size = 10;
    assert_int_equal(module->C_SignFinal(session, signature, &size), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(module->C_SignFinal(session, signature, &size), CKR_OK);
    assert_true(verify_as(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, message, sizeof(message), signature, size) >= 0);
    assert_int_equal(module->C_SignFinal(session, signature, &size), CKR_OPERATION_NOT_INITIALIZED);

    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_Sign(session, data, 1, signature, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_SignUpdate(session, data, 1), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_SignUpdate(session, NULL, 5), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_SignUpdate(session, data, 1), CKR_OPERATION_NOT_INITIALIZED);
}

/* ---- what happens meanwhile ---- */

static CK_RV sign_simply(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *chain) {
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    unsigned char signature[64];
    CK_ULONG size = sizeof(signature);

    CK_RV rv = sign_with(session, &mechanism, key, message, sizeof(message), signature, &size);
    if (rv == CKR_OK && verify_as(chain, GNUTLS_SIGN_ECDSA_SHA256, message, sizeof(message), signature, size) < 0)
        return CKR_GENERAL_ERROR;
    return rv;
}

static CK_OBJECT_HANDLE wait_for_other(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE old) {
    CK_OBJECT_HANDLE now = old;

    for (unsigned i = 0; i < 100 && now == old; i++) {
        usleep(50000);
        now = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    }
    assert_int_not_equal(now, old);
    return now;
}

static void test_renewal(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE old = find_object(session, CKO_PRIVATE_KEY, "mqtt");

    set_generation(2, "ready");
    CK_OBJECT_HANDLE new = wait_for_other(session, old);
    /* what a program has found goes on with the key that it found */
    assert_int_equal(sign_simply(session, old, fixture.chain), CKR_OK);
    assert_int_equal(sign_simply(session, new, fixture.next_chain), CKR_OK);
    fake_identityd_forget_generation(fixture.fake, "mqtt", 1);
    assert_int_equal(sign_simply(session, old, fixture.chain), CKR_KEY_HANDLE_INVALID);
    /* unless the key is the same */
    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "mqtt", .generation = 3, .key = fixture.key, .chain = fixture.chain });
    assert_int_equal(sign_simply(session, old, fixture.chain), CKR_OK);
}

static void test_restart(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");

    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(sign_simply(session, key, fixture.chain), CKR_OK);
    fake_identityd_leave_bus(fixture.fake);
    fake_identityd_close_handles(fixture.fake);
    assert_int_equal(sign_simply(session, key, fixture.chain), CKR_DEVICE_REMOVED);
    fake_identityd_join_bus(fixture.fake);
    CK_RV rv = CKR_DEVICE_REMOVED;
    for (unsigned i = 0; i < 60 && rv == CKR_DEVICE_REMOVED; i++) {
        rv = sign_simply(session, key, fixture.chain);
        usleep(100000);
    }
    assert_int_equal(rv, CKR_OK);
}

static void test_refusals(void **state) {
    static const struct {
        FailureKind kind;
        CK_RV rv;
    } table[] = {
        { FAILURE_REVOKED, CKR_KEY_FUNCTION_NOT_PERMITTED },
        { FAILURE_EXPIRED, CKR_KEY_FUNCTION_NOT_PERMITTED },
        { FAILURE_RETIRED, CKR_KEY_HANDLE_INVALID },
        { FAILURE_TPM_UNAVAILABLE, CKR_DEVICE_REMOVED },
        { FAILURE_INTERNAL, CKR_DEVICE_ERROR },
    };
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");

    for (size_t i = 0; i < ARRAY_LENGTH(table); i++) {
        fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "mqtt",
                                                           .generation = 1,
                                                           .key = fixture.key,
                                                           .chain = fixture.chain,
                                                           .blocked = table[i].kind });
        assert_int_equal(sign_simply(session, key, fixture.chain), table[i].rv);
    }
}

typedef struct Cause {
    const char *state, *error; /* what the last State says, and what OpenCredential answers from then on */
    CK_RV rv;
} Cause;

/* What ends while a program has found a key: the key's handle says so, and works again once the cause is gone. */
static void test_between_search_and_sign(void **state) {
    static const Cause causes[] = {
        { "ready", "org.identityd1.Error.AccessDenied", CKR_KEY_FUNCTION_NOT_PERMITTED },
        { "revoked", "org.identityd1.Error.Revoked", CKR_KEY_FUNCTION_NOT_PERMITTED },
        { "retired", "org.identityd1.Error.Retired", CKR_KEY_HANDLE_INVALID },
        { "ready", "org.identityd1.Error.TpmUnavailable", CKR_DEVICE_REMOVED },
    };
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");

    assert_int_equal(find_object(session, CKO_PRIVATE_KEY, "nobody"), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(causes); i++) {
        set_generation(1, causes[i].state);
        fake_identityd_close_handles(fixture.fake);
        fake_identityd_refuse(fixture.fake, causes[i].error, "No.");
        assert_int_equal(sign_simply(session, key, fixture.chain), causes[i].rv);
        fake_identityd_refuse(fixture.fake, NULL, NULL);
        set_generation(1, "ready");
        CK_RV rv = CKR_DEVICE_ERROR;
        for (unsigned n = 0; n < 600 && rv != CKR_OK; n++) {
            rv = sign_simply(session, key, fixture.chain);
            usleep(100000);
        }
        assert_int_equal(rv, CKR_OK);
    }
}

static int lose_handles(void *userdata) {
    int ends[HANDLES_TAKEN_MAX], count;

    if (module->C_Initialize(NULL) != CKR_OK)
        return 1;
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    if (sign_simply(session, key, fixture.chain) != CKR_OK || (count = take_handles_away(ends)) <= 0)
        return 2;
    if (sign_simply(session, key, fixture.chain) != CKR_OK || sign_simply(session, key, fixture.chain) != CKR_OK)
        return 3;
    if (module->C_Finalize(NULL) != CKR_OK)
        return 4;
    return were_left_alone(ends, count) ? 0 : 5;
}

/* A program that closes all descriptors and opens others. */
static void test_handle_closed_under_the_program(void **state) {
    expect_child(lose_handles, NULL);
}

/* Not admitted to any identity: a token without objects. */
static void test_denied(void **state) {
    fake_identityd_refuse(fixture.fake, "org.identityd1.Error.AccessDenied", "No.");
    assert_int_equal(find_object(open_session(), CKO_PRIVATE_KEY, "mqtt"), 0);
    fake_identityd_refuse(fixture.fake, NULL, NULL);
}

static void test_absent(void **state) {
    CK_SESSION_HANDLE session;
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_ULONG count = 9;

    fake_identityd_leave_bus(fixture.fake);
    assert_int_equal(module->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(count, 0);
    assert_int_equal(module->C_GetSlotList(CK_FALSE, NULL, &count), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(module->C_GetSlotInfo(1, &slot), CKR_OK);
    assert_false(slot.flags & CKF_TOKEN_PRESENT);
    assert_int_equal(module->C_GetTokenInfo(1, &token), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(module->C_GetMechanismList(1, NULL, &count), CKR_TOKEN_NOT_PRESENT);
    assert_int_equal(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_TOKEN_NOT_PRESENT);
    fake_identityd_join_bus(fixture.fake);
    CK_RV rv = CKR_TOKEN_NOT_PRESENT;
    for (unsigned i = 0; i < 60 && rv == CKR_TOKEN_NOT_PRESENT; i++) {
        usleep(100000);
        rv = module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session);
    }
    assert_int_equal(rv, CKR_OK);
    assert_int_not_equal(find_object(session, CKO_PRIVATE_KEY, "mqtt"), 0);
}

static void *wait_for_event(void *userdata) {
    CK_SLOT_ID slot = 0;
    CK_RV rv = module->C_WaitForSlotEvent(0, &slot, NULL);

    return (void *) (uintptr_t) (rv == CKR_OK && slot != 1 ? CKR_GENERAL_ERROR : rv);
}

static void test_events(void **state) {
    CK_SLOT_ID slot = 0;
    pthread_t thread;
    void *result;

    open_session();
    assert_int_equal(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, &slot), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_OK); /* the token appeared */
    assert_int_equal(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_event, NULL), 0);
    usleep(100000);
    set_generation(2, "ready");
    pthread_join(thread, &result);
    assert_int_equal((uintptr_t) result, CKR_OK);
    /* C_Finalize ends a wait */
    assert_int_equal(pthread_create(&thread, NULL, wait_for_event, NULL), 0);
    usleep(100000);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    pthread_join(thread, &result);
    assert_int_equal((uintptr_t) result, CKR_CRYPTOKI_NOT_INITIALIZED);
}

static int child(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key) {
    CK_SESSION_INFO info;

    if (sign_simply(session, key, fixture.chain) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return 1;
    if (module->C_Initialize(NULL) != CKR_OK)
        return 2;
    if (module->C_GetSessionInfo(session, &info) != CKR_SESSION_HANDLE_INVALID)
        return 3;
    session = open_session();
    key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    if (sign_simply(session, key, fixture.chain) != CKR_OK)
        return 4;
    return module->C_Finalize(NULL) == CKR_OK ? 0 : 5;
}

static void test_fork(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    int status;

    for (unsigned i = 0; i < 3; i++) {
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            alarm(30);
            _exit(child(session, key));
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
        assert_int_equal(sign_simply(session, key, fixture.chain), CKR_OK);
    }
}

static void *use(void *userdata) {
    for (unsigned i = 0; i < 40; i++) {
        CK_SESSION_HANDLE session;
        if (module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
            return (void *) 1;
        CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "rsa"),
                         other = find_object(session, CKO_PRIVATE_KEY, "mqtt");
        CK_MECHANISM rsa = { CKM_SHA256_RSA_PKCS, NULL, 0 }, ecdsa = { CKM_ECDSA_SHA256, NULL, 0 };
        unsigned char signature[256];
        CK_ULONG size = sizeof(signature);
        if (sign_with(session, &rsa, key, message, sizeof(message), signature, &size) != CKR_OK || size != 256)
            return (void *) 2;
        if (sign_with(session, &ecdsa, other, message, sizeof(message), signature, &size) != CKR_OK || size != 64)
            return (void *) 3;
        if (module->C_CloseSession(session) != CKR_OK)
            return (void *) 4;
    }
    return NULL;
}

static void test_threads(void **state) {
    pthread_t threads[4];

    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, use, NULL), 0);
    for (unsigned i = 0; i < 10; i++) {
        set_generation(1 + i % 2, "ready");
        usleep(100000);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(threads); i++) {
        void *result;
        pthread_join(threads[i], &result);
        assert_int_equal((uintptr_t) result, 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_initialized, teardown_initialized)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_ecdsa),
        TEST(test_ecdsa_width),
        TEST(test_rsa),
        TEST(test_bad_data),
        TEST(test_bad_init),
        TEST(test_lengths_and_parts),
        TEST(test_renewal),
        TEST(test_restart),
        TEST(test_refusals),
        TEST(test_denied),
        TEST(test_absent),
        TEST(test_events),
        TEST(test_between_search_and_sign),
        TEST(test_handle_closed_under_the_program),
        TEST(test_fork),
        TEST(test_threads),
    };

    return cmocka_run_group_tests(tests, setup_module, teardown_all);
}
