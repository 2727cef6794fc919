/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* C_Sign with CKM_ECDSA by the first private key of a PKCS#11 module: sign-pkcs11 COUNT MODULE [PIN]. COUNT 0 makes one
 * signature and prints nothing: a whole process, for whom that times. */
#include "bench/measure.h"

#include <dlfcn.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 8U

typedef struct Bench {
    CK_FUNCTION_LIST *module;
    CK_SESSION_HANDLE session;
    CK_OBJECT_HANDLE key;
} Bench;

static int complain(const char *what, CK_RV rv) {
    fprintf(stderr, "sign-pkcs11: %s: 0x%lx\n", what, rv);
    return -EIO;
}

static int sign(void *userdata) {
    const Bench *bench = userdata;
    CK_MECHANISM mechanism = { .mechanism = CKM_ECDSA };
    CK_BYTE digest[32] = { 1 }, signature[512];
    CK_ULONG size = sizeof signature;

    CK_RV rv = bench->module->C_SignInit(bench->session, &mechanism, bench->key);
    if (rv == CKR_OK)
        rv = bench->module->C_Sign(bench->session, digest, sizeof digest, signature, &size);
    return rv == CKR_OK ? 0 : complain("C_Sign", rv);
}

/* 1: `bench` has the slot's first private key; 0: it has none that can be reached. */
static int find_key(Bench *bench, CK_SLOT_ID slot, char *pin) {
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE template = { CKA_CLASS, &class, sizeof class };
    CK_FUNCTION_LIST *module = bench->module;
    CK_ULONG count = 0;

    if (module->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &bench->session) != CKR_OK)
        return 0;
    if ((!pin || module->C_Login(bench->session, CKU_USER, (CK_BYTE *) pin, strlen(pin)) == CKR_OK) &&
        module->C_FindObjectsInit(bench->session, &template, 1) == CKR_OK) {
        if (module->C_FindObjects(bench->session, &bench->key, 1, &count) != CKR_OK)
            count = 0;
        (void) module->C_FindObjectsFinal(bench->session);
    }
    if (count == 0)
        (void) module->C_CloseSession(bench->session);
    return count > 0;
}

static int open_module(Bench *bench, const char *path, char *pin) {
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get_functions = library ? (CK_C_GetFunctionList) dlsym(library, "C_GetFunctionList") : NULL;
    CK_RV rv;

    if (!get_functions || get_functions(&bench->module) != CKR_OK) {
        fprintf(stderr, "sign-pkcs11: %s\n", library ? "no C_GetFunctionList" : dlerror());
        return -EIO;
    }
    if ((rv = bench->module->C_Initialize(NULL)) != CKR_OK)
        return complain("C_Initialize", rv);
    if ((rv = bench->module->C_GetSlotList(CK_TRUE, slots, &count)) != CKR_OK)
        return complain("C_GetSlotList", rv);
    for (CK_ULONG i = 0; i < count; i++)
        if (find_key(bench, slots[i], pin))
            return 0;
    return complain("no private key in any slot", CKR_TOKEN_NOT_PRESENT);
}

int main(int argc, char *argv[]) {
    Bench bench = { 0 };
    int r;

    if (argc < 3 || argc > 4) {
        fputs("sign-pkcs11 COUNT MODULE [PIN]\n", stderr);
        return 2;
    }
    r = open_module(&bench, argv[2], argc > 3 ? argv[3] : NULL);
    if (r >= 0)
        r = strcmp(argv[1], "0") == 0 ? sign(&bench) : measure_run(argv[1], sign, &bench);
    if (bench.module)
        (void) bench.module->C_Finalize(NULL);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
