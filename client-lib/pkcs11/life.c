/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module's beginning and end, in a process and in those that it forks. */
#include "client-lib/pkcs11/functions.h"
#include "client-lib/pkcs11/module.h"

#include <sys/eventfd.h>
#include <sys/types.h>
#include <unistd.h>

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
        pthread_mutex_init(&module->shared->life, NULL);
        pthread_mutex_init(&module->shared->refresh, NULL);
        pthread_mutex_init(&module->shared->lock, NULL);
        module->shared->owner = 0;
        module->shared->inside = 0;
    }
    if (module->is_locked) {
        module->session_count = 0;
        module->token = (Token) { .last_view = module->token.last_view };
    } else
        clear(module);
    module->is_locked = module->is_logged_in = false;
    module->wake_fd = close_safe(module->wake_fd);
}

/* PKCS#11 2.40, §5.4: mutex functions come all four or not at all. */
static CK_RV check_arguments(const CK_C_INITIALIZE_ARGS *arguments) {
    if (!arguments)
        return CKR_OK;
    unsigned given = (arguments->CreateMutex != NULL) + (arguments->DestroyMutex != NULL) +
                     (arguments->LockMutex != NULL) + (arguments->UnlockMutex != NULL);
    return (given == 0 || given == 4) && !arguments->pReserved ? CKR_OK : CKR_ARGUMENTS_BAD;
}

/* Under `life`. */
static CK_RV begin(Module *module) {
    if (module->shared->owner == getpid())
        return CKR_CRYPTOKI_ALREADY_INITIALIZED;
    module->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (module->wake_fd < 0)
        return CKR_HOST_MEMORY;
    module->life_of = getpid();
    module->shared->owner = getpid();
    return CKR_OK;
}

/* Whatever the arguments say of locking, the threads of a Linux process are threads of pthreads, and its mutexes serve.
 * Beside a C_Finalize it waits until that is through. */
CK_RV c_initialize(void *init_args) {
    CK_RV rv = check_arguments(init_args);

    if (rv != CKR_OK)
        return rv;
    Module *module = module_of_anybody();
    if (!module)
        return CKR_HOST_MEMORY;
    if (module->life_of != 0 && module->life_of != getpid())
        forget_inherited(module);
    pthread_mutex_lock(&module->shared->life);
    rv = begin(module);
    pthread_mutex_unlock(&module->shared->life);
    return rv;
}

/* Calls that wait come back with CKR_CRYPTOKI_NOT_INITIALIZED, before anything that they use goes; the last of them
 * when the question to identityd that is out is answered, or its one deadline over. */
static void end(Module *module) {
    (void) eventfd_write(module->wake_fd, 1);
    while (module->shared->inside > 0)
        (void) usleep(1000);
    module_lock(module);
    clear(module);
    module->wake_fd = close_safe(module->wake_fd);
    module->life_of = 0;
    module_unlock(module);
}

CK_RV c_finalize(void *reserved) {
    Module *module = module_get();

    if (reserved)
        return CKR_ARGUMENTS_BAD;
    if (!module)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    pid_t self = getpid();
    pthread_mutex_lock(&module->shared->life);
    bool was_live = atomic_compare_exchange_strong(&module->shared->owner, &self, 0);
    if (was_live)
        end(module);
    pthread_mutex_unlock(&module->shared->life);
    return was_live ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}
