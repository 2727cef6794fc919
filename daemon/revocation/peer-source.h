/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One place of an identity's where CRLs of peers' CAs are: when it is asked next, what it brought, and why it brings
 * nothing. One that fails has its own back-off and stops no other. For this room. */
#pragma once

#include "revocation/peer-cas.h"
#include "revocation/peer-crls.h"
#include "revocation/peer-downloads.h"
#include "rules/backoff.h"

typedef struct PeerSource {
    Identity *identity;
    PeerCrls *crls;
    void (*changed)(Identity *identity); /* what is kept, or said of it, is another; in a turn of its own */
    char **urls;                         /* NULL-terminated, not empty */
    PeerWait *wait;                      /* something is on its way */
    Backoff backoff;
    Instant next;   /* never: it was not asked yet */
    char *error;    /* NULL: the last answer was as it should be */
    PeerCrl **kept; /* what is known of each CA that has signed something there */
    size_t kept_count;
    bool is_left_out;   /* programs do not get what is kept, for want of room */
    int64_t told_ended; /* nextUpdate of the CRL of which it was said that it has ended */
    uint64_t failures;  /* since the start */
} PeerSource;

/* Takes `urls` on success. NULL: out of memory. */
PeerSource *peer_source_new(Identity *identity, PeerCrls *crls, void (*changed)(Identity *identity), char **urls);
PeerSource *peer_source_free(PeerSource *source);

/* Looks up what is kept of these CAs: they may be others. */
void peer_source_find_kept(PeerSource *source, const PeerCas *cas);

/* The newest of what is kept and counts; NULL: nothing does. */
const PeerCrl *peer_source_newest(const PeerSource *source);

/* When it is asked next; never while something is on its way. */
Instant peer_source_ask_when(const PeerSource *source);
/* That, or when there is something to say. */
Instant peer_source_when(const PeerSource *source);
/* Asks, where it is due; says that a CRL has ended, where it has. */
void peer_source_begin(PeerSource *source, PeerDownloads *downloads);
/* Whatever it waited for: it is asked at once. */
void peer_source_ask_soon(PeerSource *source);
