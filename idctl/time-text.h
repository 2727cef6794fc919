/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Times that a person names on the command line. */
#pragma once

#include <stdint.h>

/* "2026-03-01T12:00:00Z" or with an offset (RFC 3339; the seconds' fraction does not count), the same with a space and
 * " UTC" as idctl prints it, "2026-03-01" (midnight in UTC), or "@SECONDS" since the epoch: seconds since the epoch.
 * -EINVAL: none of these, or a day or time that there is not. */
int time_from_text(const char *text, int64_t *ret);
