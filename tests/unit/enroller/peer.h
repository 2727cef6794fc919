/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Servers that no CA would be: a child process that accepts connections, with TLS or without, says what it is told and
 * reports what it was sent. Where the lab CA cannot misbehave badly enough. */
#pragma once

#include "common/bytes.h"

#include <stdbool.h>
#include <sys/types.h>

typedef enum PeerBehaviour {
    PEER_ANSWERS,        /* reads a request, sends `answer`, closes */
    PEER_CLOSES,         /* closes as soon as the handshake is done */
    PEER_REFUSES_CLIENT, /* asks for a client certificate, and does not like it */
    PEER_FLOODS,         /* sends `answer` over and over, for ever */
    PEER_SILENT,         /* reads, and says nothing */
    PEER_PROXY,          /* HTTP CONNECT to anywhere, then carries bytes */
} PeerBehaviour;

typedef struct PeerOptions {
    PeerBehaviour behaviour;
    bool tls;
    bool request_certificate;
    const char *answer;
    const char *proxy_authorization; /* PEER_PROXY: what it wants to see, else 407 */
} PeerOptions;

typedef struct Peer {
    pid_t pid;
    unsigned port;
    int report;        /* what was sent to it after any handshake */
    Bytes certificate; /* PEM, self-signed for 127.0.0.1: its own anchor */
} Peer;

void peer_start(Peer *peer, const PeerOptions *options);
/* Stops it; all that it was sent, over all connections. */
Bytes peer_stop(Peer *peer);
