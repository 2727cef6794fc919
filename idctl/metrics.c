/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl metrics: OpenMetrics text, for a collector that reads files or commands. */
#include "idctl/bus.h"
#include "idctl/verbs.h"

#include <stdio.h>

static ExitCode metrics_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *text;

    ExitCode code = bus_open(command, false, &bus);
    if (code == EXIT_OK)
        code = bus_call_manager(&bus, "Metrics", "read the metrics", &reply);
    if (code != EXIT_OK)
        return code;
    int r = sd_bus_message_read(reply, "s", &text);
    if (r < 0)
        return bus_complain(NULL, r, "understand identityd's answer");
    fputs(text, stdout);
    return EXIT_OK;
}

const Verb verb_metrics = {
    .name = "metrics",
    .synopsis = "",
    .summary = "Print metrics (OpenMetrics)",
    .run = metrics_run,
};
