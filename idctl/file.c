/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Named files and standard streams: see file.h. */
#include "idctl/file.h"

#include "idctl/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

ExitCode file_open(const char *path, int *ret) {
    int fd =
        strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3) : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);

    if (fd < 0) {
        complain("cannot open %s: %s.", path, strerror(errno));
        return EXIT_FAILED;
    }
    *ret = fd;
    return EXIT_OK;
}

ExitCode file_read(const char *path, size_t maximum, Bytes *ret) {
    _cleanup_close_ int fd = -1;

    ExitCode code = file_open(path, &fd);
    if (code != EXIT_OK)
        return code;
    int r = bytes_read_fd(fd, maximum, ret);
    if (r == -EFBIG)
        complain("%s is larger than %zu bytes.", path, maximum);
    else if (r < 0)
        complain("cannot read %s: %s.", path, strerror(-r));
    return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int write_all(int fd, BytesView data) {
    while (data.size > 0) {
        ssize_t n = write(fd, data.data, data.size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        data.data += n;
        data.size -= (size_t) n;
    }
    return 0;
}

/* Beside the target and renamed over it, so that a full disk leaves the old file. */
static int write_replacing(const char *path, BytesView data) {
    _cleanup_free_ char *temporary = NULL;
    _cleanup_close_ int fd = -1;
    mode_t mask = umask(077);

    umask(mask);
    if (asprintf(&temporary, "%s.XXXXXX", path) < 0) {
        temporary = NULL;
        return -ENOMEM;
    }
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int r = write_all(fd, data);
    if (r == 0 && fchmod(fd, 0666 & ~mask) < 0)
        r = -errno;
    if (r == 0 && rename(temporary, path) < 0)
        r = -errno;
    if (r < 0)
        (void) unlink(temporary);
    return r;
}

static int write_existing(const char *path, BytesView data) {
    _cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);

    return fd < 0 ? -errno : write_all(fd, data);
}

/* Standard output or error, where the path is a link that leads to it, as /dev/stdout is; else -1. Redirected to a
 * file, such a link looks like one to a file, and renaming would replace the link itself. */
static int stream_of(const char *path) {
    struct stat link, status, stream;

    if (lstat(path, &link) < 0 || !S_ISLNK(link.st_mode) || stat(path, &status) < 0)
        return -1;
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (fstat(fd, &stream) == 0 && stream.st_dev == status.st_dev && stream.st_ino == status.st_ino)
            return fd;
    return -1;
}

ExitCode file_write(const char *path, BytesView data, bool binary) {
    int r, stream = strcmp(path, "-") == 0 ? STDOUT_FILENO : stream_of(path);
    struct stat status;

    if (stream >= 0) {
        if (binary && isatty(stream)) {
            complain("the result is binary and %s is a terminal: name a file with --out, or use a pipe.",
                     stream == STDOUT_FILENO ? "standard output" : "standard error");
            return EXIT_USAGE;
        }
        fflush(stdout);
        r = write_all(stream, data);
    } else if (stat(path, &status) == 0 && !S_ISREG(status.st_mode))
        r = write_existing(path, data); /* a fifo, a device */
    else
        r = write_replacing(path, data);
    if (r < 0) {
        complain("cannot write %s: %s.", path, strerror(-r));
        return EXIT_FAILED;
    }
    return EXIT_OK;
}
