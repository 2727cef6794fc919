/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The three sets of anchors of an identity (docs/facts.md, "EST"): what its own chain must end in, what the CA's HTTPS
 * server is verified with, what programs verify their peers with. The first may change by rollover; it is kept in
 * trust/anchors.pem with the fingerprints of what was configured, so that a change of that is noticed. */
#pragma once

#include "identity/base.h"
#include "pki/certificate.h"

/* What our own chain must end in; empty while only a fingerprint is known. */
const CertificateList *identity_anchors(const Identity *identity);
/* What programs are given: [Peers] Anchors=, else those above. */
const CertificateList *identity_peer_anchors(const Identity *identity);

/* [Peers] Intermediates=: of CAs that peers' chains may have. Trusted for nothing before they have verified to the
 * above. */
const CertificateList *identity_peer_intermediates(const Identity *identity);

/* After a bootstrap or a rollover: keeps them, on the disk too. The list is emptied. kind STORAGE or INTERNAL. */
int identity_set_anchors(Identity *identity, CertificateList *anchors, Failure *ret_failure);

/* PEM of what the CA's HTTPS server must chain to; empty when only a fingerprint is known. */
int identity_server_anchors(const Identity *identity, Bytes *ret_pem, Failure *ret_failure);

/* Says in the log what of a bundle could not be read, if anything; `where` it stands. */
void identity_tell_left_out(const Identity *identity, const char *where, const LeftOut *left_out);

/* ---- for this room ---- */

int anchors_new(Identity *identity);
void anchors_free(Identity *identity);
/* Reads what is configured and what was kept. kind INVALID_ARGUMENT: what is configured cannot be; STORAGE: the disk.
 */
int anchors_load(Identity *identity, Failure *ret_failure);
/* The trust domain: identities with the same anchors have the same. */
int anchors_domain(const Identity *identity, char ret[static 65]);
