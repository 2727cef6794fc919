/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a caller may open a handle: the first rule that fits admits, nothing else does. Pure but for the table of
 * names. */
#include "access/access.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What was seen on the way to a refusal, for its text. */
typedef struct Seen {
    bool units_skipped, no_unit, stands_for_many;
    const AccessRule *failed; /* whether this one fits could not be found out … */
    int failure;              /* … -errno of its lookup; 0: nobody answered */
} Seen;

/* The number that a user or group rule stands for. All digits are a number and never looked up as a name. */
static int resolve(const AccessRule *rule, const AccessNames *names, uint32_t *ret) {
    size_t length = strlen(rule->name);

    if (length > 0 && strspn(rule->name, "0123456789") == length) {
        unsigned long long n = length <= 10 ? strtoull(rule->name, NULL, 10) : UINT64_MAX;
        if (n >= UINT32_MAX)
            return -ENOENT;
        *ret = (uint32_t) n;
        return 0;
    }
    int r = rule->kind == ACCESS_RULE_USER ? names->user(rule->name, ret) : names->group(rule->name, ret);
    /* 4294967295 stands for "none" and is nobody's number. */
    return r == 0 && *ret == UINT32_MAX ? -ENOENT : r;
}

static bool has_group(const Caller *caller, gid_t gid) {
    for (size_t i = 0; i < caller->group_count; i++)
        if (caller->groups[i] == gid)
            return true;
    return false;
}

static bool note_failed(Seen *seen, const AccessRule *rule, int r) {
    if (!seen->failed) {
        seen->failed = rule;
        seen->failure = r;
    }
    return false;
}

static bool account_fits(const AccessRule *rule, const Caller *caller, const AccessNames *names, Seen *seen) {
    bool group = rule->kind == ACCESS_RULE_GROUP;
    uint32_t number = UINT32_MAX;

    int r = resolve(rule, names, &number);
    if (r == -ENOENT)
        return false;
    if (r < 0)
        return note_failed(seen, rule, r);
    if (group && caller->groups_failed)
        return note_failed(seen, rule, 0);
    if (group ? !has_group(caller, number) : caller->uid != number)
        return false;
    seen->stands_for_many |= names->stands_for_many(group, number);
    return !names->stands_for_many(group, number);
}

/* Unit names contain '\' as systemd's own escape, so it is none here. */
static bool unit_fits(const AccessRule *rule, const Caller *caller, bool units_allowed, Seen *seen) {
    if (!units_allowed) {
        seen->units_skipped = true;
        return false;
    }
    if (!caller->unit_is_known)
        return note_failed(seen, rule, 0);
    if (!caller->unit) {
        seen->no_unit = true;
        return false;
    }
    return fnmatch(rule->name, caller->unit, FNM_NOESCAPE) == 0;
}

static const AccessRule *find_rule(const AccessRules *rules, const Caller *caller, bool units_allowed,
                                   const AccessNames *names, Seen *seen) {
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rules[i].kind != ACCESS_RULE_UNIT && account_fits(&rules->rules[i], caller, names, seen))
            return &rules->rules[i];
    for (size_t i = 0; i < rules->count; i++)
        if (rules->rules[i].kind == ACCESS_RULE_UNIT && unit_fits(&rules->rules[i], caller, units_allowed, seen))
            return &rules->rules[i];
    return NULL;
}

static const char *const prefixes[] = {
    [ACCESS_RULE_USER] = "user", [ACCESS_RULE_GROUP] = "group", [ACCESS_RULE_UNIT] = "unit"
};

/* What was asked in vain, and of whom. */
static void explain_failure(const Seen *seen, AccessDecision *ret) {
    const AccessRule *rule = seen->failed;

    if (seen->failure < 0)
        (void) snprintf(ret->reason, sizeof(ret->reason),
                        "the system's databases (nsswitch.conf) could not say who %s:%.64s is: %s",
                        prefixes[rule->kind], rule->name, strerrordesc_np(-seen->failure) ?: "unknown error");
    else if (rule->kind == ACCESS_RULE_UNIT)
        (void) snprintf(ret->reason, sizeof(ret->reason),
                        "the system's service manager did not say in which unit the caller is, which unit:%.64s asks",
                        rule->name);
    else
        (void) snprintf(ret->reason, sizeof(ret->reason),
                        "neither the bus nor the system's databases said which groups the caller has, which "
                        "group:%.64s asks",
                        rule->name);
}

static void explain_refusal(const AccessRules *rules, Purpose purpose, const Caller *caller, const Seen *seen,
                            AccessDecision *ret) {
    const char *name = purpose_to_string(purpose) ?: "(unknown purpose)";
    char *at = ret->reason;
    size_t room = sizeof(ret->reason);

    if (rules->count == 0) {
        (void) snprintf(at, room, "[Access] %s= is not set, so nobody is admitted", name);
        return;
    }
    int n = snprintf(at, room, "no [Access] %s= rule admits uid %" PRIu32 "%s%.100s", name, (uint32_t) caller->uid,
                     caller->unit ? " in " : "", caller->unit ?: "");
    if (n < 0 || (size_t) n >= room)
        return;
    at += n;
    room -= (size_t) n;
    if (seen->stands_for_many)
        (void) snprintf(at, room, ", which stands for all whom identityd's user namespace does not map");
    else if (seen->units_skipped)
        (void) snprintf(at, room, "; unit: rules do not count here");
    else if (seen->no_unit)
        (void) snprintf(at, room, "; its unit is not known to the system's service manager");
}

void access_decide(const AccessRules *rules, Purpose purpose, const Caller *caller, bool units_allowed,
                   const AccessNames *names, AccessDecision *ret) {
    Seen seen = { 0 };

    *ret = (AccessDecision) { 0 };
    const AccessRule *rule = caller->uid == (uid_t) -1 ? NULL : find_rule(rules, caller, units_allowed, names, &seen);
    if (!rule && seen.failed) {
        ret->lookup_failed = true;
        explain_failure(&seen, ret);
        return;
    }
    if (!rule) {
        explain_refusal(rules, purpose, caller, &seen, ret);
        return;
    }
    ret->admitted = true;
    ret->by_unit = rule->kind == ACCESS_RULE_UNIT;
    ret->rule = rule;
    (void) snprintf(ret->reason, sizeof(ret->reason), "%s:%.200s", prefixes[rule->kind], rule->name);
}
