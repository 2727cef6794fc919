/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A filter before the objects. A call of somebody who is known passes, if it is their turn; else it is held, and put
 * back into sd-bus's own queue when it is known who sent it. What a call takes of the loop's time is counted from here
 * to the end of the turn, against whoever sent it. */
#include "bus/gate.h"

#include "bus/allowances.h"
#include "bus/envelope.h"
#include "common/failure.h"
#include "common/names.h"
#include "device/log.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#define LIMITS_EXCEEDED IDENTITYD_ERROR_PREFIX "LimitsExceeded"

typedef struct Held Held;
struct Held {
    Gate *gate;
    sd_bus_message *message; /* a copy */
    size_t size;
    Caller caller;
    CallerWait wait;
    bool is_known; /* it is in sd-bus's queue */
    Held *next;
};

struct Gate {
    GateContext context;
    sd_bus_slot *filter;
    Allowances *allowances;
    Held *held;
    sd_event_source *turn_ends;
    bool is_counting; /* somebody's call has the loop … */
    uid_t counted;    /* … whose */
    uint64_t since;
};

static uint64_t now_usec(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

static void held_free(Held *held) {
    for (Held **link = &held->gate->held; *link; link = &(*link)->next)
        if (*link == held) {
            *link = held->next;
            --*held->gate->context.held;
            break;
        }
    caller_forget(&held->wait);
    caller_clear(&held->caller);
    sd_bus_message_unref(held->message);
    free(held);
}

/* ---- allowances ---- */

static void stop_counting(Gate *gate) {
    uint64_t now = now_usec();

    if (gate->is_counting)
        allowances_charge(gate->allowances, gate->counted, now - gate->since, now);
    gate->is_counting = false;
}

static int on_turn_ends(sd_event_source *source, void *userdata) {
    stop_counting(userdata);
    return 0;
}

/* Whether it is their turn; if not, they were told. */
static bool admit(Gate *gate, const Caller *caller, sd_bus_message *message) {
    uint64_t now = now_usec();

    if (caller_is_administrator(caller))
        return true;
    if (allowances_admit(gate->allowances, caller->party, now)) {
        gate->is_counting = true;
        gate->counted = caller->party;
        gate->since = now;
        return true;
    }
    if (access_log_admits_limit(gate->context.log, caller->party))
        log_entry(LOG_NOTICE, MESSAGE_LIMIT, NULL,
                  "Calls of uid %" PRIu32 " take more than their share of time and are refused.",
                  (uint32_t) caller->uid);
    (void) sd_bus_reply_method_errorf(message, LIMITS_EXCEEDED,
                                      "uid %" PRIu32
                                      " has used up its share of identityd's time on the bus: call again in a moment, "
                                      "and less often. For many signatures there is OpenCredential.",
                                      (uint32_t) caller->uid);
    return false;
}

/* ---- senders who are not known yet ---- */

static void on_found(int r, void *userdata) {
    Held *held = userdata;
    Failure failure = FAILURE_INIT;

    if (r >= 0 && !admit(held->gate, &held->caller, held->message)) {
        held_free(held);
        return;
    }
    held->gate->is_counting = false; /* its turn is yet to come */
    if (r >= 0)
        r = sd_bus_enqueue_for_read(held->gate->context.connection, held->message);
    if (r >= 0) {
        held->is_known = true;
        return;
    }
    caller_lookup_failure(r, &failure);
    (void) sd_bus_reply_method_errorf(held->message, failure_dbus_name(failure.kind), "%s", failure.text);
    held_free(held);
}

/* The most that a call brings: the two methods that take much are named. */
static size_t body_maximum(sd_bus_message *message) {
    if (sd_bus_message_is_method_call(message, IDENTITYD_IDENTITY_INTERFACE, "InstallCertificate"))
        return (size_t) MANUAL_CHAIN_MAX * (MANUAL_CERTIFICATE_MAX + sizeof(uint32_t)) + GATE_BODY_MAX;
    if (sd_bus_message_is_method_call(message, IDENTITYD_IDENTITY_INTERFACE, "Sign"))
        return SIGN_MESSAGE_MAX + GATE_BODY_MAX;
    return GATE_BODY_MAX;
}

static bool has_room(const Gate *gate, const char *sender, size_t *ret_bytes) {
    size_t count = *gate->context.held, bytes = 0;
    unsigned of_sender = 0;

    for (const Held *held = gate->held; held; held = held->next) {
        of_sender += strcmp(sd_bus_message_get_sender(held->message), sender) == 0;
        bytes += held->size;
    }
    *ret_bytes = GATE_HELD_BYTES_MAX - bytes;
    return count < GATE_HELD_MAX && of_sender < (count < GATE_HELD_MAX / 2U ? GATE_OF_SENDER_MAX : GATE_OF_SENDER_FEW);
}

/* What an error of envelope_with_body means. */
static int refuse_body(int r, size_t room, sd_bus_message *message, sd_bus_error *error) {
    size_t maximum = body_maximum(message);

    if (r == -E2BIG && room < maximum)
        return sd_bus_error_setf(error, LIMITS_EXCEEDED,
                                 "More is on its way to identityd from connections that it does not know yet than "
                                 "it keeps: send it again.");
    if (r == -E2BIG)
        return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "InvalidArgument",
                                 "%s takes no arguments of more than %zu bytes.", sd_bus_message_get_member(message),
                                 maximum);
    if (r == -EPERM)
        return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "InvalidArgument",
                                 "No method of identityd takes descriptors.");
    return r;
}

