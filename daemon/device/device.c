/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Puts together what all identities share. */
#include "device/device.h"

#include "common/text.h"
#include "device/log.h"

#include <string.h>
#include <systemd/sd-id128.h>

/* Makes %m: machine-id hashed with this, so that the system's own id stays private (machine-id(5)). */
#define MACHINE_ID_APPLICATION SD_ID128_MAKE(2f, 1b, 7c, 86, 51, 9a, 4d, 6e, a3, 2b, 0f, 94, c0, 5d, 8e, 17)

struct Device {
    sd_event *loop;
    DeviceCallbacks callbacks;
    Directories directories;
    DaemonConfig *config;
    Secret *owner_authorization, *endorsement_authorization, *serial;
    char machine_id[33];
    Domains *domains;
    SharedFiles *shared_files;
    Signing *signing;
    TpmWatch *tpm;
    uint64_t next_id;
};

/* ---- configuration ---- */

static int load_config(const Device *device, DaemonConfig **ret) {
    _cleanup_(problems_clear) Problems problems = { 0 };
    int r = daemon_config_load(&device->directories.configuration, &problems, ret);

    for (size_t i = 0; i < problems.count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems.list[i]);
        log_entry(problems.list[i].warning ? LOG_WARNING : LOG_ERR, MESSAGE_CONFIGURATION, NULL, "%s",
                  text ? text : "out of memory");
    }
    return r;
}

static void load_secret(const char *name, const char *what, Secret **ret) {
    int r = name ? secret_from_credential(name, ret) : 0;

    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL, "The systemd credential %s (%s) cannot be read: %s.", name,
                  what, strerror(-r));
}

static void load_authorization(const char *name, const char *what, Secret **ret) {
    load_secret(name, what, ret);
    if (secret_view(*ret).size <= TPM_AUTHORIZATION_MAX)
        return;
    log_entry(
        LOG_WARNING, MESSAGE_CONFIGURATION, NULL,
        "The systemd credential %s (%s) has %zu bytes and is not used: an authorization of a TPM has at most %u. Is "
        "it the right file?",
        name, what, secret_view(*ret).size, TPM_AUTHORIZATION_MAX);
    *ret = secret_free(*ret);
}

static void load_secrets(Device *device) {
    const DaemonConfig *config = device->config;

    load_authorization(config->owner_authorization, "OwnerAuthCredential=", &device->owner_authorization);
    load_authorization(config->endorsement_authorization,
                       "EndorsementAuthCredential=", &device->endorsement_authorization);
    if (config->serial_credential) /* whoever needs it says that there is none */
        (void) secret_from_credential(config->serial_credential, &device->serial);
}

static bool differs(const char *a, const char *b) {
    return strcmp(a ? a : "", b ? b : "") != 0;
}

/* What was read at the start alone: said, lest somebody waits for it. */
static void tell_of_restart(const DaemonConfig *old, const DaemonConfig *new) {
    const struct {
        const char *key;
        bool changed;
    } settings[] = {
        { "TCTI=", differs(old->tcti, new->tcti) },
        { "ParentHandle=", old->parent_handle != new->parent_handle },
        { "OwnerAuthCredential=", differs(old->owner_authorization, new->owner_authorization) },
        { "EndorsementAuthCredential=", differs(old->endorsement_authorization, new->endorsement_authorization) },
        { "SerialCredential=", differs(old->serial_credential, new->serial_credential) },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(settings); i++)
        if (settings[i].changed)
            log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, NULL,
                      "%s of [TPM] in identityd.conf was changed; that takes effect when identityd is started again "
                      "(systemctl restart identityd.service).",
                      settings[i].key);
}

int device_reload(Device *device, Failure *ret_failure) {
    DaemonConfig *config = NULL;
    int r = load_config(device, &config);

    if (r < 0)
        return failure_errno(ret_failure, r, "Reading identityd.conf");
    tell_of_restart(device->config, config);
    daemon_config_free(device->config);
    device->config = config;
    return 0;
}

/* ---- the signing thread ---- */

static void on_tpm_trouble(const Failure *failure, void *userdata) {
    Device *device = userdata;

    if (tpm_watch_note(device->tpm, failure))
        log_entry(LOG_WARNING, MESSAGE_TPM_CHANGED, NULL, "A signature failed: %s%s The TPM is looked at.",
                  failure->text, text_full_stop(failure->text));
}

static void on_handle_closed(uint64_t handle_id, void *userdata) {
    Device *device = userdata;

    device->callbacks.handle_closed(handle_id, device->callbacks.userdata);
}

static void on_handle_failed(const char *identity, int error, void *userdata) {
    log_entry(
        LOG_WARNING, NULL, identity,
        "A credential handle had to be closed: %s. Its program has to open another; libidentityd does so by itself.",
        strerror(-error));
}

