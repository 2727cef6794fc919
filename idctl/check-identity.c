/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-identity.h. */
#include "idctl/check-identity.h"

#include "idctl/certificates.h"
#include "idctl/output.h"
#include "pki/verify.h"

#include <string.h>

static bool state_is(const IdentityProperties *properties, const char *state) {
    return strcmp(properties->state, state) == 0;
}

/* What went wrong last, unless that is the CA's failure, which has a finding of its own. */
static const char *own_error(const IdentityProperties *properties, const CheckTerms *terms) {
    const char *error = properties->last_error;

    if (terms->ca_failure && (strstr(error, terms->ca_failure) || strstr(terms->ca_failure, error)))
        return "";
    return error;
}

/* ---- the state ---- */

static const char *empty_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    if (!properties->ready_by_itself)
        return "Nobody enrols it: \"idctl request\" makes a request for its CA, \"idctl install\" takes the answer.";
    if (own_error(properties, terms)[0])
        return "It is tried again by itself; \"idctl enroll\" tries now.";
    return "It is being enrolled; \"idctl wait\" waits for that.";
}

static const char *revoked_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    if (properties->next_attempt > terms->now)
        return "AfterRevocation=enroll gets another by itself; \"idctl show\" says when.";
    if (properties->ready_by_itself)
        return "It signs again when the CA lifts the hold, or has given it another certificate.";
    return "Its CA revoked it. If that is settled, \"idctl enroll --new-key\" makes a new key.";
}

static const char *expired_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    return properties->ready_by_itself
               ? "Renewal goes on by itself if the CA can be reached; \"idctl renew\" tries now. Is the clock right?"
               : "Nobody renews it: \"idctl request\" makes a request for its CA, \"idctl install\" takes the answer.";
}

static const char *ready_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    return "The present certificate stays in use meanwhile; \"idctl renew\" tries now.";
}

static const char *unavailable_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    return "\"journalctl -u identityd.service\" says more.";
}

static const char *retired_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    return "An administrator retired it. \"idctl enroll\" makes a new key; \"idctl forget\" removes what is left, once "
           "its file is gone.";
}

static const char *misconfigured_advice(const IdentityProperties *properties, const CheckTerms *terms) {
    return "Its file is in order by now: \"idctl reload\" makes identityd read it.";
}

static const struct State {
    const char *state;
    FindingVerdict verdict;
    const char *(*advice)(const IdentityProperties *properties, const CheckTerms *terms);
} states[] = {
    { "ready", FINDING_OK, ready_advice },
    { "empty", FINDING_WARNING, empty_advice },
    { "expired", FINDING_FAILED, expired_advice },
    { "revoked", FINDING_FAILED, revoked_advice },
    { "unavailable", FINDING_FAILED, unavailable_advice },
    { "retired", FINDING_WARNING, retired_advice },
    { "misconfigured", FINDING_FAILED, misconfigured_advice },
};

void check_state(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings) {
    const FindingAbout about = { "state", properties->name };
    const char *error = own_error(properties, terms);
    const struct State *state = NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(states); i++)
        if (state_is(properties, states[i].state))
            state = &states[i];
    if (!state) {
        findings_add(findings, about, FINDING_WARNING, "identityd is of another version than idctl.",
                     "\"%s\", which idctl does not know", properties->state);
        return;
    }
    if ((terms->tpm_failed && state_is(properties, "unavailable")) ||
        (terms->config_failed && state_is(properties, "misconfigured"))) {
        findings_add(findings, about, FINDING_SKIPPED, NULL, "%s: it follows from the above", state->state);
        return;
    }
    FindingVerdict verdict = state->verdict == FINDING_OK && error[0] ? FINDING_WARNING : state->verdict;
    findings_add(findings, about, verdict, state->advice(properties, terms), "%s, %s%s%s", properties->state,
                 properties->activity, error[0] ? ": " : "", error);
}

/* ---- the certificate ---- */

void check_certificate(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings) {
    const FindingAbout about = { "certificate", properties->name };
    uint64_t now = terms->now, lifetime = properties->not_after - properties->not_before;
    _cleanup_free_ char *end = time_to_text(properties->not_after, now),
                        *begin = time_to_text(properties->not_before, now);
    char limit[32];

    if (!end || !begin)
        return;
    if (state_is(properties, "expired"))
        findings_add(findings, about, FINDING_SKIPPED, NULL, "ended at %s", end);
    else if (properties->not_after <= now)
        findings_add(findings, about, FINDING_FAILED, "\"idctl renew\" tries to renew it now.", "ended at %s", end);
    else if (properties->not_after - now < terms->expires_in)
        findings_add(findings, about, FINDING_FAILED,
                     "\"idctl show\" says when it is to be renewed; \"idctl renew\" renews it now.",
                     "ends at %s, sooner than in %s", end, duration_to_text(terms->expires_in, limit));
    else if (properties->not_before > now)
        findings_add(findings, about, FINDING_SKIPPED, NULL, "begins at %s: see the clock", begin);
    else if (properties->not_after - now < lifetime / 10 && !properties->last_error[0])
        findings_add(findings, about, FINDING_WARNING,
                     "It should have been renewed by now: \"idctl renew\" tries, and says why not.",
                     "ends at %s, and less than a tenth of its life is left", end);
    else
        findings_add(findings, about, FINDING_OK, NULL, "ends at %s", end);
}

/* Late without a reason: one that has failed has told so by its state, and one near its end by the certificate. */
static bool is_overdue(const IdentityProperties *properties, uint64_t now) {
    uint64_t lifetime = properties->not_after - properties->not_before;

    return now > properties->next_renewal && now - properties->next_renewal > lifetime / 20 &&
           !properties->last_error[0] && properties->not_after > now && properties->not_after - now >= lifetime / 10;
}

