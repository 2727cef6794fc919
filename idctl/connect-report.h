/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `idctl connect` tells of a handshake. */
#pragma once

#include "idctl/trust.h"

#include <gnutls/gnutls.h>
#include <stdio.h>

typedef struct ConnectReport {
    const char *identity, *state; /* borrowed */
    uint32_t generation;
    uint64_t not_after;
    Certificates own, peer;
    Verdict chain_verdict, name_verdict; /* of the peer; no reason: it did not come to that */
    Verdict handshake_verdict;
    char *description;          /* "TLS1.3 …", after a handshake */
    bool asked_for_certificate; /* the peer asked for ours */
    const char *alert;          /* the peer's, by its name in the standards; NULL: none */
} ConnectReport;

void connect_report_clear(ConnectReport *report);

/* Protocol and cipher of a session whose handshake is done. */
void connect_report_session(ConnectReport *report, gnutls_session_t session);

/* The peer sent a fatal alert. */
void connect_report_refused(ConnectReport *report, gnutls_alert_description_t alert);

/* What an alert means for somebody who tests an identity. Static text. */
const char *connect_alert_text(gnutls_alert_description_t alert);

void connect_report_print(const ConnectReport *report, FILE *stream);
ExitCode connect_report_json(const ConnectReport *report);
