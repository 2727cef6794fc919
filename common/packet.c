/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet layer. A descriptor that is not wanted is never installed here, not even to be closed: closing a foreign
 * one may wait for whoever stands behind it (a FUSE server, a socket with SO_LINGER), and our loops must not. */
#include "common/packet.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define CONTROL_CREDENTIALS CMSG_SPACE(sizeof(struct ucred))
#define CONTROL_FDS         CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)

typedef union Control {
    struct cmsghdr align;
    uint8_t bytes[CONTROL_CREDENTIALS + CONTROL_FDS];
} Control;

static void encode_header(const PacketHeader *header, uint8_t ret[static PACKET_HEADER_SIZE]) {
    ret[0] = PACKET_VERSION;
    ret[1] = header->type;
    ret[2] = (uint8_t) header->status;
    ret[3] = (uint8_t) (header->status >> 8);
    for (unsigned i = 0; i < 4; i++) {
        ret[4 + i] = (uint8_t) (header->serial >> 8 * i);
        ret[8 + i] = (uint8_t) (header->generation >> 8 * i);
    }
    ret[12] = (uint8_t) header->scheme;
    ret[13] = (uint8_t) (header->scheme >> 8);
    ret[14] = ret[15] = 0;
}

static uint32_t load_u32(const uint8_t *data) {
    return (uint32_t) data[0] | (uint32_t) data[1] << 8 | (uint32_t) data[2] << 16 | (uint32_t) data[3] << 24;
}

static int decode_header(const uint8_t *data, size_t size, PacketHeader *ret) {
    if (size < PACKET_HEADER_SIZE || size > PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX)
        return -EPROTO;
    if (data[0] != PACKET_VERSION || data[14] != 0 || data[15] != 0)
        return -EPROTO;
    *ret = (PacketHeader) {
        .version = data[0],
        .type = data[1],
        .status = (uint16_t) (data[2] | data[3] << 8),
        .serial = load_u32(data + 4),
        .generation = load_u32(data + 8),
        .scheme = (uint16_t) (data[12] | data[13] << 8),
    };
    return 0;
}

static ssize_t receive(int socket, struct msghdr *message, int flags) {
    ssize_t n;

    do
        n = recvmsg(socket, message, flags);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

typedef struct Peek {
    ssize_t size;
    uint8_t header[PACKET_HEADER_SIZE];
    bool has_descriptors;
} Peek;

/* Looks whether the next packet carries descriptors, without taking it or them: with room for no more than the
 * credentials, which come first, the kernel reports descriptors by MSG_CTRUNC and installs none. */
static int peek(int socket, size_t control_size, Peek *ret) {
    Control control;
    struct iovec part = { ret->header, sizeof(ret->header) };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control_size > 0 ? control.bytes : NULL,
                              .msg_controllen = control_size };

    ret->size = receive(socket, &message, MSG_PEEK | MSG_CMSG_CLOEXEC);
    ret->has_descriptors = ret->size >= 0 && message.msg_flags & MSG_CTRUNC;
    return ret->size < 0 ? (int) ret->size : 0;
}

static int credentials_room(int socket, size_t *ret) {
    int enabled = 0;
    socklen_t length = sizeof(enabled);

    if (getsockopt(socket, SOL_SOCKET, SO_PASSCRED, &enabled, &length) < 0)
        return -errno;
    *ret = enabled ? CONTROL_CREDENTIALS : 0;
    return 0;
}

/* Takes over everything that came along; true if there was more than a packet may carry. */
static bool take_control(struct msghdr *message, Packet *packet) {
    bool excess = false;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != SOL_SOCKET)
            continue;
        if (c->cmsg_type == SCM_CREDENTIALS && c->cmsg_len == CMSG_LEN(sizeof(struct ucred))) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(c), sizeof(credentials));
            packet->sender_pid = credentials.pid;
            packet->sender_uid = credentials.uid;
        } else if (c->cmsg_type == SCM_RIGHTS) {
            size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; i++) {
                int fd;
                memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
                if (packet->fd_count < PACKET_FDS_MAX)
                    packet->fds[packet->fd_count++] = fd;
                else {
                    (void) close(fd);
                    excess = true;
                }
            }
        }
    }
    return excess;
}

