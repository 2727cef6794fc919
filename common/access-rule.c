/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Purposes, and the words of [Access] as types. What could never admit anybody is refused here, so that a mistyped rule
 * is an error in the configuration and not a silent denial. */
#include "common/access-rule.h"

#include <string.h>

#define USER_NAME_MAX 256U /* LOGIN_NAME_MAX of glibc */
#define UNIT_NAME_MAX 255U /* of systemd */

#define ALPHANUMERIC "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

static const char *const purpose_names[_PURPOSE_COUNT] = {
    [PURPOSE_TLS_CLIENT] = "tls-client", [PURPOSE_TLS_SERVER] = "tls-server", [PURPOSE_DATA] = "data",
    [PURPOSE_DATA_RAW] = "data-raw",     [PURPOSE_DIGEST] = "digest",
};

const char *purpose_to_string(Purpose purpose) {
    return (unsigned) purpose < _PURPOSE_COUNT ? purpose_names[purpose] : NULL;
}

Purpose purpose_from_string(const char *name) {
    for (int i = 0; name && i < _PURPOSE_COUNT; i++)
        if (strcmp(purpose_names[i], name) == 0)
            return (Purpose) i;
    return _PURPOSE_INVALID;
}

/* A user or group: decimal without leading zeros and below 4294967295, which stands for "none", or a name of POSIX's
 * portable character set. */
static bool account_is_possible(const char *name) {
    size_t length = strlen(name), digits = strspn(name, "0123456789");

    if (length == 0 || length > USER_NAME_MAX || name[0] == '-')
        return false;
    if (digits == length)
        return (name[0] != '0' || length == 1) && strtoull(name, NULL, 10) < UINT32_MAX;
    return strspn(name, ALPHANUMERIC "._-") == length;
}

/* Only units that can have processes of their own. A glob may stand anywhere but in the suffix. */
static bool unit_is_possible(const char *name) {
    static const char *const suffixes[] = { ".service", ".scope", ".socket", ".slice", ".mount", ".swap" };
    size_t length = strlen(name);

    if (length > UNIT_NAME_MAX || strspn(name, ALPHANUMERIC ":-_.\\@*?[]!^") != length)
        return false;
    for (size_t i = 0; i < ARRAY_LENGTH(suffixes); i++) {
        size_t suffix = strlen(suffixes[i]);
        if (length > suffix && strcmp(name + length - suffix, suffixes[i]) == 0)
            return name[0] != '.';
    }
    return false;
}

int access_rule_parse(const char *word, AccessRule *ret) {
    static const struct {
        const char *prefix;
        AccessRuleKind kind;
        bool (*is_possible)(const char *name);
    } kinds[] = {
        { "user:", ACCESS_RULE_USER, account_is_possible },
        { "group:", ACCESS_RULE_GROUP, account_is_possible },
        { "unit:", ACCESS_RULE_UNIT, unit_is_possible },
    };

    for (size_t i = 0; word && i < ARRAY_LENGTH(kinds); i++) {
        size_t length = strlen(kinds[i].prefix);
        if (strncmp(word, kinds[i].prefix, length) != 0)
            continue;
        if (!kinds[i].is_possible(word + length))
            return -EINVAL;
        char *name = strdup(word + length);
        if (!name)
            return -ENOMEM;
        *ret = (AccessRule) { kinds[i].kind, name };
        return 0;
    }
    return -EINVAL;
}

int access_rules_add(AccessRules *rules, AccessRule rule) {
    AccessRule *grown = NULL;
    int r = -E2BIG;

    if (rules->count < ACCESS_RULES_MAX) {
        grown = reallocarray(rules->rules, rules->count + 1, sizeof(*grown));
        r = -ENOMEM;
    }
    if (!grown) {
        access_rule_clear(&rule);
        return r;
    }
    grown[rules->count++] = rule;
    rules->rules = grown;
    return 0;
}

void access_rule_clear(AccessRule *rule) {
    free(TAKE_PTR(rule->name));
}

void access_rules_clear(AccessRules *rules) {
    for (size_t i = 0; i < rules->count; i++)
        access_rule_clear(&rules->rules[i]);
    free(rules->rules);
    *rules = (AccessRules) { NULL, 0 };
}
