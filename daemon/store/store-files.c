/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The file operations under the store. Order is everything here: content is durable before its name is, and a name is
 * durable before anything relies on it. */
#include "store/store-internal.h"

#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_DEPTH_MAX  4U
#define NAME_LENGTH_MAX 200U

char *path_join(const char *path, const char *name) {
    char *joined = NULL;

    return asprintf(&joined, "%s/%s", path, name) < 0 ? NULL : joined;
}

char *path_of_directory(int fd, const char *name) {
    char link[64], path[4096];

    (void) snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof(path) - 1);
    path[n > 0 ? n : 0] = '\0';
    return name ? path_join(path, name) : strdup(path);
}

static const char *advice(int r) {
    switch (r) {
    case -ENOSPC:
    case -EDQUOT:
        return "; free some space there";
    case -EROFS:
        return "; make that file system writable";
    case -EACCES:
    case -EPERM:
        return "; check owner and mode";
    case -EIO:
    case -EUCLEAN:
        return "; the file system or its medium is damaged";
    default:
        return "";
    }
}

int place_failure(Place place, const char *name, int r, const char *what, Failure *ret_failure) {
    return failure_set(ret_failure, r, FAILURE_STORAGE, "%s/%s cannot be %s: %s%s", place.path, name, what,
                       strerror(-r), advice(r));
}

int place_malformed(Place place, const char *name, unsigned line, const char *text, Failure *ret_failure) {
    if (line > 0)
        return failure_set(ret_failure, -EBADMSG, FAILURE_STORAGE, "%s/%s:%u: %s", place.path, name, line, text);
    return failure_set(ret_failure, -EBADMSG, FAILURE_STORAGE, "%s/%s: %s", place.path, name, text);
}

int place_open_directory(Place place, const char *name) {
    int fd = openat(place.fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? -errno : fd;
}

int place_sync(Place place) {
    return fsync(place.fd) < 0 ? -errno : 0;
}

int place_open_failure(Place place, const char *name, int r, Failure *ret_failure) {
    if (r == -ENOTDIR || r == -ELOOP)
        return place_malformed(place, name, 0, "is not a directory", ret_failure);
    return place_failure(place, name, r, "opened as a directory", ret_failure);
}

int place_make_directory(Place place, const char *name, int *ret_fd, Failure *ret_failure) {
    int fd = place_open_directory(place, name);

    if (fd == -ENOENT) {
        if (mkdirat(place.fd, name, 0700) < 0 && errno != EEXIST)
            return place_failure(place, name, -errno, "made", ret_failure);
        int r = place_sync(place);
        if (r < 0)
            return place_failure(place, name, r, "made", ret_failure);
        fd = place_open_directory(place, name);
    }
    if (fd < 0)
        return place_failure(place, name, fd, "opened as a directory", ret_failure);
    *ret_fd = fd;
    return 0;
}

int place_read(Place place, const char *name, size_t maximum, Bytes *ret, Failure *ret_failure) {
    _cleanup_close_ int fd = openat(place.fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    struct stat status;

    if (fd < 0 && errno == ENOENT)
        return -ENOENT;
    if (fd < 0 && (errno == ELOOP || errno == ENXIO))
        return place_malformed(place, name, 0, "is not a regular file", ret_failure);
    if (fd < 0)
        return place_failure(place, name, -errno, "opened", ret_failure);
    if (fstat(fd, &status) < 0)
        return place_failure(place, name, -errno, "examined", ret_failure);
    if (!S_ISREG(status.st_mode))
        return place_malformed(place, name, 0, "is not a regular file", ret_failure);
    int r = bytes_read_fd(fd, maximum, &content);
    if (r == -EFBIG)
        return place_malformed(place, name, 0, "is larger than such a file may be", ret_failure);
    if (r < 0)
        return place_failure(place, name, r, "read", ret_failure);
    if (content.size == 0)
        return place_malformed(place, name, 0, "is empty", ret_failure);
    *ret = content;
    content = BYTES_NULL;
    return 0;
}

static int write_all(int fd, BytesView content) {
    while (content.size > 0) {
        ssize_t n = write(fd, content.data, content.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        content.data += n;
        content.size -= (size_t) n;
    }
    return 0;
}

int place_write_new(Place place, const char *name, BytesView content, mode_t mode, bool durable) {
    int fd = openat(place.fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return -errno;
    int r = write_all(fd, content);
    if (r == 0 && mode != 0600 && fchmod(fd, mode) < 0)
        r = -errno;
    if (r == 0 && durable && fsync(fd) < 0)
        r = -errno;
    if (close(fd) < 0 && r == 0 && errno != EINTR)
        r = -errno;
    return r;
}

int place_write(Place place, const char *name, BytesView content, Failure *ret_failure) {
    char temporary[NAME_LENGTH_MAX + sizeof(TEMPORARY_PREFIX)];

    assert(strlen(name) <= NAME_LENGTH_MAX);
    (void) snprintf(temporary, sizeof(temporary), TEMPORARY_PREFIX "%s", name);
    if (unlinkat(place.fd, temporary, 0) < 0 && errno != ENOENT)
        return place_failure(place, temporary, -errno, "removed", ret_failure);
    int r = place_write_new(place, temporary, content, 0600, true);
    if (r == 0 && renameat(place.fd, temporary, place.fd, name) < 0)
        r = -errno;
    if (r < 0) {
        (void) unlinkat(place.fd, temporary, 0);
        return place_failure(place, name, r, "written", ret_failure);
    }
    r = place_sync(place);
    return r < 0 ? place_failure(place, name, r, "written", ret_failure) : 0;
}

int place_each(Place place, int (*each)(Place place, const char *name, void *data), void *data) {
    int fd = openat(place.fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    size_t count = 0;
    int r = 0;

    if (fd < 0)
        return -errno;
    DIR *stream = fdopendir(fd);
    if (!stream) {
        r = -errno;
        (void) close(fd);
        return r;
    }
    while (r == 0) {
        errno = 0;
        struct dirent *entry = readdir(stream);
        if (!entry) {
            r = -errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        r = ++count > DIRECTORY_ENTRIES_MAX ? -E2BIG : each(place, entry->d_name, data);
    }
    (void) closedir(stream);
    return r;
}

static int remove_tree(Place place, const char *name, unsigned depth);

static int remove_entry(Place place, const char *name, void *data) {
    return remove_tree(place, name, *(unsigned *) data);
}

static int remove_tree(Place place, const char *name, unsigned depth) {
    if (unlinkat(place.fd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM) /* EPERM: what POSIX says for a directory */
        return -errno;
    if (depth == 0)
        return -ELOOP;
    depth--;
    _cleanup_close_ int fd = place_open_directory(place, name);
    if (fd < 0)
        return fd;
    int r = place_each((Place) { fd, name }, remove_entry, &depth);
    if (r < 0)
        return r;
    return unlinkat(place.fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int place_remove_tree(Place place, const char *name) {
    return remove_tree(place, name, TREE_DEPTH_MAX);
}
