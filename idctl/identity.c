/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Properties by table: see identity.h. */
#include "idctl/identity.h"

#include "common/names.h"
#include "idctl/certificates.h"
#include "idctl/output.h"

#include <stddef.h>
#include <string.h>

typedef enum FieldKind {
    FIELD_STRING,
    FIELD_BOOLEAN,
    FIELD_U32,
    FIELD_TIME,
    FIELD_BYTES,
    FIELD_BYTES_ARRAY,
    FIELD_PEER_CRLS
} FieldKind;

/* In the order in which `show --json` has them. */
static const struct Field {
    const char *property, *json;
    FieldKind kind;
    const char *signature;
    size_t offset;
} fields[] = {
#define FIELD(property, json, kind, signature, member)                                                                 \
    { property, json, kind, signature, offsetof(IdentityProperties, member) }
    FIELD("Name", "name", FIELD_STRING, "s", name),
    FIELD("State", "state", FIELD_STRING, "s", state),
    FIELD("Activity", "activity", FIELD_STRING, "s", activity),
    FIELD("LastError", "last_error", FIELD_STRING, "s", last_error),
    FIELD("ReadyByItself", "ready_by_itself", FIELD_BOOLEAN, "b", ready_by_itself),
    FIELD("Generation", "generation", FIELD_U32, "u", generation),
    FIELD("Subject", "subject", FIELD_STRING, "s", subject),
    FIELD("SerialNumber", "serial_number", FIELD_STRING, "s", serial_number),
    FIELD("Issuer", "issuer", FIELD_STRING, "s", issuer),
    FIELD("NotBefore", "not_before", FIELD_TIME, "t", not_before),
    FIELD("NotAfter", "not_after", FIELD_TIME, "t", not_after),
    FIELD("NextAttempt", "next_attempt", FIELD_TIME, "t", next_attempt),
    FIELD("NextRenewal", "next_renewal", FIELD_TIME, "t", next_renewal),
    FIELD("ClockFloor", "clock_floor", FIELD_TIME, "t", clock_floor),
    FIELD("ClockSource", "clock_source", FIELD_STRING, "s", clock_source),
    FIELD("KeyAlgorithm", "key_algorithm", FIELD_STRING, "s", key_algorithm),
    FIELD("PublicKey", "public_key", FIELD_BYTES, "ay", public_key),
    FIELD("Certificates", "certificates", FIELD_BYTES_ARRAY, "aay", certificates),
    FIELD("Anchors", "anchors", FIELD_BYTES_ARRAY, "aay", anchors),
    FIELD("PeerCRLs", "peer_crls", FIELD_PEER_CRLS, "a(ssttts)", peer_crls),
#undef FIELD
};

static void *field_in(const struct Field *field, const IdentityProperties *properties) {
    return (char *) properties + field->offset;
}

void bytes_array_clear(BytesArray *array) {
    for (size_t i = 0; i < array->count; i++)
        bytes_clear(&array->list[i]);
    free(array->list);
    *array = (BytesArray) { 0 };
}

static void peer_crls_clear(PeerCrlArray *array) {
    for (size_t i = 0; i < array->count; i++) {
        free(array->list[i].url);
        free(array->list[i].issuer);
        free(array->list[i].error);
    }
    free(array->list);
    *array = (PeerCrlArray) { 0 };
}

void identity_properties_clear(IdentityProperties *properties) {
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        switch (fields[i].kind) {
        case FIELD_STRING:
            free(*(char **) field_in(&fields[i], properties));
            break;
        case FIELD_BYTES:
            bytes_clear(field_in(&fields[i], properties));
            break;
        case FIELD_BYTES_ARRAY:
            bytes_array_clear(field_in(&fields[i], properties));
            break;
        case FIELD_PEER_CRLS:
            peer_crls_clear(field_in(&fields[i], properties));
            break;
        case FIELD_BOOLEAN:
        case FIELD_U32:
        case FIELD_TIME:
            break;
        }
    *properties = (IdentityProperties) { 0 };
}

