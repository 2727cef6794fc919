/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PKCS#11 module for tests. */
#include "pkcs11-fixture.h"

#include <dlfcn.h>
#include <gnutls/crypto.h>

CK_FUNCTION_LIST *module;

static void *library;

void *module_symbol(const char *name) {
    return dlsym(library, name);
}

void load_module(void) {
    library = dlopen(PKCS11_MODULE, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get;

    if (!library)
        fail_msg("%s", dlerror());
    *(void **) &get = dlsym(library, "C_GetFunctionList");
    assert_non_null(get);
    assert_int_equal(get(NULL), CKR_ARGUMENTS_BAD);
    assert_int_equal(get(&module), CKR_OK);
}

int setup_module(void **state) {
    load_module();
    return setup_all(state);
}

int setup_initialized(void **state) {
    setup(state);
    fake_identityd_set(
        fixture.fake,
        &(FakeIdentity) { .name = "rsa", .generation = 1, .key = fixture.rsa_key, .chain = fixture.rsa_chain });
    fake_identityd_set(fixture.fake, &(FakeIdentity) { .name = "empty", .state = "empty" });
    assert_int_equal(module->C_Initialize(NULL), CKR_OK);
    return 0;
}

int teardown_initialized(void **state) {
    (void) module->C_Finalize(NULL);
    return teardown(state);
}

CK_SESSION_HANDLE open_session(void) {
    CK_SESSION_HANDLE session = 0;

    assert_int_equal(module->C_OpenSession(1, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_OK);
    return session;
}

CK_OBJECT_HANDLE find_object(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class, const char *label) {
    CK_ATTRIBUTE template[] = {
        { CKA_CLASS, &class, sizeof(class) },
        { CKA_LABEL, (void *) (uintptr_t) label, strlen(label) },
    };
    CK_OBJECT_HANDLE found[2] = { 0, 0 };
    CK_ULONG count = 0;

    assert_int_equal(module->C_FindObjectsInit(session, template, 2), CKR_OK);
    assert_int_equal(module->C_FindObjects(session, found, 2, &count), CKR_OK);
    assert_int_equal(module->C_FindObjectsFinal(session), CKR_OK);
    assert_true(count <= 1);
    return found[0];
}

CK_RV sign_with(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key, const void *data,
                CK_ULONG size, unsigned char *signature, CK_ULONG *signature_size) {
    CK_RV rv = module->C_SignInit(session, mechanism, key);

    return rv != CKR_OK ? rv : module->C_Sign(session, (void *) (uintptr_t) data, size, signature, signature_size);
}

int verify_as(const char *chain, gnutls_sign_algorithm_t algorithm, const void *data, size_t size,
              const unsigned char *signature, CK_ULONG signature_size) {
    gnutls_datum_t der = fake_pem_to_der(chain), content = { (void *) (uintptr_t) data, (unsigned) size };
    gnutls_datum_t wanted = { (void *) (uintptr_t) signature, (unsigned) signature_size }, rs = { NULL, 0 };
    gnutls_x509_crt_t certificate;
    gnutls_pubkey_t pubkey;

    assert_int_equal(gnutls_x509_crt_init(&certificate), 0);
    assert_int_equal(gnutls_x509_crt_import(certificate, &der, GNUTLS_X509_FMT_DER), 0);
    assert_int_equal(gnutls_pubkey_init(&pubkey), 0);
    assert_int_equal(gnutls_pubkey_import_x509(pubkey, certificate, 0), 0);
    if (gnutls_pubkey_get_pk_algorithm(pubkey, NULL) == GNUTLS_PK_ECDSA) {
        gnutls_datum_t r = { wanted.data, wanted.size / 2 }, s = { wanted.data + wanted.size / 2, wanted.size / 2 };
        assert_int_equal(gnutls_encode_rs_value(&rs, &r, &s), 0);
        wanted = rs;
    }
    int result = gnutls_pubkey_verify_data2(pubkey, algorithm, 0, &content, &wanted);
    gnutls_free(rs.data);
    gnutls_pubkey_deinit(pubkey);
    gnutls_x509_crt_deinit(certificate);
    gnutls_free(der.data);
    return result;
}
