/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.identityd1.Identity. Authorization stands beside the method that it guards: the polkit action in its CallStart,
 * [Access] for what is lent. */
#include "bus/internal.h"

#include "enrolment/asked.h"
#include "enrolment/manual.h"
#include "manager/view.h"

#include <string.h>

#define SIGN_MESSAGE_MAX (64U * 1024U)
#define BUS_CHAIN_MAX    10U /* certificates of one chain; the manager refuses more */

/* ---- the end of operations ---- */

static void on_operation_done(const Failure *failure, BytesView result, void *userdata) {
    Call *call = userdata;

    if (failure->kind != FAILURE_NONE)
        call_reply_failure(call, failure);
    else
        call_reply(call, NULL);
}

static void on_bytes_done(const Failure *failure, BytesView result, void *userdata) {
    Call *call = userdata;
    sd_bus_message *reply = NULL;

    if (failure->kind != FAILURE_NONE) {
        call_reply_failure(call, failure);
        return;
    }
    if (call->message && sd_bus_message_new_method_return(call->message, &reply) >= 0)
        (void) sd_bus_message_append_array(reply, 'y', result.data, result.size);
    call_reply(call, reply);
}

/* The name of the identity that a message is for; NULL if its path is none. The caller frees. */
static char *message_identity(sd_bus_message *m) {
    char *name = NULL;

    return sd_bus_path_decode(sd_bus_message_get_path(m), IDENTITYD_IDENTITY_PREFIX, &name) > 0 ? name : NULL;
}

static int begin(Bus *bus, sd_bus_message *m, const char *action, CallHandler handler, sd_bus_error *error) {
    _cleanup_free_ char *name = message_identity(m);
    CallStart start = { action, _PURPOSE_INVALID, name, handler };

    return name ? call_begin(bus, m, &start, error) : -ENOMEM;
}

/* Options are read twice: once to refuse bad ones before anybody is asked for a password, once when the call goes on.
 */
static int begin_with_option(Bus *bus, sd_bus_message *m, const char *option, const char *action, CallHandler handler,
                             sd_bus_error *error) {
    int value;
    int r = read_boolean_option(m, option, &value, error);

    return r < 0 ? r : begin(bus, m, action, handler, error);
}

static int option_again(Call *call, const char *option) {
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    int value = -1;

    (void) sd_bus_message_rewind(call->message, true);
    (void) read_boolean_option(call->message, option, &value, &error);
    return value;
}

/* ---- methods ---- */

static void handle_enroll(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_enroll(identity, option_again(call, "new-key") > 0, on_operation_done, call);
}

static int method_enroll(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    return begin_with_option(userdata, m, "new-key", "org.identityd1.enroll", handle_enroll, error);
}

static void handle_renew(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_renew(identity, option_again(call, "rotate-key"), on_operation_done, call);
}

static int method_renew(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    return begin_with_option(userdata, m, "rotate-key", "org.identityd1.renew", handle_renew, error);
}

static void handle_create_request(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        manual_create_request(identity, option_again(call, "new-key") > 0, on_bytes_done, call);
}

static int method_create_request(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    return begin_with_option(userdata, m, "new-key", "org.identityd1.request", handle_create_request, error);
}

static int read_chain(sd_bus_message *m, BytesView ret_chain[static BUS_CHAIN_MAX + 1U], size_t *ret_count) {
    size_t count = 0;
    int r = sd_bus_message_enter_container(m, 'a', "ay");

    while (r >= 0 && count <= BUS_CHAIN_MAX) {
        const void *data;
        size_t size;
        r = sd_bus_message_read_array(m, 'y', &data, &size);
        if (r <= 0)
            break;
        ret_chain[count++] = (BytesView) { data, size };
    }
    *ret_count = count;
    return r;
}

