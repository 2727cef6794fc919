/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Is our own chain still good? CRLs and OCSP answers are fetched one after another by the enroller's second role,
 * verified here again, and judged. What cannot be fetched or does not verify is a warning and never a revocation. A CRL
 * past its nextUpdate counts on, since what it revokes stays revoked; that none newer came is warned of once. */
#pragma once

#include "identity/duties.h"

extern const Duty revocation_duty;

/* Fetches that brought nothing usable, since the start. */
uint64_t revocation_failures(const Identity *identity);

/* Until when the CRLs that speak for the chain say that they hold: the earliest nextUpdate; 0: there is none. */
int64_t revocation_crl_until(const Identity *identity);

/* One check now: the clock started behind what is certainly past. */
void revocation_check_soon(Identity *identity);
