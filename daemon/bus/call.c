/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call on its way: message, caller, permission, answer. Nothing here waits; a call that takes long holds only
 * its own message. */
#include "bus/internal.h"

#include "manager/log.h"

#include <string.h>

Call *call_free(Call *call) {
    if (!call)
        return NULL;
    sd_bus_slot_unref(call->slot);
    sd_bus_message_unref(call->message);
    caller_clear(&call->caller);
    free(call->identity);
    free(call);
    return NULL;
}

int bus_error_from_failure(sd_bus_error *error, const Failure *failure) {
    sd_bus_error_set(error, failure_dbus_name(failure->kind), failure->text);
    return -EINVAL;
}

void call_reply_failure(Call *call, const Failure *failure) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    sd_bus_error_set(&error, failure_dbus_name(failure->kind), failure->text);
    (void) sd_bus_reply_method_error(call->message, &error);
    call_free(call);
}

void call_reply(Call *call, sd_bus_message *reply) {
    int r = reply ? sd_bus_send(NULL, reply, NULL) : sd_bus_reply_method_return(call->message, NULL);

    if (r < 0)
        log_entry(LOG_WARNING, NULL, NULL, "An answer could not be sent on the bus: %s.", strerror(-r));
    sd_bus_message_unref(reply);
    call_free(call);
}

Identity *call_identity(Call *call) {
    Failure failure = FAILURE_INIT;
    Identity *identity = manager_find_identity(call->bus->manager, call->identity, &failure);

    if (!identity)
        call_reply_failure(call, &failure);
    return identity;
}

static void on_caller(Call *call, int r) {
    Failure failure = FAILURE_INIT;

    if (r < 0) {
        (void) failure_set(&failure, r, FAILURE_ACCESS_DENIED, "The bus could not say who calls (%s).", strerror(-r));
        call_reply_failure(call, &failure);
    } else if (call->action)
        authorize(call);
    else
        call->handler(call);
}

int call_begin(Bus *bus, sd_bus_message *message, const CallStart *start, sd_bus_error *error) {
    _cleanup_(call_free_p) Call *call = calloc(1, sizeof *call);

    if (!call)
        return -ENOMEM;
    *call = (Call) {
        .bus = bus,
        .message = sd_bus_message_ref(message),
        .action = start->action,
        .unit_purpose = start->unit_purpose,
        .handler = start->handler,
        .caller = CALLER_INIT,
    };
    if (start->identity) {
        call->identity = strdup(start->identity);
        if (!call->identity)
            return -ENOMEM;
    }
    int r = caller_find(call, on_caller);
    if (r < 0)
        return r;
    (void) TAKE_PTR(call);
    return 1;
}

int read_boolean_option(sd_bus_message *message, const char *name, int *ret, sd_bus_error *error) {
    int value = -1;
    int r = sd_bus_message_enter_container(message, 'a', "{sv}");

    while (r >= 0 && (r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
        const char *key;
        r = sd_bus_message_read(message, "s", &key);
        if (r < 0)
            break;
        if (!name || strcmp(key, name) != 0 || value >= 0)
            return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "InvalidArgument",
                                     "Unknown or repeated option \"%.64s\"; known: %s.", key, name ? name : "none");
        const char *contents;
        if (sd_bus_message_peek_type(message, NULL, &contents) < 0 || strcmp(contents, "b") != 0)
            return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "InvalidArgument", "The option \"%s\" is a boolean.",
                                     name);
        r = sd_bus_message_read(message, "v", "b", &value);
        if (r >= 0)
            r = sd_bus_message_exit_container(message);
    }
    if (r >= 0)
        r = sd_bus_message_exit_container(message);
    if (r >= 0)
        *ret = value;
    return r;
}
