/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* thisUpdate of OCSP answers never goes back (docs/facts.md, "Revocation"), not over a restart either: an answer that
 * was replaced by a newer one is a replay, however valid it may still be. Kept for the certificates of the present
 * chain. For this room. */
#pragma once

#include "identity/base.h"
#include "pki/certificate.h"
#include "store/store.h"

typedef struct OcspSeen {
    StoredOcsp list[STORE_OCSP_MAX];
    size_t count;
} OcspSeen;

/* From the store, unless something is known already: that is no older, and newer where the store could not be written.
 * What is damaged there is said, and learned anew. */
void ocsp_seen_load(const Identity *identity, OcspSeen *ret);
/* Refuses (-ESTALE) an answer that is older than one that was seen about this certificate, before or after the last
 * start; else takes note of it. */
int ocsp_seen_take(const Identity *identity, OcspSeen *seen, const Certificate *certificate, int64_t this_update,
                   Failure *ret_failure);
