/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A program that forks while its threads sign with one key, and whose children sign, too: no lock that a thread held at
 * the time of the fork may be waited for in a child. Built without sanitizers, whose own allocators have such locks.
 *
 *   fork-client FORKS gnutls URL                 a GnuTLS key by its URL, and the credential of a handle
 *   fork-client FORKS pkcs11 MODULE LABEL        children call C_Initialize first, as PKCS#11 wants it
 *   fork-client FORKS openssl KEY                a key file or URI
 *
 * Prints "forks N failed N signatures N failed N". Exit: 0 nothing failed, 1 something did, 2 usage or no key. */
#include "identityd/identityd-gnutls.h"

#include <dlfcn.h>
#include <gnutls/abstract.h>
#include <openssl/evp.h>
#include <openssl/store.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS       3U
#define CHILD_SECONDS 60U

typedef struct Way {
    const char *name;
    int (*open)(char **arguments);
    int (*sign)(void);     /* in any thread: 0 or negative */
    int (*in_child)(void); /* before the child's first signature */
} Way;

static const unsigned char message[] = "message";

/* ---- GnuTLS and the library itself ---- */

static gnutls_privkey_t gnutls_key;
static identityd_credential *credential;

static int gnutls_open(char **arguments) {
    char name[64] = "";

    (void) sscanf(arguments[0], "identityd:%63[^?]", name);
    return identityd_gnutls_register_url() < 0 || gnutls_privkey_init(&gnutls_key) < 0 ||
                   gnutls_privkey_import_url(gnutls_key, arguments[0], 0) < 0 ||
                   identityd_credential_open(name, "digest", &credential) < 0
               ? -1
               : 0;
}

/* That the snapshot is parsed by several threads at once, and in a child before it asks for another one, is the point
 * of the verification: it fails, since nobody is named so. */
static int verify_somebody(void) {
    const identityd_datum nobody = { message, sizeof message };

    return identityd_verify_peer(credential, &nobody, 1, "nobody", "server", 0) < 0 ? 0 : -1;
}

static int gnutls_sign(void) {
    gnutls_datum_t data = { (unsigned char *) (uintptr_t) message, sizeof message }, signature = { NULL, 0 };
    identityd_snapshot *snapshot = NULL;

    int code = gnutls_privkey_sign_data2(gnutls_key, GNUTLS_SIGN_ECDSA_SHA256, 0, &data, &signature);
    gnutls_free(signature.data);
    if (code < 0 || verify_somebody() < 0 || identityd_credential_snapshot(credential, &snapshot) < 0)
        return -1;
    identityd_snapshot_free(snapshot);
    return 0;
}

static int gnutls_in_child(void) {
    return verify_somebody() < 0 ? -1 : identityd_credential_reopen(credential);
}

/* ---- PKCS#11 ---- */

static CK_FUNCTION_LIST *module;
static char *label;
static CK_OBJECT_HANDLE object;

static int find_object(void) {
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template[] = { { CKA_CLASS, &class, sizeof class }, { CKA_LABEL, label, strlen(label) } };
    CK_SESSION_HANDLE session;
    CK_ULONG count = 0;

    if (module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        return -1;
    if (module->C_FindObjectsInit(session, template, 2) == CKR_OK) {
        (void) module->C_FindObjects(session, &object, 1, &count);
        (void) module->C_FindObjectsFinal(session);
    }
    (void) module->C_CloseSession(session);
    return count == 1 ? 0 : -1;
}

static int pkcs11_open(char **arguments) {
    void *library = dlopen(arguments[0], RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = library ? (CK_C_GetFunctionList) dlsym(library, "C_GetFunctionList") : NULL;

    label = arguments[1];
    return !get || get(&module) != CKR_OK || module->C_Initialize(NULL) != CKR_OK ? -1 : find_object();
}

static int pkcs11_sign(void) {
    CK_MECHANISM mechanism = { CKM_ECDSA_SHA256, NULL, 0 };
    unsigned char signature[512];
    CK_ULONG size = sizeof signature;
    CK_SESSION_HANDLE session;

    if (module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        return -1;
    CK_RV rv = module->C_SignInit(session, &mechanism, object);
    if (rv == CKR_OK)
        rv = module->C_Sign(session, (unsigned char *) (uintptr_t) message, sizeof message, signature, &size);
    (void) module->C_CloseSession(session);
    return rv == CKR_OK ? 0 : -1;
}

static int pkcs11_in_child(void) {
    CK_SESSION_HANDLE session;

    if (module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_CRYPTOKI_NOT_INITIALIZED)
        return -1;
    return module->C_Initialize(NULL) != CKR_OK ? -1 : find_object();
}

/* ---- OpenSSL ---- */

static EVP_PKEY *openssl_key;

static int openssl_open(char **arguments) {
    OSSL_STORE_CTX *store = OSSL_STORE_open(arguments[0], NULL, NULL, NULL, NULL);

    while (store && !openssl_key && !OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);
        if (info && OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            openssl_key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(store);
    return openssl_key ? 0 : -1;
}

static int openssl_sign(void) {
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t size = sizeof signature;

    bool good = context && EVP_DigestSignInit_ex(context, NULL, "SHA256", NULL, NULL, openssl_key, NULL) > 0 &&
                EVP_DigestSign(context, signature, &size, message, sizeof message) > 0;
    EVP_MD_CTX_free(context);
    return good ? 0 : -1;
}

static int nothing(void) {
    return 0;
}

/* ---- what is done with each ---- */

static const Way ways[] = {
    { "gnutls", gnutls_open, gnutls_sign, gnutls_in_child },
    { "pkcs11", pkcs11_open, pkcs11_sign, pkcs11_in_child },
    { "openssl", openssl_open, openssl_sign, nothing },
};

static atomic_bool stop;
static atomic_uint signatures, failed;

static void *sign_until_stopped(void *data) {
    const Way *way = data;

    while (!stop) {
        atomic_fetch_add(&signatures, 1);
        if (way->sign() < 0)
            atomic_fetch_add(&failed, 1);
    }
    return NULL;
}

static bool child_is_good(const Way *way) {
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        (void) alarm(CHILD_SECONDS);
        _exit(way->in_child() < 0 || way->sign() < 0 || way->sign() < 0);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

static int run(const Way *way, unsigned forks) {
    pthread_t threads[THREADS];
    unsigned bad = 0;

    for (unsigned i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, sign_until_stopped, (void *) (uintptr_t) way) != 0)
            return 2;
    for (unsigned i = 0; i < forks; i++) {
        (void) usleep(300 * (i % 16));
        bad += !child_is_good(way);
    }
    stop = true;
    for (unsigned i = 0; i < THREADS; i++)
        (void) pthread_join(threads[i], NULL);
    printf("forks %u failed %u signatures %u failed %u\n", forks, bad, signatures, failed);
    return bad > 0 || failed > 0 || signatures == 0;
}

int main(int argc, char *argv[]) {
    for (size_t i = 0; argc > 3 && i < sizeof ways / sizeof *ways; i++)
        if (strcmp(ways[i].name, argv[2]) == 0 && argc == (strcmp(argv[2], "pkcs11") == 0 ? 5 : 4)) {
            if (ways[i].open(argv + 3) >= 0 && ways[i].sign() >= 0)
                return run(&ways[i], (unsigned) atoi(argv[1]));
            fprintf(stderr, "fork-client: no key: %s\n", identityd_last_error());
            return 2;
        }
    fputs("fork-client FORKS gnutls URL | pkcs11 MODULE LABEL | openssl KEY\n", stderr);
    return 2;
}
