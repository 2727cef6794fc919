/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whom a connection comes from, as far as limits go: a local user, an IPv4 address, or the /64 of an IPv6 address,
 * which one machine can have to itself. */
#pragma once

#include "proxy/address.h"

typedef enum ProxySourceKind {
    PROXY_SOURCE_UNKNOWN,
    PROXY_SOURCE_UID,
    PROXY_SOURCE_IPV4,
    PROXY_SOURCE_IPV6
} ProxySourceKind;

typedef struct ProxySource {
    unsigned char kind;     /* a ProxySourceKind */
    unsigned char bytes[8]; /* the uid, the address, or the network; the rest is 0 */
} ProxySource;

#define PROXY_SOURCE_TEXT 64U /* room for the text of any, with the NUL */

/* Of an internet address; an IPv4 address inside IPv6 is that. PROXY_SOURCE_UNKNOWN of others. */
ProxySource proxy_source_of_address(const ProxyAddress *address);
ProxySource proxy_source_of_uid(uid_t uid);

/* Of who is at the other end of a socket. At a port that is the address, also on the same machine. */
ProxySource proxy_source_of_peer(int fd);

/* -1, 0 or 1: an order in which sources that are the same are neighbours. */
int proxy_source_compare(const ProxySource *a, const ProxySource *b);

/* "uid 1000", "192.0.2.1", "2001:db8::/64", for people. */
void proxy_source_text(const ProxySource *source, char ret[static PROXY_SOURCE_TEXT]);
