/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may say something of the revocation of peers, and where: the CAs below the peers' anchors, and the URLs of their
 * CRLs. For this room. */
#pragma once

#include "identity/identity.h"

/* The anchors, and what verifies to them of [Peers] Intermediates= and of our own chain. Borrowed from the identity. */
typedef struct PeerCas {
    const Certificate **list;
    size_t count;
} PeerCas;

/* -ENOMEM. */
int peer_cas_collect(const Identity *identity, PeerCas *ret);
void peer_cas_clear(PeerCas *cas);

#define PEER_SOURCES_MAX 32U

/* Where CRLs of these CAs are: each source is a list of URLs that say the same. */
typedef struct PeerUrls {
    char **list[PEER_SOURCES_MAX]; /* each NULL-terminated, not empty */
    size_t count;
    bool is_cut; /* there were more */
} PeerUrls;

/* CRL= of the configuration, then the distribution points that the certificates of these CAs and our own chain name.
 * What is fetched for our own chain already is left out. -ENOMEM, -EIO. */
int peer_urls_collect(const Identity *identity, const PeerCas *cas, PeerUrls *ret);
void peer_urls_clear(PeerUrls *urls);
