/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module's symbols, C_GetFunctionList and its like, the table that they give, and the functions that this token
 * does not have: it makes, changes and destroys nothing, decrypts nothing, and leaves verifying to those who need no
 * key for it. */
#include "client-lib/entry.h"
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"

#include <string.h>

/* In a session that there is; without one the program is told that first. */
static CK_RV refuse(CK_SESSION_HANDLE handle, CK_RV rv) {
    Module *module;
    Session *session;

    CK_RV entered = module_enter(handle, &module, &session);
    if (entered != CKR_OK)
        return entered;
    module_unlock(module);
    return rv;
}

static CK_RV c_init_token(CK_SLOT_ID slot, unsigned char *pin, CK_ULONG pin_size, unsigned char *label) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, &slot, &module);
    return rv == CKR_OK ? CKR_TOKEN_WRITE_PROTECTED : rv;
}

#define REFUSE(name, rv, ...)                                                                                          \
    static CK_RV name(__VA_ARGS__) {                                                                                   \
        PRESERVE_ERRNO;                                                                                                \
                                                                                                                       \
        return refuse(session, rv);                                                                                    \
    }

REFUSE(c_init_pin, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *pin, CK_ULONG pin_len)
REFUSE(c_set_pin, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *old_pin, CK_ULONG old_len,
       unsigned char *new_pin, CK_ULONG new_len)
REFUSE(c_get_operation_state, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *operation_state,
       CK_ULONG *operation_state_len)
REFUSE(c_set_operation_state, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *operation_state,
       CK_ULONG operation_state_len, CK_OBJECT_HANDLE encryption_key, CK_OBJECT_HANDLE authentiation_key)
REFUSE(c_create_object, CKR_TOKEN_WRITE_PROTECTED, CK_SESSION_HANDLE session, CK_ATTRIBUTE *templ, CK_ULONG count,
       CK_OBJECT_HANDLE *object)
REFUSE(c_copy_object, CKR_TOKEN_WRITE_PROTECTED, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
       CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *new_object)
