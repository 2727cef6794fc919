/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* org.identityd1.Manager. */
#include "bus/internal.h"

#include "enrolment/inquiry.h"
#include "identity/forgotten.h"

#include <string.h>

static int method_get_identity(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_free_ char *path = NULL;
    Failure failure = FAILURE_INIT;
    const char *name;
    int r = sd_bus_message_read(m, "s", &name);

    if (r < 0)
        return r;
    if (!identity_set_find(manager_identities(bus->manager), name, &failure))
        return bus_error_from_failure(error, &failure);
    r = sd_bus_path_encode(IDENTITYD_IDENTITY_PREFIX, name, &path);
    return r < 0 ? r : sd_bus_reply_method_return(m, "o", path);
}

static int method_list_identities(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    int r = sd_bus_message_new_method_return(m, &reply);

    if (r >= 0)
        r = sd_bus_message_open_container(reply, 'a', "(sosstt)");
    for (size_t i = 0; r >= 0 && i < identity_set_count(manager_identities(bus->manager)); i++) {
        _cleanup_free_ char *path = NULL;
        _cleanup_identity_view_ IdentityView view = { .certificates = NULL };
        r = identity_view(identity_set_at(manager_identities(bus->manager), i), &view);
        if (r >= 0)
            r = sd_bus_path_encode(IDENTITYD_IDENTITY_PREFIX, view.name, &path);
        if (r >= 0)
            r = sd_bus_message_append(reply, "(sosstt)", view.name, path, view.state, view.activity, view.not_after,
                                      view.next_renewal);
    }
    if (r >= 0)
        r = sd_bus_message_close_container(reply);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static int method_open_credential(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    const char *name;
    int r = sd_bus_message_read(m, "s", &name);

    return r < 0 ? r : open_credential_begin(userdata, m, name, error);
}

static void on_probed(const Failure *failure, BytesView result, void *userdata) {
    Call *call = userdata;
    _cleanup_free_ char *text = strndup(result.size ? (const char *) result.data : "", result.size);
    sd_bus_message *reply = NULL;
    int r = text ? 0 : -ENOMEM;

    if (failure->kind != FAILURE_NONE) {
        call_reply_failure(call, failure);
        return;
    }
    if (r >= 0 && call->message)
        r = sd_bus_message_new_method_return(call->message, &reply);
    if (reply)
        r = sd_bus_message_append(reply, "s", text);
    call_reply(call, r, reply);
}

static void handle_probe(Call *call) {
    Identity *identity = call_identity(call);

    if (identity)
        inquiry_start(identity, on_probed, call);
}

static int method_probe_server(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    Failure failure = FAILURE_INIT;
    const char *name;
    int r = sd_bus_message_read(m, "s", &name);

    if (r < 0)
        return r;
    /* Before the name is shown to anybody: to the log, or to polkit. */
    if (!identity_set_find(manager_identities(bus->manager), name, &failure))
        return bus_error_from_failure(error, &failure);
    CallStart start = {
        .action = "org.identityd1.probe", .unit_purpose = _PURPOSE_INVALID, .identity = name, .handler = handle_probe
    };
    return call_begin(bus, m, &start, error);
}

static void handle_reload(Call *call) {
    Failure failure = FAILURE_INIT;

    if (manager_reload(call->bus->manager, &failure) < 0)
        call_reply_failure(call, &failure);
    else
        call_reply_done(call);
}

static int method_reload(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    CallStart start = { .action = "org.identityd1.reload", .unit_purpose = _PURPOSE_INVALID, .handler = handle_reload };

    return call_begin(userdata, m, &start, error);
}

static int method_list_forgotten(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_strings_ char **names = NULL;
    Failure failure = FAILURE_INIT;

    if (forgotten_list(manager_device(bus->manager), manager_identities(bus->manager), &names, &failure) < 0)
        return bus_error_from_failure(error, &failure);
    int r = sd_bus_message_new_method_return(m, &reply);
    if (r >= 0)
        r = sd_bus_message_append_strv(reply, names);
    return r < 0 ? r : sd_bus_send(NULL, reply, NULL);
}

static void handle_forget(Call *call) {
    Manager *manager = call->bus->manager;
    Failure failure = FAILURE_INIT;

    if (forgotten_remove(manager_device(manager), manager_identities(manager), call->arguments.name, &failure) < 0)
        call_reply_failure(call, &failure);
    else
        call_reply_done(call);
}

static int method_forget(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Failure failure = FAILURE_INIT;
    const char *name;
    int r = sd_bus_message_read(m, "s", &name);

    if (r < 0)
        return r;
    /* Before the name is shown to anybody: to the log, or to polkit. */
    if (!identity_name_is_valid(name)) {
        (void) failure_set(&failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "That is not a name of an identity.");
        return bus_error_from_failure(error, &failure);
    }
    const CallStart start = { .action = "org.identityd1.forget",
                              .unit_purpose = _PURPOSE_INVALID,
                              .handler = handle_forget,
                              .arguments = { .name = name } };
    return call_begin(userdata, m, &start, error);
}

static int method_metrics(sd_bus_message *m, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    _cleanup_free_ char *text = NULL;
    int r = manager_metrics(bus->manager, &text);

    return r < 0 ? r : sd_bus_reply_method_return(m, "s", text);
}

static int property_text(sd_bus *connection, const char *path, const char *interface, const char *property,
                         sd_bus_message *reply, void *userdata, sd_bus_error *error) {
    Bus *bus = userdata;
    const TpmInformation *tpm = tpm_watch_information(device_tpm(manager_device(bus->manager)));
    const char *value = strcmp(property, "Version") == 0      ? IDENTITYD_VERSION
                        : strcmp(property, "DeviceId") == 0   ? tpm->device_id
                        : strcmp(property, "TpmState") == 0   ? manager_tpm_state(bus->manager)
                        : strcmp(property, "TpmProblem") == 0 ? manager_tpm_problem(bus->manager)
                        : strcmp(property, "TpmVendor") == 0  ? tpm->vendor
                                                              : tpm->firmware;

    return sd_bus_message_append(reply, "s", value);
}

const sd_bus_vtable manager_vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("GetIdentity", SD_BUS_ARGS("s", identity), SD_BUS_RESULT("o", path), method_get_identity,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListIdentities", SD_BUS_NO_ARGS, SD_BUS_RESULT("a(sosstt)", identities),
                            method_list_identities, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("OpenCredential", SD_BUS_ARGS("s", identity, "s", purpose, "a{sv}", options),
                            SD_BUS_RESULT("h", handle), method_open_credential, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ProbeServer", SD_BUS_ARGS("s", identity), SD_BUS_RESULT("s", report), method_probe_server,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Reload", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, method_reload, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("ListForgotten", SD_BUS_NO_ARGS, SD_BUS_RESULT("as", identities), method_list_forgotten,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Forget", SD_BUS_ARGS("s", identity), SD_BUS_NO_RESULT, method_forget,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Metrics", SD_BUS_NO_ARGS, SD_BUS_RESULT("s", text), method_metrics,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Version", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("DeviceId", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("TpmState", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("TpmProblem", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("TpmVendor", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("TpmFirmware", "s", property_text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_VTABLE_END,
};
