/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chains: a depth-first search from the leaf to an anchor. Issuers are tried by name, key identifier and signature,
 * anchors before candidates; a key never appears twice in a path and the number of signatures that are looked at is
 * bounded, so that loops and crowds of cross-certificates end. A path that is complete is checked here for the reason,
 * and by GnuTLS for what it checks beyond (name constraints). Nothing outside `anchors` is trusted, and the clock is
 * never asked. */
#include "pki/chain.h"

#include "pki/name-constraints.h"
#include "pki/signature.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define CHAIN_SIGNATURES_MAX 200U /* signatures looked at in one search */

/* How near a failed path came: the reason of the highest is told. */
enum {
    RANK_NONE,
    RANK_NO_ISSUER = 100,    /* plus the depth */
    RANK_WRONG_ISSUER = 200, /* somebody with the right name, but not the right key */
    RANK_WEAK = 300,
    RANK_WORK = 400,
    RANK_COMPLETE = 500,
    RANK_TIME = 600, /* nothing but the time is wrong */
};

typedef struct Search {
    const CertificateList *candidates, *anchors;
    const char *const *purposes; /* OIDs, NULL-terminated; or NULL */
    int64_t now;
    const Certificate *path[CHAIN_MAX];
    size_t depth;
    const Certificate *anchor;
    unsigned signatures_left;
    Failure best;
    int best_rank;
} Search;

static bool _printf_(3, 4) note(Search *search, int rank, const char *format, ...) {
    char text[FAILURE_TEXT_MAX];
    va_list arguments;

    if (rank <= search->best_rank)
        return false;
    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void) failure_set(&search->best, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED, "%s", text);
    search->best_rank = rank;
    return false;
}

static const char *purpose_name(const char *oid) {
    return strcmp(oid, GNUTLS_KP_TLS_WWW_SERVER) == 0   ? "TLS servers"
           : strcmp(oid, GNUTLS_KP_TLS_WWW_CLIENT) == 0 ? "TLS clients"
                                                        : oid;
}

static const Certificate *issuer_at(const Search *search, size_t i) {
    return i < search->depth ? search->path[i] : search->anchor;
}

/* RFC 5280 §6.1.4 (k) to (n) for the certificate at `i`, which issued the one before it. */
static bool issuer_is_allowed(Search *search, size_t i) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *issuer = issuer_at(search, i);
    unsigned usage, critical, ca;
    int path_length, between = 0;

    certificate_describe(issuer, who);
    if (!issuer->is_ca)
        return note(search, RANK_COMPLETE, "%s is not a CA certificate but signed another", who);
    if (certificate_key_usage(issuer, &usage) < 0 || !(usage & GNUTLS_KEY_KEY_CERT_SIGN))
        return note(search, RANK_COMPLETE, "the key usage of %s does not allow it to sign certificates", who);
    if (gnutls_x509_crt_get_basic_constraints(issuer->crt, &critical, &ca, &path_length) < 0)
        return note(search, RANK_COMPLETE, "the basic constraints of %s cannot be read", who);
    for (size_t k = 1; k < i; k++)
        between += !search->path[k]->self_issued;
    if (path_length >= 0 && between > path_length)
        return note(search, RANK_COMPLETE, "%s allows %d CA certificates below it (path length), but here are %d", who,
                    path_length, between);
    return true;
}

static bool certificate_is_allowed(Search *search, const Certificate *certificate) {
    char who[CERTIFICATE_DESCRIPTION_MAX], oid[64];
    const char *reason;

    certificate_describe(certificate, who);
    if (!key_is_acceptable(certificate, &reason))
        return note(search, RANK_COMPLETE, "%s is refused: %s", who, reason);
    if (certificate_unknown_critical(certificate, oid, sizeof(oid)))
        return note(search, RANK_COMPLETE, "%s has the critical extension %s, which identityd does not understand", who,
                    oid);
    return true;
}

static bool time_is_right(Search *search, const Certificate *certificate) {
    char who[CERTIFICATE_DESCRIPTION_MAX], when[CERTIFICATE_TIME_MAX], now[CERTIFICATE_TIME_MAX];

    if (search->now < certificate->not_before)
        return note(search, RANK_TIME, "%s is not valid until %s; the time used is %s",
                    certificate_describe(certificate, who), certificate_time(certificate->not_before, when),
                    certificate_time(search->now, now));
    if (search->now > certificate->not_after)
        return note(search, RANK_TIME, "%s expired at %s; the time used is %s", certificate_describe(certificate, who),
                    certificate_time(certificate->not_after, when), certificate_time(search->now, now));
    return true;
}

/* RFC 5280 §6.1.3 (b) and (c); a self-issued CA is not a name of its own. */
static bool names_are_allowed(Search *search, size_t i) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *issuer = issuer_at(search, i);
    const char *reason;

    for (size_t k = 0; k < i; k++) {
        const Certificate *certificate = search->path[k];
        if ((k == 0 || !certificate->self_issued) && !name_constraints_allow(issuer, certificate, k == 0, &reason))
            return note(search, RANK_COMPLETE, "the name constraints of %s do not allow %s: %s",
                        certificate_describe(issuer, whose), certificate_describe(certificate, who), reason);
    }
    return true;
}

