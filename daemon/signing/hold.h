/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which generations the holder of a handle may still come back to. Pure: time comes in.
 *
 * A handle holds the generation it was first shown and every newer one. It moves on when it signs with a newer one, and
 * lets the older go once it has signed with nothing older than that for the grace time: handshakes that had begun with
 * the old certificate end within it. Being shown a newer generation moves nothing: programs that load a certificate
 * once sign with it until they are told to reload. So does a program that read an older pair of files just before it
 * was replaced: what it signs with first counts, not what it was shown. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct GenerationHold {
    uint32_t oldest, newest; /* 0: holds nothing yet */
    uint64_t last_older_use; /* µs, CLOCK_MONOTONIC: when something older than `newest` was last used */
    bool has_signed;
} GenerationHold;

/* A State with this generation was sent. 0 is no generation. */
void generation_hold_shown(GenerationHold *hold, uint32_t generation);

/* A signature with this generation was made. True: the hold has moved on, so that settling after the grace time may
 * free something. */
bool generation_hold_used(GenerationHold *hold, uint32_t generation, uint64_t now);

/* The oldest generation held, 0: none; lets go of what the grace time is over for. `ret_next` is set to the time at
 * which the answer may change by itself, UINT64_MAX: never. */
uint32_t generation_hold_settle(GenerationHold *hold, uint64_t now, uint64_t grace, uint64_t *ret_next);
