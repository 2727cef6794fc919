/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the bus and the metrics show of one identity. */
#pragma once

#include "identity/identity.h"

/* A place where CRLs of peers' CAs are (revocation/peers.h); times in µs, 0: none. */
typedef struct PeerCrlShown {
    const char *url, *issuer, *error;
    uint64_t this_update, next_update, next_fetch;
} PeerCrlShown;

/* Borrowed from the identity, but for the three lists, which are the view's own; until the loop turns. */
typedef struct IdentityView {
    const char *name, *state, *activity, *last_error;
    bool ready_by_itself;
    uint32_t generation;
    const char *subject, *serial_number, *issuer, *key_algorithm;
    uint64_t not_before, not_after, next_attempt, next_renewal; /* µs since the epoch, 0: none */
    uint64_t clock_floor;                                       /* as they are */
    const char *clock_source;
    BytesView public_key;
    BytesView *certificates, *anchors; /* DER */
    size_t certificate_count, anchor_count;
    PeerCrlShown *peer_crls;
    size_t peer_crl_count;
} IdentityView;

/* 0 or -ENOMEM. */
int identity_view(const Identity *identity, IdentityView *ret);
void identity_view_clear(IdentityView *view);
#define _cleanup_identity_view_ _cleanup_(identity_view_clear)
