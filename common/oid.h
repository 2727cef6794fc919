/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Object identifiers as text. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define OID_TEXT_MAX 127U /* characters of a dotted OID */

/* Whether the `length` characters at `text` are a dotted OID that can be encoded: two arcs at least, the first 0 to 2,
 * below 0 and 1 the second at most 39, no zeros in front, nine digits at most in each. */
bool oid_is_valid(const char *text, size_t length);
