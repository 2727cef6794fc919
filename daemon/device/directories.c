/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* State, runtime and configuration directories. */
#include "device/directories.h"

#include "common/names.h"
#include "device/log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

static int open_one(const char *variable, const char *fallback, mode_t mode, char **ret_path) {
    const char *path = getenv(variable);
    _cleanup_free_ char *copy = strdup(path && path[0] ? path : fallback);

    if (!copy)
        return -ENOMEM;
    char *colon = strchr(copy, ':'); /* systemd lists several with colons; ours is the first */
    if (colon)
        *colon = '\0';
    if ((mkdir(copy, mode) < 0 || chmod(copy, mode) < 0) && errno != EEXIST) {
        int r = -errno;
        log_entry(LOG_ERR, MESSAGE_STORAGE, NULL,
                  "Cannot create %s: %s; create it for the user that identityd runs as, or set %s.", copy, strerror(-r),
                  variable);
        return r;
    }
    int fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int r = -errno;
        log_entry(LOG_ERR, MESSAGE_STORAGE, NULL, "Cannot open %s: %s; set %s to a directory that identityd may use.",
                  copy, strerror(-r), variable);
        return r;
    }
    if (ret_path)
        *ret_path = TAKE_PTR(copy);
    return fd;
}

int directories_open(Directories *ret) {
    int r = config_directories_from_environment(&ret->configuration);

    if (r < 0)
        return r;
    ret->state_fd = open_one("STATE_DIRECTORY", IDENTITYD_STATE_DIRECTORY, 0700, NULL);
    if (ret->state_fd < 0)
        return ret->state_fd;
    ret->runtime_fd = open_one("RUNTIME_DIRECTORY", IDENTITYD_RUNTIME_DIRECTORY, 0755, &ret->runtime_path);
    return ret->runtime_fd < 0 ? ret->runtime_fd : 0;
}

void directories_close(Directories *directories) {
    config_directories_clear(&directories->configuration);
    free(directories->runtime_path);
    close_safe(directories->state_fd);
    close_safe(directories->runtime_fd);
    *directories = DIRECTORIES_NONE;
}
