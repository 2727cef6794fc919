/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What may be a subject alternative name here: one rule for the configuration, which asks before there is a key, and
 * for the request. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum SanKind { SAN_DNS, SAN_IP, SAN_URI, SAN_HARDWARE_MODULE } SanKind;

#define SAN_URI_MAX    1024U /* bytes */
#define SAN_SERIAL_MAX 64U   /* bytes of a hardware module's serial number */

/* NULL for a value that may be such a name; else what it must be, as the end of a sentence. */
const char *san_fault(SanKind kind, const char *value);

/* A DNS name of letters, digits and hyphens: labels of at most 63, at most 253 in all; no dot at the end, no wildcard.
 * A name whose last label is a number is none (it would be read as an address). `underscores`: those too, which hosts
 * have in practice. */
bool dns_name_is_valid(const char *text, size_t length, bool underscores);
