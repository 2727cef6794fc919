/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The directories that systemd gives us (docs/design.md §6), held open. */
#pragma once

#include "config/daemon-config.h"

typedef struct Directories {
    ConfigDirectories configuration;
    char *runtime_path;
    int state_fd, runtime_fd;
} Directories;

#define DIRECTORIES_NONE ((Directories) { .state_fd = -1, .runtime_fd = -1 })

/* Makes what is not there. `ret` is DIRECTORIES_NONE before; what was opened is in it also on failure. Says what is
 * wrong; 0 or -errno. */
int directories_open(Directories *ret);
void directories_close(Directories *directories);
