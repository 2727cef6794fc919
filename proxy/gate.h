/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The identity behind a proxy: its credential handle, opened again by itself, and whether connections may begin or go
 * on. */
#pragma once

#include "proxy/settings.h"
#include "proxy/workers.h"

#include <identityd/identityd-gnutls.h>

#define GATE_RETRY_MILLIS     250U /* the first wait before opening again; each is twice as long as the one before */
#define GATE_RETRY_MILLIS_MAX 10000U
#define GATE_DENIED_MILLIS    60000U /* where identityd said no: each refusal is an entry in its journal */
#define GATE_GRACE_SECONDS    10U    /* for identityd that was restarted to find its TPM */
#define GATE_REASON_MAX       768U

typedef enum GateState {
    GATE_AWAY, /* identityd cannot be asked: connections wait for it, those that stand go on */
    GATE_OPEN,
    GATE_SHUT,  /* the identity signs nothing now: new connections are refused, those that stand go on */
    GATE_ENDED, /* revoked, retired, or no longer ours: those that stand end, too */
} GateState;

typedef struct Gate Gate;

/* In the loop, after each change of the state or, while it is open, of the generation. */
typedef void (*GateChanged)(GateState state, void *userdata);

/* Begins to open `identity` for `purpose`. Both are borrowed. -ENOMEM or -errno. */
int gate_new(sd_event *event, Workers *workers, const char *identity, const char *purpose, GateChanged changed,
             void *userdata, Gate **ret);
/* After the last session, and when no worker runs. */
Gate *gate_free(Gate *gate);

GateState gate_state(const Gate *gate);
uint32_t gate_generation(const Gate *gate); /* 0 before the first */
/* Why it is not open, for a person; "" where it is. */
const char *gate_reason(const Gate *gate);
/* Whether the identity cannot be opened as the proxy is configured (no right, no such name), and never could. The exit
 * status for that, or EXIT_OK. */
ExitCode gate_is_hopeless(const Gate *gate);
/* For sessions; there once the gate has been open, and then as long as it. */
identityd_gnutls_credentials *gate_credentials(const Gate *gate);
