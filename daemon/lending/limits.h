/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How many handles there may be. */
#pragma once

#include "access/access.h"
#include "config/daemon-config.h"

/* Sets the quota as the configuration has it, within what descriptors allow, and says so where that is less. Returns
 * how many handles there may be in all. */
uint32_t limits_apply(const DaemonConfig *config, Quota *quota);
