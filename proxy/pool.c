/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See pool.h. */
#include "proxy/pool.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#define SECOND UINT64_C(1000000)

struct Pool {
    const ProxySettings *settings;
    ConnectionContext context;
    PoolChanged changed;
    void *userdata;
    LogLimit log;
    sd_event_source *offer; /* of a place, to those that wait for one */

    Connection **list; /* room for all slots and places */
    unsigned count, places;
    uint64_t accepted; /* all that there were */
};

static uint64_t now(const Pool *pool) {
    uint64_t time = 0;

    (void) sd_event_now(pool->context.event, CLOCK_MONOTONIC, &time);
    return time;
}

void pool_log(Pool *pool, ProxyLogLevel level, const char *format, ...) {
    static const ProxySource nobody = { .kind = PROXY_SOURCE_UNKNOWN };
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    proxy_log_limited(&pool->log, &nobody, now(pool), level, "%s: %s", pool->settings->identity,
                      text ? text : "out of memory");
}

/* ---- places ---- */

static bool is_of(const Connection *connection, const ProxySource *source) {
    return proxy_source_compare(connection_source(connection), source) == 0;
}

/* Whoever has many connections on which nothing happens loses the one that has been idle longest for the one that is
 * new. */
static void end_longest_idle(Pool *pool, const ProxySource *source) {
    const ProxyLimits *limits = &pool->settings->limits;
    uint64_t time = now(pool);
    Connection *longest = NULL;
    unsigned idle = 0;

    for (unsigned i = 0; i < pool->count; i++) {
        Connection *connection = pool->list[i];
        uint64_t active = connection_active(connection);
        if (!is_of(connection, source) || active > time || time - active < limits->idle_counts * SECOND)
            continue;
        idle++;
        if (!longest || active < connection_active(longest))
            longest = connection;
    }
    if (idle >= limits->idle_per_source)
        connection_end(longest, PROXY_LOG_WARNING,
                       "idle for %" PRIu64 " s, and whom it is from has %u such connections (--max-idle-per-source)",
                       (time - connection_active(longest)) / SECOND, idle);
}

static unsigned count_places_of(const Pool *pool, const ProxySource *source) {
    unsigned count = 0;

    for (unsigned i = 0; i < pool->count; i++)
        count += connection_has_place(pool->list[i]) && is_of(pool->list[i], source);
    return count;
}

static Place on_take_place(void *userdata, Connection *connection) {
    Pool *pool = userdata;
    const ProxySource *source = connection_source(connection);

    end_longest_idle(pool, source);
    if (count_places_of(pool, source) >= pool->settings->limits.per_source)
        return PLACE_OF_SOURCES;
    if (!pool_has_place(pool))
        return PLACE_NONE;
    pool->places++;
    pool->changed(pool->userdata);
    return PLACE_TAKEN;
}

bool pool_has_place(const Pool *pool) {
    return pool->places < pool->settings->limits.connections;
}

/* Backwards: one that ends is replaced by the last, which had its turn. One may end another. */
static void for_each(Pool *pool, void (*call)(Connection *connection)) {
    for (unsigned i = pool->count; i-- > 0;)
        if (i < pool->count)
            call(pool->list[i]);
}

/* Not at once: one that ends may have been about to end for another. */
static int on_offer(sd_event_source *source, void *userdata) {
    for_each(userdata, connection_place_is_free);
    return 0;
}

static void on_freed(void *userdata, Connection *connection) {
    Pool *pool = userdata;

    for (unsigned i = 0; i < pool->count; i++)
        if (pool->list[i] == connection) {
            pool->list[i] = pool->list[--pool->count];
            break;
        }
    if (connection_has_place(connection)) {
        pool->places--;
        (void) sd_event_source_set_enabled(pool->offer, SD_EVENT_ONESHOT);
    }
    pool->changed(pool->userdata);
}

static void on_ended(void *userdata) {
    Pool *pool = userdata;

    pool->changed(pool->userdata);
}

/* ---- slots ---- */

static uint32_t chance(void) {
    uint32_t number = 0;

    (void) getrandom(&number, sizeof number, 0);
    return number;
}

