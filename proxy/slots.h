/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may begin a handshake while others are in theirs. The rule alone: no sockets, no clock, no chance but what the
 * caller passes.
 *
 * Nobody is kept out by those who say nothing: a newcomer gets in, and where there are many, one of those that are
 * waited for makes room. From `start` handshakes on that happens to `rate` percent of the newcomers, more with each
 * further one, and always from `full` on (as MaxStartups of sshd, which drops the newcomer). Who has most has to make
 * room first, and which of theirs is left to chance: whoever floods cannot choose. */
#pragma once

#include "proxy/source.h"

#include <stddef.h>
#include <stdint.h>

#define SLOTS_MAX 1024U

typedef struct SlotRule {
    unsigned start, rate, full; /* handshakes, percent, handshakes up to SLOTS_MAX */
    unsigned per_source;        /* handshakes */
} SlotRule;

typedef struct Slot {
    ProxySource source;
    bool yields; /* it waits for its peer, and may end to make room */
} Slot;

typedef enum SlotVerdict {
    SLOT_FREE,
    SLOT_OF_ANOTHER,  /* `*ret_which` makes room */
    SLOT_SOURCE_FULL, /* its source has its share, and none of that yields */
    SLOT_FULL,        /* nobody yields */
} SlotVerdict;

/* For a newcomer from `source` beside the `count` (at most SLOTS_MAX) that are there. `chance` is any number. */
SlotVerdict slots_decide(const SlotRule *rule, const Slot *slots, size_t count, const ProxySource *source,
                         uint32_t chance, size_t *ret_which);
