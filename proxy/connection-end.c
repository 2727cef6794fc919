/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connection-internal.h: what every stage of a connection needs, and its end. */
#include "proxy/connection-internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

uint64_t connection_now(const Connection *connection) {
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

void connection_log(const Connection *connection, ProxyLogLevel level, const char *format, ...) {
    _cleanup_free_ char *text = NULL;
    va_list arguments;

    va_start(arguments, format);
    if (vasprintf(&text, format, arguments) < 0)
        text = NULL;
    va_end(arguments);
    proxy_log_limited(connection->context->log, &connection->source, connection_now(connection), level,
                      "%s #%" PRIu64 ": %s", connection->context->settings->identity, connection->number,
                      text ? text : "out of memory");
}

static void log_end(const Connection *connection, ProxyLogLevel level, const char *text) {
    const Flow *flow = &connection->flow;

    if (connection->stage == STAGE_FLOW)
        connection_log(connection, level,
                       "closed after %" PRIu64 " s, %" PRIu64 " bytes to the peer and %" PRIu64 " from it: %s",
                       (connection_now(connection) - connection->began) / SECOND, flow->sent, flow->received, text);
    else
        connection_log(connection, level, "refused %s: %s", connection->from, text);
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

bool connection_has_place(const Connection *connection) {
    return connection->has_place;
}

bool connection_yields(const Connection *connection) {
    return !connection->doomed && !connection->busy && connection->stage <= STAGE_HANDSHAKE;
}

uint64_t connection_active(const Connection *connection) {
    return connection->stage == STAGE_FLOW ? connection->active : UINT64_MAX;
}

const ProxySource *connection_source(const Connection *connection) {
    return &connection->source;
}

void connection_abandon(Connection *connection) {
    release(connection);
}

void connection_submit(Connection *connection, Workers *workers, void (*run)(Job *), void (*done)(Job *)) {
    connection->busy = true;
    connection->again = false;
    connection->job = (Job) { .run = run, .done = done };
    workers_submit(workers, &connection->job);
}

Connection *connection_of_job(Job *job) {
    return (Connection *) ((char *) job - offsetof(Connection, job));
}

bool connection_take_back(Connection *connection) {
    bool is_wanted = !connection->doomed;

    connection->busy = false;
    if (!is_wanted)
        release(connection);
    return is_wanted;
}

void connection_set_timer(Connection *connection, uint64_t when) {
    (void) sd_event_source_set_time(connection->timer, when);
    (void) sd_event_source_set_enabled(connection->timer, SD_EVENT_ONESHOT);
}

uint64_t connection_soon(const Connection *connection, unsigned milliseconds) {
    uint64_t time = connection_now(connection) + milliseconds * UINT64_C(1000);

    return time < connection->deadline ? time : connection->deadline;
}

int connection_socket_error(int fd) {
    int error = 0;
    socklen_t size = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0 ? -errno : -error;
}
