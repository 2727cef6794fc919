/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.identityd1.Identity. Authorization stands beside the method that it guards: the polkit action in its CallStart,
 * [Access] for what is lent. */
#include "bus/internal.h"

#include "device/log.h"
#include "enrolment/asked.h"
#include "enrolment/manual.h"

#include <inttypes.h>

/* ---- the end of operations ---- */

static void on_operation_done(const Failure *failure, BytesView result, void *userdata) {
    Call *call = userdata;

    if (failure->kind != FAILURE_NONE)
        call_reply_failure(call, failure);
    else
        call_reply_done(call);
}

static void on_bytes_done(const Failure *failure, BytesView result, void *userdata) {
    Call *call = userdata;
    sd_bus_message *reply = NULL;
    int r = 0;

    if (failure->kind != FAILURE_NONE) {
        call_reply_failure(call, failure);
        return;
    }
    if (call->message)
        r = sd_bus_message_new_method_return(call->message, &reply);
    if (reply)
        r = sd_bus_message_append_array(reply, 'y', result.data, result.size);
    call_reply(call, r, reply);
}

/* `start` has its action, handler and arguments. */
static int begin(const Shown *shown, sd_bus_message *m, CallStart *start, sd_bus_error *error) {
    start->unit_purpose = _PURPOSE_INVALID;
    start->identity = identity_name(shown->identity);
    return call_begin(shown->bus, m, start, error);
}

/* ---- methods ---- */

static void handle_enroll(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_enroll(identity, call->arguments.option > 0, on_operation_done, call);
}

static int method_enroll(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.enroll", .handler = handle_enroll };
    int r = arguments_read_option(m, "new-key", &start.arguments, error);

    return r < 0 ? r : begin(userdata, m, &start, error);
}

static void handle_renew(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_renew(identity, call->arguments.option, on_operation_done, call);
}

static int method_renew(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.renew", .handler = handle_renew };
    int r = arguments_read_option(m, "rotate-key", &start.arguments, error);

    return r < 0 ? r : begin(userdata, m, &start, error);
}

static void handle_create_request(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        manual_create_request(identity, call->arguments.option > 0, on_bytes_done, call);
}

static int method_create_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.request", .handler = handle_create_request };
    int r = arguments_read_option(m, "new-key", &start.arguments, error);

    return r < 0 ? r : begin(userdata, m, &start, error);
}

static void handle_install(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        manual_install(identity, call->arguments.chain, call->arguments.chain_count, on_operation_done, call);
}

static int method_install(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.install", .handler = handle_install };
    int r = arguments_read_chain(m, &start.arguments, error);

    return r < 0 ? r : begin(userdata, m, &start, error);
}

static void handle_retire(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_retire(identity, on_operation_done, call);
}

static int method_retire(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.retire", .handler = handle_retire };

    return begin(userdata, m, &start, error);
}

static void handle_reset_clock(Call *call) {
    const Identity *identity = call_identity(call);
    Failure failure = FAILURE_INIT;

    if (!identity)
        return;
    log_entry(LOG_NOTICE, MESSAGE_CLOCK, call->identity,
              "What was learned of the time is forgotten, as uid %" PRIu32 " wishes.", (uint32_t) call->caller.uid);
    if (manager_reset_clock(call->bus->manager, identity, &failure) < 0)
        call_reply_failure(call, &failure);
    else
        call_reply_done(call);
}

static int method_reset_clock(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.reset-clock", .handler = handle_reset_clock };

    return begin(userdata, m, &start, error);
}

static void handle_sign(Call *call) {
    Identity *identity = call_identity(call);

    if (!identity)
        return;
    const SignatureRequest request = { identity, &call->caller, call->arguments.framing, call->arguments.scheme,
                                       call->arguments.message };
    signatures_sign(manager_lending(call->bus->manager), &request, on_bytes_done, call);
}

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .handler = handle_sign };
    int r = arguments_read_sign(m, &start.arguments, error);

    return r < 0 ? r : begin(userdata, m, &start, error);
}

/* ---- OpenCredential ---- */

