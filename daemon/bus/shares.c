/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bucket for each user, which fills with time and which calls empty. A call is admitted while something is left, so
 * what a call takes beyond that is owed, up to one burst. */
#include "bus/shares.h"

typedef struct Share {
    bool in_use;
    uid_t party;
    int64_t left;    /* µs; negative: owed */
    uint64_t filled; /* when `left` was true */
    uint64_t called;
} Share;

struct Shares {
    Share list[SHARE_PLACES + 1U]; /* the last one is of all who found no place */
};

int shares_new(Shares **ret) {
    Shares *shares = calloc(1, sizeof *shares);

    if (!shares)
        return -ENOMEM;
    *ret = shares;
    return 0;
}

Shares *shares_free(Shares *shares) {
    free(shares);
    return NULL;
}

static bool is_recent(const Share *share, uint64_t now) {
    return share->in_use && now - share->called < SHARE_RECENT;
}

/* Those among whom time is shared, whoever asks included. */
static unsigned count_recent(const Shares *shares, const Share *asking, uint64_t now) {
    unsigned count = 0;

    for (size_t i = 0; i <= SHARE_PLACES; i++)
        count += is_recent(&shares->list[i], now) || &shares->list[i] == asking;
    return count;
}

static void fill(const Shares *shares, Share *share, uint64_t now) {
    uint64_t gained = (now - share->filled) / SHARE_OF_CALLS / count_recent(shares, share, now);

    /* What is less than a microsecond is not lost to those who call often. */
    if (gained == 0)
        return;
    share->filled = now;
    share->left = gained >= 2U * SHARE_BURST || share->left + (int64_t) gained > SHARE_BURST
                      ? SHARE_BURST
                      : share->left + (int64_t) gained;
}

/* A place is taken from those only whose bucket is full again: to come as somebody new gains nothing. */
static Share *place_for(Shares *shares, uint64_t now) {
    for (size_t i = 0; i < SHARE_PLACES; i++) {
        Share *share = &shares->list[i];
        if (!share->in_use)
            return share;
        fill(shares, share, now);
        if (share->left == SHARE_BURST && !is_recent(share, now))
            return share;
    }
    return NULL;
}

static Share *share_of(Shares *shares, uid_t party, uint64_t now) {
    for (size_t i = 0; i < SHARE_PLACES; i++)
        if (shares->list[i].in_use && shares->list[i].party == party)
            return &shares->list[i];
    Share *share = place_for(shares, now);
    if (!share)
        share = &shares->list[SHARE_PLACES];
    if (share != &shares->list[SHARE_PLACES] || !share->in_use)
        *share = (Share) { .in_use = true, .party = party, .left = SHARE_BURST, .filled = now, .called = now };
    return share;
}

bool shares_admit(Shares *shares, uid_t party, uint64_t now) {
    Share *share = share_of(shares, party, now);

    fill(shares, share, now);
    share->called = now;
    return share->left > 0;
}

void shares_charge(Shares *shares, uid_t party, uint64_t spent, uint64_t now) {
    Share *share = share_of(shares, party, now);
    int64_t taken = spent > 2U * SHARE_BURST ? (int64_t) (2U * SHARE_BURST) : (int64_t) spent;

    share->left = share->left - taken < -(int64_t) SHARE_BURST ? -(int64_t) SHARE_BURST : share->left - taken;
}
