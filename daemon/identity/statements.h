/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What CAs have signed about revocation and programs are given: CRLs for their peers (those of our own chain, and those
 * of the peers' CAs behind them), and an OCSP answer to staple. Set by the duties of revocation, handed out by lending.
 * The CRLs are one file for all identities that have the same (device/shared-files.h). */
#pragma once

#include "device/shared-files.h"
#include "identity/base.h"

/* PEM in a sealed memfd; -1: none. Borrowed. */
int identity_crls_fd(const Identity *identity);
/* How many bytes of them are those of our own chain. */
size_t identity_own_crls_size(const Identity *identity);
/* DER; empty: none. Borrowed. */
BytesView identity_staple(const Identity *identity);
/* The last second at which peers take it; seconds since the epoch. */
int64_t identity_staple_end(const Identity *identity);

/* Takes the content (PEM) where it is another, and notes CHANGED_STATEMENTS. `crls` is emptied in any case. Those of
 * the peers' CAs that have no room beside them are left out. 0; -errno: all is as before. */
int identity_set_crls(Identity *identity, Bytes *crls);

/* CRLs of peers' CAs, known by a digest of what is in them; `load` gets the content (PEM) where no other identity has
 * it already. */
typedef struct PeerStatements {
    uint8_t digest[SHARED_KEY_SIZE];
    int (*load)(void *userdata, Bytes *ret_pem); /* NULL: there are none */
    void *userdata;
} PeerStatements;
/* The same for them. Too much is -E2BIG. */
int identity_set_peer_crls(Identity *identity, const PeerStatements *peers);

/* As identity_set_crls, with its end. -ENOMEM: it stays as it was. */
int identity_set_staple(Identity *identity, BytesView staple, int64_t end);
/* None any more. */
void identity_drop_staple(Identity *identity);

/* ---- for this room ---- */

int statements_new(Identity *identity);
void statements_free(Identity *identity);
