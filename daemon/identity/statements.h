/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What CAs have signed about revocation and programs are given: CRLs for their peers, and an OCSP answer to staple. Set
 * by the revocation duty, handed out by lending. The CRLs are one file for all identities that have the same
 * (device/shared-files.h). */
#pragma once

#include "device/shared-files.h"
#include "identity/base.h"

/* PEM; empty: none. Borrowed. */
BytesView identity_crls(const Identity *identity);
/* The same as a sealed memfd; -1: none. Borrowed. */
int identity_crls_fd(const Identity *identity);
/* DER; empty: none. Borrowed. */
BytesView identity_staple(const Identity *identity);
/* The last second at which peers take it; seconds since the epoch. */
int64_t identity_staple_end(const Identity *identity);

/* Takes the content where it is another, and notes CHANGED_STATEMENTS. `crls` is emptied in any case. 0; -errno: all is
 * as before. */
int identity_set_crls(Identity *identity, Bytes *crls);
/* The same, with its end. -ENOMEM: it stays as it was. */
int identity_set_staple(Identity *identity, BytesView staple, int64_t end);
/* None any more. */
void identity_drop_staple(Identity *identity);

/* ---- for this room ---- */

int statements_new(Identity *identity);
void statements_free(Identity *identity);
