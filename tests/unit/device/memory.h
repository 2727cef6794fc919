/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that runs out at a place of the test's choosing, on its own thread alone: add `memory` to the dependencies. */
#pragma once

#include <stdbool.h>

/* After so many allocations one fails. */
void memory_fail_after(unsigned count);
/* None does any more. True: one has failed. */
bool memory_is_back(void);
