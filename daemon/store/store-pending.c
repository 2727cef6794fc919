/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pending/: the generation being made. It is replaced as a whole directory; only a request is added to one that is
 * there, since the request is made later than the key. */
#include "store/key-values.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void stored_pending_clear(StoredPending *pending) {
    bytes_clear(&pending->key_pem);
    bytes_clear(&pending->parent_name);
    bytes_clear(&pending->request);
    bytes_clear(&pending->issued);
    *pending = (StoredPending) { 0 };
}

int parent_name_encode(BytesView name, Bytes *ret_line) {
    _cleanup_bytes_ Bytes line = BYTES_NULL;
    _cleanup_free_ char *hex = bytes_to_hex(name);

    if (!hex || bytes_append(&line, bytes_view_string(hex)) < 0 || bytes_append(&line, bytes_view_string("\n")) < 0)
        return -ENOMEM;
    *ret_line = line;
    line = BYTES_NULL;
    return 0;
}

int parent_name_read(Place place, Bytes *ret, Bytes *ret_line, Failure *ret_failure) {
    _cleanup_bytes_ Bytes line = BYTES_NULL;

    int r = place_read(place, PARENT_FILE, 2 * PARENT_NAME_MAX + 1, &line, ret_failure);
    if (r == -ENOENT)
        return place_malformed(place, PARENT_FILE, 0, "is missing", ret_failure);
    if (r < 0)
        return r;
    if (line.size < 3 || line.data[line.size - 1] != '\n' || memchr(line.data, 0, line.size))
        return place_malformed(place, PARENT_FILE, 1, "must be one line of hexadecimal digits", ret_failure);
    line.data[line.size - 1] = 0;
    r = bytes_from_hex((const char *) line.data, ret);
    line.data[line.size - 1] = '\n';
    if (r == -EINVAL)
        return place_malformed(place, PARENT_FILE, 1, "must be one line of hexadecimal digits", ret_failure);
    if (r < 0)
        return failure_errno(ret_failure, r, PARENT_FILE);
    *ret_line = line;
    line = BYTES_NULL;
    return 0;
}

#define FLAGS(pending)                                                                                                 \
    {                                                                                                                  \
        { "reenroll", VALUE_BOOLEAN, &(pending)->reenroll, 0 },                                                        \
            { "same-key", VALUE_BOOLEAN, &(pending)->same_key, 0 },                                                    \
            { "manual", VALUE_BOOLEAN, &(pending)->manual, 0 },                                                        \
            { "present-names", VALUE_BOOLEAN, &(pending)->present_names, 0 },                                          \
    }

static int parse_flags(Place place, BytesView content, StoredPending *pending, Failure *ret_failure) {
    const KeyValue flags[] = FLAGS(pending);
    int r = key_values_read(place, FLAGS_FILE, content, flags, ARRAY_LENGTH(flags), ret_failure);

    if (r != -EBADMSG)
        return r;
    /* Of before there was the last one: then a renewal alone had the names of the present certificate. */
    pending->present_names = false;
    if (key_values_read(place, FLAGS_FILE, content, flags, ARRAY_LENGTH(flags) - 1U, NULL) < 0)
        return r;
    if (ret_failure)
        *ret_failure = FAILURE_INIT;
    pending->present_names = pending->reenroll;
    return 0;
}

/* Where there is a list of checksums, as it says. */
static int verify_listed(Place place, const Bytes *list, const char *name, const Bytes *content, Failure *ret_failure) {
    return list->size > 0 ? checksum_list_verify(place, list, name, bytes_view(content), ret_failure) : 0;
}

/* -ENOENT where it is not there. */
static int read_checked(Place place, const Bytes *list, const char *name, size_t maximum, Bytes *ret,
                        Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    int r = place_read(place, name, maximum, &content, ret_failure);

    if (r >= 0)
        r = verify_listed(place, list, name, &content, ret_failure);
    if (r < 0)
        return r;
    bytes_clear(ret);
    *ret = content;
    content = BYTES_NULL;
    return 0;
}

static int read_parent(Place place, const Bytes *list, StoredPending *pending, Failure *ret_failure) {
    _cleanup_bytes_ Bytes line = BYTES_NULL;
    int r = parent_name_read(place, &pending->parent_name, &line, ret_failure);

    return r < 0 ? r : verify_listed(place, list, PARENT_FILE, &line, ret_failure);
}