/* What has no place has a slot, also while a worker still has it after its end. */
static SlotVerdict decide(const Pool *pool, const ProxySource *source, Connection **ret_other) {
    Slot slots[SLOTS_MAX];
    Connection *connections[SLOTS_MAX];
    size_t count = 0, which = 0;

    for (unsigned i = 0; i < pool->count && count < SLOTS_MAX; i++) {
        Connection *connection = pool->list[i];
        if (connection_has_place(connection))
            continue;
        slots[count] = (Slot) { .source = *connection_source(connection), .yields = connection_yields(connection) };
        connections[count++] = connection;
    }
    SlotVerdict verdict = slots_decide(&pool->settings->limits.handshakes, slots, count, source, chance(), &which);
    if (verdict == SLOT_OF_ANOTHER)
        *ret_other = connections[which];
    return verdict;
}

static void log_refusal(Pool *pool, const ProxySource *source, SlotVerdict verdict) {
    const SlotRule *rule = &pool->settings->limits.handshakes;
    char from[PROXY_SOURCE_TEXT];

    proxy_source_text(source, from);
    if (verdict == SLOT_SOURCE_FULL)
        proxy_log_limited(&pool->log, source, now(pool), PROXY_LOG_WARNING,
                          "%s: refused %s, from where %u handshakes are under way (--max-handshakes-per-source)",
                          pool->settings->identity, from, rule->per_source);
    else
        proxy_log_limited(&pool->log, source, now(pool), PROXY_LOG_WARNING,
                          "%s: refused %s: %u handshakes are under way (--max-handshakes)", pool->settings->identity,
                          from, rule->full);
}

int pool_add(Pool *pool, int accepted) {
    _cleanup_close_ int fd = accepted;
    const ProxySource source = proxy_source_of_peer(fd);
    Connection *connection = NULL, *other = NULL;

    SlotVerdict verdict = decide(pool, &source, &other);
    if (verdict == SLOT_FULL || verdict == SLOT_SOURCE_FULL) {
        log_refusal(pool, &source, verdict);
        return 0;
    }
    if (verdict == SLOT_OF_ANOTHER)
        connection_end(other, PROXY_LOG_WARNING, "it made room for another handshake (--max-handshakes)");
    int r = connection_new(&pool->context, ++pool->accepted, TAKE_FD(fd), &source, &connection);
    if (r < 0)
        return r;
    pool->list[pool->count++] = connection;
    connection_gate_changed(connection);
    return 0;
}

/* ---- all ---- */

unsigned pool_count_open(const Pool *pool) {
    unsigned open = 0;

    for (unsigned i = 0; i < pool->count; i++)
        open += connection_is_open(pool->list[i]);
    return open;
}

void pool_gate_changed(Pool *pool) {
    for_each(pool, connection_gate_changed);
}

void pool_end_all(Pool *pool, const char *why) {
    for (unsigned i = pool->count; i-- > 0;)
        connection_end(pool->list[i], PROXY_LOG_INFO, "%s", why);
}

void pool_abandon_all(Pool *pool) {
    while (pool->count > 0)
        connection_abandon(pool->list[pool->count - 1]);
}

ConnectionContext *pool_context(Pool *pool) {
    return &pool->context;
}

/* ---- making and ending ---- */

static unsigned room(const ProxySettings *settings) {
    return settings->limits.connections + settings->limits.handshakes.full;
}

unsigned pool_descriptors(const ProxySettings *settings) {
    return 2 * room(settings);
}

int pool_new(const ProxySettings *settings, sd_event *event, PoolChanged changed, void *userdata, Pool **ret) {
    Pool *pool = calloc(1, sizeof *pool);
    uint64_t seed = 0;

    if (!pool)
        return -ENOMEM;
    (void) getrandom(&seed, sizeof seed, 0);
    *pool = (Pool) { .settings = settings,
                     .changed = changed,
                     .userdata = userdata,
                     .log = log_limit(settings->limits.log_lines, seed),
                     .list = calloc(room(settings), sizeof(Connection *)) };
    pool->context = (ConnectionContext) { .settings = settings,
                                          .event = event,
                                          .log = &pool->log,
                                          .take_place = on_take_place,
                                          .ended = on_ended,
                                          .freed = on_freed,
                                          .userdata = pool };
    int r = pool->list ? sd_event_add_defer(event, &pool->offer, on_offer, pool) : -ENOMEM;
    if (r >= 0)
        r = sd_event_source_set_enabled(pool->offer, SD_EVENT_OFF);
    if (r < 0) {
        pool_free(pool);
        return r;
    }
    *ret = pool;
    return 0;
}

Pool *pool_free(Pool *pool) {
    if (!pool)
        return NULL;
    proxy_log_left_out(&pool->log);
    sd_event_source_disable_unref(pool->offer);
    free(pool->list);
    free(pool);
    return NULL;
}
