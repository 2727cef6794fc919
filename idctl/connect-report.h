/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What `idctl connect` tells of a handshake. */
#pragma once

#include "command/command.h"
#include "pki/certificate.h"

#include <gnutls/gnutls.h>
#include <stdio.h>

/* What is said of one thing that was looked at. */
typedef struct ConnectVerdict {
    bool good;
    char *reason; /* owned; one line; NULL: it did not come to that */
} ConnectVerdict;

/* Sets the reason from a format; without memory the reason is missing and it is not good. */
void connect_verdict_set(ConnectVerdict *verdict, bool good, const char *format, ...) _printf_(3, 4);

typedef struct ConnectReport {
    const char *identity, *state; /* borrowed */
    uint32_t generation;
    uint64_t not_after;
    CertificateList own, peer;
    ConnectVerdict chain, name; /* of the peer; the name is looked at where the chain is good */
    ConnectVerdict handshake;
    char *description;          /* "TLS1.3 …", after a handshake */
    bool asked_for_certificate; /* the peer asked for ours */
    const char *alert;          /* the peer's, as GnuTLS names the constant; NULL: none */
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
