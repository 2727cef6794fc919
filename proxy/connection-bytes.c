/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connection-internal.h: a connection from the end of its handshake on. */
#include "proxy/connection-internal.h"

#include "proxy/proxy-header.h"

#include <inttypes.h>
#include <string.h>

#define LINGER_SECONDS 2U

/* ---- bytes ---- */

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

void connection_move_bytes(Connection *connection) {
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
        connection->active = connection_now(connection);
    }
    if (flow_is_lingering(flow) && !was_lingering)
        connection_set_timer(connection, connection_now(connection) + LINGER_SECONDS * SECOND);
    else if (flow_is_ending(flow) && !was_ending)
        connection_set_timer(connection, connection_now(connection) + limits->half_closed * SECOND);
    if (result == FLOW_MORE)
        (void) sd_event_source_set_enabled(connection->turn, SD_EVENT_ONESHOT);
}

static int on_turn(sd_event_source *source, void *userdata) {
    connection_move_bytes(userdata);
    return 0;
}

static int on_plain(sd_event_source *source, int fd, uint32_t revents, void *userdata);

static int watch_plain(Connection *connection) {
    return connection->plain_source ? 0
                                    : sd_event_add_io(connection->context->event, &connection->plain_source,
                                                      connection->plain_fd, SOCKET_EVENTS, on_plain, connection);
}

/* The addresses of the TLS connection; not those of the program's. */
static int tell_program(Connection *connection) {
    const Handshake *handshake = &connection->handshake;
    ProxyAddress from = { .size = sizeof from.storage }, to = { .size = sizeof to.storage };
    unsigned char data[PROXY_HEADER_MAX];

    if (!connection->context->settings->proxy_protocol)
        return 0;
    if (getpeername(connection->tls_fd, &from.any, &from.size) < 0 ||
        getsockname(connection->tls_fd, &to.any, &to.size) < 0)
        return -errno;
    const ProxyHeader header = { .from = &from,
                                 .to = &to,
                                 .protocol = handshake->protocol,
                                 .server_name = handshake->server_name,
                                 .common_name = handshake->common_name,
                                 .cipher = handshake_cipher(handshake),
                                 .name = handshake->peer_name };
    return flow_set_prefix(&connection->flow, data, proxy_header_write(&header, data));
}

void connection_begin_bytes(Connection *connection) {
    const ConnectionContext *context = connection->context;
    const ProxyLimits *limits = &context->settings->limits;
    char to[PROXY_ADDRESS_TEXT];

    int r = flow_begin(&connection->flow, connection->handshake.session, connection->plain_fd, limits->buffer);
    if (r >= 0)
        r = tell_program(connection);
    if (r >= 0)
        r = watch_plain(connection);
    if (r >= 0)
        r = sd_event_add_defer(context->event, &connection->turn, on_turn, connection);
    if (r < 0) {
        connection_end(connection, PROXY_LOG_ERROR, "%s", strerror(-r));
        return;
    }
    proxy_address_text(&context->settings->connect, to);
    connection_log(connection, PROXY_LOG_INFO, "open from %s to %s, %s %s, generation %" PRIu32, connection->from,
                   context->settings->server ? to : context->settings->peer.host,
                   context->settings->server ? "client" : "server", connection->handshake.peer,
                   gate_generation(context->gate));
    connection->stage = STAGE_FLOW;
    connection->active = connection_now(connection);
    if (limits->idle > 0)
        connection_set_timer(connection, connection->active + limits->idle * SECOND);
    else
        (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_OFF);
}

/* ---- the local program's socket, of a server ---- */

void connection_reach_program(Connection *connection) {
    const ProxyAddress *address = &connection->context->settings->connect;

    connection->stage = STAGE_PROGRAM;
    if (connection->plain_fd < 0)
        connection->plain_fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int r = connection->plain_fd < 0 || connect(connection->plain_fd, &address->any, address->size) < 0 ? -errno : 0;
    if (r == -EAGAIN) {
        connection_set_timer(connection, connection_soon(connection, CONNECTION_BUSY_MILLIS));
        return;
    }
    if (r == -EINPROGRESS)
        r = watch_plain(connection);
    else if (r == 0) {
        connection_begin_bytes(connection);
        return;
    }
    if (r < 0)
        connection_end(connection, PROXY_LOG_WARNING, "the local program cannot be reached: %s", strerror(-r));
    else
        connection_set_timer(connection, connection->deadline);
}

static int on_plain(sd_event_source *source, int fd, uint32_t revents, void *userdata) {
    Connection *connection = userdata;

    if (connection->stage == STAGE_FLOW) {
        flow_plain_event(&connection->flow, revents);
        connection_move_bytes(connection);
        return 0;
    }
    int r = connection_socket_error(fd);
    if (r < 0)
        connection_end(connection, PROXY_LOG_WARNING, "the local program cannot be reached: %s", strerror(-r));
    else if (revents & EPOLLOUT)
        connection_begin_bytes(connection);
    return 0;
}

void connection_bytes_timer(Connection *connection) {
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
    if (connection_now(connection) < due)
        connection_set_timer(connection, due);
    else
        connection_end(connection, PROXY_LOG_INFO,
                       is_ending ? "one side was done, the other silent for %u s" : "idle for %u s", seconds);
}
