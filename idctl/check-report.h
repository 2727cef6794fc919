/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What ProbeServer reports (org.identityd1(5)): lines "LABEL: VALUE", each a finding. Pure. */
#pragma once

#include "idctl/findings.h"

#include <stdint.h>

#define CLOCK_DIFFERENCE_MAX 60 /* seconds between our clock and a CA's that are not told */

/* Adds a finding for each line. `clock` says by how many seconds our clock is ahead of the CA's. */
void check_report(const char *identity, const char *report, Findings *findings);
