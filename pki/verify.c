/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The search for a path: depth first, from the leaf to an anchor (RFC 4158). Issuers are tried by name, key identifier
 * and signature, anchors before candidates; a key never appears twice in a path and the number of signatures that are
 * looked at is bounded, so that loops and crowds of cross-certificates end. A path that is complete and not good is
 * one of several: the search goes on. Nothing outside the anchors is trusted, and the clock is never asked. */
#include "pki/verify.h"

#include "pki/path.h"
#include "pki/signature.h"

#include <stdio.h>
#include <string.h>

#define SIGNATURES_MAX  200U /* looked at in one search, those of CRLs included */
#define PATHS_MAX       64U  /* judged in one search */
#define COMPARISONS_MAX (1U << 18)
#define NESTED_MAX      2U /* searches for signers of CRLs within the search */

/* How near a failed path came, the farthest first: the reason of the nearest is told. */
typedef enum Nearness {
    NEARNESS_NONE,
    NEARNESS_NO_ISSUER,
    NEARNESS_NAMED_ISSUER, /* somebody with the right name, but not the right key */
    NEARNESS_WEAK,
    NEARNESS_WORK,
    NEARNESS_PATH,
    NEARNESS_TIME,
    NEARNESS_UNCOVERED,
    NEARNESS_REVOKED,
    NEARNESS_LEAF,
} Nearness;

typedef struct Search {
    const VerifyRequest *request;
    Path path; /* without an anchor while it is built */
    Work *work;
    unsigned nested;
    Verdict best;
    Nearness best_nearness;
    size_t best_depth;
} Search;

static const Nearness nearness_of[_VERDICT_COUNT] = {
    [VERDICT_NO_PATH] = NEARNESS_NO_ISSUER, [VERDICT_WEAK] = NEARNESS_WEAK,
    [VERDICT_WORK] = NEARNESS_WORK,         [VERDICT_NOT_CA] = NEARNESS_PATH,
    [VERDICT_MALFORMED] = NEARNESS_PATH,    [VERDICT_CONSTRAINT] = NEARNESS_PATH,
    [VERDICT_TIME] = NEARNESS_TIME,         [VERDICT_UNCOVERED] = NEARNESS_UNCOVERED,
    [VERDICT_REVOKED] = NEARNESS_REVOKED,   [VERDICT_USAGE] = NEARNESS_LEAF,
    [VERDICT_NAME] = NEARNESS_LEAF,
};

const char *verdict_kind_name(VerdictKind kind) {
    static const char *const names[_VERDICT_COUNT] = {
        [VERDICT_GOOD] = "good",           [VERDICT_NO_PATH] = "no-path", [VERDICT_NOT_CA] = "not-a-ca",
        [VERDICT_MALFORMED] = "malformed", [VERDICT_WEAK] = "weak",       [VERDICT_CONSTRAINT] = "constraint",
        [VERDICT_TIME] = "time",           [VERDICT_REVOKED] = "revoked", [VERDICT_UNCOVERED] = "uncovered",
        [VERDICT_USAGE] = "usage",         [VERDICT_NAME] = "name",       [VERDICT_WORK] = "work",
        [VERDICT_SIGNATURE] = "signature",
    };

    return names[kind];
}

/* Of two that came as near the longer path, `depth`, and of two of a length the first. Returns false. */
static bool note(Search *search, const Verdict *verdict, Nearness nearness, size_t depth) {
    if (nearness > search->best_nearness || (nearness == search->best_nearness && depth > search->best_depth)) {
        search->best = *verdict;
        search->best_nearness = nearness;
        search->best_depth = depth;
    }
    return false;
}

#define NOTE(nearness, depth, ...)                                                                                     \
    ({                                                                                                                 \
        Verdict _verdict;                                                                                              \
        (void) verdict_set(&_verdict, __VA_ARGS__);                                                                    \
        note(search, &_verdict, nearness, depth);                                                                      \
    })

static const char signature_rule[] = "RFC 5280 §6.1.3 (a) (1)", issuer_rule[] = "RFC 5280 §6.1.3 (a) (4)",
                  strength_rule[] = "RFC 9325 §4.5", work_rule[] = "RFC 4158 §2.4.2";

static bool crl_issuer_verifies(const Certificate *issuer, const Certificate *anchor, void *userdata);

static bool path_is_good(Search *search) {
    Verdict verdict;

    if (search->work->paths == 0)
        return NOTE(NEARNESS_WORK, 0, VERDICT_WORK, search->path.list[0], work_rule,
                    "more than %u chains could be built, and none of those looked at is good", PATHS_MAX);
    search->work->paths--;
    if (path_is_valid(search->request, &search->path, search->work, &verdict) &&
        path_is_unrevoked(search->request, &search->path, search->work, crl_issuer_verifies, search, &verdict) &&
        path_leaf_fits(search->request, search->path.list[0], &verdict))
        return true;
    return note(search, &verdict, nearness_of[verdict.kind], 0);
}

