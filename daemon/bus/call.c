/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call on its way: message, caller, permission, answer. Nothing here waits; a call that takes long holds only
 * its own message. */
#include "bus/internal.h"

#include "device/log.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

Call *call_free(Call *call) {
    if (!call)
        return NULL;
    if (call->bus)
        for (Call **link = &call->bus->calls; *link; link = &(*link)->next)
            if (*link == call) {
                *link = call->next;
                break;
            }
    caller_forget(&call->wait);
    authorization_forget(&call->authorization);
    sd_bus_message_unref(call->message);
    caller_clear(&call->caller);
    free(call->identity);
    free(call);
    return NULL;
}

/* Answers what is still open. What the manager works on keeps its Call, which it ends later, without a bus. */
void calls_abandon(Bus *bus) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    sd_bus_error_set_const(&error, IDENTITYD_ERROR_PREFIX "NotReady", "identityd stops.");
    while (bus->calls) {
        Call *call = bus->calls;
        (void) sd_bus_reply_method_error(call->message, &error);
        if (!call->handed_over) {
            call_free(call);
            continue;
        }
        bus->calls = call->next;
        call->bus = NULL;
        call->message = sd_bus_message_unref(call->message);
    }
}

int bus_error_from_failure(sd_bus_error *error, const Failure *failure) {
    sd_bus_error_set(error, failure_dbus_name(failure->kind), failure->text);
    return -EINVAL;
}

void call_reply_failure(Call *call, const Failure *failure) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    sd_bus_error_set(&error, failure_dbus_name(failure->kind), failure->text);
    if (call->message)
        (void) sd_bus_reply_method_error(call->message, &error);
    call_free(call);
}

/* An empty answer in its place would say that there is nothing to know. */
static void reply_that_there_is_none(Call *call, int r) {
    Failure failure = FAILURE_INIT;

    (void) failure_set(&failure, r, FAILURE_INTERNAL,
                       "The answer to this call could not be made or sent: %s. What was asked for may be done all the "
                       "same: look before you ask again.",
                       strerror(-r));
    log_entry(LOG_WARNING, NULL, call->identity, "uid %" PRIu32 ": %s", (uint32_t) call->caller.uid, failure.text);
    call_reply_failure(call, &failure);
}

void call_reply(Call *call, int r, sd_bus_message *reply) {
    if (r >= 0 && call->message)
        r = sd_bus_send(NULL, reply, NULL);
    sd_bus_message_unref(reply);
    if (r < 0)
        reply_that_there_is_none(call, r);
    else
        call_free(call);
}

void call_reply_done(Call *call) {
    int r = call->message ? sd_bus_reply_method_return(call->message, NULL) : 0;

    if (r < 0)
        reply_that_there_is_none(call, r);
    else
        call_free(call);
}

Identity *call_identity(Call *call) {
    Failure failure = FAILURE_INIT;
    Identity *identity = identity_set_find(manager_identities(call->bus->manager), call->identity, &failure);

    if (!identity)
        call_reply_failure(call, &failure);
    return identity;
}

static unsigned calls_of_user(const Bus *bus, uid_t uid) {
    unsigned count = 0;

    for (const Call *call = bus->calls; call; call = call->next)
        count += call->caller.uid == uid;
    return count;
}

static void hand_over(Call *call) {
    call->handed_over = true;
    call->handler(call);
}

