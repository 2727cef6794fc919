/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Byte strings. `Bytes` owns its memory, `BytesView` borrows somebody's. Lengths travel with pointers
 * everywhere in this project, so these two types are what parsers take and makers give. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Bytes {
    uint8_t *data;
    size_t size;
} Bytes;

typedef struct BytesView {
    const uint8_t *data;
    size_t size;
} BytesView;

#define BYTES_NULL ((Bytes) { NULL, 0 })

static inline BytesView bytes_view(const Bytes *bytes) {
    return (BytesView) { bytes->data, bytes->size };
}

/* A view of a string literal or a NUL-terminated string, without its NUL. NULL gives an empty view. */
BytesView bytes_view_string(const char *string);

/* Copies `view`; the copy is followed by a NUL byte that its size does not count, so that text can be
 * used as a string. Returns 0 or -ENOMEM. `ret` is overwritten, not freed. */
int bytes_copy(BytesView view, Bytes *ret);

/* Appends `view` to `bytes`, which keeps its trailing uncounted NUL. Returns 0 or -ENOMEM, and then `bytes`
 * is as it was. */
int bytes_append(Bytes *bytes, BytesView view);

/* Frees the memory and empties the object. */
void bytes_clear(Bytes *bytes);

bool bytes_view_equal(BytesView a, BytesView b);

/* Lower-case hexadecimal; NULL when out of memory. The caller frees. */
char *bytes_to_hex(BytesView view);

/* Parses an even number of hexadecimal digits of either case and nothing else. 0, -EINVAL, -ENOMEM. */
int bytes_from_hex(const char *hex, Bytes *ret);

/* Reads a file or descriptor to its end. -EFBIG if it holds more than `maximum` bytes, else -errno. NUL
 * bytes are data; a trailing uncounted NUL is added. `bytes_read_file` opens with O_CLOEXEC | O_NOCTTY and
 * refuses what is not a regular file with -EBADFD. */
int bytes_read_fd(int fd, size_t maximum, Bytes *ret);
int bytes_read_file(const char *path, size_t maximum, Bytes *ret);

#define _cleanup_bytes_ _cleanup_(bytes_clear)

/* A sealed memfd that holds `view`, readable from offset 0; `name` is only for /proc. Returns the
 * descriptor, which the caller closes, or -errno. */
int bytes_to_memfd(const char *name, BytesView view);

/* Reads a memfd received from elsewhere, wherever its offset is (pread), whole, if it is sealed against
 * writing, growing and shrinking and holds at most `maximum` bytes. -EBADFD: not a sealed memfd; -EFBIG. */
int bytes_from_memfd(int fd, size_t maximum, Bytes *ret);
