/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One operation of the real store in a process of its own, for power-cut.py to cut off:
 *
 *   store-operation prepare OPERATION DIRECTORY   makes what the operation starts from
 *   store-operation run OPERATION DIRECTORY       does it, between two calls of getppid(2) that mark it in a trace;
 * then says "ok" or "failed KIND TEXT", and what the store shows in the same process store-operation describe DIRECTORY
 * opens the store as a new process and says all that is in it; then makes sure that work goes on, by committing another
 * generation store-operation list                          names of the operations
 *
 * Output goes through writev(2), so that a fault injected into write(2) hits the store alone. */
#include "store-fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#define CHECK(expression)                                                                                              \
    do {                                                                                                               \
        if (!(expression)) {                                                                                           \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #expression);                                           \
            exit(3);                                                                                                   \
        }                                                                                                              \
    } while (0)

static void say(const char *format, ...) _printf_(1, 2);
static void say(const char *format, ...) {
    char text[2048];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t) length < sizeof(text));
    CHECK(writev(1, &(struct iovec) { text, (size_t) length }, 1) == length);
}

/* ---- what is in a store ---- */

static char tag_of(const Bytes *bytes, char kind) {
    if (bytes->size < 2 || bytes->data[0] != (uint8_t) kind)
        return '?';
    return bytes_view_equal(bytes_view(bytes), content_of(kind, (char) bytes->data[1])) ? (char) bytes->data[1] : '?';
}

static void describe_generations(Store *store) {
    _cleanup_free_ uint32_t *numbers = NULL;
    size_t count = 0;

    say("current=%" PRIu32 "\n", store_current(store));
    CHECK(store_list(store, &numbers, &count, NULL) == 0);
    for (size_t i = 0; i < count; i++) {
        StoredGeneration generation = { 0 };
        CHECK(store_load(store, numbers[i], &generation, NULL) == 0);
        say("generation=%" PRIu32 " key=%c chain=%c parent=%zu\n", numbers[i], tag_of(&generation.key_pem, 'k'),
            tag_of(&generation.chain_pem, 'c'), generation.parent_name.size);
        stored_generation_clear(&generation);
    }
}

static void describe_pending(Store *store) {
    StoredPending pending = { 0 };
    Failure failure = FAILURE_INIT;

    int r = store_pending_load(store, &pending, &failure);
    if (r == -ENOENT) {
        say("pending=none\n");
        return;
    }
    if (r < 0)
        say("pending=broken %s\n", failure.text);
    else
        say("pending=%c request=%c parent=%zu flags=%d%d%d\n", tag_of(&pending.key_pem, 'k'),
            pending.request.size == 0 ? '-' : tag_of(&pending.request, 'r'), pending.parent_name.size, pending.reenroll,
            pending.same_key, pending.manual);
    stored_pending_clear(&pending);
}

static void describe_rest(Store *store) {
    StoredState state = { 0 };
    Bytes content = BYTES_NULL;
    char **ids = NULL;

    CHECK(store_state_load(store, &state, NULL) == 0);
    say("state failures=%" PRIu32 " error=%s\n", state.failures, state.last_error);
    stored_state_clear(&state);
    int r = store_anchors_load(store, &content, NULL);
    CHECK(r == 0 || r == -ENOENT);
    say("anchors=%c\n", r == 0 ? tag_of(&content, 'c') : '-');
    bytes_clear(&content);
    CHECK(store_crl_list(store, &ids, NULL) == 0);
    for (char **id = ids; *id; id++) {
        CHECK(store_crl_load(store, *id, &content, NULL) == 0);
        say("crl=%s %c\n", *id, tag_of(&content, 'r'));
        bytes_clear(&content);
        free(*id);
    }
    free(ids);
}

/* The published directory, read as a program does: opened once. */
static void describe_published(int fd) {
    static const char *const names[] = { "chain.pem", "key.pem", "only-old.pem" };
    _cleanup_close_ int published = openat(fd, "published", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    for (size_t i = 0; published >= 0 && i < ARRAY_LENGTH(names); i++) {
        _cleanup_bytes_ Bytes content = BYTES_NULL;
        _cleanup_close_ int file = openat(published, names[i], O_RDONLY | O_CLOEXEC);
        if (file < 0)
            continue;
        CHECK(bytes_read_fd(file, 10000, &content) == 0);
        say("published %s=%c\n", names[i], tag_of(&content, 'c'));
    }
}

/* Files that nothing refers to any more: there must be none once a store was opened. */
static void describe_leftovers(const char *path, unsigned depth) {
    DIR *stream = opendir(path);

    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        char below[512];
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        (void) snprintf(below, sizeof(below), "%.300s/%.200s", path, entry->d_name);
        if (strncmp(entry->d_name, ".#", 2) == 0 || strstr(path, "/trash"))
            say("leftover=%s\n", below);
        if (depth > 0)
            describe_leftovers(below, depth - 1);
    }
    if (stream)
        (void) closedir(stream);
}

