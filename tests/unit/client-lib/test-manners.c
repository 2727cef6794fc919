/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Manners in other people's programs: what the libraries, the PKCS#11 module and OpenSSL's provider leave as they found
 * it: errno, signals, the locale, threads, and descriptors that no program started later inherits. That no entry
 * forgets errno is what tests/house sees to. */
#include "openssl-fixture.h"
#include "pkcs11-fixture.h"

#include "common/key-reference.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define THEIRS 4711 /* no errno of anybody's */

static unsigned count_entries(const char *path) {
    DIR *directory = opendir(path);
    unsigned count = 0;

    assert_non_null(directory);
    while (readdir(directory))
        count++;
    (void) closedir(directory);
    return count;
}

/* Descriptors that a program which is started would have, too. */
static unsigned count_inherited(void) {
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        count += flags >= 0 && !(flags & FD_CLOEXEC);
    }
    return count;
}

typedef struct Around {
    sigset_t mask;
    void (*handlers[32])(int);
    unsigned threads;
    unsigned inherited; /* descriptors */
    char locale[64];
} Around;

static Around look_around(void) {
    Around around = { .threads = count_entries("/proc/self/task"), .inherited = count_inherited() };

    assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &around.mask), 0);
    for (int i = 1; i < 32; i++) {
        struct sigaction action;
        assert_int_equal(sigaction(i, NULL, &action), 0);
        around.handlers[i] = action.sa_handler;
    }
    (void) snprintf(around.locale, sizeof(around.locale), "%s", setlocale(LC_ALL, NULL));
    return around;
}

static void expect_the_same(const Around *before) {
    const Around now = look_around();

    for (int i = 1; i < 32; i++) {
        assert_int_equal(sigismember(&now.mask, i), sigismember(&before->mask, i));
        assert_ptr_equal(now.handlers[i], before->handlers[i]);
    }
    assert_int_equal(now.threads, before->threads);
    assert_string_equal(now.locale, before->locale);
}

#define EXPECT_ERRNO(call)                                                                                             \
    do {                                                                                                               \
        errno = THEIRS;                                                                                                \
        (void) (call);                                                                                                 \
        if (errno != THEIRS)                                                                                           \
            fail_msg("%s: errno is %d (%s)", #call, errno, strerror(errno));                                           \
    } while (0)

/* ---- the library ---- */

static void test_library(void **state) {
    identityd_credential *credential = NULL, *none = NULL;
    identityd_snapshot *snapshot = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size = 0;
    const Around before = look_around();

    EXPECT_ERRNO(identityd_credential_open("nobody", "digest", &none));
    EXPECT_ERRNO(identityd_credential_open("../x", "digest", &none));
    EXPECT_ERRNO(identityd_credential_open("mqtt", "digest", &credential));
    assert_non_null(credential);
    EXPECT_ERRNO(identityd_credential_process(credential)); /* for which nothing has come: EAGAIN, inside */
    EXPECT_ERRNO(identityd_credential_fd(credential));
    EXPECT_ERRNO(identityd_credential_snapshot(credential, &snapshot));
    EXPECT_ERRNO(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size));
    EXPECT_ERRNO(identityd_sign_message(credential, 9, P256, "x", 1, signature, &size));
    assert_int_equal(count_inherited(), before.inherited);
    fake_identityd_close_handles(fixture.fake);
    EXPECT_ERRNO(identityd_sign_message(credential, 0, P256, "x", 1, signature, &size));
    EXPECT_ERRNO(identityd_credential_reopen(credential));
    fake_identityd_leave_bus(fixture.fake);
    EXPECT_ERRNO(identityd_credential_reopen(credential));
    fake_identityd_join_bus(fixture.fake);
    EXPECT_ERRNO(identityd_credential_from_fd(-1, &none));
    EXPECT_ERRNO(identityd_snapshot_free(snapshot));
    EXPECT_ERRNO(identityd_credential_free(credential));
    expect_the_same(&before);
}

/* ---- PKCS#11 ---- */

typedef CK_RV (*AnyFunction)(CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG, CK_ULONG);

/* Each function of the table, with nothing in its hands. C_Initialize and C_Finalize are among them. */
static void test_pkcs11_table(void **state) {
    const size_t first = offsetof(CK_FUNCTION_LIST, C_Initialize) / sizeof(void *);
    const Around before = look_around();

    for (size_t round = 0; round < 2; round++) {
        for (size_t i = first; i < sizeof(CK_FUNCTION_LIST) / sizeof(void *); i++) {
            AnyFunction function;
            memcpy(&function, (const char *) module + i * sizeof(void *), sizeof(function));
            errno = THEIRS;
            (void) function(0, 0, 0, 0, 0, 0, 0, 0);
            if (errno != THEIRS)
                fail_msg("function %zu of the table: errno is %d", i - first, errno);
        }
        fake_identityd_leave_bus(fixture.fake); /* and once without identityd */
    }
    fake_identityd_join_bus(fixture.fake);
    (void) module->C_Finalize(NULL);
    expect_the_same(&before);
}

