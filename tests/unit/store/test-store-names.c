/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whose files there are, the end of what one identity has, and how large a file may be. */
#include "store-fixture.h"
#include "store/store-internal.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void make_directory(const StoreFixture *fixture, const char *path) {
    assert_int_equal(mkdir(path_in(fixture, path), 0700), 0);
}

/* The list is these, in this order; it is freed. */
static void expect_names(char **names, const char *const *expected, size_t count) {
    for (size_t i = 0; i < count; i++) {
        assert_non_null(names[i]);
        assert_string_equal(names[i], expected[i]);
        free(names[i]);
    }
    assert_null(names[count]);
    free(names);
}

/* Directories with the name of an identity, whatever is in them. */
static void test_names(void **state) {
    static const char *const expected[] = { "a", "b.c", "z-9" };
    const StoreFixture *fixture = *state;
    char **names = NULL;

    assert_int_equal(store_names(fixture->fd, &names, NULL), 0);
    expect_names(names, NULL, 0);
    make_directory(fixture, "z-9");
    make_directory(fixture, "b.c");
    make_directory(fixture, "a");
    make_directory(fixture, ".#a");
    make_directory(fixture, "Upper");
    make_directory(fixture, "with space");
    write_raw(fixture, "file", "x");
    write_raw(fixture, ".device", "x");
    assert_int_equal(symlink("a", path_in(fixture, "link")), 0);
    assert_int_equal(store_names(fixture->fd, &names, NULL), 0);
    expect_names(names, expected, ARRAY_LENGTH(expected));
}

/* Of the runtime directory only what publish_set makes. */
static void test_published_names(void **state) {
    static const char *const expected[] = { "all", "key" };
    const StoreFixture *fixture = *state;
    const PublishedFile files[] = { { "key.pem", bytes_view_string("k") },
                                    { "chain.pem", bytes_view_string("c") },
                                    { "anchors.pem", bytes_view_string("a") },
                                    { "identity.pem", bytes_view_string("i") },
                                    { "current.pem", bytes_view_string("k") } };
    char **names = NULL;

    assert_int_equal(publish_set(fixture->fd, "key", files, 1, NULL), 0);
    assert_int_equal(publish_set(fixture->fd, "all", files, ARRAY_LENGTH(files), NULL), 0);
    assert_int_equal(publish_set(fixture->fd, "no-key", files + 1, 2, NULL), 0);
    assert_int_equal(publish_set(fixture->fd, "more", files, ARRAY_LENGTH(files), NULL), 0);
    write_raw(fixture, "more/other.pem", "x");
    make_directory(fixture, "empty");
    make_directory(fixture, "conf");
    write_raw(fixture, "conf/identityd.conf", "x");
    write_raw(fixture, "handles.socket", "x");
    assert_int_equal(publish_names(fixture->fd, &names, NULL), 0);
    expect_names(names, expected, ARRAY_LENGTH(expected));
}

/* What cannot be listed is no empty list. */
static void test_names_of_no_directory(void **state) {
    const StoreFixture *fixture = *state;
    Failure failure = FAILURE_INIT;
    char **names = NULL;

    write_raw(fixture, "file", "x");
    _cleanup_close_ int fd = open(path_in(fixture, "file"), O_RDONLY | O_CLOEXEC);
    assert_int_equal(store_names(fd, &names, &failure), -ENOTDIR);
    assert_null(names);
    assert_int_equal(failure.kind, FAILURE_STORAGE);
    assert_non_null(strstr(failure.text, path_in(fixture, "file")));
    assert_non_null(strstr(failure.text, "cannot be listed: Not a directory"));
}

/* More entries than a directory may have are no shorter list. */
static void test_too_many_entries(void **state) {
    const StoreFixture *fixture = *state;
    char **names = NULL, name[32];

    for (unsigned i = 0; i < DIRECTORY_ENTRIES_MAX; i++) {
        (void) snprintf(name, sizeof name, "Entry%u", i);
        write_raw(fixture, name, "");
    }
    assert_int_equal(store_names(fixture->fd, &names, NULL), 0);
    expect_names(names, NULL, 0);
    write_raw(fixture, "more", "");
    names = NULL;
    assert_int_equal(store_names(fixture->fd, &names, NULL), -E2BIG);
    assert_null(names);
}

