/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ownership in the type system of GNU C: what owns something is declared with _cleanup_() from its
 * first line, and gives it away through TAKE_PTR or TAKE_FD. */
#pragma once

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(f, a) __attribute__((format(printf, f, a)))
#define _unused_       __attribute__((unused))
#define _warn_unused_  __attribute__((warn_unused_result))
#define _public_       __attribute__((visibility("default")))
/* In a declaration: for the project's other libraries, under a name that no program has: one of the same name in a
 * program would be called instead. */
#define _for_siblings_(name) __asm__("private_identityd_" #name) _public_

#define ARRAY_LENGTH(a) (sizeof(a) / sizeof((a)[0]))

#define TAKE_PTR(pointer)                                                                                              \
    ({                                                                                                                 \
        __auto_type _take_address = &(pointer);                                                                        \
        __auto_type _take_value = *_take_address;                                                                      \
        *_take_address = NULL;                                                                                         \
        _take_value;                                                                                                   \
    })

#define TAKE_FD(descriptor)                                                                                            \
    ({                                                                                                                 \
        int *_take_address = &(descriptor);                                                                            \
        int _take_value = *_take_address;                                                                              \
        *_take_address = -1;                                                                                           \
        _take_value;                                                                                                   \
    })

/* Defines `void free_function##_p(type **)`, for _cleanup_(): frees what the variable holds, if anything.
 * `type` is the pointee; the free function takes NULL and returns anything. */
#define DEFINE_CLEANUP(type, free_function)                                                                            \
    static inline void free_function##_p(type **pointer) {                                                             \
        if (*pointer)                                                                                                  \
            (void) free_function(*pointer);                                                                            \
    }

static inline void free_p(void *pointer) {
    free(*(void **) pointer);
}

/* Closes a descriptor unless it is negative, keeps errno, returns -1 to assign back. */
static inline int close_safe(int fd) {
    if (fd >= 0) {
        int saved = errno;
        (void) close(fd);
        errno = saved;
    }
    return -1;
}

static inline void close_p(int *fd) {
    (void) close_safe(*fd);
}

#define _cleanup_free_  _cleanup_(free_p)
#define _cleanup_close_ _cleanup_(close_p)
