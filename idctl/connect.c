/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl connect: the quick test of an identity in TLS 1.3, with a `tls-client` handle. The handshake, both chains, the
 * verdicts; then standard input and output are joined with the session. */
#include "idctl/certificates.h"
#include "idctl/connect-report.h"
#include "idctl/credential.h"
#include "idctl/output.h"
#include "idctl/peer.h"
#include "idctl/pump.h"
#include "idctl/verbs.h"
#include "pki/verify.h"

#include <identityd/identityd-gnutls.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define REFUSAL_WAIT_MILLIS 2000 /* how long the peer may take to refuse our certificate */

typedef struct Connection {
    identityd_credential *credential;
    identityd_snapshot *snapshot;
    identityd_gnutls_credentials *credentials;
    CertificateList anchors; /* of --anchors; empty: the handle's anchors and CRLs count */
    Endpoint endpoint;
    const char *name;
    int fd;
    gnutls_session_t session;
    bool begun;
    ConnectReport report;
} Connection;

static void connection_clear(Connection *connection) {
    if (connection->begun)
        identityd_gnutls_session_end(connection->session);
    session_deinit_p(&connection->session);
    if (connection->credentials)
        identityd_gnutls_credentials_free(connection->credentials);
    connection->fd = close_safe(connection->fd);
    certificate_list_clear(&connection->anchors);
    endpoint_clear(&connection->endpoint);
    snapshot_free_p(&connection->snapshot);
    credential_free_p(&connection->credential);
    connect_report_clear(&connection->report);
}

/* The handle's anchors and CRLs through libidentityd, as any program that uses it would. */
static void verify_with_handle(const Connection *connection, ConnectVerdict *ret_chain, ConnectVerdict *ret_name) {
    int r = identityd_gnutls_verify_peer(connection->session, NULL);

    if (r < 0) {
        connect_verdict_set(ret_chain, false, "%s", identityd_last_error());
        return;
    }
    connect_verdict_set(ret_chain, true,
                        "ends in an anchor of %s, and neither a CRL nor a stapled OCSP response revokes it",
                        identityd_snapshot_identity(connection->snapshot));
    r = identityd_gnutls_verify_peer(connection->session, connection->name);
    if (r < 0)
        connect_verdict_set(ret_name, false, "%s", identityd_last_error());
    else
        connect_verdict_set(ret_name, true, "the certificate carries the name %s", connection->name);
}

