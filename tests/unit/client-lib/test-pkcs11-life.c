/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module beside itself: C_Finalize and C_Initialize while other threads are inside, what a search sees
 * after a renewal, and what tells one device's token from another's. */
#include "pkcs11-fixture.h"

#include "common/names.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static unsigned count_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;

    while (readdir(directory))
        count++;
    (void) closedir(directory);
    return count;
}

/* ---- C_Finalize beside others ---- */

static atomic_bool stop;
static atomic_uint wrong, through;

static void expect_one_of(CK_RV rv, CK_RV other) {
    if (rv != CKR_OK && rv != CKR_CRYPTOKI_NOT_INITIALIZED && rv != other)
        wrong++;
}

/* As a program does whose threads know nothing of each other. */
static void *use(void *data) {
    while (!stop) {
        CK_SESSION_HANDLE session = 0;
        CK_OBJECT_HANDLE found[8];
        CK_ULONG count = 0;
        CK_TOKEN_INFO info;
        expect_one_of(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_TOKEN_NOT_PRESENT);
        expect_one_of(module->C_FindObjectsInit(session, NULL, 0), CKR_SESSION_HANDLE_INVALID);
        expect_one_of(module->C_FindObjects(session, found, 8, &count), CKR_SESSION_HANDLE_INVALID);
        expect_one_of(module->C_FindObjectsFinal(session), CKR_SESSION_HANDLE_INVALID);
        expect_one_of(module->C_GetTokenInfo(1, &info), CKR_TOKEN_NOT_PRESENT);
        expect_one_of(module->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
        through++;
    }
    return NULL;
}

static void *begin_and_end(void *data) {
    while (!stop) {
        expect_one_of(module->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
        expect_one_of(module->C_Finalize(NULL), CKR_OK);
    }
    return NULL;
}

static void *wait_for_events(void *data) {
    CK_SLOT_ID slot;

    while (!stop)
        expect_one_of(module->C_WaitForSlotEvent(0, &slot, NULL), CKR_OK);
    return NULL;
}

#define ROUNDS 60

static void test_lives_beside_each_other(void **state) {
    void *(*const bodies[])(void *) = { use, use, begin_and_end, wait_for_events };
    pthread_t threads[4];
    unsigned before = count_descriptors();

    stop = false;
    wrong = through = 0;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, bodies[i], NULL), 0);
    for (unsigned i = 0; i < ROUNDS || through == 0; i++) {
        expect_one_of(module->C_Finalize(NULL), CKR_OK);
        expect_one_of(module->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
    }
    stop = true;
    (void) module->C_Finalize(NULL); /* who waits for events comes out */
    for (size_t i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    (void) module->C_Finalize(NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(module->C_Initialize(NULL), CKR_OK);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    assert_int_equal(count_descriptors(), before - 1); /* but for the one that C_Initialize made before this test */
}

/* Somebody has the name and says nothing: whoever waits for him comes out with C_Finalize, which then has nothing left
 * that is waited for. */
static void *search(void *data) {
    CK_SESSION_HANDLE session = *(const CK_SESSION_HANDLE *) data;

    return (void *) (uintptr_t) module->C_FindObjectsInit(session, NULL, 0);
}

static void test_finalize_beside_a_search(void **state) {
    CK_SESSION_HANDLE session = open_session();
    sd_bus *silent = NULL;
    pthread_t threads[2];
    void *result;

    fake_identityd_leave_bus(fixture.fake);
    assert_true(sd_bus_open_system(&silent) >= 0);
    assert_true(sd_bus_request_name(silent, IDENTITYD_BUS_NAME, 0) >= 0);
    (void) usleep(1100000); /* what is known is asked anew after a second */
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, search, &session), 0);
    (void) usleep(100000);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
    for (size_t i = 0; i < 2; i++) {
        pthread_join(threads[i], &result);
        assert_int_equal((uintptr_t) result, CKR_CRYPTOKI_NOT_INITIALIZED);
    }
    sd_bus_flush_close_unref(silent);
    fake_identityd_join_bus(fixture.fake);
    assert_int_equal(module->C_Initialize(NULL), CKR_OK);
    session = open_session();
    assert_true(find_object(session, CKO_PRIVATE_KEY, "mqtt") != 0);
}

/* ---- what a search finds ---- */

static void expect_serial_of(CK_SESSION_HANDLE session, const char *chain) {
    CK_OBJECT_HANDLE object = find_object(session, CKO_CERTIFICATE, "mqtt");
    unsigned char value[4096];
    CK_ATTRIBUTE attribute = { CKA_VALUE, value, sizeof(value) };
    gnutls_datum_t der = fake_pem_to_der(chain);

    assert_int_equal(module->C_GetAttributeValue(session, object, &attribute, 1), CKR_OK);
    assert_int_equal(attribute.ulValueLen, der.size);
    assert_memory_equal(value, der.data, der.size);
    gnutls_free(der.data);
}

/* identityd has said so on the handle; nobody waits for a second to pass. */
static void test_new_certificate_at_once(void **state) {
    CK_SESSION_HANDLE session = open_session();

    expect_serial_of(session, fixture.chain);
    for (unsigned i = 0; i < 5; i++) {
        set_generation(2, "ready");
        expect_serial_of(session, fixture.next_chain);
        set_generation(1, "ready");
        expect_serial_of(session, fixture.chain);
    }
}

static CK_ULONG count_found(CK_SESSION_HANDLE session, CK_ATTRIBUTE *template, CK_ULONG size) {
    CK_OBJECT_HANDLE found[16];
    CK_ULONG count = 0;

    assert_int_equal(module->C_FindObjectsInit(session, template, size), CKR_OK);
    assert_int_equal(module->C_FindObjects(session, found, 16, &count), CKR_OK);
    assert_int_equal(module->C_FindObjectsFinal(session), CKR_OK);
    return count;
}

/* ssh-keygen -D asks for all certificates, and offers the key of each. */
static void test_issuers(void **state) {
    CK_SESSION_HANDLE session;
    CK_OBJECT_CLASS class = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    CK_BBOOL token = CK_TRUE;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof(class) },
                                { CKA_CERTIFICATE_TYPE, &type, sizeof(type) },
                                { CKA_TOKEN, &token, sizeof(token) } };
    char *chain = fake_concat(fixture.chain, fixture.ca->pem);

    fake_identityd_set(fixture.fake,
                       &(FakeIdentity) { .name = "mqtt", .generation = 1, .key = fixture.key, .chain = chain });
    session = open_session();
    assert_int_equal(count_found(session, template, 1), 2); /* of mqtt and of rsa */
    assert_int_equal(count_found(session, template, 2), 3);
    assert_int_equal(count_found(session, template, 3), 3);
    assert_int_equal(count_found(session, template + 1, 1), 3);
    assert_true(find_object(session, CKO_CERTIFICATE, "mqtt/1") != 0);
    assert_int_equal(count_found(session, NULL, 0), 7);
    free(chain);
}

static void test_serial(void **state) {
    CK_TOKEN_INFO info;

    assert_int_equal(module->C_GetTokenInfo(1, &info), CKR_OK);
    assert_memory_equal(info.serialNumber, FAKE_DEVICE_ID, sizeof(info.serialNumber));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_initialized, teardown_initialized)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_lives_beside_each_other),
        TEST(test_finalize_beside_a_search),
        TEST(test_new_certificate_at_once),
        TEST(test_issuers),
        TEST(test_serial),
    };

    return cmocka_run_group_tests(tests, setup_module, teardown_all);
}
