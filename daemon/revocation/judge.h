/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What statements (CRLs, OCSP answers) mean for an identity. For this room. */
#pragma once

#include "identity/identity.h"
#include "pki/revocation.h"
#include "revocation/ocsp-seen.h"

/* What all statements together say of a hold. One ends only by a statement about the leaf that is newer than the one
 * that began it (docs/facts.md, "Revocation"), while nothing else says that it lasts: not by an older CRL, and not by
 * what says that the intermediate is good. */
typedef struct Findings {
    bool is_held;       /* something says that a certificate of the chain is on hold */
    bool is_unanswered; /* an issuer's certificate was asked about and nobody answered */
    int64_t leaf_good;  /* thisUpdate of the newest statement that the leaf is good; 0: none */
    int64_t crl_until;  /* earliest nextUpdate of the stored CRLs that speak for the chain; 0: none … */
    size_t crl_about;   /* … and the position of a certificate that it speaks for */
} Findings;

/* The issuer of a certificate of the chain: the next one, or the anchor whose name and key fit; NULL: none. */
const Certificate *judge_issuer_of(const Identity *identity, size_t position);

/* Whether a CRL speaks for the certificate at `position`. As crl_check; also where its issuer is no anchor any more. */
int judge_crl_fits(const Identity *identity, const Crl *crl, size_t position, Failure *ret_failure);
/* Every certificate of the chain for which it speaks. True: there is one. */
bool judge_by_crl(Identity *identity, const Crl *crl, Findings *findings);

/* An OCSP answer about the certificate at `position`. -errno: it counts for nothing. */
typedef struct OcspAnswer {
    BytesView der;
    size_t position;
    OcspSeen *seen;
} OcspAnswer;
typedef struct OcspOutcome {
    RevocationVerdict verdict;
    int64_t this_update, next_update; /* next_update 0: none given */
} OcspOutcome;
int judge_by_ocsp(Identity *identity, const OcspAnswer *answer, Findings *findings, OcspOutcome *ret,
                  Failure *ret_failure);

/* All stored CRLs against the present chain; those that speak for it are what programs get for their peers. False: they
 * could not be read. */
bool judge_stored(Identity *identity, Findings *findings);
