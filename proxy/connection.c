/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connection.h. */
#include "proxy/connection-internal.h"

#include <netinet/tcp.h>
#include <string.h>

#define TIMER_ACCURACY   (100U * UINT64_C(1000))
#define KEEPALIVE_IDLE   120 /* seconds of silence before a peer that vanished is looked for */
#define KEEPALIVE_PERIOD 30  /* seconds between probes; after this many times KEEPALIVE_PROBES it is given up */
#define KEEPALIVE_PROBES 4

static const char *const stage_texts[] = {
    [STAGE_GATE] = "the identity",
    [STAGE_NAME] = "the name service",
    [STAGE_PEER] = "the server",
    [STAGE_HANDSHAKE] = "the peer's handshake",
    [STAGE_PROGRAM] = "the local socket",
    [STAGE_FLOW] = "bytes",
    [STAGE_PLACE] = "a place (--max-connections)",
};

/* ---- the handshake ---- */

static void run_handshake(Job *job) {
    handshake_step(&connection_of_job(job)->handshake);
}

static void finish_handshake(Job *job);

static void step_handshake(Connection *connection) {
    connection_set_timer(connection, connection->deadline);
    connection_submit(connection, connection->context->tls, run_handshake, finish_handshake);
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
    connection_set_timer(connection,
                         is_away ? connection->deadline : connection_soon(connection, CONNECTION_AGAIN_MILLIS));
    return true;
}

static void go_on(Connection *connection) {
    const ConnectionContext *context = connection->context;

    switch (context->take_place(context->userdata, connection)) {
    case PLACE_TAKEN:
        connection->has_place = true;
        if (context->settings->server)
            connection_reach_program(connection);
        else
            connection_begin_bytes(connection);
        break;
    case PLACE_NONE:
        connection->stage = STAGE_PLACE;
        connection_set_timer(connection, connection->deadline);
        break;
    case PLACE_OF_SOURCES:
        connection_end(connection, PROXY_LOG_WARNING,
                       "whom it is from has %u connections, the limit (--max-per-source)",
                       context->settings->limits.per_source);
    }
}

void connection_place_is_free(Connection *connection) {
    if (!connection->doomed && connection->stage == STAGE_PLACE)
        go_on(connection);
}

/* A client has so much time in all, which no byte of it extends: it is counted only while it is waited for, since it
 * cannot help how long the TPM takes. */
static void wait_for_peer(Connection *connection) {
    if (!connection->context->settings->server)
        return;
    connection->waiting_since = connection_now(connection);
    uint64_t until = connection->waiting_since + connection->peer_left;
    connection_set_timer(connection, until < connection->deadline ? until : connection->deadline);
}

static void stop_waiting(Connection *connection) {
    uint64_t waited = connection->waiting_since == 0 ? 0 : connection_now(connection) - connection->waiting_since;

    connection->waiting_since = 0;
    connection->peer_left -= waited < connection->peer_left ? waited : connection->peer_left;
}

static bool peer_is_late(const Connection *connection) {
    return connection->waiting_since != 0 &&
           connection_now(connection) >= connection->waiting_since + connection->peer_left;
}

