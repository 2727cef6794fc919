/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Secrets live in pages of their own: locked where RLIMIT_MEMLOCK allows, left out of core dumps and of forked
 * children, and erased before they are given back. */
#include "common/secret.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct Secret {
    size_t size;
    uint8_t data[SECRET_MAX + 2U]; /* one for a newline that is dropped, one for the NUL or for what is too much */
};

static Secret *secret_allocate(void) {
    Secret *secret = mmap(NULL, sizeof(Secret), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (secret == MAP_FAILED)
        return NULL;
    /* All three are best effort: the limits of the machine decide. */
    (void) mlock(secret, sizeof(Secret));
    (void) madvise(secret, sizeof(Secret), MADV_DONTDUMP);
    (void) madvise(secret, sizeof(Secret), MADV_WIPEONFORK);
    return secret;
}

int secret_new(BytesView view, Secret **ret) {
    if (view.size > SECRET_MAX)
        return -E2BIG;
    Secret *secret = secret_allocate();
    if (!secret)
        return -ENOMEM;
    if (view.size > 0)
        memcpy(secret->data, view.data, view.size);
    secret->size = view.size;
    *ret = secret;
    return 0;
}

/* Reads straight into the locked pages, so that no other buffer ever holds the secret: a byte more than may stand there
 * with a newline, which shows what is too long. */
static int secret_read(int fd, Secret *secret) {
    while (secret->size < sizeof(secret->data)) {
        ssize_t n = read(fd, secret->data + secret->size, sizeof(secret->data) - secret->size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        secret->size += (size_t) n;
    }
    if (secret->size > 0 && secret->data[secret->size - 1] == '\n')
        secret->data[--secret->size] = 0;
    return secret->size > SECRET_MAX ? -E2BIG : 0;
}

int secret_from_credential(const char *name, Secret **ret) {
    const char *directory = getenv("CREDENTIALS_DIRECTORY");
    struct stat status;

    if (!name[0] || strlen(name) > NAME_MAX || strchr(name, '/') || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return -EINVAL;
    if (!directory || directory[0] != '/')
        return -ENXIO;
    _cleanup_close_ int directory_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (directory_fd < 0)
        return errno == ENOENT ? -ENXIO : -errno;
    _cleanup_close_ int fd = openat(directory_fd, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return -EBADFD;
    _cleanup_secret_ Secret *secret = secret_allocate();
    if (!secret)
        return -ENOMEM;
    int r = secret_read(fd, secret);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(secret);
    return 0;
}

BytesView secret_view(const Secret *secret) {
    return secret ? (BytesView) { secret->data, secret->size } : (BytesView) { NULL, 0 };
}

Secret *secret_free(Secret *secret) {
    if (secret) {
        explicit_bzero(secret, sizeof(*secret));
        (void) munmap(secret, sizeof(*secret));
    }
    return NULL;
}