static void handle_install(Call *call) {
    Identity *identity = call_identity(call);
    BytesView chain[BUS_CHAIN_MAX + 1U];
    size_t count = 0;
    Failure failure = FAILURE_INIT;

    if (!identity)
        return;
    (void) sd_bus_message_rewind(call->message, true);
    int r = read_chain(call->message, chain, &count);
    if (r < 0) {
        (void) failure_set(&failure, r, FAILURE_INVALID_ARGUMENT, "The chain could not be read from the message.");
        call_reply_failure(call, &failure);
    } else
        manual_install(identity, chain, count, on_operation_done, call);
}

static int method_install(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    return begin(userdata, m, "org.identityd1.install", handle_install, error);
}

static void handle_retire(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        asked_retire(identity, on_operation_done, call);
}

static int method_retire(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    return begin(userdata, m, "org.identityd1.retire", handle_retire, error);
}

static void handle_sign(Call *call) {
    Identity *identity = call_identity(call);
    const char *scheme;
    const void *message;
    size_t size;
    Failure failure = FAILURE_INIT;

    if (!identity)
        return;
    (void) sd_bus_message_rewind(call->message, true);
    if (sd_bus_message_read(call->message, "s", &scheme) < 0 ||
        sd_bus_message_read_array(call->message, 'y', &message, &size) < 0) {
        (void) failure_set(&failure, -EBADMSG, FAILURE_INVALID_ARGUMENT, "The arguments of Sign could not be read.");
        call_reply_failure(call, &failure);
        return;
    }
    const SignatureRequest request = { identity, &call->caller, scheme, { message, size } };
    signatures_sign(manager_lending(call->bus->manager), &request, on_bytes_done, call);
}

static int method_sign(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    const char *scheme;
    const void *message;
    size_t size;
    int r = sd_bus_message_read(m, "s", &scheme);

    if (r >= 0)
        r = sd_bus_message_read_array(m, 'y', &message, &size);
    if (r < 0)
        return r;
    if (size > SIGN_MESSAGE_MAX) /* at once: nobody's megabytes are kept while it is found out who asks */
        return sd_bus_error_setf(error, IDENTITYD_ERROR_PREFIX "InvalidArgument",
                                 "A message to sign has at most %u bytes, not %zu.", SIGN_MESSAGE_MAX, size);
    return begin(userdata, m, NULL, handle_sign, error);
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
    if (sd_bus_message_new_method_return(call->message, &reply) >= 0)
        (void) sd_bus_message_append(reply, "h", fd);
    call_reply(call, reply);
}

int open_credential_begin(Bus *bus, sd_bus_message *m, const char *name, sd_bus_error *error) {
    Failure failure = FAILURE_INIT;
    const char *word;
    int option;
    int r = sd_bus_message_read(m, "s", &word);

    if (r >= 0)
        r = read_boolean_option(m, NULL, &option, error);
    if (r < 0)
        return r;
    Purpose purpose = purpose_from_string(word);
    if (purpose == _PURPOSE_INVALID) {
        (void) failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "There is no purpose %.32s; known: tls-client, tls-server, data, digest.", word);
        return bus_error_from_failure(error, &failure);
    }
    if (!identity_set_find(manager_identities(bus->manager), name, &failure))
        return bus_error_from_failure(error, &failure);
    CallStart start = { NULL, purpose, name, handle_open_credential };
    return call_begin(bus, m, &start, error);
}

static int method_open_credential(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    _cleanup_free_ char *name = message_identity(m);

    return name ? open_credential_begin(userdata, m, name, error) : -ENOMEM;
}

/* ---- properties ---- */