REFUSE(c_destroy_object, CKR_TOKEN_WRITE_PROTECTED, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
REFUSE(c_set_attribute_value, CKR_TOKEN_WRITE_PROTECTED, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
       CK_ATTRIBUTE *templ, CK_ULONG count)
REFUSE(c_encrypt_init, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key)
REFUSE(c_encrypt, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_len,
       unsigned char *encrypted_data, CK_ULONG *encrypted_data_len)
REFUSE(c_encrypt_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG part_len,
       unsigned char *encrypted_part, CK_ULONG *encrypted_part_len)
REFUSE(c_encrypt_final, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *last_encrypted_part,
       CK_ULONG *last_encrypted_part_len)
REFUSE(c_decrypt_init, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key)
REFUSE(c_decrypt, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *encrypted_data,
       CK_ULONG encrypted_data_len, unsigned char *data, CK_ULONG *data_len)
REFUSE(c_decrypt_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *encrypted_part,
       CK_ULONG encrypted_part_len, unsigned char *part, CK_ULONG *part_len)
REFUSE(c_decrypt_final, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *last_part,
       CK_ULONG *last_part_len)
REFUSE(c_digest_key, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key)
REFUSE(c_sign_recover_init, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key)
REFUSE(c_sign_recover, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_len,
       unsigned char *signature, CK_ULONG *signature_len)
REFUSE(c_verify_init, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key)
REFUSE(c_verify, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *data, CK_ULONG data_len,
       unsigned char *signature, CK_ULONG signature_len)
REFUSE(c_verify_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *part, CK_ULONG part_len)
REFUSE(c_verify_final, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *signature,
       CK_ULONG signature_len)
REFUSE(c_verify_recover_init, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE key)
REFUSE(c_verify_recover, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *signature,
       CK_ULONG signature_len, unsigned char *data, CK_ULONG *data_len)
REFUSE(c_digest_encrypt_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *part,
       CK_ULONG part_len, unsigned char *encrypted_part, CK_ULONG *encrypted_part_len)
REFUSE(c_decrypt_digest_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *encrypted_part,
       CK_ULONG encrypted_part_len, unsigned char *part, CK_ULONG *part_len)
REFUSE(c_sign_encrypt_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *part,
       CK_ULONG part_len, unsigned char *encrypted_part, CK_ULONG *encrypted_part_len)
REFUSE(c_decrypt_verify_update, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, unsigned char *encrypted_part,
       CK_ULONG encrypted_part_len, unsigned char *part, CK_ULONG *part_len)
REFUSE(c_generate_key, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_ATTRIBUTE *templ, CK_ULONG count, CK_OBJECT_HANDLE *key)
REFUSE(c_generate_key_pair, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_ATTRIBUTE *public_key_template, CK_ULONG public_key_attribute_count, CK_ATTRIBUTE *private_key_template,
       CK_ULONG private_key_attribute_count, CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
REFUSE(c_wrap_key, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key, unsigned char *wrapped_key, CK_ULONG *wrapped_key_len)
REFUSE(c_unwrap_key, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE unwrapping_key, unsigned char *wrapped_key, CK_ULONG wrapped_key_len, CK_ATTRIBUTE *templ,
       CK_ULONG attribute_count, CK_OBJECT_HANDLE *key)
REFUSE(c_derive_key, CKR_FUNCTION_NOT_SUPPORTED, CK_SESSION_HANDLE session, CK_MECHANISM *mechanism,
       CK_OBJECT_HANDLE base_key, CK_ATTRIBUTE *templ, CK_ULONG attribute_count, CK_OBJECT_HANDLE *key)
REFUSE(c_get_function_status, CKR_FUNCTION_NOT_PARALLEL, CK_SESSION_HANDLE session)
REFUSE(c_cancel_function, CKR_FUNCTION_NOT_PARALLEL, CK_SESSION_HANDLE session)

/* What does something, as programs come to it. */
#define ENTRY(function, parameters, arguments)                                                                         \
    static CK_RV enter_##function parameters {                                                                         \
        PRESERVE_ERRNO;                                                                                                \
                                                                                                                       \
        return function arguments;                                                                                     \
    }

ENTRY(c_initialize, (void *init_args), (init_args))
ENTRY(c_finalize, (void *reserved), (reserved))
ENTRY(c_init_token, (CK_SLOT_ID slot, unsigned char *pin, CK_ULONG pin_size, unsigned char *label),
      (slot, pin, pin_size, label))
ENTRY(c_get_info, (CK_INFO * info), (info))
ENTRY(c_get_slot_list, (CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count), (token_present, list, count))
ENTRY(c_get_slot_info, (CK_SLOT_ID slot, CK_SLOT_INFO *info), (slot, info))
ENTRY(c_get_token_info, (CK_SLOT_ID slot, CK_TOKEN_INFO *info), (slot, info))
ENTRY(c_wait_for_slot_event, (CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved), (flags, slot, reserved))
ENTRY(c_get_mechanism_list, (CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count), (slot, list, count))
ENTRY(c_get_mechanism_info, (CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info), (slot, type, info))
ENTRY(c_open_session, (CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *handle),
      (slot, flags, application, notify, handle))
ENTRY(c_close_session, (CK_SESSION_HANDLE handle), (handle))
ENTRY(c_close_all_sessions, (CK_SLOT_ID slot), (slot))
ENTRY(c_get_session_info, (CK_SESSION_HANDLE handle, CK_SESSION_INFO *info), (handle, info))
ENTRY(c_login, (CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_size),
      (handle, user, pin, pin_size))
ENTRY(c_logout, (CK_SESSION_HANDLE handle), (handle))
ENTRY(c_get_object_size, (CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size), (handle, object, size))
ENTRY(c_get_attribute_value,
      (CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count),
      (handle, object, template, count))
ENTRY(c_find_objects_init, (CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count),
      (handle, template, count))
ENTRY(c_find_objects, (CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG maximum, CK_ULONG *count),
      (handle, objects, maximum, count))
ENTRY(c_find_objects_final, (CK_SESSION_HANDLE handle), (handle))
ENTRY(c_generate_random, (CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size), (handle, data, size))
ENTRY(c_seed_random, (CK_SESSION_HANDLE handle, unsigned char *seed, CK_ULONG size), (handle, seed, size))
ENTRY(c_digest_init, (CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism), (handle, mechanism))
ENTRY(c_digest,
      (CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *digest, CK_ULONG *digest_size),
      (handle, data, size, digest, digest_size))
ENTRY(c_digest_update, (CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size), (handle, part, size))
ENTRY(c_digest_final, (CK_SESSION_HANDLE handle, unsigned char *digest, CK_ULONG *digest_size),
      (handle, digest, digest_size))
ENTRY(c_sign_init, (CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key), (handle, mechanism, key))
ENTRY(c_sign,
      (CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *signature,
       CK_ULONG *signature_size),
      (handle, data, size, signature, signature_size))
ENTRY(c_sign_update, (CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size), (handle, part, size))
ENTRY(c_sign_final, (CK_SESSION_HANDLE handle, unsigned char *signature, CK_ULONG *signature_size),
      (handle, signature, signature_size))

/* Not const: PKCS#11 declares it so. Nobody writes to it. */
static CK_FUNCTION_LIST functions;

/* Not the exported symbol in the table: that would be the one of libp11-kit where a program has that. */
static CK_RV c_get_function_list(CK_FUNCTION_LIST **list) {
    if (!list)
        return CKR_ARGUMENTS_BAD;
    *list = &functions;
    return CKR_OK;
}
ENTRY(c_get_function_list, (CK_FUNCTION_LIST * *list), (list))

static CK_FUNCTION_LIST functions = {
    .version = INTERFACE_VERSION,
    .C_Initialize = enter_c_initialize,
    .C_Finalize = enter_c_finalize,
    .C_GetInfo = enter_c_get_info,
    .C_GetFunctionList = enter_c_get_function_list,
    .C_GetSlotList = enter_c_get_slot_list,
    .C_GetSlotInfo = enter_c_get_slot_info,
    .C_GetTokenInfo = enter_c_get_token_info,
    .C_GetMechanismList = enter_c_get_mechanism_list,
    .C_GetMechanismInfo = enter_c_get_mechanism_info,
    .C_InitToken = enter_c_init_token,
    .C_InitPIN = c_init_pin,
    .C_SetPIN = c_set_pin,
    .C_OpenSession = enter_c_open_session,
    .C_CloseSession = enter_c_close_session,
    .C_CloseAllSessions = enter_c_close_all_sessions,
    .C_GetSessionInfo = enter_c_get_session_info,
    .C_GetOperationState = c_get_operation_state,
    .C_SetOperationState = c_set_operation_state,
    .C_Login = enter_c_login,
    .C_Logout = enter_c_logout,
    .C_CreateObject = c_create_object,
    .C_CopyObject = c_copy_object,
    .C_DestroyObject = c_destroy_object,
    .C_GetObjectSize = enter_c_get_object_size,
    .C_GetAttributeValue = enter_c_get_attribute_value,
    .C_SetAttributeValue = c_set_attribute_value,
    .C_FindObjectsInit = enter_c_find_objects_init,
    .C_FindObjects = enter_c_find_objects,
    .C_FindObjectsFinal = enter_c_find_objects_final,
    .C_EncryptInit = c_encrypt_init,
    .C_Encrypt = c_encrypt,
    .C_EncryptUpdate = c_encrypt_update,
    .C_EncryptFinal = c_encrypt_final,
    .C_DecryptInit = c_decrypt_init,
    .C_Decrypt = c_decrypt,
    .C_DecryptUpdate = c_decrypt_update,
    .C_DecryptFinal = c_decrypt_final,
    .C_DigestInit = enter_c_digest_init,
    .C_Digest = enter_c_digest,
    .C_DigestUpdate = enter_c_digest_update,
    .C_DigestKey = c_digest_key,
    .C_DigestFinal = enter_c_digest_final,
    .C_SignInit = enter_c_sign_init,
    .C_Sign = enter_c_sign,
    .C_SignUpdate = enter_c_sign_update,
    .C_SignFinal = enter_c_sign_final,
    .C_SignRecoverInit = c_sign_recover_init,
    .C_SignRecover = c_sign_recover,
    .C_VerifyInit = c_verify_init,
    .C_Verify = c_verify,
    .C_VerifyUpdate = c_verify_update,
    .C_VerifyFinal = c_verify_final,
    .C_VerifyRecoverInit = c_verify_recover_init,
    .C_VerifyRecover = c_verify_recover,
    .C_DigestEncryptUpdate = c_digest_encrypt_update,
    .C_DecryptDigestUpdate = c_decrypt_digest_update,
    .C_SignEncryptUpdate = c_sign_encrypt_update,
    .C_DecryptVerifyUpdate = c_decrypt_verify_update,
    .C_GenerateKey = c_generate_key,
    .C_GenerateKeyPair = c_generate_key_pair,
    .C_WrapKey = c_wrap_key,
    .C_UnwrapKey = c_unwrap_key,
    .C_DeriveKey = c_derive_key,
    .C_SeedRandom = enter_c_seed_random,
    .C_GenerateRandom = enter_c_generate_random,
    .C_GetFunctionStatus = c_get_function_status,
    .C_CancelFunction = c_cancel_function,
    .C_WaitForSlotEvent = enter_c_wait_for_slot_event,
};

_public_ CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    PRESERVE_ERRNO;

    return c_get_function_list(list);
}

