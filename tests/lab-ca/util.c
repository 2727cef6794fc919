/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files, numbers and complaints of the lab CA. */
#include "util.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

void complain(const char *format, ...) {
    va_list arguments;
    char text[1024];

    va_start(arguments, format);
    (void) vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    (void) fprintf(stderr, "lab-ca: %s\n", text);
}

int gnutls_complain(int code, const char *what) {
    complain("%s: %s", what, gnutls_strerror(code));
    return -EIO;
}

char *path_join(const char *directory, const char *name) {
    char *path = NULL;

    if (name[0] == '/')
        return strdup(name);
    return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}

static int write_all(int fd, const uint8_t *data, size_t size) {
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        data += n;
        size -= (size_t) n;
    }
    return 0;
}

int file_write(const char *directory, const char *name, const void *data, size_t size, mode_t mode) {
    _cleanup_free_ char *path = path_join(directory, name), *temporary = NULL;
    _cleanup_close_ int fd = -1;
    int r;

    if (!path || asprintf(&temporary, "%s.XXXXXX", path) < 0)
        return -ENOMEM;
    fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0) {
        r = -errno;
        complain("cannot write %s: %s", path, strerror(-r));
        return r;
    }
    r = write_all(fd, data, size);
    if (r == 0 && (fchmod(fd, mode) < 0 || rename(temporary, path) < 0))
        r = -errno;
    if (r < 0) {
        complain("cannot write %s: %s", path, strerror(-r));
        (void) unlink(temporary);
    }
    return r;
}

int file_write_text(const char *directory, const char *name, const char *text) {
    return file_write(directory, name, text, strlen(text), 0644);
}

int file_read(const char *directory, const char *name, gnutls_datum_t *ret) {
    _cleanup_free_ char *path = path_join(directory, name);
    _cleanup_datum_ gnutls_datum_t datum = DATUM_NULL;
    _cleanup_close_ int fd = -1;
    struct stat st;

    if (!path)
        return -ENOMEM;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0)
        return -errno;
    if (!S_ISREG(st.st_mode))
        return -EBADF;
    if (st.st_size > FILE_MAX)
        return -EFBIG;
    datum.data = gnutls_malloc((size_t) st.st_size + 1);
    if (!datum.data)
        return -ENOMEM;
    while (datum.size < st.st_size) {
        ssize_t n = read(fd, datum.data + datum.size, (size_t) st.st_size - datum.size);

        if (n < 0 && errno != EINTR)
            return -errno;
        if (n == 0)
            break;
        if (n > 0)
            datum.size += (unsigned) n;
    }
    datum.data[datum.size] = '\0';
    *ret = datum;
    datum = DATUM_NULL;
    return 0;
}

char *file_read_line(const char *directory, const char *name) {
    _cleanup_datum_ gnutls_datum_t datum = DATUM_NULL;

    if (file_read(directory, name, &datum) < 0)
        return NULL;
    return strndup((const char *) datum.data, strcspn((const char *) datum.data, "\r\n"));
}

bool file_exists(const char *directory, const char *name) {
    _cleanup_free_ char *path = path_join(directory, name);

    return path && access(path, F_OK) == 0;
}

int parse_number(const char *text, int64_t minimum, int64_t maximum, int64_t *ret) {
    char *end = NULL;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (end == text || *end != '\0')
        return -EINVAL;
    if (errno != 0 || value < minimum || value > maximum)
        return -ERANGE;
    *ret = value;
    return 0;
}
