/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Judges statements, and notes what they come to. */
#include "revocation/judge.h"

#include "common/handle-protocol.h"
#include "device/log.h"

#include <stdio.h>
#include <string.h>

const Certificate *judge_issuer_of(const Identity *identity, size_t position) {
    const CertificateList *chain = identity_chain(identity), *anchors = identity_anchors(identity);
    const Certificate *certificate = chain->list[position];

    if (position + 1U < chain->count)
        return chain->list[position + 1U];
    for (size_t i = 0; i < anchors->count; i++)
        if (certificate_names_issuer(certificate, anchors->list[i]))
            return anchors->list[i];
    return NULL;
}

/* A statement: of the kind `verdict`, made at `made`; `when` the certificate was revoked. */
typedef struct Statement {
    const Certificate *certificate;
    RevocationVerdict verdict;
    int64_t made, when;
    const char *by;
} Statement;

static void note_revoked(Identity *identity, const Statement *statement) {
    const IdentityRevocation revocation = { .revoked = true, .at = statement->when };
    char text[400];

    identity_set_revocation(identity, &revocation);
    (void) snprintf(text, sizeof text,
                    "The CA has revoked %s (serial number %s), says its %s; `idctl enroll --new-key %s` makes a new "
                    "identity if the CA permits.",
                    statement->certificate->subject, statement->certificate->serial, statement->by,
                    identity_name(identity));
    identity_set_error(identity, text);
    (void) identity_save(identity);
}

static void note_hold(Identity *identity, const Statement *statement) {
    const IdentityRevocation revocation = { .hold = true, .at = statement->made };

    identity_set_revocation(identity, &revocation);
    identity_set_error(
        identity, "The CA has put the certificate on hold (certificateHold); it signs again when the hold is lifted.");
    (void) identity_save(identity);
}

static void judge(Identity *identity, const Statement *statement, Findings *findings) {
    IdentityRevocation revocation = identity_revocation(identity);

    if (statement->verdict == REVOCATION_GOOD && statement->certificate == identity_leaf(identity) &&
        statement->made > findings->leaf_good)
        findings->leaf_good = statement->made;
    findings->is_held |= statement->verdict == REVOCATION_HOLD;
    if (statement->verdict == REVOCATION_REVOKED && !revocation.revoked)
        note_revoked(identity, statement);
    else if (statement->verdict == REVOCATION_HOLD && !revocation.hold && !revocation.revoked)
        note_hold(identity, statement);
}

static void lift_hold(Identity *identity, const Findings *findings) {
    const IdentityRevocation revocation = identity_revocation(identity), none = { 0 };

    if (!revocation.hold || findings->is_held || findings->is_unanswered || findings->leaf_good <= revocation.at)
        return;
    identity_set_revocation(identity, &none);
    identity_set_error(identity, NULL);
    (void) identity_save(identity);
}

/* The anchors may change (rollover, reload) while something is fetched. */
static int no_issuer(const Certificate *certificate, Failure *ret_failure) {
    return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                       "the issuer of %s is no longer among the anchors.", certificate->subject);
}

/* ---- CRLs ---- */

int judge_crl_fits(const Identity *identity, const Crl *crl, size_t position, Failure *ret_failure) {
    const Certificate *certificate = identity_chain(identity)->list[position],
                      *issuer = judge_issuer_of(identity, position);

    if (!issuer)
        return no_issuer(certificate, ret_failure);
    return crl_check(crl, certificate, issuer, identity_time_to_judge(identity, certificate, crl->this_update),
                     ret_failure);
}

bool judge_by_crl(Identity *identity, const Crl *crl, Findings *findings) {
    const CertificateList *chain = identity_chain(identity);
    int64_t now = identity_now(identity), when = 0;
    bool used = false;

    for (size_t i = 0; i < chain->count; i++) {
        if (judge_crl_fits(identity, crl, i, NULL) < 0)
            continue;
        used = true;
        RevocationVerdict verdict = crl_verdict(crl, chain->list[i], now, &when);
        judge(identity, &(Statement) { chain->list[i], verdict, crl->this_update, when, "CRL" }, findings);
    }
    return used;
}

