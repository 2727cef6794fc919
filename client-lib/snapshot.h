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

struct identityd_snapshot {
    atomic_uint references;
    char *identity, *state;
    Purpose purpose;
    uint32_t generation, oldest;
    uint64_t not_after;
    uint16_t schemes[SNAPSHOT_SCHEMES_MAX + 1]; /* 0-terminated */
    Bytes chain, anchors, crls;                 /* PEM; data is NULL where none came */
    Bytes ocsp;                                 /* DER */

    pthread_mutex_t parse_lock; /* for what follows: parsed when first needed, then never changed */
    gnutls_x509_trust_list_t trust;
    gnutls_x509_crl_t *crl_list; /* belong to `trust` */
    unsigned crl_count;
    gnutls_datum_t *chain_der;
    unsigned chain_count;
    gnutls_datum_t public_key; /* the leaf's SubjectPublicKeyInfo */
    gnutls_pk_algorithm_t algorithm;
    unsigned bits, key_usage; /* GNUTLS_KEY_…; 0: any */
};

/* From a packet of type HANDLE_STATE with status 0, whose descriptors are read but not taken. 0; -EBADMSG with this
 * thread's text: a missing or malformed field, a descriptor that is no sealed memfd or too large; -ENOMEM. */
int snapshot_new(const Packet *packet, identityd_snapshot **ret);

identityd_snapshot *snapshot_ref(identityd_snapshot *snapshot);

/* The trust list made of anchors and CRLs: borrowed, valid as long as the snapshot. 0; -EBADMSG: PEM that does not
 * parse; -ENOENT: no anchors; -ENOMEM; with this thread's text. Thread-safe. */
int snapshot_trust(identityd_snapshot *snapshot, gnutls_x509_trust_list_t *ret);

/* The chain as DER, leaf first: borrowed, valid as long as the snapshot. 0; -EBADMSG; -ENOENT: there is none.
 * Thread-safe. */
int snapshot_chain_der(identityd_snapshot *snapshot, const gnutls_datum_t **ret, unsigned *ret_count);

/* The leaf's public key: reads `public_key`, `algorithm`, `bits` and `key_usage`, which stay as they are
 * from then on. 0, or as
 * snapshot_chain_der(). Thread-safe. */
int snapshot_read_public_key(identityd_snapshot *snapshot);

/* Whether `scheme` is among those of the snapshot. */
bool snapshot_has_scheme(const identityd_snapshot *snapshot, uint16_t scheme);

DEFINE_CLEANUP(identityd_snapshot, identityd_snapshot_free)
#define _cleanup_snapshot_ _cleanup_(identityd_snapshot_free_p)
