/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The configuration as its files say it, read by the daemon's own reader; and the files that it names. */
#pragma once

#include "config/daemon-config.h"
#include "config/identity-config.h"
#include "idctl/check-access.h"
#include "idctl/check-files.h"
#include "idctl/findings.h"

/* What is looked for, and with whose eyes. */
typedef struct ConfigLook {
    const char *identity; /* NULL: all */
    FileReader reader;
    AccessDirectory access;
} ConfigLook;

typedef struct CheckedConfig {
    DaemonConfig *daemon;     /* owned; NULL: nothing could be read */
    char **names;             /* all configured identities; NULL-terminated, owned */
    IdentityConfig **configs; /* those that could be read, owned */
    size_t count;
} CheckedConfig;

void checked_config_clear(CheckedConfig *config);
#define _cleanup_checked_config_ _cleanup_(checked_config_clear)

/* Reads everything and adds what is found about all, or about identityd.conf and the one that is looked for. 0 or
 * -ENOMEM. */
int check_config(const ConfigLook *look, Findings *findings, CheckedConfig *ret);

/* The configuration of one; NULL if it could not be read. */
const IdentityConfig *checked_config_find(const CheckedConfig *config, const char *identity);
