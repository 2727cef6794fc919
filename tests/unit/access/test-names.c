/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the C library says of a name: found, not there in each of its words, too long for the buffer, or that it could
 * not be looked up. The library is the fake here. */
#include "access/access.h"

#include <grp.h>
#include <pwd.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static int answer;         /* what the library returns */
static size_t wanted_size; /* below it, that the buffer is too small */
static size_t largest;     /* that it was given */

static int say(size_t size) {
    largest = size > largest ? size : largest;
    return size < wanted_size ? ERANGE : answer;
}

int getpwnam_r(const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **ret) {
    int r = say(size);

    entry->pw_uid = 1000;
    *ret = r == 0 && name[0] == 'a' ? entry : NULL;
    return r;
}

int getgrnam_r(const char *name, struct group *entry, char *buffer, size_t size, struct group **ret) {
    int r = say(size);

    entry->gr_gid = 2000;
    *ret = r == 0 && name[0] == 'a' ? entry : NULL;
    return r;
}

static void expect(const char *name, int result) {
    uint32_t number = 7;

    assert_int_equal(access_names_system.user(name, &number), result);
    assert_int_equal(number, result == 0 ? 1000 : 7);
    number = 7;
    assert_int_equal(access_names_system.group(name, &number), result);
    assert_int_equal(number, result == 0 ? 2000 : 7);
}

static int reset(void **state) {
    answer = 0;
    wanted_size = largest = 0;
    return 0;
}

/* getpwnam_r(3): "0 or ENOENT or ESRCH or EBADF or EPERM or ...", and that is no failure of ours to look. */
static void test_words_for_not_there(void **state) {
    static const int words[] = { 0, ENOENT, ESRCH, EBADF, EPERM };

    expect("alice", 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        answer = words[i];
        expect("nobody-has-this", -ENOENT);
    }
    answer = EIO;
    expect("alice", -EIO);
    answer = EMFILE;
    expect("alice", -EMFILE);
}

/* Groups may have many members: a megabyte of them, and no more. */
static void test_long_entries(void **state) {
    static const size_t sizes[] = { 4096, 4097, 100000, 1024 * 1024 };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        wanted_size = sizes[i];
        expect("alice", 0);
    }
    wanted_size++;
    expect("alice", -ERANGE);
    assert_int_equal(largest, 1024 * 1024);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_words_for_not_there, reset),
        cmocka_unit_test_setup(test_long_entries, reset),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
