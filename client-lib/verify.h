/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification of a peer's chain with a snapshot's anchors and CRLs. */
#pragma once

#include "client-lib/snapshot-parse.h"
#include "identityd/identityd-gnutls.h"

#include <gnutls/gnutls.h>

typedef struct VerifyWanted {
    const char *host;           /* NULL: any name */
    bool is_server;             /* what the peer is: its extended key usage must allow it */
    unsigned flags;             /* IDENTITYD_VERIFY_… */
    const gnutls_datum_t *ocsp; /* stapled response for the leaf, DER, or NULL */
} VerifyWanted;

/* `chain`: DER, leaf first. 0; -EKEYREJECTED, -EKEYREVOKED, -ENOENT (no anchors), -EINVAL, -ENOMEM, -EBADMSG (anchors
 * or CRLs that do not parse), with this thread's text. */
int verify_chain(identityd_snapshot *snapshot, const gnutls_datum_t *chain, size_t count, const VerifyWanted *wanted);