static void handle_open_credential(Call *call) {
    Identity *identity = call_identity(call);
    _cleanup_close_ int fd = -1;
    sd_bus_message *reply = NULL;
    Failure failure = FAILURE_INIT;

    if (!identity)
        return;
    const HandleRequest request = { identity, call->unit_purpose, &call->caller };
    int r = handles_open(manager_lending(call->bus->manager), &request, &fd, &failure);
    if (r < 0) {
        call_reply_failure(call, &failure);
        return;
    }
    r = sd_bus_message_new_method_return(call->message, &reply);
    if (r >= 0)
        r = sd_bus_message_append(reply, "h", fd);
    call_reply(call, r, reply);
}

int open_credential_begin(Bus *bus, sd_bus_message *m, const char *name, sd_bus_error *error) {
    CallStart start = { .identity = name, .handler = handle_open_credential };
    Failure failure = FAILURE_INIT;
    const char *word;
    int r = sd_bus_message_read(m, "s", &word);

    if (r >= 0)
        r = arguments_read_option(m, NULL, &start.arguments, error);
    if (r < 0)
        return r;
    start.unit_purpose = purpose_from_string(word);
    if (start.unit_purpose == _PURPOSE_INVALID) {
        (void) failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "There is no purpose %.32s; known: tls-client, tls-server, data, data-raw, digest.", word);
        return bus_error_from_failure(error, &failure);
    }
    if (!identity_set_find(manager_identities(bus->manager), name, &failure))
        return bus_error_from_failure(error, &failure);
    return call_begin(bus, m, &start, error);
}

static int method_open_credential(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    const Shown *shown = userdata;

    return open_credential_begin(shown->bus, m, identity_name(shown->identity), error);
}

/* ---- the interface ---- */

#define IDENTITY_PROPERTY(name, signature)                                                                             \
    SD_BUS_PROPERTY(name, signature, identity_property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

const sd_bus_vtable identity_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Enroll", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_enroll,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Renew", SD_BUS_ARGS("a{sv}", options), SD_BUS_NO_RESULT, method_renew,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("CreateRequest", SD_BUS_ARGS("a{sv}", options), SD_BUS_RESULT("ay", request),
                            method_create_request, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("InstallCertificate", SD_BUS_ARGS("aay", chain), SD_BUS_NO_RESULT, method_install,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Sign", SD_BUS_ARGS("s", framing, "s", scheme, "ay", message),
                            SD_BUS_RESULT("ay", signature), method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenCredential", SD_BUS_ARGS("s", purpose, "a{sv}", options), SD_BUS_RESULT("h", handle),
                            method_open_credential, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Retire", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_retire, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ResetClock", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reset_clock,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    IDENTITY_PROPERTY("Name", "s"),
    IDENTITY_PROPERTY("State", "s"),
    IDENTITY_PROPERTY("Activity", "s"),
    IDENTITY_PROPERTY("LastError", "s"),
    IDENTITY_PROPERTY("ReadyByItself", "b"),
    IDENTITY_PROPERTY("Generation", "u"),
    IDENTITY_PROPERTY("Subject", "s"),
    IDENTITY_PROPERTY("SerialNumber", "s"),
    IDENTITY_PROPERTY("Issuer", "s"),
    IDENTITY_PROPERTY("NotBefore", "t"),
    IDENTITY_PROPERTY("NotAfter", "t"),
    IDENTITY_PROPERTY("NextAttempt", "t"),
    IDENTITY_PROPERTY("NextRenewal", "t"),
    /* The floor rises by itself, so that nobody is told of each second. */
    SD_BUS_PROPERTY("ClockFloor", "t", identity_property, 0, 0),
    SD_BUS_PROPERTY("ClockSource", "s", identity_property, 0, 0),
    IDENTITY_PROPERTY("KeyAlgorithm", "s"),
    IDENTITY_PROPERTY("PublicKey", "ay"),
    IDENTITY_PROPERTY("Certificates", "aay"),
    IDENTITY_PROPERTY("Anchors", "aay"),
    IDENTITY_PROPERTY("PeerCRLs", "a(ssttts)"),
    SD_BUS_VTABLE_END,
};