/* The same verifier with the anchors of --anchors; they come without CRLs. */
static void verify_with_anchors(const Connection *connection, ConnectVerdict *ret_chain, ConnectVerdict *ret_name) {
    static const char *const purposes[] = { GNUTLS_KP_TLS_WWW_SERVER, NULL };
    const CertificateList *peer = &connection->report.peer;
    const VerifyRequest request = {
        .leaf = peer->list[0],
        .candidates = peer,
        .anchors = &connection->anchors,
        .now = (int64_t) (time_now() / 1000000U),
        .purposes = purposes,
        .leaf_purposes = true,
        .host = connection->name,
    };
    char whose[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *anchor;
    Verdict verdict;

    int r = verify(&request, NULL, &anchor, &verdict);
    if (r < 0 && verdict.kind != VERDICT_NAME) {
        connect_verdict_set(ret_chain, false, "%s (%s)", verdict.failure.text, verdict.rule);
        return;
    }
    /* The name is the last thing that is looked at. */
    if (r < 0) {
        connect_verdict_set(ret_chain, true, "ends in an anchor of --anchors");
        connect_verdict_set(ret_name, false, "%s (%s)", verdict.failure.text, verdict.rule);
        return;
    }
    connect_verdict_set(ret_chain, true, "ends in the anchor %s", certificate_describe(anchor, whose));
    connect_verdict_set(ret_name, true, "the certificate carries the name %s", connection->name);
}

/* Inside the handshake, before our certificate is sent. All verdicts are kept for the report. */
static int verify_peer(gnutls_session_t session) {
    Connection *connection = gnutls_session_get_ptr(session);
    ConnectReport *report = &connection->report;
    Failure failure = FAILURE_INIT;

    certificate_list_clear(&report->peer);
    if (peer_certificates(session, &report->peer, &failure) < 0) {
        connect_verdict_set(&report->chain, false, "%s", failure.text);
        return GNUTLS_E_CERTIFICATE_ERROR;
    }
    if (connection->anchors.count > 0)
        verify_with_anchors(connection, &report->chain, &report->name);
    else
        verify_with_handle(connection, &report->chain, &report->name);
    return report->chain.good && report->name.good ? 0 : GNUTLS_E_CERTIFICATE_VERIFICATION_ERROR;
}

static ExitCode load_own(Connection *connection, const Command *command) {
    const char *anchors_path = command_value(command, "anchors");
    ConnectReport *report = &connection->report;
    Failure failure = FAILURE_INIT;
    size_t size;

    ExitCode code =
        credential_open(command->arguments[0], "tls-client", &connection->credential, &connection->snapshot);
    if (code != EXIT_OK)
        return code;
    const char *pem = identityd_snapshot_chain(connection->snapshot, &size);
    int r = certificate_list_from_pem((BytesView) { (const uint8_t *) pem, size }, CHAIN_MAX, &report->own, &failure);
    if (r < 0) {
        complain("the chain of %s cannot be read: %s.", command->arguments[0], failure.text);
        return EXIT_FAILED;
    }
    report->identity = identityd_snapshot_identity(connection->snapshot);
    report->generation = identityd_snapshot_generation(connection->snapshot);
    report->state = identityd_snapshot_state(connection->snapshot);
    report->not_after = identityd_snapshot_not_after(connection->snapshot);
    return anchors_path ? certificates_read(anchors_path, &connection->anchors) : EXIT_OK;
}

static ExitCode session_set_up(Connection *connection) {
    if (gnutls_init(&connection->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL) < 0 ||
        gnutls_set_default_priority(connection->session) < 0) {
        complain("cannot set up a TLS session.");
        return EXIT_FAILED;
    }
    int r = identityd_gnutls_credentials_new(connection->credential, 0, &connection->credentials);
    if (r >= 0)
        r = identityd_gnutls_session_begin(connection->credentials, connection->session,
                                           peer_name_is_dns(connection->name) ? connection->name : NULL, 0);
    if (r < 0)
        return credential_complain(r, "set up the TLS session");
    connection->begun = true;
    gnutls_session_set_ptr(connection->session, connection);
    /* In place of the library's own verification, which would end the handshake without a report. */
    gnutls_session_set_verify_function(connection->session, verify_peer);
    gnutls_transport_set_int(connection->session, connection->fd);
    gnutls_handshake_set_timeout(connection->session, NETWORK_HANDSHAKE_SECONDS * 1000U);
    return EXIT_OK;
}

static void handshake(Connection *connection) {
    ConnectReport *report = &connection->report;
    int r;

    do
        r = gnutls_handshake(connection->session);
    while (r < 0 && !gnutls_error_is_fatal(r));
    if (r == GNUTLS_E_FATAL_ALERT_RECEIVED)
        connect_report_refused(report, gnutls_alert_get(connection->session));
    else if (r < 0 && !report->chain.reason)
        connect_verdict_set(&report->handshake, false, "%s", gnutls_strerror(r));
    else if (r < 0 && report->chain.good && report->name.good) {
        const char *own = identityd_last_error();
        connect_verdict_set(&report->handshake, false, "%s%s%s", gnutls_strerror(r), own[0] ? ": " : "", own);
    } else if (r < 0)
        connect_verdict_set(&report->handshake, false, "we refused the peer");
    else {
        connect_report_session(report, connection->session);
        connect_verdict_set(&report->handshake, true, "%s", report->description ? report->description : "done");
    }
}

/* After the handshake: does the peer take our certificate? */
static PumpEnd wait_for_refusal(Connection *connection, Pump *pump) {
    ConnectReport *report = &connection->report;
    PumpEnd end = pump_wait(pump, REFUSAL_WAIT_MILLIS);

    report->asked_for_certificate = gnutls_certificate_client_get_request_status(connection->session) > 0;
    if (end == PUMP_REFUSED)
        connect_report_refused(report, gnutls_alert_get(connection->session));
    else if (end == PUMP_BROKEN)
        connect_verdict_set(&report->handshake, false, "the peer ended the connection after the handshake: %s",
                            gnutls_strerror(pump_error(pump)));
    return end;
}

static ExitCode converse(Connection *connection, Pump *pump) {
    PumpEnd end = pump_run(pump);

    switch (end) {
    case PUMP_OPEN:
    case PUMP_CLOSED:
        return EXIT_OK;
    case PUMP_REFUSED:
        complain("the peer ended the session: %s.", connect_alert_text(gnutls_alert_get(connection->session)));
        return EXIT_FAILED;
    case PUMP_BROKEN:
        complain("the session ended: %s.", gnutls_strerror(pump_error(pump)));
        return EXIT_FAILED;
    case PUMP_LOCAL:
        complain("cannot read standard input or write standard output: %s.", strerror(-pump_error(pump)));
        return EXIT_FAILED;
    }
    return EXIT_FAILED;
}

static ExitCode connect_run(const Command *command) {
    _cleanup_(connection_clear) Connection connection = { .fd = -1 };
    _cleanup_pump_ Pump *pump = NULL;
    PumpEnd end = PUMP_CLOSED;
    bool check = command_has(command, "check"), json = command_has(command, "json");

    if (json && !check) {
        complain("--json goes with --check: without it standard output is the session's.");
        return EXIT_USAGE;
    }
    (void) signal(SIGPIPE, SIG_IGN);
    ExitCode code = endpoint_parse(command->arguments[1], &connection.endpoint);
    if (code != EXIT_OK)
        return code;
    connection.name = command_value(command, "name") ? command_value(command, "name") : connection.endpoint.host;
    code = load_own(&connection, command);
    if (code == EXIT_OK)
        code = endpoint_connect(&connection.endpoint, &connection.fd);
    if (code == EXIT_OK)
        code = session_set_up(&connection);
    if (code != EXIT_OK)
        return code;
    handshake(&connection);
    if (connection.report.handshake.good) {
        int r = pump_new(connection.session, connection.fd, &pump);
        if (r < 0) {
            complain("cannot go on after the handshake: %s.", strerror(-r));
            return EXIT_FAILED;
        }
        end = wait_for_refusal(&connection, pump);
    }
    bool good = connection.report.handshake.good;
    if (json)
        code = connect_report_json(&connection.report);
    else if (!command_has(command, "quiet") || !good)
        connect_report_print(&connection.report, check ? stdout : stderr);
    if (!good || code != EXIT_OK)
        return EXIT_FAILED;
    if (check || end == PUMP_CLOSED) {
        (void) gnutls_bye(connection.session, GNUTLS_SHUT_WR);
        return EXIT_OK;
    }
    return converse(&connection, pump);
}

static const Option connect_options[] = {
    { "name", 0, "NAME", "Name that the peer's certificate must carry, also sent as SNI; default: HOST" },
    { "anchors", 0, "FILE", "Verify the peer with these anchors instead of the identity's" },
    { "check", 0, NULL, "Only the handshake and the verdicts, then end" },
    { "json", 'j', NULL, "With --check: an object instead of text" },
    { NULL },
};

const Verb verb_connect = {
    .name = "connect",
    .synopsis = "IDENTITY HOST:PORT",
    .summary = "Speak TLS 1.3 with a server as this identity",
    .options = connect_options,
    .minimum = 2,
    .maximum = 2,
    .run = connect_run,
};
