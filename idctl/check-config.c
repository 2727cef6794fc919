/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See check-config.h. */
#include "idctl/check-config.h"

#include "config/check.h"
#include "idctl/certificates.h"

#include <stdio.h>
#include <string.h>

#define CHECK "configuration"

void checked_config_clear(CheckedConfig *config) {
    for (size_t i = 0; i < config->count; i++)
        identity_config_free(config->configs[i]);
    free(config->configs);
    strings_free(config->names);
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

/* A file of certificates that the configuration names. */
static void check_anchors(const char *identity, const char *key, const char *path, Findings *findings) {
    _cleanup_bytes_ Bytes data = BYTES_NULL;
    _cleanup_certificates_ Certificates certificates = { 0 };
    FindingAbout about = { CHECK, identity };

    if (!path)
        return;
    int r = bytes_read_file(path, CERTIFICATES_FILE_MAX, &data);
    if (r == -EACCES)
        findings_add(findings, about, FINDING_SKIPPED, "Run idctl check as root to have this file looked at.",
                     "%s %s may not be read by you", key, path);
    else if (r < 0)
        findings_add(findings, about, FINDING_FAILED, "Put the CA certificates there as PEM, or correct the path.",
                     "%s %s cannot be read: %s", key, path, strerror(-r));
    else if (certificates_parse(bytes_view(&data), &certificates) < 0)
        findings_add(findings, about, FINDING_FAILED, "Put the CA certificates there as PEM.",
                     "%s %s holds no certificates that can be read", key, path);
}

/* Loads one; without a result what is wrong was told. */
static int load_one(const ConfigDirectories *directories, const char *name, bool tell, Findings *findings,
                    IdentityConfig **ret) {
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_(strings_free_p) char **paths = NULL;
    Findings silent = { 0 };
    Findings *told = tell ? findings : &silent;

    int r = config_identity_paths(directories, name, &paths);
    if (r >= 0)
        r = identity_config_load(name, paths, &problems, ret);
    if (r == -ENOMEM)
        return r;
    size_t count = tell_problems(&problems, name, told);
    if (r < 0 && count == 0)
        findings_add(told, (FindingAbout) { CHECK, name }, FINDING_FAILED, NULL, "cannot be read: %s", strerror(-r));
    if (*ret) {
        check_anchors(name, "[Enrollment] Anchors=", (*ret)->anchors, told);
        check_anchors(name, "[Enrollment] ServerAnchors=", (*ret)->server_anchors, told);
        check_anchors(name, "[Peers] Anchors=", (*ret)->peers_anchors, told);
        if (count == 0)
            findings_add(told, (FindingAbout) { CHECK, name }, FINDING_OK, NULL, "no faults");
    }
    findings_clear(&silent);
    return 0;
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

int check_config(const char *identity, Findings *findings, CheckedConfig *ret) {
    _cleanup_config_directories_ ConfigDirectories directories = { 0 };
    _cleanup_daemon_config_ DaemonConfig *daemon = NULL;
    _cleanup_problems_ Problems problems = { 0 };
    _cleanup_checked_config_ CheckedConfig config = { 0 };
    _cleanup_free_ char **faulty = NULL; /* borrows names */
    size_t total = 0, faulty_count = 0;

    int r = config_directories_from_environment(&directories);
    if (r == -EINVAL) {
        findings_add(findings, (FindingAbout) { CHECK, NULL }, FINDING_FAILED, "Give absolute paths.",
                     "CONFIGURATION_DIRECTORY or RUNTIME_DIRECTORY is no absolute path");
        return 0;
    }
    if (r < 0 || (r = daemon_config_load(&directories, &problems, &daemon)) < 0 ||
        (r = config_list_identities(&directories, &problems, &config.names)) < 0)
        return r;
    tell_problems(&problems, NULL, findings);
    while (config.names[total])
        total++;
    config.configs = calloc(total + 1, sizeof config.configs[0]);
    faulty = calloc(total + 1, sizeof faulty[0]);
    if (!config.configs || !faulty)
        return -ENOMEM;
    for (size_t i = 0; i < total; i++) {
        IdentityConfig *one = NULL;
        bool tell = !identity || strcmp(identity, config.names[i]) == 0;
        if ((r = load_one(&directories, config.names[i], tell, findings, &one)) < 0)
            return r;
        if (one)
            config.configs[config.count++] = one;
        else
            faulty[faulty_count++] = config.names[i];
    }
    r = check_together(daemon, &config, faulty, identity, findings);
    if (r < 0)
        return r;
    if (total == 0)
        findings_add(findings, (FindingAbout) { CHECK, NULL }, FINDING_WARNING,
                     "Write one as identity.conf(5) says, below identities/.", "no identities are configured in %s",
                     directories.configuration);
    *ret = config;
    config = (CheckedConfig) { 0 };
    return 0;
}
