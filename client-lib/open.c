/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* OpenCredential over D-Bus. A bus connection of its own for each call: the library needs no main loop of the
 * program's, shares nothing between threads, and has nothing open that a fork could split. */
#include "client-lib/open.h"

#include "client-lib/bus-functions.h"
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

int open_check_socket(int fd) {
    int type = 0, domain = 0;
    socklen_t size = sizeof(type);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_SEQPACKET ||
        getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0 || domain != AF_UNIX)
        return client_error(-ENOTSOCK, "descriptor %d is no credential handle: not a SOCK_SEQPACKET socket of AF_UNIX",
                            fd);
    return 0;
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
    r = open_check_socket(fd);
    if (r < 0)
        return client_error_prefix(-EBADMSG, "identityd's answer to OpenCredential");
    return TAKE_FD(fd);
}

/* Connects, calls a method of the Manager and keeps its answer; `what` is for the text of a failure. */
static int call_manager(ManagerCall *call, const char *what, unsigned seconds, const char *method, const char *first,
                        const char *second) {
    int r = bus_functions(&call->sd);
    if (r < 0)
        return client_error_prefix(r, "%s", what);
    r = call->sd->sd_bus_open_system(&call->bus);
    if (r < 0)
        return client_error(-EHOSTDOWN, "%s: cannot connect to the system bus: %s", what, strerror(-r));
    r = call->sd->sd_bus_message_new_method_call(call->bus, &call->call, IDENTITYD_BUS_NAME, IDENTITYD_MANAGER_PATH,
                                                 IDENTITYD_MANAGER_INTERFACE, method);
    if (r >= 0 && first)
        r = call->sd->sd_bus_message_append(call->call, "ssa{sv}", first, second, 0);
    if (r < 0)
        return client_errno(r, what);
    r = call->sd->sd_bus_call(call->bus, call->call, seconds * UINT64_C(1000000), &call->error, &call->reply);
    return r < 0 ? translate_bus_error(&call->error, r, what) : 0;
}

int open_credential(const char *identity, const char *purpose) {
    _cleanup_(manager_call_clear) ManagerCall call = { .sd = NULL };
    char what[64 + IDENTITY_NAME_MAX];

    (void) snprintf(what, sizeof(what), "opening a credential of %s", identity);
    int r = call_manager(&call, what, OPEN_SECONDS, "OpenCredential", identity, purpose);
    return r < 0 ? r : read_handle(&call);
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

    int r = call_manager(&call, "listing identities", OPEN_LIST_SECONDS, "ListIdentities", NULL, NULL);
    if (r >= 0)
        r = read_names(&call, &names);
    if (r < 0)
        return r;
    *ret = names;
    names.count = 0;
    return 0;
}
