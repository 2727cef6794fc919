/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Work under pending/ that is more than bytes: its key, and a certificate that came and has not begun. For this room.
 */
#pragma once

#include "identity/identity.h"

/* Fills in key and parent Name; 0 or -ENOMEM. */
int pending_from_key(const TpmKey *key, StoredPending *pending);

/* Keeps what came until it begins. kind STORAGE or INTERNAL. */
int pending_keep_issued(Identity *identity, StoredPending *pending, const CertificateList *issued,
                        const CertificateList *helpers, Failure *ret_failure);
