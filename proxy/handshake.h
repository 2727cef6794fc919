/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One TLS handshake of a proxy, in pieces: each goes as far as the bytes that have come allow, and may sign in the TPM,
 * so it runs in a worker. */
#pragma once

#include "proxy/settings.h"

#include <identityd/identityd-gnutls.h>

#define HANDSHAKE_TEXT_MAX 768U

typedef enum HandshakeResult {
    HANDSHAKE_WAIT, /* for the peer */
    HANDSHAKE_DONE,
    HANDSHAKE_FAILED,
} HandshakeResult;

typedef struct Handshake {
    const ProxySettings *settings;
    identityd_gnutls_credentials *credentials;
    int fd;                   /* non-blocking */
    gnutls_session_t session; /* owned; NULL before the first piece */
    HandshakeResult result;
    char failure[HANDSHAKE_TEXT_MAX]; /* of HANDSHAKE_FAILED: one sentence without its full stop */
    bool identity_failed;             /* and for want of identityd, not because of the peer */
    char peer[HANDSHAKE_TEXT_MAX];    /* of HANDSHAKE_DONE: the subject of the peer's certificate */
} Handshake;

/* The next piece; fills in what follows `session`. */
void handshake_step(Handshake *handshake);
void handshake_clear(Handshake *handshake);
