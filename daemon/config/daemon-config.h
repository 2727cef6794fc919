/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* identityd.conf as typed values, and where configuration files are found. */
#pragma once

#include "config/problem.h"
#include "config/values.h"

#include <stdint.h>

#define PARENT_HANDLE_DEFAULT     0x81000001U /* docs/facts.md, "TPM": the SRK */
#define SERIAL_CREDENTIAL_DEFAULT "serial"
#define HANDLES_PER_USER_DEFAULT  64U
#define HANDLES_PER_USER_MAX      4096U
#define HANDLES_PER_RULE_DEFAULT  256U
#define HANDLES_DEFAULT           1024U
#define HANDLES_MAX               65536U
#define IDENTITIES_DEFAULT        64U
#define IDENTITIES_MAX            1024U

typedef struct DaemonConfig {
    /* [TPM] */
    char *tcti;                      /* TCTI=, NULL: device:/dev/tpmrm0 */
    uint32_t parent_handle;          /* ParentHandle=0x81000001 */
    char *owner_authorization;       /* OwnerAuthCredential=: name of a systemd credential, or NULL */
    char *endorsement_authorization; /* EndorsementAuthCredential= */
    char *device_id_salt;            /* DeviceIdSalt=, NULL: none */
    char *serial_credential;         /* SerialCredential=: systemd credential that holds %s; default "serial" */
    /* [Limits] */
    uint32_t handles_per_user; /* HandlesPerUser=, default 64, 1…4096; root is not limited */
    uint32_t handles_per_rule; /* HandlesPerRule=, default 256, 1…65536 */
    uint32_t handles;          /* Handles=, default 1024, 1…65536 */
    uint32_t identities;       /* Identities=, default 64, 1…1024 */
} DaemonConfig;

DaemonConfig *daemon_config_free(DaemonConfig *config);
DEFINE_CLEANUP(DaemonConfig, daemon_config_free)
#define _cleanup_daemon_config_ _cleanup_(daemon_config_free_p)

/* The directories in rising precedence, from the environment as systemd sets it: vendor, RUNTIME_DIRECTORY/conf,
 * CONFIGURATION_DIRECTORY. Of a list in a variable the first counts. */
typedef struct ConfigDirectories {
    char *vendor, *runtime, *configuration; /* owned */
} ConfigDirectories;
/* 0, -EINVAL for a relative path in a variable, -ENOMEM. */
int config_directories_from_environment(ConfigDirectories *ret);
void config_directories_clear(ConfigDirectories *directories);
#define _cleanup_config_directories_ _cleanup_(config_directories_clear)

/* identityd.conf and identityd.conf.d/ of all directories. Never without a result but for -ENOMEM: a faulty line keeps
 * the default and is in `problems`. */
int daemon_config_load(const ConfigDirectories *directories, Problems *problems, DaemonConfig **ret);

/* Whether the systemd credential of this name is an authorization of the TPM, which nobody else must get. */
bool daemon_config_credential_is_secret(const DaemonConfig *config, const char *name);

/* Names of all configured identities (NULL-terminated, sorted), from identities/NAME.conf in every directory;
 * a file of the same name in a later directory replaces the earlier one; an empty file or /dev/null masks it. Files
 * whose name is no identity name, and directories that cannot be read, are in `problems`. 1: the list lacks what is in
 * such a directory; -ENOMEM. */
int config_list_identities(const ConfigDirectories *directories, Problems *problems, char ***ret);

/* Files of one identity in the order in which they apply: its main file, then drop-ins sorted by name as systemd
 * does. NULL-terminated. -ENOENT: not configured; -ENOMEM; or -errno of reading a directory. */
int config_identity_paths(const ConfigDirectories *directories, const char *name, char ***ret);

/* The same for a file by its path below the directories ("identityd.conf"); none at all gives an empty list. */
int config_file_paths(const ConfigDirectories *directories, const char *file, char ***ret);
