/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories of CRLs, a file each: those of the peers' CAs, which belong to no identity and are there once however
 * many want them; and what trust/crls/ of an identity (store-trust.c) has in common with that. */
#include "store/store-internal.h"

#include <stdio.h>
#include <string.h>

#define PEER_CRLS ".peer-crls" /* in the state directory itself; no identity has such a name */

/* ---- one directory ---- */

static bool crl_id_is_valid(const char *id) {
    size_t length = strlen(id);

    return length > 0 && length <= CRL_ID_MAX && strspn(id, "0123456789abcdef") == length;
}

int crl_file_name(const char *where, const char *id, char ret[static CRL_NAME_SIZE], Failure *ret_failure) {
    if (!crl_id_is_valid(id))
        return failure_set(ret_failure, -EINVAL, FAILURE_STORAGE, "%s: \"%s\" is no id of a CRL", where, id);
    (void) snprintf(ret, CRL_NAME_SIZE, "%s" CRL_SUFFIX, id);
    return 0;
}

int crl_file_remove(Place place, const char *id, Failure *ret_failure) {
    char name[CRL_NAME_SIZE];
    int r = crl_file_name(place.path, id, name, ret_failure);

    if (r < 0)
        return r;
    if (unlinkat(place.fd, name, 0) < 0 && errno != ENOENT)
        return place_failure(place, name, -errno, "removed", ret_failure);
    return 0;
}

typedef struct Ids {
    char **list; /* NULL-terminated */
    size_t count;
} Ids;

static void ids_clear(Ids *ids) {
    for (size_t i = 0; i < ids->count; i++)
        free(ids->list[i]);
    free(ids->list);
}

static int add_id(Place place, const char *name, void *data) {
    Ids *ids = data;
    size_t length = strlen(name), suffix = strlen(CRL_SUFFIX);

    if (length <= suffix || strcmp(name + length - suffix, CRL_SUFFIX) != 0)
        return 0;
    _cleanup_free_ char *id = strndup(name, length - suffix);
    if (!id)
        return -ENOMEM;
    if (!crl_id_is_valid(id))
        return 0;
    char **grown = reallocarray(ids->list, ids->count + 2, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    ids->list = grown;
    grown[ids->count++] = TAKE_PTR(id);
    grown[ids->count] = NULL;
    return 0;
}

static int compare_ids(const void *a, const void *b) {
    return strcmp(*(char *const *) a, *(char *const *) b);
}

int crl_files_list(Place place, char ***ret_ids, Failure *ret_failure) {
    _cleanup_(ids_clear) Ids ids = { calloc(1, sizeof(char *)), 0 };

    if (!ids.list)
        return failure_errno(ret_failure, -ENOMEM, "Listing CRLs");
    if (place.fd >= 0) {
        int r = place_each(place, add_id, &ids);
        if (r < 0)
            return place_failure(place, "*" CRL_SUFFIX, r, "listed", ret_failure);
    }
    qsort(ids.list, ids.count, sizeof(*ids.list), compare_ids);
    *ret_ids = TAKE_PTR(ids.list);
    ids.count = 0;
    return 0;
}

/* ---- those of the peers' CAs ---- */

/* A descriptor with its path; -ENOENT without a text. */
static int open_peers(int state_fd, bool create, char **ret_path, Failure *ret_failure) {
    _cleanup_free_ char *state = path_of_directory(state_fd, NULL), *path = path_of_directory(state_fd, PEER_CRLS);
    int fd = -1;

    if (!state || !path)
        return failure_errno(ret_failure, -ENOMEM, PEER_CRLS);
    const Place place = { state_fd, state };
    if (create) {
        int r = place_make_directory(place, PEER_CRLS, &fd, ret_failure);
        if (r < 0)
            return r;
    } else {
        fd = place_open_directory(place, PEER_CRLS);
        if (fd == -ENOENT)
            return fd;
        if (fd < 0)
            return place_open_failure(place, PEER_CRLS, fd, ret_failure);
    }
    *ret_path = TAKE_PTR(path);
    return fd;
}

int store_peer_crl_load(int state_fd, const char *id, Bytes *ret_der, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    char name[CRL_NAME_SIZE];
    int r = crl_file_name(PEER_CRLS, id, name, ret_failure);

    if (r < 0)
        return r;
    _cleanup_close_ int fd = open_peers(state_fd, false, &path, ret_failure);
    return fd < 0 ? fd : place_read((Place) { fd, path }, name, STORE_CRL_MAX, ret_der, ret_failure);
}

int store_peer_crl_save(int state_fd, const char *id, BytesView der, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    char name[CRL_NAME_SIZE];
    int r = crl_file_name(PEER_CRLS, id, name, ret_failure);

    if (r < 0)
        return r;
    _cleanup_close_ int fd = open_peers(state_fd, true, &path, ret_failure);
    return fd < 0 ? fd : place_write((Place) { fd, path }, name, der, ret_failure);
}

int store_peer_crl_remove(int state_fd, const char *id, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_peers(state_fd, false, &path, ret_failure);

    if (fd < 0)
        return fd == -ENOENT ? 0 : fd;
    return crl_file_remove((Place) { fd, path }, id, ret_failure);
}

int store_peer_crl_list(int state_fd, char ***ret_ids, Failure *ret_failure) {
    _cleanup_free_ char *path = NULL;
    _cleanup_close_ int fd = open_peers(state_fd, false, &path, ret_failure);

    if (fd < 0 && fd != -ENOENT)
        return fd;
    return crl_files_list((Place) { fd, path }, ret_ids, ret_failure);
}
