/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module's hashes: whole and in parts, what a wrong call gets, and that none is in another's way. */
#include "pkcs11-fixture.h"

#include <gnutls/crypto.h>

static const struct {
    CK_MECHANISM_TYPE mechanism;
    gnutls_digest_algorithm_t algorithm;
    CK_ULONG size;
} table[] = {
    { CKM_SHA256, GNUTLS_DIG_SHA256, 32 },
    { CKM_SHA384, GNUTLS_DIG_SHA384, 48 },
    { CKM_SHA512, GNUTLS_DIG_SHA512, 64 },
};
#define COUNT (sizeof(table) / sizeof(*table))

static unsigned char data[] = "what is hashed";
#define SIZE (sizeof(data) - 1)

static void begin(CK_SESSION_HANDLE session, CK_MECHANISM_TYPE type) {
    CK_MECHANISM mechanism = { type, NULL, 0 };

    assert_int_equal(module->C_DigestInit(session, &mechanism), CKR_OK);
}

static void test_hashes(void **state) {
    CK_SESSION_HANDLE session = open_session();

    for (size_t i = 0; i < COUNT; i++) {
        unsigned char wanted[64], found[64] = { 0 };
        CK_MECHANISM_INFO info;
        CK_ULONG size = 0;
        assert_int_equal(gnutls_hash_fast(table[i].algorithm, data, SIZE, wanted), 0);
        assert_int_equal(module->C_GetMechanismInfo(1, table[i].mechanism, &info), CKR_OK);
        assert_int_equal(info.flags, CKF_DIGEST);
        begin(session, table[i].mechanism);
        assert_int_equal(module->C_Digest(session, data, SIZE, NULL, &size), CKR_OK);
        assert_int_equal(size, table[i].size);
        size--;
        assert_int_equal(module->C_Digest(session, data, SIZE, found, &size), CKR_BUFFER_TOO_SMALL);
        assert_int_equal(size, table[i].size);
        size = sizeof(found);
        assert_int_equal(module->C_Digest(session, data, SIZE, found, &size), CKR_OK);
        assert_int_equal(size, table[i].size);
        assert_memory_equal(found, wanted, size);
        assert_int_equal(module->C_Digest(session, data, SIZE, found, &size), CKR_OPERATION_NOT_INITIALIZED);

        memset(found, 0, sizeof(found));
        begin(session, table[i].mechanism);
        assert_int_equal(module->C_DigestUpdate(session, data, 3), CKR_OK);
        assert_int_equal(module->C_DigestUpdate(session, NULL, 0), CKR_OK);
        assert_int_equal(module->C_DigestUpdate(session, data + 3, SIZE - 3), CKR_OK);
        assert_int_equal(module->C_DigestFinal(session, NULL, &size), CKR_OK);
        size = 1;
        assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_BUFFER_TOO_SMALL);
        assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OK);
        assert_int_equal(size, table[i].size);
        assert_memory_equal(found, wanted, size);
        assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OPERATION_NOT_INITIALIZED);
    }
}

static void test_of_nothing(void **state) {
    static const unsigned char wanted[4] = { 0xe3, 0xb0, 0xc4, 0x42 };
    CK_SESSION_HANDLE session = open_session();
    unsigned char found[32];
    CK_ULONG size = sizeof(found);

    begin(session, CKM_SHA256);
    assert_int_equal(module->C_Digest(session, NULL, 0, found, &size), CKR_OK);
    assert_memory_equal(found, wanted, 4);
    begin(session, CKM_SHA256);
    assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OK);
    assert_memory_equal(found, wanted, 4);
}

static void test_bad_calls(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_MECHANISM mechanism = { CKM_SHA256, NULL, 0 };
    unsigned char found[32];
    CK_ULONG size = sizeof(found);

    assert_int_equal(module->C_DigestInit(session + 1000, &mechanism), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_DigestUpdate(session, data, SIZE), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_DigestInit(session, NULL), CKR_ARGUMENTS_BAD);
    mechanism.mechanism = CKM_SHA_1;
    assert_int_equal(module->C_DigestInit(session, &mechanism), CKR_MECHANISM_INVALID);
    mechanism.mechanism = CKM_ECDSA_SHA256; /* signs, and hashes for nobody else */
    assert_int_equal(module->C_DigestInit(session, &mechanism), CKR_MECHANISM_INVALID);
    mechanism = (CK_MECHANISM) { CKM_SHA256, found, 4 };
    assert_int_equal(module->C_DigestInit(session, &mechanism), CKR_MECHANISM_PARAM_INVALID);
    begin(session, CKM_SHA256);
    mechanism = (CK_MECHANISM) { CKM_SHA384, NULL, 0 };
    assert_int_equal(module->C_DigestInit(session, &mechanism), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_DigestUpdate(session, data, 3), CKR_OK);
    assert_int_equal(module->C_Digest(session, data, SIZE, found, &size), CKR_OPERATION_ACTIVE); /* not mixed */
    assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OPERATION_NOT_INITIALIZED);
    begin(session, CKM_SHA256);
    assert_int_equal(module->C_Digest(session, data, SIZE, NULL, &size), CKR_OK);
    assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_Digest(session, data, SIZE, found, &size), CKR_OPERATION_NOT_INITIALIZED);
    begin(session, CKM_SHA256);
    assert_int_equal(module->C_DigestUpdate(session, NULL, 3), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_DigestFinal(session, found, &size), CKR_OPERATION_NOT_INITIALIZED);
    begin(session, CKM_SHA256);
    assert_int_equal(module->C_Digest(session, data, SIZE, found, NULL), CKR_ARGUMENTS_BAD);
    begin(session, CKM_SHA256); /* that one ended it; and closing the session ends this one */
}

/* One session hashes and signs at the same time. */
static void test_beside_a_signature(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    unsigned char signature[64], found[32], wanted[32];
    CK_ULONG size = sizeof(signature), digest_size = sizeof(found);

    begin(session, CKM_SHA256);
    assert_int_equal(module->C_DigestUpdate(session, data, SIZE), CKR_OK);
    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_OK);
    assert_int_equal(module->C_SignUpdate(session, data, SIZE), CKR_OK);
    assert_int_equal(module->C_DigestFinal(session, found, &digest_size), CKR_OK);
    assert_int_equal(module->C_SignFinal(session, signature, &size), CKR_OK);
    assert_int_equal(gnutls_hash_fast(GNUTLS_DIG_SHA256, data, SIZE, wanted), 0);
    assert_memory_equal(found, wanted, 32);
    assert_true(verify_as(fixture.chain, GNUTLS_SIGN_ECDSA_SHA256, data, SIZE, signature, size) >= 0);
    /* A key that signs hashes is no hash: the one does not begin the other. */
    mechanism.mechanism = CKM_SHA256;
    assert_int_equal(module->C_SignInit(session, &mechanism, key), CKR_MECHANISM_INVALID);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_initialized, teardown_initialized)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_hashes),
        TEST(test_of_nothing),
        TEST(test_bad_calls),
        TEST(test_beside_a_signature),
    };

    return cmocka_run_group_tests(tests, setup_module, teardown_all);
}
