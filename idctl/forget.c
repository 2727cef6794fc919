/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl forget: removes what an identity has left that is not configured any more, after asking. */
#include "common/names.h"
#include "idctl/bus.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* As with retire, the name has to be typed. */
static ExitCode confirm(const char *name) {
    char line[256];

    if (!isatty(STDIN_FILENO)) {
        complain("forgetting %s destroys its keys. There is no terminal to ask on: say --yes if it is meant.", name);
        return EXIT_USAGE;
    }
    fprintf(stderr, "This removes the keys, certificates and state of %s for good.\nType its name to go on: ", name);
    fflush(stderr);
    if (!fgets(line, sizeof line, stdin))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, name) != 0) {
        complain("nothing was done.");
        return EXIT_FAILED;
    }
    return EXIT_OK;
}

static ExitCode forget_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
    const char *name = command->arguments[0];

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK && !command_has(command, "yes"))
        code = confirm(name);
    if (code == EXIT_OK)
        code = bus_new_call(&bus, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE, "Forget", &call);
    if (code != EXIT_OK)
        return code;
    int r = sd_bus_message_append(call, "s", name);
    return r < 0 ? bus_complain(NULL, r, "forget the identity")
                 : bus_call_long(&bus, call, NULL, "forget the identity", NULL);
}

static const Option forget_options[] = {
    { "yes", 'y', NULL, "Do not ask" },
    { NULL },
};

const Verb verb_forget = {
    .name = "forget",
    .synopsis = "NAME",
    .summary = "Remove what an identity has left",
    .options = forget_options,
    .minimum = 1,
    .maximum = 1,
    .run = forget_run,
};
