/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl reset-clock: what a CA said of the time is forgotten, for one whose word was wrong. */
#include "idctl/operation.h"
#include "idctl/verbs.h"

static ExitCode reset_clock_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    const Operation operation = { .member = "ResetClock", .what = "reset the clock" };

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = operation_call(&bus, &operation, command->arguments[0], NULL);
    return code == EXIT_OK ? operation_report(&bus, command, command->arguments[0]) : code;
}

static const Option reset_clock_options[] = {
    { "json", 'j', NULL, "The identity afterwards, as an object" },
    { NULL },
};

const Verb verb_reset_clock = {
    .name = "reset-clock",
    .synopsis = "IDENTITY",
    .summary = "Forget what its CA said of the time",
    .options = reset_clock_options,
    .minimum = 1,
    .maximum = 1,
    .run = reset_clock_run,
};
