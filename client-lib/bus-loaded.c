/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "client-lib/bus-functions.h"

#include "client-lib/error.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <string.h>

#define LIBRARY "libsystemd.so.0"

/* Each thread that comes before the first is done makes the same table. The library stays open: others of its users,
 * and its own atexit() functions, may be there. A program whose threads load libraries while it forks loads its first
 * key before that: glibc does not promise dlopen() to such a child. */
static BusFunctions *_Atomic functions;

static void *find(void *library, const char *name, const char **missing) {
    void *function = dlsym(library, name);

    if (!function && !*missing)
        *missing = name;
    return function;
}

int bus_functions(const BusFunctions **ret) {
    BusFunctions *made = functions, *none = NULL;
    const char *missing = NULL;

    if (made) {
        *ret = made;
        return 0;
    }
    void *library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!library)
        return client_error(-EHOSTDOWN, "identityd cannot be asked: %s", dlerror());
    made = malloc(sizeof(*made));
    if (!made)
        return client_errno(-ENOMEM, "preparing the system bus");
#define FIND(name) made->name = (__typeof__(made->name)) find(library, #name, &missing);
    BUS_FUNCTIONS(FIND)
#undef FIND
    if (missing) {
        free(made);
        return client_error(-EHOSTDOWN, "identityd cannot be asked: " LIBRARY " has no %s", missing);
    }
    if (!atomic_compare_exchange_strong(&functions, &none, made)) {
        free(made);
        made = none;
    }
    *ret = made;
    return 0;
}
