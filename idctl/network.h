/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TCP connections by HOST:PORT, bounded in time. */
#pragma once

#include "command/endpoint.h"

#define NETWORK_CONNECT_SECONDS   15U /* for each address */
#define NETWORK_HANDSHAKE_SECONDS 60U /* a signature by a slow TPM included */

/* Connects to the first address that answers; a blocking, close-on-exec socket. Complains. */
ExitCode endpoint_connect(const Endpoint *endpoint, int *ret);