/* In doubt there are some, so that nobody is certified a second time for nothing. */
static void test_has_generations(void **state) {
    const StoreFixture *fixture = *state;

    assert_false(store_has_generations(fixture->fd, "demo"));
    make_directory(fixture, "demo");
    assert_false(store_has_generations(fixture->fd, "demo"));
    make_directory(fixture, "demo/generations");
    assert_false(store_has_generations(fixture->fd, "demo"));
    make_directory(fixture, "demo/generations/1");
    assert_true(store_has_generations(fixture->fd, "demo"));
    write_raw(fixture, "file", "x");
    assert_true(store_has_generations(fixture->fd, "file"));
    make_directory(fixture, "strange");
    write_raw(fixture, "strange/generations", "x");
    assert_true(store_has_generations(fixture->fd, "strange"));
}

static void test_erase(void **state) {
    static const char *const bad[] = { "", ".", "..", "a/b", ".#demo", "Upper" };
    const StoreFixture *fixture = *state;
    Failure failure = FAILURE_INIT;
    Store *store = open_demo(fixture->fd);

    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    (void) store_free(store);
    make_directory(fixture, "other");
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        assert_int_equal(store_erase(fixture->fd, bad[i], &failure), -EINVAL);
        assert_int_equal(failure.kind, FAILURE_STORAGE);
    }
    assert_true(exists(fixture, "demo/generations/1/key.pem"));
    make_directory(fixture, ".#demo"); /* of a removal that was cut off */
    write_raw(fixture, ".#demo/key.pem", "x");
    assert_int_equal(store_erase(fixture->fd, "demo", &failure), 0);
    assert_false(exists(fixture, "demo") || exists(fixture, ".#demo"));
    assert_true(exists(fixture, "other"));
    assert_int_equal(store_erase(fixture->fd, "demo", &failure), -ENOENT);
    assert_non_null(strstr(failure.text, path_in(fixture, "demo")));
}

/* Only what store_erase has put aside: neither other hidden files nor an identity. */
static void test_finish_erasing(void **state) {
    const StoreFixture *fixture = *state;

    make_directory(fixture, ".#demo");
    make_directory(fixture, ".#demo/generations");
    write_raw(fixture, ".#demo/generations/key.pem", "x");
    make_directory(fixture, "demo");
    write_raw(fixture, ".#Not An Identity", "x");
    write_raw(fixture, ".device", "x");
    store_finish_erasing(fixture->fd);
    assert_false(exists(fixture, ".#demo"));
    assert_true(exists(fixture, "demo") && exists(fixture, ".#Not An Identity") && exists(fixture, ".device"));
}

/* What cannot be opened is not taken for removed; what is not there is. */
static void test_remove_in_place(void **state) {
    const StoreFixture *fixture = *state;
    const Place place = { fixture->fd, fixture->root };
    struct rlimit before, none;

    assert_int_equal(place_remove_in_place(place, "nothing"), 0);
    write_raw(fixture, "file", "x");
    assert_int_equal(place_remove_in_place(place, "file"), 0);
    make_directory(fixture, "1");
    write_raw(fixture, "1/key.pem", "x");
    write_raw(fixture, "1/chain.pem", "x");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit) { 0, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = place_remove_in_place(place, "1");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_true(exists(fixture, "1/key.pem"));
    assert_int_equal(place_remove_in_place(place, "1"), 0);
    assert_false(exists(fixture, "1") || exists(fixture, "file"));
}

/* ---- files that cannot be opened ---- */

/* A socket, which open(2) refuses, is no file; but that nothing can be opened now says nothing of the file. */
static void test_unopened(void **state) {
    const StoreFixture *fixture = *state;
    StoredGeneration generation = { 0 };
    Failure failure = FAILURE_INIT;
    Store *store = open_demo(fixture->fd);
    struct rlimit before, one;

    save_pending(store, 'a', true);
    assert_int_equal(commit(store, 'a'), 1);
    int lowest = dup(fixture->fd);
    (void) close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    one = (struct rlimit) { (rlim_t) lowest + 1, before.rlim_max };
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &one), 0);
    int r = store_load(store, 1, &generation, &failure);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_non_null(strstr(failure.text, "demo/generations/1/key.pem cannot be opened: Too many open files"));
    expect_generation(store, 1, 'a', 'a');

    assert_int_equal(unlink(path_in(fixture, "demo/generations/1/key.pem")), 0);
    assert_int_equal(mknod(path_in(fixture, "demo/generations/1/key.pem"), S_IFSOCK | 0600, 0), 0);
    assert_int_equal(store_load(store, 1, &generation, &failure), -EBADMSG);
    assert_non_null(strstr(failure.text, "demo/generations/1/key.pem: is not a regular file"));
    (void) store_free(store);
}

/* ---- work that is done already ---- */

