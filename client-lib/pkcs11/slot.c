/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said of the slot, of the token in it while identityd answers, and of the mechanisms. */
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"

#include <string.h>

/* Texts of PKCS#11 have a fixed width, are padded with blanks and have no NUL. */
#define SET_TEXT(field, text) set_text(field, sizeof(field), text)

static void set_text(unsigned char *field, size_t width, const char *text) {
    size_t size = strlen(text);

    memset(field, ' ', width);
    memcpy(field, text, size < width ? size : width);
}

static CK_VERSION version(void) {
    return (CK_VERSION) { 0, 1 };
}

CK_RV c_get_info(CK_INFO *info) {
    if (!module_get())
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (!info)
        return CKR_ARGUMENTS_BAD;
    *info = (CK_INFO) { .cryptokiVersion = INTERFACE_VERSION, .libraryVersion = version() };
    SET_TEXT(info->manufacturerID, "identityd");
    SET_TEXT(info->libraryDescription, "identityd PKCS#11 module");
    return CKR_OK;
}

static bool token_is_present(Module *module) {
    token_refresh(module, false);
    if (!module_lock_live(module))
        return false;
    bool present = module->token.present;
    module_unlock(module);
    return present;
}

CK_RV c_get_slot_list(CK_BBOOL token_present, CK_SLOT_ID *list, CK_ULONG *count) {
    Module *module = module_get();

    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (!count)
        return CKR_ARGUMENTS_BAD;
    CK_ULONG found = token_present && !token_is_present(module) ? 0 : 1, room = *count;
    *count = found;
    if (!list)
        return CKR_OK;
    if (room < found)
        return CKR_BUFFER_TOO_SMALL;
    if (found > 0)
        list[0] = MODULE_SLOT;
    return CKR_OK;
}

CK_RV c_get_slot_info(CK_SLOT_ID slot, CK_SLOT_INFO *info) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, info, &module);
    if (rv != CKR_OK)
        return rv;
    *info = (CK_SLOT_INFO) { .flags = CKF_REMOVABLE_DEVICE | CKF_HW_SLOT, .firmwareVersion = version() };
    if (token_is_present(module))
        info->flags |= CKF_TOKEN_PRESENT;
    SET_TEXT(info->slotDescription, "Identities of this device (identityd)");
    SET_TEXT(info->manufacturerID, "identityd");
    return CKR_OK;
}

CK_RV c_get_token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, info, &module);
    if (rv != CKR_OK)
        return rv;
    if (!token_is_present(module))
        return CKR_TOKEN_NOT_PRESENT;
    if (!module_lock_live(module))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    char serial[SERIAL_MAX + 1];
    CK_ULONG sessions = module->session_count;
    memcpy(serial, module->token.serial, sizeof(serial));
    module_unlock(module);
    *info = (CK_TOKEN_INFO) {
        .flags = CKF_RNG | CKF_WRITE_PROTECTED | CKF_TOKEN_INITIALIZED,
        .ulMaxSessionCount = SESSIONS_MAX,
        .ulSessionCount = sessions,
        .ulMaxRwSessionCount = SESSIONS_MAX,
        .ulRwSessionCount = CK_UNAVAILABLE_INFORMATION,
        .ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION,
        .ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION,
        .ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION,
        .firmwareVersion = version(),
    };
    SET_TEXT(info->label, "identityd");
    SET_TEXT(info->manufacturerID, "identityd");
    SET_TEXT(info->model, "TPM 2.0");
    SET_TEXT(info->serialNumber, serial);
    SET_TEXT(info->utcTime, "");
    return CKR_OK;
}

/* Whether there is news, which is then taken. */
static bool take_event(Module *module) {
    module_lock(module);
    bool event = module->token.event;
    module->token.event = false;
    module_unlock(module);
    return event;
}

static CK_RV wait_for_event(Module *module, bool may_block) {
    while (module_get()) {
        token_refresh(module, may_block);
        if (!module_get())
            break;
        if (take_event(module))
            return CKR_OK;
        if (!may_block)
            return CKR_NO_EVENT;
        token_wait(module, module->wake_fd);
    }
    return CKR_CRYPTOKI_NOT_INITIALIZED;
}

CK_RV c_wait_for_slot_event(CK_FLAGS flags, CK_SLOT_ID *slot, void *reserved) {
    Module *module = module_get();

    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (!slot || reserved)
        return CKR_ARGUMENTS_BAD;
    if (!module_go_inside(module))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    CK_RV rv = wait_for_event(module, (flags & CKF_DONT_BLOCK) == 0);
    module_come_out(module);
    if (rv == CKR_OK)
        *slot = MODULE_SLOT;
    return rv;
}

/* ---- mechanisms ---- */

CK_RV c_get_mechanism_list(CK_SLOT_ID slot, CK_MECHANISM_TYPE *list, CK_ULONG *count) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, count, &module);
    if (rv != CKR_OK)
        return rv;
    if (!token_is_present(module))
        return CKR_TOKEN_NOT_PRESENT;
    CK_ULONG room = *count;
    *count = mechanism_count;
    if (!list)
        return CKR_OK;
    if (room < mechanism_count)
        return CKR_BUFFER_TOO_SMALL;
    for (size_t i = 0; i < mechanism_count; i++)
        list[i] = mechanisms[i].type;
    return CKR_OK;
}

CK_RV c_get_mechanism_info(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO *info) {
    const MechanismInfo *mechanism = mechanism_find(type);
    Module *module;

    CK_RV rv = module_enter_slot(slot, info, &module);
    if (rv != CKR_OK)
        return rv;
    if (!token_is_present(module))
        return CKR_TOKEN_NOT_PRESENT;
    if (!mechanism)
        return CKR_MECHANISM_INVALID;
    if (mechanism->key_type == MECHANISM_NO_KEY) {
        *info = (CK_MECHANISM_INFO) { .flags = CKF_DIGEST };
        return CKR_OK;
    }
    bool ec = mechanism->key_type == CKK_EC;
    *info = (CK_MECHANISM_INFO) {
        .ulMinKeySize = ec ? 256 : 2048,
        .ulMaxKeySize = ec ? 384 : 3072,
        .flags = CKF_HW | CKF_SIGN | (ec ? CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS : 0),
    };
    return CKR_OK;
}
