/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What identities have left that are not configured any more. */
#include "identity/forgotten.h"

#include "config/identity-config.h"
#include "device/device.h"
#include "device/log.h"
#include "store/store.h"

#include <stdlib.h>

/* Takes those out that are configured, whether or not they were read yet or fit within Identities=. */
static void leave_out(char **names, char *const *configured, const IdentitySet *set) {
    char **kept = names;

    for (char **name = names; *name; name++)
        if (strings_contain(configured, *name) || identity_set_find(set, *name, NULL))
            free(*name);
        else
            *kept++ = *name;
    *kept = NULL;
}

static int list_configured(const Device *device, char ***ret, Failure *ret_failure) {
    _cleanup_(problems_clear) Problems problems = { 0 };
    int r = config_list_identities(&device_directories(device)->configuration, &problems, ret);

    return r == 0 ? 0
                  : failure_set(ret_failure, r < 0 ? r : -EIO, FAILURE_STORAGE,
                                "Not every directory with identities could be read, so it is not certain which are "
                                "configured: see `idctl check`.");
}

int forgotten_list(const Device *device, const IdentitySet *set, char ***ret, Failure *ret_failure) {
    _cleanup_strings_ char **configured = NULL, **names = NULL;
    int r = list_configured(device, &configured, ret_failure);

    if (r >= 0)
        r = store_names(device_directories(device)->state_fd, &names, ret_failure);
    if (r < 0)
        return r;
    leave_out(names, configured, set);
    *ret = TAKE_PTR(names);
    return 0;
}

int forgotten_remove(const Device *device, const IdentitySet *set, const char *name, Failure *ret_failure) {
    _cleanup_strings_ char **configured = NULL, **names = NULL;
    int r = list_configured(device, &configured, ret_failure);

    if (r < 0)
        return r;
    if (strings_contain(configured, name) || identity_set_find(set, name, NULL))
        return failure_set(ret_failure, -EBUSY, FAILURE_INVALID_ARGUMENT,
                           "%s is configured, so it is not forgotten. Remove its configuration and run `idctl reload` "
                           "first, or use `idctl retire`, which destroys the key alone.",
                           name);
    r = store_names(device_directories(device)->state_fd, &names, ret_failure);
    if (r < 0)
        return r;
    if (!strings_contain(names, name))
        return failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                           "There is nothing of that name to forget; `idctl list --all` has what there is.");
    r = store_erase(device_directories(device)->state_fd, name, ret_failure);
    if (r >= 0)
        log_entry(LOG_NOTICE, MESSAGE_STORAGE, name,
                  "What this identity had left was removed: keys, chains and state.");
    return r;
}

void forgotten_withdraw(const Device *device, char *const *configured) {
    const Directories *directories = device_directories(device);
    _cleanup_strings_ char **published = NULL;
    Failure failure = FAILURE_INIT;

    store_finish_erasing(directories->state_fd);
    if (publish_names(directories->runtime_fd, &published, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "%s.", failure.text);
    for (char **name = published; name && *name; name++) {
        if (strings_contain(configured, *name))
            continue;
        if (publish_set(directories->runtime_fd, *name, NULL, 0, &failure) < 0)
            log_entry(LOG_WARNING, MESSAGE_STORAGE, *name, "%s.", failure.text);
        else
            log_entry(LOG_NOTICE, MESSAGE_CONFIGURATION, *name,
                      "Its published files are gone: it is configured no more.");
    }
}
