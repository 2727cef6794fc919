/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of the kept CRLs programs get. For this room. */
#pragma once

#include "revocation/peer-source.h"

/* Gives the identity the CRLs of these sources, each once and of each CA and scope the newest, as many as have room
 * (HANDLE_CRLS_MAX) beside those of our own chain; of the others it is said, and `is_left_out` set. -errno: programs
 * keep what they have, which is said; sources whose CRL was damaged on the disk are asked anew. */
int peer_handout(Identity *identity, PeerSource *const *sources, size_t count);
