/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Certificate policies along a path (RFC 5280 §6.1, as RFC 9618 bounds it). Internal to pki/. */
#pragma once

#include "pki/certificate.h"

typedef enum PolicyVerdict {
    POLICY_GOOD,
    POLICY_MISSING,   /* a certificate demands an explicit policy, and there is none for the whole path */
    POLICY_MALFORMED, /* an extension of `ret_at_fault` cannot be read */
    POLICY_TOO_MANY,
} PolicyVerdict;

/* `path`: leaf first, without the anchor. Any initial policy will do, mapping is allowed, and an explicit policy is
 * demanded by certificates alone. `ret_at_fault`: an index into `path`, unless the verdict is good. */
PolicyVerdict policy_judge(const Certificate *const *path, size_t count, size_t *ret_at_fault);
