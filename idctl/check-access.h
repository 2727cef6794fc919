/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether those whom [Access] admits exist on this system. */
#pragma once

#include "config/identity-config.h"
#include "idctl/findings.h"

#include <systemd/sd-bus.h>

typedef enum Existence { EXISTS, EXISTS_NOT, EXISTENCE_UNKNOWN } Existence;

/* Who can say so; a table, so that the check is tested without /etc/passwd and systemd. Names are as in the rules: for
 * units that may be a pattern. */
typedef struct AccessDirectory {
    Existence (*user)(const char *name, void *userdata);
    Existence (*group)(const char *name, void *userdata);
    Existence (*unit)(const char *name, void *userdata);
    void *userdata;
} AccessDirectory;

/* The system's own: NSS, and systemd on `bus`. NULL: nobody is asked about units. */
AccessDirectory access_directory_system(sd_bus *bus);

/* A finding for each name that does not exist, with all the purposes that it is admitted for. Numbers need no name. */
void check_access(const IdentityConfig *config, const AccessDirectory *directory, Findings *findings);
