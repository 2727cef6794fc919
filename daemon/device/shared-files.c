/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list, for there are few: a content is looked up by its SHA-256. What is read of a file is its mapping, which is the
 * same memory as the memfd. */
#include "device/shared-files.h"

#include <assert.h>
#include <gnutls/crypto.h>
#include <string.h>
#include <sys/mman.h>

struct SharedFile {
    SharedFiles *owner;
    unsigned references;
    int fd;
    void *data; /* mapped */
    size_t size;
    uint8_t digest[SHARED_KEY_SIZE], key[SHARED_KEY_SIZE];
    bool has_key;
    SharedFile *next;
};

struct SharedFiles {
    SharedFile *first;
};

int shared_files_new(SharedFiles **ret) {
    SharedFiles *files = calloc(1, sizeof *files);

    if (!files)
        return -ENOMEM;
    *ret = files;
    return 0;
}

SharedFiles *shared_files_free(SharedFiles *files) {
    if (files)
        assert(!files->first);
    free(files);
    return NULL;
}

static void destroy(SharedFile *file) {
    if (file->data)
        (void) munmap(file->data, file->size);
    (void) close_safe(file->fd);
    free(file);
}

static void destroy_p(SharedFile **file) {
    if (*file)
        destroy(*file);
}

static int make(const char *name, BytesView content, SharedFile **ret) {
    _cleanup_(destroy_p) SharedFile *file = calloc(1, sizeof *file);

    if (!file)
        return -ENOMEM;
    file->fd = bytes_to_memfd(name, content);
    if (file->fd < 0)
        return file->fd;
    void *data = mmap(NULL, content.size, PROT_READ, MAP_SHARED, file->fd, 0);
    if (data == MAP_FAILED)
        return -errno;
    file->data = data;
    file->size = content.size;
    file->references = 1;
    *ret = TAKE_PTR(file);
    return 0;
}

int shared_file_get(SharedFiles *files, const char *name, BytesView content, SharedFile **ret) {
    uint8_t digest[SHARED_KEY_SIZE];
    SharedFile *made = NULL;

    if (gnutls_hash_fast(GNUTLS_DIG_SHA256, content.data, content.size, digest) < 0)
        return -EIO;
    for (SharedFile *file = files->first; file; file = file->next)
        if (file->size == content.size && memcmp(file->digest, digest, sizeof digest) == 0) {
            *ret = shared_file_ref(file);
            return 0;
        }
    int r = make(name, content, &made);
    if (r < 0)
        return r;
    memcpy(made->digest, digest, sizeof digest);
    made->owner = files;
    made->next = files->first;
    files->first = made;
    *ret = made;
    return 0;
}

SharedFile *shared_file_find(SharedFiles *files, const uint8_t key[static SHARED_KEY_SIZE]) {
    for (SharedFile *file = files->first; file; file = file->next)
        if (file->has_key && memcmp(file->key, key, SHARED_KEY_SIZE) == 0)
            return shared_file_ref(file);
    return NULL;
}

void shared_file_set_key(SharedFile *file, const uint8_t key[static SHARED_KEY_SIZE]) {
    if (file->has_key)
        return;
    memcpy(file->key, key, SHARED_KEY_SIZE);
    file->has_key = true;
}

SharedFile *shared_file_ref(SharedFile *file) {
    file->references++;
    return file;
}

SharedFile *shared_file_unref(SharedFile *file) {
    if (!file || --file->references > 0)
        return NULL;
    SharedFile **link = &file->owner->first;
    while (*link != file)
        link = &(*link)->next;
    *link = file->next;
    destroy(file);
    return NULL;
}

int shared_file_fd(const SharedFile *file) {
    return file ? file->fd : -1;
}

BytesView shared_file_view(const SharedFile *file) {
    return file ? (BytesView) { file->data, file->size } : (BytesView) { NULL, 0 };
}
