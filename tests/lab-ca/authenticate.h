/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who asks for a certificate: by the certificate of the TLS connection, or by HTTP authentication. */
#pragma once

#include "server.h"

typedef enum ClientKind {
    CLIENT_NOBODY,
    CLIENT_CERTIFICATE,
    CLIENT_USER,
    CLIENT_REFUSED,   /* showed a certificate that is no good: `reason` */
    CLIENT_CHALLENGE, /* must authenticate by HTTP: authenticate_challenge */
} ClientKind;

typedef struct Client {
    ClientKind kind;
    gnutls_x509_crt_t certificate; /* owned */
    char name[128];                /* for the log: "cert:SERIAL", "user:NAME", "none" */
    const char *reason;
    bool stale; /* Digest: the nonce was too old */
} Client;

static inline void client_clear(Client *client) {
    crt_clear(&client->certificate);
}
#define _cleanup_client_ _cleanup_(client_clear)

/* Fills in `client`; HTTP authentication is looked at where there is no certificate. */
void authenticate(Server *server, struct MHD_Connection *connection, Client *client);

/* Answers 401 with the challenge of the configured scheme. */
enum MHD_Result authenticate_challenge(Server *server, struct MHD_Connection *connection, const Client *client,
                                       bool closes /* the connection */);

/* Reads user:password lines. 0 or a negative errno, said. */
int users_load(Server *server, const char *path);
void users_clear(Server *server);
