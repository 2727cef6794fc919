/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One memfd for one content, however many have it, and none once nobody has. */
#include "device/shared-files.h"

#include "tests/unit/common/test.h"

#include <fcntl.h>
#include <sys/stat.h>

static int setup(void **state) {
    SharedFiles *files = NULL;

    assert_int_equal(shared_files_new(&files), 0);
    *state = files;
    return 0;
}

static int teardown(void **state) {
    shared_files_free(*state);
    return 0;
}

static SharedFile *get(SharedFiles *files, const char *content) {
    SharedFile *file = NULL;

    assert_int_equal(shared_file_get(files, "test", bytes_view_string(content), &file), 0);
    return file;
}

static void test_one_for_one_content(void **state) {
    SharedFile *one = get(*state, "the same"), *same = get(*state, "the same"), *other = get(*state, "another!");
    _cleanup_bytes_ Bytes read = BYTES_NULL;

    assert_ptr_equal(one, same);
    assert_ptr_not_equal(one, other);
    assert_true(bytes_view_equal(shared_file_view(one), bytes_view_string("the same")));
    assert_int_equal(bytes_from_memfd(shared_file_fd(one), 100, &read), 0); /* it is sealed */
    assert_true(bytes_view_equal(bytes_view(&read), bytes_view_string("the same")));
    shared_file_unref(one);
    assert_true(bytes_view_equal(shared_file_view(same), bytes_view_string("the same")));
    shared_file_unref(same);
    shared_file_unref(other);
}

static void test_gone_with_its_last_holder(void **state) {
    SharedFile *file = get(*state, "content");
    int fd = shared_file_fd(file);

    assert_true(fcntl(fd, F_GETFD) >= 0);
    shared_file_unref(shared_file_ref(file));
    assert_true(fcntl(fd, F_GETFD) >= 0);
    shared_file_unref(file);
    assert_true(fcntl(fd, F_GETFD) < 0);
    assert_null(shared_file_unref(NULL));
    assert_int_equal(shared_file_fd(NULL), -1);
    assert_int_equal(shared_file_view(NULL).size, 0);
}

static void test_keys(void **state) {
    const uint8_t key[SHARED_KEY_SIZE] = { 1 }, another[SHARED_KEY_SIZE] = { 2 };
    SharedFile *file = get(*state, "content"), *other = get(*state, "without a key");

    assert_null(shared_file_find(*state, key));
    shared_file_set_key(file, key);
    shared_file_set_key(file, another); /* it has one */
    assert_null(shared_file_find(*state, another));
    SharedFile *found = shared_file_find(*state, key);
    assert_ptr_equal(found, file);
    shared_file_unref(file);
    assert_true(bytes_view_equal(shared_file_view(found), bytes_view_string("content")));
    shared_file_unref(found);
    assert_null(shared_file_find(*state, key));
    shared_file_unref(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_one_for_one_content, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gone_with_its_last_holder, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
