/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connection.h. */
#include "proxy/connection.h"

#include "proxy/flow.h"
#include "proxy/handshake.h"

#include <inttypes.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define SECOND           UINT64_C(1000000)
#define TIMER_ACCURACY   (100U * UINT64_C(1000))
#define LINGER_SECONDS   2U
#define SOCKET_EVENTS    (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define KEEPALIVE_IDLE   120 /* seconds of silence before a peer that vanished is looked for */
#define KEEPALIVE_PERIOD 30  /* seconds between probes; after this many times KEEPALIVE_PROBES it is given up */
#define KEEPALIVE_PROBES 4

typedef enum Stage {
    STAGE_GATE,      /* for the identity */
    STAGE_NAME,      /* for the name service */
    STAGE_PEER,      /* for TCP to the server */
    STAGE_HANDSHAKE, /* for TLS */
    STAGE_PROGRAM,   /* for the local program's socket */
    STAGE_FLOW,
} Stage;

static const char *const stage_texts[] = {
    [STAGE_GATE] = "the identity",        [STAGE_NAME] = "the name service",
    [STAGE_PEER] = "the server",          [STAGE_HANDSHAKE] = "the peer's handshake",
    [STAGE_PROGRAM] = "the local socket", [STAGE_FLOW] = "bytes",
};

struct Connection {
    const ConnectionContext *context;
    uint64_t number, began; /* µs */
    char from[PROXY_ADDRESS_TEXT];
    Stage stage;

    int plain_fd, tls_fd;
    sd_event_source *plain_source, *tls_source, *timer, *turn;
    uint64_t deadline; /* of everything before STAGE_FLOW */
    uint64_t active;   /* when bytes last moved */
    uint64_t moved;    /* bytes up to then */

    Job job;
    bool busy;            /* a worker has the job, and what it works on */
    bool again;           /* something came meanwhile */
    bool doomed;          /* has ended; is freed when the worker gives it back */
    unsigned again_count; /* handshakes that began again while the gate was not away */

    struct addrinfo *addresses, *address; /* all, and the one that is tried */
    int name_error;
    Handshake handshake;
    Flow flow;
};

/* ---- its end ---- */

static uint64_t now(const Connection *connection) {
    uint64_t time = 0;

    (void) sd_event_now(connection->context->event, CLOCK_MONOTONIC, &time);
    return time;
}

static void release(Connection *connection) {
    connection->context->freed(connection->context->userdata, connection);
    if (connection->addresses)
        freeaddrinfo(connection->addresses);
    handshake_clear(&connection->handshake);
    sd_event_source_disable_unref(connection->timer);
    flow_clear(&connection->flow);
    close_safe(connection->plain_fd);
    close_safe(connection->tls_fd);
    free(connection);
}

static void unwatch(Connection *connection) {
    connection->plain_source = sd_event_source_disable_unref(connection->plain_source);
    connection->tls_source = sd_event_source_disable_unref(connection->tls_source);
    connection->turn = sd_event_source_disable_unref(connection->turn);
}

static void log_end(const Connection *connection, ProxyLogLevel level, const char *text) {
    const char *identity = connection->context->settings->identity;
    const Flow *flow = &connection->flow;

    if (connection->stage == STAGE_FLOW)
        proxy_log(level,
                  "%s #%" PRIu64 ": closed after %" PRIu64 " s, %" PRIu64 " bytes to the peer and %" PRIu64
                  " from it: %s",
                  identity, connection->number, (now(connection) - connection->began) / SECOND, flow->sent,
                  flow->received, text);
    else
        proxy_log(level, "%s #%" PRIu64 ": refused %s: %s", identity, connection->number, connection->from, text);
}

static void shut(const Connection *connection) {
    if (connection->plain_fd >= 0)
        (void) shutdown(connection->plain_fd, SHUT_RDWR);
    if (connection->tls_fd >= 0)
        (void) shutdown(connection->tls_fd, SHUT_RDWR);
}

