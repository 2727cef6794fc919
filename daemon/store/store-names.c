/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which identities have left something behind, in the state directory and in the runtime one, and the end of what one
 * has. */
#include "common/names.h"
#include "store/store-internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct Names {
    char **list; /* NULL-terminated */
    size_t count;
    bool published; /* only directories that publish_set has made */
} Names;

static void names_clear(Names *names) {
    for (size_t i = 0; i < names->count; i++)
        free(names->list[i]);
    free(names->list);
}

static int count_published(Place place, const char *name, void *data) {
    static const char *const files[] = { "key.pem", "chain.pem", "anchors.pem", "identity.pem", "current.pem" };

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        if (strcmp(name, files[i]) == 0)
            return 0;
    return -ENOTUNIQ;
}

/* The runtime directory has others beside them. */
static bool is_published_set(int fd) {
    struct stat status;

    return fstatat(fd, KEY_FILE, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
           place_each((Place) { fd, "" }, count_published, NULL) >= 0;
}

static int add_name(Place place, const char *name, void *data) {
    Names *names = data;

    if (!identity_name_is_valid(name))
        return 0;
    _cleanup_close_ int fd = place_open_directory(place, name);
    if (fd < 0 || (names->published && !is_published_set(fd)))
        return 0;
    char **grown = reallocarray(names->list, names->count + 2, sizeof *grown);
    if (!grown)
        return -ENOMEM;
    names->list = grown;
    grown[names->count] = strdup(name);
    if (!grown[names->count])
        return -ENOMEM;
    grown[++names->count] = NULL;
    return 0;
}

static int compare(const void *a, const void *b) {
    return strcmp(*(char *const *) a, *(char *const *) b);
}

static int list_names(int fd, bool published, char ***ret, Failure *ret_failure) {
    _cleanup_(names_clear) Names names = { calloc(1, sizeof(char *)), 0, published };
    _cleanup_free_ char *path = path_of_directory(fd, NULL);

    if (!names.list || !path)
        return failure_errno(ret_failure, -ENOMEM, "Listing identities");
    int r = place_each((Place) { fd, path }, add_name, &names);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_STORAGE, "%s cannot be listed: %s", path, strerror(-r));
    qsort(names.list, names.count, sizeof *names.list, compare);
    *ret = TAKE_PTR(names.list);
    names.count = 0;
    return 0;
}

int store_names(int state_fd, char ***ret, Failure *ret_failure) {
    return list_names(state_fd, false, ret, ret_failure);
}

int publish_names(int runtime_fd, char ***ret, Failure *ret_failure) {
    return list_names(runtime_fd, true, ret, ret_failure);
}

static int count_entry(Place place, const char *name, void *data) {
    (*(size_t *) data)++;
    return 0;
}

bool store_has_generations(int state_fd, const char *name) {
    _cleanup_close_ int fd = place_open_directory((Place) { state_fd, "" }, name);
    size_t count = 0;

    if (fd < 0)
        return fd != -ENOENT;
    _cleanup_close_ int generations = place_open_directory((Place) { fd, name }, GENERATIONS);
    if (generations < 0)
        return generations != -ENOENT;
    return place_each((Place) { generations, name }, count_entry, &count) < 0 || count > 0;
}

int store_erase(int state_fd, const char *name, Failure *ret_failure) {
    _cleanup_free_ char *path = path_of_directory(state_fd, NULL);
    char temporary[sizeof(TEMPORARY_PREFIX) + IDENTITY_NAME_MAX];

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, name);
    const Place place = { state_fd, path };
    if (!identity_name_is_valid(name))
        return place_failure(place, name, -EINVAL, "removed", ret_failure);
    (void) snprintf(temporary, sizeof temporary, TEMPORARY_PREFIX "%s", name);
    int r = place_remove_tree(place, temporary);
    if (r < 0)
        return place_failure(place, temporary, r, "removed", ret_failure);
    if (renameat(state_fd, name, state_fd, temporary) == 0) {
        r = place_sync(place);
        if (r >= 0)
            r = place_remove_tree(place, temporary);
    } else
        r = errno == EXDEV ? place_remove_in_place(place, name) : -errno;
    return r < 0 ? place_failure(place, name, r, "removed", ret_failure) : 0;
}

static int sweep_erased(Place place, const char *name, void *data) {
    size_t prefix = strlen(TEMPORARY_PREFIX);

    if (strncmp(name, TEMPORARY_PREFIX, prefix) == 0 && identity_name_is_valid(name + prefix))
        (void) place_remove_tree(place, name);
    return 0;
}

void store_finish_erasing(int state_fd) {
    (void) place_each((Place) { state_fd, "" }, sweep_erased, NULL);
}
