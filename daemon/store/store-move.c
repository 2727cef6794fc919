/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories where rename(2) says EXDEV: on an overlay file system it does for each that the lower layer (an image)
 * has. Such a directory is copied to a new one, which has no such bounds, or emptied in an order in which no half of it
 * can be taken for work or for a generation. */
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define COPY_NAME_MAX 64U
#define KEYS_DEPTH    2U /* generations/N/key.pem */

static int copy_file(Place place, const char *name, void *data) {
    const Place *copy = data;
    _cleanup_bytes_ Bytes content = BYTES_NULL;

    if (strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0)
        return 0;
    int r = place_read(place, name, STORE_ISSUED_MAX, &content, NULL);
    return r < 0 ? r : place_write_new(*copy, name, bytes_view(&content), 0600, true);
}

/* Files alone, which is all that pending/ has. */
static int copy_directory(Place from, const char *name, Place to, const char *as) {
    _cleanup_close_ int source = place_open_directory(from, name);

    if (source < 0)
        return source;
    int r = place_remove_tree(to, as);
    if (r < 0)
        return r;
    if (mkdirat(to.fd, as, 0700) < 0)
        return -errno;
    _cleanup_close_ int copy = place_open_directory(to, as);
    if (copy < 0)
        return copy;
    Place place = { copy, as };
    r = place_each((Place) { source, name }, copy_file, &place);
    return r < 0 ? r : place_sync(place);
}

int place_move_directory(Place from, const char *name, Place to, const char *as) {
    char temporary[COPY_NAME_MAX];

    if (renameat(from.fd, name, to.fd, as) == 0)
        return 0;
    if (errno != EXDEV)
        return -errno;
    (void) snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%s", as);
    int r = copy_directory(from, name, to, temporary);
    if (r >= 0 && renameat(to.fd, temporary, to.fd, as) < 0)
        r = -errno;
    if (r < 0)
        (void) place_remove_tree(to, temporary);
    return r < 0 ? r : PLACE_COPIED;
}

typedef struct KeySearch {
    unsigned depth;
} KeySearch;

/* Without its key nothing passes for a generation, nor for pending work. */
static int remove_keys(Place place, const char *name, void *data) {
    const KeySearch *search = data;
    KeySearch below = { search->depth - 1U };
    _cleanup_close_ int fd = place_open_directory(place, name);

    if (fd < 0) /* a file, or gone */
        return fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT ? 0 : fd;
    const Place inner = { fd, name };
    if (unlinkat(fd, KEY_FILE, 0) == 0) {
        int r = place_sync(inner);
        if (r < 0)
            return r;
    } else if (errno != ENOENT)
        return -errno;
    return below.depth == 0 ? 0 : place_each(inner, remove_keys, &below);
}

int place_remove_in_place(Place place, const char *name) {
    KeySearch search = { KEYS_DEPTH };
    int r = remove_keys(place, name, &search);

    if (r >= 0)
        r = place_remove_tree(place, name);
    return r < 0 ? r : place_sync(place);
}
