/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One State of a credential handle as an immutable value: reference counted, so that a handshake can go on with the one
 * it began with while the next arrives. */
#pragma once

#include "common/access-rule.h"
#include "common/bytes.h"
#include "common/macros.h"
#include "common/names.h"
#include "common/packet.h"
#include "identityd/identityd.h"

#include <stdatomic.h>

#define SNAPSHOT_STATE_MAX   32U /* bytes of the word for the state */
#define SNAPSHOT_SCHEMES_MAX 16U

struct identityd_snapshot {
    atomic_uint references;
    char *identity, *state;
    Purpose purpose;
    uint32_t generation, oldest;
    uint64_t not_after;
    bool is_unproved; /* the process that opened the handle by a unit: rule has not spoken on it */
    bool tls12;       /* tls-client signs transcripts of TLS 1.2, too */
    uint16_t schemes[SNAPSHOT_SCHEMES_MAX + 1]; /* 0-terminated */
    Bytes chain, anchors, crls;                 /* PEM; data is NULL where none came */
    Bytes ocsp;                                 /* DER */
    Bytes earlier;                              /* HANDLE_STATE_EARLIER, checked */

    /* What is made of the PEM when somebody first needs it (client-lib/snapshot-parse.h), and what frees that: set by
     * whoever makes it, so that programs which only sign do without a parser. */
    struct SnapshotTrust *_Atomic trust;
    struct SnapshotChain *_Atomic chain_der;
    struct SnapshotKey *_Atomic key;
    void (*_Atomic clear_made)(identityd_snapshot *snapshot), (*_Atomic clear_trust)(identityd_snapshot *snapshot);
};

/* From a packet of type HANDLE_STATE with status 0, whose descriptors are read but not taken. 0; -EBADMSG with this
 * thread's text: a missing or malformed field, a descriptor that is no sealed memfd or too large; -ENOMEM. */
int snapshot_new(const Packet *packet, identityd_snapshot **ret);

identityd_snapshot *snapshot_ref(identityd_snapshot *snapshot) _for_siblings_(snapshot_ref);

/* Whether `scheme` is among those of the snapshot. */
bool snapshot_has_scheme(const identityd_snapshot *snapshot, uint16_t scheme) _for_siblings_(snapshot_has_scheme);

/* The generations before the current one that could still sign when the State was sent, newest first. `rest` is where
 * the last call ended, `(BytesView) { 0 }` to begin with; the key is a DER SubjectPublicKeyInfo, borrowed. False: there
 * are no more. */
typedef struct EarlierGeneration {
    uint32_t number;
    BytesView spki;
} EarlierGeneration;
bool snapshot_next_earlier(const identityd_snapshot *snapshot, BytesView *rest, EarlierGeneration *ret);

DEFINE_CLEANUP(identityd_snapshot, identityd_snapshot_free)
#define _cleanup_snapshot_ _cleanup_(identityd_snapshot_free_p)
