/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to the bus, the objects on it, and the signals that tell of changes: at most one PropertiesChanged per
 * object and turn of the loop. */
#include "bus/internal.h"

#include "device/log.h"

#include <string.h>

/* What RequestName answers, of the D-Bus specification. */
#define NAME_IS_OURS  1U
#define NAME_WAS_OURS 4U

/* ---- changes ---- */

static int identity_path(const char *name, char **ret) {
    return sd_bus_path_encode(IDENTITYD_IDENTITY_PREFIX, name, ret);
}

static int on_flush(sd_event_source *source, void *userdata) {
    Bus *bus = userdata;

    if (bus->manager_changed)
        (void) sd_bus_emit_properties_changed(bus->bus, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE, "DeviceId",
                                              "TpmState", "TpmProblem", "TpmVendor", "TpmFirmware", NULL);
    bus->manager_changed = false;
    for (size_t i = 0; i < bus->changed_count; i++) {
        _cleanup_free_ char *name = bus->changed[i], *path = NULL;
        if (identity_set_find(manager_identities(bus->manager), name, NULL) && identity_path(name, &path) >= 0)
            (void) sd_bus_emit_properties_changed_strv(bus->bus, path, IDENTITYD_IDENTITY_INTERFACE, NULL);
    }
    bus->changed_count = 0;
    return 0;
}

static void mark_changed(Bus *bus, const char *name) {
    for (size_t i = 0; i < bus->changed_count; i++)
        if (strcmp(bus->changed[i], name) == 0)
            return;
    char **list = reallocarray(bus->changed, bus->changed_count + 1U, sizeof *list);
    if (!list)
        return;
    bus->changed = list;
    bus->changed[bus->changed_count] = strdup(name);
    if (bus->changed[bus->changed_count])
        bus->changed_count++;
}

static void on_changed(ManagerChange change, Identity *identity, void *userdata) {
    Bus *bus = userdata;
    _cleanup_free_ char *path = NULL;

    switch (change) {
    case CHANGE_MANAGER_PROPERTIES:
        bus->manager_changed = true;
        break;
    case CHANGE_IDENTITY_PROPERTIES:
        mark_changed(bus, identity_name(identity));
        break;
    case CHANGE_IDENTITY_ADDED:
    case CHANGE_IDENTITY_REMOVED:
        if (identity_path(identity_name(identity), &path) < 0)
            return;
        (void) (change == CHANGE_IDENTITY_ADDED ? sd_bus_emit_object_added(bus->bus, path)
                                                : sd_bus_emit_object_removed(bus->bus, path));
        return;
    }
    (void) sd_event_source_set_enabled(bus->flush, SD_EVENT_ONESHOT);
}

/* ---- objects ---- */

int identity_find(sd_bus *connection, const char *path, const char *interface, void *userdata, void **ret_found,
                  sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_free_ char *name = NULL;
    int r = sd_bus_path_decode(path, IDENTITYD_IDENTITY_PREFIX, &name);

    if (r <= 0)
        return r; /* out of memory it is not that there is no such object */
    const Identity *identity = identity_set_find(manager_identities(bus->manager), name, NULL);
    if (!identity)
        return 0;
    shown_begin(&bus->shown, identity);
    *ret_found = &bus->shown;
    return 1;
}

int identity_enumerate(sd_bus *connection, const char *prefix, void *userdata, char ***ret_nodes, sd_bus_error *error) {
    Bus *bus = userdata;
    size_t count = identity_set_count(manager_identities(bus->manager));
    char **nodes = calloc(count + 1U, sizeof *nodes);
    int r = nodes ? 0 : -ENOMEM;

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = identity_path(identity_name(identity_set_at(manager_identities(bus->manager), i)), &nodes[i]);
    if (r < 0) {
        for (size_t i = 0; nodes && nodes[i]; i++)
            free(nodes[i]);
        free(nodes);
        return r;
    }
    *ret_nodes = nodes;
    return 1;
}

static int add_objects(Bus *bus) {
    int r = sd_bus_add_object_manager(bus->bus, NULL, IDENTITYD_MANAGER_PATH);

    if (r >= 0)
        r = sd_bus_add_object_vtable(bus->bus, NULL, IDENTITYD_MANAGER_PATH, IDENTITYD_MANAGER_INTERFACE,
                                     manager_vtable, bus);
    if (r >= 0)
        r = sd_bus_add_fallback_vtable(bus->bus, NULL, IDENTITYD_IDENTITY_PREFIX, IDENTITYD_IDENTITY_INTERFACE,
                                       identity_vtable, identity_find, bus);
    return r < 0 ? r : sd_bus_add_node_enumerator(bus->bus, NULL, IDENTITYD_IDENTITY_PREFIX, identity_enumerate, bus);
}

/* ---- the connection and the name ---- */

static int on_disconnected(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    log_entry(LOG_ERR, NULL, NULL,
              "The system bus has ended the connection, and so nobody can reach identityd: it ends.");
    return 0;
}

