/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificate revocation lists, made from index.txt, with a number that never goes back. */
#pragma once

#include "ca.h"
#include "faults.h"

#define CRL_CACHE_MAX (2U * CA_ROOTS_MAX)

/* The last CRL of each authority: it is made again when what is revoked changes, or its half-life has passed. */
typedef struct CrlCache {
    struct {
        char authority[AUTHORITY_NAME_MAX];
        gnutls_datum_t der;
        uint64_t revocations; /* a digest of the list that it was made from */
        time_t made;
    } entries[CRL_CACHE_MAX];
    int64_t lifetime; /* seconds between thisUpdate and nextUpdate */
} CrlCache;

/* The DER CRL of an authority, right or, with a fault, wrong. -ENOENT: no such authority. The caller frees. */
int crl_get(const Ca *ca, CrlCache *cache, const char *authority, FaultKind fault, gnutls_datum_t *ret);

/* Makes new CRLs with new numbers at the next request, as a CA does on its schedule. */
void crl_cache_drop(CrlCache *cache);
