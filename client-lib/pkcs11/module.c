/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one module of the process, and how a function begins to work on it. */
#include "client-lib/pkcs11/module.h"

#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

/* The one global of the module: PKCS#11 hands no context from call to call. Made once, never freed, since a thread may
 * be waiting for its lock; what is inside comes and goes with C_Initialize and C_Finalize. */
static Module the_module = { .wake_fd = -1 };
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_shared(void) {
    ModuleShared *shared = mmap(NULL, sizeof(ModuleShared), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED)
        return;
    the_module.shared_is_wiped = madvise(shared, sizeof(ModuleShared), MADV_WIPEONFORK) == 0;
    pthread_mutex_init(&shared->life, NULL);
    pthread_mutex_init(&shared->refresh, NULL);
    pthread_mutex_init(&shared->lock, NULL);
    the_module.shared = shared;
}

Module *module_of_anybody(void) {
    (void) pthread_once(&once, make_shared);
    return the_module.shared ? &the_module : NULL;
}

Module *module_get(void) {
    Module *module = module_of_anybody();

    return module && module->shared->owner == getpid() ? module : NULL;
}

void module_lock(Module *module) {
    pthread_mutex_lock(&module->shared->lock);
    module->is_locked = true;
}

void module_unlock(Module *module) {
    module->is_locked = false;
    pthread_mutex_unlock(&module->shared->lock);
}

bool module_lock_live(Module *module) {
    module_lock(module);
    if (module->shared->owner == getpid())
        return true;
    module_unlock(module);
    return false;
}

/* First counted, then looked: C_Finalize does it the other way round, so that one of the two sees the other. */
bool module_go_inside(Module *module) {
    module->shared->inside++;
    if (module->shared->owner == getpid())
        return true;
    module->shared->inside--;
    return false;
}

void module_come_out(Module *module) {
    module->shared->inside--;
}

Session *module_session(Module *module, CK_SESSION_HANDLE handle) {
    for (size_t i = 0; i < module->session_count; i++)
        if (module->sessions[i]->handle == handle)
            return module->sessions[i];
    return NULL;
}

CK_RV module_enter(CK_SESSION_HANDLE handle, Module **ret, Session **ret_session) {
    Module *module = module_get();

    if (!module || !module_lock_live(module))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    Session *session = module_session(module, handle);
    if (!session) {
        module_unlock(module);
        return CKR_SESSION_HANDLE_INVALID;
    }
    *ret = module;
    *ret_session = session;
    return CKR_OK;
}

CK_RV module_enter_slot(CK_SLOT_ID slot, const void *output, Module **ret) {
    Module *module = module_get();

    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    if (slot != MODULE_SLOT)
        return CKR_SLOT_ID_INVALID;
    if (!output)
        return CKR_ARGUMENTS_BAD;
    *ret = module;
    return CKR_OK;
}

CK_RV rv_of(int r) {
    switch (r) {
    case 0:
        return CKR_OK;
    case -ENOMEM:
        return CKR_HOST_MEMORY;
    case -EACCES:
    case -EPERM:
    case -EKEYREVOKED:
    case -EKEYEXPIRED:
        return CKR_KEY_FUNCTION_NOT_PERMITTED;
    case -ENOKEY:
    case -ESTALE:
    case -ENOENT:
    case -EAGAIN:
        return CKR_KEY_HANDLE_INVALID; /* no such key any more, or not yet */
    case -EINVAL:
        return CKR_DATA_INVALID;
    case -EMSGSIZE:
        return CKR_DATA_LEN_RANGE;
    case -EPIPE:
    case -EHOSTDOWN:
    case -ENODEV:
        return CKR_DEVICE_REMOVED;
    case -EDQUOT:
        return CKR_DEVICE_MEMORY;
    default:
        return CKR_DEVICE_ERROR;
    }
}
