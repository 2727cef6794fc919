/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the library's own parts may ask of a credential beyond the public header. */
#pragma once

#include "client-lib/snapshot.h"
#include "identityd/identityd.h"

/* The last snapshot that is known, without looking for a newer one: works on a closed credential and in a forked child.
 * A reference of the caller's. */
identityd_snapshot *credential_last_snapshot(identityd_credential *credential);
