/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd.conf as typed values, and where configuration files are found. */
#pragma once

#include "config/problem.h"

#include <stdint.h>

typedef struct DaemonConfig {
    /* [TPM] */
    char *tcti;                        /* TCTI=, NULL: device:/dev/tpmrm0 */
    uint32_t parent_handle;            /* ParentHandle=0x81000001 */
    char *owner_authorization;         /* OwnerAuthCredential=: name of a systemd credential, or NULL */
    char *endorsement_authorization;   /* EndorsementAuthCredential= */
    char *device_id_salt;              /* DeviceIdSalt=, NULL: none */
    char *serial_credential;           /* SerialCredential=: systemd credential that holds %s; default "serial" */
    /* [Limits] */
    uint32_t handles_per_user;         /* HandlesPerUser=, default 64, 1…4096; root is not limited */
    uint32_t handles;                  /* Handles=, default 1024 */
    uint32_t identities;               /* Identities=, default 64 */
} DaemonConfig;

DaemonConfig *daemon_config_free(DaemonConfig *config);
DEFINE_CLEANUP(DaemonConfig, daemon_config_free)

/* The directories in rising precedence, from the environment as systemd sets it: vendor, RUNTIME_DIRECTORY/conf,
 * CONFIGURATION_DIRECTORY. */
typedef struct ConfigDirectories {
    char *vendor, *runtime, *configuration; /* owned */
} ConfigDirectories;
int config_directories_from_environment(ConfigDirectories *ret);
void config_directories_clear(ConfigDirectories *directories);

/* Never without a result but for -ENOMEM: a faulty line keeps the default and is in `problems`. */
int daemon_config_load(const ConfigDirectories *directories, Problems *problems, DaemonConfig **ret);

/* Names of all configured identities (NULL-terminated, sorted), from identities/NAME.conf in every directory;
 * a file of the same name in a later directory replaces the earlier one; an empty file or /dev/null masks it. Files whose
 * name is no identity name are in `problems`. */
int config_list_identities(const ConfigDirectories *directories, Problems *problems, char ***ret);

/* Files of one identity in the order in which they apply: its main file, then drop-ins sorted by name as systemd
 * does. NULL-terminated. -ENOENT: not configured. */
int config_identity_paths(const ConfigDirectories *directories, const char *name, char ***ret);
char **strings_free(char **strings);
DEFINE_CLEANUP(char *, strings_free)
