/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A live generation is never given up for one that is not better, and a new key, a new chain, an equal or an earlier
 * end are no reasons to refuse one. */
#include "rules/successor.h"

#include "rules/clock.h"
#include "rules/seconds.h"

/* Until when a certificate that has not begun is worth waiting for: after the present one's end there would be nothing.
 */
static int64_t latest_begin(const SuccessorFacts *facts) {
    return facts->present ? facts->present->chain_end : seconds_add(facts->now, SUCCESSOR_WAIT_MAX);
}

/* Nothing is lost by taking one at once that begins a little ahead of a clock that may be behind itself, where no other
 * works; where one does, peers that are more exact than we would refuse what was taken. */
static bool has_begun(const SuccessorFacts *facts) {
    int64_t tolerance = facts->present ? 0 : CLOCK_SKEW;

    return facts->clock_is_behind || facts->candidate.not_before <= seconds_add(facts->now, tolerance);
}

SuccessorVerdict successor_judge(const SuccessorFacts *facts) {
    const SuccessorLife *present = facts->present, *candidate = &facts->candidate;
    int64_t begin = seconds_most(facts->now, candidate->not_before);

    if (facts->is_the_present_one)
        return SUCCESSOR_IS_THE_SAME;
    if (seconds_subtract(candidate->chain_end, begin) < SUCCESSOR_LEFT_MIN)
        return SUCCESSOR_ENDS_TOO_SOON;
    if (present && (facts->lent & present->usages & ~candidate->usages) != 0)
        return SUCCESSOR_LACKS_USAGE;
    if (!has_begun(facts))
        return candidate->not_before > latest_begin(facts) ? SUCCESSOR_BEGINS_TOO_LATE : SUCCESSOR_WAITS;
    if (present && candidate->chain_end < present->chain_end)
        return SUCCESSOR_ENDS_EARLIER;
    return SUCCESSOR_GOOD;
}
