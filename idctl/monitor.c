/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl monitor: follows the changes of one identity or of all, until it is interrupted or identityd goes. */
#include "common/names.h"
#include "idctl/identity.h"
#include "idctl/output.h"
#include "idctl/verbs.h"

#include <stdio.h>
#include <string.h>

typedef struct Monitor {
    const char *identity; /* NULL: all */
    bool json;
    int result;
} Monitor;

static void print_line(const Monitor *monitor, const char *identity, const char *event, json_t *changes) {
    _cleanup_json_ json_t *owned = changes;
    _cleanup_free_ char *time = NULL;
    const char *key;
    json_t *value;

    if (monitor->json) {
        (void) json_print(json_pack("{s:o, s:s, s:s, s:O}", "time", time_to_json(time_now()), "identity", identity,
                                    "event", event, "properties", owned ? owned : json_null()),
                          true);
        return;
    }
    time = time_to_text(time_now(), 0);
    printf("%s  %s%s%s  %s", time ? time : "", colour_of(stdout, COLOUR_STRONG), identity,
           colour_of(stdout, COLOUR_NONE), event);
    json_object_foreach(owned, key, value) {
        _cleanup_free_ char *text = NULL;
        if (json_is_string(value)) {
            text = printable_copy(json_string_value(value));
            /* Certificates and keys are for --json; here it is enough that they changed. */
            bool long_value = text && strncmp(text, "-----BEGIN", 10) == 0;
            printf("  %s=%s", key, long_value ? "(changed)" : text ? text : "");
        } else if (json_is_integer(value))
            printf("  %s=%lld", key, (long long) json_integer_value(value));
        else if (json_is_boolean(value))
            printf("  %s=%s", key, json_is_true(value) ? "yes" : "no");
        else
            printf("  %s=%s", key, json_is_null(value) ? "-" : "(changed)");
    }
    putchar('\n');
    fflush(stdout);
}

/* Only what the message held: a property that was not told is not "null". */
static json_t *changes_to_json(sd_bus_message *message, IdentityProperties *properties) {
    _cleanup_json_ json_t *all = NULL;
    json_t *told = json_object();
    const char *name;

    if (identity_properties_read(message, properties) < 0 || sd_bus_message_rewind(message, true) < 0 ||
        sd_bus_message_skip(message, "s") < 0 || !(all = identity_properties_to_json(properties)))
        return told;
    if (sd_bus_message_enter_container(message, 'a', "{sv}") < 0)
        return told;
    while (sd_bus_message_enter_container(message, 'e', "sv") > 0) {
        if (sd_bus_message_read(message, "s", &name) < 0 || sd_bus_message_skip(message, "v") < 0 ||
            sd_bus_message_exit_container(message) < 0)
            break;
        const char *key = identity_property_json_name(name);
        if (key)
            json_object_set(told, key, json_object_get(all, key));
    }
    return told;
}

static bool is_wanted(const Monitor *monitor, const char *path, char **ret_identity) {
    if (sd_bus_path_decode(path, IDENTITYD_IDENTITY_PREFIX, ret_identity) <= 0)
        return false;
    return !monitor->identity || strcmp(monitor->identity, *ret_identity) == 0;
}

static int on_changed(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Monitor *monitor = userdata;
    _cleanup_free_ char *identity = NULL;
    _cleanup_properties_ IdentityProperties properties = { 0 };
    const char *interface;

    if (!is_wanted(monitor, sd_bus_message_get_path(message), &identity) ||
        sd_bus_message_read(message, "s", &interface) < 0 || strcmp(interface, IDENTITYD_IDENTITY_INTERFACE) != 0)
        return 0;
    print_line(monitor, identity, "changed", changes_to_json(message, &properties));
    return 0;
}