static int read_flags(Place place, const Bytes *list, StoredPending *pending, Failure *ret_failure) {
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    int r = place_read(place, FLAGS_FILE, KEY_VALUE_FILE_MAX, &content, ret_failure);

    if (r == -ENOENT)
        return place_malformed(place, FLAGS_FILE, 0, "is missing", ret_failure);
    if (r >= 0)
        r = parse_flags(place, bytes_view(&content), pending, ret_failure);
    return r < 0 ? r : verify_listed(place, list, FLAGS_FILE, &content, ret_failure);
}

static int read_pending(Place place, StoredPending *pending, Failure *ret_failure) {
    _cleanup_bytes_ Bytes list = BYTES_NULL;

    int r = place_read(place, PENDING_CHECKSUM, CHECKSUM_MAX, &list, ret_failure);
    if (r >= 0 || r == -ENOENT)
        r = read_checked(place, &list, KEY_FILE, STORE_KEY_MAX, &pending->key_pem, ret_failure);
    if (r == -ENOENT)
        return place_malformed(place, KEY_FILE, 0, "is missing", ret_failure);
    if (r >= 0)
        r = read_parent(place, &list, pending, ret_failure);
    if (r >= 0)
        r = read_flags(place, &list, pending, ret_failure);
    if (r < 0)
        return r;
    r = read_checked(place, &list, REQUEST_FILE, STORE_REQUEST_MAX, &pending->request, ret_failure);
    if (r >= 0 || r == -ENOENT)
        r = read_checked(place, &list, ISSUED_FILE, STORE_ISSUED_MAX, &pending->issued, ret_failure);
    return r == -ENOENT ? 0 : r;
}

int store_pending_load(Store *store, StoredPending *ret, Failure *ret_failure) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_free_ char *path = path_join(store->path, PENDING);

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    _cleanup_close_ int fd = place_open_directory(store_place(store), PENDING);
    if (fd == -ENOENT)
        return fd;
    if (fd < 0)
        return place_open_failure(store_place(store), PENDING, fd, ret_failure);
    int r = read_pending((Place) { fd, path }, &pending, ret_failure);
    if (r < 0)
        return r;
    *ret = pending;
    pending = (StoredPending) { 0 };
    return 0;
}

static bool views_are_equal(const Bytes *a, const Bytes *b) {
    return bytes_view_equal(bytes_view(a), bytes_view(b));
}

static bool only_additions_differ(const StoredPending *old, const StoredPending *new) {
    return views_are_equal(&old->key_pem, &new->key_pem) && views_are_equal(&old->parent_name, &new->parent_name) &&
           old->reenroll == new->reenroll && old->present_names == new->present_names &&
           old->same_key == new->same_key && old->manual == new->manual;
}

static int write_files(Place place, const StoredPending *pending) {
    StoredPending flags_of = *pending; /* the table wants fields that could be written */
    const KeyValue flags[] = FLAGS(&flags_of);
    _cleanup_bytes_ Bytes parent = BYTES_NULL, flag_lines = BYTES_NULL;

    if (parent_name_encode(bytes_view(&pending->parent_name), &parent) < 0 ||
        key_values_write(flags, ARRAY_LENGTH(flags), &flag_lines) < 0)
        return -ENOMEM;
    const struct {
        const char *name;
        const Bytes *content;
    } files[] = { { KEY_FILE, &pending->key_pem },
                  { PARENT_FILE, &parent },
                  { FLAGS_FILE, &flag_lines },
                  { REQUEST_FILE, &pending->request },
                  { ISSUED_FILE, &pending->issued } };
    _cleanup_bytes_ Bytes list = BYTES_NULL;
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        if (files[i].content->size == 0)
            continue;
        int r = place_write_new(place, files[i].name, bytes_view(files[i].content), 0600, true);
        if (r >= 0)
            r = checksum_list_add(&list, files[i].name, bytes_view(files[i].content));
        if (r < 0)
            return r;
    }
    int r = place_write_new(place, PENDING_CHECKSUM, bytes_view(&list), 0600, true);
    return r < 0 ? r : place_sync(place);
}

