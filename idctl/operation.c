/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See operation.h. */
#include "idctl/operation.h"

#include "common/names.h"
#include "idctl/output.h"

#include <stdio.h>
#include <string.h>

ExitCode operation_call(Bus *bus, const Operation *operation, const char *identity, sd_bus_message **ret_reply) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;
    _cleanup_free_ char *path = NULL;

    ExitCode code = bus_identity_path(bus, identity, &path);
    if (code == EXIT_OK)
        code = bus_new_call(bus, path, IDENTITYD_IDENTITY_INTERFACE, operation->member, &call);
    if (code != EXIT_OK)
        return code;
    if (operation->option) {
        int r = bus_append_option(call, operation->option, operation->has_option, operation->option_value);
        if (r < 0)
            return bus_complain(NULL, r, operation->what);
    }
    return bus_call_long(bus, call, identity, operation->what, ret_reply);
}

ExitCode operation_report(Bus *bus, const Command *command, const char *identity) {
    _cleanup_properties_ IdentityProperties properties = { 0 };
    _cleanup_free_ char *time = NULL;

    ExitCode code = identity_properties_get(bus, identity, &properties, NULL);
    if (code != EXIT_OK)
        return code;
    if (command_has(command, "json"))
        return json_print(identity_properties_to_json(&properties), false) < 0 ? EXIT_FAILED : EXIT_OK;
    if (command_has(command, "quiet"))
        return EXIT_OK;
    if (strcmp(properties.activity, "waiting") == 0) {
        time = time_to_text(properties.next_attempt, time_now());
        printf("%s: pending: the CA has not decided yet. identityd asks again at %s; nothing needs to be done here.\n",
               identity, time ? time : "");
    } else if (properties.not_after > 0) {
        time = time_to_text(properties.not_after, time_now());
        printf("%s: %s%s%s, generation %u, serial %s, valid until %s\n", identity,
               colour_of(stdout, colour_of_state(properties.state)), properties.state, colour_of(stdout, COLOUR_NONE),
               properties.generation, properties.serial_number, time ? time : "");
    } else
        printf("%s: %s\n", identity, properties.state);
    return EXIT_OK;
}