static void describe(Store *store, int fd) {
    describe_generations(store);
    describe_pending(store);
    describe_rest(store);
    describe_published(fd);
}

/* ---- operations ---- */

static const PublishedFile *published(char tag, size_t *ret_count) {
    static PublishedFile files[3];

    files[0] = (PublishedFile) { "chain.pem", content_of('c', tag) };
    files[1] = (PublishedFile) { "key.pem", content_of('c', tag) };
    files[2] = (PublishedFile) { "only-old.pem", content_of('c', tag) };
    *ret_count = tag == 'o' ? 3 : 2;
    return files;
}

static void prepare_pending(Store *store, int fd) {
    save_pending(store, 'a', false);
}

static void prepare_request(Store *store, int fd) {
    save_pending(store, 'a', true);
}

static void prepare_current(Store *store, int fd) {
    save_pending(store, 'a', true);
    (void) commit(store, 'a');
}

static void prepare_renewal(Store *store, int fd) {
    prepare_current(store, fd);
    save_pending(store, 'b', true);
}

static void prepare_two(Store *store, int fd) {
    prepare_renewal(store, fd);
    (void) commit(store, 'b');
}

static void prepare_full(Store *store, int fd) {
    prepare_two(store, fd);
    save_pending(store, 'c', true);
    CHECK(store_anchors_save(store, content_of('c', 'a'), NULL) == 0);
    CHECK(store_crl_save(store, "aa", content_of('r', 'a'), NULL) == 0);
    CHECK(store_state_save(store, &(StoredState) { .failures = 3, .last_error = "old" }, NULL) == 0);
}

