/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions, searches, attributes and random bytes. */
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"

#include <string.h>
#include <sys/random.h>

void session_free(Session *session) {
    if (!session)
        return;
    free(session->found);
    sign_operation_free(session->signing);
    digest_operation_free(session->digesting);
    free(session);
}

/* ---- sessions ---- */

/* Read-write sessions are let in, though there is nothing to write: programs ask for them out of habit (pkcs11-tool
 * --test). */
static CK_RV add_session(Module *module, CK_FLAGS flags, CK_SESSION_HANDLE *ret) {
    if (!module->token.present)
        return CKR_TOKEN_NOT_PRESENT;
    if (module->session_count == SESSIONS_MAX)
        return CKR_SESSION_COUNT;
    Session *session = calloc(1, sizeof(*session));
    if (!session)
        return CKR_HOST_MEMORY;
    session->handle = ++module->last_session;
    session->is_read_write = (flags & CKF_RW_SESSION) != 0;
    module->sessions[module->session_count++] = session;
    *ret = session->handle;
    return CKR_OK;
}

CK_RV c_open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *handle) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, handle, &module);
    if (rv != CKR_OK)
        return rv;
    if (!(flags & CKF_SERIAL_SESSION))
        return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    token_refresh(module, false);
    if (!module_lock_live(module))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    rv = add_session(module, flags, handle);
    module_unlock(module);
    return rv;
}

static void after_close(Module *module) {
    if (module->session_count == 0)
        module->is_logged_in = false;
}

CK_RV c_close_session(CK_SESSION_HANDLE handle) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    for (size_t i = 0; i < module->session_count; i++)
        if (module->sessions[i] == session) {
            module->sessions[i] = module->sessions[--module->session_count];
            break;
        }
    after_close(module);
    module_unlock(module);
    session_free(session);
    return CKR_OK;
}

CK_RV c_close_all_sessions(CK_SLOT_ID slot) {
    Module *module;

    CK_RV rv = module_enter_slot(slot, &slot, &module);
    if (rv != CKR_OK)
        return rv;
    if (!module_lock_live(module))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    while (module->session_count > 0)
        session_free(module->sessions[--module->session_count]);
    after_close(module);
    module_unlock(module);
    return CKR_OK;
}

static CK_STATE session_state(bool is_read_write, bool is_logged_in) {
    if (is_read_write)
        return is_logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
    return is_logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
}

CK_RV c_get_session_info(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    if (info)
        *info = (CK_SESSION_INFO) {
            .slotID = MODULE_SLOT,
            .state = session_state(session->is_read_write, module->is_logged_in),
            .flags = CKF_SERIAL_SESSION | (session->is_read_write ? CKF_RW_SESSION : 0),
        };
    module_unlock(module);
    return info ? CKR_OK : CKR_ARGUMENTS_BAD;
}

/* Nobody has to log in: identityd decides by who the process is. Programs that do it all the same are not turned away,
 * and gain nothing. */
CK_RV c_login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, unsigned char *pin, CK_ULONG pin_size) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    if (user != CKU_USER)
        rv = user == CKU_CONTEXT_SPECIFIC ? CKR_OPERATION_NOT_INITIALIZED : CKR_USER_TYPE_INVALID;
    else if (!pin && pin_size > 0)
        rv = CKR_ARGUMENTS_BAD;
    else if (module->is_logged_in)
        rv = CKR_USER_ALREADY_LOGGED_IN;
    else
        module->is_logged_in = true;
    module_unlock(module);
    return rv;
}

CK_RV c_logout(CK_SESSION_HANDLE handle) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    rv = module->is_logged_in ? CKR_OK : CKR_USER_NOT_LOGGED_IN;
    module->is_logged_in = false;
    module_unlock(module);
    return rv;
}

/* ---- attributes ---- */

/* Attributes that a private key has but nobody gets. */
static bool is_secret(const Object *object, CK_ATTRIBUTE_TYPE type) {
    if (object->class != CKO_PRIVATE_KEY)
        return false;
    switch (type) {
    case CKA_VALUE:
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return true;
    default:
        return false;
    }
}

