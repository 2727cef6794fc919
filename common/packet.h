/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The packet layer: one packet of a SOCK_SEQPACKET AF_UNIX socket is a 16-byte header, a payload of at most
 * 64 KiB and at most four descriptors. Credential handles and the enroller speak on it. The kernel frames
 * and bounds; this layer encodes, checks and moves descriptors, and keeps no state and no memory of its own.
 *
 *   offset  size  field       (all integers little-endian)
 *        0     1  version     1
 *        1     1  type
 *        2     2  status      0, or a FailureKind: the payload is then a UTF-8 text
 *        4     4  serial      chosen by the asking side, repeated in the answer; 0 in what nobody asked for
 *        8     4  generation
 *       12     2  scheme      IANA TLS SignatureScheme, or 0
 *       14     2  reserved    0
 */
#pragma once

#include "common/bytes.h"

#include <sys/types.h>

#define PACKET_VERSION     1U
#define PACKET_HEADER_SIZE 16U
#define PACKET_PAYLOAD_MAX 65536U
#define PACKET_FDS_MAX     4U

typedef struct PacketHeader {
    uint8_t version; /* filled in by packet_send */
    uint8_t type;
    uint16_t status;
    uint32_t serial;
    uint32_t generation;
    uint16_t scheme;
} PacketHeader;

/* Where a packet is received: caller's memory, one for all connections of a thread. */
typedef struct PacketBuffer {
    uint8_t bytes[PACKET_HEADER_SIZE + PACKET_PAYLOAD_MAX + 1U];
} PacketBuffer;

typedef struct Packet {
    PacketHeader header;
    BytesView payload;       /* in the buffer; valid until it is used again */
    int fds[PACKET_FDS_MAX]; /* owned by whoever holds the Packet; -1 where none */
    size_t fd_count;
    pid_t sender_pid; /* from SCM_CREDENTIALS when the socket has SO_PASSCRED, else 0 */
    uid_t sender_uid; /* (uid_t) -1 without SCM_CREDENTIALS */
} Packet;

typedef enum PacketResult {
    PACKET_NONE = 0, /* nothing there now (non-blocking socket) */
    PACKET_RECEIVED = 1,
    PACKET_CLOSED = 2, /* the peer is gone */
} PacketResult;

/* Receives one packet. `fds_allowed` false: any descriptor that came along is closed and the packet refused.
 * Returns a PacketResult, or -EPROTO: short, oversized, wrong version, reserved bits set, too many or
 * unwanted descriptors (all are closed); or -errno of recvmsg. MSG_CMSG_CLOEXEC is always set. */
int packet_receive(int socket, PacketBuffer *buffer, bool fds_allowed, Packet *ret);

/* What a loop that waits for nobody takes from a peer that it does not trust: memfds, with packets of one type. */
typedef struct PacketMemfds {
    uint8_t type;
    void (*dispose)(int fd, void *userdata); /* closes something else that was looked at: that close() may wait */
    void *userdata;
} PacketMemfds;

/* As packet_receive, but descriptors are taken only with packets of that type, and only if each is a memfd: closing one
 * of those waits for nobody. Any other is -EPROTO, and stays in the socket's queue: whoever closes the socket drops the
 * last reference to it. */
int packet_receive_memfds(int socket, PacketBuffer *buffer, const PacketMemfds *memfds, Packet *ret);

/* Sends one packet; descriptors are lent, not taken. Never raises SIGPIPE. 0; -EAGAIN: the socket is full and
 * nothing was sent; -EMSGSIZE: above the limits; -EPIPE or -ECONNRESET: the peer is gone; other -errno. */
int packet_send(int socket, const PacketHeader *header, BytesView payload, const int *fds, size_t fd_count);

/* Closes the descriptors that were not taken (set to -1). Harmless twice. */
void packet_clear(Packet *packet);
#define _cleanup_packet_ _cleanup_(packet_clear)
#define PACKET_INIT      ((Packet) { .fds = { -1, -1, -1, -1 }, .sender_uid = (uid_t) -1 })
