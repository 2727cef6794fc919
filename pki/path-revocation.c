/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a path is revoked (RFC 5280 §6.3, RFC 6960, RFC 7633): each certificate is looked for in the CRLs that speak
 * for it, in deltas first, and the reasons for which something current speaks are added up until all are covered. */
#include "pki/path.h"

#include "pki/crl.h"
#include "pki/extensions.h"
#include "pki/signature.h"

#include <string.h>

#define FAULT(kind, certificate, rule, ...) verdict_set(ret, kind, certificate, rule, __VA_ARGS__)

typedef struct Look {
    const VerifyRequest *request;
    const Path *path;
    Work *work;
    bool ran_out; /* of work, where a CRL might say something */
    VerifyCrlIssuer verify_issuer;
    void *userdata;
} Look;

static bool may_have_signed(Look *look, const Crl *crl, const Certificate *candidate) {
    if (!bytes_view_equal(bytes_view(&crl->issuer_form), bytes_view(&candidate->subject_form)) ||
        !(candidate->key_usage & GNUTLS_KEY_CRL_SIGN))
        return false;
    if (crl_signer_is_known(crl, candidate))
        return true;
    if (look->work->signatures == 0) {
        look->ran_out = true;
        return false;
    }
    look->work->signatures--;
    return crl_is_signed_by(crl, candidate);
}

static bool is_used_up(const Work *work) {
    return work->signatures == 0 || work->paths == 0 || work->comparisons == 0;
}

/* Mostly the issuer itself; else a certificate that ends in the same anchor (RFC 5280 §6.3.3 (f)). */
static bool is_authentic(Look *look, const Crl *crl, const Certificate *issuer) {
    const Certificate *anchor = look->path->list[look->path->count - 1];
    const CertificateList *candidates = look->request->candidates;

    if (may_have_signed(look, crl, issuer) || (anchor != issuer && may_have_signed(look, crl, anchor)))
        return true;
    for (size_t i = 0; candidates && i < candidates->count; i++) {
        if (!may_have_signed(look, crl, candidates->list[i]))
            continue;
        if (look->verify_issuer(candidates->list[i], anchor, look->userdata))
            return true;
        look->ran_out = look->ran_out || is_used_up(look->work);
    }
    return false;
}

static bool has_begun(const Look *look, const Crl *crl) {
    return crl->this_update <= look->request->now + REVOCATION_SKEW;
}

/* The latest delta that tells changes since `base`; NULL: none. */
static const Crl *find_delta(Look *look, const Crl *base, const Certificate *issuer) {
    const Crl *best = NULL;

    for (size_t i = 0; i < look->request->crls->count; i++) {
        const Crl *delta = look->request->crls->list[i];
        if (crl_is_delta_of(delta, base) && has_begun(look, delta) && look->request->now <= delta->next_update &&
            (!best || delta->this_update > best->this_update) && is_authentic(look, delta, issuer))
            best = delta;
    }
    return best;
}

/* What a delta says goes before the list: also that it was taken off it again. */
static bool is_listed(Look *look, const Crl *crl, const Certificate *certificate, const Certificate *issuer,
                      int64_t *ret_when) {
    const Crl *delta = find_delta(look, crl, issuer);
    int reason = 0;

    if (delta && crl_find(delta, certificate, &reason, ret_when) > 0)
        return reason != CRL_REASON_REMOVE;
    return crl_find(crl, certificate, &reason, ret_when) > 0 && reason != CRL_REASON_REMOVE;
}

/* One certificate of the path. */
static bool certificate_is_unrevoked(Look *look, size_t i, Verdict *ret) {
    static const char rule[] = "RFC 5280 §6.1.3 (a) (3)";
    const Certificate *certificate = look->path->list[i], *issuer = look->path->list[i + 1];
    char who[CERTIFICATE_DESCRIPTION_MAX], when[CERTIFICATE_TIME_MAX];
    const VerifyRequest *request = look->request;
    unsigned covered = 0;
    const char *reason;

    certificate_describe(certificate, who);
    for (size_t k = 0; request->crls && k < request->crls->count; k++) {
        const Crl *crl = request->crls->list[k];
        int64_t since = 0;
        unsigned reasons =
            crl->base_number.size > 0 || !has_begun(look, crl) ? 0 : crl_scope(crl, certificate, &reason);
        if (reasons == 0 || !is_authentic(look, crl, issuer))
            continue;
        if (is_listed(look, crl, certificate, issuer, &since)) {
            FAULT(VERDICT_REVOKED, certificate, rule, "%s is revoked%s%s", who, since ? " since " : "",
                  since ? certificate_time(since, when) : "");
            ret->revoked_at = since;
            return false;
        }
        /* A list out of its order does not tell that nothing newer says otherwise; what it lists counts. */
        if (request->now <= crl->next_update && crl->is_numbered)
            covered |= reasons;
    }
    if (look->ran_out)
        return FAULT(VERDICT_WORK, certificate, "RFC 5280 §6.3.3",
                     "there were too many signatures to look at before it was known whether %s is revoked: gave up",
                     who);
    if (!(request->flags & VERIFY_CRL_REQUIRED) || covered == CRL_REASONS_ALL)
        return true;
    return FAULT(VERDICT_UNCOVERED, certificate, "RFC 5280 §6.3.3",
                 covered == 0 ? "no current CRL covers %s, and one is demanded"
                              : "current CRLs cover %s for some reasons of revocation only, and all are demanded",
                 who);
}

/* ---- a stapled response ---- */

static bool demands_staple(const Certificate *leaf) {
    static const uint8_t status_request[] = { 5 };

    return certificate_has_tls_feature(leaf, (BytesView) { status_request, sizeof status_request });
}

/* A response that does not verify is as if there were none: a peer could leave it out, too. */
static bool staple_is_good(const Look *look, Verdict *ret) {
    const Certificate *leaf = look->path->list[0];
    RevocationVerdict verdict = REVOCATION_UNKNOWN;
    char who[CERTIFICATE_DESCRIPTION_MAX];

    if (look->request->staple.size > 0)
        (void) ocsp_check(look->request->staple, leaf, look->path->list[1], look->request->now, &verdict, NULL, NULL,
                          NULL);
    certificate_describe(leaf, who);
    if (verdict == REVOCATION_REVOKED || verdict == REVOCATION_HOLD)
        return FAULT(VERDICT_REVOKED, leaf, "RFC 6960 §2.2", "%s is revoked, as its CA's OCSP response says", who);
    if (look->request->flags & VERIFY_STAPLE && verdict != REVOCATION_GOOD && demands_staple(leaf))
        return FAULT(
            VERDICT_UNCOVERED, leaf, "RFC 7633 §4.2.3",
            "%s demands a stapled OCSP response (must-staple), and no current one that says it is good came with "
            "it",
            who);
    return true;
}

bool path_is_unrevoked(const VerifyRequest *request, const Path *path, Work *work, VerifyCrlIssuer verify_issuer,
                       void *userdata, Verdict *ret) {
    Look look = {
        .request = request, .path = path, .work = work, .verify_issuer = verify_issuer, .userdata = userdata
    };

    for (size_t i = 0; i + 1 < path->count; i++)
        if (!certificate_is_unrevoked(&look, i, ret))
            return false;
    return staple_is_good(&look, ret);
}