static int append_list(sd_bus_message *reply, const BytesView *list, size_t count) {
    int r = sd_bus_message_open_container(reply, 'a', "ay");

    for (size_t i = 0; r >= 0 && i < count; i++)
        r = sd_bus_message_append_array(reply, 'y', list[i].data, list[i].size);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* Names in certificates are the CA's words, and may be no UTF-8: the bus would end our connection for that. */
static int append_text(sd_bus_message *reply, const char *text) {
    Failure clean = FAILURE_INIT;

    (void) failure_set(&clean, 0, FAILURE_INTERNAL, "%s", text); /* its texts are valid, and cut where overlong */
    return sd_bus_message_append(reply, "s", clean.text);
}

static int property(sd_bus *connection, const char *path, const char *interface, const char *name,
                    sd_bus_message *reply, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_free_ char *identity_name_text = NULL;
    Failure failure = FAILURE_INIT;
    _cleanup_identity_view_ IdentityView view = { .certificates = NULL };
    const Identity *identity = sd_bus_path_decode(path, IDENTITYD_IDENTITY_PREFIX, &identity_name_text) > 0
                                   ? identity_set_find(manager_identities(bus->manager), identity_name_text, &failure)
                                   : NULL;

    if (!identity)
        return bus_error_from_failure(error, &failure);
    int r = identity_view(identity, &view);
    if (r < 0)
        return r;

    const struct {
        const char *name, *text;
    } texts[] = {
        { "Name", view.name },
        { "State", view.state },
        { "Activity", view.activity },
        { "LastError", view.last_error },
        { "Subject", view.subject },
        { "Issuer", view.issuer },
        { "SerialNumber", view.serial_number },
        { "KeyAlgorithm", view.key_algorithm },
    };
    const struct {
        const char *name;
        uint64_t value;
    } times[] = {
        { "NotBefore", view.not_before },
        { "NotAfter", view.not_after },
        { "NextAttempt", view.next_attempt },
        { "NextRenewal", view.next_renewal },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(texts); i++)
        if (strcmp(name, texts[i].name) == 0)
            return append_text(reply, texts[i].text);
    for (size_t i = 0; i < ARRAY_LENGTH(times); i++)
        if (strcmp(name, times[i].name) == 0)
            return sd_bus_message_append(reply, "t", times[i].value);
    if (strcmp(name, "Generation") == 0)
        return sd_bus_message_append(reply, "u", view.generation);
    if (strcmp(name, "PublicKey") == 0)
        return sd_bus_message_append_array(reply, 'y', view.public_key.data, view.public_key.size);
    if (strcmp(name, "Certificates") == 0)
        return append_list(reply, view.certificates, view.certificate_count);
    return append_list(reply, view.anchors, view.anchor_count);
}

#define IDENTITY_PROPERTY(name, signature)                                                                             \
    SD_BUS_PROPERTY(name, signature, property, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE)

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
    SD_BUS_METHOD_WITH_ARGS("Sign", SD_BUS_ARGS("s", scheme, "ay", message), SD_BUS_RESULT("ay", signature),
                            method_sign, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenCredential", SD_BUS_ARGS("s", purpose, "a{sv}", options), SD_BUS_RESULT("h", handle),
                            method_open_credential, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Retire", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_retire, SD_BUS_VTABLE_UNPRIVILEGED),
    IDENTITY_PROPERTY("Name", "s"),
    IDENTITY_PROPERTY("State", "s"),
    IDENTITY_PROPERTY("Activity", "s"),
    IDENTITY_PROPERTY("LastError", "s"),
    IDENTITY_PROPERTY("Generation", "u"),
    IDENTITY_PROPERTY("Subject", "s"),
    IDENTITY_PROPERTY("SerialNumber", "s"),
    IDENTITY_PROPERTY("Issuer", "s"),
    IDENTITY_PROPERTY("NotBefore", "t"),
    IDENTITY_PROPERTY("NotAfter", "t"),
    IDENTITY_PROPERTY("NextAttempt", "t"),
    IDENTITY_PROPERTY("NextRenewal", "t"),
    IDENTITY_PROPERTY("KeyAlgorithm", "s"),
    IDENTITY_PROPERTY("PublicKey", "ay"),
    IDENTITY_PROPERTY("Certificates", "aay"),
    IDENTITY_PROPERTY("Anchors", "aay"),
    SD_BUS_VTABLE_END,
};
