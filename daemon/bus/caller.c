/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who calls. The bus vouches for uid, groups and process of a connection; the unit is the system manager's for that
 * process, which is held by a pidfd over the question, so that a process id that was taken over meanwhile is noticed
 * (docs/facts.md, "systemd and D-Bus"). Both are asked for once for each connection (access/caller-cache): calls that
 * come in the meantime wait for the same answer, later ones get it at once. */
#include "bus/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>

#define CREDENTIALS_TIMEOUT_USEC (10U * 1000000U)

struct Callers {
    sd_bus *connection;
    CallerCache *known;
    CallerLookup *lookups; /* not answered yet */
};

/* A question about one connection that is not answered yet. Nobody need wait for it any more. */
struct CallerLookup {
    Callers *callers;
    Caller caller;
    bool wants_unit;
    bool asks_systemd; /* the bus has answered */
    sd_bus_slot *slot;
    CallerWait *waits;
    CallerLookup *next;
};

void caller_forget(CallerWait *wait) {
    if (!wait->lookup)
        return;
    CallerWait **link = &wait->lookup->waits;
    while (*link != wait)
        link = &(*link)->next;
    *link = wait->next;
    wait->next = NULL;
    wait->lookup = NULL;
}

static CallerLookup *lookup_free(CallerLookup *lookup) {
    if (!lookup)
        return NULL;
    for (CallerLookup **link = &lookup->callers->lookups; *link; link = &(*link)->next)
        if (*link == lookup) {
            *link = lookup->next;
            break;
        }
    while (lookup->waits)
        caller_forget(lookup->waits);
    sd_bus_slot_unref(lookup->slot);
    caller_clear(&lookup->caller);
    free(lookup);
    return NULL;
}
DEFINE_CLEANUP(CallerLookup, lookup_free)

/* A copy of its own, with a descriptor of its own where that is needed: a thousand calls that wait for polkit need
 * none. */
static int take_caller(const Caller *known, bool with_pidfd, Caller *ret) {
    caller_clear(ret);
    int r = caller_copy(known, ret);
    if (r < 0)
        return r;
    if (known->pidfd >= 0 && with_pidfd) {
        ret->pidfd = fcntl(known->pidfd, F_DUPFD_CLOEXEC, 3);
        if (ret->pidfd < 0)
            return -errno;
    }
    /* Only while the process is the one that the bus named does its unit count. */
    if (!caller_is_alive(known))
        ret->unit = (free(ret->unit), NULL);
    return 0;
}

static CallerWait *next_wait(const CallerLookup *lookup, bool all) {
    CallerWait *wait = lookup->waits;

    while (wait && !all && wait->wants_unit)
        wait = wait->next;
    return wait;
}

/* Tells those who wait for this, or, with `all` false, those of them whom no unit matters to. */
static void lookup_answer(CallerLookup *lookup, int r, bool all) {
    for (CallerWait *wait; (wait = next_wait(lookup, all));) {
        caller_forget(wait);
        wait->found(r < 0 ? r : take_caller(&lookup->caller, wait->wants_unit, wait->ret), wait->userdata);
    }
}

static void lookup_end(CallerLookup *lookup, int r) {
    if (r >= 0)
        (void) caller_cache_put(lookup->callers->known, &lookup->caller); /* else it is asked for again */
    lookup_answer(lookup, r, true);
    lookup_free(lookup);
}

