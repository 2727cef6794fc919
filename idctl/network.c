/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See network.h. */
#include "idctl/network.h"

#include "idctl/output.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* 0 or -errno. */
static int connect_address(const struct addrinfo *address, int *ret) {
    _cleanup_close_ int fd =
        socket(address->ai_family, address->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address->ai_protocol);
    int error = 0;
    socklen_t length = sizeof error;

    if (fd < 0)
        return -errno;
    if (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)
        return -errno;
    struct pollfd wait = { .fd = fd, .events = POLLOUT };
    int n = poll(&wait, 1, (int) NETWORK_CONNECT_SECONDS * 1000);
    if (n <= 0)
        return n == 0 ? -ETIMEDOUT : -errno;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length) < 0)
        return -errno;
    if (error != 0)
        return -error;
    if (fcntl(fd, F_SETFL, 0) < 0)
        return -errno;
    *ret = TAKE_FD(fd);
    return 0;
}

static void addrinfo_free(struct addrinfo **list) {
    if (*list)
        freeaddrinfo(*list);
}

ExitCode endpoint_connect(const Endpoint *endpoint, int *ret) {
    _cleanup_(addrinfo_free) struct addrinfo *list = NULL;
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG };
    int r = -EADDRNOTAVAIL;

    int n = getaddrinfo(endpoint->host, endpoint->port, &hints, &list);
    if (n != 0) {
        complain("cannot resolve %s port %s: %s.", endpoint->host, endpoint->port, gai_strerror(n));
        return EXIT_FAILED;
    }
    for (struct addrinfo *address = list; address; address = address->ai_next) {
        r = connect_address(address, ret);
        if (r == 0)
            return EXIT_OK;
    }
    complain("cannot connect to %s port %s: %s.", endpoint->host, endpoint->port, strerror(-r));
    return EXIT_FAILED;
}
