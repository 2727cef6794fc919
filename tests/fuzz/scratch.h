/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A directory for targets whose code reads files, and the bytes of an input taken one after the other. */
#pragma once

#include "fuzz.h"

#include "common/bytes.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch_root[PATH_MAX / 4];

static inline int scratch_remove_one(const char *path, const struct stat *status, int type, struct FTW *ftw) {
    return remove(path);
}

static inline void scratch_remove(void) {
    (void) nftw(scratch_root, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* The directory: made when first asked for, gone when the program ends. In memory where that can be: some write a file
 * for each input. */
static inline const char *scratch(void) {
    const char *directory = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : getenv("TMPDIR") ?: "/tmp";

    if (scratch_root[0])
        return scratch_root;
    require(snprintf(scratch_root, sizeof scratch_root, "%s/identityd-fuzz-XXXXXX", directory) <
            (int) sizeof scratch_root);
    require(mkdtemp(scratch_root) && atexit(scratch_remove) == 0);
    return scratch_root;
}

/* As new. */
static inline void scratch_empty(void) {
    const char *root = scratch();

    scratch_remove();
    require(mkdir(root, 0700) == 0);
}

/* A file below it; its directory is made. The path is good until the fourth call from here. */
static inline const char *scratch_write(const char *name, BytesView content) {
    static char paths[4][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % 4];

    require(snprintf(path, PATH_MAX, "%s/%s", scratch(), name) < PATH_MAX);
    for (char *slash = path + strlen(scratch()) + 1; (slash = strchr(slash, '/')); *slash++ = '/') {
        *slash = '\0';
        require(mkdir(path, 0700) == 0 || errno == EEXIST);
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    require(fd >= 0 && write(fd, content.data, content.size) == (ssize_t) content.size && close(fd) == 0);
    return path;
}

/* ---- an input as choices, and what they are about ---- */

/* The next byte; 0 at the end, so that each input means something. */
static inline uint8_t choose(BytesView *rest) {
    if (rest->size == 0)
        return 0;
    *rest = (BytesView) { rest->data + 1, rest->size - 1 };
    return rest->data[-1];
}

/* Up to so many bytes. */
static inline BytesView choose_bytes(BytesView *rest, size_t size) {
    BytesView bytes = { rest->data, size < rest->size ? size : rest->size };

    *rest = (BytesView) { rest->data + bytes.size, rest->size - bytes.size };
    return bytes;
}

/* As many as the next two bytes say, of what is there. */
static inline BytesView choose_sized(BytesView *rest) {
    size_t size = choose(rest);

    size = size << 8 | choose(rest);
    return choose_bytes(rest, size);
}