/* RFC 5280 §4.2.1.12 has an extended key usage bound its own certificate only, but who verifies for a purpose wants it
 * of every certificate on the way: OpenSSL always does in TLS, GnuTLS where the program names the purpose. Neither is
 * alike with the anchor (OpenSSL looks at it, GnuTLS does not), so it is left alone; they
 * also refuse anyExtendedKeyUsage in an intermediate (3.0, 3.7), which is their fault and not the CA's. */
static bool purposes_are_allowed(Search *search, size_t i) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];

    for (const char *const *purpose = search->purposes; purpose && *purpose && i < search->depth; purpose++)
        if (!certificate_allows_purpose(search->path[i], *purpose))
            return note(search, RANK_COMPLETE,
                        "the extended key usage of %s does not allow it to issue for %s, which %s is to be used for: "
                        "its peers would refuse it",
                        certificate_describe(search->path[i], whose), purpose_name(*purpose),
                        certificate_describe(search->path[0], who));
    return true;
}

static bool constraints_are_ours(const Search *search) {
    for (size_t i = 1; i <= search->depth; i++)
        if (name_constraints_are_ours(issuer_at(search, i)))
            return true;
    return false;
}

/* What GnuTLS says of exactly this path, but for name constraints that it does not compare: see names_are_allowed. The
 * anchor comes last in it, or GnuTLS would take a NewWithOld certificate without key identifiers at the end for
 * self-signed and drop it. Times were checked with our own clock. */
static bool library_agrees(Search *search) {
    const unsigned flags = GNUTLS_VERIFY_DISABLE_TIME_CHECKS | GNUTLS_VERIFY_DO_NOT_ALLOW_X509_V1_CA_CRT |
                           GNUTLS_VERIFY_DO_NOT_ALLOW_SAME | GNUTLS_PROFILE_TO_VFLAGS(GNUTLS_PROFILE_MEDIUM);
    char who[CERTIFICATE_DESCRIPTION_MAX];
    gnutls_x509_crt_t path[CHAIN_MAX + 1];
    unsigned status = 0;
    int r;

    for (size_t i = 0; i <= search->depth; i++)
        path[i] = issuer_at(search, i)->crt;
    r = gnutls_x509_crt_list_verify(path, (unsigned) search->depth + 1, &search->anchor->crt, 1, NULL, 0, flags,
                                    &status);
    certificate_describe(search->path[0], who);
    if (r < 0)
        return note(search, RANK_COMPLETE, "the chain of %s cannot be verified: %s", who, gnutls_strerror(r));
    if (status == (GNUTLS_CERT_INVALID | GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE) && constraints_are_ours(search))
        return true;
    if (status == 0)
        return true;
    if (status & GNUTLS_CERT_SIGNER_CONSTRAINTS_FAILURE)
        return note(search, RANK_COMPLETE, "%s has a name that the name constraints of its issuers do not allow", who);
    if (status & GNUTLS_CERT_INSECURE_ALGORITHM)
        return note(search, RANK_COMPLETE, "the chain of %s uses an algorithm or key that is too weak", who);
    if (status & GNUTLS_CERT_UNKNOWN_CRIT_EXTENSIONS)
        return note(search, RANK_COMPLETE, "the chain of %s has a critical extension that GnuTLS does not understand",
                    who);
    return note(search, RANK_COMPLETE, "the chain of %s does not verify (GnuTLS status 0x%x)", who, status);
}

/* GnuTLS chains names byte for byte and refuses a path where they are spelled otherwise. What it looks at beside them
 * was looked at here: signatures and their strength, keys, basic constraints, usages, names, extensions. */
static bool is_spelled_alike(const Search *search) {
    for (size_t i = 0; i < search->depth; i++)
        if (!bytes_view_equal(bytes_view(&search->path[i]->issuer_raw),
                              bytes_view(&issuer_at(search, i + 1)->subject_raw)))
            return false;
    return true;
}

static bool path_is_valid(Search *search) {
    for (size_t i = 0; i <= search->depth; i++)
        if (!certificate_is_allowed(search, issuer_at(search, i)) ||
            (i > 0 &&
             (!issuer_is_allowed(search, i) || !names_are_allowed(search, i) || !purposes_are_allowed(search, i))))
            return false;
    if (is_spelled_alike(search) && !library_agrees(search))
        return false;
    for (size_t i = 0; i <= search->depth; i++)
        if (!time_is_right(search, issuer_at(search, i)))
            return false;
    return true;
}

