/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte strings: copying, hexadecimal, and reading from files and memfds with a named maximum. Owned strings always
 * carry one more NUL byte than their size says. */
#include "common/bytes.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

#define READ_CHUNK_MIN 4096U

BytesView bytes_view_string(const char *string) {
    return (BytesView) { (const uint8_t *) string, string ? strlen(string) : 0 };
}

int bytes_copy(BytesView view, Bytes *ret) {
    if (view.size == SIZE_MAX)
        return -ENOMEM;
    uint8_t *data = malloc(view.size + 1);
    if (!data)
        return -ENOMEM;
    if (view.size > 0)
        memcpy(data, view.data, view.size);
    data[view.size] = 0;
    *ret = (Bytes) { data, view.size };
    return 0;
}

int bytes_append(Bytes *bytes, BytesView view) {
    size_t size;

    if (__builtin_add_overflow(bytes->size, view.size, &size) || size == SIZE_MAX)
        return -ENOMEM;
    uint8_t *data = realloc(bytes->data, size + 1);
    if (!data)
        return -ENOMEM;
    if (view.size > 0)
        memcpy(data + bytes->size, view.data, view.size);
    data[size] = 0;
    *bytes = (Bytes) { data, size };
    return 0;
}

void bytes_clear(Bytes *bytes) {
    free(bytes->data);
    *bytes = BYTES_NULL;
}

bool bytes_view_equal(BytesView a, BytesView b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

char *bytes_to_hex(BytesView view) {
    static const char digits[] = "0123456789abcdef";

    if (view.size > (SIZE_MAX - 1) / 2)
        return NULL;
    char *hex = malloc(view.size * 2 + 1);
    if (!hex)
        return NULL;
    for (size_t i = 0; i < view.size; i++) {
        hex[2 * i] = digits[view.data[i] >> 4];
        hex[2 * i + 1] = digits[view.data[i] & 15];
    }
    hex[view.size * 2] = '\0';
    return hex;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int bytes_from_hex(const char *hex, Bytes *ret) {
    size_t length = hex ? strlen(hex) : 1;

    if (length % 2 != 0)
        return -EINVAL;
    _cleanup_bytes_ Bytes bytes = { malloc(length / 2 + 1), length / 2 };
    if (!bytes.data)
        return -ENOMEM;
    for (size_t i = 0; i < bytes.size; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);
        if (high < 0 || low < 0)
            return -EINVAL;
        bytes.data[i] = (uint8_t) (high << 4 | low);
    }
    bytes.data[bytes.size] = 0;
    *ret = bytes;
    bytes = BYTES_NULL;
    return 0;
}

/* Makes room for at least one more byte, and one for the NUL, without passing maximum + 1 of content: the byte above
 * the maximum is what shows that there is too much. */
static int grow(Bytes *bytes, size_t maximum, size_t *capacity) {
    size_t limit = maximum < SIZE_MAX - 2 ? maximum + 2 : SIZE_MAX;
    size_t wanted = *capacity < READ_CHUNK_MIN ? READ_CHUNK_MIN : *capacity;

    if (*capacity > 0 && __builtin_mul_overflow(wanted, 2U, &wanted))
        return -ENOMEM;
    if (wanted > limit)
        wanted = limit;
    uint8_t *data = realloc(bytes->data, wanted);
    if (!data)
        return -ENOMEM;
    bytes->data = data;
    *capacity = wanted;
    return 0;
}

int bytes_read_fd(int fd, size_t maximum, Bytes *ret) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;
    size_t capacity = 0;

    for (;;) {
        if (capacity - bytes.size < 2) {
            int r = grow(&bytes, maximum, &capacity);
            if (r < 0)
                return r;
        }
        ssize_t n = read(fd, bytes.data + bytes.size, capacity - bytes.size - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        bytes.size += (size_t) n;
        if (bytes.size > maximum)
            return -EFBIG;
    }
    bytes.data[bytes.size] = 0;
    *ret = bytes;
    bytes = BYTES_NULL;
    return 0;
}

int bytes_read_file(const char *path, size_t maximum, Bytes *ret) {
    struct stat status;
    /* O_NONBLOCK: a FIFO put in a file's place must not hold us up; regular files ignore it. */
    _cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADFD;
    return bytes_read_fd(fd, maximum, ret);
}

#define MEMFD_SEALS_REQUIRED (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

int bytes_to_memfd(const char *name, BytesView view) {
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    _cleanup_close_ int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

    if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
        fd = memfd_create(name, flags);
    if (fd < 0)
        return -errno;
    for (size_t written = 0; written < view.size;) {
        ssize_t n = pwrite(fd, view.data + written, view.size - written, (off_t) written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        written += (size_t) n;
    }
    if (fcntl(fd, F_ADD_SEALS, MEMFD_SEALS_REQUIRED | F_SEAL_SEAL) < 0)
        return -errno;
    return TAKE_FD(fd);
}

int bytes_from_memfd(int fd, size_t maximum, Bytes *ret) {
    struct stat status;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & MEMFD_SEALS_REQUIRED) != MEMFD_SEALS_REQUIRED)
        return -EBADFD;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADFD;
    if (status.st_size < 0 || (uintmax_t) status.st_size > maximum)
        return -EFBIG;
    size_t size = (size_t) status.st_size;
    _cleanup_bytes_ Bytes bytes = { malloc(size + 1), size };
    if (!bytes.data)
        return -ENOMEM;
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, bytes.data + got, size - got, (off_t) got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) /* opened for writing only, or not what its seals say */
            return -EBADFD;
        got += (size_t) n;
    }
    bytes.data[size] = 0;
    *ret = bytes;
    bytes = BYTES_NULL;
    return 0;
}
