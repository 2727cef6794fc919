/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl retire: destroys a key for good, after asking. */
#include "idctl/operation.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>

/* The name has to be typed: a y is typed too easily for something that cannot be undone. */
static ExitCode confirm(const char *identity) {
    char line[256];

    if (!isatty(STDIN_FILENO)) {
        complain("retiring %s destroys its key. There is no terminal to ask on: say --yes if it is meant.", identity);
        return EXIT_USAGE;
    }
    fprintf(
        stderr,
        "This destroys the key of %s for good; programs that use it stop working.\nType its name to go on: ", identity);
    fflush(stderr);
    if (!fgets(line, sizeof line, stdin))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, identity) != 0) {
        complain("nothing was done.");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static ExitCode retire_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_free_ char *path = NULL;
    Operation operation = { .member = "Retire", .what = "retire" };

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = bus_identity_path(&bus, command->arguments[0], &path);
    if (code == EXIT_OK && !command_has(command, "yes"))
        code = confirm(command->arguments[0]);
    if (code == EXIT_OK)
        code = operation_call(&bus, &operation, command->arguments[0], NULL);
    return code == EXIT_OK ? operation_report(&bus, command, command->arguments[0]) : code;
}

static const Option retire_options[] = {
    { "yes", 'y', NULL, "Do not ask" },
    { "json", 'j', NULL, "The identity afterwards, as an object" },
    { NULL },
};

const Verb verb_retire = {
    .name = "retire",
    .synopsis = "IDENTITY",
    .summary = "Destroy the key of an identity",
    .options = retire_options,
    .minimum = 1,
    .maximum = 1,
    .run = retire_run,
};