/* Whether `issuer` made the last certificate of the path. */
static bool links(Search *search, const Certificate *issuer) {
    char who[CERTIFICATE_DESCRIPTION_MAX], whose[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *last = search->path[search->depth - 1];
    const char *reason;

    if (!bytes_view_equal(bytes_view(&issuer->subject_form), bytes_view(&last->issuer_form)))
        return false;
    certificate_describe(last, who);
    certificate_describe(issuer, whose);
    if (!certificate_names_issuer(last, issuer))
        return note(search, RANK_WRONG_ISSUER, "%s names another key of its issuer than the one that %s has", who,
                    whose);
    if (!key_is_acceptable(issuer, &reason))
        return note(search, RANK_WEAK, "%s, who signed %s, is refused: %s", whose, who, reason);
    if (search->signatures_left == 0)
        return note(search, RANK_WORK, "there are too many ways to build a chain for %s: gave up", who);
    search->signatures_left--;
    if (!certificate_is_signed_by(last, issuer, false))
        return note(search, RANK_WRONG_ISSUER, "the signature of %s was not made by the key of %s", who, whose);
    return true;
}

/* RFC 4158 §2.4.2: the same name with the same key cannot lead anywhere new. */
static bool path_has(const Search *search, const Certificate *certificate) {
    for (size_t i = 0; i < search->depth; i++)
        if (bytes_view_equal(bytes_view(&search->path[i]->spki), bytes_view(&certificate->spki)) &&
            bytes_view_equal(bytes_view(&search->path[i]->subject_form), bytes_view(&certificate->subject_form)))
            return true;
    return false;
}

static bool extend(Search *search) {
    char who[CERTIFICATE_DESCRIPTION_MAX];
    const Certificate *last = search->path[search->depth - 1];
    gnutls_sign_algorithm_t algorithm = (gnutls_sign_algorithm_t) gnutls_x509_crt_get_signature_algorithm(last->crt);

    certificate_describe(last, who);
    if (!signature_is_acceptable(algorithm))
        return note(search, RANK_WEAK, "%s is signed with %s, which is too weak or not known", who,
                    signature_name(algorithm));
    for (size_t i = 0; i < search->anchors->count; i++) {
        if (!links(search, search->anchors->list[i]))
            continue;
        search->anchor = search->anchors->list[i];
        if (path_is_valid(search))
            return true;
        search->anchor = NULL;
    }
    if (search->depth >= CHAIN_MAX)
        return note(search, RANK_WORK, "no anchor was reached within %u certificates; the last was %s", CHAIN_MAX, who);
    for (size_t i = 0; i < search->candidates->count; i++) {
        const Certificate *candidate = search->candidates->list[i];

        if (path_has(search, candidate) || !links(search, candidate))
            continue;
        search->path[search->depth++] = candidate;
        if (extend(search))
            return true;
        search->depth--;
    }
    return note(search, RANK_NO_ISSUER + (int) search->depth,
                "no issuer was found for %s: its issuer, %.150s, is neither an anchor nor among the certificates given",
                who, last->issuer[0] ? last->issuer : "without a name");
}

static int copy_path(const Search *search, CertificateList *ret) {
    _cleanup_certificates_ CertificateList chain = { 0 };

    for (size_t i = 0; i < search->depth; i++) {
        int r = certificate_list_add_copy(&chain, search->path[i]);
        if (r < 0)
            return r;
    }
    *ret = chain;
    chain = (CertificateList) { 0 };
    return 0;
}

static int build(Search *search, CertificateList *ret_chain, Failure *ret_failure) {
    int r = 0;

    search->signatures_left = CHAIN_SIGNATURES_MAX;
    if (!extend(search)) {
        if (ret_failure)
            *ret_failure = search->best;
        return -EKEYREJECTED;
    }
    if (ret_chain)
        r = copy_path(search, ret_chain);
    return r < 0 ? failure_errno(ret_failure, r, "copying a chain") : 0;
}

static const CertificateList none = { 0 };

int chain_build(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors, int64_t now,
                CertificateList *ret_chain, const Certificate **ret_anchor, Failure *ret_failure) {
    Search search = {
        .candidates = candidates ?: &none,
        .anchors = anchors,
        .now = now,
        .path = { leaf },
        .depth = 1,
    };
    int r = build(&search, ret_chain, ret_failure);

    if (r >= 0 && ret_anchor)
        *ret_anchor = search.anchor;
    return r;
}

int chain_build_for(const Certificate *leaf, const CertificateList *candidates, const CertificateList *anchors,
                    int64_t now, const char *const *purposes, CertificateList *ret_chain, Failure *ret_failure) {
    Search search = {
        .candidates = candidates ?: &none,
        .anchors = anchors,
        .purposes = purposes,
        .now = now,
        .path = { leaf },
        .depth = 1,
    };

    return build(&search, ret_chain, ret_failure);
}

const Certificate *chain_first_to_end(const CertificateList *chain) {
    const Certificate *first = NULL;

    for (size_t i = 0; i < chain->count; i++)
        if (!first || chain->list[i]->not_after < first->not_after)
            first = chain->list[i];
    return first;
}

const Certificate *certificate_list_find_spki(const CertificateList *list, BytesView spki) {
    for (size_t i = 0; i < list->count; i++)
        if (bytes_view_equal(bytes_view(&list->list[i]->spki), spki))
            return list->list[i];
    return NULL;
}
