/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a request or a login is made with: what the configuration says, with this device's values in it. They are
 * judged here as well as where they are encoded, since here it is known which line is at fault. */
#include "enrolment/request-names.h"

#include "common/distinguished-name.h"
#include "device/device.h"
#include "identity/identity.h"
#include "pki/asn1.h"

#include <stdio.h>
#include <string.h>

#define HOST_NAME_FILE       "/etc/hostname"
#define HOST_NAME_FILE_MAX   4096U
#define HOST_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

typedef struct DeviceNames {
    Specifiers specifiers;
    char host_name[sizeof((StoredState *) NULL)->host_name]; /* "" while it is not one */
    char serial_problem[128];
} DeviceNames;

/* The first line of hostname(5) that is neither empty nor a comment. */
static bool host_name_from_file(const char *text, char *ret, size_t size) {
    while (*text) {
        size_t length = strcspn(text, "\r\n \t");
        if (length > 0 && *text != '#') {
            if (length >= size || strspn(text, HOST_NAME_CHARACTERS) < length)
                return false;
            (void) snprintf(ret, size, "%.*s", (int) length, text);
            return true;
        }
        text += strcspn(text, "\n");
        text += strspn(text, "\n");
    }
    return false;
}

/* %H is the static host name as it was at the first enrolment (docs/design.md §7), so that a renamed device keeps its
 * certificate's name. */
static void find_host_name(const Identity *identity, DeviceNames *ret) {
    _cleanup_bytes_ Bytes file = BYTES_NULL;

    if (identity_host_name(identity)[0])
        (void) snprintf(ret->host_name, sizeof(ret->host_name), "%s", identity_host_name(identity));
    else if (bytes_read_file(HOST_NAME_FILE, HOST_NAME_FILE_MAX, &file) >= 0 && file.size > 0 &&
             !host_name_from_file((const char *) file.data, ret->host_name, sizeof(ret->host_name)))
        ret->specifiers.host_name_problem =
            "%H: " HOST_NAME_FILE
            " has no name of letters, digits, '-', '_' and '.', of at most 255, in its first line";
}

/* A device tree ends its strings in NUL, which is no part of the number. What else acts on a reader is refused, with
 * its place: the number is often printed on a label, where it cannot be seen. */
static void find_serial(const Device *device, DeviceNames *ret) {
    BytesView serial = secret_view(device_serial(device));
    size_t size = serial.size;

    if (size > 0 && serial.data[size - 1] == 0)
        size--;
    for (size_t i = 0; i < size; i++)
        if (serial.data[i] < 0x20 || serial.data[i] == 0x7f) {
            (void) snprintf(ret->serial_problem, sizeof ret->serial_problem,
                            "%%s: byte %zu of the hardware's serial number is the control character 0x%02x", i + 1,
                            serial.data[i]);
            ret->specifiers.serial_problem = ret->serial_problem;
            return;
        }
    ret->specifiers.serial = (const char *) serial.data;
    ret->specifiers.serial_problem =
        "no systemd credential brings a hardware serial number (SerialCredential= in identityd.conf)";
}

static void find_device(const Identity *identity, DeviceNames *ret) {
    const Device *device = identity_context(identity)->device;
    const TpmInformation *tpm = tpm_watch_information(device_tpm(device));

    *ret = (DeviceNames) {
        .specifiers = {
            .device_id = tpm->device_id,
            .device_id_problem =
                tpm->device_id_problem[0] ? tpm->device_id_problem : "the TPM has not been read yet",
            .machine_id = device_machine_id(device),
        },
    };
    find_serial(device, ret);
    find_host_name(identity, ret);
    ret->specifiers.host_name = ret->host_name;
}

static int refuse(const Identity *identity, const ConfigOrigin *origin, int r, const char *where, const char *value,
                  const char *why, Failure *ret_failure) {
    char line[16] = "";

    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "Making a name");
    if (origin->file)
        (void) snprintf(line, sizeof(line), ":%u", origin->line);
    return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "%s: %s%s: %s%s: %s.", identity_name(identity),
                       origin->file ? origin->file : identity_config(identity)->file, line, where, value, why);
}

