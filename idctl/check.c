/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl check: everything that is known to go wrong, each with a verdict and an advice. */
#include "common/names.h"
#include "idctl/check-daemon.h"
#include "idctl/check-limits.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <string.h>
#include <unistd.h>

static bool is_in(char *const *names, const char *name) {
    for (size_t i = 0; names && names[i]; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

typedef struct Check {
    Findings findings;
    CheckedConfig config;
    const char *identity; /* NULL: all */
    uint64_t expires_in;  /* µs; 0: not asked for */
    bool tpm_failed;
} Check;

static void check_clear(Check *check) {
    findings_clear(&check->findings);
    checked_config_clear(&check->config);
}

static bool is_wanted(const Check *check, const char *identity) {
    return !check->identity || strcmp(check->identity, identity) == 0;
}

static void check_one(Bus *bus, const char *identity, const IdentityConfig *config, Check *check) {
    const char *credentials = check_credentials_directory();
    CheckTerms terms = {
        .now = time_now(),
        .expires_in = check->expires_in,
        .tpm_failed = check->tpm_failed,
        .config_failed = findings_have(&check->findings, "configuration", identity, FINDING_FAILED),
        .config = config,
    };

    if (config && check->config.daemon && access(credentials, X_OK) == 0)
        check_credentials(config, check->config.daemon, credentials, &check->findings);
    check_identity(bus, identity, &terms, &check->findings);
}

/* Configured ones and those that only identityd has (their file is gone since). Whether there was any (or the wanted
 * one among them). */
static bool check_identities(Bus *bus, const Listing *running, Check *check) {
    const CheckedConfig *config = &check->config;
    bool found = false;

    for (size_t i = 0; config->names && config->names[i]; i++)
        if (is_wanted(check, config->names[i])) {
            check_one(bus, config->names[i], checked_config_find(config, config->names[i]), check);
            found = true;
        }
    for (size_t i = 0; i < running->count; i++) {
        const char *name = running->list[i].name;
        if (is_in(config->names, name) || !is_wanted(check, name))
            continue;
        findings_add(&check->findings, (FindingAbout) { "configuration", name }, FINDING_WARNING,
                     "If idctl looks in the same directories as identityd, the file was removed: \"idctl reload\".",
                     "identityd has this identity, but no file configures it");
        check_one(bus, name, NULL, check);
        found = true;
    }
    return found;
}

static void check_unit(Bus *bus, Check *check) {
    UnitLimits limits;
    int r = unit_limits_of_identityd(bus->bus, &limits);

    if (check->config.daemon)
        check_limits(check->config.daemon, r < 0 ? NULL : &limits, &check->findings);
}

/* Without identityd that is what is found. False: identityd is there, and the wanted identity is nowhere. */
static bool check_running(Bus *bus, Check *check) {
    const char *credentials = check_credentials_directory();
    _cleanup_listing_ Listing running = { 0 };
    bool tpm_is_ready = false;

    if (!check_tpm(bus, &check->findings, &tpm_is_ready))
        return true;
    check->tpm_failed = !tpm_is_ready;
    int r = listing_get(bus->bus, &running, NULL);
    if (r < 0) {
        findings_add(&check->findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED, NULL,
                     "does not list its identities: %s", strerror(-r));
        return true;
    }
    check_clock(check_latest_not_before(bus, &running), &check->findings);
    if (check->config.daemon && access(credentials, X_OK) == 0)
        check_daemon_credentials(check->config.daemon, credentials, &check->findings);
    return check_identities(bus, &running, check) || !check->identity;
}

/* No bus is a finding, and none is needed for the files. */
static void open_bus(const Command *command, Findings *findings, Bus *ret) {
    int r = sd_bus_open_system_with_description(&ret->bus, "idctl");

    if (r < 0)
        findings_add(findings, (FindingAbout) { "identityd", NULL }, FINDING_FAILED,
                     "Is the bus running, and is DBUS_SYSTEM_BUS_ADDRESS right, if it is set? --config checks the "
                     "configuration alone.",
                     "the system bus cannot be reached: %s", strerror(-r));
    else if (!command_has(command, "no-ask-password")) {
        (void) sd_bus_set_allow_interactive_authorization(ret->bus, true);
        (void) agent_start(&ret->agent);
    }
}

static ExitCode read_arguments(const Command *command, Check *check) {
    const char *expires_in = command_value(command, "expires-in");
    uint64_t seconds = 0;

    check->identity = command->arguments[0];
    if (check->identity && !identity_name_is_valid(check->identity)) {
        complain("\"%s\" cannot be the name of an identity.", check->identity);
        return EXIT_USAGE;
    }
    if (expires_in && (value_duration(expires_in, &seconds) < 0 || seconds == 0)) {
        complain("--expires-in %s: must be a number and one of s, min, h, d, w, such as 14d.", expires_in);
        return EXIT_USAGE;
    }
    if (expires_in && command_has(command, "config")) {
        complain("--expires-in asks identityd, and --config does not: they exclude each other.");
        return EXIT_USAGE;
    }
    check->expires_in = seconds * 1000000U;
    return EXIT_OK;
}

static ExitCode tell(const Command *command, const Findings *findings) {
    if (command_has(command, "json") && json_print(findings_to_json(findings), false) < 0)
        return EXIT_FAILED;
    if (!command_has(command, "json"))
        findings_print(findings, command_has(command, "quiet"));
    return findings_exit_code(findings);
}

static ExitCode check_run(const Command *command) {
    _cleanup_(check_clear) Check check = { 0 };
    _cleanup_bus_ Bus bus = { 0 };

    ExitCode code = read_arguments(command, &check);
    if (code != EXIT_OK)
        return code;
    if (!command_has(command, "config"))
        open_bus(command, &check.findings, &bus);
    ConfigLook look = { .identity = check.identity, .access = access_directory_system(bus.bus) };
    check_reader(bus.bus, &look.reader);
    int r = check_config(&look, &check.findings, &check.config);
    if (r < 0) {
        complain("cannot read the configuration: %s.", strerror(-r));
        return EXIT_FAILED;
    }
    bool known = !check.identity || is_in(check.config.names, check.identity);
    if (bus.bus) {
        check_unit(&bus, &check);
        known = check_running(&bus, &check);
    }
    if (!known) {
        complain("there is no identity \"%s\".", check.identity);
        return EXIT_NOT_FOUND;
    }
    return tell(command, &check.findings);
}

static const Option check_options[] = {
    { "config", 0, NULL, "Only the configuration, without asking identityd" },
    { "expires-in", 0, "TIME", "Fail where a certificate ends sooner than in this time, such as 14d" },
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
