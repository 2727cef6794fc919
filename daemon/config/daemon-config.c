/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd.conf: the table of its keys. */
#include "config/daemon-config.h"

#include "config/settings.h"

#include <stddef.h>
#include <string.h>

#define TCTI_MAX 512U
#define SALT_MAX 256U

static char **string_at(const Setting *setting, void *target) {
    return (char **) ((char *) target + setting->key->offset);
}

static int set_string(const Setting *setting, void *target) {
    char *copy = strdup(setting->value);

    if (!copy)
        return -ENOMEM;
    free(*string_at(setting, target));
    *string_at(setting, target) = copy;
    return 0;
}

/* NAME or NAME:CONFIGURATION, as Tss2_TctiLdr_Initialize(3) takes it. The loader would also open any file given by
 * path. */
static int parse_tcti(const Setting *setting, void *target) {
    size_t name = strcspn(setting->value, ":");

    if (strlen(setting->value) > TCTI_MAX || name == 0 ||
        strspn(setting->value, "abcdefghijklmnopqrstuvwxyz0123456789-_") < name)
        return setting_refuse(setting);
    return set_string(setting, target);
}

static int parse_credential(const Setting *setting, void *target) {
    return value_is_credential_name(setting->value) ? set_string(setting, target) : setting_refuse(setting);
}

static int parse_salt(const Setting *setting, void *target) {
    return strlen(setting->value) <= SALT_MAX ? set_string(setting, target) : setting_refuse(setting);
}

static int parse_parent_handle(const Setting *setting, void *target) {
    uint32_t handle;

    /* TPM 2.0 Library Part 2 §7.4: owner's persistent objects; above 0x81800000 they are the platform's. */
    if (value_unsigned(setting->value, 0x817fffff, &handle) < 0 || handle < 0x81000000)
        return setting_refuse(setting);
    ((DaemonConfig *) target)->parent_handle = handle;
    return 0;
}

static int set_limit(const Setting *setting, void *target, uint32_t maximum) {
    uint32_t limit;

    if (value_unsigned(setting->value, maximum, &limit) < 0 || limit == 0)
        return setting_refuse(setting);
    *(uint32_t *) (void *) ((char *) target + setting->key->offset) = limit;
    return 0;
}

static int parse_handles_per_user(const Setting *setting, void *target) {
    return set_limit(setting, target, HANDLES_PER_USER_MAX);
}

static int parse_handles(const Setting *setting, void *target) {
    return set_limit(setting, target, HANDLES_MAX);
}

static int parse_identities(const Setting *setting, void *target) {
    return set_limit(setting, target, IDENTITIES_MAX);
}

#define CREDENTIAL_ACCEPTED                                                                                            \
    "must be the name of a systemd credential: 1 to 255 printable characters without '/', ':' and white space"

static const SettingKey keys[] = {
    { "TPM", "TCTI", parse_tcti, "must be NAME or NAME:CONFIGURATION, such as device:/dev/tpmrm0; at most 512 bytes",
      offsetof(DaemonConfig, tcti) },
    { "TPM", "ParentHandle", parse_parent_handle, "must be a persistent handle from 0x81000000 to 0x817fffff", 0 },
    { "TPM", "OwnerAuthCredential", parse_credential, CREDENTIAL_ACCEPTED,
      offsetof(DaemonConfig, owner_authorization) },
    { "TPM", "EndorsementAuthCredential", parse_credential, CREDENTIAL_ACCEPTED,
      offsetof(DaemonConfig, endorsement_authorization) },
    { "TPM", "DeviceIdSalt", parse_salt, "must be at most 256 bytes", offsetof(DaemonConfig, device_id_salt) },
    { "TPM", "SerialCredential", parse_credential, CREDENTIAL_ACCEPTED, offsetof(DaemonConfig, serial_credential) },
    { "Limits", "HandlesPerUser", parse_handles_per_user, "must be a number from 1 to 4096",
      offsetof(DaemonConfig, handles_per_user) },
    { "Limits", "HandlesPerRule", parse_handles, "must be a number from 1 to 65536",
      offsetof(DaemonConfig, handles_per_rule) },
    { "Limits", "Handles", parse_handles, "must be a number from 1 to 65536", offsetof(DaemonConfig, handles) },
    { "Limits", "Identities", parse_identities, "must be a number from 1 to 1024", offsetof(DaemonConfig, identities) },
};

/* What is only strange, not wrong. */
static int check(const DaemonConfig *config, const Settings *settings) {
    const Setting *user = settings_find(settings, "Limits", "HandlesPerUser"),
                  *rule = settings_find(settings, "Limits", "HandlesPerRule");
    int r = 0;

    if (user->value && config->handles_per_user > config->handles)
        r = setting_complain(user, true, "more than Handles=%u, which bounds all users together", config->handles);
    if (r >= 0 && rule->value && config->handles_per_rule > config->handles)
        r = setting_complain(rule, true, "more than Handles=%u, which bounds all users together", config->handles);
    return r;
}

int daemon_config_load(const ConfigDirectories *directories, Problems *problems, DaemonConfig **ret) {
    _cleanup_daemon_config_ DaemonConfig *config = calloc(1, sizeof(*config));
    _cleanup_settings_ Settings settings = { 0 };
    _cleanup_strings_ char **paths = NULL;

    if (!config)
        return -ENOMEM;
    config->parent_handle = PARENT_HANDLE_DEFAULT;
    config->handles_per_user = HANDLES_PER_USER_DEFAULT;
    config->handles_per_rule = HANDLES_PER_RULE_DEFAULT;
    config->handles = HANDLES_DEFAULT;
    config->identities = IDENTITIES_DEFAULT;
    config->serial_credential = strdup(SERIAL_CREDENTIAL_DEFAULT);
    if (!config->serial_credential)
        return -ENOMEM;

    int r = config_file_paths(directories, "identityd.conf", &paths);
    if (r < 0 && r != -ENOMEM)
        r = problems_add(problems, false, directories->configuration, 0, "identityd.conf.d cannot be read: %s",
                         strerror(-r));
    if (r < 0)
        return r;
    r = settings_read(keys, ARRAY_LENGTH(keys), paths, problems, &settings);
    if (r == -ENOMEM)
        return r;
    r = settings_apply(&settings, config);
    if (r < 0)
        return r;
    r = check(config, &settings);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(config);
    return 0;
}

DaemonConfig *daemon_config_free(DaemonConfig *config) {
    if (!config)
        return NULL;
    free(config->tcti);
    free(config->owner_authorization);
    free(config->endorsement_authorization);
    free(config->device_id_salt);
    free(config->serial_credential);
    free(config);
    return NULL;
}

bool daemon_config_credential_is_secret(const DaemonConfig *config, const char *name) {
    const char *secrets[] = { config->owner_authorization, config->endorsement_authorization };

    for (size_t i = 0; i < ARRAY_LENGTH(secrets); i++)
        if (secrets[i] && strcmp(secrets[i], name) == 0)
            return true;
    return false;
}
