/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an admin should know of a job that goes on all the same. It stands in the log of this process, since the result
 * has no place for it. */
#pragma once

#include "common/failure.h"

/* One line for `identity`. What came from the network is made harmless and cut to FAILURE_TEXT_MAX. */
void note(const char *identity, const char *format, ...) _printf_(2, 3);