static int say_why_not(int r) {
    if (r == -EEXIST)
        log_entry(LOG_ERR, NULL, NULL, "The name %s is taken on the bus: another identityd runs.", IDENTITYD_BUS_NAME);
    else if (r == -EOPNOTSUPP)
        log_entry(LOG_ERR, NULL, NULL,
                  "The system bus cannot be used as %s: the connection passes no descriptors, and so no credential "
                  "handles. identityd ends; the next start may have more luck.",
                  IDENTITYD_BUS_NAME);
    else
        log_entry(LOG_ERR, NULL, NULL, "The system bus cannot be used as %s: %s.", IDENTITYD_BUS_NAME, strerror(-r));
    return r;
}

/* Handles are descriptors. sd-bus goes on without them where it could not find out whether its socket passes any. */
static int check_descriptors_pass(const Bus *bus) {
    int r = sd_bus_can_send(bus->bus, SD_BUS_TYPE_UNIX_FD);

    return r < 0 ? r : r == 0 ? -EOPNOTSUPP : 0;
}

/* Before the TPM and the state are worked with: two of us would get into each other's way. */
static int check_name_is_free(Bus *bus) {
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int taken = false;
    int r = sd_bus_call_method(bus->bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
                               "NameHasOwner", NULL, &reply, "s", IDENTITYD_BUS_NAME);

    if (r >= 0)
        r = sd_bus_message_read(reply, "b", &taken);
    return r < 0 ? r : taken ? -EEXIST : 0;
}

static int on_name(sd_bus_message *m, void *userdata, sd_bus_error *ret_error) {
    Bus *bus = userdata;
    uint32_t answer = 0;
    int r =
        sd_bus_message_is_method_error(m, NULL) ? -sd_bus_message_get_errno(m) : sd_bus_message_read(m, "u", &answer);

    bus->has_name = r >= 0 && (answer == NAME_IS_OURS || answer == NAME_WAS_OURS);
    if (!bus->has_name)
        (void) sd_event_exit(bus->loop, say_why_not(r < 0 ? r : -EEXIST));
    return 1;
}

int bus_request_name(Bus *bus) {
    int r = sd_bus_request_name_async(bus->bus, NULL, IDENTITYD_BUS_NAME, 0, on_name, bus);

    return r < 0 ? say_why_not(r) : 0;
}

bool bus_has_name(const Bus *bus) {
    return bus->has_name;
}

static int bus_connect(Bus *bus) {
    int r = sd_bus_open_system_with_description(&bus->bus, "identityd");

    if (r < 0)
        return r;
    (void) sd_bus_set_exit_on_disconnect(bus->bus, true);
    r = callers_new(bus->bus, &bus->callers);
    if (r >= 0)
        r = gate_new(&(GateContext) { bus->bus, bus->loop, bus->callers, lending_log(manager_lending(bus->manager)),
                                      &bus->held },
                     &bus->gate);
    if (r >= 0)
        r = add_objects(bus);
    if (r >= 0)
        r = sd_bus_match_signal(bus->bus, NULL, "org.freedesktop.DBus.Local", "/org/freedesktop/DBus/Local",
                                "org.freedesktop.DBus.Local", "Disconnected", on_disconnected, bus);
    if (r >= 0)
        r = check_name_is_free(bus);
    if (r >= 0)
        r = check_descriptors_pass(bus);
    return r < 0 ? r : sd_bus_attach_event(bus->bus, bus->loop, SD_EVENT_PRIORITY_NORMAL);
}

/* Before sd-bus closes the connection, which it does when the loop ends. */
static int on_leave(sd_event_source *source, void *userdata) {
    calls_abandon(userdata);
    return 0;
}

int bus_new(sd_event *loop, Manager *manager, Bus **ret) {
    _cleanup_(bus_free_p) Bus *bus = calloc(1, sizeof *bus);

    if (!bus)
        return -ENOMEM;
    bus->manager = manager;
    bus->shown.bus = bus;
    bus->loop = sd_event_ref(loop);
    int r = sd_event_add_defer(loop, &bus->flush, on_flush, bus);
    if (r >= 0)
        r = sd_event_source_set_enabled(bus->flush, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_exit(loop, &bus->leave, on_leave, bus);
    if (r >= 0)
        r = sd_event_source_set_priority(bus->leave, SD_EVENT_PRIORITY_IMPORTANT);
    if (r >= 0)
        r = bus_connect(bus);
    if (r < 0)
        return say_why_not(r);
    const ManagerCallbacks callbacks = { on_changed, bus };
    manager_set_callbacks(manager, &callbacks);
    *ret = TAKE_PTR(bus);
    return 0;
}

Bus *bus_free(Bus *bus) {
    static const ManagerCallbacks none = { 0 };

    if (!bus)
        return NULL;
    manager_set_callbacks(bus->manager, &none);
    calls_abandon(bus);
    gate_free(bus->gate);
    callers_free(bus->callers);
    shown_clear(&bus->shown);
    sd_event_source_disable_unref(bus->flush);
    sd_event_source_disable_unref(bus->leave);
    for (size_t i = 0; i < bus->changed_count; i++)
        free(bus->changed[i]);
    free(bus->changed);
    sd_bus_flush_close_unref(bus->bus);
    sd_event_unref(bus->loop);
    free(bus);
    return NULL;
}
