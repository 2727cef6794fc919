/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which certificates of their peers have been revoked? Programs find that out themselves, from CRLs of the peers' CAs
 * ([Peers] Check=crl) that are fetched, verified and kept here, and handed out beside those of our own chain. What
 * these CAs say revokes nothing of ours, and moves nobody's time. */
#pragma once

#include "identity/duties.h"
#include "revocation/peer-pool.h"

extern const Duty peers_duty;

/* One place where CRLs are, as it is shown. Borrowed until the loop turns. */
typedef struct PeerCrlView {
    const char *url;
    const char *issuer;               /* "": nothing is kept that counts */
    int64_t this_update, next_update; /* of what is kept; 0: none */
    int64_t next_fetch;               /* 0: it is on its way */
    const char *error;                /* why nothing newer came, or programs do not get it; "" */
} PeerCrlView;
size_t peers_count(const Identity *identity);
void peers_view(const Identity *identity, size_t index, PeerCrlView *ret);

/* Fetches that brought nothing usable, since the start. */
uint64_t peers_failures(const Identity *identity);
