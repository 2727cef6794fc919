/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A bucket for each user, which fills with time and which calls empty. A call is admitted while something is left, so
 * what a call takes beyond that is owed, up to one burst. */
#include "bus/allowances.h"

typedef struct Allowance {
    bool in_use;
    uid_t party;
    int64_t left;    /* µs; negative: owed */
    uint64_t filled; /* when `left` was true */
    uint64_t called;
} Allowance;

struct Allowances {
    Allowance list[ALLOWANCE_PLACES + 1U]; /* the last one is of all who found no place */
};

int allowances_new(Allowances **ret) {
    Allowances *allowances = calloc(1, sizeof *allowances);

    if (!allowances)
        return -ENOMEM;
    *ret = allowances;
    return 0;
}

Allowances *allowances_free(Allowances *allowances) {
    free(allowances);
    return NULL;
}

static bool is_recent(const Allowance *allowance, uint64_t now) {
    return allowance->in_use && now - allowance->called < ALLOWANCE_RECENT;
}

/* Those among whom time is shared, whoever asks included. */
static unsigned count_recent(const Allowances *allowances, const Allowance *asking, uint64_t now) {
    unsigned count = 0;

    for (size_t i = 0; i <= ALLOWANCE_PLACES; i++)
        count += is_recent(&allowances->list[i], now) || &allowances->list[i] == asking;
    return count;
}

static void fill(const Allowances *allowances, Allowance *allowance, uint64_t now) {
    uint64_t gained = (now - allowance->filled) / ALLOWANCE_OF_CALLS / count_recent(allowances, allowance, now);

    /* What is less than a microsecond is not lost to those who call often. */
    if (gained == 0)
        return;
    allowance->filled = now;
    allowance->left = gained >= 2U * ALLOWANCE_BURST || allowance->left + (int64_t) gained > ALLOWANCE_BURST
                          ? ALLOWANCE_BURST
                          : allowance->left + (int64_t) gained;
}

/* A place is taken from those only whose bucket is full again: to come as somebody new gains nothing. */
static Allowance *place_for(Allowances *allowances, uint64_t now) {
    for (size_t i = 0; i < ALLOWANCE_PLACES; i++) {
        Allowance *allowance = &allowances->list[i];
        if (!allowance->in_use)
            return allowance;
        fill(allowances, allowance, now);
        if (allowance->left == ALLOWANCE_BURST && !is_recent(allowance, now))
            return allowance;
    }
    return NULL;
}

static Allowance *allowance_of(Allowances *allowances, uid_t party, uint64_t now) {
    for (size_t i = 0; i < ALLOWANCE_PLACES; i++)
        if (allowances->list[i].in_use && allowances->list[i].party == party)
            return &allowances->list[i];
    Allowance *allowance = place_for(allowances, now);
    if (!allowance)
        allowance = &allowances->list[ALLOWANCE_PLACES];
    if (allowance != &allowances->list[ALLOWANCE_PLACES] || !allowance->in_use)
        *allowance =
            (Allowance) { .in_use = true, .party = party, .left = ALLOWANCE_BURST, .filled = now, .called = now };
    return allowance;
}

bool allowances_admit(Allowances *allowances, uid_t party, uint64_t now) {
    Allowance *allowance = allowance_of(allowances, party, now);

    fill(allowances, allowance, now);
    allowance->called = now;
    return allowance->left > 0;
}

void allowances_charge(Allowances *allowances, uid_t party, uint64_t spent, uint64_t now) {
    Allowance *allowance = allowance_of(allowances, party, now);
    int64_t taken = spent > 2U * ALLOWANCE_BURST ? (int64_t) (2U * ALLOWANCE_BURST) : (int64_t) spent;

    allowance->left =
        allowance->left - taken < -(int64_t) ALLOWANCE_BURST ? -(int64_t) ALLOWANCE_BURST : allowance->left - taken;
}
