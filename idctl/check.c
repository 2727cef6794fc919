/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl check: everything that is known to go wrong, each with a verdict and an advice. */
#include "common/names.h"
#include "idctl/check-daemon.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <string.h>

static bool is_in(char *const *names, const char *name) {
    for (size_t i = 0; names && names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Configured ones and those that only identityd has (their file is gone since). Whether there was any (or `only`
 * among them). */
static bool check_identities(Bus *bus, const CheckedConfig *config, char *const *running, const char *only,
                             Findings *findings) {
    bool found = false;

    for (size_t i = 0; config->names && config->names[i]; i++)
        if (!only || strcmp(only, config->names[i]) == 0) {
            check_identity(bus, config->names[i], checked_config_find(config, config->names[i]), findings);
            found = true;
        }
    for (size_t i = 0; running[i]; i++)
        if (!is_in(config->names, running[i]) && (!only || strcmp(only, running[i]) == 0)) {
            findings_add(findings, (FindingAbout) { "configuration", running[i] }, FINDING_WARNING,
                         "If idctl looks in the same directories as identityd, the file was removed: \"idctl reload\".",
                         "identityd has this identity, but no file configures it");
            check_identity(bus, running[i], NULL, findings);
            found = true;
        }
    return found;
}

/* Without a bus or without identityd that is what is found. False: identityd is there, and `only` is nowhere. */
static bool check_running(const Command *command, const CheckedConfig *config, const char *only, Findings *findings) {
    _cleanup_(strings_free_p) char **running = NULL;
    _cleanup_bus_ Bus bus = { 0 };

    int r = sd_bus_open_system_with_description(&bus.bus, "idctl");
    if (r < 0) {
        findings_add(findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED,
                     "Is the bus running, and is DBUS_SYSTEM_BUS_ADDRESS right, if it is set? --config checks the "
                     "configuration alone.",
                     "the system bus cannot be reached: %s", strerror(-r));
        return true;
    }
    if (!command_has(command, "no-ask-password")) {
        (void) sd_bus_set_allow_interactive_authorization(bus.bus, true);
        (void) agent_start(&bus.agent);
    }
    if (!check_tpm(&bus, findings))
        return true;
    r = check_list_identities(&bus, &running);
    if (r < 0) {
        findings_add(findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED, NULL,
                     "does not list its identities: %s", strerror(-r));
        return true;
    }
    check_clock(check_latest_not_before(&bus, running), findings);
    return check_identities(&bus, config, running, only, findings) || !only;
}

static ExitCode check_run(const Command *command) {
    _cleanup_findings_ Findings findings = { 0 };
    _cleanup_checked_config_ CheckedConfig config = { 0 };
    const char *identity = command->arguments[0];
    bool known;

    if (identity && !identity_name_is_valid(identity)) {
        complain("\"%s\" cannot be the name of an identity.", identity);
        return EXIT_USAGE;
    }
    int r = check_config(identity, &findings, &config);
    if (r < 0) {
        complain("cannot read the configuration: %s.", strerror(-r));
        return EXIT_FAILED;
    }
    known = !identity || is_in(config.names, identity);
    if (!command_has(command, "config"))
        known = check_running(command, &config, identity, &findings);
    if (identity && !known) {
        complain("there is no identity \"%s\".", identity);
        return EXIT_NOT_FOUND;
    }
    if (command_has(command, "json")) {
        r = json_print(findings_to_json(&findings), false);
        return r < 0 ? EXIT_FAILED : findings_exit_code(&findings);
    }
    findings_print(&findings, command_has(command, "quiet"));
    return findings_exit_code(&findings);
}

static const Option check_options[] = {
    { "config", 0, NULL, "Only the configuration, without asking identityd" },
    { "json", 'j', NULL, "An array of objects instead of text" },
    { NULL },
};

const Verb verb_check = {
    .name = "check",
    .synopsis = "[IDENTITY]",
    .summary = "Look for what is wrong, with advice",
    .options = check_options,
    .maximum = 1,
    .run = check_run,
};
