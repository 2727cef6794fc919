/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection through the proxy, from accepting to its end: the other side is reached, TLS is spoken, bytes flow.
 * Each stage has its limit in time, and the end is one line in the log.
 *
 * Handshakes run in workers, a piece at a time, for a signature takes as long as the TPM does; a worker is never held
 * by a peer that says nothing. */
#pragma once

#include "proxy/gate.h"
#include "proxy/log.h"
#include "proxy/source.h"

#define CONNECTION_BUSY_MILLIS 50U /* before a local socket whose queue is full is tried again */
#define CONNECTION_AGAIN_MILLIS                                                                                        \
    250U /* before a handshake that failed for want of identityd is tried again while that seems ready */
#define CONNECTION_AGAIN_MAX 3U /* times */

typedef struct Connection Connection;

typedef enum Place {
    PLACE_TAKEN,
    PLACE_NONE,       /* all are: connection_place_is_free() will tell */
    PLACE_OF_SOURCES, /* its source has as many as it may */
} Place;

/* What all connections share. */
typedef struct ConnectionContext {
    const ProxySettings *settings;
    sd_event *event;
    Gate *gate;
    LogLimit *log;
    Workers *tls;                                                /* for handshakes */
    Workers *names;                                              /* for the name service, which may be slow */
    Place (*take_place)(void *userdata, Connection *connection); /* after its handshake */
    void (*ended)(void *userdata);                               /* one has */
    void (*freed)(void *userdata, Connection *connection); /* just before; later than its end where a worker had it */
    void *userdata;
} ConnectionContext;

/* Takes `accepted`, a non-blocking socket, also on failure. `source` is who is at its other end. Nothing happens before
 * connection_gate_changed(). -ENOMEM or -errno. */
int connection_new(const ConnectionContext *context, uint64_t number, int accepted, const ProxySource *source,
                   Connection **ret);

/* Begins or goes on, waits, is refused or ends, as the gate is now. */
void connection_gate_changed(Connection *connection);

/* Ends it now. Where a worker has it, the sockets are shut at once and it is freed when that is back. */
void connection_end(Connection *connection, ProxyLogLevel level, const char *format, ...) _printf_(3, 4);

/* There may be a place: one that waits for that asks again, others do nothing. */
void connection_place_is_free(Connection *connection);

/* Whether it has not ended. */
bool connection_is_open(const Connection *connection);
/* Whether it has a place; else it is in its handshake, or waits for one. */
bool connection_has_place(const Connection *connection);
/* Whether it waits for its peer in the handshake, so that it may end for another. */
bool connection_yields(const Connection *connection);
/* When bytes last moved, in µs of the monotonic clock; UINT64_MAX before they can. */
uint64_t connection_active(const Connection *connection);
const ProxySource *connection_source(const Connection *connection);

/* Frees one that a worker had when the workers were stopped. */
void connection_abandon(Connection *connection);
