/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module's entry points: what they give, and which code each wrong argument gets. */
#include "pkcs11-fixture.h"

#include <fcntl.h>
#include <gnutls/crypto.h>
#include <stdlib.h>

#define NO_SESSION 4711

/* ---- before and after ---- */

static void expect_from_all(CK_RV expected) {
    CK_ULONG count = 0;
    CK_SLOT_ID slot;
    CK_INFO info;
    CK_SLOT_INFO slot_info;
    CK_TOKEN_INFO token;
    CK_MECHANISM_INFO mechanism;
    CK_SESSION_HANDLE session;
    CK_SESSION_INFO session_info;
    unsigned char byte = 0;

    assert_int_equal(module->C_GetInfo(&info), expected);
    assert_int_equal(module->C_GetSlotList(CK_FALSE, NULL, &count), expected);
    assert_int_equal(module->C_GetSlotInfo(1, &slot_info), expected);
    assert_int_equal(module->C_GetTokenInfo(1, &token), expected);
    assert_int_equal(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), expected);
    assert_int_equal(module->C_GetMechanismList(1, NULL, &count), expected);
    assert_int_equal(module->C_GetMechanismInfo(1, CKM_ECDSA, &mechanism), expected);
    assert_int_equal(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session), expected);
    assert_int_equal(module->C_CloseSession(1), expected);
    assert_int_equal(module->C_CloseAllSessions(1), expected);
    assert_int_equal(module->C_GetSessionInfo(1, &session_info), expected);
    assert_int_equal(module->C_Login(1, CKU_USER, NULL, 0), expected);
    assert_int_equal(module->C_Logout(1), expected);
    assert_int_equal(module->C_GetObjectSize(1, 1, &count), expected);
    assert_int_equal(module->C_GetAttributeValue(1, 1, NULL, 0), expected);
    assert_int_equal(module->C_FindObjectsInit(1, NULL, 0), expected);
    assert_int_equal(module->C_FindObjects(1, NULL, 0, &count), expected);
    assert_int_equal(module->C_FindObjectsFinal(1), expected);
    assert_int_equal(module->C_SignInit(1, NULL, 1), expected);
    assert_int_equal(module->C_Sign(1, &byte, 1, NULL, &count), expected);
    assert_int_equal(module->C_SignUpdate(1, &byte, 1), expected);
    assert_int_equal(module->C_SignFinal(1, NULL, &count), expected);
    assert_int_equal(module->C_GenerateRandom(1, &byte, 1), expected);
    assert_int_equal(module->C_SeedRandom(1, &byte, 1), expected);
    assert_int_equal(module->C_DigestInit(1, NULL), expected);
    assert_int_equal(module->C_DestroyObject(1, 1), expected);
    assert_int_equal(module->C_GetFunctionStatus(1), expected);
    assert_int_equal(module->C_InitToken(1, NULL, 0, NULL), expected);
}

