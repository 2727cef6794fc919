/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See hold.h. */
#include "signing/hold.h"

void generation_hold_shown(GenerationHold *hold, uint32_t generation) {
    if (hold->oldest == 0)
        hold->oldest = hold->newest = generation;
}

bool generation_hold_used(GenerationHold *hold, uint32_t generation, uint64_t now) {
    generation_hold_shown(hold, generation);
    if (generation < hold->oldest)
        hold->oldest = generation;
    if (!hold->has_signed && generation < hold->newest)
        hold->newest = generation;
    hold->has_signed = true;
    if (generation == hold->newest)
        return false;
    if (generation > hold->newest)
        hold->newest = generation;
    hold->last_older_use = now;
    return true;
}

uint32_t generation_hold_settle(GenerationHold *hold, uint64_t now, uint64_t grace, uint64_t *ret_next) {
    uint64_t end;

    *ret_next = UINT64_MAX;
    if (hold->oldest == hold->newest)
        return hold->oldest;
    if (__builtin_add_overflow(hold->last_older_use, grace, &end))
        return hold->oldest;
    if (now >= end)
        hold->oldest = hold->newest;
    else
        *ret_next = end;
    return hold->oldest;
}
