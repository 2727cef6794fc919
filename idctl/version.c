/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl version: of the command, of the daemon, and which TPM and device this is. */
#include "idctl/bus.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>

static const struct {
    const char *property, *json, *label;
} properties[] = {
    { "Version", "identityd", "identityd" },     { "DeviceId", "device_id", "Device ID" },
    { "TpmState", "tpm_state", "TPM" },          { "TpmProblem", "tpm_problem", "TPM problem" },
    { "TpmVendor", "tpm_vendor", "TPM vendor" }, { "TpmFirmware", "tpm_firmware", "TPM firmware" },
};

static ExitCode version_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_json_ json_t *object = json_pack("{s:s}", "idctl", IDENTITYD_VERSION);

    if (!command_has(command, "json"))
        print_field("idctl", IDENTITYD_VERSION, COLOUR_NONE);
    ExitCode code = bus_open(command, false, &bus);
    for (size_t i = 0; code == EXIT_OK && i < ARRAY_LENGTH(properties); i++) {
        _cleanup_free_ char *value = NULL;
        code = bus_manager_property(&bus, properties[i].property, &value);
        if (code != EXIT_OK)
            return code;
        if (command_has(command, "json"))
            json_object_set_new(object, properties[i].json, json_string(value));
        else
            print_field(properties[i].label, value[0] ? value : "-", COLOUR_NONE);
    }
    if (code == EXIT_OK && command_has(command, "json"))
        return json_print(TAKE_PTR(object), false) < 0 ? EXIT_FAILED : EXIT_OK;
    return code;
}

static const Option version_options[] = {
    { "json", 'j', NULL, "An object instead of text" },
    { NULL },
};

const Verb verb_version = {
    .name = "version",
    .synopsis = "",
    .summary = "Show the versions, the device ID and the TPM",
    .options = version_options,
    .run = version_run,
};
