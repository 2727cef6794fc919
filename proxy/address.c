/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See address.h. */
#include "proxy/address.h"

#include "command/complain.h"
#include "command/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

bool proxy_address_is_path(const ProxyAddress *address) {
    return address->any.sa_family == AF_UNIX;
}

bool proxy_address_is_loopback(const ProxyAddress *address) {
    if (address->any.sa_family == AF_INET)
        return ntohl(address->ipv4.sin_addr.s_addr) >> 24 == 127;
    return address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&address->ipv6.sin6_addr);
}

void proxy_address_text(const ProxyAddress *address, char ret[static PROXY_ADDRESS_TEXT]) {
    char host[INET6_ADDRSTRLEN];

    if (proxy_address_is_path(address) && address->size > offsetof(struct sockaddr_un, sun_path))
        snprintf(ret, PROXY_ADDRESS_TEXT, "%.*s", (int) (address->size - offsetof(struct sockaddr_un, sun_path)),
                 address->path.sun_path);
    else if (address->any.sa_family == AF_INET && inet_ntop(AF_INET, &address->ipv4.sin_addr, host, sizeof host))
        snprintf(ret, PROXY_ADDRESS_TEXT, "%s:%u", host, ntohs(address->ipv4.sin_port));
    else if (address->any.sa_family == AF_INET6 && inet_ntop(AF_INET6, &address->ipv6.sin6_addr, host, sizeof host))
        snprintf(ret, PROXY_ADDRESS_TEXT, "[%s]:%u", host, ntohs(address->ipv6.sin6_port));
    else
        snprintf(ret, PROXY_ADDRESS_TEXT, "an unnamed socket");
}

void proxy_address_of_peer(int fd, char ret[static PROXY_ADDRESS_TEXT]) {
    ProxyAddress address = { .size = sizeof address.storage };
    struct ucred caller;
    socklen_t size = sizeof caller;

    snprintf(ret, PROXY_ADDRESS_TEXT, "somebody");
    if (getpeername(fd, &address.any, &address.size) < 0)
        return;
    if (!proxy_address_is_path(&address))
        proxy_address_text(&address, ret);
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) == 0)
        snprintf(ret, PROXY_ADDRESS_TEXT, "uid %u (process %d)", caller.uid, caller.pid);
}

static bool parse_port(const char *text, in_port_t *ret) {
    char *end = NULL;

    errno = 0;
    unsigned long port = strtoul(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end || errno != 0 || port > 65535)
        return false;
    *ret = htons((in_port_t) port);
    return true;
}

static bool parse_numbers(const Endpoint *endpoint, ProxyAddress *ret) {
    ProxyAddress address = { .size = 0 };
    in_port_t port;

    if (!parse_port(endpoint->port, &port))
        return false;
    if (inet_pton(AF_INET, endpoint->host, &address.ipv4.sin_addr) == 1) {
        address.ipv4.sin_family = AF_INET;
        address.ipv4.sin_port = port;
        address.size = sizeof address.ipv4;
    } else if (inet_pton(AF_INET6, endpoint->host, &address.ipv6.sin6_addr) == 1) {
        address.ipv6.sin6_family = AF_INET6;
        address.ipv6.sin6_port = port;
        address.size = sizeof address.ipv6;
    } else
        return false;
    *ret = address;
    return true;
}

static ExitCode parse_path(const char *text, ProxyAddress *ret) {
    ProxyAddress address = { .path = { .sun_family = AF_UNIX } };

    if (strlen(text) >= sizeof address.path.sun_path) {
        complain("\"%s\" is too long for a socket: at most %zu bytes.", text, sizeof address.path.sun_path - 1);
        return EXIT_USAGE;
    }
    if (text[strlen(text) - 1] == '/') {
        complain("\"%s\" is a directory, not a socket's path.", text);
        return EXIT_USAGE;
    }
    strcpy(address.path.sun_path, text);
    address.size = sizeof address.path;
    *ret = address;
    return EXIT_OK;
}

ExitCode proxy_address_parse_plain(const char *text, bool loopback, ProxyAddress *ret) {
    _cleanup_endpoint_ Endpoint endpoint = { 0 };
    ProxyAddress address;

    if (text[0] == '/')
        return parse_path(text, ret);
    if (!strchr(text, ':')) {
        complain("\"%s\" is no absolute path of a socket.", text);
        return EXIT_USAGE;
    }
    ExitCode code = endpoint_parse(text, &endpoint);
    if (code != EXIT_OK)
        return code;
    if (!parse_numbers(&endpoint, &address) || !proxy_address_is_loopback(&address)) {
        complain(
            "\"%s\": without TLS only a socket's path or, with --loopback, a port of 127.0.0.1 or [::1] is allowed.",
            text);
        return EXIT_USAGE;
    }
    if (!loopback) {
        complain("\"%s\": every local user reaches a port. Use a socket's path, or say --loopback.", text);
        return EXIT_USAGE;
    }
    *ret = address;
    return EXIT_OK;
}

ExitCode proxy_address_parse_tls(const char *text, ProxyAddress *ret) {
    _cleanup_endpoint_ Endpoint endpoint = { 0 };

    ExitCode code = endpoint_parse(text, &endpoint);
    if (code == EXIT_OK && !parse_numbers(&endpoint, ret)) {
        complain("\"%s\": an address to listen at is given in numbers, such as 0.0.0.0:8443 or [::]:8443.", text);
        code = EXIT_USAGE;
    }
    return code;
}
