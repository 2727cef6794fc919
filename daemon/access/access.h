/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who is asking (caller.c), with whom they are counted (party.c), what is known of them from earlier (caller-cache.c),
 * whether a rule admits them (policy.c, pure), and how much they may hold (quota.c). */
#pragma once

#include "common/access-rule.h"
#include "common/macros.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CALLER_GROUPS_MAX 1024U

#define PARTY_UNKNOWN ((uid_t) -1) /* all users whom the system does not know, together */

/* A caller as the bus vouches for it; docs/design.md §8, docs/facts.md, "systemd and D-Bus". */
typedef struct Caller {
    uid_t uid;     /* (uid_t) -1: unknown, admitted by no rule */
    uid_t party;   /* with whom it is counted: party_of() */
    gid_t *groups; /* primary and supplementary, owned */
    size_t group_count;
    bool groups_failed; /* which groups it has could not be found out */
    pid_t pid;          /* 0 unknown */
    int pidfd;          /* owned, -1 without */
    char *unit;         /* of the system manager, owned; NULL: none, unknown or not looked up */
    bool unit_is_known; /* systemd has answered: `unit` is what it said */
    char *bus_name;     /* unique name, owned */
} Caller;
#define CALLER_INIT ((Caller) { .uid = (uid_t) -1, .party = PARTY_UNKNOWN, .pidfd = -1 })
/* Frees and closes what it holds and makes it CALLER_INIT. */
void caller_clear(Caller *caller);
#define _cleanup_caller_ _cleanup_(caller_clear)
/* A copy of all but the pidfd. 0 or -ENOMEM. */
int caller_copy(const Caller *caller, Caller *ret);
/* Whether there is a pidfd, and its process has not ended. */
bool caller_is_alive(const Caller *caller);
/* Root, or identityd's own user: nothing is kept from them, and no share of ours is counted. A uid that stands for many
 * (AccessNames) is neither. */
bool caller_is_administrator(const Caller *caller);

/* ---- what is known of connections ---- */
typedef struct CallerCache CallerCache;
/* At most `total` in all, `per_user` of one user (each holds a descriptor). 0 or -ENOMEM. */
int caller_cache_new(size_t total, size_t per_user, CallerCache **ret);
CallerCache *caller_cache_free(CallerCache *cache);
DEFINE_CLEANUP(CallerCache, caller_cache_free)
#define _cleanup_caller_cache_ _cleanup_(caller_cache_free_p)
/* By unique name; borrowed until the next call. NULL: nothing is known, or the process has ended meanwhile. */
const Caller *caller_cache_find(CallerCache *cache, const char *bus_name);
/* Keeps a copy in place of what was known of that name. -EINVAL: without name or pidfd nothing is kept; -ENOMEM,
 * -EMFILE. */
int caller_cache_put(CallerCache *cache, const Caller *caller);

/* Names to numbers; a table of functions so that the policy is tested without /etc/passwd. */
typedef struct AccessNames {
    int (*user)(const char *name, uid_t *ret); /* 0, -ENOENT, or another -errno: the lookup failed */
    int (*group)(const char *name, gid_t *ret);
    int (*knows)(uid_t uid); /* 1: there is such a user, 0: there is not, -errno: the lookup failed */
    /* Whether this number is the one by which the kernel names everybody whom our user namespace does not map (65534,
     * or what /proc/sys/kernel/overflowuid and overflowgid say), and there are such: then it is nobody's. */
    bool (*stands_for_many)(bool group, uint32_t id);
} AccessNames;
extern const AccessNames access_names_system; /* getpwnam_r, getgrnam_r, getpwuid_r, /proc */

/* ---- with whom somebody is counted ---- */
/* A user can become any of the subordinate users that /etc/subuid gives him, which are thousands, and dbus-broker lets
 * them in: so they are counted with him. Users whom neither the system nor that file knows are counted together, as
 * PARTY_UNKNOWN, and so is a number that stands for many. Where the file cannot be read, or a lookup fails, what it
 * would have said is not known: then they are PARTY_UNKNOWN as well. `subordinates`: that file. */
uid_t party_of(uid_t uid, const char *subordinates, const AccessNames *names);
#define PARTY_SUBORDINATES "/etc/subuid"

typedef struct AccessDecision {
    bool admitted;
    bool by_unit;       /* the deciding rule was unit:, so the handle's first packet must prove the process */
    bool lookup_failed; /* not admitted, but no refusal: a rule might have fit, and what it takes to say is not known */
    const AccessRule *rule; /* which, borrowed from the rules; NULL when refused */
    char reason[256]; /* for the log and the error text: "user:telemetry", "no [Access] tls-client= rule admits uid
                         1000" */
} AccessDecision;

