/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections by HOST:PORT, bounded in time. */
#pragma once

#include "idctl/command.h"

#define NETWORK_CONNECT_SECONDS   15U /* for each address */
#define NETWORK_HANDSHAKE_SECONDS 60U /* a signature by a slow TPM included */

typedef struct Endpoint {
    char *host; /* without brackets */
    char *port;
} Endpoint;

void endpoint_clear(Endpoint *endpoint);
#define _cleanup_endpoint_ _cleanup_(endpoint_clear)

/* "HOST:PORT" or "[IPV6]:PORT". Complains: EXIT_USAGE. */
ExitCode endpoint_parse(const char *text, Endpoint *ret);

/* Connects to the first address that answers; a blocking, close-on-exec socket. Complains. */
ExitCode endpoint_connect(const Endpoint *endpoint, int *ret);
