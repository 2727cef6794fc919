/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may administer: root and identityd's own user always; else polkit decides; on a system without polkit, the group
 * identityd-admin. */
#include "bus/internal.h"

#include "device/log.h"

#include <grp.h>
#include <inttypes.h>
#include <string.h>

#define ADMIN_GROUP         "identityd-admin"
#define POLKIT_TIMEOUT_USEC (5U * 60U * 1000000U) /* somebody may be typing a password */
#define POLKIT_INTERACTIVE  1U

static void deny(Call *call, const char *why) {
    Failure failure = FAILURE_INIT;

    if (!call->bus || access_log_admits(lending_log(manager_lending(call->bus->manager)), false, call->caller.uid))
        log_entry(LOG_NOTICE, MESSAGE_ACCESS_DENIED, call->identity,
                  "Denied %s to uid %" PRIu32 ", pid %" PRId32 " (%s).", call->action, (uint32_t) call->caller.uid,
                  (int32_t) call->caller.pid, why);
    (void) failure_set(&failure, -EACCES, FAILURE_ACCESS_DENIED, "%s is not permitted to you: %s.", call->action, why);
    call_reply_failure(call, &failure);
}

static void admit(Call *call, const char *why) {
    log_entry(LOG_DEBUG, MESSAGE_ACCESS_GRANTED, call->identity,
              "Permitted %s to uid %" PRIu32 ", pid %" PRId32 " (%s).", call->action, (uint32_t) call->caller.uid,
              (int32_t) call->caller.pid, why);
    call_hand_over(call);
}

static bool caller_is_in_admin_group(const Caller *caller) {
    char buffer[16384];
    struct group entry, *found = NULL;

    if (getgrnam_r(ADMIN_GROUP, &entry, buffer, sizeof buffer, &found) != 0 || !found)
        return false;
    for (size_t i = 0; i < caller->group_count; i++)
        if (caller->groups[i] == found->gr_gid)
            return true;
    return false;
}

static bool polkit_is_absent(const sd_bus_error *error) {
    return sd_bus_error_has_name(error, SD_BUS_ERROR_SERVICE_UNKNOWN) ||
           sd_bus_error_has_name(error, SD_BUS_ERROR_NAME_HAS_NO_OWNER) ||
           sd_bus_error_has_name(error, "org.freedesktop.systemd1.NoSuchUnit") ||
           sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Spawn.ServiceNotFound") ||
           sd_bus_error_has_name(error, "org.freedesktop.DBus.Error.Spawn.ExecFailed");
}

static int on_polkit(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Call *call = userdata;
    const sd_bus_error *error = sd_bus_message_get_error(m);
    int authorized = false, challenge = false;

    call->slot = sd_bus_slot_unref(call->slot);
    if (error && polkit_is_absent(error)) {
        if (caller_is_in_admin_group(&call->caller))
            admit(call, "group " ADMIN_GROUP);
        else
            deny(call, "without polkit on this system only root and the group " ADMIN_GROUP " administer");
    } else if (error)
        deny(call, error->message ? error->message : "polkit failed");
    else if (sd_bus_message_enter_container(m, 'r', "bba{ss}") < 0 ||
             sd_bus_message_read(m, "bb", &authorized, &challenge) < 0)
        deny(call, "polkit's answer could not be read");
    else if (authorized)
        admit(call, "polkit");
    else
        deny(call,
             challenge ? "authentication is needed: run it on a terminal or with a polkit agent" : "polkit says no");
    return 1;
}

static int ask_polkit(Call *call) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *m = NULL;
    uint32_t flags = sd_bus_message_get_allow_interactive_authorization(call->message) > 0 ? POLKIT_INTERACTIVE : 0;
    int r = sd_bus_message_new_method_call(call->bus->bus, &m, "org.freedesktop.PolicyKit1",
                                           "/org/freedesktop/PolicyKit1/Authority",
                                           "org.freedesktop.PolicyKit1.Authority", "CheckAuthorization");

    if (r >= 0)
        r = sd_bus_message_append(m, "(sa{sv})s", "system-bus-name", 1, "name", "s", call->caller.bus_name,
                                  call->action);
    if (r >= 0)
        r = call->identity ? sd_bus_message_append(m, "a{ss}", 1, "identity", call->identity)
                           : sd_bus_message_append(m, "a{ss}", 0);
    if (r >= 0)
        r = sd_bus_message_append(m, "us", flags, "");
    return r < 0 ? r : sd_bus_call_async(call->bus->bus, &call->slot, m, on_polkit, call, POLKIT_TIMEOUT_USEC);
}

void authorize(Call *call) {
    if (call->caller.uid == 0)
        admit(call, "root");
    else if (call->caller.uid == geteuid())
        admit(call, "identityd's own user");
    else if (ask_polkit(call) < 0)
        deny(call, "polkit could not be asked");
}
