/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counts what is held by each user, under each rule and of each identity, in one table of accounts sorted by name,
 * which has those only of whom something is held; so it has at most three for each handle. */
#include "access/access.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* The first letter of an account's name. */
#define OF_IDENTITY 'i'
#define OF_RULE     'r'
#define OF_USER     'u'

#define NAME_MAX_LENGTH 320U /* of a rule: a unit's name */

typedef struct Account {
    char *name; /* owned */
    uint32_t held, excused;
} Account;

struct Quota {
    QuotaLimits limits;
    uint32_t held; /* in all, with those that are excused */
    Account *accounts;
    size_t count, capacity;
};

typedef struct Names {
    char user[NAME_MAX_LENGTH], rule[NAME_MAX_LENGTH], identity[NAME_MAX_LENGTH];
} Names;

static Names names_of(const QuotaClaim *claim) {
    Names names;

    (void) snprintf(names.user, sizeof names.user, "%c%" PRIu32, OF_USER, (uint32_t) claim->party);
    (void) snprintf(names.rule, sizeof names.rule, "%c%s", OF_RULE, claim->rule);
    (void) snprintf(names.identity, sizeof names.identity, "%c%s", OF_IDENTITY, claim->identity);
    return names;
}

int quota_new(const QuotaLimits *limits, Quota **ret) {
    Quota *quota = calloc(1, sizeof(*quota));

    if (!quota)
        return -ENOMEM;
    quota->limits = *limits;
    *ret = quota;
    return 0;
}

Quota *quota_free(Quota *quota) {
    if (!quota)
        return NULL;
    for (size_t i = 0; i < quota->count; i++)
        free(quota->accounts[i].name);
    free(quota->accounts);
    free(quota);
    return NULL;
}

void quota_set_limits(Quota *quota, const QuotaLimits *limits) {
    quota->limits = *limits;
}

/* Where the account is, or would have to be. */
static size_t position(const Quota *quota, const char *name) {
    size_t low = 0, high = quota->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(quota->accounts[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static Account *find(const Quota *quota, const char *name) {
    size_t at = position(quota, name);

    return at < quota->count && strcmp(quota->accounts[at].name, name) == 0 ? &quota->accounts[at] : NULL;
}

static uint32_t held_by(const Quota *quota, const char *name) {
    const Account *account = find(quota, name);

    return account ? account->held : 0;
}

static int make_account(Quota *quota, const char *name) {
    if (find(quota, name))
        return 0;
    if (quota->count == quota->capacity) {
        size_t capacity = quota->capacity ? quota->capacity * 2 : 8;
        Account *grown = reallocarray(quota->accounts, capacity, sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        quota->accounts = grown;
        quota->capacity = capacity;
    }
    char *copy = strdup(name);
    if (!copy)
        return -ENOMEM;
    size_t at = position(quota, name);
    Account *account = &quota->accounts[at];
    memmove(account + 1, account, (quota->count - at) * sizeof(*account));
    *account = (Account) { .name = copy };
    quota->count++;
    return 0;
}

static void drop_if_empty(Quota *quota, const char *name) {
    Account *account = find(quota, name);

    if (!account || account->held > 0 || account->excused > 0)
        return;
    free(account->name);
    quota->count--;
    memmove(account, account + 1, (quota->count - (size_t) (account - quota->accounts)) * sizeof(*account));
}

/* What is kept for the other identities and not taken by them yet. Those of whom nothing is held have no account. */
static uint64_t kept_for_others(const Quota *quota, const char *own) {
    uint32_t reserve = quota->limits.reserve;
    uint64_t others = quota->limits.identities > 0 ? quota->limits.identities - 1U : 0, seen = 0, kept = 0;

    for (size_t i = 0; i < quota->count; i++) {
        const Account *account = &quota->accounts[i];
        if (account->name[0] != OF_IDENTITY || strcmp(account->name, own) == 0)
            continue;
        seen++;
        kept += account->held < reserve ? reserve - account->held : 0;
    }
    return kept + (others > seen ? (others - seen) * reserve : 0);
}

static QuotaAnswer check(const Quota *quota, const QuotaClaim *claim, const Names *names) {
    const QuotaLimits *limits = &quota->limits;

    if (!claim->unlimited && held_by(quota, names->user) >= limits->per_user)
        return QUOTA_OF_USER;
    if (!claim->unlimited && held_by(quota, names->rule) >= limits->per_rule)
        return QUOTA_OF_RULE;
    if (quota->held >= limits->total)
        return QUOTA_OF_ALL;
    return quota->held + kept_for_others(quota, names->identity) >= limits->total ? QUOTA_KEPT : QUOTA_TAKEN;
}

int quota_take(Quota *quota, const QuotaClaim *claim) {
    const Names names = names_of(claim);
    QuotaAnswer answer = check(quota, claim, &names);

    if (answer != QUOTA_TAKEN)
        return answer;
    if (make_account(quota, names.user) < 0 || make_account(quota, names.rule) < 0 ||
        make_account(quota, names.identity) < 0) {
        drop_if_empty(quota, names.user);
        drop_if_empty(quota, names.rule);
        drop_if_empty(quota, names.identity);
        return -ENOMEM;
    }
    find(quota, names.user)->held++;
    find(quota, names.rule)->held++;
    find(quota, names.identity)->held++;
    quota->held++;
    return QUOTA_TAKEN;
}

bool quota_excuse(Quota *quota, const QuotaClaim *claim) {
    const Names names = names_of(claim);
    Account *user = find(quota, names.user), *rule = find(quota, names.rule), *identity = find(quota, names.identity);

    assert(user && rule && identity && user->held > 0 && rule->held > 0 && identity->held > 0);
    if (!claim->unlimited && user->excused >= quota->limits.per_user)
        return false;
    user->held--;
    user->excused++;
    rule->held--;
    rule->excused++;
    identity->held--;
    identity->excused++;
    return true;
}

void quota_give(Quota *quota, const QuotaClaim *claim, bool excused) {
    const Names names = names_of(claim);
    const char *const list[] = { names.user, names.rule, names.identity };

    assert(quota->held > 0);
    quota->held--;
    for (size_t i = 0; i < ARRAY_LENGTH(list); i++) {
        Account *account = find(quota, list[i]);
        assert(account && (excused ? account->excused : account->held) > 0);
        if (excused)
            account->excused--;
        else
            account->held--;
        drop_if_empty(quota, list[i]);
    }
}
