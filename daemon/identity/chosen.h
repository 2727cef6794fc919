/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which of the configured identities are served where there are more than Identities= allows. */
#pragma once

#include "identity/set.h"

/* Brings `names` (NULL-terminated, sorted) into the order in which they are served: those that have a certificate and
 * are served now, those that have one, those that are served now, the others; each by name. So a new file puts nothing
 * out of use that programs may rely on. -ENOMEM. */
int chosen_sort(const Device *device, const IdentitySet *set, char **names);
