/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Least served first, level by level. */
#include "rules/shares.h"

#include <assert.h>
#include <stddef.h>

#define UNUSUAL 8U /* times what is usual: a key that had to be loaded is below that */
#define LATELY  8U /* what is usual moves by this part of the difference */

/* Behind `before`, NULL: at the head. */
static void link_behind(Share *share, Share *before) {
    Share *parent = share->parent;

    share->previous = before;
    share->next = before ? before->next : parent->first;
    if (share->next)
        share->next->previous = share;
    else
        parent->last = share;
    if (before)
        before->next = share;
    else
        parent->first = share;
}

static void unlink_share(Share *share) {
    Share *parent = share->parent;

    if (share->previous)
        share->previous->next = share->next;
    else
        parent->first = share->next;
    if (share->next)
        share->next->previous = share->previous;
    else
        parent->last = share->previous;
    share->previous = share->next = NULL;
}

/* Among equals the one that came first is first. */
static Share *place_from_the_end(const Share *share) {
    Share *before = share->parent->last;

    while (before && before->served > share->served)
        before = before->previous;
    return before;
}

static Share *place_from_the_head(const Share *share) {
    Share *before = NULL, *next = share->parent->first;

    while (next && next->served <= share->served) {
        before = next;
        next = next->next;
    }
    return before;
}

void share_begin(Share *share, Share *parent) {
    *share = (Share) { .parent = parent, .served = parent->level };
}

void share_wait(Share *share) {
    assert(!share->first);
    for (Share *parent = share->parent; parent && !share->waits; share = parent, parent = share->parent) {
        share->waits = true;
        if (share->served < parent->level)
            share->served = parent->level;
        bool is_late = parent->last && parent->last->served <= share->served;
        link_behind(share, is_late ? parent->last : place_from_the_head(share));
    }
}

void share_rest(Share *share) {
    for (; share->parent && share->waits && !share->first; share = share->parent) {
        share->waits = false;
        unlink_share(share);
    }
}

bool share_is_settled(const Share *share) {
    return share->served <= share->parent->level;
}

static Share *choose(const Share *parent, const SharesPreference *preference) {
    Share *least = parent->first;

    if (!preference->is_cheap)
        return least;
    for (Share *share = least; share && share->served - least->served <= preference->slack; share = share->next)
        if (preference->is_cheap(share, preference->userdata))
            return share;
    return least;
}

Share *shares_next(Shares *shares, const SharesPreference *preference) {
    Share *share = &shares->root;

    while (share->first) {
        /* What is first has never had less than that: who comes begins here, and time only grows. */
        share->level = share->first->served;
        share = choose(share, preference);
    }
    return share == &shares->root ? NULL : share;
}

void shares_charge(Shares *shares, Share *share, uint64_t cost) {
    if (cost == 0)
        cost = 1; /* what costs nothing would be next for ever */
    for (; share->parent; share = share->parent) {
        share->served += cost;
        if (!share->waits)
            continue;
        unlink_share(share);
        link_behind(share, place_from_the_end(share));
    }
    shares->owed -= shares->owed < cost ? shares->owed : cost;
}

uint64_t share_cost(uint64_t *usual, uint64_t took) {
    uint64_t cost = *usual > 0 && took / UNUSUAL > *usual ? *usual * UNUSUAL : took;

    if (*usual == 0)
        *usual = cost;
    else if (cost > *usual)
        *usual += (cost - *usual) / LATELY;
    else
        *usual -= (*usual - cost) / LATELY;
    return cost;
}

uint64_t shares_lead(const Shares *shares, const Share *share) {
    for (; share->parent != &shares->root; share = share->parent)
        if (share->previous || share->next)
            return 0;
    if (share->previous || !share->next)
        return 0;
    return share->next->served - share->served;
}

bool shares_own_goes(const Shares *shares) {
    return shares->owed == 0 || !shares->root.first;
}

void shares_charge_own(Shares *shares, uint64_t cost) {
    shares->owed = shares->root.first ? shares->owed + (cost > 0 ? cost : 1) : 0;
}
