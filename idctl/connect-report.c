/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See connect-report.h. */
#include "idctl/connect-report.h"

#include "idctl/certificates.h"
#include "idctl/output.h"

#include <stdarg.h>
#include <string.h>

void connect_verdict_set(ConnectVerdict *verdict, bool good, const char *format, ...) {
    va_list arguments;
    char *reason = NULL;

    va_start(arguments, format);
    if (vasprintf(&reason, format, arguments) < 0)
        reason = NULL;
    va_end(arguments);
    free(verdict->reason);
    *verdict = (ConnectVerdict) { good && reason, reason };
}

void connect_report_clear(ConnectReport *report) {
    certificate_list_clear(&report->own);
    certificate_list_clear(&report->peer);
    free(report->chain.reason);
    free(report->name.reason);
    free(report->handshake.reason);
    gnutls_free(report->description);
    *report = (ConnectReport) { 0 };
}

static const struct {
    gnutls_alert_description_t alert;
    const char *text;
} alerts[] = {
    { GNUTLS_A_BAD_CERTIFICATE, "bad_certificate: it could not read our certificate, or its signature is wrong" },
    { GNUTLS_A_UNSUPPORTED_CERTIFICATE,
      "unsupported_certificate: it does not take a certificate of this kind or for this use" },
    { GNUTLS_A_CERTIFICATE_REVOKED, "certificate_revoked: it says that our certificate is revoked" },
    { GNUTLS_A_CERTIFICATE_EXPIRED,
      "certificate_expired: our certificate has expired by its clock, or is not valid yet" },
    { GNUTLS_A_CERTIFICATE_UNKNOWN, "certificate_unknown: it does not take our certificate, and does not say why" },
    { GNUTLS_A_UNKNOWN_CA,
      "unknown_ca: it does not trust the CA that issued our certificate, or an issuer is missing" },
    { GNUTLS_A_ACCESS_DENIED, "access_denied: our certificate is valid, but it does not admit this identity" },
    { GNUTLS_A_DECRYPT_ERROR, "decrypt_error: our signature did not verify with our certificate" },
    { GNUTLS_A_CERTIFICATE_REQUIRED, "certificate_required: it wants a client certificate and got none" },
    { GNUTLS_A_HANDSHAKE_FAILURE, "handshake_failure: no protocol, cipher or signature scheme suits both sides" },
    { GNUTLS_A_PROTOCOL_VERSION, "protocol_version: it does not speak TLS 1.3, which a tls-client handle needs" },
    { GNUTLS_A_INSUFFICIENT_SECURITY, "insufficient_security: our ciphers or keys are too weak for it" },
    { GNUTLS_A_UNRECOGNIZED_NAME, "unrecognized_name: it does not serve the name that was asked for; see --name" },
    { GNUTLS_A_INTERNAL_ERROR, "internal_error: a fault on its side; its log may tell more" },
};

const char *connect_alert_text(gnutls_alert_description_t alert) {
    for (size_t i = 0; i < ARRAY_LENGTH(alerts); i++)
        if (alerts[i].alert == alert)
            return alerts[i].text;
    const char *name = gnutls_alert_get_name(alert);
    return name ? name : "an alert without a known name";
}

void connect_report_refused(ConnectReport *report, gnutls_alert_description_t alert) {
    report->alert = gnutls_alert_get_strname(alert);
    connect_verdict_set(&report->handshake, false, "the peer refused: %s", connect_alert_text(alert));
}

void connect_report_session(ConnectReport *report, gnutls_session_t session) {
    report->description = gnutls_session_get_desc(session);
}

static void print_verdict(FILE *stream, const char *label, const ConnectVerdict *verdict) {
    _cleanup_free_ char *reason = verdict->reason ? printable_copy(verdict->reason) : NULL;

    if (reason)
        fprintf(stream, "%-10s %s%s%s: %s\n", label, colour_of(stream, verdict->good ? COLOUR_GOOD : COLOUR_BAD),
                verdict->good ? "good" : "BAD", colour_of(stream, COLOUR_NONE), reason);
}

void connect_report_print(const ConnectReport *report, FILE *stream) {
    _cleanup_free_ char *end = time_to_text(report->not_after, time_now());

    fprintf(stream, "%-10s %s, generation %u, %s, valid until %s\n", "own", report->identity, report->generation,
            report->state, end ? end : "");
    certificates_print(&report->own, stream, "           ");
    if (report->peer.count > 0) {
        fprintf(stream, "peer\n");
        certificates_print(&report->peer, stream, "           ");
    }
    print_verdict(stream, "chain", &report->chain);
    print_verdict(stream, "name", &report->name);
    print_verdict(stream, "handshake", &report->handshake);
    if (report->handshake.good && !report->asked_for_certificate)
        fprintf(stream, "%-10s %sthe peer did not ask for our certificate: it does not know who we are%s\n", "note",
                colour_of(stream, COLOUR_ATTENTION), colour_of(stream, COLOUR_NONE));
    fflush(stream);
}

static json_t *verdict_to_json(const ConnectVerdict *verdict) {
    return verdict->reason ? json_pack("{s:b, s:o}", "good", verdict->good, "reason", text_to_json(verdict->reason))
                           : json_null();
}

ExitCode connect_report_json(const ConnectReport *report) {
    json_t *own = json_pack("{s:s, s:i, s:s, s:o, s:o}", "identity", report->identity, "generation",
                            (int) report->generation, "state", report->state, "not_after",
                            time_to_json(report->not_after), "chain", certificates_to_json(&report->own));
    json_t *peer = json_pack("{s:o, s:o, s:o, s:b}", "chain", certificates_to_json(&report->peer), "chain_verdict",
                             verdict_to_json(&report->chain), "name_verdict", verdict_to_json(&report->name),
                             "asked_for_certificate", report->asked_for_certificate);
    json_t *object =
        json_pack("{s:o, s:o, s:o, s:s?, s:s?}", "own", own, "peer", peer, "handshake",
                  verdict_to_json(&report->handshake), "session", report->description, "alert", report->alert);

    return json_print(object, false) < 0 ? EXIT_FAILED : EXIT_OK;
}