/* What is not there is discarded without a trash/, and a request whose checksum is listed is not listed once more. */
static void test_nothing_to_do(void **state) {
    const StoreFixture *fixture = *state;
    Store *store = open_demo(fixture->fd);
    struct stat first, second;

    assert_int_equal(store_pending_drop(store, NULL), 0);
    assert_false(exists(fixture, "demo/trash"));
    save_pending(store, 'a', false);
    save_pending(store, 'a', true);
    assert_int_equal(stat(path_in(fixture, "demo/pending/checksum.pending"), &first), 0);
    assert_int_equal(unlink(path_in(fixture, "demo/pending/request.der")), 0); /* as if the power had gone before it */
    save_pending(store, 'a', true);
    assert_true(exists(fixture, "demo/pending/request.der"));
    assert_int_equal(stat(path_in(fixture, "demo/pending/checksum.pending"), &second), 0);
    assert_int_equal(first.st_size, second.st_size);
    (void) store_free(store);
}

/* ---- how large a file may be ---- */

static int load_generation(Store *store, Failure *failure) {
    StoredGeneration generation = { 0 };
    int r = store_load(store, 1, &generation, failure);

    stored_generation_clear(&generation);
    return r;
}

static int load_pending(Store *store, Failure *failure) {
    StoredPending pending = { 0 };
    int r = store_pending_load(store, &pending, failure);

    stored_pending_clear(&pending);
    return r;
}

static int load_anchors(Store *store, Failure *failure) {
    Bytes pem = BYTES_NULL;
    int r = store_anchors_load(store, &pem, failure);

    bytes_clear(&pem);
    return r;
}

static int load_crl(Store *store, Failure *failure) {
    Bytes der = BYTES_NULL;
    int r = store_crl_load(store, "aa", &der, failure);

    bytes_clear(&der);
    return r;
}

static int load_ocsp(Store *store, Failure *failure) {
    StoredOcsp list[STORE_OCSP_MAX];
    size_t count = 0;

    return store_ocsp_load(store, list, &count, failure);
}

/* One byte more than each file may have is said, with the file; the bound itself is not what is said. */
static void test_bounds(void **state) {
    static const struct {
        const char *path;
        size_t maximum;
        int (*load)(Store *store, Failure *failure);
    } files[] = {
        { "demo/generations/1/key.pem", STORE_KEY_MAX, load_generation },
        { "demo/generations/1/chain.pem", STORE_CHAIN_MAX, load_generation },
        { "demo/generations/1/parent", 2 * PARENT_NAME_MAX + 1, load_generation },
        { "demo/generations/1/checksum", CHECKSUM_MAX, load_generation },
        { "demo/pending/key.pem", STORE_KEY_MAX, load_pending },
        { "demo/pending/parent", 2 * PARENT_NAME_MAX + 1, load_pending },
        { "demo/pending/request.der", STORE_REQUEST_MAX, load_pending },
        { "demo/pending/checksum.pending", CHECKSUM_MAX, load_pending },
        { "demo/trust/anchors.pem", STORE_ANCHORS_MAX, load_anchors },
        { "demo/trust/crls/aa.crl", STORE_CRL_MAX, load_crl },
        { "demo/trust/ocsp", (STORE_OCSP_MAX + 1U) * 128U, load_ocsp },
    };
    static const char larger[] = "is larger than such a file may be";
    const StoreFixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(files); i++)
        for (size_t more = 0; more < 2; more++) {
            Failure failure = FAILURE_INIT;
            Store *store = open_demo(fixture->fd);
            save_pending(store, 'a', true);
            assert_int_equal(commit(store, 'a'), 1);
            save_pending(store, 'b', true);
            assert_int_equal(store_anchors_save(store, content_of('c', 'a'), NULL), 0);
            assert_int_equal(store_crl_save(store, "aa", content_of('r', 'a'), NULL), 0);
            write_raw(fixture, "demo/trust/ocsp", "x");
            assert_int_equal(truncate(path_in(fixture, files[i].path), (off_t) (files[i].maximum + more)), 0);
            int r = files[i].load(store, &failure);
            if (more && (r != -EBADMSG || !strstr(failure.text, larger) || !strstr(failure.text, files[i].path)))
                fail_msg("%s: %d \"%s\"", files[i].path, r, failure.text);
            if (!more && strstr(failure.text, larger))
                fail_msg("%s: the bound is one too low", files[i].path);
            (void) store_free(store);
            remove_below(fixture->root);
        }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, store_fixture_setup, store_fixture_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_names),
        TEST(test_published_names),
        TEST(test_names_of_no_directory),
        TEST(test_too_many_entries),
        TEST(test_has_generations),
        TEST(test_erase),
        TEST(test_finish_erasing),
        TEST(test_remove_in_place),
        TEST(test_unopened),
        TEST(test_nothing_to_do),
        TEST(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
