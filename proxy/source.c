/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See source.h. */
#include "proxy/source.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

ProxySource proxy_source_of_address(const ProxyAddress *address) {
    ProxySource source = { .kind = PROXY_SOURCE_UNKNOWN };
    const struct in6_addr *ipv6 = &address->ipv6.sin6_addr;

    if (address->any.sa_family == AF_INET) {
        source.kind = PROXY_SOURCE_IPV4;
        memcpy(source.bytes, &address->ipv4.sin_addr, 4);
    } else if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(ipv6)) {
        source.kind = PROXY_SOURCE_IPV4;
        memcpy(source.bytes, ipv6->s6_addr + 12, 4);
    } else if (address->any.sa_family == AF_INET6) {
        source.kind = PROXY_SOURCE_IPV6;
        memcpy(source.bytes, ipv6->s6_addr, 8);
    }
    return source;
}

ProxySource proxy_source_of_uid(uid_t uid) {
    ProxySource source = { .kind = PROXY_SOURCE_UID };

    memcpy(source.bytes, &uid, sizeof uid);
    return source;
}

ProxySource proxy_source_of_peer(int fd) {
    ProxyAddress address = { .size = sizeof address.storage };
    struct ucred caller;
    socklen_t size = sizeof caller;

    if (getpeername(fd, &address.any, &address.size) < 0)
        return (ProxySource) { .kind = PROXY_SOURCE_UNKNOWN };
    if (proxy_address_is_path(&address) && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &caller, &size) == 0)
        return proxy_source_of_uid(caller.uid);
    return proxy_source_of_address(&address);
}

int proxy_source_compare(const ProxySource *a, const ProxySource *b) {
    int order = a->kind - b->kind;

    if (order == 0)
        order = memcmp(a->bytes, b->bytes, sizeof a->bytes);
    return (order > 0) - (order < 0);
}

void proxy_source_text(const ProxySource *source, char ret[static PROXY_SOURCE_TEXT]) {
    char text[INET6_ADDRSTRLEN];
    struct in6_addr ipv6 = { 0 };
    uid_t uid;

    switch (source->kind) {
    case PROXY_SOURCE_UID:
        memcpy(&uid, source->bytes, sizeof uid);
        snprintf(ret, PROXY_SOURCE_TEXT, "uid %u", uid);
        break;
    case PROXY_SOURCE_IPV4:
        snprintf(ret, PROXY_SOURCE_TEXT, "%s", inet_ntop(AF_INET, source->bytes, text, sizeof text));
        break;
    case PROXY_SOURCE_IPV6:
        memcpy(ipv6.s6_addr, source->bytes, sizeof source->bytes);
        snprintf(ret, PROXY_SOURCE_TEXT, "%s/64", inet_ntop(AF_INET6, &ipv6, text, sizeof text));
        break;
    default:
        snprintf(ret, PROXY_SOURCE_TEXT, "somebody");
    }
}
