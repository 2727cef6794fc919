/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The gate before a certificate is used: whatever brought it (EST, an admin), it is checked here in full, in the
 * process that has no network, and only then becomes the current generation. */
#pragma once

#include "identity/identity.h"

typedef struct CommitInput {
    const CertificateList *issued;  /* as they came */
    const CertificateList *helpers; /* further candidates for the chain (/cacerts); may be NULL */
    const StoredPending *pending;   /* the key that they are for, and the request; in the store as well */
    bool is_renewal;                /* Subject and SAN must be those of the present certificate */
} CommitInput;

#define COMMIT_EARLY                                                                                                   \
    1 /* good, but it has not begun, and what there is works: `ret_begins` says when. Nothing was done */

/* 0: it is current. COMMIT_EARLY. Else -errno: CERTIFICATE_REJECTED (what was wrong, with both names, dates or usages),
 * STORAGE, INTERNAL; the present generation is as before. */
int commit(Identity *identity, const CommitInput *input, int64_t *ret_begins, Failure *ret_failure);
