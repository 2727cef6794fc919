/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is removed: renamed to trash/ first, so that it is gone for all who look at one instant, and then deleted. */
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRASH_NAMES_MAX 1024U
#define NAME_LENGTH_MAX 200U

/* Renames NAME to a free name in trash/; 1 if there was nothing. */
static int move_to_trash(Place place, const char *name, Place trash, char ret[static NAME_LENGTH_MAX]) {
    struct stat status;

    for (unsigned i = 0; i < TRASH_NAMES_MAX; i++) {
        (void) snprintf(ret, NAME_LENGTH_MAX, "%.100s.%u", name, i);
        if (fstatat(trash.fd, ret, &status, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        if (renameat(place.fd, name, trash.fd, ret) == 0)
            return 0;
        return errno == ENOENT ? 1 : -errno;
    }
    return -EEXIST;
}

static int remove_entry(Place place, const char *name, void *data) {
    return place_remove_tree(place, name);
}

static int empty_trash(Place trash) {
    int r = place_sync(trash);

    return r < 0 ? r : place_each(trash, remove_entry, NULL);
}

int store_tidy(Store *store, Failure *ret_failure) {
    _cleanup_close_ int fd = place_open_directory(store_place(store), TRASH);
    int r = fd < 0 ? fd : empty_trash((Place) { fd, TRASH });

    store->untidy = r < 0 && r != -ENOENT;
    return store->untidy ? place_failure(store_place(store), TRASH, r, "emptied", ret_failure) : 0;
}

bool store_is_tidy(const Store *store) {
    return !store->untidy;
}

int store_discard(Store *store, Place place, const char *name, Failure *ret_failure) {
    _cleanup_close_ int trash_fd = -1;
    char name_in_trash[NAME_LENGTH_MAX];
    struct stat status;

    if (fstatat(place.fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT)
        return 0;
    int r = place_make_directory(store_place(store), TRASH, &trash_fd, ret_failure);
    if (r < 0)
        return r;
    r = move_to_trash(place, name, (Place) { trash_fd, TRASH }, name_in_trash);
    if (r > 0)
        return 0;
    if (r == -EXDEV) {
        r = place_remove_in_place(place, name);
        return r < 0 ? place_failure(place, name, r, "removed", ret_failure) : 0;
    }
    if (r < 0)
        return place_failure(place, name, r, "moved to trash/", ret_failure);
    r = place_sync(place);
    store->untidy = r < 0 || empty_trash((Place) { trash_fd, TRASH }) < 0;
    return r < 0 ? place_failure(place, name, r, "moved to trash/", ret_failure) : 0;
}
