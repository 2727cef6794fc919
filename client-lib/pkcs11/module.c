/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module's beginning and end, and what processes and threads may do with it. */
#include "client-lib/pkcs11/module.h"

#include "client-lib/pkcs11/functions.h"

#include <string.h>
#include <sys/eventfd.h>
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
    pthread_mutex_init(&shared->lock, NULL);
    pthread_mutex_init(&shared->refresh, NULL);
    the_module.shared = shared;
}

static ModuleShared *shared_get(void) {
    (void) pthread_once(&once, make_shared);
    return the_module.shared;
}

Module *module_get(void) {
    ModuleShared *shared = shared_get();

    return shared && shared->owner == getpid() ? &the_module : NULL;
}

void module_lock(Module *module) {
    pthread_mutex_lock(&module->shared->lock);
    module->is_locked = true;
}

void module_unlock(Module *module) {
    module->is_locked = false;
    pthread_mutex_unlock(&module->shared->lock);
}

Session *module_session(Module *module, CK_SESSION_HANDLE handle) {
    for (size_t i = 0; i < module->session_count; i++)
        if (module->sessions[i]->handle == handle)
            return module->sessions[i];
    return NULL;
}

CK_RV module_enter(CK_SESSION_HANDLE handle, Module **ret, Session **ret_session) {
    Module *module = module_get();

    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    module_lock(module);
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

/* Everything that a life of the module has gathered. */
static void clear(Module *module) {
    for (size_t i = 0; i < module->session_count; i++)
        session_free(module->sessions[i]);
    module->session_count = 0;
    token_clear(&module->token);
    module->is_logged_in = false;
}

/* In a forked child: what it inherited goes, which disturbs nothing of the parent's. If another thread was in the
 * middle of changing it when the process forked, it is left alone: nobody will ever make it whole. */
static void forget_inherited(Module *module) {
    if (!module->shared_is_wiped) { /* an old kernel: there is one thread after a fork, and it may do this */
        pthread_mutex_init(&module->shared->lock, NULL);
        pthread_mutex_init(&module->shared->refresh, NULL);
        module->shared->owner = 0;
    }
    if (module->is_locked) {
        module->session_count = 0;
        module->token = (Token) { .last_view = module->token.last_view };
    } else
        clear(module);
    module->is_locked = module->is_logged_in = false;
    module->wake_fd = close_safe(module->wake_fd);
    module->waiting = 0;
}

/* PKCS#11 2.40, §5.4: mutex functions come all four or not at all. */
static CK_RV check_arguments(const CK_C_INITIALIZE_ARGS *arguments) {
    if (!arguments)
        return CKR_OK;
    unsigned given = (arguments->CreateMutex != NULL) + (arguments->DestroyMutex != NULL) +
                     (arguments->LockMutex != NULL) + (arguments->UnlockMutex != NULL);
    return (given == 0 || given == 4) && !arguments->pReserved ? CKR_OK : CKR_ARGUMENTS_BAD;
}

/* Whatever the arguments say of locking, the threads of a Linux process are threads of pthreads, and its mutexes serve.
 */
CK_RV c_initialize(void *init_args) {
    CK_RV rv = check_arguments(init_args);

    if (rv != CKR_OK)
        return rv;
    ModuleShared *shared = shared_get();
    if (!shared)
        return CKR_HOST_MEMORY;
    if (the_module.life_of != 0 && the_module.life_of != getpid())
        forget_inherited(&the_module);
    pthread_mutex_lock(&shared->lock);
    if (shared->owner == getpid())
        rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
    else {
        the_module.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (the_module.wake_fd < 0)
            rv = CKR_HOST_MEMORY;
        else
            shared->owner = the_module.life_of = getpid();
    }
    pthread_mutex_unlock(&shared->lock);
    return rv;
}

CK_RV c_finalize(void *reserved) {
    Module *module = module_get();

    if (reserved)
        return CKR_ARGUMENTS_BAD;
    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    pid_t self = getpid();
    if (!atomic_compare_exchange_strong(&module->shared->owner, &self, 0))
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    /* C_WaitForSlotEvent comes back with CKR_CRYPTOKI_NOT_INITIALIZED, before anything that it uses goes */
    (void) eventfd_write(module->wake_fd, 1);
    while (module->waiting > 0)
        (void) usleep(1000);
    pthread_mutex_lock(&module->shared->refresh);
    module_lock(module);
    clear(module);
    module->wake_fd = close_safe(module->wake_fd);
    module->life_of = 0;
    module_unlock(module);
    pthread_mutex_unlock(&module->shared->refresh);
    return CKR_OK;
}