static void test_pkcs11(void **state) {
    const Around before = look_around();
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    CK_SESSION_HANDLE session = 0;
    unsigned char signature[64], random[8];
    CK_ULONG size = sizeof(signature), count = 0;
    CK_TOKEN_INFO info;

    EXPECT_ERRNO(module->C_Initialize(NULL));
    EXPECT_ERRNO(module->C_GetTokenInfo(1, &info));
    EXPECT_ERRNO(module->C_GetSlotList(CK_TRUE, NULL, &count));
    EXPECT_ERRNO(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session));
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    EXPECT_ERRNO(module->C_FindObjectsInit(session, NULL, 0));
    EXPECT_ERRNO(module->C_SignInit(session, &mechanism, key));
    EXPECT_ERRNO(module->C_Sign(session, (unsigned char *) signature, 3, signature, &size));
    EXPECT_ERRNO(module->C_GenerateRandom(session, random, sizeof(random)));
    EXPECT_ERRNO(module->C_WaitForSlotEvent(CKF_DONT_BLOCK, &count, NULL));
    assert_int_equal(count_inherited(), before.inherited);
    fake_identityd_close_handles(fixture.fake);
    EXPECT_ERRNO(module->C_SignInit(session, &mechanism, key));
    EXPECT_ERRNO(module->C_Sign(session, (unsigned char *) signature, 3, signature, &size));
    EXPECT_ERRNO(module->C_Finalize(NULL));
    expect_the_same(&before);
}

/* ---- OpenSSL's provider ---- */

static EVP_PKEY *read_key_file(const char *name, uint32_t generation) {
    _cleanup_bytes_ Bytes pem = BYTES_NULL;

    assert_int_equal(key_reference_to_pem(name, generation, &pem), 0);
    BIO *bio = BIO_new_mem_buf(pem.data, (int) pem.size);
    EVP_PKEY *key = PEM_read_bio_PrivateKey_ex(bio, NULL, NULL, NULL, with_identities, NULL);
    BIO_free(bio);
    return key;
}

static void sign_once(EVP_PKEY *key, bool verify) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    uint8_t signature[512];
    size_t size = sizeof(signature);

    EXPECT_ERRNO(EVP_DigestSignInit_ex(context, NULL, "SHA256", with_identities, NULL, key, NULL));
    EXPECT_ERRNO(EVP_DigestSign(context, signature, &size, (const uint8_t *) "x", 1));
    if (verify) {
        EXPECT_ERRNO(EVP_DigestVerifyInit_ex(context, NULL, "SHA256", with_identities, NULL, key, NULL));
        EXPECT_ERRNO(EVP_DigestVerify(context, signature, size, (const uint8_t *) "x", 1));
    }
    EXPECT_ERRNO(EVP_MD_CTX_free(context));
}

static void test_provider(void **state) {
    const Around before = look_around();
    EVP_PKEY *key = NULL, *copy = NULL;
    X509 *certificate = certificate_of("mqtt"), *other = certificate_of("rsa");

    EXPECT_ERRNO(key = read_key_file("mqtt", 1)); /* a URI OpenSSL tries as a file first, and sets errno itself */
    assert_non_null(key);
    EXPECT_ERRNO(read_key_file("mqtt", 9));
    EXPECT_ERRNO(read_key_file("nobody", 1));
    EXPECT_ERRNO(X509_check_private_key(certificate, key));
    EXPECT_ERRNO(X509_check_private_key(other, key));
    EXPECT_ERRNO(copy = EVP_PKEY_dup(key));
    sign_once(key, true);
    assert_int_equal(count_inherited(), before.inherited);
    fake_identityd_close_handles(fixture.fake);
    sign_once(key, true);
    fake_identityd_close_handles(fixture.fake);
    fake_identityd_leave_bus(fixture.fake);
    sign_once(key, false); /* which fails */
    fake_identityd_join_bus(fixture.fake);
    EXPECT_ERRNO(EVP_PKEY_free(copy));
    EXPECT_ERRNO(EVP_PKEY_free(key));
    X509_free(certificate);
    X509_free(other);
    ERR_clear_error();
    expect_the_same(&before);
}

/* ---- dlclose() and OPENSSL_cleanup() ---- */

/* The modules stay where they are: what a program has of them goes on, and the next dlopen() finds the same. */
static void test_dlclose(void **state) {
    void *library = dlopen(PKCS11_MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *list = NULL;

    assert_non_null(library);
    *(void **) &get = dlsym(library, "C_GetFunctionList");
    assert_int_equal(module->C_Initialize(NULL), CKR_OK);
    CK_SESSION_HANDLE session = open_session();
    for (unsigned i = 0; i < 3; i++)
        (void) dlclose(library); /* more often than it was opened */
    CK_OBJECT_HANDLE key = find_object(session, CKO_PRIVATE_KEY, "mqtt");
    assert_true(key != 0);
    assert_int_equal(get(&list), CKR_OK);
    assert_ptr_equal(list, module);
    assert_int_equal(module->C_Finalize(NULL), CKR_OK);
}

/* A child, since OpenSSL does not come back from that: what is left of ours can be freed, and the process ends. */
static int clean_up(void *userdata) {
    EVP_PKEY *key = load_identity("mqtt");
    identityd_credential *credential = NULL;
    uint8_t signature[IDENTITYD_SIGNATURE_MAX];
    size_t size;

    if (!key || identityd_credential_open("mqtt", "digest", &credential) < 0)
        return 1;
    EVP_PKEY_free(key);
    openssl_library_free(with_identities);
    OPENSSL_cleanup();
    /* libidentityd knows nothing of OpenSSL. */
    int r = identityd_sign_message(credential, 0, P256, "x", 1, signature, &size);
    identityd_credential_free(credential);
    return r < 0 ? 2 : 0;
}

static void test_openssl_cleanup(void **state) {
    expect_child(clean_up, NULL);
}

static int setup_both(void **state) {
    load_module();
    return setup_provider(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_identities, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_library),  TEST(test_pkcs11_table), TEST(test_pkcs11),
        TEST(test_provider), TEST(test_dlclose),      TEST(test_openssl_cleanup),
    };

    return cmocka_run_group_tests(tests, setup_both, teardown_provider);
}
