/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The values of [Access]: who may open a credential handle for which purpose. Pure text to types; who
 * the caller is, and whether a rule admits it, is decided in daemon/access. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Purpose {
    PURPOSE_TLS_CLIENT,
    PURPOSE_TLS_SERVER,
    PURPOSE_DATA,
    PURPOSE_DATA_RAW,
    PURPOSE_DIGEST,
    _PURPOSE_COUNT,
    _PURPOSE_INVALID = -1,
} Purpose;

/* "tls-client", "tls-server", "data", "data-raw", "digest"; NULL for a value out of range. */
const char *purpose_to_string(Purpose purpose);
Purpose purpose_from_string(const char *name);

typedef enum AccessRuleKind {
    ACCESS_RULE_USER,  /* user:NAME or user:UID */
    ACCESS_RULE_GROUP, /* group:NAME or group:GID; supplementary groups count */
    ACCESS_RULE_UNIT,  /* unit:NAME of the system manager; globs as in fnmatch(3) after the prefix */
} AccessRuleKind;

typedef struct AccessRule {
    AccessRuleKind kind;
    char *name; /* owned; not resolved to a number before it is needed, since users may appear later */
} AccessRule;

typedef struct AccessRules {
    AccessRule *rules; /* owned */
    size_t count;
} AccessRules;

#define ACCESS_RULES_MAX 64U /* per purpose */

/* Parses one word, e.g. "unit:mosquitto.service". 0; -EINVAL: unknown kind, empty or impossible name (unit
 * names need a unit suffix; user and group names the portable character set or a decimal number below
 * 4294967295); -ENOMEM. */
int access_rule_parse(const char *word, AccessRule *ret);

/* Appends; takes over `rule`. -E2BIG above ACCESS_RULES_MAX, -ENOMEM: `rule` is freed then too. */
int access_rules_add(AccessRules *rules, AccessRule rule);

void access_rule_clear(AccessRule *rule);
void access_rules_clear(AccessRules *rules);
