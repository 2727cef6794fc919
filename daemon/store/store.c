/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Generations: listed, committed, removed.
 *
 * The commit point is the rename of pending/ to generations/N, with the directories synced. What comes after it (the
 * link `current`) is finished by the next store_open if the power goes: a complete generation with a higher number than
 * the current one was verified by whoever committed it, so it becomes current. Retirement's point is the move of
 * generations/ to trash/; a link that then points nowhere is removed. */
#include "store/store-internal.h"

#include <assert.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_SIZE   11U /* decimal digits of 32 bits, and a NUL */
#define LINK_MAX_SIZE (sizeof(GENERATIONS) + NUMBER_SIZE)

/* A generation's number as its directory is named: decimal, no zero in front. 0: none. */
static uint32_t parse_number(const char *name) {
    size_t digits = strspn(name, "0123456789");

    if (digits == 0 || digits > 10 || name[0] == '0' || name[digits] != '\0')
        return 0;
    unsigned long long n = strtoull(name, NULL, 10);
    return n <= UINT32_MAX ? (uint32_t) n : 0;
}

/* All of its files there, and not empty. What is in them is judged when they are loaded. */
static bool generation_is_complete(int fd) {
    static const char *const files[] = { KEY_FILE, PARENT_FILE, CHAIN_FILE };
    struct stat status;

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        if (fstatat(fd, files[i], &status, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(status.st_mode) || status.st_size == 0)
            return false;
    return true;
}

/* ---- listing ---- */

typedef struct Numbers {
    uint32_t *list; /* owned */
    size_t count;
    uint32_t highest;       /* of complete ones */
    uint32_t highest_taken; /* of all that have the name of one */
} Numbers;

static void numbers_clear(Numbers *numbers) {
    free(numbers->list);
}

static int add_number(Place place, const char *name, void *data) {
    Numbers *numbers = data;
    uint32_t number = parse_number(name);

    if (number == 0)
        return 0;
    if (number > numbers->highest_taken)
        numbers->highest_taken = number;
    _cleanup_close_ int fd = place_open_directory(place, name);
    if (fd < 0 || !generation_is_complete(fd))
        return 0;
    uint32_t *grown = reallocarray(numbers->list, numbers->count + 1, sizeof(*grown));
    if (!grown)
        return -ENOMEM;
    numbers->list = grown;
    grown[numbers->count++] = number;
    if (number > numbers->highest)
        numbers->highest = number;
    return 0;
}

static int compare_numbers(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *) a, y = *(const uint32_t *) b;

    return x < y ? -1 : x > y;
}

static int list_generations(Store *store, Numbers *ret) {
    _cleanup_(numbers_clear) Numbers numbers = { 0 };
    _cleanup_close_ int fd = place_open_directory(store_place(store), GENERATIONS);

    if (fd < 0 && fd != -ENOENT)
        return fd;
    if (fd >= 0) {
        int r = place_each((Place) { fd, GENERATIONS }, add_number, &numbers);
        if (r < 0)
            return r;
    }
    if (numbers.count > 0)
        qsort(numbers.list, numbers.count, sizeof(*numbers.list), compare_numbers);
    *ret = numbers;
    numbers.list = NULL;
    return 0;
}

uint32_t store_current(const Store *store) {
    return store->current;
}

int store_list(Store *store, uint32_t **ret, size_t *ret_count, Failure *ret_failure) {
    Numbers numbers;

    int r = list_generations(store, &numbers);
    if (r < 0)
        return place_failure(store_place(store), GENERATIONS, r, "listed", ret_failure);
    *ret = numbers.list;
    *ret_count = numbers.count;
    return 0;
}

/* ---- the link `current` ---- */

/* The number that the link names, 0 without a link; -EBADMSG for anything else under that name. */
static int read_link(Store *store, uint32_t *ret, Failure *ret_failure) {
    char target[LINK_MAX_SIZE + 1];

    ssize_t n = readlinkat(store->fd, CURRENT, target, sizeof(target) - 1);
    if (n < 0 && errno == ENOENT) {
        *ret = 0;
        return 0;
    }
    if (n < 0 && errno == EINVAL)
        return place_malformed(store_place(store), CURRENT, 0, "is not a symbolic link", ret_failure);
    if (n < 0)
        return place_failure(store_place(store), CURRENT, -errno, "read", ret_failure);
    target[n] = '\0';
    uint32_t number =
        strncmp(target, GENERATIONS "/", sizeof(GENERATIONS)) == 0 ? parse_number(target + sizeof(GENERATIONS)) : 0;
    if (number == 0)
        return place_malformed(store_place(store), CURRENT, 0, "does not point to generations/NUMBER", ret_failure);
    *ret = number;
    return 0;
}