/* As after a cut in a renewal, with everything that others could have left. */
static void prepare_cut(Store *store, int fd) {
    prepare_full(store, fd);
    CHECK(mkdirat(fd, "demo/generations/3", 0700) == 0 && mkdirat(fd, "demo/generations/9", 0700) == 0);
    CHECK(mkdirat(fd, "demo/trash", 0700) == 0 || errno == EEXIST);
    CHECK(mkdirat(fd, "demo/trash/1.0", 0700) == 0);
    static const char *const files[] = { "demo/generations/3/key.pem", "demo/generations/3/chain.pem",
                                         "demo/generations/3/parent",  "demo/generations/9/key.pem",
                                         "demo/trash/1.0/key.pem",     "demo/.#state" };
    for (size_t i = 0; i < ARRAY_LENGTH(files); i++) {
        _cleanup_close_ int file = openat(fd, files[i], O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        BytesView content = i == 2 ? bytes_view_string("000b\n") : content_of(i == 1 ? 'c' : 'k', 'd');
        CHECK(write(file, content.data, content.size) == (ssize_t) content.size);
    }
}

static void prepare_published(Store *store, int fd) {
    size_t count = 0;
    const PublishedFile *files = published('o', &count);

    CHECK(publish_set(fd, "published", files, count, NULL) == 0);
}

static int run_pending_first(Store *store, int fd, Failure *failure) {
    StoredPending pending = pending_of('a', true);

    return store_pending_save(store, &pending, failure);
}

static int run_pending_replace(Store *store, int fd, Failure *failure) {
    StoredPending pending = pending_of('b', true);

    return store_pending_save(store, &pending, failure);
}

static int run_pending_drop(Store *store, int fd, Failure *failure) {
    return store_pending_drop(store, failure);
}

static int run_commit(Store *store, int fd, Failure *failure) {
    uint32_t number;

    return store_commit(store, content_of('c', 'n'), &number, failure);
}

static int run_remove(Store *store, int fd, Failure *failure) {
    return store_remove(store, 1, failure);
}

static int run_retire(Store *store, int fd, Failure *failure) {
    return store_retire(store, failure);
}

static int run_state(Store *store, int fd, Failure *failure) {
    return store_state_save(store, &(StoredState) { .failures = 4, .last_error = "new" }, failure);
}

static int run_anchors(Store *store, int fd, Failure *failure) {
    return store_anchors_save(store, content_of('c', 'n'), failure);
}

static int run_crl(Store *store, int fd, Failure *failure) {
    return store_crl_save(store, "aa", content_of('r', 'n'), failure);
}

static int run_open(Store *store, int fd, Failure *failure) {
    Store *opened = NULL;

    int r = store_open(fd, "demo", true, &opened, failure);
    (void) store_free(opened);
    return r;
}

static int run_publish(Store *store, int fd, Failure *failure) {
    size_t count = 0;
    const PublishedFile *files = published('n', &count);

    return publish_set(fd, "published", files, count, failure);
}

static int run_unpublish(Store *store, int fd, Failure *failure) {
    return publish_set(fd, "published", NULL, 0, failure);
}

static const struct Operation {
    const char *name;
    void (*prepare)(Store *store, int fd); /* NULL: not even a directory, and run is not given a store */
    int (*run)(Store *store, int fd, Failure *failure);
    bool opens; /* run is not given a store, since it opens it */
} operations[] = {
    { "open-first", NULL, run_open, true },
    { "open-after-cut", prepare_cut, run_open, true },
    { "pending-first", prepare_current, run_pending_first, false },
    { "pending-request", prepare_pending, run_pending_first, false },
    { "pending-replace", prepare_request, run_pending_replace, false },
    { "pending-drop", prepare_renewal, run_pending_drop, false },
    { "commit-first", prepare_request, run_commit, false },
    { "commit-renewal", prepare_renewal, run_commit, false },
    { "commit-third", prepare_full, run_commit, false },
    { "remove-old", prepare_two, run_remove, false },
    { "retire", prepare_full, run_retire, false },
    { "state-first", prepare_current, run_state, false },
    { "state-again", prepare_full, run_state, false },
    { "anchors-first", prepare_current, run_anchors, false },
    { "anchors-again", prepare_full, run_anchors, false },
    { "crl-first", prepare_current, run_crl, false },
    { "crl-again", prepare_full, run_crl, false },
    { "publish-first", prepare_current, run_publish, false },
    { "publish-again", prepare_published, run_publish, false },
    { "unpublish", prepare_published, run_unpublish, false },
};

static void do_prepare(const struct Operation *operation, int fd) {
    if (!operation->prepare)
        return;
    Store *store = open_demo(fd);
    operation->prepare(store, fd);
    (void) store_free(store);
}

static bool trash_is_empty(int fd) {
    int trash = openat(fd, "demo/trash", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (trash < 0)
        return errno == ENOENT;
    DIR *stream = fdopendir(trash);
    CHECK(stream);
    unsigned entries = 0;
    while (readdir(stream))
        entries++;
    (void) closedir(stream);
    return entries == 2; /* . and .. */
}

static void do_run(const struct Operation *operation, int fd) {
    Store *store = operation->opens ? NULL : open_demo(fd);
    Failure failure = FAILURE_INIT;

    (void) getppid();
    int r = operation->run(store, fd, &failure);
    (void) getppid();
    if (r < 0)
        say("failed %s %s\n", failure_dbus_name(failure.kind), failure.text);
    else
        say("ok\n");
    if (store) {
        describe(store, fd);
        /* A fault that happened once leaves nothing that the next try does not remove. */
        r = store_is_tidy(store) ? 0 : store_tidy(store, NULL);
        say("trash=%s\n", r < 0 ? "left" : trash_is_empty(fd) ? "empty" : "forgotten");
    }
    (void) store_free(store);
}

static void do_describe(int fd, const char *directory) {
    Store *store = NULL;
    Failure failure = FAILURE_INIT;

    int r = store_open(fd, "demo", false, &store, &failure);
    if (r == -ENOENT) {
        say("no store\n");
        return;
    }
    if (r < 0) {
        say("broken %s\n", failure.text);
        return;
    }
    describe(store, fd);
    char path[256];
    (void) snprintf(path, sizeof(path), "%s/demo", directory);
    describe_leftovers(path, 3);
    uint32_t before = store_current(store);
    save_pending(store, 'z', true);
    CHECK(commit(store, 'z') > before);
    expect_generation(store, store_current(store), 'z', 'z');
    (void) store_free(store);
}

int main(int argc, char **argv) {
    if (argc == 2 && strcmp(argv[1], "list") == 0) {
        for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
            say("%s\n", operations[i].name);
        return 0;
    }
    if (argc < 3)
        return 2;
    _cleanup_close_ int fd = open(argv[argc - 1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(fd >= 0);
    if (strcmp(argv[1], "describe") == 0) {
        do_describe(fd, argv[2]);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LENGTH(operations); i++)
        if (argc == 4 && strcmp(operations[i].name, argv[2]) == 0) {
            (strcmp(argv[1], "prepare") == 0 ? do_prepare : do_run)(&operations[i], fd);
            return 0;
        }
    return 2;
}
