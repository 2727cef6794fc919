/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One connection with all that it goes through: a gate on the fake identityd, workers, a loop, and at its two ends a
 * program and a peer, which move on with each turn of the loop. */
#pragma once

#include "proxy/connection.h"

#include "lab.h"

#define TEXT_MAX 256U

/* One end: what it has received, and whether the other end has ended. */
typedef struct End {
    int fd;
    char text[TEXT_MAX];
    size_t size;
    bool ended;
} End;

typedef struct Fixture {
    ProxySettings settings;
    ConnectionContext context;
    LogLimit log;       /* none */
    ProxySource source; /* of the connection */
    Place place;        /* that it gets */
    unsigned asked_for_place;
    sd_event *event;
    Workers *opening;
    Connection *connection; /* NULL when it was freed */
    unsigned ended, freed;  /* how often that was told */
    bool stopped;           /* the workers were */

    int listener;        /* of the peer, or of the program where the peer is a client */
    unsigned accepted;   /* there */
    bool peer_is_silent; /* it takes connections, and says nothing */
    gnutls_certificate_credentials_t peer_credentials;
    gnutls_session_t session; /* of the peer */
    int peer_code;            /* of its handshake, or of what came after: 0 while it stands */
    End peer, program;
} Fixture;

/* For each test: limits as they are without options, a client of server.example at 127.0.0.1. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Makes of it a server, with a program that listens at a path. */
void fixture_serve(Fixture *fixture);
#define FIXTURE_PROGRAM "program.socket"

/* The gate, workers and the connection. With `waits` the gate's first answer is awaited. */
void fixture_begin(Fixture *fixture, bool waits);

/* Until it holds. */
bool peer_is_done(void *userdata); /* its handshake */
bool peer_got_something(void *userdata);
bool peer_saw_the_end(void *userdata);
bool program_got_something(void *userdata);
bool program_saw_the_end(void *userdata);
bool connection_ended(void *userdata);
bool connection_was_freed(void *userdata);
void fixture_await(Fixture *fixture, bool (*holds)(void *userdata));
void fixture_loop_for(Fixture *fixture, unsigned milliseconds);

/* The connection ends once, for this, and is freed. */
void fixture_assert_end(Fixture *fixture, const char *why);

/* Until a byte went each way. */
void fixture_establish(Fixture *fixture);

void program_writes(Fixture *fixture, const char *text);
void peer_writes(Fixture *fixture, const char *text);
void peer_ends(Fixture *fixture);
/* Closes its socket; the next connection may come. */
void peer_hangs_up(Fixture *fixture);