static void on_generation_used(const char *identity, uint32_t generation, void *userdata) {
    Device *device = userdata;

    device->callbacks.generation_used(identity, generation, device->callbacks.userdata);
}

static void on_generation_unused(const char *identity, uint32_t generation, void *userdata) {
    Device *device = userdata;

    device->callbacks.generation_unused(identity, generation, device->callbacks.userdata);
}

static int start_signing(Device *device, const StoredDevice *stored) {
    _cleanup_tpm_ Tpm *tpm = NULL;
    const DaemonConfig *config = device->config;
    TpmOptions options = {
        .tcti = config->tcti ? config->tcti : "device:/dev/tpmrm0",
        .parent_handle = config->parent_handle,
        .owner_authorization = device->owner_authorization,
        .endorsement_authorization = device->endorsement_authorization,
        .known_parent_name = bytes_view(&stored->parent_name),
        .known_endorsement = bytes_view(&stored->endorsement),
    };
    const SigningCallbacks callbacks = {
        .handle_closed = on_handle_closed,
        .handle_failed = on_handle_failed,
        .generation_used = on_generation_used,
        .generation_unused = on_generation_unused,
        .tpm_trouble = on_tpm_trouble,
        .userdata = device,
    };
    int r = tpm_new(&options, &tpm);

    if (r == -EINVAL) { /* what was recorded is no TPM Name */
        options.known_endorsement = options.known_parent_name = (BytesView) { NULL, 0 };
        r = tpm_new(&options, &tpm);
    }
    if (r >= 0)
        r = signing_new(tpm, device->loop, &callbacks, &device->signing);
    if (r >= 0)
        (void) TAKE_PTR(tpm); /* taken over on success alone */
    return r;
}

static int start_tpm(Device *device) {
    Failure failure = FAILURE_INIT;
    TpmWatchOptions options = {
        .loop = device->loop,
        .state_fd = device->directories.state_fd,
        .looked = device->callbacks.tpm_looked,
        .changed = device->callbacks.tpm_changed,
        .userdata = device->callbacks.userdata,
    };

    /* What cannot be read is looked for in the TPM again, and then written anew. */
    if (store_device_load(device->directories.state_fd, &options.stored, &failure) < 0)
        log_entry(LOG_WARNING, MESSAGE_STORAGE, NULL, "%s; the device ID is computed anew.", failure.text);
    int r = start_signing(device, &options.stored);
    options.signing = device->signing;
    if (r >= 0)
        r = tpm_watch_new(&options, &device->tpm);
    stored_device_clear(&options.stored);
    return r;
}

/* ---- life ---- */

int device_new(sd_event *loop, const DeviceCallbacks *callbacks, Device **ret) {
    _cleanup_(device_free_p) Device *device = calloc(1, sizeof *device);
    sd_id128_t machine;

    if (!device)
        return -ENOMEM;
    device->loop = sd_event_ref(loop);
    device->callbacks = *callbacks;
    device->directories = DIRECTORIES_NONE;
    if (sd_id128_get_machine_app_specific(MACHINE_ID_APPLICATION, &machine) >= 0)
        (void) sd_id128_to_string(machine, device->machine_id);
    int r = directories_open(&device->directories);
    if (r >= 0)
        r = load_config(device, &device->config);
    if (r < 0)
        return r;
    load_secrets(device);
    r = domains_new(device->directories.runtime_fd, &device->domains);
    if (r >= 0)
        r = shared_files_new(&device->shared_files);
    if (r >= 0)
        r = start_tpm(device);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(device);
    return 0;
}

void device_stop(Device *device) {
    device->signing = signing_free(device->signing);
}

Device *device_free(Device *device) {
    if (!device)
        return NULL;
    device_stop(device);
    tpm_watch_free(device->tpm);
    domains_free(device->domains);
    shared_files_free(device->shared_files);
    daemon_config_free(device->config);
    secret_free(device->owner_authorization);
    secret_free(device->endorsement_authorization);
    secret_free(device->serial);
    directories_close(&device->directories);
    sd_event_unref(device->loop);
    free(device);
    return NULL;
}

/* ---- questions ---- */

sd_event *device_loop(const Device *device) {
    return device->loop;
}

const DaemonConfig *device_config(const Device *device) {
    return device->config;
}

const Directories *device_directories(const Device *device) {
    return &device->directories;
}

Domains *device_domains(const Device *device) {
    return device->domains;
}

SharedFiles *device_shared_files(const Device *device) {
    return device->shared_files;
}

TpmWatch *device_tpm(const Device *device) {
    return device->tpm;
}

Signing *device_signing(const Device *device) {
    return device->signing;
}

const char *device_machine_id(const Device *device) {
    return device->machine_id;
}

const Secret *device_serial(const Device *device) {
    return device->serial;
}

void device_look_at_tpm(Device *device) {
    tpm_watch_look(device->tpm, device->config->device_id_salt);
}

uint64_t device_next_id(Device *device) {
    return ++device->next_id;
}
