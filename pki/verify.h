/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one verifier (RFC 5280 §6, RFC 4158, RFC 9618, RFC 9525): identityd, the enroller, libidentityd-gnutls, the proxy
 * and idctl ask here, and so get one answer in one text. GnuTLS and libtasn1 parse and check signatures; which path is
 * taken and whether it is good is decided here. Pure: certificates, CRLs and a time in, a verdict out. */
#pragma once

#include "common/failure.h"
#include "pki/certificate.h"
#include "pki/revocation.h"

/* CRLs to look into, in any order and of any CA. Borrows; what does not fit the path says nothing. */
typedef struct CrlList {
    Crl *const *list;
    size_t count;
} CrlList;

enum {
    VERIFY_CRL_REQUIRED =
        1U << 0,             /* each certificate but the anchor must be covered, for all reasons, by current CRLs */
    VERIFY_STAPLE = 1U << 1, /* must-staple (RFC 7633) is enforced: what demands a staple must come with one */
};

typedef struct VerifyRequest {
    const Certificate *leaf;
    const CertificateList *candidates; /* issuers, and who signs CRLs; may be NULL, may have the leaf in it */
    const CertificateList *anchors;    /* nothing else is trusted */
    int64_t now;                       /* seconds */
    /* OIDs of extended key usages, NULL-terminated, or NULL. Each certificate of the path that has an extended key
     * usage must allow each; whether the leaf must as well is `leaf_purposes`. */
    const char *const *purposes;
    bool leaf_purposes;
    const char *host; /* DNS name or IP address that the leaf must carry (RFC 9525); NULL: any */
    const char *uri;  /* URI that the leaf must carry among its subject alternative names; NULL: any */
    const CrlList *crls;
    BytesView staple;     /* a stapled OCSP response about the leaf, DER; empty: there is none */
    unsigned flags;       /* VERIFY_… */
    unsigned depth_limit; /* one more than how many CA certificates, self-issued ones apart, may come between leaf and
                           * anchor; 0: CHAIN_MAX alone bounds them */
} VerifyRequest;

/* Why not. */
typedef enum VerdictKind {
    VERDICT_GOOD,
    VERDICT_NO_PATH,    /* no issuer was found, or none that made the signature */
    VERDICT_NOT_CA,     /* basic constraints, path length, key usage of an issuer */
    VERDICT_MALFORMED,  /* what a certificate of this profile must not have, or must have */
    VERDICT_WEAK,       /* key or signature */
    VERDICT_CONSTRAINT, /* names, policies, usages that an issuer allows */
    VERDICT_TIME,
    VERDICT_REVOKED,
    VERDICT_UNCOVERED, /* no current CRL covers it, and one is demanded; or no staple is there */
    VERDICT_USAGE,     /* the leaf's own */
    VERDICT_NAME,      /* the leaf has not the name that was asked for */
    VERDICT_WORK,      /* too many ways, names or policies to look at */
    VERDICT_SIGNATURE, /* of a file: not made of it by the key of its signer (signed-data.h) */
    _VERDICT_COUNT,
} VerdictKind;

typedef struct Verdict {
    VerdictKind kind;
    const Certificate *at_fault; /* borrowed from the request; NULL: none in particular */
    const char *rule;            /* "RFC 5280 §6.1.3 (a) (2)"; static, never NULL; "" for a good one */
    Failure failure;             /* text without the rule */
    int64_t revoked_at;          /* with VERDICT_REVOKED; 0: not known */
} Verdict;

/* For programs: "time", "revoked", … Never NULL. */
const char *verdict_kind_name(VerdictKind kind);

/* Builds and judges. Of several paths a good one wins; else the reason of the one that came nearest is told.
 * `ret_chain` (may be NULL): leaf and issuers without the anchor, owned by the caller. `ret_anchor` (may be NULL):
 * borrowed. 0; -EKEYREVOKED where the verdict is VERDICT_REVOKED; -EKEYREJECTED for the others; -ENOMEM with a verdict
 * that says so. `ret` is always filled in. */
int verify(const VerifyRequest *request, CertificateList *ret_chain, const Certificate **ret_anchor, Verdict *ret);
