/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many handles there may be. */
#pragma once

#include "access/access.h"
#include "config/daemon-config.h"

/* What the configuration says, within what descriptors allow, up to which RLIMIT_NOFILE is raised; says so in the log
 * where that is less. */
QuotaLimits limits_of(const DaemonConfig *config);
