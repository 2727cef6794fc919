/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One State of a credential handle as an immutable value: reference counted, so that a handshake can go on with the one
 * it began with while the next arrives. */
#pragma once

#include "common/access-rule.h"
#include "common/bytes.h"
#include "common/names.h"
#include "common/packet.h"
#include "identityd/identityd.h"

#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>

#define SNAPSHOT_STATE_MAX   32U /* bytes of the word for the state */
#define SNAPSHOT_SCHEMES_MAX 16U
#define SNAPSHOT_CHAIN_MAX   16U /* certificates in a chain, ours or a peer's */

typedef struct SnapshotTrust {
    gnutls_x509_trust_list_t list;
    gnutls_x509_crl_t *crls; /* belong to `list`, which shows them to nobody */
    unsigned crl_count;
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

struct identityd_snapshot {
    atomic_uint references;
    char *identity, *state;
    Purpose purpose;
    uint32_t generation, oldest;
    uint64_t not_after;
    uint16_t schemes[SNAPSHOT_SCHEMES_MAX + 1]; /* 0-terminated */
    Bytes chain, anchors, crls;                 /* PEM; data is NULL where none came */
    Bytes ocsp;                                 /* DER */

    /* Made when first needed, then never changed. Without a lock, since a forked child could find it held: where two
     * threads make one at once, the second is thrown away. */
    SnapshotTrust *_Atomic trust;
    SnapshotChain *_Atomic chain_der;
    SnapshotKey *_Atomic key;
};

/* From a packet of type HANDLE_STATE with status 0, whose descriptors are read but not taken. 0; -EBADMSG with this
 * thread's text: a missing or malformed field, a descriptor that is no sealed memfd or too large; -ENOMEM. */
int snapshot_new(const Packet *packet, identityd_snapshot **ret);

identityd_snapshot *snapshot_ref(identityd_snapshot *snapshot);

/* What was made of anchors and CRLs, of the chain, and of the leaf's public key: borrowed, valid as long as the snapshot.
 * 0; -EBADMSG: what identityd sent does not parse; -ENOENT: there are no anchors, or no chain; -ENOMEM; with this
 * thread's text. Thread-safe. */
int snapshot_trust(identityd_snapshot *snapshot, const SnapshotTrust **ret);
int snapshot_chain_der(identityd_snapshot *snapshot, const SnapshotChain **ret);
int snapshot_key(identityd_snapshot *snapshot, const SnapshotKey **ret);

/* Frees all that was made. */
void snapshot_parse_clear(identityd_snapshot *snapshot);

/* Whether `scheme` is among those of the snapshot. */
bool snapshot_has_scheme(const identityd_snapshot *snapshot, uint16_t scheme);

DEFINE_CLEANUP(identityd_snapshot, identityd_snapshot_free)
#define _cleanup_snapshot_ _cleanup_(identityd_snapshot_free_p)