/* Deny by default; root is admitted by no rule of its own: it can edit the configuration. user and group rules are
 * looked at before unit ones. `units_allowed` false for bus methods that take user: and group: only (Sign). Names that
 * do not exist admit nobody, and a number that stands for many fits no rule. */
void access_decide(const AccessRules *rules, Purpose purpose, const Caller *caller, bool units_allowed,
                   const AccessNames *names, AccessDecision *ret);

/* ---- quota: handles by user, by rule, of an identity, and in all ---- */
/* What is bounded is what a handle takes of identityd whatever its holder does: descriptors, and a State that waits for
 * it. It is counted against those who asked for it until the last descriptor of it is gone, wherever it was passed on
 * to: else whoever hands his handles on could ask without end. What the others still get: however many one user takes,
 * all others have total - per_user; however many users a rule admits (a group), all whom other rules admit have total -
 * per_rule; and whatever is taken of other identities, of each one `reserve` can be had. Root is not bounded by user
 * and rule, for it can have the limits changed, but counts: descriptors run out for it too. */
typedef struct Quota Quota;
typedef struct QuotaLimits {
    uint32_t per_user, per_rule, total;
    uint32_t reserve, identities; /* so many are kept for each of so many identities */
} QuotaLimits;
typedef struct QuotaClaim {
    uid_t party; /* Caller.party */
    bool unlimited;
    const char *rule, *identity; /* the rule that admits, as it is written: "group:staff" */
} QuotaClaim;
/* 0 or -ENOMEM. */
int quota_new(const QuotaLimits *limits, Quota **ret);
Quota *quota_free(Quota *quota);
DEFINE_CLEANUP(Quota, quota_free)
#define _cleanup_quota_ _cleanup_(quota_free_p)
/* Which limit is reached, if one is. */
typedef enum QuotaAnswer {
    QUOTA_TAKEN = 0,
    QUOTA_OF_USER,
    QUOTA_OF_RULE,
    QUOTA_OF_ALL,
    QUOTA_KEPT, /* what is left is kept for other identities */
} QuotaAnswer;
/* A QuotaAnswer, or -ENOMEM. */
int quota_take(Quota *quota, const QuotaClaim *claim);
/* Its holder has closed it, and it is still to be closed here: from now on it counts in the total alone. False: as many
 * of that user are on their way out as he may have, and it counts as before. */
bool quota_excuse(Quota *quota, const QuotaClaim *claim);
/* Gives one back that was taken with the same claim: anything else is our own bug. */
void quota_give(Quota *quota, const QuotaClaim *claim, bool excused);
/* Later takes only: what is held above a new limit stays. */
void quota_set_limits(Quota *quota, const QuotaLimits *limits);

/* ---- line limit: what one user can have written into the log ---- */
typedef struct LineLimit LineLimit;
/* Lines about refusals do not use up those about what was granted. */
typedef enum LineKind { LINE_REFUSED, LINE_GRANTED, LINE_LIMITED, _LINE_KIND_COUNT } LineKind;

/* In one window there are at most (64 + 3) × (32 + 1) = 2211 lines: journald takes 10,000 in the same time. */
#define LINE_LIMIT_WINDOW  (30U * 1000000U) /* µs */
#define LINE_LIMIT_BURST   32U              /* lines in one window of one user and kind */
#define LINE_LIMIT_WINDOWS 64U              /* of one user and kind each */

/* 0 or -ENOMEM. */
int line_limit_new(LineLimit **ret);
LineLimit *line_limit_free(LineLimit *limit);
DEFINE_CLEANUP(LineLimit, line_limit_free)
#define _cleanup_line_limit_ _cleanup_(line_limit_free_p)
/* Whether a line is to be written; else it is counted. `now`: µs of a clock that only goes on. Take what is due first:
 * until a window's summary is taken, the window goes on. */
bool line_limit_admits(LineLimit *limit, LineKind kind, uid_t uid, uint64_t now);

/* What a window held back. */
typedef struct LineSummary {
    LineKind kind;
    uid_t uid;
    bool others; /* not of one user, but of all who found no place in the table */
    uint32_t count;
    uint64_t begun; /* when the window did */
} LineSummary;
/* Takes the summary of a window that is over; false when there is none (more). */
bool line_limit_take(LineLimit *limit, uint64_t now, LineSummary *ret);
/* When the next summary is due; UINT64_MAX: none is. */
uint64_t line_limit_next(const LineLimit *limit);
