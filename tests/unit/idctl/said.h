/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a command writes to a stream of its own, caught in a file. */
#pragma once

#include "tests/unit/common/test.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct Said {
    FILE *stream, *file;
    int kept;
    char text[16384];
} Said;

/* From here on what goes to `stream` is caught. */
static inline void said_begin(FILE *stream, Said *ret) {
    *ret = (Said) { .stream = stream, .file = tmpfile() };
    assert_non_null(ret->file);
    fflush(stream);
    ret->kept = dup(fileno(stream));
    assert_true(ret->kept >= 0);
    assert_true(dup2(fileno(ret->file), fileno(stream)) >= 0);
}

/* The stream is as before; what was caught. */
static inline const char *said_end(Said *said) {
    fflush(said->stream);
    assert_true(dup2(said->kept, fileno(said->stream)) >= 0);
    (void) close(said->kept);
    ssize_t n = pread(fileno(said->file), said->text, sizeof said->text - 1, 0);
    assert_true(n >= 0);
    said->text[n] = '\0';
    fclose(said->file);
    return said->text;
}
