/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was found out about the connections on the bus, so that systemd and the bus are asked once for each and not for
 * each message. The key is the unique name, which a bus never gives twice; what is known of one goes when its process
 * ends, and the pidfd that says so also keeps the process id from meaning somebody else. No signal of the bus is
 * listened for: that would wake us for everybody's comings and goings. Bounded in all and for each user: whoever opens
 * connections by the thousand only makes us forget his own. */
#include "access/access.h"

#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>

typedef struct Known {
    Caller caller;
    uint64_t used; /* order of use */
} Known;

struct CallerCache {
    size_t total, per_user, count;
    uint64_t uses;
    Known list[]; /* `total` places, the first `count` are taken */
};

int caller_cache_new(size_t total, size_t per_user, CallerCache **ret) {
    CallerCache *cache = calloc(1, sizeof *cache + total * sizeof(Known));

    if (!cache)
        return -ENOMEM;
    cache->total = total;
    cache->per_user = per_user;
    *ret = cache;
    return 0;
}

CallerCache *caller_cache_free(CallerCache *cache) {
    if (!cache)
        return NULL;
    while (cache->count > 0)
        caller_clear(&cache->list[--cache->count].caller);
    free(cache);
    return NULL;
}

static void forget(CallerCache *cache, size_t index) {
    caller_clear(&cache->list[index].caller);
    cache->list[index] = cache->list[--cache->count];
}

bool caller_is_alive(const Caller *caller) {
    struct pollfd p = { .fd = caller->pidfd, .events = POLLIN };

    return caller->pidfd >= 0 && poll(&p, 1, 0) == 0;
}

static size_t position(const CallerCache *cache, const char *bus_name) {
    size_t i = 0;

    while (i < cache->count && strcmp(cache->list[i].caller.bus_name, bus_name) != 0)
        i++;
    return i;
}

const Caller *caller_cache_find(CallerCache *cache, const char *bus_name) {
    size_t i = position(cache, bus_name);

    if (i == cache->count)
        return NULL;
    if (!caller_is_alive(&cache->list[i].caller)) {
        forget(cache, i);
        return NULL;
    }
    cache->list[i].used = ++cache->uses;
    return &cache->list[i].caller;
}

/* Whose place a new one of this user takes: his own oldest if he has as many as allowed, else the oldest of all. */
static void make_room(CallerCache *cache, uid_t party) {
    size_t own = 0, oldest = cache->count, oldest_own = cache->count;

    for (size_t i = 0; i < cache->count; i++) {
        if (oldest == cache->count || cache->list[i].used < cache->list[oldest].used)
            oldest = i;
        if (cache->list[i].caller.party != party)
            continue;
        own++;
        if (oldest_own == cache->count || cache->list[i].used < cache->list[oldest_own].used)
            oldest_own = i;
    }
    if (own >= cache->per_user && own > 0)
        forget(cache, oldest_own);
    else if (cache->count == cache->total)
        forget(cache, oldest);
}

int caller_cache_put(CallerCache *cache, const Caller *caller) {
    _cleanup_caller_ Caller copy = CALLER_INIT;

    if (!caller->bus_name || caller->pidfd < 0)
        return -EINVAL;
    int r = caller_copy(caller, &copy);
    if (r < 0)
        return r;
    copy.pidfd = fcntl(caller->pidfd, F_DUPFD_CLOEXEC, 3);
    if (copy.pidfd < 0)
        return -errno;
    size_t i = position(cache, caller->bus_name);
    if (i < cache->count)
        forget(cache, i);
    for (i = cache->count; i > 0; i--) /* nobody tells us of an end: it is looked for when somebody new comes */
        if (!caller_is_alive(&cache->list[i - 1U].caller))
            forget(cache, i - 1U);
    make_room(cache, caller->party);
    if (cache->count < cache->total) {
        cache->list[cache->count++] = (Known) { copy, ++cache->uses };
        copy = CALLER_INIT;
    }
    return 0;
}
