/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Identities that are configured no more but have left state behind: keys, certificates, revocations. Nothing of it is
 * removed unless somebody asks for it, since a configuration may come back. */
#pragma once

#include "config/values.h" /* strings_free, for the caller */
#include "identity/set.h"

/* Their names, sorted and NULL-terminated; the caller frees. STORAGE, where it is not certain which are configured. */
int forgotten_list(const Device *device, const IdentitySet *set, char ***ret, Failure *ret_failure);
/* Removes what one has left. NO_SUCH_IDENTITY; -EBUSY, INVALID_ARGUMENT: it is configured; STORAGE. */
int forgotten_remove(const Device *device, const IdentitySet *set, const char *name, Failure *ret_failure);
/* At start: what is published of identities whose configuration went while nobody looked is withdrawn, and removals
 * that a power cut ended are gone on with. */
void forgotten_withdraw(const Device *device, char *const *configured);
