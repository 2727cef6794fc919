/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Patience with what fails at home (files, the disk, the TPM): doubled with each failure, up to a bound. How often a CA
 * is asked is another matter: see attempts.h. */
#pragma once

#include "common/instant.h"

typedef struct BackoffPolicy {
    int64_t first, most; /* seconds */
} BackoffPolicy;

typedef struct Backoff {
    unsigned failures; /* in a row */
    Instant next;
} Backoff;

void backoff_failed(Backoff *backoff, const BackoffPolicy *policy, int64_t now);
void backoff_succeeded(Backoff *backoff);

/* When to try again; at once where nothing has failed, and where `next` lies further away than the policy would ever
 * put it: that was planned while the clock was elsewhere. */
Instant backoff_when(const Backoff *backoff, const BackoffPolicy *policy, int64_t now);