static int make_subject(const Identity *identity, const DeviceNames *device, char **ret, Failure *ret_failure) {
    static const char where[] = "[Identity] Subject=";
    const IdentityConfig *config = identity_config(identity);
    const char *template = config->subject ? config->subject : "";
    _cleanup_free_ char *text = NULL, *problem = NULL;
    _cleanup_bytes_ Bytes der = BYTES_NULL;
    Failure failure = FAILURE_INIT;

    int r = specifiers_expand(template, &device->specifiers, PLACE_SUBJECT, &text, &problem);
    if (r < 0)
        return refuse(identity, &config->subject_origin, r, where, template, problem, ret_failure);
    r = distinguished_name_encode(text, &der, &failure);
    if (r < 0)
        return refuse(identity, &config->subject_origin, r, where, template, failure.text, ret_failure);
    *ret = TAKE_PTR(text);
    return 0;
}

static int add_name(const Identity *identity, const DeviceNames *device, const SanTemplate *san, RequestNames *names,
                    Failure *ret_failure) {
    static const char *const where[] = {
        [SAN_DNS] = "[Identity] SubjectAltName=dns:",
        [SAN_IP] = "[Identity] SubjectAltName=ip:",
        [SAN_URI] = "[Identity] SubjectAltName=uri:",
        [SAN_HARDWARE_MODULE] = "[Identity] SubjectAltName=hardware-module:",
    };
    const ConfigOrigin *origin = &identity_config(identity)->sans_origin;
    _cleanup_free_ char *text = NULL, *problem = NULL;

    int r = specifiers_expand(san->value, &device->specifiers, specifier_place_of_san(san->kind), &text, &problem);
    if (r < 0)
        return refuse(identity, origin, r, where[san->kind], san->value, problem, ret_failure);
    const char *fault = san_fault(san->kind, text);
    if (fault) {
        if (asprintf(&problem, "\"%s\" %s", text, fault) < 0) {
            problem = NULL; /* undefined by vasprintf(3) */
            return refuse(identity, origin, -ENOMEM, where[san->kind], san->value, NULL, ret_failure);
        }
        return refuse(identity, origin, -EINVAL, where[san->kind], san->value, problem, ret_failure);
    }
    names->sans[names->san_count] = (CsrSan) { san->kind, text };
    names->san_values[names->san_count++] = TAKE_PTR(text);
    return 0;
}

int request_names(Identity *identity, RequestNames *ret, Failure *ret_failure) {
    const IdentityConfig *config = identity_config(identity);
    RequestNames names = { .subject = NULL };
    DeviceNames device;

    if (config->names_fault) /* it had a certificate when it was loaded */
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "%s: %s.", identity_name(identity),
                           config->names_fault);
    if (config->san_count > CSR_SANS_MAX)
        return failure_set(ret_failure, -E2BIG, FAILURE_INVALID_ARGUMENT,
                           "%s: [Identity] SubjectAltName= has more than %u names.", identity_name(identity),
                           CSR_SANS_MAX);
    find_device(identity, &device);
    int r = make_subject(identity, &device, &names.subject, ret_failure);
    for (size_t i = 0; r >= 0 && i < config->san_count; i++)
        r = add_name(identity, &device, &config->sans[i], &names, ret_failure);
    if (r < 0) {
        request_names_clear(&names);
        return r;
    }
    if (!identity_host_name(identity)[0] && device.host_name[0]) { /* not one that was refused: it can be corrected */
        identity_set_host_name(identity, device.host_name);
        (void) identity_save(identity);
    }
    *ret = names;
    return 0;
}

int request_has_configured_names(Identity *identity, BytesView request, Failure *ret_failure) {
    RequestNames names;
    int r = request_names(identity, &names, ret_failure);

    if (r < 0)
        return r;
    const CsrTemplate template = { .subject = names.subject, .sans = names.sans, .san_count = names.san_count };
    r = csr_has_names(request, &template, ret_failure);
    request_names_clear(&names);
    return r;
}

