/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be said of one identity by its properties: state, certificate, key, chain, renewal. Pure, and one cause
 * gives one finding: what follows from it is left out or said to follow. */
#pragma once

#include "config/identity-config.h"
#include "idctl/findings.h"
#include "idctl/identity.h"

typedef struct CheckTerms {
    uint64_t now;                 /* µs since the epoch */
    uint64_t expires_in;          /* µs: what ends sooner has failed; 0: not asked for */
    bool tpm_failed;              /* that is told already */
    bool config_failed;           /* its file has a fault, which is told already */
    const IdentityConfig *config; /* NULL: unknown */
    const char *ca_failure; /* why the CA cannot be reached, which is told already; NULL: it can, or was not tried */
} CheckTerms;

void check_state(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings);
void check_certificate(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings);
/* The CRLs that are kept for its peers: a finding for each place. */
void check_peer_crls(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings);
void check_key(const IdentityProperties *properties, Findings *findings);
void check_renewal(const IdentityProperties *properties, const CheckTerms *terms, Findings *findings);

/* Whether the chain ends in what Anchors= names; a file that cannot be read is told elsewhere. */
void check_chain(const IdentityProperties *properties, const IdentityConfig *config, Findings *findings);
