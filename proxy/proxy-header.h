/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The PROXY protocol, version 2: what a program is told before the first byte, so that it knows who is at the other end
 * of TLS. The layout is that of HAProxy's proxy-protocol.txt, sections 2.2 and 2.2.7. */
#pragma once

#include "proxy/address.h"

#include <stddef.h>

#define PROXY_HEADER_MAX 1536U
#define PROXY_HEADER_NAME                                                                                              \
    0xE0U /* our TLV, of those that the specification leaves to applications: the verified name                        \
           */

/* Texts are "" or NULL where there is none, and shorter than 256 bytes; longer ones are left out. */
typedef struct ProxyHeader {
    const ProxyAddress *from, *to; /* of the TLS connection: two of one family, or nothing is said of them */
    const char *protocol;          /* ALPN */
    const char *server_name;       /* SNI */
    const char *common_name;       /* of the client's certificate, which has been verified */
    const char *cipher;            /* as the TLS registry has it */
    const char *name;              /* by which the client was let in, "DNS:client.example" */
} ProxyHeader;

/* How many bytes of `ret` it has. */
size_t proxy_header_write(const ProxyHeader *header, unsigned char ret[static PROXY_HEADER_MAX]);
