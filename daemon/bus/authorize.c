/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks polkit, and knows for whom it need not. Whatever is no clear yes is a no. */
#include "bus/authorize.h"

#include <grp.h>
#include <string.h>

#define ADMIN_GROUP         "identityd-admin"
#define POLKIT_TIMEOUT_USEC (5U * 60U * 1000000U) /* somebody may be typing a password */
#define POLKIT_INTERACTIVE  1U

static bool caller_is_in_admin_group(const Caller *caller) {
    char buffer[16384];
    struct group entry, *found = NULL;

    if (getgrnam_r(ADMIN_GROUP, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return false;
    for (size_t i = 0; i < caller->group_count; i++)
        if (caller->groups[i] == found->gr_gid)
            return !access_names_system.stands_for_many(true, found->gr_gid);
    return false;
}

static bool polkit_is_absent(const sd_bus_error *error) {
    return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
           sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
           sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit") ||
           sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Spawn.ServiceNotFound") ||
           sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Spawn.ExecFailed");
}

/* polkit's answer, or the bus's in its place. */
static bool read_answer(Authorization *authorization, sd_bus_message *m, const char **ret_why) {
    const sd_bus_error *error = sd_bus_message_get_error(m);
    int authorized = false, challenge = false;

    if (error && polkit_is_absent(error)) {
        bool admin = caller_is_in_admin_group(authorization->caller);
        authorization->without_polkit = true;
        *ret_why = admin ? "group " ADMIN_GROUP
                         : "without polkit on this system only root and the group " ADMIN_GROUP " administer";
        return admin;
    }
    if (error) {
        *ret_why = error->message ? error->message : "polkit failed";
        return false;
    }
    if (sd_bus_message_enter_container(m, 'r', "bba{ss}") < 0 ||
        sd_bus_message_read(m, "bb", &authorized, &challenge) < 0) {
        *ret_why = "polkit's answer could not be read";
        return false;
    }
    if (authorized)
        *ret_why = "polkit";
    else
        *ret_why =
            challenge ? "authentication is needed: run it on a terminal or with a polkit agent" : "polkit says no";
    return authorized;
}

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Authorization *authorization = userdata;
    const char *why;
    bool admitted = read_answer(authorization, m, &why);

    authorization_forget(authorization);
    authorization->decided(admitted, why, authorization->userdata);
    return 1;
}

static int ask_polkit(Authorization *authorization) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_call(authorization->connection, &m, "org.freedesktop.PolicyKit1",
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");

    if (r >= 0)
        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", authorization->caller->bus_name,
                                  authorization->action);
    if (r >= 0)
        r = authorization->identity ? sd_bus_message_append(m, "a{ss}", 1, "identity", authorization->identity)
                                    : sd_bus_message_append(m, "a{ss}", 0);
    if (r >= 0)
        r = sd_bus_message_append(m, "us", authorization->interactive ? POLKIT_INTERACTIVE : 0U, "");
    return r < 0 ? r
                 : sd_bus_call_async(authorization->connection, &authorization->slot, m, on_polkit, authorization,
                                     POLKIT_TIMEOUT_USEC);
}

AuthorizationAnswer authorize(Authorization *authorization, const char **ret_why) {
    if (caller_is_administrator(authorization->caller)) {
        *ret_why = authorization->caller->uid == 0 ? "root" : "identityd's own user";
        return AUTHORIZATION_ADMITTED;
    }
    if (ask_polkit(authorization) >= 0)
        return AUTHORIZATION_ASKED;
    *ret_why = "polkit could not be asked";
    return AUTHORIZATION_DENIED;
}

void authorization_forget(Authorization *authorization) {
    authorization->slot = sd_bus_slot_unref(authorization->slot);
}
