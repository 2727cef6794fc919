/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-config.h. */
#include "idctl/check-config.h"

#include "config/check.h"
#include "idctl/output.h"

#include <string.h>

#define CHECK "configuration"

void checked_config_clear(CheckedConfig *config) {
    for (size_t i = 0; i < config->count; i++)
        identity_config_free(config->configs[i]);
    free(config->configs);
    strings_free(config->names);
    daemon_config_free(config->daemon);
    *config = (CheckedConfig) { 0 };
}

const IdentityConfig *checked_config_find(const CheckedConfig *config, const char *identity) {
    for (size_t i = 0; i < config->count; i++)
        if (strcmp(config->configs[i]->name, identity) == 0)
            return config->configs[i];
    return NULL;
}

/* Problems of one file or of the set; how many were told. */
static size_t tell_problems(const Problems *problems, const char *identity, Findings *findings) {
    for (size_t i = 0; i < problems->count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems->list[i]);
        findings_add(findings, (FindingAbout) { CHECK, identity },
                     problems->list[i].warning ? FINDING_WARNING : FINDING_FAILED, NULL, "%s",
                     text ? text : problems->list[i].text);
    }
    return problems->count;
}

/* What a file says, and the files that it names. */
static void check_one(const IdentityConfig *config, char *const *paths, const ConfigLook *look, Findings *findings) {
    check_readable(config->name, paths, &look->reader, findings);
    check_anchors(config, &look->reader, (int64_t) (time_now() / 1000000U), findings);
    check_access(config, &look->access, findings);
}

/* Loads one; without a result what is wrong was told. */
static int load_one(const ConfigDirectories *directories, const char *name, const ConfigLook *look, Findings *findings,
                    IdentityConfig **ret) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_(strings_free_p) char **paths = NULL;
    _cleanup_findings_ Findings silent = { 0 };
    bool is_wanted = !look->identity || strcmp(look->identity, name) == 0;
    Findings *told = is_wanted ? findings : &silent;

    int r = config_identity_paths(directories, name, &paths);
    if (r >= 0)
        r = identity_config_load(name, paths, &problems, ret);
    if (r == -ENOMEM)
        return r;
    size_t count = tell_problems(&problems, name, told);
    if (r < 0 && count == 0)
        findings_add(told, (FindingAbout) { CHECK, name }, FINDING_FAILED, NULL, "cannot be read: %s", strerror(-r));
    if (*ret && is_wanted)
        check_one(*ret, paths, look, findings);
    return 0;
}

/* CAs that go by the subject take one for the other. Told at the second of each pair. */
static void check_subjects(const CheckedConfig *config, const char *identity, Findings *findings) {
    for (size_t i = 1; i < config->count; i++)
        for (size_t k = 0; k < i; k++) {
            const IdentityConfig *one = config->configs[k], *other = config->configs[i];
            bool is_wanted = !identity || strcmp(identity, one->name) == 0 || strcmp(identity, other->name) == 0;
            if (!is_wanted || !one->subject || !other->subject || strcmp(one->subject, other->subject) != 0)
                continue;
            findings_add(findings, (FindingAbout) { CHECK, other->name }, FINDING_WARNING,
                         "A CA that goes by the subject takes one for the other: give each its own, by another OU= for "
                         "example.",
                         "[Identity] Subject=%s is that of \"%s\" too", other->subject, one->name);
            break;
        }
}

/* What only all of them together show; about one identity where its file is blamed. */
static int check_together(const DaemonConfig *daemon, const CheckedConfig *config, char *const *faulty,
                          const char *identity, Findings *findings) {
    _cleanup_problems_ Problems problems = { 0 };

    int r = config_check_all(daemon, config->configs, config->count, faulty, &problems);
    if (r < 0)
        return r;
    for (size_t i = 0; i < problems.count; i++) {
        const char *owner = NULL;
        for (size_t k = 0; k < config->count; k++)
            if (config->configs[k]->file && problems.list[i].file &&
                strcmp(config->configs[k]->file, problems.list[i].file) == 0)
                owner = config->configs[k]->name;
        if (!identity || !owner || strcmp(owner, identity) == 0)
            tell_problems(&(Problems) { &problems.list[i], 1 }, owner, findings);
    }
    return 0;
}

/* Of whom nothing was told, by his own file or by all together. */
static void tell_faultless(const CheckedConfig *config, const char *identity, Findings *findings) {
    for (size_t i = 0; i < config->count; i++) {
        const char *name = config->configs[i]->name;
        bool is_told = identity && strcmp(identity, name) != 0;
        for (size_t k = 0; k < findings->count && !is_told; k++)
            is_told = findings->list[k].identity && strcmp(findings->list[k].identity, name) == 0;
        if (!is_told)
            findings_add(findings, (FindingAbout) { CHECK, name }, FINDING_OK, NULL, "no faults");
    }
}

static int read_all(const ConfigDirectories *directories, const ConfigLook *look, Findings *findings,
                    CheckedConfig *config) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_free_ char **faulty = NULL; /* borrows names */
    _cleanup_(strings_free_p) char **paths = NULL;
    size_t total = 0, faulty_count = 0;

    int r = daemon_config_load(directories, &problems, &config->daemon);
    if (r < 0 || (r = config_list_identities(directories, &problems, &config->names)) < 0)
        return r;
    tell_problems(&problems, NULL, findings);
    if (config_file_paths(directories, "identityd.conf", &paths) >= 0)
        check_readable(NULL, paths, &look->reader, findings);
    total = strings_count(config->names);
    config->configs = calloc(total + 1, sizeof config->configs[0]);
    faulty = calloc(total + 1, sizeof faulty[0]);
    if (!config->configs || !faulty)
        return -ENOMEM;
    for (size_t i = 0; i < total; i++) {
        IdentityConfig *one = NULL;
        if ((r = load_one(directories, config->names[i], look, findings, &one)) < 0)
            return r;
        if (one)
            config->configs[config->count++] = one;
        else
            faulty[faulty_count++] = config->names[i];
    }
    check_subjects(config, look->identity, findings);
    r = check_together(config->daemon, config, faulty, look->identity, findings);
    if (r >= 0)
        tell_faultless(config, look->identity, findings);
    return r;
}

int check_config(const ConfigLook *look, Findings *findings, CheckedConfig *ret) {
    _cleanup_config_directories_ ConfigDirectories directories = { 0 };
    _cleanup_checked_config_ CheckedConfig config = { 0 };

    int r = config_directories_from_environment(&directories);
    if (r == -EINVAL) {
        findings_add(findings, (FindingAbout) { CHECK, NULL }, FINDING_FAILED, "Give absolute paths.",
                     "CONFIGURATION_DIRECTORY or RUNTIME_DIRECTORY is no absolute path");
        return 0;
    }
    if (r >= 0)
        r = read_all(&directories, look, findings, &config);
    if (r < 0)
        return r;
    if (strings_count(config.names) == 0)
        findings_add(findings, (FindingAbout) { CHECK, NULL }, FINDING_WARNING,
                     "Write one as identity.conf(5) says, below identities/.", "no identities are configured in %s",
                     directories.configuration);
    *ret = config;
    config = (CheckedConfig) { 0 };
    return 0;
}
