/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-access.h. */
#include "idctl/check-access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <string.h>
#include <unistd.h>

#define SYSTEMD_NAME      "org.freedesktop.systemd1"
#define SYSTEMD_PATH      "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1.Manager"

/* ---- the system ---- */

/* What getpwnam() and getgrnam() leave in errno where there is no such name; any other value is a fault of the lookup.
 */
static Existence by_errno(const void *found, int error) {
    if (found)
        return EXISTS;
    return error == 0 || error == ENOENT || error == ESRCH ? EXISTS_NOT : EXISTENCE_UNKNOWN;
}

static Existence user_exists(const char *name, void *userdata) {
    errno = 0;
    const struct passwd *entry = getpwnam(name);
    return by_errno(entry, errno);
}

static Existence group_exists(const char *name, void *userdata) {
    errno = 0;
    const struct group *entry = getgrnam(name);
    return by_errno(entry, errno);
}

/* Whether an answer of systemd with an array of structures has any element. */
static Existence has_elements(sd_bus *bus, const char *member, const char *structure, const char *pattern) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    int r = sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, member, NULL, &reply, "asas", 0, 1,
                               pattern);
    if (r < 0 || sd_bus_message_enter_container(reply, 'a', structure) < 0)
        return EXISTENCE_UNKNOWN;
    r = sd_bus_message_at_end(reply, false);
    return r < 0 ? EXISTENCE_UNKNOWN : r > 0 ? EXISTS_NOT : EXISTS;
}

/* A pattern matches files or what runs; a name is loaded, which finds the template of an instance too. */
static Existence pattern_exists(sd_bus *bus, const char *pattern) {
    Existence files = has_elements(bus, "ListUnitFilesByPatterns", "(ss)", pattern);

    return files == EXISTS_NOT ? has_elements(bus, "ListUnitsByPatterns", "(ssssssouso)", pattern) : files;
}

static Existence unit_exists(const char *name, void *userdata) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *state = NULL;
    sd_bus *bus = userdata;
    const char *path;

    if (!bus)
        return EXISTENCE_UNKNOWN;
    if (strpbrk(name, "*?["))
        return pattern_exists(bus, name);
    if (sd_bus_call_method(bus, SYSTEMD_NAME, SYSTEMD_PATH, SYSTEMD_INTERFACE, "LoadUnit", NULL, &reply, "s", name) <
            0 ||
        sd_bus_message_read(reply, "o", &path) < 0 ||
        sd_bus_get_property_string(bus, SYSTEMD_NAME, path, "org.freedesktop.systemd1.Unit", "LoadState", NULL,
                                   &state) < 0)
        return EXISTENCE_UNKNOWN;
    return strcmp(state, "not-found") == 0 ? EXISTS_NOT : EXISTS;
}

AccessDirectory access_directory_system(sd_bus *bus) {
    return (AccessDirectory) { user_exists, group_exists, unit_exists, bus };
}

/* ---- the check ---- */

static const struct {
    const char *word, *advice;
} kinds[] = {
    [ACCESS_RULE_USER] = { "user", "Correct the name, or make the user: until then the rule admits nobody." },
    [ACCESS_RULE_GROUP] = { "group", "Correct the name, or make the group: until then the rule admits nobody." },
    [ACCESS_RULE_UNIT] = { "unit", "Correct the name, or install the unit: until then the rule admits nobody." },
};

static Existence exists(const AccessRule *rule, const AccessDirectory *directory) {
    if (rule->kind == ACCESS_RULE_UNIT)
        return directory->unit(rule->name, directory->userdata);
    if (rule->name[0] >= '0' && rule->name[0] <= '9')
        return EXISTS; /* a number */
    return rule->kind == ACCESS_RULE_USER ? directory->user(rule->name, directory->userdata)
                                          : directory->group(rule->name, directory->userdata);
}

static bool rules_have(const AccessRules *rules, const AccessRule *wanted, size_t before) {
    for (size_t i = 0; i < rules->count && i < before; i++)
        if (rules->rules[i].kind == wanted->kind && strcmp(rules->rules[i].name, wanted->name) == 0)
            return true;
    return false;
}

/* Whether an earlier rule has told of it. */
static bool is_told(const IdentityConfig *config, size_t purpose, size_t place) {
    const AccessRule *rule = &config->access[purpose].rules[place];

    for (size_t i = 0; i < purpose; i++)
        if (rules_have(&config->access[i], rule, SIZE_MAX))
            return true;
    return rules_have(&config->access[purpose], rule, place);
}

static void tell(const IdentityConfig *config, const AccessRule *rule, Findings *findings) {
    char purposes[128] = "";
    size_t length = 0;

    for (size_t i = 0; i < _PURPOSE_COUNT; i++)
        if (rules_have(&config->access[i], rule, SIZE_MAX))
            length += (size_t) snprintf(purposes + length, sizeof purposes - length, "%s%s=", length > 0 ? ", " : "",
                                        purpose_to_string((Purpose) i));
    findings_add(findings, (FindingAbout) { "access", config->name }, FINDING_WARNING, kinds[rule->kind].advice,
                 "[Access] %s: there is no %s \"%s\"", purposes, kinds[rule->kind].word, rule->name);
}

/* The usual number; what the kernel of the device has in its place is not asked for here. */
static bool stands_for_many(const AccessRule *rule) {
    return (rule->kind == ACCESS_RULE_USER &&
            (strcmp(rule->name, "nobody") == 0 || strcmp(rule->name, "65534") == 0)) ||
           (rule->kind == ACCESS_RULE_GROUP && (strcmp(rule->name, "nogroup") == 0 ||
                                                strcmp(rule->name, "nobody") == 0 || strcmp(rule->name, "65534") == 0));
}

static void tell_many(const IdentityConfig *config, const AccessRule *rule, Findings *findings) {
    findings_add(findings, (FindingAbout) { "access", config->name }, FINDING_WARNING,
                 "Give the program a user or group of its own: this rule admits nobody where identityd runs with "
                 "PrivateUsers=, as its unit has it.",
                 "[Access]: %s:%s stands for everybody whom a user namespace does not map", kinds[rule->kind].word,
                 rule->name);
}

void check_access(const IdentityConfig *config, const AccessDirectory *directory, Findings *findings) {
    for (size_t purpose = 0; purpose < _PURPOSE_COUNT; purpose++)
        for (size_t i = 0; i < config->access[purpose].count; i++) {
            const AccessRule *rule = &config->access[purpose].rules[i];
            if (is_told(config, purpose, i))
                continue;
            if (stands_for_many(rule))
                tell_many(config, rule, findings);
            else if (exists(rule, directory) == EXISTS_NOT)
                tell(config, rule, findings);
        }
}
