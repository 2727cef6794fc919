/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tests of the proxy stand on: TLS peers with software keys, an identityd whose handles are signed for by
 * others, sockets that do not wait, and what was said on standard error. */
#pragma once

#include "fakes/fake-identityd.h"
#include "fakes/fake-pki.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <gnutls/gnutls.h>
#include <systemd/sd-event.h>

#include <cmocka.h>

#define LAB_PATIENCE_SECONDS 30U

typedef struct Lab {
    FakeCa *ca, *strangers;
    gnutls_privkey_t key;                            /* of all that are issued here */
    gnutls_certificate_credentials_t server, client; /* of peers: "server" (server.example) and "client" */
    gnutls_certificate_credentials_t stranger;       /* of a CA that is not trusted */
    gnutls_certificate_credentials_t nobody;         /* trusts the CA, and has no certificate */
    gnutls_datum_t ticket_key;
    FakeIdentityd *fake; /* of each test that began with lab_setup_identity() */
} Lab;

extern Lab lab;

/* For a group, and for tests that want an identityd with the identity "demo", generation 1, for both purposes. */
int lab_setup(void **state);
int lab_teardown(void **state);
int lab_setup_identity(void **state);
int lab_teardown_identity(void **state);

/* The identity in a state, by the word of the protocol; it is told to handles. */
void lab_set_identity(uint32_t generation, const char *state);
void lab_block_identity(FailureKind kind);

/* Two ends of a stream that do not wait. */
void lab_pair(int ret[static 2]);

/* A TLS 1.3 session over a socket: not waiting, nothing verified beyond what the credentials trust. A server wants a
 * certificate. Ended with gnutls_deinit(). */
gnutls_session_t lab_session(bool server, int fd, gnutls_certificate_credentials_t credentials);

/* A piece of a peer's handshake: 0 when it is done, GNUTLS_E_AGAIN, or the fault, after its alert was sent. */
int lab_handshake_step(gnutls_session_t session);

/* Standard error goes to a file from here to lab_said_end(). */
void lab_said_begin(void);
const char *lab_said(void); /* up to now; static */
void lab_said_end(void);
void lab_assert_said(const char *part);

/* Turns of a loop until a condition holds; fails after LAB_PATIENCE_SECONDS. */
void lab_loop_until(sd_event *event, bool (*holds)(void *userdata), void *userdata);
/* Turns of a loop for a while. */
void lab_loop_for(sd_event *event, unsigned milliseconds);