/* The new directory under its temporary name, durable but for that name. */
static int build_new(Store *store, const StoredPending *pending) {
    int r = place_remove_tree(store_place(store), PENDING_NEW);
    if (r < 0)
        return r;
    if (mkdirat(store->fd, PENDING_NEW, 0700) < 0)
        return -errno;
    _cleanup_close_ int fd = place_open_directory(store_place(store), PENDING_NEW);
    if (fd < 0)
        return fd;
    return write_files((Place) { fd, PENDING_NEW }, pending);
}

/* Puts it in place. Where the file system cannot exchange, an old pending/, which is being given up anyway, goes
 * first. */
static int put_in_place(Store *store, bool replaces, Failure *ret_failure) {
    int r = 0;

    if (replaces) {
        if (renameat2(store->fd, PENDING_NEW, store->fd, PENDING, RENAME_EXCHANGE) < 0) {
            if (errno != EINVAL && errno != ENOSYS && errno != EXDEV)
                return place_failure(store_place(store), PENDING, -errno, "replaced", ret_failure);
            r = store_discard(store, store_place(store), PENDING, ret_failure);
            if (r < 0)
                return r;
            replaces = false;
        }
    }
    if (!replaces && renameat(store->fd, PENDING_NEW, store->fd, PENDING) < 0)
        return place_failure(store_place(store), PENDING, -errno, "written", ret_failure);
    r = place_sync(store_place(store));
    if (r < 0)
        return place_failure(store_place(store), PENDING, r, "written", ret_failure);
    if (replaces) /* the old one now has the temporary name; what remains of it goes when the store is opened again */
        (void) store_discard(store, store_place(store), PENDING_NEW, NULL);
    return 0;
}

/* To a pending/ that is there, whose other files stay as they are. Its checksum comes first, beside that of what it
 * replaces, so that the power may go in between. */
static int add_file(Store *store, const char *name, BytesView content, Failure *ret_failure) {
    _cleanup_free_ char *path = path_join(store->path, PENDING);
    _cleanup_close_ int fd = place_open_directory(store_place(store), PENDING);
    _cleanup_bytes_ Bytes list = BYTES_NULL;

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    if (fd < 0)
        return place_failure(store_place(store), PENDING, fd, "opened", ret_failure);
    const Place place = { fd, path };
    int r = place_read(place, PENDING_CHECKSUM, CHECKSUM_MAX, &list, ret_failure);
    if (r == -ENOENT) /* of before there were checksums */
        return place_write(place, name, content, ret_failure);
    if (r >= 0 && checksum_list_verify(place, &list, name, content, NULL) < 0) {
        r = checksum_list_add(&list, name, content);
        if (r < 0)
            return failure_errno(ret_failure, r, path);
        r = place_write(place, PENDING_CHECKSUM, bytes_view(&list), ret_failure);
    }
    return r < 0 ? r : place_write(place, name, content, ret_failure);
}

int store_pending_save(Store *store, const StoredPending *pending, Failure *ret_failure) {
    _cleanup_(stored_pending_clear) StoredPending old = { 0 };

    if (pending->key_pem.size == 0 || pending->key_pem.size > STORE_KEY_MAX || pending->parent_name.size == 0 ||
        pending->parent_name.size > PARENT_NAME_MAX || pending->request.size > STORE_REQUEST_MAX ||
        pending->issued.size > STORE_ISSUED_MAX)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_STORAGE,
                           "%s/" PENDING ": key, name of the parent or request is empty or too large to be stored",
                           store->path);
    int r = store_pending_load(store, &old, ret_failure);
    if (r < 0 && r != -ENOENT)
        return r;
    bool replaces = r == 0;
    if (replaces && only_additions_differ(&old, pending) && pending->request.size > 0) {
        if (!views_are_equal(&old.request, &pending->request))
            r = add_file(store, REQUEST_FILE, bytes_view(&pending->request), ret_failure);
        if (r >= 0 && pending->issued.size > 0 && !views_are_equal(&old.issued, &pending->issued))
            r = add_file(store, ISSUED_FILE, bytes_view(&pending->issued), ret_failure);
        return r;
    }
    r = build_new(store, pending);
    if (r < 0) {
        (void) place_remove_tree(store_place(store), PENDING_NEW);
        return place_failure(store_place(store), PENDING, r, "written", ret_failure);
    }
    return put_in_place(store, replaces, ret_failure);
}

int store_pending_drop(Store *store, Failure *ret_failure) {
    return store_discard(store, store_place(store), PENDING, ret_failure);
}