/* One attribute of a template, by the five rules of C_GetAttributeValue. */
static CK_RV get_attribute(const Object *object, CK_ATTRIBUTE *wanted) {
    const Attribute *attribute = object_attribute(object, wanted->type);

    if (!attribute) {
        wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return is_secret(object, wanted->type) ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (!wanted->pValue) {
        wanted->ulValueLen = attribute->value.size;
        return CKR_OK;
    }
    if (wanted->ulValueLen < attribute->value.size) {
        wanted->ulValueLen = CK_UNAVAILABLE_INFORMATION;
        return CKR_BUFFER_TOO_SMALL;
    }
    if (attribute->value.size > 0)
        memcpy(wanted->pValue, attribute->value.data, attribute->value.size);
    wanted->ulValueLen = attribute->value.size;
    return CKR_OK;
}

CK_RV c_get_attribute_value(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template, CK_ULONG count) {
    Module *module;
    Session *session;
    size_t index;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    View *view = token_find(&module->token, object, &index);
    if (!view)
        rv = CKR_OBJECT_HANDLE_INVALID;
    else if (!template || count == 0 || count > TEMPLATE_MAX)
        rv = CKR_ARGUMENTS_BAD;
    else
        for (CK_ULONG i = 0; i < count; i++) {
            CK_RV one = get_attribute(&view->objects[index], &template[i]);
            if (rv == CKR_OK)
                rv = one; /* any of the reasons may be told; all attributes are looked at */
        }
    module_unlock(module);
    view_unref(view);
    return rv;
}

CK_RV c_get_object_size(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ULONG *size) {
    Module *module;
    Session *session;
    CK_ULONG sum = 0;
    size_t index;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    View *view = token_find(&module->token, object, &index);
    module_unlock(module);
    if (!view)
        return CKR_OBJECT_HANDLE_INVALID;
    for (size_t i = 0; i < view->objects[index].count; i++)
        sum += view->objects[index].attributes[i].value.size;
    view_unref(view);
    if (!size)
        return CKR_ARGUMENTS_BAD;
    *size = sum;
    return CKR_OK;
}

/* ---- searches ---- */

static CK_RV check_template(const CK_ATTRIBUTE *template, CK_ULONG count) {
    if (count > TEMPLATE_MAX || (count > 0 && !template))
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < count; i++)
        if (!template[i].pValue && template[i].ulValueLen > 0)
            return CKR_ATTRIBUTE_VALUE_INVALID;
    return CKR_OK;
}

/* Who asks for all certificates and for nothing else of them gets those of the identities, and not those of their CAs:
 * ssh-keygen -D offers each that it finds as a key to log in with. They are found by anything more. */
static bool wants_issuers(const CK_ATTRIBUTE *template, CK_ULONG count) {
    return count != 1 || template[0].type != CKA_CLASS;
}

static void find_in(const TokenEntry *entry, const CK_ATTRIBUTE *template, CK_ULONG count, Session *session) {
    const View *view = entry->views[0];
    size_t end = wants_issuers(template, count) ? view->object_count : OBJECT_FIRST_ISSUER;

    for (size_t i = 0; i < end && session->found_count < FOUND_MAX; i++)
        if (object_matches(&view->objects[i], template, count))
            session->found[session->found_count++] = view_handle(view, i);
}

static CK_RV begin_search(const Module *module, Session *session, const CK_ATTRIBUTE *template, CK_ULONG count) {
    if (session->is_searching)
        return CKR_OPERATION_ACTIVE;
    CK_RV rv = check_template(template, count);
    if (rv != CKR_OK)
        return rv;
    session->found = calloc(FOUND_MAX, sizeof(*session->found));
    if (!session->found)
        return CKR_HOST_MEMORY;
    session->found_count = session->found_next = 0;
    session->is_searching = true;
    for (size_t i = 0; i < module->token.count; i++)
        if (module->token.entries[i].listed)
            find_in(&module->token.entries[i], template, count, session);
    return CKR_OK;
}

/* A search is where a program looks whether there is something new: so is identityd asked, at once where an identity
 * has said that it changed, else at most once a second. */
CK_RV c_find_objects_init(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *template, CK_ULONG count) {
    Module *module;
    Session *session;

    module = module_get();
    if (module)
        token_refresh(module, false);
    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    rv = begin_search(module, session, template, count);
    module_unlock(module);
    return rv;
}

CK_RV c_find_objects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG maximum, CK_ULONG *count) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    if (!session->is_searching)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    else if (!count || (!objects && maximum > 0))
        rv = CKR_ARGUMENTS_BAD;
    else
        for (*count = 0; *count < maximum && session->found_next < session->found_count; (*count)++)
            objects[*count] = session->found[session->found_next++];
    module_unlock(module);
    return rv;
}

CK_RV c_find_objects_final(CK_SESSION_HANDLE handle) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    if (!session->is_searching)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    free(TAKE_PTR(session->found));
    session->is_searching = false;
    module_unlock(module);
    return rv;
}

/* ---- random ---- */

CK_RV c_generate_random(CK_SESSION_HANDLE handle, unsigned char *data, CK_ULONG size) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    module_unlock(module);
    if (!data)
        return size > 0 ? CKR_ARGUMENTS_BAD : CKR_OK;
    while (size > 0) {
        ssize_t n = getrandom(data, size > 256 ? 256 : size, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return CKR_DEVICE_ERROR;
        data += n;
        size -= (CK_ULONG) n;
    }
    return CKR_OK;
}

CK_RV c_seed_random(CK_SESSION_HANDLE handle, unsigned char *seed, CK_ULONG size) {
    Module *module;
    Session *session;

    CK_RV rv = module_enter(handle, &module, &session);
    if (rv != CKR_OK)
        return rv;
    module_unlock(module);
    return !seed && size > 0 ? CKR_ARGUMENTS_BAD : CKR_RANDOM_SEED_NOT_SUPPORTED;
}
