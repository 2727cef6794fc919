/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is in one generation, and the checksum that says whether it still is what was committed. Key and chain are good
 * for years on media that decay; a bit that flipped is known before anything is signed or published with it.
 *
 * The file `checksum` has one line for each other file, as sha256sum(1) writes and checks it, so that a complaint can
 * name the file that is damaged. */
#include "store/store-internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINK_MAX_SIZE (sizeof(GENERATIONS) + 12U) /* "generations/4294967295" and the NUL */

int store_open_generation(Store *store, uint32_t number, char **ret_path) {
    char name[LINK_MAX_SIZE];

    (void) snprintf(name, sizeof(name), GENERATIONS "/%" PRIu32, number);
    _cleanup_close_ int fd = place_open_directory(store_place(store), name);
    if (fd < 0)
        return fd;
    if (ret_path) {
        char *path = path_join(store->path, name);
        if (!path)
            return -ENOMEM;
        *ret_path = path;
    }
    return TAKE_FD(fd);
}

/* The files that it is over, in the order of its lines. */
typedef struct Contents {
    struct {
        const char *name;
        BytesView content;
    } file[3];
} Contents;

static Contents contents_of(BytesView key_pem, BytesView chain_pem, BytesView parent_line) {
    return (Contents) { { { KEY_FILE, key_pem }, { CHAIN_FILE, chain_pem }, { PARENT_FILE, parent_line } } };
}

static int write_checksum(Place place, const Contents *contents, Failure *ret_failure) {
    _cleanup_bytes_ Bytes lines = BYTES_NULL;

    for (size_t i = 0; i < ARRAY_LENGTH(contents->file); i++) {
        int r = checksum_list_add(&lines, contents->file[i].name, contents->file[i].content);
        if (r < 0)
            return failure_errno(ret_failure, r, place.path);
    }
    return place_write(place, CHECKSUM_FILE, bytes_view(&lines), ret_failure);
}

int generation_write_checksum(Place place, const StoredPending *pending, BytesView chain_pem, Failure *ret_failure) {
    _cleanup_bytes_ Bytes parent = BYTES_NULL;

    if (parent_name_encode(bytes_view(&pending->parent_name), &parent) < 0)
        return failure_errno(ret_failure, -ENOMEM, place.path);
    const Contents contents = contents_of(bytes_view(&pending->key_pem), chain_pem, bytes_view(&parent));
    return write_checksum(place, &contents, ret_failure);
}

/* 1: it is right; 0: there is none. */
static int verify_checksum(Place place, const Contents *contents, Failure *ret_failure) {
    _cleanup_bytes_ Bytes lines = BYTES_NULL;
    int r = place_read(place, CHECKSUM_FILE, CHECKSUM_MAX, &lines, ret_failure);
    size_t size = 0;

    if (r < 0)
        return r == -ENOENT ? 0 : r;
    for (size_t i = 0; i < ARRAY_LENGTH(contents->file); i++) {
        const char *name = contents->file[i].name;
        r = checksum_list_verify(place, &lines, name, contents->file[i].content, ret_failure);
        if (r < 0)
            return r;
        size += CHECKSUM_HEX + 2U + strlen(name) + 1U;
    }
    return lines.size == size ? 1 : place_malformed(place, CHECKSUM_FILE, 0, "has more than it should", ret_failure);
}

/* ---- loading ---- */

/* A directory that is none is damage; what another try may mend is not. */
static int open_generation(Store *store, uint32_t number, char **ret_path, Failure *ret_failure) {
    int fd = store_open_generation(store, number, ret_path);
    int r = fd == -ENOTDIR || fd == -ELOOP ? -EBADMSG : fd;

    if (fd < 0)
        return failure_set(ret_failure, r, FAILURE_STORAGE, "%s/" GENERATIONS "/%" PRIu32 " cannot be opened: %s",
                           store->path, number, strerror(-fd));
    return fd;
}

static int read_files(Place place, StoredGeneration *generation, Bytes *ret_parent_line, Failure *ret_failure) {
    const struct {
        const char *name;
        size_t maximum;
        Bytes *content;
    } files[] = { { KEY_FILE, STORE_KEY_MAX, &generation->key_pem },
                  { CHAIN_FILE, STORE_CHAIN_MAX, &generation->chain_pem } };

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        int r = place_read(place, files[i].name, files[i].maximum, files[i].content, ret_failure);
        if (r == -ENOENT)
            return place_malformed(place, files[i].name, 0, "is missing", ret_failure);
        if (r < 0)
            return r;
    }
    return parent_name_read(place, &generation->parent_name, ret_parent_line, ret_failure);
}

int store_load(Store *store, uint32_t number, StoredGeneration *ret, Failure *ret_failure) {
    _cleanup_(stored_generation_clear) StoredGeneration generation = { .number = number };
    _cleanup_free_ char *path = NULL;
    _cleanup_bytes_ Bytes parent = BYTES_NULL;
    _cleanup_close_ int fd = open_generation(store, number, &path, ret_failure);

    if (fd < 0)
        return fd;
    const Place place = { fd, path };
    int r = read_files(place, &generation, &parent, ret_failure);
    if (r < 0)
        return r;
    const Contents contents =
        contents_of(bytes_view(&generation.key_pem), bytes_view(&generation.chain_pem), bytes_view(&parent));
    r = verify_checksum(place, &contents, ret_failure);
    if (r < 0)
        return r;
    generation.has_checksum = r > 0;
    *ret = generation;
    generation = (StoredGeneration) { 0 };
    return 0;
}

int store_seal(Store *store, const StoredGeneration *generation, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_bytes_ Bytes parent = BYTES_NULL;
    _cleanup_close_ int fd = open_generation(store, generation->number, &path, ret_failure);

    if (fd < 0)
        return fd;
    const Place place = { fd, path };
    int r = place_read(place, PARENT_FILE, 2 * PARENT_NAME_MAX + 1, &parent, ret_failure);
    if (r < 0)
        return r;
    const Contents contents =
        contents_of(bytes_view(&generation->key_pem), bytes_view(&generation->chain_pem), bytes_view(&parent));
    return write_checksum(place, &contents, ret_failure);
}

void stored_generation_clear(StoredGeneration *generation) {
    bytes_clear(&generation->key_pem);
    bytes_clear(&generation->chain_pem);
    bytes_clear(&generation->parent_name);
    generation->number = 0;
}