static void on_decided(bool admitted, const char *why, void *userdata) {
    Call *call = userdata;
    Failure failure = FAILURE_INIT;

    if (admitted) {
        log_entry(LOG_DEBUG, MESSAGE_ACCESS_GRANTED, call->identity,
                  "Permitted %s to uid %" PRIu32 ", pid %" PRId32 " (%s).", call->action, (uint32_t) call->caller.uid,
                  (int32_t) call->caller.pid, why);
        hand_over(call);
        return;
    }
    if (access_log_admits(lending_log(manager_lending(call->bus->manager)), false, call->caller.uid))
        log_entry(LOG_NOTICE, MESSAGE_ACCESS_DENIED, call->identity,
                  "Denied %s to uid %" PRIu32 ", pid %" PRId32 " (%s).", call->action, (uint32_t) call->caller.uid,
                  (int32_t) call->caller.pid, why);
    if (call->authorization.without_polkit)
        (void) failure_set(&failure, -EACCES, FAILURE_ACCESS_DENIED,
                           "%s is not permitted to you: %s. Run it as root, or have root add you to that group.",
                           call->action, why);
    else
        (void) failure_set(&failure, -EACCES, FAILURE_ACCESS_DENIED,
                           "%s is not permitted to you: %s. Run it as root, or have an administrator allow the action "
                           "to you: by a rule in /etc/polkit-1/rules.d, see polkit(8).",
                           call->action, why);
    call_reply_failure(call, &failure);
}

static void ask_whether_permitted(Call *call) {
    const char *why = NULL;

    call->authorization = (Authorization) {
        .connection = call->bus->bus,
        .caller = &call->caller,
        .action = call->action,
        .identity = call->identity,
        .interactive = sd_bus_message_get_allow_interactive_authorization(call->message) > 0,
        .decided = on_decided,
        .userdata = call,
    };
    AuthorizationAnswer answer = authorize(&call->authorization, &why);
    if (answer != AUTHORIZATION_ASKED)
        on_decided(answer == AUTHORIZATION_ADMITTED, why, call);
}

/* The caller is known, or, with a negative errno, cannot be. May end the call. */
static void on_found(int r, void *userdata) {
    Call *call = userdata;
    Failure failure = FAILURE_INIT;

    if (r < 0) {
        (void) failure_set(&failure, r, FAILURE_ACCESS_DENIED, "The bus could not say who calls (%s).", strerror(-r));
        call_reply_failure(call, &failure);
    } else if (calls_of_user(call->bus, call->caller.uid) > CALLS_PER_USER_MAX && call->caller.uid != geteuid()) {
        (void) failure_set(&failure, -EDQUOT, FAILURE_LIMITS_EXCEEDED,
                           "uid %u has %u calls open already: wait for their answers.", (unsigned) call->caller.uid,
                           CALLS_PER_USER_MAX);
        call_reply_failure(call, &failure);
    } else if (call->action)
        ask_whether_permitted(call);
    else
        hand_over(call);
}

/* Whether the caller's unit matters: rules name units. */
static bool wants_unit(const Call *call) {
    if (call->unit_purpose == _PURPOSE_INVALID)
        return false;
    const Identity *identity = identity_set_find(manager_identities(call->bus->manager), call->identity, NULL);
    return identity && handles_admit_units(identity, call->unit_purpose);
}

/* As caller_find. */
static int find_caller(Call *call) {
    const char *sender = sd_bus_message_get_sender(call->message);

    if (!sender)
        return -EBADMSG;
    call->wait = (CallerWait) {
        .wants_unit = wants_unit(call),
        .ret = &call->caller,
        .found = on_found,
        .userdata = call,
    };
    return caller_find(call->bus->callers, sender, &call->wait);
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
        .arguments = start->arguments,
        .caller = CALLER_INIT,
    };
    if (start->identity) {
        call->identity = strdup(start->identity);
        if (!call->identity)
            return -ENOMEM;
    }
    call->next = bus->calls;
    bus->calls = call;
    int r = find_caller(call);
    if (r == -EDQUOT)
        return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "LimitsExceeded",
                                 "%s has %u calls open already: wait for their answers.",
                                 sd_bus_message_get_sender(message), CALLER_WAITS_MAX);
    if (r < 0)
        return r;
    Call *begun = TAKE_PTR(call);
    if (r == CALLER_KNOWN)
        on_found(0, begun);
    return 1;
}