/* Makes the link under its temporary name: all that can lack space is then done. */
static int prepare_link(Store *store, uint32_t number, Failure *ret_failure) {
    char target[LINK_MAX_SIZE];

    (void) snprintf(target, sizeof(target), GENERATIONS "/%" PRIu32, number);
    if (unlinkat(store->fd, TEMPORARY_PREFIX CURRENT, 0) < 0 && errno != ENOENT)
        return place_failure(store_place(store), TEMPORARY_PREFIX CURRENT, -errno, "removed", ret_failure);
    if (symlinkat(target, store->fd, TEMPORARY_PREFIX CURRENT) < 0)
        return place_failure(store_place(store), CURRENT, -errno, "written", ret_failure);
    return 0;
}

static int place_link(Store *store) {
    if (renameat(store->fd, TEMPORARY_PREFIX CURRENT, store->fd, CURRENT) < 0)
        return -errno;
    return place_sync(store_place(store));
}

/* ---- opening ---- */

/* What a power cut left half-made. None of it is content, so a file system that refuses to lose it (a read-only one) is
 * no reason to refuse what is whole. */
static int sweep_entry(Place place, const char *name, void *data) {
    if (strncmp(name, TEMPORARY_PREFIX, strlen(TEMPORARY_PREFIX)) == 0 || (data && strcmp(name, TRASH) == 0))
        (void) place_remove_tree(place, name);
    return 0;
}

static void sweep_directory(Place place, const char *name) {
    _cleanup_close_ int fd = place_open_directory(place, name);

    if (fd >= 0)
        (void) place_each((Place) { fd, name }, sweep_entry, NULL);
}

/* An incomplete generation that is not current is garbage; unfinished names beside and in complete ones too. */
static int sweep_generation(Place place, const char *name, void *data) {
    Store *store = data;
    uint32_t number = parse_number(name);

    if (number == 0)
        return sweep_entry(place, name, NULL);
    _cleanup_close_ int fd = place_open_directory(place, name);
    if (fd < 0)
        return 0;
    if (number != store->current && !generation_is_complete(fd))
        (void) store_discard(store, place, name, NULL);
    else
        (void) place_each((Place) { fd, name }, sweep_entry, NULL);
    return 0;
}

/* pending/ whose copy was committed: the power went before it was removed. */
static bool pending_is_committed(Store *store) {
    _cleanup_close_ int pending = place_open_directory(store_place(store), PENDING);
    _cleanup_close_ int generation = store->current > 0 ? store_open_generation(store, store->current, NULL) : -1;
    _cleanup_bytes_ Bytes chain = BYTES_NULL, committed = BYTES_NULL;

    return pending >= 0 && generation >= 0 &&
           place_read((Place) { pending, PENDING }, CHAIN_FILE, STORE_CHAIN_MAX, &chain, NULL) >= 0 &&
           place_read((Place) { generation, CURRENT }, CHAIN_FILE, STORE_CHAIN_MAX, &committed, NULL) >= 0 &&
           bytes_view_equal(bytes_view(&chain), bytes_view(&committed));
}

