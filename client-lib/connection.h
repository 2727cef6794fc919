/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One credential handle's socket: asking, waiting with a deadline, and taking the States that may come at any time,
 * also between a question and its answer. Knows nothing of threads and processes: credential.c does. */
#pragma once

#include "client-lib/snapshot.h"
#include "common/packet.h"

#include <sys/types.h>

/* A State came; takes over `snapshot`. 0, or a negative errno with this thread's text: the line is dead then. */
typedef int (*ConnectionState)(identityd_snapshot *snapshot, void *userdata);

/* One socket and where the conversation on it stands. */
typedef struct ConnectionLine {
    int fd;                   /* -1: none */
    dev_t device;             /* which socket that is: a program may close what is not its own, and the number … */
    ino_t inode;              /* … then be given to another file */
    bool dead;                /* nothing more is said on it; the owner closes it with connection_hang_up */
    uint32_t serial;          /* of the last question */
    uint32_t first_abandoned; /* oldest question whose answer was given up and may still come; 0: none */
} ConnectionLine;

typedef struct Connection {
    ConnectionLine line;
    bool adopting; /* what others have asked may still be answered */
    bool unproved; /* by the last State: who opened the handle has yet to speak on it */
    ConnectionState on_state;
    void *userdata;
    PacketBuffer buffer;
} Connection;

typedef struct ConnectionRequest {
    uint8_t type;
    uint32_t generation;
    uint16_t scheme;
    BytesView payload;
    uint64_t deadline; /* CLOCK_MONOTONIC, µs */
} ConnectionRequest;

/* Where an answer's payload goes; room for SIGNATURE_MAX bytes. */
typedef struct ConnectionAnswer {
    uint8_t *data;
    size_t size;
} ConnectionAnswer;

/* Takes over `fd`, a handle that we have opened: waits until `deadline` for the State that comes unasked, and asks for
 * it once more where that is what proves that it was us (a unit: rule). 0; -ENOTSOCK; or as connection_ask: `fd` is
 * closed then, and the line is as it was before. The earlier line's descriptor is not closed. */
int connection_begin(Connection *connection, int fd, uint64_t deadline);

/* The same for a descriptor that came from elsewhere, on which nothing is said: takes the State that is there to be
 * read, or comes until `deadline`, unasked or as an answer to whoever had the handle before, and all that is there
 * behind it. -ETIMEDOUT: none came. */
int connection_adopt(Connection *connection, int fd, uint64_t deadline);

/* Takes what has come without waiting; States go to `on_state`. 0; -EPIPE: closed by identityd, or by the program;
 * -EBADMSG: what came is not the protocol; the line is dead after both. */
int connection_process(Connection *connection);

/* Asks and waits. 0 and the answer; -EPIPE, -EBADMSG as above; -ETIMEDOUT; or, where identityd refuses, the errno of
 * its status; always with this thread's text. */
int connection_ask(Connection *connection, const ConnectionRequest *request, ConnectionAnswer *answer);

/* Whether something can be said. */
bool connection_is_alive(const Connection *connection);

/* Closes the descriptor, if there is one and it still is the socket that it was. */
void connection_hang_up(ConnectionLine *line);

/* 0 if `fd` is a connected SOCK_SEQPACKET socket of AF_UNIX, -ENOTSOCK else, with this thread's text set. */
int connection_check_socket(int fd);

uint64_t connection_now(void); /* CLOCK_MONOTONIC, µs */
