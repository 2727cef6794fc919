/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The nastiest descriptor to be sent: a TCP socket with unsent data and SO_LINGER. Whoever drops the last reference to
 * it waits. The sender keeps none. */
#pragma once

#include "common/macros.h"
#include "tests/unit/common/test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

typedef struct LingeringPeer {
    int accepted; /* never read from; closing it earlier would reset the connection and end the lingering */
} LingeringPeer;

static inline void linger_peer_clear(LingeringPeer *peer) {
    peer->accepted = close_safe(peer->accepted);
}

/* A connected TCP socket whose close() waits for `seconds`. */
static inline int linger_socket(int seconds, LingeringPeer *ret_peer) {
    static const uint8_t bulk[65536];
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t length = sizeof(address);
    const struct linger linger = { .l_onoff = 1, .l_linger = seconds };
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(listener, (struct sockaddr *) &address, length), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *) &address, &length), 0);
    assert_int_equal(connect(client, (struct sockaddr *) &address, length), 0);
    ret_peer->accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(ret_peer->accepted >= 0);
    close(listener);
    while (send(client, bulk, sizeof(bulk), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
        ;
    assert_int_equal(setsockopt(client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    return client;
}

/* Sends such a descriptor with an otherwise valid packet of this type, and keeps no reference to it. The other end must
 * not be read from before this returns: whoever closes last waits, and that would be we. */
static inline LingeringPeer linger_send_as(int channel, uint8_t type, int seconds) {
    const uint8_t packet[16] = { 1, type, 0, 0, 1 };
    LingeringPeer peer;
    int fd = linger_socket(seconds, &peer);
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(sizeof(int))];
    } control = { 0 };
    struct iovec part = { (void *) (uintptr_t) packet, sizeof(packet) };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&message);

    *c = (struct cmsghdr) { .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
    memcpy(CMSG_DATA(c), &fd, sizeof(fd));
    assert_int_equal(sendmsg(channel, &message, MSG_NOSIGNAL), sizeof(packet));
    close(fd);
    return peer;
}

/* With a GetState. */
static inline LingeringPeer linger_send(int channel, int seconds) {
    return linger_send_as(channel, 1, seconds);
}
