/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Hashes, made here and not in the TPM. An operation leaves its session while it is worked on, without any lock, as one
 * of sign.c does. */
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"
#include "common/gnutls-scheme.h"

#include <gnutls/crypto.h>

struct DigestOperation {
    gnutls_hash_hd_t running;
    CK_ULONG size; /* of what comes out */
    OperationForm form;
};

DigestOperation *digest_operation_free(DigestOperation *operation) {
    if (!operation)
        return NULL;
    gnutls_hash_deinit(operation->running, NULL);
    free(operation);
    return NULL;
}
DEFINE_CLEANUP(DigestOperation, digest_operation_free)

static CK_RV begin(Session *session, const CK_MECHANISM *mechanism) {
    if (!mechanism) { /* 3.0: ends the operation; in 2.40 an error that leaves nothing active */
        session->digesting = digest_operation_free(session->digesting);
        return CKR_ARGUMENTS_BAD;
    }
    if (session->digesting)
        return CKR_OPERATION_ACTIVE;
    const MechanismInfo *info = mechanism_find_hash(mechanism->mechanism);
    if (!info)
        return CKR_MECHANISM_INVALID;
    if (mechanism->ulParameterLen != 0)
        return CKR_MECHANISM_PARAM_INVALID;
    DigestOperation *operation = calloc(1, sizeof(*operation));
    if (!operation || gnutls_hash_init(&operation->running, scheme_hash_to_gnutls((SchemeHash) info->hash)) < 0) {
        free(operation);
        return CKR_HOST_MEMORY;
    }
    operation->size = info->hash;
    session->digesting = operation;
    return CKR_OK;
}

CK_RV c_digest_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    rv = begin(session, mechanism);
    module_unlock(module);
    return rv;
}

static CK_RV take_operation(CK_SESSION_HANDLE handle, OperationForm form, Module **ret,
                            DigestOperation **ret_operation) {
    Session *session;
    CK_RV rv = module_enter(handle, ret, &session);

    if (rv != CKR_OK)
        return rv;
    DigestOperation *operation = TAKE_PTR(session->digesting);
    module_unlock(*ret);
    if (!operation)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (!operation_keeps_form(&operation->form, form)) {
        digest_operation_free(operation);
        return CKR_OPERATION_ACTIVE;
    }
    *ret_operation = operation;
    return CKR_OK;
}

/* Gives the operation back to its session, if that is still there and began no other. */
static void put_back(Module *module, CK_SESSION_HANDLE handle, DigestOperation *operation) {
    module_lock(module);
    Session *session = module_session(module, handle);
    if (session && !session->digesting)
        session->digesting = TAKE_PTR(operation);
    module_unlock(module);
    digest_operation_free(operation);
}

static CK_RV take_part(const DigestOperation *operation, const unsigned char *part, CK_ULONG size) {
    if (!part && size > 0)
        return CKR_ARGUMENTS_BAD;
    return size == 0 || gnutls_hash(operation->running, part, size) >= 0 ? CKR_OK : CKR_FUNCTION_FAILED;
}

/* The convention for outputs: without a buffer the length is told, with one that is too small, too, and the operation
 * goes on. True: there is room. */
static bool has_room(const DigestOperation *operation, const unsigned char *digest, CK_ULONG *size, CK_RV *ret) {
    if (digest && *size >= operation->size)
        return true;
    *size = operation->size;
    *ret = digest ? CKR_BUFFER_TOO_SMALL : CKR_OK;
    return false;
}

static CK_RV finish(CK_SESSION_HANDLE handle, OperationForm form, const unsigned char *data, CK_ULONG data_size,
                    unsigned char *digest, CK_ULONG *size) {
    _cleanup_(digest_operation_free_p) DigestOperation *operation = NULL;
    Module *module;

    CK_RV rv = take_operation(handle, form, &module, &operation);
    if (rv != CKR_OK)
        return rv;
    if (!size)
        return CKR_ARGUMENTS_BAD;
    if (!has_room(operation, digest, size, &rv)) {
        put_back(module, handle, TAKE_PTR(operation));
        return rv;
    }
    rv = take_part(operation, data, data_size);
    if (rv != CKR_OK)
        return rv;
    gnutls_hash_output(operation->running, digest);
    *size = operation->size;
    return CKR_OK;
}

CK_RV c_digest(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *digest,
               CK_ULONG *digest_size) {
    return finish(handle, FORM_WHOLE, data, size, digest, digest_size);
}

CK_RV c_digest_update(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size) {
    _cleanup_(digest_operation_free_p) DigestOperation *operation = NULL;
    Module *module;

    CK_RV rv = take_operation(handle, FORM_PARTS, &module, &operation);
    if (rv != CKR_OK)
        return rv;
    rv = take_part(operation, part, size);
    if (rv == CKR_OK)
        put_back(module, handle, TAKE_PTR(operation));
    return rv;
}

CK_RV c_digest_final(CK_SESSION_HANDLE handle, unsigned char *digest, CK_ULONG *digest_size) {
    return finish(handle, FORM_PARTS, NULL, 0, digest, digest_size);
}
