/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connection, calls and what their errors mean to a person: see bus.h. */
#include "idctl/bus.h"

#include "common/failure.h"
#include "common/names.h"
#include "idctl/output.h"

#include <stdio.h>
#include <string.h>

ExitCode bus_open(const Command *command, bool privileged, Bus *ret) {
    _cleanup_bus_ Bus bus = { .quiet = command_has(command, "quiet") };

    int r = sd_bus_open_system_with_description(&bus.bus, "idctl");
    if (r < 0) {
        complain("cannot reach the system bus: %s. Is it running, and is DBUS_SYSTEM_BUS_ADDRESS right, if it is set?",
                 strerror(-r));
        return EXIT_FAILED;
    }
    if (privileged && !command_has(command, "no-ask-password")) {
        (void) sd_bus_set_allow_interactive_authorization(bus.bus, true);
        (void) agent_start(&bus.agent);
    }
    *ret = bus;
    bus = (Bus) { 0 };
    return EXIT_OK;
}

void bus_close(Bus *bus) {
    agent_stop(&bus->agent);
    bus->bus = sd_bus_flush_close_unref(bus->bus);
}

static bool name_is_one_of(const char *name, const char *const *list) {
    for (size_t i = 0; list[i]; i++)
        if (strcmp(name, list[i]) == 0)
            return true;
    return false;
}

static const char *const denied_names[] = { IDENTITYD_ERROR_PREFIX "AccessDenied", SD_BUS_ERROR_ACCESS_DENIED,
                                            SD_BUS_ERROR_AUTH_FAILED, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED,
                                            NULL };
static const char *const not_found_names[] = { IDENTITYD_ERROR_PREFIX "NoSuchIdentity", SD_BUS_ERROR_UNKNOWN_OBJECT,
                                               NULL };
static const char *const absent_names[] = { SD_BUS_ERROR_SERVICE_UNKNOWN, SD_BUS_ERROR_NAME_HAS_NO_OWNER, NULL };

ExitCode bus_error_exit_code(const char *error_name) {
    if (name_is_one_of(error_name, denied_names))
        return EXIT_DENIED;
    if (name_is_one_of(error_name, not_found_names))
        return EXIT_NOT_FOUND;
    return EXIT_FAILED;
}

ExitCode bus_complain(const sd_bus_error *error, int r, const char *what) {
    if (!error || !error->name) {
        complain("cannot %s: %s.", what, strerror(-r));
        return r == -EACCES || r == -EPERM ? EXIT_DENIED : EXIT_FAILED;
    }
    /* Some texts end in a full stop and some do not: the sentences here put their own. */
    const char *message = error->message && error->message[0] ? error->message : error->name;
    size_t length = strlen(message);
    _cleanup_free_ char *text = strndup(message, length > 0 && message[length - 1] == '.' ? length - 1 : length);
    if (!text)
        return bus_complain(NULL, -ENOMEM, what);
    if (name_is_one_of(error->name, absent_names))
        complain("cannot %s: identityd is not running and the bus cannot start it. Start it with \"systemctl start "
                 "identityd.service\"; if it does not stay up, \"journalctl -u identityd.service\" says why.",
                 what);
    else if (strcmp(error->name, SD_BUS_ERROR_INTERACTIVE_AUTHORIZATION_REQUIRED) == 0)
        complain("cannot %s: %s. Run it as root, or on a terminal where a password can be asked for.", what, text);
    else if (strcmp(error->name, SD_BUS_ERROR_ACCESS_DENIED) == 0)
        complain("cannot %s: the bus or polkit refuses it: %s. Run it as root, or as an administrator.", what, text);
    else if (strcmp(error->name, SD_BUS_ERROR_NO_REPLY) == 0 || strcmp(error->name, SD_BUS_ERROR_TIMEOUT) == 0)
        complain("cannot %s: identityd did not answer: %s. \"journalctl -u identityd.service\" may say why.", what,
                 text);
    else
        complain("cannot %s: %s.", what, text);
    return bus_error_exit_code(error->name);
}

ExitCode bus_identity_path(Bus *bus, const char *identity, char **ret) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    const char *path;

    if (!identity_name_is_valid(identity)) {
        complain(
            "\"%s\" cannot be the name of an identity: it must begin with a-z or 0-9, go on with those, '.', '_' and "
            "'-', and have at most %u characters.",
            identity, IDENTITY_NAME_MAX);
        return EXIT_USAGE;
    }
    int r = sd_bus_call_method(bus->bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                               "GetIdentity", &error, &reply, "s", identity);
    if (r < 0)
        return bus_complain(&error, r, "find the identity");
    r = sd_bus_message_read(reply, "o", &path);
    if (r < 0)
        return bus_complain(NULL, r, "understand identityd's answer");
    char *copy = strdup(path);
    if (!copy)
        return bus_complain(NULL, -ENOMEM, "find the identity");
    *ret = copy;
    return EXIT_OK;
}

ExitCode bus_new_call(Bus *bus, const char *path, const char *interface, const char *member, sd_bus_message **ret) {
    int r = sd_bus_message_new_method_call(bus->bus, ret, IDENTITYD_BUS_NAME, path, interface, member);

    return r < 0 ? bus_complain(NULL, r, "make a message") : EXIT_OK;
}

ExitCode bus_call_manager(Bus *bus, const char *member, const char *what, sd_bus_message **ret_reply) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *call = NULL;

    ExitCode code = bus_new_call(bus, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE, member, &call);
    if (code != EXIT_OK)
        return code;
    bool interactive = sd_bus_get_allow_interactive_authorization(bus->bus) > 0;
    int r =
        sd_bus_call(bus->bus, call, interactive ? (uint64_t) BUS_LONG_CALL_SECONDS * 1000000U : 0, &error, ret_reply);
    return r < 0 ? bus_complain(&error, r, what) : EXIT_OK;
}

ExitCode bus_manager_property(Bus *bus, const char *property, char **ret) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    int r = sd_bus_get_property_string(bus->bus, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH,
                                       IDENTITYD_MANAGER_INTERFACE, property, &error, ret);
    return r < 0 ? bus_complain(&error, r, "ask identityd") : EXIT_OK;
}

int bus_append_option(sd_bus_message *message, const char *name, bool present, bool value) {
    if (!present)
        return sd_bus_message_append(message, "a{sv}", 0);
    return sd_bus_message_append(message, "a{sv}", 1, name, "b", (int) value);
}
