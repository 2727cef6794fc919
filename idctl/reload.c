/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl reload: identityd reads its configuration again. */
#include "idctl/bus.h"
#include "idctl/verbs.h"

static ExitCode reload_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };

    ExitCode code = bus_open(command, true, &bus);
    return code == EXIT_OK ? bus_call_manager(&bus, "Reload", "reload the configuration", NULL) : code;
}

const Verb verb_reload = {
    .name = "reload",
    .synopsis = "",
    .summary = "Make identityd read its configuration again",
    .run = reload_run,
};
