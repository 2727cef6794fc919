/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The arguments of identityd-proxy as values, each within its bounds. */
#pragma once

#include "command/endpoint.h"
#include "proxy/slots.h"

#include <sys/types.h>

/* What an admin may set, with its default. Each is an option of the same name (identityd-proxy(8)). */
#define PROXY_CONNECTIONS         512U   /* open at once; more wait in the listener's queue */
#define PROXY_HANDSHAKES_START    128U   /* under way; from there on some make room for newcomers … */
#define PROXY_HANDSHAKES_RATE     30U    /* … so many of a hundred … */
#define PROXY_HANDSHAKES_FULL     256U   /* … and here always */
#define PROXY_HANDSHAKES_SOURCE   64U    /* of one source, among those */
#define PROXY_PEER_SECONDS        10U    /* of a handshake, for which it waits for a client, all in all */
#define PROXY_IDLE_COUNTS_SECONDS 60U    /* without a byte, from when on a connection counts as idle beside others */
#define PROXY_LOG_LINES           600U   /* a minute, that connections cause */
#define PROXY_BUFFER              16384U /* bytes a direction of a connection: one TLS record */
#define PROXY_HANDSHAKE_SECONDS   30U    /* from accepting to both sides standing */
#define PROXY_IDLE_SECONDS        43200U /* without a byte either way; 0: for ever */
#define PROXY_HALF_CLOSED_SECONDS 60U    /* without a byte, once one direction has ended; never for ever */
#define PROXY_DRAIN_SECONDS       10U    /* after SIGTERM */

#define PROXY_MODE       0600
#define PROXY_ALPN_MAX   8U  /* protocols, of … */
#define PROXY_ALPN_BYTES 31U /* … so many bytes each: more GnuTLS does not take */

typedef struct ProxyLimits {
    unsigned connections, per_source, idle_per_source;
    SlotRule handshakes;
    size_t buffer;
    unsigned handshake, peer, idle, idle_counts, half_closed, drain; /* seconds */
    unsigned log_lines;
} ProxyLimits;

typedef enum ProxyNameKind { PROXY_NAME_CN, PROXY_NAME_DNS, PROXY_NAME_URI } ProxyNameKind;

typedef struct ProxyName {
    ProxyNameKind kind;
    const char *name;
} ProxyName;

/* Borrows from the Command. */
typedef struct ProxySettings {
    const char *identity;
    bool server; /* TLS is accepted and passed on to `plain`; else `plain` clients are passed on to `peer` */
    bool loopback;
    bool quiet;
    bool listens; /* at `listen`; else at sockets that were passed */
    ProxyAddress listen;
    mode_t mode;          /* of the socket at a path */
    ProxyAddress connect; /* server: the plain side */
    Endpoint peer;        /* client: the TLS server; owned */
    const char *name;     /* client: that its certificate must carry */
    const char
        *sni[COMMAND_REPEATED_MAX]; /* client: what is sent, in place of `name`; server: what clients may ask for */
    size_t sni_count;
    const char *alpn[PROXY_ALPN_MAX]; /* in the order of preference */
    size_t alpn_count;
    bool proxy_protocol; /* server: the program is told who connects */
    bool require_crl;
    ProxyName allowed[COMMAND_REPEATED_MAX]; /* server: clients that are let in; none: all that verify */
    size_t allowed_count;
    ProxyLimits limits;
} ProxySettings;

void proxy_settings_clear(ProxySettings *settings);
#define _cleanup_proxy_settings_ _cleanup_(proxy_settings_clear)

/* Complains: EXIT_USAGE. */
ExitCode proxy_settings_parse(const Command *command, ProxySettings *ret);