static int append_pem(Bytes *pem, const Crl *crl) {
    gnutls_datum_t der = { crl->der.data, (unsigned) crl->der.size }, out = { NULL, 0 };

    if (gnutls_pem_base64_encode2("X509 CRL", &der, &out) < 0)
        return -ENOMEM;
    int r = pem->size + out.size > HANDLE_CRLS_MAX ? -E2BIG : bytes_append(pem, (BytesView) { out.data, out.size });
    gnutls_free(out.data);
    return r;
}

static void note_until(const Identity *identity, const Crl *crl, Findings *findings) {
    size_t position = 0;

    if (crl->next_update == 0 || (findings->crl_until > 0 && findings->crl_until <= crl->next_update))
        return;
    while (judge_crl_fits(identity, crl, position, NULL) < 0)
        position++; /* one there is: it was judged by */
    findings->crl_until = crl->next_update;
    findings->crl_about = position;
}

/* -ENOMEM; what is damaged or too much is left out, and said. */
static int judge_one_stored(Identity *identity, const char *id, Findings *findings, Bytes *pem) {
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    _cleanup_(crl_free_p) Crl *crl = NULL;
    Failure failure = FAILURE_INIT;

    if (store_crl_load(identity_store(identity), id, &der, &failure) < 0 ||
        crl_parse(bytes_view(&der), &crl, &failure) < 0) {
        log_entry(LOG_WARNING, MESSAGE_STORAGE, identity_name(identity), "A stored CRL is left out: %s", failure.text);
        return 0;
    }
    if (!judge_by_crl(identity, crl, findings))
        return 0;
    note_until(identity, crl, findings);
    identity_learn_time(identity, crl->this_update, "the beginning of a CRL");
    int r = append_pem(pem, crl);
    if (r != -E2BIG)
        return r;
    log_entry(LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(identity),
              "The CRLs are more than %u MB: programs do not get one of %zu bytes for their peers.",
              HANDLE_CRLS_MAX >> 20, der.size);
    return 0;
}

bool judge_stored(Identity *identity, Findings *findings) {
    _cleanup_(strings_free_p) char **ids = NULL;
    _cleanup_bytes_ Bytes pem = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    if (identity_chain(identity)->count == 0 || store_crl_list(identity_store(identity), &ids, &failure) < 0)
        return false;
    for (char **id = ids; id && *id; id++)
        if (judge_one_stored(identity, *id, findings, &pem) < 0)
            return false;
    lift_hold(identity, findings);
    int r = identity_set_crls(identity, &pem);
    if (r < 0)
        log_entry(
            LOG_WARNING, MESSAGE_CHECK_FAILED, identity_name(identity),
            "Programs keep the CRLs that they have for their peers, since the newer ones could not be handed out: "
            "%s. That is tried again with the next check.",
            strerror(-r));
    return r >= 0;
}

/* ---- OCSP ---- */

int judge_by_ocsp(Identity *identity, const OcspAnswer *answer, Findings *findings, OcspOutcome *ret,
                  Failure *ret_failure) {
    const Certificate *certificate = identity_chain(identity)->list[answer->position],
                      *issuer = judge_issuer_of(identity, answer->position);
    OcspOutcome outcome = { .verdict = REVOCATION_UNKNOWN };

    if (!issuer)
        return no_issuer(certificate, ret_failure);
    int r = ocsp_made(answer->der, certificate, issuer, &outcome.this_update, ret_failure);
    if (r >= 0)
        r = ocsp_check(answer->der, certificate, issuer,
                       identity_time_to_judge(identity, certificate, outcome.this_update), &outcome.verdict,
                       &outcome.this_update, &outcome.next_update, ret_failure);
    if (r >= 0)
        r = ocsp_seen_take(identity, answer->seen, certificate, outcome.this_update, ret_failure);
    if (r < 0)
        return r;
    identity_learn_time(identity, outcome.this_update, "the beginning of an OCSP answer");
    judge(identity,
          &(Statement) { certificate, outcome.verdict, outcome.this_update, outcome.this_update, "OCSP responder" },
          findings);
    *ret = outcome;
    return 0;
}
