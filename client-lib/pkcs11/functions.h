/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The entry points that do something, each as PKCS#11 2.40 describes the C_ function of that name. */
#pragma once

#include <p11-kit/pkcs11.h>

/* module.c */
CK_RV c_initialize(void *init_args);
CK_RV c_finalize(void *reserved);

/* slot.c */
CK_RV c_get_info(CK_INFO *info);
CK_RV c_get_slot_list(CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count);
CK_RV c_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info);
CK_RV c_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info);
CK_RV c_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved);
CK_RV c_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count);
CK_RV c_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info);

/* session.c */
CK_RV c_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *handle);
CK_RV c_close_session(CK_SESSION_HANDLE handle);
CK_RV c_close_all_sessions(CK_SLOT_ID slot);
CK_RV c_get_session_info(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info);
CK_RV c_login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_size);
CK_RV c_logout(CK_SESSION_HANDLE handle);
CK_RV c_get_object_size(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size);
CK_RV c_get_attribute_value(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count);
CK_RV c_find_objects_init(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count);
CK_RV c_find_objects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG maximum, CK_ULONG *count);
CK_RV c_find_objects_final(CK_SESSION_HANDLE handle);
CK_RV c_generate_random(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size);
CK_RV c_seed_random(CK_SESSION_HANDLE handle, unsigned char *seed, CK_ULONG size);

/* digest.c */
CK_RV c_digest_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism);
CK_RV c_digest(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *digest,
               CK_ULONG *digest_size);
CK_RV c_digest_update(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size);
CK_RV c_digest_final(CK_SESSION_HANDLE handle, unsigned char *digest, CK_ULONG *digest_size);

/* sign.c */
CK_RV c_sign_init(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key);
CK_RV c_sign(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size, unsigned char *signature,
             CK_ULONG *signature_size);
CK_RV c_sign_update(CK_SESSION_HANDLE handle, unsigned char *part, CK_ULONG size);
CK_RV c_sign_final(CK_SESSION_HANDLE handle, unsigned char *signature, CK_ULONG *signature_size);
