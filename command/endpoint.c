/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See endpoint.h. */
#include "command/endpoint.h"

#include "command/complain.h"

#include <string.h>

void endpoint_clear(Endpoint *endpoint) {
    free(endpoint->host);
    free(endpoint->port);
    *endpoint = (Endpoint) { 0 };
}

ExitCode endpoint_parse(const char *text, Endpoint *ret) {
    _cleanup_endpoint_ Endpoint endpoint = { 0 };
    const char *colon = strrchr(text, ':'), *host = text, *end = colon;

    if (colon && text[0] == '[' && colon > text && colon[-1] == ']') {
        host = text + 1;
        end = colon - 1;
    } else if (colon && memchr(text, ':', (size_t) (colon - text)))
        colon = NULL; /* an IPv6 address without brackets: which colon is the port's? */
    if (!colon || end == host || colon[1] == '\0') {
        complain("\"%s\" is not HOST:PORT (an IPv6 address goes in brackets: [::1]:443).", text);
        return EXIT_USAGE;
    }
    endpoint.host = strndup(host, (size_t) (end - host));
    endpoint.port = strdup(colon + 1);
    if (!endpoint.host || !endpoint.port)
        return EXIT_FAILED;
    *ret = endpoint;
    endpoint = (Endpoint) { 0 };
    return EXIT_OK;
}
