/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The client's side of the handle protocol (common/handle-protocol.h). Every wait has a deadline, every packet is
 * checked before anything of it is believed, and the first thing that is not the protocol ends the connection: after
 * that no answer could be told from another. */
#include "client-lib/connection.h"

#include "client-lib/error.h"
#include "common/handle-protocol.h"
#include "common/scheme.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>

#define PROCESS_PACKETS_MAX 64U /* taken in one go without waiting: a flood must not hold a program */

uint64_t connection_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

bool connection_is_alive(const Connection *connection) {
    return connection->line.fd >= 0 && !connection->line.dead;
}

static bool is_same_socket(const ConnectionLine *line) {
    struct stat status;

    return line->fd >= 0 && fstat(line->fd, &status) == 0 && status.st_dev == line->device &&
           status.st_ino == line->inode;
}

void connection_hang_up(ConnectionLine *line) {
    if (is_same_socket(line))
        (void) close(line->fd);
    line->fd = -1;
}

static int closed(Connection *connection) {
    connection->line.dead = true;
    return client_error(-EPIPE,
                        "identityd closed the credential handle: the identity was revoked or retired, identityd was "
                        "restarted, or its configuration no longer admits this process");
}

/* Before anything is said or heard: a program that closes all descriptors (to become a daemon) closes ours too, and
 * what it opens next gets the number. */
static int check_socket(Connection *connection) {
    if (is_same_socket(&connection->line))
        return 0;
    connection->line.fd = -1;
    connection->line.dead = true;
    return client_error(-EPIPE, "this program closed the descriptor of the credential handle");
}

static int violated(Connection *connection, const char *what) {
    connection->line.dead = true;
    return client_error(-EBADMSG, "what identityd sent on the credential handle is not the protocol: %s", what);
}

/* Waits until the socket can be read (or written). 0, -ETIMEDOUT, or -errno of poll. */
static int wait_for(const Connection *connection, short events, uint64_t deadline) {
    struct pollfd item = { .fd = connection->line.fd, .events = events };

    for (;;) {
        uint64_t now = connection_now();
        if (now >= deadline)
            return client_error(-ETIMEDOUT, "identityd did not answer on the credential handle in time");
        uint64_t left = (deadline - now + 999) / 1000;
        int n = poll(&item, 1, left > 3600000 ? 3600000 : (int) left);
        if (n > 0)
            return 0;
        if (n < 0 && errno != EINTR)
            return client_errno(-errno, "waiting for identityd");
    }
}

static int take_state(Connection *connection, const Packet *packet) {
    identityd_snapshot *snapshot = NULL;

    if (packet->header.status != 0)
        return violated(connection, "a State with an error");
    int r = snapshot_new(packet, &snapshot);
    if (r >= 0) {
        connection->unproved = snapshot->is_unproved;
        r = connection->on_state(snapshot, connection->userdata);
    }
    if (r < 0)
        connection->line.dead = true;
    return r;
}

static bool is_abandoned(const Connection *connection, uint32_t serial, uint32_t waiting_for) {
    uint32_t end = waiting_for ? waiting_for : connection->line.serial + 1;

    return connection->line.first_abandoned != 0 && serial >= connection->line.first_abandoned && serial < end;
}

typedef enum Received {
    RECEIVED_NOTHING = 0,
    RECEIVED_STATE = 1,
    RECEIVED_LATE = 2,   /* an answer that nobody waits for any more */
    RECEIVED_ANSWER = 3, /* in `ret`, not checked beyond its header */
} Received;

/* identityd refuses what was asked. */
static int refused(Connection *connection, const Packet *packet) {
    if (packet->fd_count > 0)
        return violated(connection, "descriptors beside an error");
    return client_error(client_errno_of_kind((FailureKind) packet->header.status), "%.*s", (int) packet->payload.size,
                        packet->payload.size ? (const char *) packet->payload.data : "");
}

/* An answer to what whoever had the handle before has asked: of its States we learn, its signatures are none of ours.
 */