static int hold(Gate *gate, sd_bus_message *message, sd_bus_error *error) {
    const char *sender = sd_bus_message_get_sender(message);
    size_t room = 0;

    if (!has_room(gate, sender, &room))
        return sd_bus_error_setf(error, LIMITS_EXCEEDED,
                                 "%s has too many calls on its way before the bus has said who it is: wait for their "
                                 "answers.",
                                 sender);
    Held *held = calloc(1, sizeof *held);
    if (!held)
        return -ENOMEM;
    size_t maximum = body_maximum(message);
    *held = (Held) { .gate = gate, .size = room < maximum ? room : maximum, .caller = CALLER_INIT };
    held->wait = (CallerWait) { .ret = &held->caller, .found = on_found, .userdata = held };
    held->next = gate->held;
    gate->held = held;
    ++*gate->context.held;
    int r = envelope_with_body(message, &held->size, &held->message);
    if (r < 0) {
        held->size = 0;
        held_free(held);
        return refuse_body(r, room, message, error);
    }
    r = caller_find(gate->context.callers, sender, &held->wait);
    if (r < 0)
        held_free(held);
    else if (r == CALLER_KNOWN)
        on_found(0, held);
    return r < 0 ? r : 1;
}

/* ---- the filter ---- */

static Held *held_of(const Gate *gate, const sd_bus_message *message) {
    Held *held = gate->held;

    while (held && held->message != message)
        held = held->next;
    return held;
}

/* What was held comes back: whoever sent it was admitted then. */
static int pass(Gate *gate, Held *held) {
    if (!caller_is_administrator(&held->caller)) {
        gate->is_counting = true;
        gate->counted = held->caller.party;
        gate->since = now_usec();
    }
    held_free(held);
    return 0;
}

static int on_message(sd_bus_message *message, void *userdata, sd_bus_error *error) {
    Gate *gate = userdata;
    const char *sender = sd_bus_message_get_sender(message);
    uint8_t type = 0;

    stop_counting(gate);
    (void) sd_bus_message_get_type(message, &type);
    if (type != SD_BUS_MESSAGE_METHOD_CALL || !sender)
        return 0;
    Held *held = held_of(gate, message);
    if (held)
        return pass(gate, held);
    const Caller *known = caller_known(gate->context.callers, sender);
    if (known)
        return admit(gate, known, message) ? 0 : 1;
    return hold(gate, message, error);
}

int gate_new(const GateContext *context, Gate **ret) {
    _cleanup_(gate_free_p) Gate *gate = calloc(1, sizeof *gate);

    if (!gate)
        return -ENOMEM;
    gate->context = *context;
    int r = allowances_new(&gate->allowances);
    if (r >= 0)
        r = sd_event_add_post(context->loop, &gate->turn_ends, on_turn_ends, gate);
    if (r >= 0)
        r = sd_event_source_set_priority(gate->turn_ends, SD_EVENT_PRIORITY_IMPORTANT);
    if (r >= 0)
        r = sd_bus_add_filter(context->connection, &gate->filter, on_message, gate);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(gate);
    return 0;
}

Gate *gate_free(Gate *gate) {
    if (!gate)
        return NULL;
    while (gate->held)
        held_free(gate->held);
    sd_bus_slot_unref(gate->filter);
    sd_event_source_disable_unref(gate->turn_ends);
    allowances_free(gate->allowances);
    free(gate);
    return NULL;
}

void gate_abandon(Gate *gate, const sd_bus_error *error) {
    while (gate->held) {
        (void) sd_bus_reply_method_error(gate->held->message, error);
        held_free(gate->held);
    }
}