void connection_end(Connection *connection, ProxyLogLevel level, const char *format, ...) {
    const ConnectionContext *context = connection->context;
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    if (connection->doomed)
        return;
    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    log_end(connection, level, text ? text : "out of memory");
    unwatch(connection);
    (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
    connection->doomed = true;
    if (!connection->busy)
        release(connection);
    else
        shut(connection);
    context->ended(context->userdata);
}

bool connection_is_open(const Connection *connection) {
    return !connection->doomed;
}

void connection_abandon(Connection *connection) {
    release(connection);
}

static void submit(Connection *connection, Workers *workers, void (*run)(Job *), void (*done)(Job *)) {
    connection->busy = true;
    connection->again = false;
    connection->job = (Job) { .run = run, .done = done };
    workers_submit(workers, &connection->job);
}

static Connection *of_job(Job *job) {
    return (Connection *) ((char *) job - offsetof(Connection, job));
}

/* Whether the connection is still wanted. */
static bool take_back(Connection *connection) {
    bool is_wanted = !connection->doomed;

    connection->busy = false;
    if (!is_wanted)
        release(connection);
    return is_wanted;
}

/* ---- bytes ---- */

static void set_timer(Connection *connection, uint64_t when) {
    (void) sd_event_source_set_time(connection->timer, when);
    (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

/* Within the deadline. */
static uint64_t soon(const Connection *connection, unsigned milliseconds) {
    uint64_t time = now(connection) + milliseconds * UINT64_C(1000);

    return time < connection->deadline ? time : connection->deadline;
}

static void end_flow(Connection *connection, FlowResult result, int error) {
    gnutls_session_t session = connection->handshake.session;

    switch (result) {
    case FLOW_LOCAL:
        connection_end(connection, PROXY_LOG_WARNING, "the local socket failed: %s", strerror(-error));
        break;
    case FLOW_TRUNCATED: /* many programs do so once they were told that nothing more comes */
        connection_end(connection, connection->flow.tls_closed ? PROXY_LOG_INFO : PROXY_LOG_WARNING,
                       "the peer ended without saying so, something may be missing");
        break;
    case FLOW_REFUSED: {
        const char *alert = gnutls_alert_get_name(gnutls_alert_get(session));
        connection_end(connection, PROXY_LOG_WARNING, "the peer refused: %s", alert ? alert : "unknown alert");
        break;
    }
    case FLOW_BROKEN:
        connection_end(connection, PROXY_LOG_WARNING, "%s", gnutls_strerror(error));
        break;
    default:
        connection_end(connection, PROXY_LOG_INFO, "both sides are done");
    }
}

static void flow_on(Connection *connection) {
    const ProxyLimits *limits = &connection->context->settings->limits;
    Flow *flow = &connection->flow;
    bool was_ending = flow_is_ending(flow), was_lingering = flow_is_lingering(flow);
    int error = 0;

    FlowResult result = flow_turn(flow, &error);
    if (result > FLOW_MORE) {
        end_flow(connection, result, error);
        return;
    }
    if (flow->sent + flow->received != connection->moved) {
        connection->moved = flow->sent + flow->received;
        connection->active = now(connection);
    }
    if (flow_is_lingering(flow) && !was_lingering)
        set_timer(connection, now(connection) + LINGER_SECONDS * SECOND);
    else if (flow_is_ending(flow) && !was_ending)
        set_timer(connection, now(connection) + limits->half_closed * SECOND);
    if (result == FLOW_MORE)
        (void) sd_event_source_set_enabled(connection->turn, SD_EVENT_ONESHOT);
}

static int on_turn(sd_event_source *source, void *userdata) {
    flow_on(userdata);
    return 0;
}

static int on_plain(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int watch_plain(Connection *connection) {
    return connection->plain_source ? 0
                                    : sd_event_add_io(connection->context->event, &connection->plain_source,
                                                      connection->plain_fd, SOCKET_EVENTS, on_plain, connection);
}

static void begin_flow(Connection *connection) {
    const ConnectionContext *context = connection->context;
    const ProxyLimits *limits = &context->settings->limits;
    char to[PROXY_ADDRESS_TEXT];

    int r = flow_begin(&connection->flow, connection->handshake.session, connection->plain_fd, limits->buffer);
    if (r >= 0)
        r = watch_plain(connection);
    if (r >= 0)
        r = sd_event_add_defer(context->event, &connection->turn, on_turn, connection);
    if (r < 0) {
        connection_end(connection, PROXY_LOG_ERROR, "%s", strerror(-r));
        return;
    }
    proxy_address_text(&context->settings->connect, to);
    proxy_log(
        PROXY_LOG_INFO, "%s #%" PRIu64 ": open from %s to %s, %s %s, generation %" PRIu32, context->settings->identity,
        connection->number, connection->from, context->settings->server ? to : context->settings->peer.host,
        context->settings->server ? "client" : "server", connection->handshake.peer, gate_generation(context->gate));
    connection->stage = STAGE_FLOW;
    connection->active = now(connection);
    if (limits->idle > 0)
        set_timer(connection, connection->active + limits->idle * SECOND);
    else
        (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
}

/* ---- the local program's socket, of a server ---- */

static void reach_program(Connection *connection) {
    const ProxyAddress *address = &connection->context->settings->connect;

    connection->stage = STAGE_PROGRAM;
    if (connection->plain_fd < 0)
        connection->plain_fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = connection->plain_fd < 0 || connect(connection->plain_fd, &address->any, address->size) < 0 ? -errno : 0;
    if (r == -EAGAIN) {
        set_timer(connection, soon(connection, CONNECTION_BUSY_MILLIS));
        return;
    }
    if (r == -EINPROGRESS)
        r = watch_plain(connection);
    else if (r == 0) {
        begin_flow(connection);
        return;
    }
    if (r < 0)
        connection_end(connection, PROXY_LOG_WARNING, "the local program cannot be reached: %s", strerror(-r));
    else
        set_timer(connection, connection->deadline);
}

static int socket_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}

static int on_plain(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Connection *connection = userdata;

    if (connection->stage == STAGE_FLOW) {
        flow_plain_event(&connection->flow, revents);
        flow_on(connection);
        return 0;
    }
    int r = socket_error(fd);
    if (r < 0)
        connection_end(connection, PROXY_LOG_WARNING, "the local program cannot be reached: %s", strerror(-r));
    else if (revents & EPOLLOUT)
        begin_flow(connection);
    return 0;
}

/* ---- the handshake ---- */

static void run_handshake(Job *job) {
    handshake_step(&of_job(job)->handshake);
}

static void finish_handshake(Job *job);

static void step_handshake(Connection *connection) {
    submit(connection, connection->context->tls, run_handshake, finish_handshake);
}

/* identityd may have gone in the midst of a handshake. A client begins again with another connection: when identityd is
 * back, or soon where the gate has not noticed. A server cannot, for it is the peer who would have to. */
static bool begins_again(Connection *connection) {
    bool is_away = gate_state(connection->context->gate) == GATE_AWAY;

    if (!connection->handshake.identity_failed || connection->context->settings->server ||
        (!is_away && connection->again_count++ == CONNECTION_AGAIN_MAX))
        return false;
    handshake_clear(&connection->handshake);
    connection->tls_source = sd_event_source_disable_unref(connection->tls_source);
    connection->tls_fd = close_safe(connection->tls_fd);
    freeaddrinfo(TAKE_PTR(connection->addresses));
    connection->stage = STAGE_GATE;
    set_timer(connection, is_away ? connection->deadline : soon(connection, CONNECTION_AGAIN_MILLIS));
    return true;
}

static void finish_handshake(Job *job) {
    Connection *connection = of_job(job);

    if (!take_back(connection))
        return;
    switch (connection->handshake.result) {
    case HANDSHAKE_WAIT:
        if (connection->again)
            step_handshake(connection);
        break;
    case HANDSHAKE_FAILED:
        if (!begins_again(connection))
            connection_end(connection, PROXY_LOG_WARNING, "%s", connection->handshake.failure);
        break;
    case HANDSHAKE_DONE:
        if (connection->context->settings->server)
            reach_program(connection);
        else
            begin_flow(connection);
    }
}

/* A peer that vanished without a word is noticed, also where there is no idle timeout. */
static void keep_alive(int fd) {
    const int yes = 1, idle = KEEPALIVE_IDLE, period = KEEPALIVE_PERIOD, probes = KEEPALIVE_PROBES;

    (void) setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &yes, sizeof yes);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &period, sizeof period);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes); /* the program's own writes set the pace */
}

static int on_tls(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int watch_tls(Connection *connection) {
    return sd_event_add_io(connection->context->event, &connection->tls_source, connection->tls_fd, SOCKET_EVENTS,
                           on_tls, connection);
}

static void begin_handshake(Connection *connection) {
    connection->stage = STAGE_HANDSHAKE;
    connection->handshake = (Handshake) { .settings = connection->context->settings,
                                          .credentials = gate_credentials(connection->context->gate),
                                          .fd = connection->tls_fd };
    keep_alive(connection->tls_fd);
    set_timer(connection, connection->deadline);
    int r = connection->tls_source ? 0 : watch_tls(connection);
    if (r < 0) {
        connection_end(connection, PROXY_LOG_ERROR, "%s", strerror(-r));
        return;
    }
    step_handshake(connection);
}

/* ---- the server, of a client ---- */

static void give_up_address(Connection *connection);
static void try_addresses(Connection *connection, int error);

static int on_tls(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Connection *connection = userdata;

    switch (connection->stage) {
    case STAGE_PEER: {
        int r = socket_error(fd);
        if (r < 0) {
            give_up_address(connection);
            try_addresses(connection, r);
        } else if (revents & EPOLLOUT)
            begin_handshake(connection);
        break;
    }
    case STAGE_HANDSHAKE:
        if (connection->busy)
            connection->again = true;
        else
            step_handshake(connection);
        break;
    case STAGE_FLOW:
        flow_tls_event(&connection->flow);
        flow_on(connection);
        break;
    default:
        break; /* what came is still there when it is wanted */
    }
    return 0;
}

/* Each address has an equal part of what time is left. */
static void set_address_timer(Connection *connection) {
    uint64_t time = now(connection), left = 0, count = 0;

    if (connection->deadline > time)
        left = connection->deadline - time;
    for (const struct addrinfo *address = connection->address; address; address = address->ai_next)
        count++;
    set_timer(connection, time + left / count);
}

static int try_address(Connection *connection) {
    const struct addrinfo *address = connection->address;

    connection->tls_fd = socket(address->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (connection->tls_fd < 0 ||
        (connect(connection->tls_fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS))
        return -errno;
    return watch_tls(connection);
}

static void give_up_address(Connection *connection) {
    connection->tls_source = sd_event_source_disable_unref(connection->tls_source);
    connection->tls_fd = close_safe(connection->tls_fd);
    connection->address = connection->address->ai_next;
}

/* The first of those that are left which answers; `error` is what became of the one before. */
static void try_addresses(Connection *connection, int error) {
    while (connection->address) {
        error = try_address(connection);
        if (error >= 0) {
            set_address_timer(connection);
            return;
        }
        give_up_address(connection);
    }
    connection_end(connection, PROXY_LOG_WARNING, "%s port %s cannot be reached: %s",
                   connection->context->settings->peer.host, connection->context->settings->peer.port,
                   strerror(-error));
}

static void run_name(Job *job) {
    Connection *connection = of_job(job);
    const Endpoint *peer = &connection->context->settings->peer;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };

    connection->name_error = getaddrinfo(peer->host, peer->port, &hints, &connection->addresses);
    if (connection->name_error != 0)
        connection->addresses = NULL;
}

static void finish_name(Job *job) {
    Connection *connection = of_job(job);

    if (!take_back(connection))
        return;
    if (connection->name_error != 0) {
        connection_end(connection, PROXY_LOG_WARNING, "cannot resolve %s port %s: %s",
                       connection->context->settings->peer.host, connection->context->settings->peer.port,
                       gai_strerror(connection->name_error));
        return;
    }
    connection->stage = STAGE_PEER;
    connection->address = connection->addresses;
    try_addresses(connection, 0);
}

/* ---- its beginning ---- */

static void begin(Connection *connection) {
    if (connection->context->settings->server) {
        begin_handshake(connection);
        return;
    }
    connection->stage = STAGE_NAME;
    submit(connection, connection->context->names, run_name, finish_name);
}

void connection_gate_changed(Connection *connection) {
    const Gate *gate = connection->context->gate;

    switch (gate_state(gate)) {
    case GATE_AWAY:
        break;
    case GATE_OPEN:
        if (connection->stage == STAGE_GATE)
            begin(connection);
        break;
    case GATE_SHUT:
        if (connection->stage == STAGE_GATE)
            connection_end(connection, PROXY_LOG_WARNING, "%s", gate_reason(gate));
        break;
    case GATE_ENDED:
        connection_end(connection, PROXY_LOG_WARNING, "%s", gate_reason(gate));
    }
}

static void flow_timer(Connection *connection) {
    const ProxyLimits *limits = &connection->context->settings->limits;
    bool is_ending = flow_is_ending(&connection->flow);
    unsigned seconds = is_ending ? limits->half_closed : limits->idle;
    uint64_t due = connection->active + seconds * SECOND;

    if (flow_is_lingering(&connection->flow)) {
        connection_end(connection, PROXY_LOG_INFO, "the program is gone, and the peer did not end");
        return;
    }
    if (seconds == 0)
        return;
    if (now(connection) < due)
        set_timer(connection, due);
    else
        connection_end(connection, PROXY_LOG_INFO,
                       is_ending ? "one side was done, the other silent for %u s" : "idle for %u s", seconds);
}

static int on_timer(sd_event_source *source, uint64_t when, void *userdata) {
    Connection *connection = userdata;
    const ConnectionContext *context = connection->context;

    if (connection->stage == STAGE_FLOW)
        flow_timer(connection);
    else if (now(connection) >= connection->deadline)
        connection_end(connection, PROXY_LOG_WARNING, "waited %u s, at last for %s%s%s",
                       context->settings->limits.handshake,
                       connection->busy && connection->stage == STAGE_HANDSHAKE ? "a signature or a turn"
                                                                                : stage_texts[connection->stage],
                       connection->stage == STAGE_GATE ? ": " : "",
                       connection->stage == STAGE_GATE ? gate_reason(context->gate) : "");
    else if (connection->stage == STAGE_PEER) {
        give_up_address(connection);
        try_addresses(connection, -ETIMEDOUT);
    } else if (connection->stage == STAGE_PROGRAM && !connection->plain_source)
        reach_program(connection);
    else {
        set_timer(connection, connection->deadline);
        connection_gate_changed(connection);
    }
    return 0;
}

int connection_new(const ConnectionContext *context, uint64_t number, int accepted, Connection **ret) {
    _cleanup_close_ int fd = accepted;
    Connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return -ENOMEM;
    *connection = (Connection) {
        .context = context, .number = number, .stage = STAGE_GATE, .plain_fd = -1, .tls_fd = -1, .flow = { .plain = -1 }
    };
    connection->began = now(connection);
    connection->deadline = connection->began + context->settings->limits.handshake * SECOND;
    int r = sd_event_add_time(context->event, &connection->timer, CLOCK_MONOTONIC, connection->deadline, TIMER_ACCURACY,
                              on_timer, connection);
    if (r < 0) {
        free(connection);
        return r;
    }
    proxy_address_of_peer(fd, connection->from);
    *(context->settings->server ? &connection->tls_fd : &connection->plain_fd) = TAKE_FD(fd);
    *ret = connection;
    return 0;
}
