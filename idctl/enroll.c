/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl enroll: a certificate from the CA, or a way out of revoked, retired and a replaced TPM. */
#include "idctl/operation.h"
#include "idctl/verbs.h"

static ExitCode enroll_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    Operation operation = {
        .member = "Enroll",
        .what = "enroll",
        .option = "new-key",
        .has_option = command_has(command, "new-key"),
        .option_value = true,
    };

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = operation_call(&bus, &operation, command->arguments[0], NULL);
    return code == EXIT_OK ? operation_report(&bus, command, command->arguments[0]) : code;
}

static const Option enroll_options[] = {
    { "new-key", 0, NULL, "Make a new key even where the present one could be kept" },
    { "json", 'j', NULL, "The identity afterwards, as an object" },
    { NULL },
};

const Verb verb_enroll = {
    .name = "enroll",
    .synopsis = "IDENTITY",
    .summary = "Get a certificate from the CA",
    .options = enroll_options,
    .minimum = 1,
    .maximum = 1,
    .run = enroll_run,
};
