/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two identities, "device" and "service", of one fake identityd, and TLS sessions between them in this process. */
#pragma once

#include "fixture.h"
#include "identityd/identityd-gnutls.h"

#include <gnutls/gnutls.h>

typedef struct Party {
    identityd_credential *credential;
    identityd_gnutls_credentials *credentials;
    gnutls_session_t session;
    int socket;
    const char *host;      /* for session_begin */
    const char *priority;  /* set after session_begin when not NULL */
    unsigned flags;        /* for session_begin */
    gnutls_datum_t resume; /* client: session data to resume */
    bool resumed;
    const char *asks_again; /* identityd_gnutls_verify_peer() after the handshake, for this name: `again` */
    int again;
    char peer[64];   /* its first name, by identityd_gnutls_peer() */
    int result;      /* of its gnutls_handshake */
    char error[256]; /* identityd_last_error() after a failed handshake */
} Party;

/* The fake's identities: "device" for clients and "service" (service.example) for servers, each in generation 1. */
void set_device(uint32_t generation, const char *crls, const char *state);
void set_service(uint32_t generation, const char *chain, const char *crls, const char *state);
int setup_tls(void **state);

void party_open(Party *party, const char *identity, const char *purpose);
void party_clear(Party *party);

/* One connection of new sessions: 0 when both sides are done and a byte went each way; else -1 with results in the
 * parties. */
int connect_parties(Party *client, Party *server);
