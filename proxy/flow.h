/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A plain socket joined with a TLS session after its handshake: two buffers, each direction ends on its own, and nobody
 * is read faster than the other side takes it. Never waits, and does a bounded piece of work a turn.
 *
 * What the local program wrote before it closed reaches the peer, and what the peer sent before it closed reaches the
 * program, whichever of the two closes first.
 *
 * Both sockets are watched edge-triggered: what was said to be ready counts until the socket says EAGAIN. */
#pragma once

#include "common/macros.h"

#include <gnutls/gnutls.h>
#include <stdbool.h>
#include <stdint.h>

#define FLOW_STEPS 8U /* a turn */

typedef struct FlowBuffer {
    char *data; /* owned */
    size_t begin, end;
} FlowBuffer;

typedef struct Flow {
    gnutls_session_t session;
    int plain;
    size_t capacity;
    FlowBuffer up, down; /* to the peer, and from it */
    size_t prefix;       /* bytes before those of the peer that the program has not had yet */
    bool plain_readable, plain_writable, tls_readable, tls_writable;
    bool plain_ended, tls_ended;   /* nothing more comes from there */
    bool plain_closed, tls_closed; /* they were told that nothing more comes */
    bool plain_gone;               /* the program has closed: what still comes for it is thrown away */
    int up_error;            /* GnuTLS's: the peer takes nothing any more, though it may have sent something before */
    uint64_t sent, received; /* bytes handed to TLS and to the program */
} Flow;

typedef enum FlowResult {
    FLOW_WAIT,      /* for an event */
    FLOW_MORE,      /* there is more to do: another turn, after the others */
    FLOW_DONE,      /* both directions have ended */
    FLOW_LOCAL,     /* the local socket failed; errno in `ret_error` */
    FLOW_TRUNCATED, /* the peer ended without close_notify: what came, all of which was passed on, may be a part */
    FLOW_REFUSED,   /* a fatal alert of the peer: gnutls_alert_get() tells which */
    FLOW_BROKEN,    /* another fault of TLS or its connection; GnuTLS's error in `ret_error` */
} FlowResult;

/* `session` is non-blocking; it and `plain` stay the caller's. -ENOMEM. */
int flow_begin(Flow *flow, gnutls_session_t session, int plain, size_t capacity);
void flow_clear(Flow *flow);

/* Has the program get this before what the peer sends. Before the first turn. -ENOMEM. */
int flow_set_prefix(Flow *flow, const void *data, size_t size);

/* What epoll said of a socket. */
void flow_plain_event(Flow *flow, uint32_t events);
void flow_tls_event(Flow *flow);

/* Does what can be done. */
FlowResult flow_turn(Flow *flow, int *ret_error);

/* Whether one side has ended, and only the rest is waited for. */
bool flow_is_ending(const Flow *flow);

/* Whether all that the program wrote was sent and it reads no more: the peer has only to end. To close before it does
 * could cost it what it has not read yet (a reset). */
bool flow_is_lingering(const Flow *flow);