void check_renewal(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings) {
    const FindingAbout about = { "renewal", properties->name };
    _cleanup_free_ char *when = time_to_text(properties->next_renewal, terms->now);

    if (terms->config && terms->config->protocol == PROTOCOL_MANUAL)
        findings_add(findings, about, FINDING_SKIPPED, NULL, "by hand: Protocol=manual");
    else if (properties->next_renewal == 0)
        findings_add(findings, about, FINDING_WARNING,
                     "With Protocol=manual that is so; else \"idctl renew\" says why.", "none is planned");
    else if (properties->next_renewal >= properties->not_after)
        findings_add(findings, about, FINDING_FAILED, "Correct At= in [Renewal].", "planned for %s, after the end",
                     when ? when : "");
    else if (is_overdue(properties, terms->now))
        findings_add(findings, about, FINDING_WARNING, "\"idctl renew\" tries now, and says why it cannot be done.",
                     "overdue: it was planned for %s", when ? when : "");
    else
        findings_add(findings, about, FINDING_OK, NULL, "planned for %s", when ? when : "");
}

/* ---- key and chain ---- */

/* One finding for each place: a peer whose certificate was revoked gets in where nobody knows of that. */
void check_peer_crls(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings) {
    const FindingAbout about = { "CRL of peers", properties->name };
    uint64_t now = terms->now;

    for (size_t i = 0; i < properties->peer_crls.count; i++) {
        const PeerCrl *crl = &properties->peer_crls.list[i];
        _cleanup_free_ char *end = time_to_text(crl->next_update, now);
        const char *error = crl->error[0] ? crl->error : "it was not fetched yet";
        if (!crl->issuer[0])
            findings_add(
                findings, about, FINDING_WARNING,
                "Programs take peers of this CA unchecked, unless they demand a CRL. Is CRL= in [Peers] right, "
                "and has [Peers] Anchors= or Intermediates= the CA?",
                "there is none from %s: %s", crl->url, error);
        else if (crl->next_update > 0 && crl->next_update <= now)
            findings_add(findings, about, FINDING_WARNING,
                         "Programs do not know what was revoked since. Does the CA still issue CRLs there?",
                         "that of %s from %s has ended at %s: %s", crl->issuer, crl->url, end ? end : "", error);
        else if (crl->error[0])
            findings_add(findings, about, FINDING_WARNING, "The one at hand counts on; it is tried again.",
                         "no newer one came from %s: %s", crl->url, crl->error);
        else
            findings_add(findings, about, FINDING_OK, NULL, "%s%s%s", crl->issuer,
                         crl->next_update > 0 ? ", until " : "", crl->next_update > 0 && end ? end : "");
    }
}

/* SubjectPublicKeyInfo of a certificate, DER. */
static int certificate_spki(const Bytes *der, Bytes *ret) {
    _cleanup_certificate_ Certificate *certificate = NULL;

    int r = certificate_from_der(bytes_view(der), &certificate, NULL);
    return r < 0 ? r : bytes_copy(certificate->spki, ret);
}

void check_key(const IdentityProperties *properties, Findings *findings) {
    const FindingAbout about = { "key", properties->name };
    _cleanup_bytes_ Bytes spki = BYTES_NULL;

    if (certificate_spki(&properties->certificates.list[0], &spki) < 0)
        findings_add(findings, about, FINDING_FAILED, "\"idctl renew\" gets another certificate.",
                     "the certificate cannot be read");
    else if (!bytes_view_equal(bytes_view(&spki), bytes_view(&properties->public_key)))
        findings_add(findings, about, FINDING_FAILED,
                     "Something changed the files of identityd. \"idctl enroll --new-key\" makes a new pair.",
                     "key and certificate do not belong together");
    else
        findings_add(findings, about, FINDING_OK, NULL, "%s, fits the certificate", properties->key_algorithm);
}

/* Whether the chain ends in the anchors, by the one verifier; but what has ended is told as such. */
static bool ends_in(const CertificateList *chain, const CertificateList *anchors) {
    const VerifyRequest request = {
        .leaf = chain->list[0],
        .candidates = chain,
        .anchors = anchors,
        .now = (int64_t) (time_now() / 1000000U),
    };
    Verdict verdict;

    return verify(&request, NULL, NULL, &verdict) == 0 || verdict.kind == VERDICT_TIME;
}

void check_chain(const IdentityProperties *properties, const IdentityConfig *config, Findings *findings) {
    const FindingAbout about = { "chain", properties->name };
    _cleanup_certificates_ CertificateList chain = { 0 }, anchors = { 0 };
    _cleanup_bytes_ Bytes data = BYTES_NULL;
    LeftOut left_out;

    if (!config || !config->anchors || bytes_read_file(config->anchors, CERTIFICATES_FILE_MAX, &data) < 0 ||
        certificate_bundle_from_pem(bytes_view(&data), &anchors, &left_out, NULL) < 0 ||
        certificates_from_der(properties->certificates.list, properties->certificates.count, &chain) < 0 ||
        chain.count == 0 || ends_in(&chain, &anchors))
        return;
    findings_add(findings, about, FINDING_WARNING,
                 "Put the CA's present certificates there: with this file the device could not be enrolled anew, and "
                 "peers that have it refuse the chain.",
                 "does not end in what is in [Enrollment] Anchors=%s, but in \"%s\"", config->anchors,
                 chain.list[chain.count - 1]->issuer);
}
