/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How anchors come and go: the bootstrap by a fingerprint and the rollover of a root (RFC 4210 §4.4, RFC 7030 §4.1.3).
 * What is evidence for a new root is what the old key signed; what the new key signed, anybody can make. */
#include "pki/chain.h"

#include "pki/extensions.h"
#include "pki/signature.h"

#include <string.h>

#define REJECT(...)         failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, __VA_ARGS__)
#define ROLLOVER_ROUNDS_MAX 4U   /* roots that vouch for each other in a row */
#define ROLLOVER_CHECKS_MAX 128U /* NewWithOld certificates that are verified in one call */

static bool same_subject_and_key(const Certificate *a, const Certificate *b) {
    return bytes_view_equal(bytes_view(&a->subject_form), bytes_view(&b->subject_form)) &&
           bytes_view_equal(a->spki, b->spki);
}

/* What a certificate must be to become an anchor at `now`, whoever vouches for it. */
static bool may_be_root(const Certificate *certificate, int64_t now, const char **ret_reason) {
    char oid[64];

    if (!certificate->self_issued)
        *ret_reason = "it is not self-signed";
    else if (!certificate->is_ca)
        *ret_reason = "it is not a CA certificate";
    else if (!(certificate->key_usage & GNUTLS_KEY_KEY_CERT_SIGN))
        *ret_reason = "its key usage does not allow it to sign certificates";
    else if (now < certificate->not_before)
        *ret_reason = "it is not valid yet";
    else if (now > certificate->not_after)
        *ret_reason = "it has expired";
    else if (certificate_unknown_critical(certificate, oid, sizeof(oid)))
        *ret_reason = "it has a critical extension that identityd does not understand";
    else if (!key_is_acceptable(certificate, ret_reason))
        return false;
    else if (!certificate_is_self_signed(certificate))
        *ret_reason = "it is not self-signed";
    else
        return true;
    return false;
}

/* ---- rollover ---- */

/* The very same name constraints, or none on either side. */
static bool has_constraints_of(const Certificate *a, const Certificate *b) {
    const CertificateExtension *one = certificate_extension(a, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS),
                               *other = certificate_extension(b, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS);

    return one && other ? bytes_view_equal(one->value, other->value) : !one && !other;
}

/* Self-issued, a CA, without pathLen: docs/facts.md, "EST". Name constraints of the old root's making must be the new
 * root's as well, or the new anchor would be trusted with more than was vouched for. */
static bool is_new_with_old(const Certificate *certificate, const Certificate *root) {
    if (!certificate->self_issued || !certificate->is_ca || !same_subject_and_key(certificate, root) ||
        certificate->path_length >= 0 || !(certificate->key_usage & GNUTLS_KEY_KEY_CERT_SIGN))
        return false;
    return !certificate_extension(certificate, GNUTLS_X509EXT_OID_NAME_CONSTRAINTS) ||
           has_constraints_of(root, certificate);
}

static bool is_vouched_for(const Certificate *root, const CertificateList *answer, const CertificateList *vouchers,
                           int64_t now, unsigned *checks) {
    for (size_t i = 0; i < answer->count && *checks < ROLLOVER_CHECKS_MAX; i++) {
        if (!is_new_with_old(answer->list[i], root))
            continue;
        ++*checks;
        const Certificate *anchor = NULL;
        /* A root whose own key is trusted already is the same one issued again, if it is no wider. */
        if (chain_build(answer->list[i], NULL, vouchers, now, NULL, &anchor, NULL) >= 0 &&
            (!same_subject_and_key(anchor, root) || has_constraints_of(anchor, root)))
            return true;
    }
    return false;
}

/* An intermediate that was made an anchor is trusted for what is below it; it names no roots. */
static int collect_vouchers(const CertificateList *anchors, CertificateList *ret) {
    for (size_t i = 0; i < anchors->count; i++)
        if (certificate_is_self_signed(anchors->list[i])) {
            int r = certificate_list_add_ref(ret, anchors->list[i]);
            if (r < 0)
                return r;
        }
    return 0;
}

