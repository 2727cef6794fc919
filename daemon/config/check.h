/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What only all configurations together show. */
#pragma once

#include "config/daemon-config.h"
#include "config/identity-config.h"

/* Checks between identities: each Authenticate=identity: names one that is there, no loops that could never begin, no
 * more identities than [Limits] Identities=, no TPM authorization sent to a CA as a password; and warns where an
 * identity that is lent to programs authenticates enrolments (docs/design.md §1). `daemon` may be NULL; configurations
 * that did not load are left out by the caller, who tells their names in `faulty` (NULL-terminated, may be NULL), so
 * that they do not count as missing. 0 or -ENOMEM; everything else is in `problems`. */
int config_check_all(const DaemonConfig *daemon, IdentityConfig *const *configs, size_t count, char *const *faulty,
                     Problems *problems);
