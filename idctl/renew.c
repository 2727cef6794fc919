/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl renew: another certificate before the present one expires. */
#include "idctl/operation.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

static ExitCode renew_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    bool rotate = command_has(command, "rotate-key"), keep = command_has(command, "keep-key");
    Operation operation = {
        .member = "Renew",
        .what = "renew",
        .option = "rotate-key",
        .has_option = rotate || keep,
        .option_value = rotate,
    };

    if (rotate && keep) {
        complain("--rotate-key and --keep-key exclude each other.");
        return EXIT_USAGE;
    }
    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = operation_call(&bus, &operation, command->arguments[0], NULL);
    return code == EXIT_OK ? operation_report(&bus, command, command->arguments[0]) : code;
}

static const Option renew_options[] = {
    { "rotate-key", 0, NULL, "With a new key, whatever RotateKey= says" },
    { "keep-key", 0, NULL, "With the present key, whatever RotateKey= says" },
    { "json", 'j', NULL, "The identity afterwards, as an object" },
    { NULL },
};

const Verb verb_renew = {
    .name = "renew",
    .synopsis = "IDENTITY",
    .summary = "Renew the certificate now",
    .options = renew_options,
    .minimum = 1,
    .maximum = 1,
    .run = renew_run,
};
