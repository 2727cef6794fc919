/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See run.h. */
#include "proxy/run.h"

#include "command/complain.h"
#include "proxy/listener.h"
#include "proxy/pool.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <systemd/sd-daemon.h>

#define DESCRIPTORS_BESIDE 48U         /* listeners, the loop, the handle, opening it again */
#define FULL_AGAIN_MICROS  60000000ULL /* between two lines that say that the limit is reached */

typedef struct Proxy {
    const ProxySettings *settings;
    Pool *pool;
    Gate *gate;
    Workers *tls, *names, *opening; /* the last is the gate's */
    sd_event *event;
    ProxyListeners listeners;
    sd_event_source *accepting[PROXY_LISTENERS_MAX];
    sd_event_source *pause, *drain, *signals[2];
    uint64_t full_said;
    bool paused, draining;
} Proxy;

/* ---- accepting ---- */

static uint64_t now(const Proxy *proxy) {
    uint64_t time = 0;

    (void) sd_event_now(proxy->event, CLOCK_MONOTONIC, &time);
    return time;
}

static void say_full(Proxy *proxy) {
    if (proxy->full_said != 0 && now(proxy) - proxy->full_said < FULL_AGAIN_MICROS)
        return;
    proxy->full_said = now(proxy);
    proxy_log(PROXY_LOG_WARNING, "%s: %u connections, the limit (--max-connections): more have to wait",
              proxy->settings->identity, proxy->settings->limits.connections);
}

/* Accepting stops where no more can be taken: what comes then waits in the kernel's queue. */
static void set_accepting(Proxy *proxy) {
    bool wanted = !proxy->draining && !proxy->paused && pool_has_place(proxy->pool);

    if (!pool_has_place(proxy->pool))
        say_full(proxy);
    for (size_t i = 0; i < proxy->listeners.count; i++)
        (void) sd_event_source_set_enabled(proxy->accepting[i], wanted ? SD_EVENT_ON : SD_EVENT_OFF);
}

static int on_pause(sd_event_source *source, uint64_t when, void *userdata) {
    Proxy *proxy = userdata;

    proxy->paused = false;
    set_accepting(proxy);
    return 0;
}

static void pause_accepting(Proxy *proxy, int error) {
    pool_log(proxy->pool, PROXY_LOG_ERROR, "cannot accept connections for now: %s", strerror(-error));
    proxy->paused = true;
    set_accepting(proxy);
    (void) sd_event_source_set_time(proxy->pause, now(proxy) + PROXY_PAUSE_MILLIS * UINT64_C(1000));
    (void) sd_event_source_set_enabled(proxy->pause, SD_EVENT_ONESHOT);
}

/* Errors of the one connection that was to be accepted, not of accepting (accept(2)). */
static bool concerns_one(int error) {
    return error == ECONNABORTED || error == EINTR || error == EPERM || error == EPROTO || error == ENETDOWN ||
           error == ENOPROTOOPT || error == EHOSTDOWN || error == ENONET || error == EHOSTUNREACH ||
           error == EOPNOTSUPP || error == ENETUNREACH;
}

static int on_accept(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Proxy *proxy = userdata;

    for (unsigned i = 0; i < PROXY_ACCEPT_BATCH && pool_has_place(proxy->pool); i++) {
        int accepted = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int r = accepted < 0 ? -errno : pool_add(proxy->pool, accepted);
        if (r == -EAGAIN)
            break;
        if (r < 0 && !concerns_one(-r)) {
            pause_accepting(proxy, r);
            return 0;
        }
    }
    set_accepting(proxy);
    return 0;
}

static void on_changed(void *userdata) {
    Proxy *proxy = userdata;

    set_accepting(proxy);
    if (proxy->draining && pool_count_open(proxy->pool) == 0)
        (void) sd_event_exit(proxy->event, EXIT_OK);
}

/* ---- the identity ---- */

static void tell_systemd(const Proxy *proxy) {
    const char *reason = gate_reason(proxy->gate);

    if (gate_state(proxy->gate) == GATE_OPEN)
        (void) sd_notifyf(false, "READY=1\nSTATUS=%s is ready, generation %" PRIu32, proxy->settings->identity,
                          gate_generation(proxy->gate));
    else
        (void) sd_notifyf(false, "READY=1\nSTATUS=%s: %s", proxy->settings->identity, reason);
}

