/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who calls. The bus vouches for uid, groups and process of a connection; the unit is the system manager's for that
 * process, which is held by a pidfd over the question, so that a process id that was taken over meanwhile is noticed
 * (FACTS). */
#include "bus/internal.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <string.h>
#include <sys/pidfd.h>

#define CREDENTIALS_TIMEOUT_USEC (10U * 1000000U)

typedef struct Finding {
    Call *call;
    void (*done)(Call *call, int r);
} Finding; /* owned by its call */

static void finding_end(Finding *finding, int r) {
    Call *call = finding->call;
    void (*done)(Call *, int) = finding->done;

    call->finding = NULL;
    free(finding);
    done(call, r);
}

static bool process_is_alive(int pidfd) {
    struct pollfd p = { .fd = pidfd, .events = POLLIN };

    return poll(&p, 1, 0) == 0;
}

/* Without UnixGroupIDs from the bus: what the system's databases say. */
static int groups_of_user(Caller *caller) {
    char buffer[4096];
    struct passwd entry, *found = NULL;
    int count = CALLER_GROUPS_MAX;

    if (getpwuid_r(caller->uid, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return 0;
    caller->groups = calloc(CALLER_GROUPS_MAX, sizeof *caller->groups);
    if (!caller->groups)
        return -ENOMEM;
    if (getgrouplist(entry.pw_name, entry.pw_gid, caller->groups, &count) < 0)
        return -E2BIG;
    caller->group_count = (size_t) count;
    return 0;
}

static int read_groups(sd_bus_message *m, Caller *caller) {
    const void *data;
    size_t size;
    int r = sd_bus_message_enter_container(m, 'v', "au");

    if (r >= 0)
        r = sd_bus_message_read_array(m, 'u', &data, &size);
    if (r < 0)
        return r;
    if (size / sizeof(uint32_t) > CALLER_GROUPS_MAX || caller->groups)
        return -E2BIG;
    caller->groups = malloc(size + 1U);
    if (!caller->groups)
        return -ENOMEM;
    if (size > 0)
        memcpy(caller->groups, data, size);
    caller->group_count = size / sizeof(uint32_t);
    return sd_bus_message_exit_container(m);
}

static int read_credential(sd_bus_message *m, const char *key, Caller *caller) {
    uint32_t number;
    int fd, r;

    if (strcmp(key, "UnixUserID") == 0) {
        r = sd_bus_message_read(m, "v", "u", &number);
        caller->uid = r >= 0 ? number : (uid_t) -1;
    } else if (strcmp(key, "ProcessID") == 0) {
        r = sd_bus_message_read(m, "v", "u", &number);
        caller->pid = r >= 0 ? (pid_t) number : 0;
    } else if (strcmp(key, "UnixGroupIDs") == 0)
        r = read_groups(m, caller);
    else if (strcmp(key, "ProcessFD") == 0) {
        r = sd_bus_message_read(m, "v", "h", &fd);
        if (r >= 0 && caller->pidfd < 0)
            caller->pidfd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    } else
        r = sd_bus_message_skip(m, "v");
    return r;
}

static int read_credentials(sd_bus_message *m, Caller *caller) {
    int r = sd_bus_message_enter_container(m, 'a', "{sv}");

    while (r >= 0 && (r = sd_bus_message_enter_container(m, 'e', "sv")) > 0) {
        const char *key;
        r = sd_bus_message_read(m, "s", &key);
        if (r >= 0)
            r = read_credential(m, key, caller);
        if (r >= 0)
            r = sd_bus_message_exit_container(m);
    }
    if (r < 0)
        return r;
    if (caller->uid == (uid_t) -1)
        return -ENODATA;
    return caller->groups ? 0 : groups_of_user(caller);
}

static int on_unit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Finding *finding = userdata;
    Caller *caller = &finding->call->caller;
    const char *path;

    finding->call->slot = sd_bus_slot_unref(finding->call->slot);
    if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "o", &path) < 0 ||
        sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &caller->unit) <= 0)
        caller->unit = (free(caller->unit), NULL);
    /* Only if the process is still the one that the bus named did systemd speak of it. */
    if (!process_is_alive(caller->pidfd))
        caller->unit = (free(caller->unit), NULL);
    finding_end(finding, 0);
    return 1;
}

static int find_unit(Finding *finding) {
    Caller *caller = &finding->call->caller;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    if (caller->pid <= 0)
        return -ESRCH;
    if (caller->pidfd < 0)
        caller->pidfd = pidfd_open(caller->pid, 0);
    if (caller->pidfd < 0)
        return -errno;
    int r =
        sd_bus_message_new_method_call(finding->call->bus->bus, &m, "org.freedesktop.systemd1",
                                       "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager", "GetUnitByPID");
    if (r >= 0)
        r = sd_bus_message_set_auto_start(m, false);
    if (r >= 0)
        r = sd_bus_message_append(m, "u", (uint32_t) caller->pid);
    return r < 0 ? r
                 : sd_bus_call_async(finding->call->bus->bus, &finding->call->slot, m, on_unit, finding,
                                     CREDENTIALS_TIMEOUT_USEC);
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Finding *finding = userdata;
    Call *call = finding->call;

    call->slot = sd_bus_slot_unref(call->slot);
    int r = sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : read_credentials(m, &call->caller);
    if (r >= 0 && call->unit_purpose != _PURPOSE_INVALID) {
        Identity *identity = manager_find_identity(call->bus->manager, call->identity, NULL);
        if (identity && identity_admits_units(identity, call->unit_purpose) && find_unit(finding) >= 0)
            return 1;
    }
    finding_end(finding, r);
    return 1;
}

int caller_find(Call *call, void (*done)(Call *call, int r)) {
    Finding *finding = malloc(sizeof *finding);
    const char *sender = sd_bus_message_get_sender(call->message);
    int r;

    if (!finding)
        return -ENOMEM;
    *finding = (Finding) { call, done };
    call->caller.bus_name = sender ? strdup(sender) : NULL;
    r = call->caller.bus_name ? 0 : -EBADMSG;
    if (r >= 0)
        r = sd_bus_call_method_async(call->bus->bus, &call->slot, "org.freedesktop.DBus", "/org/freedesktop/DBus",
                                     "org.freedesktop.DBus", "GetConnectionCredentials", on_credentials, finding, "s",
                                     sender);
    if (r < 0)
        free(finding);
    else
        call->finding = finding;
    return r;
}
