/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Callers, and names of users and groups as numbers. */
#include "access/access.h"

#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

#define RECORD_MAX (1024U * 1024U) /* bytes of one passwd or group entry: groups can be large */

void caller_clear(Caller *caller) {
    free(caller->groups);
    (void) close_safe(caller->pidfd);
    free(caller->unit);
    free(caller->bus_name);
    *caller = CALLER_INIT;
}

int caller_copy(const Caller *caller, Caller *ret) {
    _cleanup_caller_ Caller copy = CALLER_INIT;

    copy.uid = caller->uid;
    copy.pid = caller->pid;
    copy.unit_is_known = caller->unit_is_known;
    copy.group_count = caller->group_count;
    copy.groups = calloc(caller->group_count + 1U, sizeof *copy.groups);
    copy.unit = caller->unit ? strdup(caller->unit) : NULL;
    copy.bus_name = caller->bus_name ? strdup(caller->bus_name) : NULL;
    if (!copy.groups || (caller->unit && !copy.unit) || (caller->bus_name && !copy.bus_name))
        return -ENOMEM;
    if (caller->group_count > 0)
        memcpy(copy.groups, caller->groups, caller->group_count * sizeof *copy.groups);
    *ret = copy;
    copy = CALLER_INIT;
    return 0;
}

/* One lookup into a buffer; 0 with the number, -ERANGE if the buffer is too small. getpwnam_r(3) has several codes for
 * "not found". */
static int look_up(bool group, const char *name, char *buffer, size_t size, uint32_t *ret) {
    struct passwd user, *found_user = NULL;
    struct group entry, *found_group = NULL;
    int r = group ? getgrnam_r(name, &entry, buffer, size, &found_group)
                  : getpwnam_r(name, &user, buffer, size, &found_user);

    if (found_group)
        *ret = found_group->gr_gid;
    else if (found_user)
        *ret = found_user->pw_uid;
    else if (r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM)
        return -ENOENT;
    else
        return -r;
    return 0;
}

static int number_of(bool group, const char *name, uint32_t *ret) {
    for (size_t size = 4096; size <= RECORD_MAX; size *= 4) {
        _cleanup_free_ char *buffer = malloc(size);
        if (!buffer)
            return -ENOMEM;
        int r = look_up(group, name, buffer, size, ret);
        if (r != -ERANGE)
            return r;
    }
    return -ERANGE;
}

static int system_user(const char *name, uid_t *ret) {
    return number_of(false, name, ret);
}

static int system_group(const char *name, gid_t *ret) {
    return number_of(true, name, ret);
}

const AccessNames access_names_system = { system_user, system_group };