/* ---- as PKCS#11 3.0 and later ask for functions ---- */

/* Where a module lacks these two, a program that looks for them finds those of libp11-kit, which GnuTLS brings along,
 * and asks a proxy without a slot instead (OpenSC 0.26 does). */

#ifndef HAVE_CK_INTERFACE /* p11-kit before 0.25 */
typedef struct ck_interface {
    char *pInterfaceName;
    void *pFunctionList;
    CK_FLAGS flags;
} CK_INTERFACE;

CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count);
CK_RV C_GetInterface(CK_UTF8CHAR *name, CK_VERSION *version, CK_INTERFACE **ret, CK_FLAGS flags);
#endif

/* The one that there is, and the standard's name for it. A forked child begins with C_Initialize(), as 2.40 has it:
 * CKF_INTERFACE_FORK_SAFE is not said. */
static CK_INTERFACE interface = { (char *) (uintptr_t) "PKCS 11", &functions, 0 };

_public_ CK_RV C_GetInterfaceList(CK_INTERFACE *list, CK_ULONG *count) {
    PRESERVE_ERRNO;
    if (!count)
        return CKR_ARGUMENTS_BAD;
    CK_ULONG room = *count;
    *count = 1;
    if (list && room < 1)
        return CKR_BUFFER_TOO_SMALL;
    if (list)
        *list = interface;
    return CKR_OK;
}

_public_ CK_RV C_GetInterface(CK_UTF8CHAR *name, CK_VERSION *version, CK_INTERFACE **ret, CK_FLAGS flags) {
    PRESERVE_ERRNO;
    const CK_VERSION ours = functions.version;

    if (!ret)
        return CKR_ARGUMENTS_BAD;
    if ((name && strcmp((const char *) name, interface.pInterfaceName) != 0) ||
        (version && (version->major != ours.major || version->minor != ours.minor)) || flags & ~interface.flags)
        return CKR_FUNCTION_FAILED;
    *ret = &interface;
    return CKR_OK;
}
