/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Published files: whole sets, swapped in, and left alone where nothing changed. */
#include "store-fixture.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void expect_published(const StoreFixture *fixture, const char *path, const char *content) {
    Bytes found = BYTES_NULL;
    struct stat status;

    assert_int_equal(bytes_read_file(path_in(fixture, path), 1000, &found), 0);
    assert_string_equal((const char *) found.data, content);
    bytes_clear(&found);
    assert_int_equal(lstat(path_in(fixture, path), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0644);
}

static void test_publish(void **state) {
    const StoreFixture *fixture = *state;
    const PublishedFile first[] = { { "chain.pem", bytes_view_string("one") },
                                    { "key.pem", bytes_view_string("one too") } };
    const PublishedFile second[] = { { "chain.pem", bytes_view_string("two") } };
    static const char *const bad_names[] = { "..", ".", "", "a/b", ".hidden" };
    Failure failure = FAILURE_INIT;
    struct stat status;

    mode_t mask = umask(0077); /* the daemon's must not matter */
    assert_int_equal(publish_set(fixture->fd, "demo", first, 2, &failure), 0);
    expect_published(fixture, "demo/chain.pem", "one");
    expect_published(fixture, "demo/key.pem", "one too");
    assert_int_equal(lstat(path_in(fixture, "demo"), &status), 0);
    assert_int_equal(status.st_mode & 07777, 0755);

    /* A reader who has the directory open sees the old set, or what is gone; never the new one in the old directory. */
    _cleanup_close_ int reader = open(path_in(fixture, "demo"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(publish_set(fixture->fd, "demo", second, 1, &failure), 0);
    expect_published(fixture, "demo/chain.pem", "two");
    assert_false(exists(fixture, "demo/key.pem") || exists(fixture, "demo/..#demo") || exists(fixture, ".#demo"));
    assert_int_equal(openat(reader, "chain.pem", O_RDONLY | O_CLOEXEC), -1);

    /* What is there already stays, so that nobody who watches the directory is told of a change. */
    assert_int_equal(lstat(path_in(fixture, "demo"), &status), 0);
    ino_t inode = status.st_ino;
    assert_int_equal(publish_set(fixture->fd, "demo", second, 1, &failure), 0);
    assert_int_equal(lstat(path_in(fixture, "demo"), &status), 0);
    assert_true(status.st_ino == inode);
    write_raw(fixture, "demo/chain.pem", "tw");
    assert_int_equal(publish_set(fixture->fd, "demo", second, 1, &failure), 0);
    expect_published(fixture, "demo/chain.pem", "two");
    write_raw(fixture, "demo/other", "not ours");
    assert_int_equal(publish_set(fixture->fd, "demo", second, 1, &failure), 0);
    assert_false(exists(fixture, "demo/other"));

    for (size_t i = 0; i < ARRAY_LENGTH(bad_names); i++) {
        const PublishedFile bad[] = { { bad_names[i], bytes_view_string("x") } };
        assert_int_equal(publish_set(fixture->fd, "demo", bad, 1, &failure), -EINVAL);
        assert_int_equal(failure.kind, FAILURE_STORAGE);
        expect_published(fixture, "demo/chain.pem", "two");
        assert_false(exists(fixture, ".#demo"));
    }
    assert_int_equal(publish_set(fixture->fd, "../demo", second, 1, &failure), -EINVAL);
    write_raw(fixture, "socket", "not ours");
    assert_int_equal(publish_set(fixture->fd, "socket", second, 1, &failure), -ENOTDIR);
    assert_int_equal(publish_set(fixture->fd, "socket", NULL, 0, &failure), -ENOTDIR);
    expect_published(fixture, "demo/chain.pem", "two");

    assert_int_equal(mkdir(path_in(fixture, ".#demo"), 0700), 0); /* left by a killed daemon */
    assert_int_equal(publish_set(fixture->fd, "demo", first, 2, &failure), 0);
    expect_published(fixture, "demo/key.pem", "one too");
    assert_int_equal(publish_set(fixture->fd, "demo", NULL, 0, &failure), 0);
    assert_int_equal(publish_set(fixture->fd, "demo", NULL, 0, &failure), 0);
    assert_false(exists(fixture, "demo") || exists(fixture, ".#demo"));
    (void) umask(mask);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_publish, store_fixture_setup, store_fixture_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
