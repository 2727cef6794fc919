/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A connection as the files see it that make one: connection.c (its stages up to TLS) calls connection-bytes.c (the
 * local program, and bytes), and both call connection-end.c (clock, timer, workers, its end). */
#pragma once

#include "proxy/connection.h"
#include "proxy/flow.h"
#include "proxy/handshake.h"

#include <netdb.h>
#include <sys/epoll.h>

#define SECOND        UINT64_C(1000000)
#define SOCKET_EVENTS (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

typedef enum Stage {
    STAGE_GATE,      /* for the identity */
    STAGE_NAME,      /* for the name service */
    STAGE_PEER,      /* for TCP to the server */
    STAGE_HANDSHAKE, /* for TLS */
    STAGE_PLACE,     /* for one among those that are open */
    STAGE_PROGRAM,   /* for the local program's socket */
    STAGE_FLOW,
} Stage;

struct Connection {
    const ConnectionContext *context;
    uint64_t number, began; /* µs */
    ProxySource source;
    char from[PROXY_ADDRESS_TEXT];
    Stage stage;
    bool has_place;

    int plain_fd, tls_fd;
    sd_event_source *plain_source, *tls_source, *timer, *turn;
    uint64_t deadline;      /* of everything before STAGE_FLOW */
    uint64_t peer_left;     /* µs for which the handshake may still wait for the peer, of a server */
    uint64_t waiting_since; /* while it does; else 0 */
    uint64_t active;        /* when bytes last moved */
    uint64_t moved;         /* bytes up to then */

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

/* ---- for every stage ---- */

/* Of the monotonic clock, in µs. */
uint64_t connection_now(const Connection *connection);
void connection_set_timer(Connection *connection, uint64_t when);
/* In so many milliseconds, but within the deadline. */
uint64_t connection_soon(const Connection *connection, unsigned milliseconds);

/* `run` in a worker, then `done` in the loop, which begins with connection_take_back(): whether the connection is still
 * wanted, or was freed. */
void connection_submit(Connection *connection, Workers *workers, void (*run)(Job *), void (*done)(Job *));
bool connection_take_back(Connection *connection);
Connection *connection_of_job(Job *job);

/* What became of connect(): 0 or -errno. */
int connection_socket_error(int fd);

/* A line about it, within the limits of its source. */
void connection_log(const Connection *connection, ProxyLogLevel level, const char *format, ...) _printf_(3, 4);

/* ---- from the handshake on ---- */

/* Connects to the local program, of a server, and goes on with bytes. */
void connection_reach_program(Connection *connection);
void connection_begin_bytes(Connection *connection);
/* After an event at either socket. */
void connection_move_bytes(Connection *connection);
/* The timer has run out while bytes flow. */
void connection_bytes_timer(Connection *connection);
