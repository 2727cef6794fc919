/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One TLS handshake of a proxy, in pieces: each goes as far as the bytes that have come allow, and may sign in the TPM,
 * so it runs in a worker. */
#pragma once

#include "proxy/peer-name.h"

#include <identityd/identityd-gnutls.h>

#define HANDSHAKE_TEXT_MAX 768U
#define HANDSHAKE_SNI_MAX  256U
#define HANDSHAKE_ALPN_MAX 256U

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
    /* Of HANDSHAKE_DONE. */
    char peer[HANDSHAKE_TEXT_MAX];       /* the subject of the peer's certificate */
    char common_name[PROXY_NAME_TEXT];   /* its common name, or "" */
    char peer_name[PROXY_NAME_TEXT];     /* of a client: the name by which it was let in, or its first; or "" */
    char server_name[HANDSHAKE_SNI_MAX]; /* that a client asked for, or "" */
    char protocol[HANDSHAKE_ALPN_MAX];   /* that was agreed on (ALPN), or "" */
} Handshake;

/* The next piece; fills in what follows `session`. */
void handshake_step(Handshake *handshake);
void handshake_clear(Handshake *handshake);

/* The cipher suite of HANDSHAKE_DONE, as the TLS registry has it; "" where it is not known here. */
const char *handshake_cipher(const Handshake *handshake);
