/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose turn of the TPM it is (docs/design.md §2, "Turns"): shared by user first, then by identity, then by whoever
 * asks (a handle, or the one-shot signatures), in the time that was used and not in requests. Pure: no clock, no
 * allocation; the caller owns every Share, and says what a turn has cost once it is over.
 *
 * A tree: each share has had so much time on the scale of its parent, and of those that wait the one that has had the
 * least is next, on each level. So:
 *  - of two that wait all the time, none gets ahead of the other by more than what the dearest turn costs (and the
 * slack that the caller grants), whatever their turns cost and however many there are below them;
 *  - who comes, or comes back after a while, begins where the next one stands: it is among the first, and has no credit
 *    from the time in which it wanted nothing;
 *  - what a turn costs need not be known before it.
 * Costs: choosing goes down one step a level, and over those within the slack. Waiting and charging put a share into
 * its place in a list that is sorted, from the end at which it belongs: one step where turns cost about the same, and
 * at worst as many as there wait beside it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

typedef struct Share Share;
struct Share {
    Share *parent;          /* NULL: the root */
    Share *previous, *next; /* of those of its parent that wait; the least served first */
    Share *first, *last;    /* of its own that wait */
    uint64_t served;        /* µs that it has had, on the scale of its parent */
    uint64_t level;         /* on its own scale: what the least served has had that a choice was made among */
    bool waits;
};

/* All of them. Zeroed, nobody is there. */
typedef struct Shares {
    Share root;
    uint64_t owed; /* µs that our own jobs were served before others, and that these have not had since */
} Shares;

/* Somebody new below `parent` (`&shares->root`, or a share that has begun), who does not wait yet. */
void share_begin(Share *share, Share *parent);

/* It wants a turn. Only of what has no share below it. */
void share_wait(Share *share);
/* It wants none any more, and may be freed. Nothing happens where it did not wait. */
void share_rest(Share *share);

/* Whether its parent would have it back as it is where it was forgotten and began anew: it has had no more than those
 * who wait. */
bool share_is_settled(const Share *share);

/* Whether a turn of that share is cheaper now than that of another; of any share but the root. */
typedef bool (*SharesIsCheap)(const Share *share, void *userdata);

/* Of several that wait a cheap one goes first, within `slack` µs: so much more than the least served may it have had,
 * on each level. `is_cheap` NULL: there are none. */
typedef struct SharesPreference {
    SharesIsCheap is_cheap;
    void *userdata;
    uint64_t slack;
} SharesPreference;

/* Who is next: a share without others below it; NULL: nobody waits. It goes on waiting until share_rest. */
Share *shares_next(Shares *shares, const SharesPreference *preference);

/* What it had has cost so many µs (at least 1), for itself and all above it. It may wait or not. */
void shares_charge(Shares *shares, Share *share, uint64_t cost);

/* What a turn counts for that took so long (µs), where what was done takes about the same each time, as signatures by
 * one key do: `usual` is what it has counted for lately (0: it was never done), and is brought up to date. Where a turn
 * took very much longer the machine was at something else, and whoever happened to have it shall not owe that. */
uint64_t share_cost(uint64_t *usual, uint64_t took);

/* How much less than the next one (µs) the top share above the one that shares_next returned has had, where nobody else
 * waits below that: for so long it would go on being next, were it to ask again. 0: there is somebody else below it, or
 * nobody at all. */
uint64_t shares_lead(const Shares *shares, const Share *share);

/* Our own jobs go first, for others wait for what they are part of; but they have at most half of the time as long as
 * others want theirs. Whether one may go now, and what it has cost. */
bool shares_own_goes(const Shares *shares);
void shares_charge_own(Shares *shares, uint64_t cost);
