/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A method call on its way: caller, permission, answer. Nothing here waits. What a call that takes long holds is
 * little, whoever it is of: no message, no descriptor, and of the arguments nothing that is long until its caller is
 * known to be permitted. */
#include "bus/internal.h"

#include "bus/envelope.h"
#include "device/device.h"
#include "device/log.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

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
    arguments_clear(&call->arguments);
    caller_clear(&call->caller);
    free(call->identity);
    free(call);
    return NULL;
}

/* Answers what is still open. What the manager works on keeps its Call, which it ends later, without a bus. */
void calls_abandon(Bus *bus) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;

    sd_bus_error_set_const(&error, IDENTITYD_ERROR_PREFIX "NotReady", "identityd stops.");
    if (bus->gate)
        gate_abandon(bus->gate, &error);
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

/* ---- permission ---- */

static PermitOf permit_of(const Call *call) {
    return (PermitOf) { sd_bus_message_get_sender(call->message), call->action, call->identity };
}

/* Permitted, but what was to be done with is gone. */
static void ask_to_send_again(Call *call) {
    Failure failure = FAILURE_INIT;

    if (call->action)
        permits_note(&call->bus->permits, permit_of(call), boottime_usec());
    (void) failure_set(&failure, -EAGAIN, FAILURE_SEND_AGAIN,
                       "You may do this, but your %zu bytes were not kept: more than %u are not before that is known. "
                       "Send them again within %u s, on this connection: nobody is asked then.",
                       call->dropped, CALL_KEPT_MAX, PERMIT_SECONDS);
    call_reply_failure(call, &failure);
}

static void hand_over(Call *call) {
    Failure failure = FAILURE_INIT;

    if (call->dropped > 0) {
        ask_to_send_again(call);
        return;
    }
    if (arguments_keep(&call->arguments) < 0) {
        (void) failure_errno(&failure, -ENOMEM, "Reading the call");
        call_reply_failure(call, &failure);
        return;
    }
    call->handed_over = true;
    call->handler(call);
}

/* It is not decided in this turn, and the message goes with that: keeps what may be kept of the arguments. */
static int keep_little(Call *call) {
    size_t size = arguments_size(&call->arguments);

    if (size <= CALL_KEPT_MAX)
        return arguments_keep(&call->arguments);
    arguments_clear(&call->arguments);
    call->dropped = size;
    return 0;
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
    if (access_log_admits(lending_log(manager_lending(call->bus->manager)), false, call->caller.party))
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
    AuthorizationAnswer answer = AUTHORIZATION_ADMITTED;
    if (permits_take(&call->bus->permits, permit_of(call), boottime_usec()))
        why = "permitted a moment ago";
    else
        answer = authorize(&call->authorization, &why);
    if (answer != AUTHORIZATION_ASKED) {
        on_decided(answer == AUTHORIZATION_ADMITTED, why, call);
        return;
    }
    int r = keep_little(call);
    if (r < 0)
        on_decided(false, "identityd is out of memory", call);
}

/* Whether they have as many calls open as may be: with this one, and not counting what is being worked on for those who
 * were admitted. */
static unsigned calls_allowed(const Call *asking) {
    unsigned all = 0, own = 0;

    for (const Call *call = asking->bus->calls; call; call = call->next) {
        all += !caller_is_administrator(&call->caller);
        own += call->caller.party == asking->caller.party;
    }
    unsigned allowed = all > CALLS_MAX ? 0 : all > CALLS_MAX / 2U ? CALLS_PER_USER_FEW : CALLS_PER_USER_MAX;
    return own > allowed ? allowed : UINT_MAX;
}

static bool has_too_many_open(Call *call, Failure *ret_failure) {
    if (caller_is_administrator(&call->caller))
        return false;
    unsigned allowed = calls_allowed(call);
    if (allowed == UINT_MAX)
        return false;
    if (access_log_admits_limit(lending_log(manager_lending(call->bus->manager)), call->caller.party))
        log_entry(LOG_NOTICE, MESSAGE_LIMIT, call->identity,
                  "A call of uid %" PRIu32 " is refused: %u of that user's wait for an answer.",
                  (uint32_t) call->caller.uid, allowed);
    (void) failure_set(ret_failure, -EDQUOT, FAILURE_LIMITS_EXCEEDED,
                       "uid %" PRIu32 " has %u calls open already, with those of its subordinate users: wait for their "
                       "answers.",
                       (uint32_t) call->caller.uid, allowed);
    return true;
}

/* The caller is known, or, with a negative errno, cannot be. May end the call. */
static void on_found(int r, void *userdata) {
    Call *call = userdata;
    Failure failure = FAILURE_INIT;

    if (r < 0) {
        caller_lookup_failure(r, &failure);
        call_reply_failure(call, &failure);
    } else if (has_too_many_open(call, &failure))
        call_reply_failure(call, &failure);
    else if (call->action)
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
    call->wait = (CallerWait) {
        .wants_unit = wants_unit(call),
        .ret = &call->caller,
        .found = on_found,
        .userdata = call,
    };
    return caller_find(call->bus->callers, sd_bus_message_get_sender(call->message), &call->wait);
}

static int call_new(Bus *bus, sd_bus_message *message, const CallStart *start, Call **ret) {
    _cleanup_(call_free_p) Call *call = calloc(1, sizeof *call);

    if (!call)
        return -ENOMEM;
    *call = (Call) {
        .action = start->action,
        .unit_purpose = start->unit_purpose,
        .handler = start->handler,
        .arguments = start->arguments,
        .caller = CALLER_INIT,
    };
    int r = envelope_new(message, &call->message);
    if (r < 0)
        return r;
    if (start->identity) {
        call->identity = strdup(start->identity);
        if (!call->identity)
            return -ENOMEM;
    }
    call->bus = bus;
    call->next = bus->calls;
    bus->calls = call;
    *ret = TAKE_PTR(call);
    return 0;
}

int call_begin(Bus *bus, sd_bus_message *message, const CallStart *start, sd_bus_error *error) {
    _cleanup_(call_free_p) Call *call = NULL;
    int r = call_new(bus, message, start, &call);

    if (r < 0)
        return r;
    r = find_caller(call);
    if (r == -EDQUOT)
        return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "LimitsExceeded",
                                 "%s has %u calls open already: wait for their answers.",
                                 sd_bus_message_get_sender(message), CALLER_WAITS_MAX);
    if (r < 0)
        return r;
    if (r == CALLER_ASKED) {
        r = keep_little(call);
        if (r < 0)
            return r;
    }
    Call *begun = TAKE_PTR(call);
    if (r == CALLER_KNOWN)
        on_found(0, begun);
    return 1;
}
