/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A path that is complete, and what is looked at in it (RFC 5280 §6.1). Internal to pki/. */
#pragma once

#include "pki/verify.h"

typedef struct Path {
    const Certificate *list[CHAIN_MAX + 1U]; /* leaf first, the anchor last */
    size_t count;
} Path;

/* What a search may still do, whoever made the certificates: it is one for all paths that are tried. */
typedef struct Work {
    unsigned signatures;  /* looked at, those of CRLs included */
    unsigned paths;       /* complete ones judged */
    unsigned comparisons; /* of names with name constraints, and constraints read */
} Work;

/* Fills in a verdict that is not good. Returns false. */
bool verdict_set(Verdict *verdict, VerdictKind kind, const Certificate *at_fault, const char *rule, const char *format,
                 ...) _printf_(5, 6);

/* Whether the path is good by itself: keys, extensions, basic constraints, usages of the issuers, names, policies, and
 * last the times. Signatures and names that chain were looked at when it was built. */
bool path_is_valid(const VerifyRequest *request, const Path *path, Work *work, Verdict *ret);

/* Whether the leaf is what was asked for: usage, host, URI. */
bool path_leaf_fits(const VerifyRequest *request, const Certificate *leaf, Verdict *ret);

/* Whether a certificate ends in the anchor of a path, for the keys that sign CRLs (verify.c). */
typedef bool (*VerifyCrlIssuer)(const Certificate *issuer, const Certificate *anchor, void *userdata);

/* Whether nothing in the path is revoked, and all is covered that must be. A CRL whose signature there is no work left
 * for is not passed over: the path is refused, or who sends many certificates could keep it from being read. */
bool path_is_unrevoked(const VerifyRequest *request, const Path *path, Work *work, VerifyCrlIssuer verify_issuer,
                       void *userdata, Verdict *ret);
