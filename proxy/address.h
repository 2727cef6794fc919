/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where identityd-proxy listens and connects. The plain side never leaves the machine: a socket at a path, which has an
 * access mode, or a port of a loopback address where the admin asked for one, since every local user reaches that. */
#pragma once

#include "command/command.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct ProxyAddress {
    union {
        struct sockaddr any;
        struct sockaddr_un path;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
        struct sockaddr_storage storage;
    };
    socklen_t size;
} ProxyAddress;

#define PROXY_ADDRESS_TEXT 128U /* room for the text of any, with the NUL */

/* A plain side: an absolute path, or with `loopback` "127.0.0.1:PORT" or "[::1]:PORT"; other addresses never.
 * Complains: EXIT_USAGE. */
ExitCode proxy_address_parse_plain(const char *text, bool loopback, ProxyAddress *ret);

/* A TLS listener: "ADDRESS:PORT" in numbers. Complains: EXIT_USAGE. */
ExitCode proxy_address_parse_tls(const char *text, ProxyAddress *ret);

bool proxy_address_is_path(const ProxyAddress *address);
bool proxy_address_is_loopback(const ProxyAddress *address);

/* "/run/x", "127.0.0.1:80", "[::1]:80", for people. */
void proxy_address_text(const ProxyAddress *address, char ret[static PROXY_ADDRESS_TEXT]);

/* Who is at the other end of a socket, for people: "uid 1000 (process 77)" at a path, else the address. */
void proxy_address_of_peer(int fd, char ret[static PROXY_ADDRESS_TEXT]);
