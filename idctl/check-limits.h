/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether identityd.service has what the configured handles and identities may need (config/budget.h). */
#pragma once

#include "config/daemon-config.h"
#include "idctl/findings.h"

#include <systemd/sd-bus.h>

/* What a unit has; UINT64_MAX: no limit. */
typedef struct UnitLimits {
    uint64_t descriptors, memory, tasks; /* LimitNOFILE=, MemoryMax= (bytes), TasksMax= */
} UnitLimits;

/* Asks systemd, on the same bus. 0 or -errno. */
int unit_limits_of_identityd(sd_bus *bus, UnitLimits *ret);
/* Adds one finding; `has` NULL: it is not known. */
void check_limits(const DaemonConfig *config, const UnitLimits *has, Findings *findings);
