/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a snapshot's PEM is to GnuTLS and to pki. Made when first needed, then never changed. Without a lock, since a
 * forked child could find it held: where two threads make one at once, the second is thrown away. */
#pragma once

#include "client-lib/snapshot.h"
#include "client-lib/verified.h"
#include "pki/revocation.h"

#include <gnutls/x509.h>

#define SNAPSHOT_CHAIN_MAX 16U /* certificates in a chain, ours or a peer's */

typedef struct SnapshotTrust {
    CertificateList anchors;
    CrlSet crls;     /* verified by identityd; whose they are is looked at here again */
    time_t *moments; /* at which an answer may change: an anchor begins or ends, a CRL becomes valid or due */
    unsigned moment_count;
    VerifiedTable *verified; /* what verified with all this; the one thing here that changes */
} SnapshotTrust;

/* The chain as DER, leaf first. */
typedef struct SnapshotChain {
    gnutls_datum_t der[SNAPSHOT_CHAIN_MAX];
    unsigned count;
} SnapshotChain;

/* The leaf's. */
typedef struct SnapshotKey {
    gnutls_datum_t spki; /* DER */
    gnutls_pk_algorithm_t algorithm;
    unsigned bits, usage; /* usage: GNUTLS_KEY_…; 0: any */
} SnapshotKey;

/* What was made of anchors and CRLs, of the chain, and of the leaf's public key: borrowed, valid as long as the
 * snapshot. 0; -EBADMSG: what identityd sent does not parse; -ENOENT: there are no anchors, or no chain; -ENOMEM; with
 * this thread's text. Thread-safe. */
int snapshot_trust(identityd_snapshot *snapshot, const SnapshotTrust **ret);
int snapshot_chain_der(identityd_snapshot *snapshot, const SnapshotChain **ret);
int snapshot_key(identityd_snapshot *snapshot, const SnapshotKey **ret);
