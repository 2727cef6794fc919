/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl reload: identityd reads its configuration again; what fell out of use by that, or came back, is told. */
#include "idctl/bus.h"
#include "idctl/identity.h"
#include "idctl/listing.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct Reload {
    Bus *bus;
    ExitCode code;
} Reload;

static void tell(const char *name, const char *state, ReloadFate fate, void *userdata) {
    _cleanup_properties_ IdentityProperties properties = { 0 };
    _cleanup_free_ char *fault = NULL;
    Reload *reload = userdata;

    switch (fate) {
    case RELOAD_FELL_OUT:
        if (identity_properties_get(reload->bus, name, &properties, NULL) == EXIT_OK)
            fault = printable_copy(properties.last_error);
        printf("%s: out of use, misconfigured: %s\n", name, fault && fault[0] ? fault : "see \"idctl check\"");
        reload->code = EXIT_FAILED;
        break;
    case RELOAD_GONE:
        printf("%s: gone, for no file configures it any more. Its keys are kept: \"idctl forget %s\" removes them.\n",
               name, name);
        reload->code = EXIT_FAILED;
        break;
    case RELOAD_BACK:
        printf("%s: back, %s\n", name, state);
        break;
    case RELOAD_NEW:
        printf("%s: new, %s\n", name, state);
        break;
    case RELOAD_UNCHANGED:
        break;
    }
}

static ExitCode list(Bus *bus, Listing *ret) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    int r = listing_get(bus->bus, ret, &error);

    return r < 0 ? bus_complain(&error, r, "list the identities") : EXIT_OK;
}

static ExitCode reload_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_listing_ Listing before = { 0 }, after = { 0 };
    Reload reload = { &bus, EXIT_OK };

    ExitCode code = bus_open(command, true, &bus);
    if (code == EXIT_OK)
        code = list(&bus, &before);
    if (code == EXIT_OK)
        code = bus_call_manager(&bus, "Reload", "reload the configuration", NULL);
    if (code == EXIT_OK)
        code = list(&bus, &after);
    if (code != EXIT_OK)
        return code;
    reload_compare(&before, &after, tell, &reload);
    return reload.code;
}

const Verb verb_reload = {
    .name = "reload",
    .synopsis = "",
    .summary = "Make identityd read its configuration again, and tell what changed",
    .run = reload_run,
};