static int receive_others(Connection *connection, const Packet *packet) {
    int r;

    switch (packet->header.type) {
    case HANDLE_STATE:
        r = packet->header.status != 0 ? refused(connection, packet) : take_state(connection, packet);
        return r < 0 ? r : RECEIVED_STATE;
    case HANDLE_SIGN_TRANSCRIPT | HANDLE_ANSWER:
    case HANDLE_SIGN_MESSAGE | HANDLE_ANSWER:
    case HANDLE_SIGN_DIGEST | HANDLE_ANSWER:
        return RECEIVED_LATE;
    default:
        return violated(connection, "an answer of no known type");
    }
}

/* Receives one packet and does what it says, but for the answer to `waiting_for` (0: none). A Received, or negative. */
static int receive(Connection *connection, uint32_t waiting_for, Packet *ret) {
    _cleanup_packet_ Packet packet = PACKET_INIT;

    int r = packet_receive(connection->line.fd, &connection->buffer, true, &packet);
    if (r == PACKET_NONE)
        return RECEIVED_NOTHING;
    if (r == PACKET_CLOSED)
        return closed(connection);
    if (r == -EPROTO)
        return violated(connection, "a malformed packet");
    if (r < 0) {
        connection->line.dead = true;
        return client_errno(r, "receiving on the credential handle");
    }

    const PacketHeader *header = &packet.header;
    if (header->serial == 0)
        return header->type != HANDLE_STATE                ? violated(connection, "an answer without a serial number")
               : (r = take_state(connection, &packet)) < 0 ? r
                                                           : RECEIVED_STATE;
    if (connection->adopting)
        return receive_others(connection, &packet);
    if (waiting_for != 0 && header->serial == waiting_for) {
        *ret = packet;
        packet = PACKET_INIT;
        return RECEIVED_ANSWER;
    }
    if (is_abandoned(connection, header->serial, waiting_for))
        return RECEIVED_LATE;
    return violated(connection, "an answer to nothing that was asked");
}

/* What is there to be read, without waiting, and no more than so many packets of a peer that never stops. 0, or as
 * receive fails. */
static int take_what_came(Connection *connection) {
    for (unsigned i = 0; i < PROCESS_PACKETS_MAX; i++) {
        Packet unused = PACKET_INIT;
        int r = receive(connection, 0, &unused);
        if (r <= RECEIVED_NOTHING)
            return r;
    }
    return 0;
}

int connection_process(Connection *connection) {
    if (!connection_is_alive(connection) || check_socket(connection) < 0)
        return -EPIPE;
    return take_what_came(connection);
}

/* The peer is gone, but what it sent before (that the identity is revoked) is still there to be read. */
static int drain_and_close(Connection *connection) {
    int r = take_what_came(connection);

    return r < 0 ? r : closed(connection);
}

static int send_request(Connection *connection, const ConnectionRequest *request) {
    const PacketHeader header = {
        .type = request->type,
        .serial = connection->line.serial,
        .generation = request->generation,
        .scheme = request->scheme,
    };

    for (;;) {
        int r = packet_send(connection->line.fd, &header, request->payload, NULL, 0);
        if (r == -EPIPE || r == -ECONNRESET)
            return drain_and_close(connection);
        if (r != -EAGAIN)
            return r < 0 ? client_errno(r, "sending on the credential handle") : 0;
        r = wait_for(connection, POLLOUT, request->deadline);
        if (r < 0)
            return r;
    }
}

static int take_answer(Connection *connection, const ConnectionRequest *request, Packet *packet,
                       ConnectionAnswer *answer) {
    const PacketHeader *header = &packet->header;

    if (header->type != (request->type | HANDLE_ANSWER))
        return violated(connection, "an answer of another type");
    if (header->status != 0)
        return refused(connection, packet);
    if (header->type == HANDLE_STATE)
        return take_state(connection, packet);
    if (packet->fd_count > 0)
        return violated(connection, "descriptors beside a signature");
    if (packet->payload.size == 0 || packet->payload.size > SIGNATURE_MAX)
        return violated(connection, "a signature of impossible length");
    memcpy(answer->data, packet->payload.data, packet->payload.size);
    answer->size = packet->payload.size;
    return 0;
}

