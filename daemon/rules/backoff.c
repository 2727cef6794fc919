/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one back-off for what fails at home. */
#include "rules/backoff.h"

#include "rules/seconds.h"

void backoff_failed(Backoff *backoff, const BackoffPolicy *policy, int64_t now) {
    int64_t delay = policy->first;

    for (unsigned i = 0; i < backoff->failures && delay < policy->most; i++)
        delay *= 2;
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    backoff->next = instant_at(seconds_add(now, seconds_least(delay, policy->most)));
}

void backoff_succeeded(Backoff *backoff) {
    *backoff = (Backoff) { .failures = 0 };
}

Instant backoff_when(const Backoff *backoff, const BackoffPolicy *policy, int64_t now) {
    if (backoff->failures == 0 || backoff->next.seconds > seconds_add(now, policy->most))
        return instant_at_once();
    return backoff->next;
}
