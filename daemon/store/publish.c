/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published files. The runtime directory does not survive a power cut, so nothing here is synced; but a reader never
 * sees half a file or two generations in one directory: where the file system cannot exchange two directories, it finds
 * none for a moment. */
#include "common/names.h"
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEMPORARY_NAME_SIZE (sizeof(TEMPORARY_PREFIX) + IDENTITY_NAME_MAX)
#define FILE_NAME_MAX       64U

static bool file_name_is_valid(const char *name) {
    size_t length = strlen(name);

    return length > 0 && length <= FILE_NAME_MAX && name[0] != '.' && !strchr(name, '/');
}

/* The set in a directory under the temporary name. */
static int build(int runtime_fd, const char *temporary, const PublishedFile *files, size_t count) {
    int r = place_remove_tree((Place) { runtime_fd, "" }, temporary);
    if (r < 0)
        return r;
    if (mkdirat(runtime_fd, temporary, 0700) < 0)
        return -errno;
    const Place place = { openat(runtime_fd, temporary, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), temporary };
    if (place.fd < 0)
        return -errno;
    for (size_t i = 0; i < count && r == 0; i++)
        r = file_name_is_valid(files[i].name) ? place_write_new(place, files[i].name, files[i].content, 0644, false)
                                              : -EINVAL;
    /* Only now may others look in. */
    if (r == 0 && fchmod(place.fd, 0755) < 0)
        r = -errno;
    (void) close(place.fd);
    return r;
}

/* Gives NAME to what has the temporary name. An overlay file system whose lower layer has NAME can neither exchange nor
 * move it, and others do not know how to exchange: there the old set goes first. */
static int replace(int runtime_fd, const char *temporary, const char *name) {
    int r = place_remove_tree((Place) { runtime_fd, "" }, name);

    if (r < 0)
        return r;
    return renameat(runtime_fd, temporary, runtime_fd, name) < 0 ? -errno : 0;
}

/* Swaps NAME and the temporary name, or gives NAME to what has none yet. */
static int swap_in(int runtime_fd, const char *temporary, const char *name) {
    struct stat status;

    if (fstatat(runtime_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT && renameat(runtime_fd, temporary, runtime_fd, name) == 0 ? 0 : -errno;
    /* An identity must not take the place of a socket or of another directory's file of that name. */
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (renameat2(runtime_fd, temporary, runtime_fd, name, RENAME_EXCHANGE) == 0)
        return 0;
    return errno == EXDEV || errno == EINVAL || errno == ENOSYS ? replace(runtime_fd, temporary, name) : -errno;
}

static int unpublish(int runtime_fd, const char *temporary, const char *name) {
    int r = place_remove_tree((Place) { runtime_fd, "" }, temporary);
    if (r < 0)
        return r;
    struct stat status;
    if (fstatat(runtime_fd, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISDIR(status.st_mode))
        return -ENOTDIR;
    if (renameat(runtime_fd, name, runtime_fd, temporary) == 0)
        return place_remove_tree((Place) { runtime_fd, "" }, temporary);
    return errno == EXDEV ? place_remove_tree((Place) { runtime_fd, "" }, name) : -errno;
}

static int count_entry(Place place, const char *name, void *data) {
    (*(size_t *) data)++;
    return 0;
}

static bool is_published(int runtime_fd, const char *name, const PublishedFile *files, size_t count) {
    _cleanup_close_ int fd = place_open_directory((Place) { runtime_fd, "" }, name);
    const Place place = { fd, name };
    size_t entries = 0;

    if (fd < 0 || place_each(place, count_entry, &entries) < 0 || entries != count)
        return false;
    for (size_t i = 0; i < count; i++) {
        _cleanup_bytes_ Bytes content = BYTES_NULL;
        if (!file_name_is_valid(files[i].name) ||
            place_read(place, files[i].name, files[i].content.size, &content, NULL) < 0 ||
            !bytes_view_equal(bytes_view(&content), files[i].content))
            return false;
    }
    return true;
}

int publish_set(int runtime_fd, const char *name, const PublishedFile *files, size_t count, Failure *ret_failure) {
    char temporary[TEMPORARY_NAME_SIZE];
    _cleanup_free_ char *path = path_of_directory(runtime_fd, NULL);

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, name);
    const Place runtime = { runtime_fd, path };
    if (!identity_name_is_valid(name))
        return place_failure(runtime, name, -EINVAL, "published", ret_failure);
    (void) snprintf(temporary, sizeof(temporary), TEMPORARY_PREFIX "%s", name);
    if (count == 0) {
        int r = unpublish(runtime_fd, temporary, name);
        return r < 0 ? place_failure(runtime, name, r, "removed", ret_failure) : 0;
    }
    if (is_published(runtime_fd, name, files, count))
        return 0;
    int r = build(runtime_fd, temporary, files, count);
    if (r == 0)
        r = swap_in(runtime_fd, temporary, name);
    /* The set before, or what could not be finished. */
    (void) place_remove_tree((Place) { runtime_fd, "" }, temporary);
    return r < 0 ? place_failure(runtime, name, r, "published", ret_failure) : 0;
}
