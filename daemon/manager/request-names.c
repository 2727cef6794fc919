/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Names that a request or a login is made with: what the configuration says, with this device's values in it. They are
 * judged here as well as where they are encoded, since here it is known which line is at fault. */
#include "manager/internal.h"

#include "common/distinguished-name.h"

#include <stdio.h>
#include <string.h>

#define HOST_NAME_FILE       "/etc/hostname"
#define HOST_NAME_FILE_MAX   4096U
#define HOST_NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

typedef struct Device {
    Specifiers specifiers;
    char host_name[sizeof((StoredState *) NULL)->host_name]; /* "" while it is not one */
} Device;

void request_names_clear(RequestNames *names) {
    for (size_t i = 0; i < names->san_count; i++)
        free(names->san_values[i]);
    free(names->subject);
    *names = (RequestNames) { .subject = NULL };
}

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

/* %H is the static host name as it was at the first enrolment (DESIGN §7), so that a renamed device keeps its
 * certificate's name. */
static void find_host_name(const StoredState *stored, Device *ret) {
    _cleanup_bytes_ Bytes file = BYTES_NULL;

    if (stored->host_name[0])
        (void) snprintf(ret->host_name, sizeof(ret->host_name), "%s", stored->host_name);
    else if (bytes_read_file(HOST_NAME_FILE, HOST_NAME_FILE_MAX, &file) >= 0 && file.size > 0 &&
             !host_name_from_file((const char *) file.data, ret->host_name, sizeof(ret->host_name)))
        ret->specifiers.host_name_problem =
            "%H: " HOST_NAME_FILE
            " has no name of letters, digits, '-', '_' and '.', of at most 255, in its first line";
}

static void find_device(const Identity *identity, Device *ret) {
    const Manager *manager = identity->manager;
    BytesView serial = secret_view(manager->serial);
    bool has_nul = serial.size > 0 && strlen((const char *) serial.data) < serial.size;

    *ret = (Device) {
        .specifiers = {
            .device_id = manager->tpm.device_id,
            .device_id_problem =
                manager->tpm.device_id_problem[0] ? manager->tpm.device_id_problem : "the TPM has not been read yet",
            .machine_id = manager->machine_id,
            .serial = has_nul ? NULL : (const char *) serial.data,
            .serial_problem =
                has_nul
                    ? "%s: the hardware's serial number has a NUL byte"
                    : "no systemd credential brings a hardware serial number (SerialCredential= in identityd.conf)",
        },
    };
    find_host_name(&identity->stored, ret);
    ret->specifiers.host_name = ret->host_name;
}

static int refuse(const Identity *identity, const ConfigOrigin *origin, int r, const char *where, const char *value,
                  const char *why, Failure *ret_failure) {
    char line[16] = "";

    if (r == -ENOMEM)
        return failure_errno(ret_failure, r, "Making a name");
    if (origin->file)
        (void) snprintf(line, sizeof(line), ":%u", origin->line);
    return failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "%s: %s%s: %s%s: %s.", identity->name,
                       origin->file ? origin->file : identity->config->file, line, where, value, why);
}

static int make_subject(const Identity *identity, const Device *device, char **ret, Failure *ret_failure) {
    static const char where[] = "[Identity] Subject=";
    const IdentityConfig *config = identity->config;
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

static int add_name(const Identity *identity, const Device *device, const SanTemplate *san, RequestNames *names,
                    Failure *ret_failure) {
    static const char *const where[] = {
        [SAN_DNS] = "[Identity] SubjectAltName=dns:",
        [SAN_IP] = "[Identity] SubjectAltName=ip:",
        [SAN_URI] = "[Identity] SubjectAltName=uri:",
        [SAN_HARDWARE_MODULE] = "[Identity] SubjectAltName=hardware-module:",
    };
    const ConfigOrigin *origin = &identity->config->sans_origin;
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
    const IdentityConfig *config = identity->config;
    RequestNames names = { .subject = NULL };
    Device device;

    if (config->names_fault) /* it had a certificate when it was loaded */
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "%s: %s.", identity->name,
                           config->names_fault);
    if (config->san_count > CSR_SANS_MAX)
        return failure_set(ret_failure, -E2BIG, FAILURE_INVALID_ARGUMENT,
                           "%s: [Identity] SubjectAltName= has more than %u names.", identity->name, CSR_SANS_MAX);
    find_device(identity, &device);
    int r = make_subject(identity, &device, &names.subject, ret_failure);
    for (size_t i = 0; r >= 0 && i < config->san_count; i++)
        r = add_name(identity, &device, &config->sans[i], &names, ret_failure);
    if (r < 0) {
        request_names_clear(&names);
        return r;
    }
    if (!identity->stored.host_name[0] && device.host_name[0]) { /* not one that was refused: it can be corrected */
        memcpy(identity->stored.host_name, device.host_name, sizeof(device.host_name));
        (void) identity_save_state(identity);
    }
    *ret = names;
    return 0;
}

int request_user(const Identity *identity, const Authenticate *authenticate, bool renewal, char **ret,
                 Failure *ret_failure) {
    const char *where = renewal ? "[Renewal] User=" : "[Enrollment] User=";
    const char *template = authenticate->user ? authenticate->user : "%d";
    _cleanup_free_ char *text = NULL, *problem = NULL;
    Device device;

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