/* Whether `issuer` made the last certificate of the path. */
static bool links(Search *search, const Certificate *issuer) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *last = search->path.list[search->path.count - 1];
    const char *reason;

    if (!bytes_view_equal(bytes_view(&issuer->subject_form), bytes_view(&last->issuer_form)))
        return false;
    certificate_describe(last, who);
    certificate_describe(issuer, whose);
    if (!certificate_names_issuer(last, issuer))
        return NOTE(NEARNESS_NAMED_ISSUER, 0, VERDICT_NO_PATH, last, issuer_rule,
                    "%s names another key of its issuer than the one that %s has", who, whose);
    if (!key_is_acceptable(issuer, &reason))
        return NOTE(NEARNESS_WEAK, 0, VERDICT_WEAK, issuer, strength_rule, "%s, who signed %s, is refused: %s", whose,
                    who, reason);
    if (search->work->signatures == 0)
        return NOTE(NEARNESS_WORK, 0, VERDICT_WORK, last, work_rule,
                    "there are too many ways to build a chain for %s: gave up", who);
    search->work->signatures--;
    if (!certificate_is_signed_by(last, issuer, false))
        return NOTE(NEARNESS_NAMED_ISSUER, 0, VERDICT_NO_PATH, last, signature_rule,
                    "the signature of %s was not made by the key of %s", who, whose);
    return true;
}

/* RFC 4158 §2.4.2: the same name with the same key cannot lead anywhere new. */
static bool path_has(const Path *path, const Certificate *certificate) {
    for (size_t i = 0; i < path->count; i++)
        if (bytes_view_equal(path->list[i]->spki, certificate->spki) &&
            bytes_view_equal(bytes_view(&path->list[i]->subject_form), bytes_view(&certificate->subject_form)))
            return true;
    return false;
}

static bool extend(Search *search);

/* With this issuer, an anchor or not. */
static bool extend_by(Search *search, const Certificate *issuer, bool is_anchor) {
    if (!links(search, issuer))
        return false;
    search->path.list[search->path.count++] = issuer;
    if (is_anchor ? path_is_good(search) : extend(search))
        return true;
    search->path.count--;
    return false;
}

static bool extend(Search *search) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const VerifyRequest *request = search->request;
    size_t depth = search->path.count;
    const Certificate *last = search->path.list[depth - 1];

    certificate_describe(last, who);
    if (!signature_is_acceptable(last->algorithm))
        return NOTE(NEARNESS_WEAK, 0, VERDICT_WEAK, last, strength_rule,
                    "%s is signed with %s, which is too weak or not known", who, signature_name(last->algorithm));
    for (size_t i = 0; i < request->anchors->count; i++)
        if (extend_by(search, request->anchors->list[i], true))
            return true;
    if (depth >= CHAIN_MAX)
        return NOTE(NEARNESS_WORK, 0, VERDICT_WORK, last, work_rule,
                    "no anchor was reached within %u certificates; the last was %s", CHAIN_MAX, who);
    for (size_t i = 0; request->candidates && i < request->candidates->count; i++)
        if (!path_has(&search->path, request->candidates->list[i]) &&
            extend_by(search, request->candidates->list[i], false))
            return true;
    return NOTE(NEARNESS_NO_ISSUER, depth, VERDICT_NO_PATH, last, issuer_rule,
                "no issuer was found for %s: its issuer, %.150s, is neither an anchor nor among the certificates given",
                who, last->issuer[0] ? last->issuer : "without a name");
}

/* Who signs CRLs with a key of its own must end in the same anchor, and must not be revoked. That all of its own chain
 * be covered by CRLs is not asked: one of them would be its own. */
static bool crl_issuer_verifies(const Certificate *issuer, const Certificate *anchor, void *userdata) {
    const Search *outer = userdata;
    Certificate *only_anchor = (Certificate *) (uintptr_t) anchor;
    const CertificateList anchors = { &only_anchor, 1 };
    const VerifyRequest request = {
        .leaf = issuer,
        .candidates = outer->request->candidates,
        .anchors = &anchors,
        .now = outer->request->now,
        .crls = outer->request->crls,
    };

    if (outer->nested >= NESTED_MAX)
        return false;
    Search search = {
        .request = &request,
        .path = { { issuer }, 1 },
        .work = outer->work,
        .nested = outer->nested + 1,
    };
    return extend(&search);
}

static int copy_path(const Path *path, CertificateList *ret) {
    _cleanup_certificates_ CertificateList chain = { 0 };

    for (size_t i = 0; i + 1 < path->count; i++) {
        int r = certificate_list_add_ref(&chain, path->list[i]);
        if (r < 0)
            return r;
    }
    *ret = chain;
    chain = (CertificateList) { 0 };
    return 0;
}

int verify(const VerifyRequest *request, CertificateList *ret_chain, const Certificate **ret_anchor, Verdict *ret) {
    Work work = { .signatures = SIGNATURES_MAX, .paths = PATHS_MAX, .comparisons = COMPARISONS_MAX };
    Search search = { .request = request, .path = { { request->leaf }, 1 }, .work = &work };

    if (!extend(&search)) {
        *ret = search.best;
        return ret->kind == VERDICT_REVOKED ? -EKEYREVOKED : -EKEYREJECTED;
    }
    *ret = (Verdict) { .kind = VERDICT_GOOD, .rule = "" };
    if (ret_anchor)
        *ret_anchor = search.path.list[search.path.count - 1];
    int r = ret_chain ? copy_path(&search.path, ret_chain) : 0;
    return r < 0 ? failure_errno(&ret->failure, r, "copying a chain") : 0;
}
