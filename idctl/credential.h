/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Credential handles through libidentityd, with its failures told to the person. */
#pragma once

#include "command/command.h"

#include <identityd/identityd.h>

static inline void credential_free_p(identityd_credential **credential) {
    if (*credential)
        (void) identityd_credential_free(*credential);
}
#define _cleanup_credential_ _cleanup_(credential_free_p)

static inline void snapshot_free_p(identityd_snapshot **snapshot) {
    if (*snapshot)
        (void) identityd_snapshot_free(*snapshot);
}
#define _cleanup_snapshot_ _cleanup_(snapshot_free_p)

/* Complains about a failed call of libidentityd, "cannot WHAT: why", and gives the exit status. */
ExitCode credential_complain(int r, const char *what);

/* Opens an identity for a purpose, with its present state. A name that cannot be one is EXIT_USAGE. */
ExitCode credential_open(const char *identity, const char *purpose, identityd_credential **ret,
                         identityd_snapshot **ret_snapshot);