static int on_objects(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Monitor *monitor = userdata;
    _cleanup_free_ char *identity = NULL;
    const char *path;

    if (sd_bus_message_read(message, "o", &path) < 0 || !is_wanted(monitor, path, &identity))
        return 0;
    print_line(monitor, identity,
               strcmp(sd_bus_message_get_member(message), "InterfacesAdded") == 0 ? "added" : "removed", NULL);
    return 0;
}

static int on_owner(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Monitor *monitor = userdata;
    const char *name, *old_owner, *new_owner;

    if (sd_bus_message_read(message, "sss", &name, &old_owner, &new_owner) < 0)
        return 0;
    if (new_owner[0] == '\0') {
        complain("identityd has left the bus.");
        monitor->result = -EPIPE;
    }
    return 0;
}

static int print_listed(sd_bus_message *reply, const Monitor *monitor) {
    const char *name, *state, *activity;

    int r = sd_bus_message_enter_container(reply, 'a', "(sosstt)");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_read(reply, "(sosstt)", &name, NULL, &state, &activity, NULL, NULL)) > 0)
        if (!monitor->identity || strcmp(monitor->identity, name) == 0)
            print_line(monitor, name, "is", json_pack("{s:s, s:s}", "state", state, "activity", activity));
    return r;
}

static ExitCode list(Bus *bus, const Monitor *monitor) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;

    ExitCode code = bus_call_manager(bus, "ListIdentities", "list the identities", &reply);
    if (code != EXIT_OK)
        return code;
    int r = print_listed(reply, monitor);
    return r < 0 ? bus_complain(NULL, r, "understand identityd's answer") : EXIT_OK;
}

static int subscribe(sd_bus *bus, Monitor *monitor) {
    int r = sd_bus_add_match(bus, NULL,
                             "type='signal',sender='" IDENTITYD_BUS_NAME "',path_namespace='" IDENTITYD_IDENTITY_PREFIX
                             "',interface='org.freedesktop.DBus.Properties',member='PropertiesChanged'",
                             on_changed, monitor);
    if (r >= 0)
        r = sd_bus_match_signal(bus, NULL, IDENTITYD_BUS_NAME, NULL, "org.freedesktop.DBus.ObjectManager",
                                "InterfacesAdded", on_objects, monitor);
    if (r >= 0)
        r = sd_bus_match_signal(bus, NULL, IDENTITYD_BUS_NAME, NULL, "org.freedesktop.DBus.ObjectManager",
                                "InterfacesRemoved", on_objects, monitor);
    if (r >= 0)
        r = sd_bus_add_match(bus, NULL,
                             "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',"
                             "member='NameOwnerChanged',arg0='" IDENTITYD_BUS_NAME "'",
                             on_owner, monitor);
    return r;
}

static ExitCode monitor_run(const Command *command) {
    _cleanup_bus_ Bus bus = { 0 };
    _cleanup_free_ char *path = NULL;
    Monitor monitor = { .identity = command->arguments[0], .json = command_has(command, "json") };

    ExitCode code = bus_open(command, false, &bus);
    if (code == EXIT_OK && monitor.identity)
        code = bus_identity_path(&bus, monitor.identity, &path);
    if (code != EXIT_OK)
        return code;
    int r = subscribe(bus.bus, &monitor);
    if (r < 0)
        return bus_complain(NULL, r, "subscribe to changes");
    code = list(&bus, &monitor);
    if (code != EXIT_OK)
        return code;
    while (monitor.result == 0 && !ferror(stdout)) {
        r = sd_bus_process(bus.bus, NULL);
        if (r == 0)
            r = sd_bus_wait(bus.bus, UINT64_MAX);
        if (r < 0 && r != -EINTR)
            return bus_complain(NULL, r, "follow changes");
    }
    return EXIT_FAILED;
}

static const Option monitor_options[] = {
    { "json", 'j', NULL, "One object a line" },
    { NULL },
};

const Verb verb_monitor = {
    .name = "monitor",
    .synopsis = "[IDENTITY]",
    .summary = "Follow changes until interrupted",
    .options = monitor_options,
    .maximum = 1,
    .run = monitor_run,
};
