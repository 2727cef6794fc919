/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OpenCredential over D-Bus. A bus connection of its own for each call: the library needs no main loop of the
 * program's, shares nothing between threads, and has nothing open that a fork could split. */
#include "client-lib/open.h"

#include "client-lib/bus-functions.h"
#include "client-lib/connection.h"
#include "client-lib/error.h"
#include "common/names.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-bus.h>

/* A call of the Manager, and what it needs of libsystemd. */
typedef struct ManagerCall {
    const BusFunctions *sd;
    sd_bus *bus;
    sd_bus_message *call, *reply;
    sd_bus_error error;
} ManagerCall;

static void manager_call_clear(ManagerCall *call) {
    if (!call->sd)
        return;
    call->sd->sd_bus_error_free(&call->error);
    call->sd->sd_bus_message_unref(call->reply);
    call->sd->sd_bus_message_unref(call->call);
    call->sd->sd_bus_flush_close_unref(call->bus);
}

static const struct {
    const char *name;
    int r;
    const char *advice;
} bus_errors[] = {
    { SD_BUS_ERROR_SERVICE_UNKNOWN, -EHOSTDOWN, "identityd is not running (systemctl status identityd)" },
    { SD_BUS_ERROR_NAME_HAS_NO_OWNER, -EHOSTDOWN, "identityd is not running (systemctl status identityd)" },
    { SD_BUS_ERROR_DISCONNECTED, -EHOSTDOWN, "the system bus closed the connection" },
    { SD_BUS_ERROR_NO_REPLY, -ETIMEDOUT, "identityd gave no answer" },
    { SD_BUS_ERROR_TIMEOUT, -ETIMEDOUT, "identityd gave no answer in time" },
    { SD_BUS_ERROR_ACCESS_DENIED, -EACCES, "the system bus or identityd does not admit this process" },
    { SD_BUS_ERROR_LIMITS_EXCEEDED, -EDQUOT, "a limit of the system bus was reached" },
    { SD_BUS_ERROR_UNKNOWN_METHOD, -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
    { SD_BUS_ERROR_UNKNOWN_OBJECT, -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
    { SD_BUS_ERROR_UNKNOWN_INTERFACE, -EHOSTDOWN, "what owns org.identityd1 is not identityd" },
};

/* identityd's own errors bring a text for a person; those of the bus are explained here. */
static int translate_bus_error(const sd_bus_error *error, int r, const char *what) {
    const char *name = error->name ? error->name : "";
    const char *message = error->message ? error->message : "";

    if (strncmp(name, IDENTITYD_ERROR_PREFIX, strlen(IDENTITYD_ERROR_PREFIX)) == 0) {
        int known = client_errno_of_kind(failure_from_dbus_name(name));
        return client_error(known, "%s", message[0] ? message : name);
    }
    for (size_t i = 0; i < ARRAY_LENGTH(bus_errors); i++)
        if (strcmp(name, bus_errors[i].name) == 0)
            return client_error(bus_errors[i].r, "%s: %s: %s", what, bus_errors[i].advice, message);
    if (r == -ETIMEDOUT)
        return client_error(-ETIMEDOUT, "%s: identityd gave no answer in time", what);
    if (!name[0] && (r == -ECONNRESET || r == -ENOTCONN || r == -EPIPE))
        return client_error(-EHOSTDOWN, "%s: the system bus closed the connection", what);
    return client_error(name[0] ? -EIO : r, "%s: %s (%s)", what, message[0] ? message : strerror(-r),
                        name[0] ? name : "no answer");
}

static int read_handle(const ManagerCall *call) {
    _cleanup_close_ int fd = -1;
    int borrowed;

    int r = call->sd->sd_bus_message_read(call->reply, "h", &borrowed);
    if (r < 0)
        return client_error(-EBADMSG, "identityd's answer to OpenCredential has signature '%s' instead of 'h'",
                            call->sd->sd_bus_message_get_signature(call->reply, true));
    fd = fcntl(borrowed, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return client_errno(-errno, "duplicating the credential handle");
    r = connection_check_socket(fd);
    if (r < 0)
        return client_error_prefix(-EBADMSG, "identityd's answer to OpenCredential");
    return TAKE_FD(fd);
}

typedef struct ManagerRequest {
    const char *what; /* for the text of a failure */
    const char *interface, *method;
    const char *types, *first, *second; /* of what is handed over: two strings, and an empty array or nothing */
    uint64_t deadline;
} ManagerRequest;

/* sd-bus takes 0 for its own default. */
static uint64_t time_left(uint64_t deadline) {
    uint64_t now = connection_now();

    return now < deadline ? deadline - now : 1;
}

/* Connects, calls a method of the Manager and keeps its answer. */
static int call_manager(ManagerCall *call, const ManagerRequest *request) {
    int r = bus_functions(&call->sd);
    if (r < 0)
        return client_error_prefix(r, "%s", request->what);
    r = call->sd->sd_bus_open_system(&call->bus);
    if (r < 0)
        return client_error(-EHOSTDOWN, "%s: cannot connect to the system bus: %s", request->what, strerror(-r));
    r = call->sd->sd_bus_message_new_method_call(call->bus, &call->call, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH,
                                                 request->interface, request->method);
    if (r >= 0 && request->types)
        r = call->sd->sd_bus_message_append(call->call, request->types, request->first, request->second, 0);
    if (r < 0)
        return client_errno(r, request->what);
    r = call->sd->sd_bus_call(call->bus, call->call, time_left(request->deadline), &call->error, &call->reply);
    return r < 0 ? translate_bus_error(&call->error, r, request->what) : 0;
}

int open_credential(const char *identity, const char *purpose, uint64_t deadline) {
    _cleanup_(manager_call_clear) ManagerCall call = { .sd = NULL };
    char what[64 + IDENTITY_NAME_MAX];
    const ManagerRequest request = {
        what, IDENTITYD_MANAGER_INTERFACE, "OpenCredential", "ssa{sv}", identity, purpose, deadline
    };

    (void) snprintf(what, sizeof(what), "opening a credential of %s", identity);
    int r = call_manager(&call, &request);
    return r < 0 ? r : read_handle(&call);
}

int open_device_id(char ret[static OPEN_DEVICE_ID_MAX + 1]) {
    _cleanup_(manager_call_clear) ManagerCall call = { .sd = NULL };
    const ManagerRequest request = {
        .what = "asking for the device ID",
        .interface = "org.freedesktop.DBus.Properties",
        .method = "Get",
        .types = "ss",
        .first = IDENTITYD_MANAGER_INTERFACE,
        .second = "DeviceId",
        .deadline = connection_now() + OPEN_LIST_SECONDS * UINT64_C(1000000),
    };
    const char *id = NULL;

    int r = call_manager(&call, &request);
    if (r < 0)
        return r;
    if (call.sd->sd_bus_message_enter_container(call.reply, 'v', "s") <= 0 ||
        call.sd->sd_bus_message_read(call.reply, "s", &id) <= 0 || strlen(id) > OPEN_DEVICE_ID_MAX)
        return client_error(-EBADMSG, "identityd's answer about the device ID is no text, or too long");
    strcpy(ret, id);
    return 0;
}

void open_names_free(OpenNames *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->names[i]);
    names->count = 0;
}

static int read_names(const ManagerCall *call, OpenNames *ret) {
    const char *name;
    int r = call->sd->sd_bus_message_enter_container(call->reply, 'a', "(sosstt)");

    while (r > 0 && ret->count < OPEN_NAMES_MAX) {
        r = call->sd->sd_bus_message_read(call->reply, "(sosstt)", &name, NULL, NULL, NULL, NULL, NULL);
        if (r <= 0 || !identity_name_is_valid(name))
            continue;
        ret->names[ret->count] = strdup(name);
        if (!ret->names[ret->count])
            return client_errno(-ENOMEM, "listing identities");
        ret->count++;
    }
    return r < 0 ? client_error(-EBADMSG,
                                "identityd's answer to ListIdentities has signature '%s' instead of 'a(sosstt)'",
                                call->sd->sd_bus_message_get_signature(call->reply, true))
                 : 0;
}

int open_list_identities(OpenNames *ret) {
    _cleanup_(manager_call_clear) ManagerCall call = { .sd = NULL };
    _cleanup_(open_names_free) OpenNames names = { .count = 0 };

    const ManagerRequest request = {
        .what = "listing identities",
        .interface = IDENTITYD_MANAGER_INTERFACE,
        .method = "ListIdentities",
        .deadline = connection_now() + OPEN_LIST_SECONDS * UINT64_C(1000000),
    };

    int r = call_manager(&call, &request);
    if (r >= 0)
        r = read_names(&call, &names);
    if (r < 0)
        return r;
    *ret = names;
    names.count = 0;
    return 0;
}
