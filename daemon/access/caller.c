/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Callers, and what the system says of users and groups. */
#include "access/access.h"

#include "common/bytes.h"

#include <grp.h>
#include <pwd.h>
#include <stdbool.h>
#include <string.h>

#define OVERFLOW_DEFAULT 65534U          /* Linux's, where /proc/sys is not to be seen */
#define MAP_MAX          65536U          /* bytes of /proc/self/uid_map: 340 lines at most */
#define RECORD_MAX       (1024U * 1024U) /* bytes of one passwd or group entry: groups can be large */

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
    copy.party = caller->party;
    copy.groups_failed = caller->groups_failed;
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

static int system_knows(uid_t uid) {
    for (size_t size = 4096; size <= RECORD_MAX; size *= 4) {
        _cleanup_free_ char *buffer = malloc(size);
        struct passwd entry, *found = NULL;
        if (!buffer)
            return -ENOMEM;
        int r = getpwuid_r(uid, &entry, buffer, size, &found);
        if (found)
            return 1;
        if (r != ERANGE)
            return r == 0 || r == ENOENT || r == ESRCH || r == EBADF || r == EPERM ? 0 : -r;
    }
    return -ERANGE;
}

/* ---- the number that stands for many ---- */

static uint32_t overflow_id(bool group) {
    _cleanup_bytes_ Bytes text = BYTES_NULL;
    unsigned long id = 0;

    if (bytes_read_file(group ? "/proc/sys/kernel/overflowgid" : "/proc/sys/kernel/overflowuid", MAP_MAX, &text) >= 0)
        id = strtoul((const char *) text.data, NULL, 10);
    return id > 0 && id < UINT32_MAX ? (uint32_t) id : OVERFLOW_DEFAULT;
}

/* Whether every number has one in our user namespace: user_namespaces(7), lines of inside, outside and how many. What
 * cannot be read is not. */
static bool map_is_whole(bool group) {
    _cleanup_bytes_ Bytes text = BYTES_NULL;
    uint64_t mapped = 0;
    char *save = NULL;

    if (bytes_read_file(group ? "/proc/self/gid_map" : "/proc/self/uid_map", MAP_MAX, &text) < 0)
        return false;
    for (char *line = strtok_r((char *) text.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        const char *last = strrchr(line, ' ');
        mapped += last ? strtoull(last, NULL, 10) : 0;
    }
    return mapped >= UINT32_MAX; /* all but 4294967295, which is no number */
}

static bool system_stands_for_many(bool group, uint32_t id) {
    return id == overflow_id(group) && !map_is_whole(group);
}

const AccessNames access_names_system = { system_user, system_group, system_knows, system_stands_for_many };

bool caller_is_administrator(const Caller *caller) {
    return caller->uid == 0 || (caller->uid == geteuid() && !system_stands_for_many(false, caller->uid));
}
