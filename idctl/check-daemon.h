/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a running identityd is asked for: TPM, properties of identities, and the way to their CAs. What is to be said of
 * the answers is check-identity's and check-report's. */
#pragma once

#include "idctl/bus.h"
#include "idctl/check-config.h"
#include "idctl/check-identity.h"
#include "idctl/findings.h"
#include "idctl/listing.h"

/* The TPM and the device ID; `ret_ready`: the TPM can be used. False: identityd is not there, which is a finding, and
 * no more need be asked. */
bool check_tpm(Bus *bus, Findings *findings, bool *ret_ready);

/* Everything about one identity; of `terms` what is the same for all is set. */
void check_identity(Bus *bus, const char *identity, CheckTerms *terms, Findings *findings);

/* The system's clock, against the latest NotBefore that was seen (µs, 0: none). */
void check_clock(uint64_t latest_not_before, Findings *findings);

/* The latest NotBefore of all; 0 without. */
uint64_t check_latest_not_before(Bus *bus, const Listing *identities);

/* As whom identityd runs, else as whom it would. */
void check_reader(sd_bus *bus, FileReader *ret);
