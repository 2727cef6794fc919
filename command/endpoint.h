/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* HOST:PORT as a person writes it. */
#pragma once

#include "command/command.h"

typedef struct Endpoint {
    char *host; /* without brackets */
    char *port;
} Endpoint;

void endpoint_clear(Endpoint *endpoint);
#define _cleanup_endpoint_ _cleanup_(endpoint_clear)

/* "HOST:PORT" or "[IPV6]:PORT". Complains: EXIT_USAGE. */
ExitCode endpoint_parse(const char *text, Endpoint *ret);
