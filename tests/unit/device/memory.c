/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In place of the C library's, for all that is linked with --wrap. */
#include "tests/unit/device/memory.h"

#include <stddef.h>

static _Thread_local bool is_counting, has_failed;
static _Thread_local unsigned left;

void memory_fail_after(unsigned count) {
    is_counting = true;
    has_failed = false;
    left = count;
}

bool memory_is_back(void) {
    is_counting = false;
    return has_failed;
}

static bool fails(void) {
    if (!is_counting)
        return false;
    if (left-- > 0)
        return false;
    is_counting = false; /* once */
    has_failed = true;
    return true;
}

#define WRAP(result, name, parameters, arguments)                                                                      \
    result __real_##name parameters;                                                                                   \
    result __wrap_##name parameters;                                                                                   \
    result __wrap_##name parameters {                                                                                  \
        return fails() ? NULL : __real_##name arguments;                                                               \
    }

WRAP(void *, malloc, (size_t size), (size))
WRAP(void *, calloc, (size_t count, size_t size), (count, size))
WRAP(void *, realloc, (void *old, size_t size), (old, size))
WRAP(void *, reallocarray, (void *old, size_t count, size_t size), (old, count, size))
WRAP(char *, strdup, (const char *text), (text))