int bytes_array_read(sd_bus_message *message, BytesArray *ret) {
    _cleanup_(bytes_array_clear) BytesArray array = { 0 };
    const void *data;
    size_t size;

    int r = sd_bus_message_enter_container(message, 'a', "ay");
    if (r < 0)
        return r;
    array.list = calloc(IDENTITY_CERTIFICATES_MAX, sizeof array.list[0]);
    if (!array.list)
        return -ENOMEM;
    while ((r = sd_bus_message_read_array(message, 'y', &data, &size)) > 0) {
        if (array.count == IDENTITY_CERTIFICATES_MAX)
            return -E2BIG;
        r = bytes_copy((BytesView) { data, size }, &array.list[array.count]);
        if (r < 0)
            return r;
        array.count++;
    }
    if (r < 0 || (r = sd_bus_message_exit_container(message)) < 0)
        return r;
    *ret = array;
    array = (BytesArray) { 0 };
    return 0;
}

static int read_peer_crl(sd_bus_message *message, PeerCrlArray *array) {
    const char *url, *issuer, *error;
    PeerCrl crl = { 0 };

    int r = sd_bus_message_read(message, "(ssttts)", &url, &issuer, &crl.this_update, &crl.next_update, &crl.next_fetch,
                                &error);
    if (r <= 0)
        return r;
    if (array->count == IDENTITY_PEER_CRLS_MAX)
        return -E2BIG;
    crl.url = strdup(url);
    crl.issuer = strdup(issuer);
    crl.error = strdup(error);
    array->list[array->count++] = crl;
    return crl.url && crl.issuer && crl.error ? 1 : -ENOMEM;
}

static int read_peer_crls(sd_bus_message *message, PeerCrlArray *target) {
    _cleanup_(peer_crls_clear) PeerCrlArray array = { 0 };

    int r = sd_bus_message_enter_container(message, 'a', "(ssttts)");
    if (r < 0)
        return r;
    array.list = calloc(IDENTITY_PEER_CRLS_MAX, sizeof array.list[0]);
    if (!array.list)
        return -ENOMEM;
    while ((r = read_peer_crl(message, &array)) > 0)
        ;
    if (r < 0 || (r = sd_bus_message_exit_container(message)) < 0)
        return r;
    peer_crls_clear(target);
    *target = array;
    array = (PeerCrlArray) { 0 };
    return 0;
}

static int read_bytes(sd_bus_message *message, Bytes *target) {
    const void *data;
    size_t size;
    Bytes copy;

    int r = sd_bus_message_read_array(message, 'y', &data, &size);
    if (r < 0 || (r = bytes_copy((BytesView) { data, size }, &copy)) < 0)
        return r;
    bytes_clear(target);
    *target = copy;
    return 0;
}

static int read_string(sd_bus_message *message, char **target) {
    const char *text;

    int r = sd_bus_message_read(message, "s", &text);
    if (r < 0)
        return r;
    char *copy = strdup(text);
    if (!copy)
        return -ENOMEM;
    free(*target);
    *target = copy;
    return 0;
}

static int read_field(sd_bus_message *message, const struct Field *field, IdentityProperties *properties) {
    BytesArray array;
    int r, truth;

    switch (field->kind) {
    case FIELD_STRING:
        return read_string(message, field_in(field, properties));
    case FIELD_BOOLEAN:
        r = sd_bus_message_read(message, "b", &truth);
        if (r > 0)
            *(bool *) field_in(field, properties) = truth;
        return r;
    case FIELD_U32:
        return sd_bus_message_read(message, "u", field_in(field, properties));
    case FIELD_TIME:
        return sd_bus_message_read(message, "t", field_in(field, properties));
    case FIELD_BYTES:
        return read_bytes(message, field_in(field, properties));
    case FIELD_BYTES_ARRAY:
        r = bytes_array_read(message, &array);
        if (r < 0)
            return r;
        bytes_array_clear(field_in(field, properties));
        *(BytesArray *) field_in(field, properties) = array;
        return 0;
    case FIELD_PEER_CRLS:
        return read_peer_crls(message, field_in(field, properties));
    }
    return -EINVAL;
}

static int read_entry(sd_bus_message *message, IdentityProperties *properties) {
    const struct Field *field = NULL;
    const char *name;

    int r = sd_bus_message_read(message, "s", &name);
    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (strcmp(fields[i].property, name) == 0)
            field = &fields[i];
    if (!field)
        return sd_bus_message_skip(message, "v");
    r = sd_bus_message_enter_container(message, 'v', field->signature);
    if (r < 0 || (r = read_field(message, field, properties)) < 0)
        return r;
    return sd_bus_message_exit_container(message);
}

