/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the verbs that change an identity share: one method with at most one boolean option, progress while it runs, and
 * the identity as it is afterwards. */
#pragma once

#include "idctl/identity.h"

typedef struct Operation {
    const char *member; /* the method of org.identityd1.Identity */
    const char *what;   /* completes "cannot …" */
    const char *option; /* key of its a{sv}, or NULL: the method takes no options */
    bool has_option, option_value;
} Operation;

/* Calls it on `identity` with progress. `ret_reply` may be NULL. */
ExitCode operation_call(Bus *bus, const Operation *operation, const char *identity, sd_bus_message **ret_reply);

/* Says what became of the identity: text on standard output (unless quiet), or JSON. */
ExitCode operation_report(Bus *bus, const Command *command, const char *identity);