/* Serial numbers are never 0 and, where they wrap, nothing is outstanding any more. */
static void next_serial(Connection *connection) {
    if (++connection->line.serial == 0 || connection->line.serial == UINT32_MAX) {
        connection->line.serial = 1;
        connection->line.first_abandoned = 0;
    }
}

static int wait_for_answer(Connection *connection, const ConnectionRequest *request, ConnectionAnswer *answer) {
    for (;;) {
        _cleanup_packet_ Packet packet = PACKET_INIT;
        int r = wait_for(connection, POLLIN, request->deadline); /* first: no TPM has answered by now */

        if (r < 0) {
            if (connection->line.first_abandoned == 0)
                connection->line.first_abandoned = connection->line.serial;
            return r;
        }
        r = receive(connection, connection->line.serial, &packet);
        if (r < 0)
            return r;
        if (r == RECEIVED_ANSWER) {
            connection->line.first_abandoned = 0; /* answers come in order: no older one can follow */
            return take_answer(connection, request, &packet, answer);
        }
    }
}

int connection_ask(Connection *connection, const ConnectionRequest *request, ConnectionAnswer *answer) {
    if (!connection_is_alive(connection))
        return closed(connection);
    int r = check_socket(connection);
    if (r < 0)
        return r;
    next_serial(connection);
    r = send_request(connection, request);
    return r < 0 ? r : wait_for_answer(connection, request, answer);
}

int connection_check_socket(int fd) {
    int type = 0, domain = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
        return client_error(-ENOTSOCK, "descriptor %d is no credential handle: not a SOCK_SEQPACKET socket of AF_UNIX",
                            fd);
    return 0;
}

static int set_flags(ConnectionLine *line) {
    struct stat status;
    int flags = fcntl(line->fd, F_GETFL);

    if (flags < 0 || fcntl(line->fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(line->fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fstat(line->fd, &status) < 0)
        return client_errno(-errno, "preparing the credential handle");
    line->device = status.st_dev;
    line->inode = status.st_ino;
    return 0;
}

/* The State that comes unasked, and what is there behind it: that identityd has closed the handle again. */
static int wait_for_state(Connection *connection, uint64_t deadline) {
    int r;

    do {
        Packet unused = PACKET_INIT;
        r = wait_for(connection, POLLIN, deadline);
        if (r >= 0)
            r = receive(connection, 0, &unused);
    } while (r >= 0 && r != RECEIVED_STATE);
    return r < 0 ? r : take_what_came(connection);
}

/* Not a word on it: whoever speaks first on a handle that was opened by a unit: rule proves to be who opened it, so
 * that a stranger could have us do that. */
static int listen_only(Connection *connection, uint64_t deadline) {
    int r = wait_for_state(connection, deadline);

    if (r == -ETIMEDOUT)
        return client_error(r, "no State came on the credential handle: whoever had it before has read it, and is to "
                               "send GetState and leave the answer to whom it passes the handle on to");
    return r;
}

static int begin(Connection *connection, int fd, uint64_t deadline, bool adopt) {
    const ConnectionLine before = connection->line;

    connection->line = (ConnectionLine) { .fd = fd };
    int r = connection_check_socket(fd);
    if (r >= 0)
        r = set_flags(&connection->line);
    if (r >= 0 && adopt) {
        connection->adopting = true;
        r = listen_only(connection, deadline);
        connection->adopting = false;
    } else if (r >= 0)
        r = wait_for_state(connection, deadline);
    /* The answer waits for the signing thread, and so for the TPM: nobody asks who need not prove who he is. */
    if (r >= 0 && !adopt && connection->unproved)
        r = connection_ask(connection, &(ConnectionRequest) { .type = HANDLE_GET_STATE, .deadline = deadline }, NULL);
    else if (r >= 0)
        next_serial(connection);
    if (r < 0) {
        if (connection->line.fd >= 0)
            (void) close(fd);
        connection->line = before;
    }
    return r;
}

int connection_begin(Connection *connection, int fd, uint64_t deadline) {
    return begin(connection, fd, deadline, false);
}

int connection_adopt(Connection *connection, int fd, uint64_t deadline) {
    return begin(connection, fd, deadline, true);
}