int identity_properties_read(sd_bus_message *message, IdentityProperties *properties) {
    int r = sd_bus_message_enter_container(message, 'a', "{sv}");
    if (r < 0)
        return r;
    while ((r = sd_bus_message_enter_container(message, 'e', "sv")) > 0) {
        r = read_entry(message, properties);
        if (r < 0 || (r = sd_bus_message_exit_container(message)) < 0)
            return r;
    }
    if (r >= 0)
        r = sd_bus_message_exit_container(message);
    return r < 0 ? r : 0;
}

ExitCode identity_properties_get(Bus *bus, const char *identity, IdentityProperties *ret, char **ret_path) {
    _cleanup_properties_ IdentityProperties properties = { 0 };
    _cleanup_(sd_bus_error_free) sd_bus_error error = SD_BUS_ERROR_NULL;
    _cleanup_(sd_bus_message_unrefp) sd_bus_message *reply = NULL;
    _cleanup_free_ char *path = NULL;

    ExitCode code = bus_identity_path(bus, identity, &path);
    if (code != EXIT_OK)
        return code;
    int r = sd_bus_call_method(bus->bus, IDENTITYD_BUS_NAME, path, "org.freedesktop.DBus.Properties", "GetAll", &error,
                               &reply, "s", IDENTITYD_IDENTITY_INTERFACE);
    if (r < 0)
        return bus_complain(&error, r, "read the identity's properties");
    r = identity_properties_read(reply, &properties);
    if (r < 0)
        return bus_complain(NULL, r, "understand the identity's properties");
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (fields[i].kind == FIELD_STRING && !*(char **) field_in(&fields[i], &properties)) {
            complain("identityd did not tell the property %s of %s: its version and idctl's do not fit.",
                     fields[i].property, identity);
            return EXIT_FAILED;
        }
    *ret = properties;
    properties = (IdentityProperties) { 0 };
    if (ret_path)
        *ret_path = TAKE_PTR(path);
    return EXIT_OK;
}

static json_t *peer_crls_to_json(const PeerCrlArray *crls) {
    json_t *array = json_array();

    for (size_t i = 0; array && i < crls->count; i++) {
        const PeerCrl *crl = &crls->list[i];
        json_t *object = json_object();
        json_object_set_new(object, "url", json_string(crl->url));
        json_object_set_new(object, "issuer", crl->issuer[0] ? json_string(crl->issuer) : json_null());
        json_object_set_new(object, "this_update", time_to_json(crl->this_update));
        json_object_set_new(object, "next_update", time_to_json(crl->next_update));
        json_object_set_new(object, "next_fetch", time_to_json(crl->next_fetch));
        json_object_set_new(object, "error", crl->error[0] ? json_string(crl->error) : json_null());
        json_array_append_new(array, object);
    }
    return array;
}

static json_t *field_to_json(const struct Field *field, const IdentityProperties *properties) {
    const void *value = field_in(field, properties);

    switch (field->kind) {
    case FIELD_STRING:
        return *(char *const *) value ? json_string(*(char *const *) value) : json_null();
    case FIELD_BOOLEAN:
        return json_boolean(*(const bool *) value);
    case FIELD_U32:
        return json_integer(*(const uint32_t *) value);
    case FIELD_TIME:
        return time_to_json(*(const uint64_t *) value);
    case FIELD_BYTES:
        return pem_to_json("PUBLIC KEY", bytes_view(value));
    case FIELD_PEER_CRLS:
        return peer_crls_to_json(value);
    case FIELD_BYTES_ARRAY:
        break;
    }
    json_t *array = json_array();
    const BytesArray *list = value;
    for (size_t i = 0; array && i < list->count; i++)
        json_array_append_new(array, pem_to_json("CERTIFICATE", bytes_view(&list->list[i])));
    return array;
}

const char *identity_property_json_name(const char *property) {
    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (strcmp(fields[i].property, property) == 0)
            return fields[i].json;
    return NULL;
}

json_t *identity_properties_to_json(const IdentityProperties *properties) {
    json_t *object = json_object();

    for (size_t i = 0; object && i < ARRAY_LENGTH(fields); i++)
        if (json_object_set_new(object, fields[i].json, field_to_json(&fields[i], properties)) < 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}