static int add_vouched(CertificateList *anchors, const CertificateList *answer, int64_t now, unsigned *checks,
                       bool *ret_any) {
    _cleanup_certificates_ CertificateList vouchers = { 0 };
    const char *reason;
    int r = collect_vouchers(anchors, &vouchers);

    if (r < 0)
        return r;
    *ret_any = false;
    for (size_t i = 0; i < answer->count && anchors->count < BUNDLE_MAX; i++) {
        const Certificate *root = answer->list[i];
        if (certificate_list_contains(anchors, root) || !root->self_issued || !root->is_ca ||
            !is_vouched_for(root, answer, &vouchers, now, checks) || !may_be_root(root, now, &reason))
            continue;
        r = certificate_list_add_ref(anchors, root);
        if (r < 0)
            return r;
        *ret_any = true;
    }
    return 0;
}

static int copy_without(const CertificateList *list, const Certificate *left_out, CertificateList *ret) {
    for (size_t i = 0; i < list->count; i++)
        if (!left_out || !certificate_equal(list->list[i], left_out)) {
            int r = certificate_list_add_ref(ret, list->list[i]);
            if (r < 0)
                return r;
        }
    return 0;
}

/* Drops the present anchors that the answer omits and that our own chain does without. */
static int drop_omitted(CertificateList *anchors, const CertificateList *present, const CertificateList *answer,
                        const CertificateList *own_chain, int64_t now, bool *ret_any) {
    for (size_t i = 0; i < present->count; i++) {
        _cleanup_certificates_ CertificateList rest = { 0 };
        CertificateList swap;
        int r;

        if (certificate_list_contains(answer, present->list[i]))
            continue;
        r = copy_without(anchors, present->list[i], &rest);
        if (r < 0)
            return r;
        if (own_chain && own_chain->count > 0 &&
            chain_build(own_chain->list[0], own_chain, &rest, now, NULL, NULL, NULL) < 0)
            continue;
        swap = *anchors;
        *anchors = rest;
        rest = swap;
        *ret_any = true;
    }
    return 0;
}

int trust_rollover(const CertificateList *present, const CertificateList *answer, const Certificate *authenticated_by,
                   const CertificateList *own_chain, int64_t now, CertificateList *ret_anchors, bool *ret_changed,
                   Failure *ret_failure) {
    _cleanup_certificates_ CertificateList anchors = { 0 };
    bool changed = false, any = true;
    unsigned checks = 0;
    int r = copy_without(present, NULL, &anchors);

    for (unsigned round = 0; r >= 0 && any && round < ROLLOVER_ROUNDS_MAX; round++) {
        r = add_vouched(&anchors, answer, now, &checks, &any);
        changed = changed || any;
    }
    if (r >= 0 && authenticated_by && certificate_list_contains(present, authenticated_by) &&
        certificate_list_contains(answer, authenticated_by))
        r = drop_omitted(&anchors, present, answer, own_chain, now, &changed);
    if (r < 0)
        return failure_errno(ret_failure, r, "bringing the anchors up to date");
    *ret_anchors = anchors;
    anchors = (CertificateList) { 0 };
    *ret_changed = changed;
    return 0;
}

/* ---- bootstrap ---- */

static const Certificate *find_fingerprint(const CertificateList *answer, const uint8_t fingerprint[static 32]) {
    for (size_t i = 0; i < answer->count; i++) {
        uint8_t found[32];
        if (certificate_fingerprint(answer->list[i], found) >= 0 && memcmp(found, fingerprint, sizeof(found)) == 0)
            return answer->list[i];
    }
    return NULL;
}

int trust_bootstrap(const CertificateList *answer, const uint8_t fingerprint[static 32], int64_t now,
                    Certificate **ret_anchor, Failure *ret_failure) {
    const Certificate *root = find_fingerprint(answer, fingerprint);
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const char *reason;

    if (!root) {
        _cleanup_free_ char *hex = bytes_to_hex((BytesView) { fingerprint, 32 });
        return REJECT("none of the CA's %zu certificates has the fingerprint sha256:%s", answer->count, hex ?: "?");
    }
    if (!may_be_root(root, now, &reason))
        return REJECT("%s has the right fingerprint but cannot be an anchor: %s", certificate_describe(root, who),
                      reason);
    *ret_anchor = certificate_ref(root);
    return 0;
}