/* Receives what no longer needs a look. */
static int receive_packet(int socket, PacketBuffer *buffer, size_t control_size, Packet *ret) {
    _cleanup_packet_ Packet packet = PACKET_INIT;
    Control control;
    struct iovec part = { buffer->bytes, sizeof(buffer->bytes) };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control_size > 0 ? control.bytes : NULL,
                              .msg_controllen = control_size };
    ssize_t n = receive(socket, &message, MSG_CMSG_CLOEXEC);

    if (n == -EAGAIN)
        return PACKET_NONE;
    if (n == -ECONNRESET)
        return PACKET_CLOSED;
    if (n < 0)
        return (int) n;
    bool excess = take_control(&message, &packet);
    if (n == 0 && packet.fd_count == 0 && !excess)
        return PACKET_CLOSED;
    if (excess || message.msg_flags & (MSG_CTRUNC | MSG_TRUNC))
        return -EPROTO;
    int r = decode_header(buffer->bytes, (size_t) n, &packet.header);
    if (r < 0)
        return r;
    packet.payload = (BytesView) { buffer->bytes + PACKET_HEADER_SIZE, (size_t) n - PACKET_HEADER_SIZE };
    *ret = packet;
    packet = PACKET_INIT;
    return PACKET_RECEIVED;
}

static int peek_result(int r) {
    return r == -EAGAIN ? PACKET_NONE : r == -ECONNRESET ? PACKET_CLOSED : r;
}

int packet_receive(int socket, PacketBuffer *buffer, bool fds_allowed, Packet *ret) {
    size_t control_size = sizeof(Control);
    Peek next;

    if (!fds_allowed) {
        int r = credentials_room(socket, &control_size);
        if (r >= 0)
            r = peek(socket, control_size, &next);
        if (r < 0)
            return peek_result(r);
        if (next.has_descriptors)
            return -EPROTO;
    }
    return receive_packet(socket, buffer, control_size, ret);
}

/* Looks at copies of the next packet's descriptors; the queue keeps the originals, so that what is no memfd can still
 * be closed by somebody who has the time. 0: all of them are memfds. */
static int peek_at_memfds(int socket, const PacketMemfds *memfds, size_t control_size) {
    Packet packet = PACKET_INIT;
    Control control;
    uint8_t byte; /* qemu-user answers a look without room by itself, and leaves `control` as it was */
    struct iovec part = { &byte, 1 };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = control_size
    };
    ssize_t n = receive(socket, &message, MSG_PEEK | MSG_CMSG_CLOEXEC);

    if (n < 0)
        return (int) n;
    bool excess = take_control(&message, &packet);
    assert(!excess); /* there was no room for more than a packet may carry */
    int r = message.msg_flags & MSG_CTRUNC ? -EPROTO : 0;
    for (size_t i = 0; i < packet.fd_count; i++)
        if (fcntl(packet.fds[i], F_GET_SEALS) < 0) { /* which only a memfd has */
            r = -EPROTO;
            memfds->dispose(TAKE_FD(packet.fds[i]), memfds->userdata);
        }
    packet_clear(&packet);
    return r;
}

int packet_receive_memfds(int socket, PacketBuffer *buffer, const PacketMemfds *memfds, Packet *ret) {
    size_t control_size = 0;
    Peek next;
    int r = credentials_room(socket, &control_size);

    if (r >= 0)
        r = peek(socket, control_size, &next);
    if (r < 0)
        return peek_result(r);
    if (next.has_descriptors) {
        if (next.size < (ssize_t) sizeof(next.header) || next.header[1] != memfds->type)
            return -EPROTO;
        control_size += CONTROL_FDS;
        r = peek_at_memfds(socket, memfds, control_size);
        if (r < 0)
            return peek_result(r);
    }
    return receive_packet(socket, buffer, control_size, ret);
}

int packet_send(int socket, const PacketHeader *header, BytesView payload, const int *fds, size_t fd_count) {
    uint8_t encoded[PACKET_HEADER_SIZE];
    Control control;

    if (payload.size > PACKET_PAYLOAD_MAX || fd_count > PACKET_FDS_MAX)
        return -EMSGSIZE;
    encode_header(header, encoded);
    struct iovec parts[2] = {
        { encoded, sizeof(encoded) },
        { (void *) (uintptr_t) payload.data, payload.size },
    };
    struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };
    if (fd_count > 0) {
        memset(&control, 0, sizeof(control));
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(c), fds, sizeof(int) * fd_count);
    }
    ssize_t n;
    do
        n = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    assert((size_t) n == sizeof(encoded) + payload.size); /* SOCK_SEQPACKET: whole or not at all */
    return 0;
}

void packet_clear(Packet *packet) {
    for (size_t i = 0; i < PACKET_FDS_MAX; i++)
        packet->fds[i] = close_safe(packet->fds[i]);
    packet->fd_count = 0;
}
