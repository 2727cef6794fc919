/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Standard input and output joined with a TLS session after its handshake. */
#pragma once

#include "common/macros.h"

#include <gnutls/gnutls.h>

typedef struct Pump Pump;

typedef enum PumpEnd {
    PUMP_OPEN,    /* the session stands */
    PUMP_CLOSED,  /* the peer has finished */
    PUMP_REFUSED, /* a fatal alert of the peer: gnutls_alert_get() tells which */
    PUMP_BROKEN,  /* the connection ended without close_notify, or another TLS fault */
    PUMP_LOCAL,   /* standard input or output failed */
} PumpEnd;

/* Makes `fd`, the session's socket, non-blocking; both stay the caller's. 0, -ENOMEM or -errno. */
int pump_new(gnutls_session_t session, int fd, Pump **ret);
Pump *pump_free(Pump *pump);
DEFINE_CLEANUP(Pump, pump_free)
#define _cleanup_pump_ _cleanup_(pump_free_p)

/* Waits up to `milliseconds` for the first sign of what the peer thinks of our certificate: in TLS 1.3 a refusal comes
 * after the handshake. PUMP_OPEN when it accepted us (a session ticket), sent something, which pump_run() will write,
 * or stayed silent. */
PumpEnd pump_wait(Pump *pump, int milliseconds);

/* Runs until the peer has closed. The end of standard input sends close_notify. */
PumpEnd pump_run(Pump *pump);

/* The GnuTLS error or negative errno of PUMP_BROKEN and PUMP_LOCAL. */
int pump_error(const Pump *pump);
