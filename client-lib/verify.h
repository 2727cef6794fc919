/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verification of a peer's chain with a snapshot's anchors and CRLs. */
#pragma once

#include "client-lib/snapshot-parse.h"
#include "identityd/identityd-gnutls.h"

#include <gnutls/gnutls.h>

typedef struct VerifyWanted {
    const char *host;           /* DNS name, IP address or URI; NULL: any name */
    bool is_server;             /* what the peer is: its extended key usage must allow it */
    bool any_usage;             /* neither */
    bool in_handshake;          /* a staple would have come with it: must-staple is enforced of servers */
    unsigned flags;             /* IDENTITYD_VERIFY_… */
    unsigned depth_limit;       /* as a VerifyRequest's */
    const gnutls_datum_t *ocsp; /* stapled response for the leaf, DER, or NULL */
} VerifyWanted;

/* `chain`: DER, leaf first. 0; -EKEYREJECTED, -EKEYREVOKED, -ENOENT (no anchors), -EINVAL, -ENOMEM, -EBADMSG (anchors
 * or CRLs that do not parse), with this thread's text. */
int verify_chain(identityd_snapshot *snapshot, const gnutls_datum_t *chain, size_t count, const VerifyWanted *wanted);

/* Who the holder of a certificate is, DER; it must have verified. -ENOMEM, -EBADMSG. */
int peer_new(const gnutls_datum_t *certificate, identityd_peer **ret);

/* Whether a name that a peer must have is a URI: it has a colon and is no IPv6 address. */
bool verify_name_is_uri(const char *name);
