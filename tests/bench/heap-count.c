/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Preloaded into identityd by tests/bench/soak: how many bytes and blocks of the heap are in use, in the first 16 bytes
 * of the file $HEAP_COUNT. What the kernel says of a process cannot tell a leak from a hole between two blocks; this
 * can, and a hundred bytes lost at each renewal are seen within minutes. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct Count {
    int64_t bytes, blocks;
} Count;

static Count before_the_file; /* what is allocated before the file is there is counted here, and taken over */
static Count *count = &before_the_file;

static void add(const void *block, int sign) {
    if (!block)
        return;
    (void) __atomic_fetch_add(&count->bytes, sign * (int64_t) malloc_usable_size((void *) (uintptr_t) block),
                              __ATOMIC_RELAXED);
    (void) __atomic_fetch_add(&count->blocks, sign, __ATOMIC_RELAXED);
}

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("HEAP_COUNT");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    Count *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    (void) close(fd);
    if (shared == MAP_FAILED)
        return;
    *shared = before_the_file;
    count = shared;
}

/* The C library's function that this one stands before. */
#define NEXT(name)                                                                                                     \
    static __typeof__(name) *next;                                                                                     \
    if (!next)                                                                                                         \
    *(void **) &next = dlsym(RTLD_NEXT, #name)

void *malloc(size_t size) {
    NEXT(malloc);
    void *block = next(size);

    add(block, 1);
    return block;
}

void *calloc(size_t number, size_t size) {
    NEXT(calloc);
    void *block = next(number, size);

    add(block, 1);
    return block;
}

void *realloc(void *old, size_t size) {
    NEXT(realloc);
    const int64_t before = old ? (int64_t) malloc_usable_size(old) : 0;
    void *block = next(old, size);

    if (block || size == 0) {
        (void) __atomic_fetch_sub(&count->bytes, before, __ATOMIC_RELAXED);
        (void) __atomic_fetch_sub(&count->blocks, old != NULL, __ATOMIC_RELAXED);
        add(block, 1);
    }
    return block;
}

void *reallocarray(void *old, size_t number, size_t size) {
    size_t bytes;

    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return realloc(old, bytes);
}

void *aligned_alloc(size_t alignment, size_t size) {
    NEXT(aligned_alloc);
    void *block = next(alignment, size);

    add(block, 1);
    return block;
}

int posix_memalign(void **ret, size_t alignment, size_t size) {
    NEXT(posix_memalign);
    int r = next(ret, alignment, size);

    if (r == 0)
        add(*ret, 1);
    return r;
}

void free(void *block) {
    NEXT(free);
    add(block, -1);
    next(block);
}