int request_user(const Identity *identity, const Authenticate *authenticate, bool renewal, char **ret,
                 Failure *ret_failure) {
    const char *where = renewal ? "[Renewal] User=" : "[Enrollment] User=";
    const char *template = authenticate->user ? authenticate->user : "%d";
    _cleanup_free_ char *text = NULL, *problem = NULL;
    DeviceNames device;

    find_device(identity, &device);
    int r = specifiers_expand(template, &device.specifiers, PLACE_USER, &text, &problem);
    if (r < 0)
        return refuse(identity, &authenticate->user_origin, r, where, template, problem, ret_failure);
    if (strlen(text) > CONFIG_USER_MAX)
        return refuse(identity, &authenticate->user_origin, -E2BIG, where, template,
                      "it would have more than 255 bytes on this device", ret_failure);
    *ret = TAKE_PTR(text);
    return 0;
}

/* ---- what a request asks for ---- */

static bool has_eku(const RequestOrder *order, const char *oid) {
    for (size_t i = 0; i < order->eku_count; i++)
        if (strcmp(order->eku[i], oid) == 0)
            return true;
    return false;
}

static int add_eku(RequestOrder *order, const char *oid) {
    if (has_eku(order, oid))
        return 0;
    if (order->eku_count == CSR_EKU_MAX)
        return -E2BIG;
    order->eku[order->eku_count++] = oid;
    return 0;
}

/* docs/design.md §8: an identity that grants `data` or `data-raw` asks for no TLS usage; the others authenticate as
 * clients, if only to renew. */
static int add_usages(const IdentityConfig *config, const char *const *eku, size_t eku_count, RequestOrder *order) {
    int r = 0;

    if (identity_config_signs_data(config))
        return 0;
    r = add_eku(order, EKU_CLIENT_AUTH);
    if (r >= 0 && config->access[PURPOSE_TLS_SERVER].count > 0)
        r = add_eku(order, EKU_SERVER_AUTH);
    for (size_t i = 0; r >= 0 && i < eku_count; i++)
        r = add_eku(order, eku[i]);
    return r;
}

/* RFC 7030 §3.5: in base64, without a line break. */
static int encode_binding(BytesView binding, char ret[static CSR_CHALLENGE_MAX + 1]) {
    gnutls_datum_t text = { NULL, 0 };
    int r = gnutls_base64_encode2(&(gnutls_datum_t) { (uint8_t *) binding.data, (unsigned) binding.size }, &text);

    if (r < 0)
        return -ENOMEM;
    r = text.size > CSR_CHALLENGE_MAX ? -E2BIG : 0;
    if (r >= 0)
        (void) snprintf(ret, CSR_CHALLENGE_MAX + 1, "%.*s", (int) text.size, (const char *) text.data);
    gnutls_free(text.data);
    return r;
}

int request_start(Identity *identity, const RequestInput *input, BytesDone done, void *userdata, TpmTask **ret_task,
                  Failure *ret_failure) {
    RequestOrder order = { .key = input->key };
    char challenge[CSR_CHALLENGE_MAX + 1];
    int r = 0;

    if (input->binding.size > 0) {
        r = encode_binding(input->binding, challenge);
        order.challenge = challenge;
    }
    if (r >= 0)
        r = add_usages(identity_config(identity), input->eku, input->eku_count, &order);
    if (r < 0)
        return failure_errno(ret_failure, r, "Making a certification request");
    if (input->present_names)
        order.renew = identity_leaf(identity);
    if (!order.renew) {
        r = request_names(identity, &order.names, ret_failure);
        if (r < 0)
            return r;
    }
    r = request_task_start(identity_context(identity)->work, &order, done, userdata, ret_task);
    request_names_clear(&order.names);
    return r < 0 ? failure_errno(ret_failure, r, "Making a certification request") : 0;
}
