/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A proxy from its sockets to its end. */
#pragma once

#include "proxy/settings.h"

#define PROXY_TLS_WORKERS  4U /* signatures come one at a time from the TPM; the others verify chains meanwhile */
#define PROXY_NAME_WORKERS 2U
#define PROXY_GATE_WORKERS 1U   /* of its own: a revocation must not wait for signatures that do not come */
#define PROXY_ACCEPT_BATCH 16U  /* connections a turn of the loop */
#define PROXY_PAUSE_MILLIS 500U /* without accepting, when descriptors or memory ran out */
#define PROXY_STOP_SECONDS 2U   /* for workers, at the end */

/* Runs until SIGTERM or SIGINT, and then until open connections are done or the drain timeout has passed; a second
 * signal ends it at once. Tells systemd about it (sd_notify(3)). Complains where it cannot begin. */
ExitCode proxy_run(const ProxySettings *settings);