static void test_not_initialized(void **state) {
    expect_from_all(CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_int_equal(module->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
}

static CK_RV some_mutex(void *mutex) {
    return CKR_OK;
}

static CK_RV make_mutex(void **mutex) {
    return CKR_OK;
}

static void test_initialize(void **state) {
    CK_C_INITIALIZE_ARGS arguments = { .flags = CKF_OS_LOCKING_OK };

    assert_int_equal(module->C_Initialize(&arguments), CKR_OK);
    assert_int_equal(module->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    assert_int_equal(module->C_Finalize(&arguments), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    arguments = (CK_C_INITIALIZE_ARGS) { .CreateMutex = make_mutex, .LockMutex = some_mutex };
    assert_int_equal(module->C_Initialize(&arguments), CKR_ARGUMENTS_BAD);
    arguments.DestroyMutex = arguments.UnlockMutex = some_mutex;
    assert_int_equal(module->C_Initialize(&arguments), CKR_OK);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    arguments.pReserved = &arguments;
    assert_int_equal(module->C_Initialize(&arguments), CKR_ARGUMENTS_BAD);
    test_not_initialized(state);
}

static void test_function_list_is_whole(void **state) {
    void (*const *function)(void) = (void (*const *)(void)) & module->C_Initialize;
    size_t count = (sizeof(*module) - offsetof(CK_FUNCTION_LIST, C_Initialize)) / sizeof(*function);

    assert_int_equal(count, 68);
    for (size_t i = 0; i < count; i++)
        assert_non_null(function[i]);
    /* The way back is ours, too, and not that of libp11-kit, which GnuTLS brings along. */
    CK_FUNCTION_LIST *list = NULL;
    assert_int_equal(module->C_GetFunctionList(NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetFunctionList(&list), CKR_OK);
    assert_ptr_equal(list, module);
}

/* PKCS#11 3.0's way to the same functions. The structure is the standard's: p11-kit's header has it since 0.25. */
typedef struct Interface {
    char *name;
    CK_FUNCTION_LIST *functions;
    CK_FLAGS flags;
} Interface;

static void test_interfaces(void **state) {
    CK_RV (*list)(Interface *, CK_ULONG *), (*get)(const char *, CK_VERSION *, Interface **, CK_FLAGS);
    CK_VERSION ours = { 2, 40 }, newer = { 3, 0 };
    Interface found = { NULL, NULL, 9 }, *one = NULL;
    CK_ULONG count = 5;

    *(void **) &list = module_symbol("C_GetInterfaceList");
    *(void **) &get = module_symbol("C_GetInterface");
    assert_true(list && get);
    assert_int_equal(list(NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(list(NULL, &count), CKR_OK);
    assert_int_equal(count, 1);
    count = 0;
    assert_int_equal(list(&found, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, 1);
    assert_int_equal(list(&found, &count), CKR_OK);
    assert_string_equal(found.name, "PKCS 11");
    assert_ptr_equal(found.functions, module);
    assert_int_equal(found.flags, 0);

    assert_int_equal(get(NULL, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(get(NULL, NULL, &one, 0), CKR_OK);
    assert_ptr_equal(one->functions, module);
    assert_int_equal(get("PKCS 11", &ours, &one, 0), CKR_OK);
    assert_ptr_equal(one->functions, module);
    one = NULL;
    assert_int_equal(get("Vendor whatever", NULL, &one, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(get("PKCS 11", &newer, &one, 0), CKR_FUNCTION_FAILED);
    assert_int_equal(get("PKCS 11", NULL, &one, 1 /* CKF_INTERFACE_FORK_SAFE */), CKR_FUNCTION_FAILED);
    assert_null(one);
}

/* ---- slot and token ---- */

static void test_slot(void **state) {
    CK_SLOT_ID slots[2] = { 0, 0 };
    CK_SLOT_INFO slot;
    CK_TOKEN_INFO token;
    CK_INFO info;
    CK_ULONG count = 99;

    assert_int_equal(module->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetInfo(&info), CKR_OK);
    assert_int_equal(info.cryptokiVersion.major, 2);
    assert_int_equal(info.cryptokiVersion.minor, 40);
    assert_memory_equal(&module->version, &info.cryptokiVersion, sizeof(CK_VERSION));
    assert_int_equal(module->C_GetSlotList(CK_TRUE, NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetSlotList(CK_TRUE, NULL, &count), CKR_OK);
    assert_int_equal(count, 1);
    count = 0;
    assert_int_equal(module->C_GetSlotList(CK_TRUE, slots, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, 1);
    count = 2;
    assert_int_equal(module->C_GetSlotList(CK_TRUE, slots, &count), CKR_OK);
    assert_int_equal(count, 1);
    assert_int_equal(module->C_GetSlotInfo(slots[0], &slot), CKR_OK);
    assert_true(slot.flags & CKF_TOKEN_PRESENT);
    assert_int_equal(module->C_GetSlotInfo(2, &slot), CKR_SLOT_ID_INVALID);
    assert_int_equal(module->C_GetSlotInfo(1, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetTokenInfo(slots[0], &token), CKR_OK);
    assert_memory_equal(token.label, "identityd                       ", 32);
    assert_false(token.flags & CKF_LOGIN_REQUIRED);
    assert_int_equal(module->C_GetTokenInfo(0, &token), CKR_SLOT_ID_INVALID);
    assert_int_equal(module->C_GetTokenInfo(1, NULL), CKR_ARGUMENTS_BAD);
}

static void test_mechanisms(void **state) {
    CK_MECHANISM_TYPE list[32];
    CK_MECHANISM_INFO info;
    CK_ULONG count = 0;

    assert_int_equal(module->C_GetMechanismList(1, NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetMechanismList(7, NULL, &count), CKR_SLOT_ID_INVALID);
    assert_int_equal(module->C_GetMechanismList(1, NULL, &count), CKR_OK);
    assert_true(count > 5 && count <= 32);
    CK_ULONG all = count--;
    assert_int_equal(module->C_GetMechanismList(1, list, &count), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(count, all);
    assert_int_equal(module->C_GetMechanismList(1, list, &count), CKR_OK);
    for (CK_ULONG i = 0; i < count; i++) {
        assert_int_equal(module->C_GetMechanismInfo(1, list[i], &info), CKR_OK);
        assert_true(info.flags & CKF_SIGN || info.flags == CKF_DIGEST);
        assert_false(info.flags & (CKF_DECRYPT | CKF_GENERATE_KEY_PAIR));
    }
    assert_int_equal(module->C_GetMechanismInfo(1, CKM_AES_GCM, &info), CKR_MECHANISM_INVALID);
    assert_int_equal(module->C_GetMechanismInfo(1, CKM_ECDSA, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetMechanismInfo(9, CKM_ECDSA, &info), CKR_SLOT_ID_INVALID);
}

/* ---- sessions ---- */

static void test_sessions(void **state) {
    CK_SESSION_HANDLE session, other;
    CK_SESSION_INFO info;

    assert_int_equal(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_OpenSession(1, 0, NULL, NULL, &session), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    assert_int_equal(module->C_OpenSession(0, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_SLOT_ID_INVALID);
    session = open_session();
    assert_int_equal(module->C_OpenSession(1, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &other), CKR_OK);
    assert_int_not_equal(session, other);
    assert_int_equal(module->C_GetSessionInfo(session, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetSessionInfo(session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_PUBLIC_SESSION);
    assert_int_equal(module->C_GetSessionInfo(other, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RW_PUBLIC_SESSION);

    assert_int_equal(module->C_Logout(session), CKR_USER_NOT_LOGGED_IN);
    assert_int_equal(module->C_Login(session, CKU_SO, NULL, 0), CKR_USER_TYPE_INVALID);
    assert_int_equal(module->C_Login(session, CKU_USER, NULL, 4), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_Login(session, CKU_CONTEXT_SPECIFIC, NULL, 0), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_Login(session, CKU_USER, (unsigned char *) "1234", 4), CKR_OK);
    assert_int_equal(module->C_Login(other, CKU_USER, NULL, 0), CKR_USER_ALREADY_LOGGED_IN);
    assert_int_equal(module->C_GetSessionInfo(session, &info), CKR_OK);
    assert_int_equal(info.state, CKS_RO_USER_FUNCTIONS);
    assert_int_equal(module->C_Logout(session), CKR_OK);

    assert_int_equal(module->C_CloseSession(session), CKR_OK);
    assert_int_equal(module->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_CloseAllSessions(3), CKR_SLOT_ID_INVALID);
    assert_int_equal(module->C_CloseAllSessions(1), CKR_OK);
    assert_int_equal(module->C_GetSessionInfo(other, &info), CKR_SESSION_HANDLE_INVALID);
}

static void test_session_limit(void **state) {
    CK_SESSION_HANDLE session;
    CK_RV rv = CKR_OK;
    unsigned opened = 0;

    while (opened < 5000 && (rv = module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session)) == CKR_OK)
        opened++;
    assert_int_equal(rv, CKR_SESSION_COUNT);
    assert_int_equal(opened, 1024);
    assert_int_equal(module->C_CloseAllSessions(1), CKR_OK);
    open_session();
}

static void test_no_such_session(void **state) {
    CK_MECHANISM mechanism = { CKM_ECDSA, NULL, 0 };
    unsigned char byte;
    CK_ULONG count = 1;

    assert_int_equal(module->C_Login(NO_SESSION, CKU_USER, NULL, 0), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_GetObjectSize(NO_SESSION, 1, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_GetAttributeValue(NO_SESSION, 1, NULL, 0), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_FindObjectsInit(NO_SESSION, NULL, 0), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_FindObjects(NO_SESSION, NULL, 0, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_FindObjectsFinal(NO_SESSION), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_SignInit(NO_SESSION, &mechanism, 1), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_Sign(NO_SESSION, &byte, 1, &byte, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_SignUpdate(NO_SESSION, &byte, 1), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_SignFinal(NO_SESSION, &byte, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_GenerateRandom(NO_SESSION, &byte, 1), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_DigestInit(NO_SESSION, &mechanism), CKR_SESSION_HANDLE_INVALID);
    /* what it does not do is no reason to take the session for one */
    assert_int_equal(module->C_CreateObject(NO_SESSION, NULL, 0, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_GenerateKey(NO_SESSION, &mechanism, NULL, 0, &count), CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(module->C_InitToken(NO_SESSION, NULL, 0, NULL), CKR_SLOT_ID_INVALID);
}

static void test_random(void **state) {
    unsigned char zero[4096] = { 0 }, data[4096] = { 0 };
    CK_SESSION_HANDLE session = open_session();

    assert_int_equal(module->C_GenerateRandom(session, data, sizeof(data)), CKR_OK);
    assert_memory_not_equal(data + 4064, zero, 32);
    assert_int_equal(module->C_GenerateRandom(session, NULL, 4), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GenerateRandom(session, NULL, 0), CKR_OK);
    assert_int_equal(module->C_SeedRandom(session, data, 4), CKR_RANDOM_SEED_NOT_SUPPORTED);
    assert_int_equal(module->C_SeedRandom(session, NULL, 4), CKR_ARGUMENTS_BAD);
}

/* ---- objects ---- */

static CK_ULONG count_found(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG attributes) {
    CK_OBJECT_HANDLE one;
    CK_ULONG count, sum = 0;

    assert_int_equal(module->C_FindObjectsInit(session, template, attributes), CKR_OK);
    do {
        assert_int_equal(module->C_FindObjects(session, &one, 1, &count), CKR_OK);
        sum += count;
    } while (count > 0);
    assert_int_equal(module->C_FindObjectsFinal(session), CKR_OK);
    return sum;
}

static void test_search(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[300] = { { CKA_CLASS, &class, sizeof(class) }, { CKA_ID, (void *) "mqtt", 4 } };
    CK_OBJECT_HANDLE found[1];
    CK_ULONG count;

    assert_int_equal(count_found(session, NULL, 0), 6); /* two identities; one has no certificate */
    assert_int_equal(count_found(session, template, 1), 2);
    assert_int_equal(count_found(session, template, 2), 1);
    class = 99;
    assert_int_equal(count_found(session, template, 1), 0);
    class = CKO_PRIVATE_KEY;
    template[1].ulValueLen = 3;
    assert_int_equal(count_found(session, template, 2), 0);
    template[1] = (CK_ATTRIBUTE) { 0x12345678, NULL, 0 };
    assert_int_equal(count_found(session, template, 2), 0);
    template[1] = (CK_ATTRIBUTE) { CKA_ID, NULL, 4 };
    assert_int_equal(module->C_FindObjectsInit(session, template, 2), CKR_ATTRIBUTE_VALUE_INVALID);
    assert_int_equal(module->C_FindObjectsInit(session, NULL, 2), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_FindObjectsInit(session, template, 300), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_FindObjects(session, found, 1, &count), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    assert_int_equal(module->C_FindObjectsInit(session, NULL, 0), CKR_OK);
    assert_int_equal(module->C_FindObjectsInit(session, NULL, 0), CKR_OPERATION_ACTIVE);
    assert_int_equal(module->C_FindObjects(session, found, 1, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_FindObjects(session, NULL, 1, &count), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_FindObjects(session, NULL, 0, &count), CKR_OK);
    assert_int_equal(count, 0);
    /* closed in the middle: nothing leaks */
}

static void test_attributes(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE certificate = find_object(session, CKO_CERTIFICATE, "mqtt");
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt"),
                     pub = find_object(session, CKO_PUBLIC_KEY, "mqtt");
    gnutls_datum_t der = fake_pem_to_der(fixture.chain);
    unsigned char buffer[2048], small[2], point[128], params[32];
    CK_BBOOL sensitive = CK_FALSE;
    CK_ULONG size = 0;
    CK_ATTRIBUTE get[] = { { CKA_VALUE, NULL, 0 },
                           { CKA_ID, small, sizeof(small) },
                           { CKA_MODULUS, buffer, 4 },
                           { CKA_VALUE, buffer, sizeof(buffer) } };

    assert_true(certificate && key && pub);
    assert_int_not_equal(module->C_GetAttributeValue(session, certificate, get, 4), CKR_OK);
    assert_int_equal(get[0].ulValueLen, der.size);
    assert_int_equal(get[1].ulValueLen, CK_UNAVAILABLE_INFORMATION); /* too small */
    assert_int_equal(get[2].ulValueLen, CK_UNAVAILABLE_INFORMATION); /* has none */
    assert_int_equal(get[3].ulValueLen, der.size);                   /* given all the same */
    assert_memory_equal(buffer, der.data, der.size);
    gnutls_free(der.data);
    get[1].ulValueLen = sizeof(small);
    assert_int_equal(module->C_GetAttributeValue(session, certificate, &get[1], 1), CKR_BUFFER_TOO_SMALL);
    assert_int_equal(module->C_GetAttributeValue(session, certificate, &get[2], 1), CKR_ATTRIBUTE_TYPE_INVALID);
    assert_int_equal(module->C_GetAttributeValue(session, certificate, NULL, 1), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetAttributeValue(session, certificate, get, 0), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetAttributeValue(session, 999999, get, 1), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(module->C_GetAttributeValue(session, 0, get, 1), CKR_OBJECT_HANDLE_INVALID);
    assert_int_equal(module->C_GetAttributeValue(session, (CK_OBJECT_HANDLE) -1, get, 1), CKR_OBJECT_HANDLE_INVALID);

    for (CK_ATTRIBUTE_TYPE type = CKA_PRIVATE_EXPONENT; type <= CKA_COEFFICIENT; type++) {
        CK_ATTRIBUTE secret = { type, buffer, sizeof(buffer) };
        assert_int_equal(module->C_GetAttributeValue(session, key, &secret, 1), CKR_ATTRIBUTE_SENSITIVE);
        assert_int_equal(secret.ulValueLen, CK_UNAVAILABLE_INFORMATION);
    }
    CK_ATTRIBUTE value = { CKA_VALUE, buffer, sizeof(buffer) };
    assert_int_equal(module->C_GetAttributeValue(session, key, &value, 1), CKR_ATTRIBUTE_SENSITIVE);
    CK_ATTRIBUTE flags = { CKA_SENSITIVE, &sensitive, sizeof(sensitive) };
    assert_int_equal(module->C_GetAttributeValue(session, key, &flags, 1), CKR_OK);
    assert_int_equal(sensitive, CK_TRUE);

    CK_ATTRIBUTE curve[] = { { CKA_EC_PARAMS, params, sizeof(params) }, { CKA_EC_POINT, point, sizeof(point) } };
    assert_int_equal(module->C_GetAttributeValue(session, pub, curve, 2), CKR_OK);
    assert_int_equal(curve[0].ulValueLen, 10);
    assert_memory_equal(params, "\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07", 10);
    assert_int_equal(curve[1].ulValueLen, 67); /* OCTET STRING of an uncompressed point */
    assert_memory_equal(point, "\x04\x41\x04", 3);
    assert_int_equal(module->C_GetObjectSize(session, pub, &size), CKR_OK);
    assert_true(size > 100);
    assert_int_equal(module->C_GetObjectSize(session, pub, NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(module->C_GetObjectSize(session, 99999, &size), CKR_OBJECT_HANDLE_INVALID);
}

static void test_nothing_is_made_or_destroyed(void **state) {
    CK_SESSION_HANDLE session = open_session();
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt"), other;
    CK_MECHANISM mechanism = { CKM_EC_KEY_PAIR_GEN, NULL, 0 };
    CK_ULONG size = 0;

    assert_int_equal(module->C_CreateObject(session, NULL, 0, &other), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_CopyObject(session, key, NULL, 0, &other), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_DestroyObject(session, key), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_SetAttributeValue(session, key, NULL, 0), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_InitToken(1, NULL, 0, NULL), CKR_TOKEN_WRITE_PROTECTED);
    assert_int_equal(module->C_GenerateKeyPair(session, &mechanism, NULL, 0, NULL, 0, &key, &other),
                     CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(module->C_WrapKey(session, &mechanism, key, key, NULL, &size), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(module->C_DecryptInit(session, &mechanism, key), CKR_FUNCTION_NOT_SUPPORTED);
    assert_int_equal(module->C_CancelFunction(session), CKR_FUNCTION_NOT_PARALLEL);
    assert_int_not_equal(find_object(session, CKO_PRIVATE_KEY, "mqtt"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_initialized, teardown_initialized)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_initialized),
        cmocka_unit_test(test_initialize),
        cmocka_unit_test(test_function_list_is_whole),
        cmocka_unit_test(test_interfaces),
        TEST(test_slot),
        TEST(test_mechanisms),
        TEST(test_sessions),
        TEST(test_session_limit),
        TEST(test_no_such_session),
        TEST(test_random),
        TEST(test_search),
        TEST(test_attributes),
        TEST(test_nothing_is_made_or_destroyed),
    };

    return cmocka_run_group_tests(tests, setup_module, teardown_all);
}
