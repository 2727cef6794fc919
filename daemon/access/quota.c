/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts what each user holds, in a table sorted by number that has entries only for users who hold something; so it is
 * never larger than the total allowed. */
#include "access/access.h"

#include <assert.h>
#include <string.h>

typedef struct Account {
    uid_t uid;
    uint32_t held;
} Account;

struct Quota {
    uint32_t per_user, total, held;
    Account *accounts; /* owned, sorted by uid */
    size_t count, capacity;
};

int quota_new(uint32_t per_user, uint32_t total, Quota **ret) {
    Quota *quota = calloc(1, sizeof(*quota));

    if (!quota)
        return -ENOMEM;
    quota_set_limits(quota, per_user, total);
    *ret = quota;
    return 0;
}

Quota *quota_free(Quota *quota) {
    if (!quota)
        return NULL;
    free(quota->accounts);
    free(quota);
    return NULL;
}

void quota_set_limits(Quota *quota, uint32_t per_user, uint32_t total) {
    quota->per_user = per_user;
    quota->total = total;
}

/* Where the user's account is, or would have to be. */
static size_t position(const Quota *quota, uid_t uid) {
    size_t low = 0, high = quota->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (quota->accounts[middle].uid < uid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool has_account(const Quota *quota, size_t at, uid_t uid) {
    return at < quota->count && quota->accounts[at].uid == uid;
}

static int add_account(Quota *quota, size_t at, uid_t uid) {
    if (quota->count == quota->capacity) {
        size_t capacity = quota->capacity ? quota->capacity * 2 : 8;
        Account *grown = reallocarray(quota->accounts, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        quota->accounts = grown;
        quota->capacity = capacity;
    }
    Account *account = &quota->accounts[at];
    memmove(account + 1, account, (quota->count - at) * sizeof(*account));
    *account = (Account) { uid, 0 };
    quota->count++;
    return 0;
}

int quota_take(Quota *quota, uid_t uid) {
    size_t at = position(quota, uid);
    bool known = has_account(quota, at, uid);

    if (uid != 0 && (known ? quota->accounts[at].held : 0) >= quota->per_user)
        return -EDQUOT;
    if (quota->held >= quota->total)
        return -EUSERS;
    if (!known) {
        int r = add_account(quota, at, uid);
        if (r < 0)
            return r;
    }
    quota->accounts[at].held++;
    quota->held++;
    return 0;
}

void quota_give(Quota *quota, uid_t uid) {
    size_t at = position(quota, uid);

    assert(has_account(quota, at, uid) && quota->held > 0);
    quota->held--;
    if (--quota->accounts[at].held > 0)
        return;
    Account *account = &quota->accounts[at];
    quota->count--;
    memmove(account, account + 1, (quota->count - at) * sizeof(*account));
}
