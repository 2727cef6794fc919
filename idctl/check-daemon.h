/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a running identityd knows: TPM, clock, and for each identity state, certificate, key, renewal and the way to its
 * CA. */
#pragma once

#include "idctl/bus.h"
#include "idctl/check-config.h"
#include "idctl/findings.h"

/* The TPM and the device ID. False: identityd is not there, which is a finding, and no more need be asked. */
bool check_tpm(Bus *bus, Findings *findings);

/* Everything about one identity; `config` may be NULL: unknown. */
void check_identity(Bus *bus, const char *identity, const IdentityConfig *config, Findings *findings);

/* The system's clock, against the latest NotBefore that was seen (µs, 0: none). */
void check_clock(uint64_t latest_not_before, Findings *findings);

/* Names of the identities that identityd has, sorted; NULL-terminated, freed with strings_free(). 0 or -errno. */
int check_list_identities(Bus *bus, char ***ret);

/* The latest NotBefore of all; 0 without. */
uint64_t check_latest_not_before(Bus *bus, char *const *identities);