static void log_gate(const Proxy *proxy, GateState state) {
    const char *identity = proxy->settings->identity, *reason = gate_reason(proxy->gate);

    switch (state) {
    case GATE_OPEN:
        proxy_log(PROXY_LOG_INFO, "%s: ready, generation %" PRIu32, identity, gate_generation(proxy->gate));
        break;
    case GATE_AWAY:
        proxy_log(PROXY_LOG_WARNING, "%s: new connections wait: %s", identity, reason);
        break;
    case GATE_SHUT:
        proxy_log(PROXY_LOG_WARNING, "%s: new connections are refused: %s", identity, reason);
        break;
    case GATE_ENDED:
        proxy_log(PROXY_LOG_ERROR, "%s: all %u connections are closed, new ones refused: %s", identity,
                  pool_count_open(proxy->pool), reason);
    }
}

static void on_gate(GateState state, void *userdata) {
    Proxy *proxy = userdata;
    ExitCode hopeless = gate_is_hopeless(proxy->gate);

    if (hopeless != EXIT_OK) {
        complain("cannot open %s for %s: %s", proxy->settings->identity,
                 proxy->settings->server ? "tls-server" : "tls-client", gate_reason(proxy->gate));
        (void) sd_event_exit(proxy->event, hopeless);
        return;
    }
    log_gate(proxy, state);
    if (!proxy->draining)
        tell_systemd(proxy);
    pool_gate_changed(proxy->pool);
}

/* ---- the end ---- */

static void stop_accepting(Proxy *proxy) {
    for (size_t i = 0; i < proxy->listeners.count; i++)
        proxy->accepting[i] = sd_event_source_disable_unref(proxy->accepting[i]);
    proxy_listeners_close(&proxy->listeners);
}

static int on_drained(sd_event_source *source, uint64_t when, void *userdata) {
    return sd_event_exit(((Proxy *) userdata)->event, EXIT_OK);
}

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
    Proxy *proxy = userdata;
    unsigned open = pool_count_open(proxy->pool);

    if (proxy->draining || open == 0 || proxy->settings->limits.drain == 0)
        return sd_event_exit(proxy->event, EXIT_OK);
    proxy->draining = true;
    stop_accepting(proxy);
    proxy_log(PROXY_LOG_INFO, "%s: stopping: %u connections have %u s to finish", proxy->settings->identity, open,
              proxy->settings->limits.drain);
    (void) sd_notifyf(false, "STOPPING=1\nSTATUS=%u connections are finishing", open);
    (void) sd_event_source_set_time(proxy->drain, now(proxy) + proxy->settings->limits.drain * UINT64_C(1000000));
    return sd_event_source_set_enabled(proxy->drain, SD_EVENT_ONESHOT);
}

/* ---- making and taking down ---- */

static ExitCode make_room(const ProxySettings *settings) {
    struct rlimit limit;
    rlim_t needed = (rlim_t) pool_descriptors(settings) + DESCRIPTORS_BESIDE;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < needed) {
        limit.rlim_cur = needed < limit.rlim_max ? needed : limit.rlim_max;
        if (limit.rlim_max < needed || setrlimit(RLIMIT_NOFILE, &limit) < 0) {
            complain("%u connections and %u handshakes need %ju file descriptors, and the limit is %ju: raise it "
                     "(LimitNOFILE=), or lower --max-connections or --max-handshakes.",
                     settings->limits.connections, settings->limits.handshakes.full, (uintmax_t) needed,
                     (uintmax_t) limit.rlim_max);
            return EXIT_FAILED;
        }
    }
    return EXIT_OK;
}

static int add_timer(Proxy *proxy, sd_event_time_handler_t handler, sd_event_source **ret) {
    int r = sd_event_add_time(proxy->event, ret, CLOCK_MONOTONIC, 0, 0, handler, proxy);
    return r < 0 ? r : sd_event_source_set_enabled(*ret, SD_EVENT_OFF);
}