/* Without UnixGroupIDs from the bus: what the system's databases say. */
static int groups_of_user(Caller *caller) {
    char buffer[4096];
    struct passwd entry, *found = NULL;
    int count = CALLER_GROUPS_MAX;
    int error = getpwuid_r(caller->uid, &entry, buffer, sizeof buffer, &found);

    if (!found) {
        caller->groups_failed = error != 0 && error != ENOENT && error != ESRCH;
        return 0;
    }
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
    CallerLookup *lookup = userdata;
    Caller *caller = &lookup->caller;
    const char *path;

    /* What is no answer about this process (systemd is busy, or not there) is not kept. */
    if (!sd_bus_message_is_method_error(m, NULL) && sd_bus_message_read(m, "o", &path) >= 0) {
        int r = sd_bus_path_decode(path, "/org/freedesktop/systemd1/unit", &caller->unit);
        caller->unit_is_known = r >= 0; /* out of memory it is asked for again */
        if (r <= 0)
            caller->unit = (free(caller->unit), NULL);
    } else if (sd_bus_message_is_method_error(m, "org.freedesktop.systemd1.NoUnitForPID"))
        caller->unit_is_known = true;
    lookup_end(lookup, 0);
    return 1;
}

/* A descriptor each for as long as systemd thinks. */
static bool may_ask_systemd(const CallerLookup *asking) {
    unsigned all = 0, own = 0;

    for (const CallerLookup *lookup = asking->callers->lookups; lookup; lookup = lookup->next)
        if (lookup->asks_systemd) {
            all++;
            own += lookup->caller.party == asking->caller.party;
        }
    return caller_is_administrator(&asking->caller) || (all < CALLER_UNITS_MAX && own < CALLER_UNITS_PER_USER_MAX);
}