/* Work without its key leads nowhere: it is what a removal in place was cut off at. */
static bool pending_has_no_key(Store *store) {
    _cleanup_close_ int pending = place_open_directory(store_place(store), PENDING);
    struct stat status;

    return pending >= 0 && fstatat(pending, KEY_FILE, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

static void sweep(Store *store) {
    bool top = true;

    (void) place_each(store_place(store), sweep_entry, &top);
    if (pending_has_no_key(store) || pending_is_committed(store))
        (void) store_discard(store, store_place(store), PENDING, NULL);
    sweep_directory(store_place(store), PENDING);
    sweep_directory(store_place(store), TRUST);
    sweep_directory(store_place(store), TRUST "/crls");
    _cleanup_close_ int fd = place_open_directory(store_place(store), GENERATIONS);
    if (fd >= 0)
        (void) place_each((Place) { fd, GENERATIONS }, sweep_generation, store);
}

static void make_current(Store *store, uint32_t number) {
    if (prepare_link(store, number, NULL) == 0)
        (void) place_link(store);
    store->current = number;
}

/* The link can be made anew from what is there, unless the state knows of a newer generation: an older one, which may
 * have been revoked, does not come back in its place. */
static int salvage_current(Store *store, uint32_t highest) {
    _cleanup_(stored_state_clear) StoredState state = { 0 };
    int r = store_state_load(store, &state, NULL);

    if (r < 0)
        return r;
    if (highest > 0 && state.of_generation <= highest)
        make_current(store, highest);
    return STORE_SALVAGED;
}

/* 1: the link names a generation, which may be empty. 0: nothing of the kind was ever there, or it was retired. */
static int follow_link(Store *store, uint32_t linked, Failure *ret_failure) {
    _cleanup_close_ int fd = store_open_generation(store, linked, NULL);
    struct stat status;

    if (fd >= 0)
        return 1;
    if (fd != -ENOENT)
        return place_failure(store_place(store), CURRENT, fd, "followed", ret_failure);
    if (fstatat(store->fd, GENERATIONS, &status, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
        (void) unlinkat(store->fd, CURRENT, 0);
        (void) place_sync(store_place(store));
        return 0;
    }
    return place_malformed(store_place(store), CURRENT, 0, "points to a generation that is not there", ret_failure);
}

/* Finds the current generation and finishes what was begun (see the top of the file). */
static int settle_current(Store *store, Failure *ret_failure) {
    _cleanup_(numbers_clear) Numbers numbers = { 0 };
    uint32_t linked = 0;

    int link = read_link(store, &linked, ret_failure);
    if (link < 0 && link != -EBADMSG)
        return link;
    int r = list_generations(store, &numbers);
    if (r < 0)
        return place_failure(store_place(store), GENERATIONS, r, "listed", ret_failure);
    if (link < 0)
        return salvage_current(store, numbers.highest);
    if (numbers.highest > linked) {
        make_current(store, numbers.highest);
        return 0;
    }
    if (linked == 0)
        return 0;
    r = follow_link(store, linked, ret_failure);
    if (r == -EBADMSG)
        return salvage_current(store, numbers.highest);
    if (r > 0)
        store->current = linked;
    return r < 0 ? r : 0;
}

int store_open(int state_fd, const char *name, bool create, Store **ret, Failure *ret_failure) {
    _cleanup_store_ Store *store = calloc(1, sizeof(*store));

    if (!store)
        return failure_errno(ret_failure, -ENOMEM, name);
    store->fd = -1;
    store->path = path_of_directory(state_fd, name);
    _cleanup_free_ char *above = path_of_directory(state_fd, NULL);
    if (!store->path || !above)
        return failure_errno(ret_failure, -ENOMEM, name);
    const Place parent = { state_fd, above };
    if (create) {
        int r = place_make_directory(parent, name, &store->fd, ret_failure);
        if (r < 0)
            return r;
    } else {
        store->fd = place_open_directory(parent, name);
        if (store->fd == -ENOENT)
            return failure_set(ret_failure, -ENOENT, FAILURE_STORAGE, "%s does not exist", store->path);
        if (store->fd < 0)
            return place_failure(parent, name, store->fd, "opened as a directory", ret_failure);
    }
    int r = settle_current(store, ret_failure);
    if (r < 0)
        return r;
    sweep(store);
    *ret = TAKE_PTR(store);
    return r;
}

Store *store_free(Store *store) {
    if (!store)
        return NULL;
    (void) close_safe(store->fd);
    free(store->path);
    free(store);
    return NULL;
}

/* ---- commit ---- */

/* The number after the highest that was ever used. */
static int next_number(Store *store, uint32_t *ret, Failure *ret_failure) {
    _cleanup_(stored_state_clear) StoredState state = { 0 };
    _cleanup_(numbers_clear) Numbers numbers = { 0 };

    int r = store_state_load(store, &state, ret_failure);
    if (r < 0)
        return r;
    r = list_generations(store, &numbers);
    if (r < 0)
        return place_failure(store_place(store), GENERATIONS, r, "listed", ret_failure);
    uint32_t highest = state.last_generation > numbers.highest_taken ? state.last_generation : numbers.highest_taken;
    if (store->current > highest)
        highest = store->current;
    if (highest == UINT32_MAX)
        return failure_set(ret_failure, -EOVERFLOW, FAILURE_STORAGE, "%s: no generation number is left", store->path);
    *ret = highest + 1;
    return 0;
}

/* Nobody knows whether the rename is durable, so it is not committed: back to where it was, as the caller is told.
 * Where even that fails the next opening of the store takes it for committed, which it is by then. */
static void take_back(Store *store, int generations, const char *name, bool was_copied) {
    if (was_copied)
        (void) place_remove_in_place((Place) { generations, GENERATIONS }, name);
    else
        (void) renameat(generations, name, store->fd, PENDING);
}

/* The commit point. */
static int rename_pending(Store *store, uint32_t number, Failure *ret_failure) {
    _cleanup_close_ int generations = -1;
    char name[NUMBER_SIZE];

    int r = place_make_directory(store_place(store), GENERATIONS, &generations, ret_failure);
    if (r < 0)
        return r;
    const Place place = { generations, GENERATIONS };
    (void) snprintf(name, sizeof(name), "%" PRIu32, number);
    int moved = place_move_directory(store_place(store), PENDING, place, name);
    if (moved < 0)
        return place_failure(store_place(store), PENDING, moved, "made a generation", ret_failure);
    r = place_sync(place);
    if (r == 0)
        r = place_sync(store_place(store));
    if (r < 0) {
        take_back(store, generations, name, moved == PLACE_COPIED);
        return place_failure(store_place(store), GENERATIONS, r, "written", ret_failure);
    }
    if (moved == PLACE_COPIED) /* what stays goes when the store is opened again */
        (void) place_remove_in_place(store_place(store), PENDING);
    return 0;
}

/* What only pending work needs. */
static void tidy_generation(Store *store, uint32_t number) {
    _cleanup_close_ int fd = store_open_generation(store, number, NULL);

    if (fd < 0)
        return;
    (void) unlinkat(fd, REQUEST_FILE, 0);
    (void) unlinkat(fd, ISSUED_FILE, 0);
    (void) unlinkat(fd, FLAGS_FILE, 0);
    (void) unlinkat(fd, PENDING_CHECKSUM, 0);
}

int store_commit(Store *store, BytesView chain_pem, uint32_t *ret_number, Failure *ret_failure) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_close_ int fd = -1;
    _cleanup_free_ char *path = path_join(store->path, PENDING);
    uint32_t number = 0;

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    if (chain_pem.size == 0 || chain_pem.size > STORE_CHAIN_MAX)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_STORAGE,
                           "%s: a chain of %zu bytes cannot be stored; 1 to %u can", store->path, chain_pem.size,
                           STORE_CHAIN_MAX);
    int r = store_pending_load(store, &pending, ret_failure);
    if (r == -ENOENT)
        return failure_set(ret_failure, r, FAILURE_STORAGE, "%s: there is no pending key to commit", store->path);
    if (r < 0)
        return r;
    r = next_number(store, &number, ret_failure);
    if (r < 0)
        return r;
    fd = place_open_directory(store_place(store), PENDING);
    if (fd < 0)
        return place_failure(store_place(store), PENDING, fd, "opened", ret_failure);
    r = place_write((Place) { fd, path }, CHAIN_FILE, chain_pem, ret_failure);
    if (r < 0)
        return r;
    r = generation_write_checksum((Place) { fd, path }, &pending, chain_pem, ret_failure);
    if (r < 0)
        return r;
    r = store_state_reserve(store, number, ret_failure);
    if (r < 0)
        return r;
    r = prepare_link(store, number, ret_failure);
    if (r < 0)
        return r;
    r = rename_pending(store, number, ret_failure);
    if (r < 0)
        return r;
    /* Committed: the link, if it cannot be put in place now, is when the store is opened again. */
    (void) place_link(store);
    tidy_generation(store, number);
    store->current = number;
    *ret_number = number;
    return 0;
}

/* ---- removal ---- */

int store_remove(Store *store, uint32_t number, Failure *ret_failure) {
    _cleanup_free_ char *path = path_join(store->path, GENERATIONS);
    char name[NUMBER_SIZE];

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, store->path);
    if (number == store->current)
        return failure_set(ret_failure, -EBUSY, FAILURE_STORAGE, "%s: generation %" PRIu32 " is the current one",
                           store->path, number);
    _cleanup_close_ int fd = place_open_directory(store_place(store), GENERATIONS);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return place_failure(store_place(store), GENERATIONS, fd, "opened", ret_failure);
    (void) snprintf(name, sizeof(name), "%" PRIu32, number);
    return store_discard(store, (Place) { fd, path }, name, ret_failure);
}

int store_retire(Store *store, Failure *ret_failure) {
    /* Numbers must not begin anew when every generation is gone. */
    int r = store_state_reserve(store, store->current, ret_failure);
    if (r < 0)
        return r;
    r = store_discard(store, store_place(store), PENDING, ret_failure);
    if (r < 0)
        return r;
    r = store_discard(store, store_place(store), GENERATIONS, ret_failure);
    if (r < 0)
        return r;
    store->current = 0;
    if (unlinkat(store->fd, CURRENT, 0) < 0 && errno != ENOENT)
        return place_failure(store_place(store), CURRENT, -errno, "removed", ret_failure);
    r = place_sync(store_place(store));
    if (r < 0)
        return place_failure(store_place(store), CURRENT, r, "removed", ret_failure);
    return store_is_tidy(store) ? 0 : store_tidy(store, ret_failure);
}