static int add_signals(Proxy *proxy) {
    static const int numbers[] = { SIGTERM, SIGINT };
    sigset_t set;
    int r = 0;

    sigemptyset(&set);
    for (size_t i = 0; i < ARRAY_LENGTH(numbers); i++)
        sigaddset(&set, numbers[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
        return -errno;
    for (size_t i = 0; r >= 0 && i < ARRAY_LENGTH(numbers); i++) {
        r = sd_event_add_signal(proxy->event, &proxy->signals[i], numbers[i], on_signal, proxy);
        if (r >= 0)
            r = sd_event_source_set_priority(proxy->signals[i], SD_EVENT_PRIORITY_IMPORTANT);
    }
    return r;
}

static int make_workers(Proxy *proxy) {
    const ProxySettings *settings = proxy->settings;
    ConnectionContext *context = pool_context(proxy->pool);

    int r = workers_new(proxy->event, PROXY_TLS_WORKERS, &proxy->tls);
    if (r >= 0 && !settings->server)
        r = workers_new(proxy->event, PROXY_NAME_WORKERS, &proxy->names);
    if (r >= 0)
        r = workers_new(proxy->event, PROXY_GATE_WORKERS, &proxy->opening);
    if (r >= 0)
        r = gate_new(proxy->event, proxy->opening, settings->identity, settings->server ? "tls-server" : "tls-client",
                     on_gate, proxy, &proxy->gate);
    if (r < 0)
        return r;
    context->tls = proxy->tls;
    context->names = proxy->names;
    context->gate = proxy->gate;
    return 0;
}

static int make_loop(Proxy *proxy) {
    const ProxySettings *settings = proxy->settings;
    int r = sd_event_new(&proxy->event);

    if (r >= 0)
        r = add_signals(proxy);
    if (r >= 0)
        r = add_timer(proxy, on_pause, &proxy->pause);
    if (r >= 0)
        r = add_timer(proxy, on_drained, &proxy->drain);
    for (size_t i = 0; r >= 0 && i < proxy->listeners.count; i++)
        r = sd_event_add_io(proxy->event, &proxy->accepting[i], proxy->listeners.list[i].fd, EPOLLIN, on_accept, proxy);
    if (r >= 0)
        r = sd_event_set_watchdog(proxy->event, true);
    if (r >= 0)
        r = pool_new(settings, proxy->event, on_changed, proxy, &proxy->pool);
    if (r >= 0)
        r = make_workers(proxy);
    return r;
}

/* False: a worker still waits, perhaps for a signature that will not come. Then nothing more can be freed. */
static bool take_down(Proxy *proxy) {
    Workers *workers[] = { proxy->tls, proxy->names, proxy->opening };
    bool stopped = true;

    stop_accepting(proxy);
    if (proxy->pool)
        pool_end_all(proxy->pool, "the proxy stops");
    for (size_t i = 0; i < ARRAY_LENGTH(workers); i++)
        if (workers[i] && !workers_stop(workers[i], PROXY_STOP_SECONDS))
            stopped = false;
    if (!stopped)
        return false;
    if (proxy->pool)
        pool_abandon_all(proxy->pool);
    for (size_t i = 0; i < ARRAY_LENGTH(workers); i++)
        workers_free(workers[i]);
    gate_free(proxy->gate);
    pool_free(proxy->pool);
    return true;
}

static void announce(const Proxy *proxy) {
    const ProxySettings *settings = proxy->settings;
    char at[PROXY_ADDRESS_TEXT], to[PROXY_ADDRESS_TEXT];

    proxy_address_text(&settings->connect, to);
    for (size_t i = 0; i < proxy->listeners.count; i++) {
        proxy_address_text(&proxy->listeners.list[i].address, at);
        if (settings->server)
            proxy_log(PROXY_LOG_INFO, "%s: TLS at %s, passed on to %s; let in: %s", settings->identity, at, to,
                      settings->allowed_count > 0 ? "clients with the given names" : "all clients that verify");
        else
            proxy_log(PROXY_LOG_INFO, "%s: at %s, passed on to %s port %s over TLS as %s", settings->identity, at,
                      settings->peer.host, settings->peer.port, settings->name);
    }
}

ExitCode proxy_run(const ProxySettings *settings) {
    Proxy proxy = { .settings = settings };

    proxy_log_set_quiet(settings->quiet);
    ExitCode code = make_room(settings);
    if (code == EXIT_OK)
        code = proxy_listeners_open(settings, &proxy.listeners);
    if (code == EXIT_OK) {
        int r = make_loop(&proxy);
        if (r >= 0) {
            announce(&proxy);
            r = sd_event_loop(proxy.event);
        }
        if (r < 0)
            complain("cannot go on: %s.", strerror(-r));
        code = r < 0 ? EXIT_FAILED : (ExitCode) r;
    }
    (void) sd_notify(false, "STOPPING=1");
    if (!take_down(&proxy)) {
        proxy_log(PROXY_LOG_WARNING, "%s: ended without waiting for identityd or the name service", settings->identity);
        _exit(code);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(proxy.signals); i++)
        sd_event_source_disable_unref(proxy.signals[i]);
    sd_event_source_disable_unref(proxy.pause);
    sd_event_source_disable_unref(proxy.drain);
    sd_event_unref(proxy.event);
    return code;
}