static int find_unit(CallerLookup *lookup) {
    sd_bus *connection = lookup->callers->connection;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;

    if (!may_ask_systemd(lookup))
        return -EDQUOT;
    lookup->asks_systemd = true;
    int r = sd_bus_message_new_method_call(connection, &m, "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                           "org.freedesktop.systemd1.Manager", "GetUnitByPID");
    if (r >= 0)
        r = sd_bus_message_set_auto_start(m, false);
    if (r >= 0)
        r = sd_bus_message_append(m, "u", (uint32_t) lookup->caller.pid);
    lookup->slot = sd_bus_slot_unref(lookup->slot);
    return r < 0 ? r : sd_bus_call_async(connection, &lookup->slot, m, on_unit, lookup, CREDENTIALS_TIMEOUT_USEC);
}

/* Holds the process. A process that has ended is in no unit, whoever has its number now. */
static int open_pidfd(Caller *caller) {
    if (caller->pidfd < 0 && caller->pid > 0)
        caller->pidfd = pidfd_open(caller->pid, 0);
    if (caller->pidfd < 0 && (errno == EMFILE || errno == ENFILE))
        return -errno;
    caller->unit_is_known = caller->pidfd < 0;
    return 0;
}

static int on_credentials(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    CallerLookup *lookup = userdata;
    Caller *caller = &lookup->caller;

    int r = sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : read_credentials(m, caller);
    if (r >= 0)
        r = open_pidfd(caller);
    if (r >= 0)
        caller->party = party_of(caller->uid, PARTY_SUBORDINATES, &access_names_system);
    if (r < 0 || !lookup->wants_unit || caller->unit_is_known) {
        lookup_end(lookup, r);
        return 1;
    }
    (void) caller_cache_put(lookup->callers->known, caller);
    lookup_answer(lookup, 0, false);
    r = find_unit(lookup);
    if (r < 0)
        lookup_end(lookup, r);
    return 1;
}

static int lookup_new(Callers *callers, const char *sender, CallerLookup **ret) {
    _cleanup_(lookup_free_p) CallerLookup *lookup = calloc(1, sizeof *lookup);

    if (!lookup)
        return -ENOMEM;
    lookup->callers = callers;
    lookup->caller = CALLER_INIT;
    lookup->caller.bus_name = strdup(sender);
    lookup->next = callers->lookups;
    callers->lookups = lookup;
    if (!lookup->caller.bus_name)
        return -ENOMEM;
    *ret = TAKE_PTR(lookup);
    return 0;
}

static CallerLookup *lookup_of(const Callers *callers, const char *sender) {
    CallerLookup *lookup = callers->lookups;

    while (lookup && strcmp(lookup->caller.bus_name, sender) != 0)
        lookup = lookup->next;
    return lookup;
}

/* Begins with the bus, or, where all but the unit is known, with systemd. */
static int lookup_start(CallerLookup *lookup, const Caller *known) {
    if (!known)
        return sd_bus_call_method_async(lookup->callers->connection, &lookup->slot, "org.freedesktop.DBus",
                                        "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetConnectionCredentials",
                                        on_credentials, lookup, "s", lookup->caller.bus_name);
    caller_clear(&lookup->caller);
    int r = caller_copy(known, &lookup->caller);
    if (r < 0)
        return r;
    lookup->caller.pidfd = fcntl(known->pidfd, F_DUPFD_CLOEXEC, 3);
    return lookup->caller.pidfd < 0 ? -errno : find_unit(lookup);
}

static int lookup_begin(Callers *callers, const char *sender, const Caller *known, bool wants_unit,
                        CallerLookup **ret) {
    _cleanup_(lookup_free_p) CallerLookup *lookup = NULL;
    int r = lookup_new(callers, sender, &lookup);

    if (r < 0)
        return r;
    lookup->wants_unit = wants_unit;
    r = lookup_start(lookup, known);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(lookup);
    return 0;
}

/* Behind those who were there before: what somebody calls one after the other is done in that order. 0, or -EDQUOT. */
static int lookup_join(CallerLookup *lookup, CallerWait *wait) {
    CallerWait **end = &lookup->waits;
    unsigned count = 0;

    for (; *end; end = &(*end)->next)
        count++;
    if (count >= CALLER_WAITS_MAX)
        return -EDQUOT;
    lookup->wants_unit |= wait->wants_unit;
    wait->lookup = lookup;
    wait->next = NULL;
    *end = wait;
    return 0;
}

const Caller *caller_known(Callers *callers, const char *sender) {
    return caller_cache_find(callers->known, sender);
}

void caller_lookup_failure(int r, Failure *ret) {
    if (r == -EMFILE || r == -ENFILE || r == -ENOMEM)
        (void) failure_errno(ret, r, "Finding out who calls");
    else if (r == -EDQUOT)
        (void) failure_set(ret, r, FAILURE_LIMITS_EXCEEDED,
                           "The service manager is being asked about too many connections at once: in which units they "
                           "are. Wait for the answers to your other calls.");
    else
        (void) failure_set(ret, r, FAILURE_LOOKUP_FAILED,
                           "Who calls could not be found out: the message bus answered \"%s\". Call again.",
                           strerrordesc_np(-r) ?: "unknown error");
}

int caller_find(Callers *callers, const char *sender, CallerWait *wait) {
    const Caller *known = caller_cache_find(callers->known, sender);

    if (known && (!wait->wants_unit || known->unit_is_known)) {
        int r = take_caller(known, wait->wants_unit, wait->ret);
        return r < 0 ? r : CALLER_KNOWN;
    }
    CallerLookup *lookup = lookup_of(callers, sender);
    if (!lookup) {
        int r = lookup_begin(callers, sender, known, wait->wants_unit, &lookup);
        if (r < 0)
            return r;
    }
    int r = lookup_join(lookup, wait);
    return r < 0 ? r : CALLER_ASKED;
}

int callers_new(sd_bus *connection, Callers **ret) {
    _cleanup_(callers_free_p) Callers *callers = calloc(1, sizeof *callers);

    if (!callers)
        return -ENOMEM;
    callers->connection = connection;
    int r = caller_cache_new(CALLERS_MAX, CALLERS_PER_USER_MAX, &callers->known);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(callers);
    return 0;
}

Callers *callers_free(Callers *callers) {
    if (!callers)
        return NULL;
    while (callers->lookups)
        lookup_free(callers->lookups);
    caller_cache_free(callers->known);
    free(callers);
    return NULL;
}