static void finish_handshake(Job *job) {
    Connection *connection = connection_of_job(job);

    if (!connection_take_back(connection))
        return;
    switch (connection->handshake.result) {
    case HANDSHAKE_WAIT:
        if (connection->again)
            step_handshake(connection);
        else
            wait_for_peer(connection);
        break;
    case HANDSHAKE_FAILED:
        if (!begins_again(connection))
            connection_end(connection, PROXY_LOG_WARNING, "%s", connection->handshake.failure);
        break;
    case HANDSHAKE_DONE:
        go_on(connection);
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
    int r = connection->tls_source ? 0 : watch_tls(connection);
    if (r < 0) {
        connection_end(connection, PROXY_LOG_ERROR, "%s", strerror(-r));
        return;
    }
    /* A client speaks first, and one that does not costs no session and no turn of a worker. */
    if (connection->context->settings->server)
        wait_for_peer(connection);
    else
        step_handshake(connection);
}

/* ---- the server, of a client ---- */

static void give_up_address(Connection *connection);
static void try_addresses(Connection *connection, int error);

static int on_tls(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Connection *connection = userdata;

    switch (connection->stage) {
    case STAGE_PEER: {
        int r = connection_socket_error(fd);
        if (r < 0) {
            give_up_address(connection);
            try_addresses(connection, r);
        } else if (revents & EPOLLOUT)
            begin_handshake(connection);
        break;
    }
    case STAGE_HANDSHAKE:
        if (!connection->handshake.session && (revents & ~(uint32_t) EPOLLOUT) == 0)
            break; /* it says nothing yet */
        if (connection->busy) {
            connection->again = true;
            break;
        }
        stop_waiting(connection);
        step_handshake(connection);
        break;
    case STAGE_FLOW:
        flow_tls_event(&connection->flow);
        connection_move_bytes(connection);
        break;
    default:
        break; /* what came is still there when it is wanted */
    }
    return 0;
}

/* Each address has an equal part of what time is left. */
static void set_address_timer(Connection *connection) {
    uint64_t time = connection_now(connection), left = 0, count = 0;

    if (connection->deadline > time)
        left = connection->deadline - time;
    for (const struct addrinfo *address = connection->address; address; address = address->ai_next)
        count++;
    connection_set_timer(connection, time + left / count);
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
    Connection *connection = connection_of_job(job);
    const Endpoint *peer = &connection->context->settings->peer;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };

    connection->name_error = getaddrinfo(peer->host, peer->port, &hints, &connection->addresses);
    if (connection->name_error != 0)
        connection->addresses = NULL;
}

static void finish_name(Job *job) {
    Connection *connection = connection_of_job(job);

    if (!connection_take_back(connection))
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
    connection_submit(connection, connection->context->names, run_name, finish_name);
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

static int on_timer(sd_event_source *source, uint64_t when, void *userdata) {
    Connection *connection = userdata;
    const ConnectionContext *context = connection->context;

    if (connection->stage == STAGE_FLOW)
        connection_bytes_timer(connection);
    else if (connection_now(connection) >= connection->deadline)
        connection_end(connection, PROXY_LOG_WARNING, "waited %u s, at last for %s%s%s",
                       context->settings->limits.handshake,
                       connection->busy && connection->stage == STAGE_HANDSHAKE ? "a signature or a turn"
                                                                                : stage_texts[connection->stage],
                       connection->stage == STAGE_GATE ? ": " : "",
                       connection->stage == STAGE_GATE ? gate_reason(context->gate) : "");
    else if (peer_is_late(connection))
        connection_end(connection, PROXY_LOG_WARNING,
                       "the client kept its handshake waiting for %u s in all (--peer-timeout)",
                       context->settings->limits.peer);
    else if (connection->stage == STAGE_PEER) {
        give_up_address(connection);
        try_addresses(connection, -ETIMEDOUT);
    } else if (connection->stage == STAGE_PROGRAM && !connection->plain_source)
        connection_reach_program(connection);
    else {
        connection_set_timer(connection, connection->deadline);
        connection_gate_changed(connection);
    }
    return 0;
}

int connection_new(const ConnectionContext *context, uint64_t number, int accepted, const ProxySource *source,
                   Connection **ret) {
    _cleanup_close_ int fd = accepted;
    Connection *connection = calloc(1, sizeof *connection);

    if (!connection)
        return -ENOMEM;
    *connection = (Connection) {
        .context = context, .number = number, .stage = STAGE_GATE, .plain_fd = -1, .tls_fd = -1, .flow = { .plain = -1 }
    };
    connection->began = connection_now(connection);
    connection->source = *source;
    connection->deadline = connection->began + context->settings->limits.handshake * SECOND;
    connection->peer_left = context->settings->limits.peer * SECOND;
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
