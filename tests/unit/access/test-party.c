/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* With whom a user is counted: subordinate users with theirs, and whom nobody knows with all the others. */
#include "access/access.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include <cmocka.h>

static int fake_user(const char *name, uid_t *ret) {
    if (strcmp(name, "broken") == 0)
        return -EIO;
    if (strcmp(name, "anna") != 0)
        return -ENOENT;
    *ret = 1000;
    return 0;
}

static int fake_group(const char *name, gid_t *ret) {
    return -ENOENT;
}

static int fake_knows(uid_t uid) {
    return uid == 5000 ? -EIO : uid < 5000 || uid == 61184;
}

static bool fake_stands_for_many(bool group, uint32_t id) {
    return id == 65534;
}

static const AccessNames names = { fake_user, fake_group, fake_knows, fake_stands_for_many };

static char path[] = "/tmp/identityd-party-XXXXXX";

static void write_subordinates(const char *text) {
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect(uid_t uid, uid_t party) {
    assert_int_equal(party_of(uid, path, &names), party);
}

static void test_parties(void **state) {
    write_subordinates("anna:100000:65536\n1001:165536:65536\n# zoe:300000:10\nbroken:400000:10\nzoe:500000:10\n");
    expect(0, 0);
    expect(1000, 1000);
    expect(61184, 61184); /* a unit with DynamicUser= */
    expect(99999, PARTY_UNKNOWN);
    expect(100000, 1000);
    expect(165535, 1000);
    expect(165536, 1001);
    expect(231071, 1001);
    expect(231072, PARTY_UNKNOWN);
    expect(300000, PARTY_UNKNOWN); /* in a comment */
    expect(400000, PARTY_UNKNOWN); /* whose owner cannot be looked up */
    expect(500000, PARTY_UNKNOWN); /* whose owner does not exist */
    expect(5000, PARTY_UNKNOWN);   /* the lookup fails */
    expect(65534, PARTY_UNKNOWN);
    expect(PARTY_UNKNOWN, PARTY_UNKNOWN);
}

/* Somebody whom the system knows is himself, whatever the file says. */
static void test_known_before_subordinate(void **state) {
    write_subordinates("anna:0:4294967295\n");
    expect(0, 0);
    expect(2000, 2000);
    expect(5000, 1000);
}

static void test_files(void **state) {
    static const char *const bad[] = {
        "",
        "anna",
        "anna:100000",
        "anna:100000:",
        "anna::65536",
        ":100000:65536",
        "anna:-1:65536",
        "anna:100000:65536:1",
        "anna:1e5:65536",
        "anna:99999999999:65536",
        "anna:100000:0",
        "anna : 100000 : 65536",
        "\n\n:::\n",
    };

    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        write_subordinates(bad[i]);
        expect(100000, PARTY_UNKNOWN);
    }
    write_subordinates("rubbish\nanna:100000:10"); /* without an end of the line */
    expect(100009, 1000);
    expect(100010, PARTY_UNKNOWN);
    write_subordinates("anna:4294967290:65536\n");
    expect(4294967294U, 1000);
    assert_int_equal(party_of(100000, "/nonexistent", &names), PARTY_UNKNOWN);
    assert_int_equal(party_of(100000, "/tmp", &names), PARTY_UNKNOWN);
}

static void test_system(void **state) {
    Caller root = { .uid = 0 }, own = { .uid = geteuid() }, other = { .uid = geteuid() + 1U };

    assert_int_equal(access_names_system.knows(0), 1);
    assert_int_equal(access_names_system.knows(4000000000U), 0);
    assert_true(caller_is_administrator(&root));
    assert_true(caller_is_administrator(&own));
    assert_false(caller_is_administrator(&other));
}

/* In a user namespace that maps one number alone. */
static void test_partial_map(void **state) {
    if (access_names_system.stands_for_many(false, 65534))
        skip(); /* this test is in one itself */
    pid_t child = fork();
    if (child == 0) {
        if (unshare(CLONE_NEWUSER) < 0)
            _exit(77);
        Caller own = { .uid = geteuid() }; /* nothing is mapped yet: the overflow number */
        bool right =
            access_names_system.stands_for_many(false, 65534) && access_names_system.stands_for_many(true, 65534) &&
            !access_names_system.stands_for_many(false, 65533) && own.uid == 65534 && !caller_is_administrator(&own);
        _exit(right ? 0 : 1);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
        skip();
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static int make_file(void **state) {
    int fd = mkstemp(path);

    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state) {
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parties),     cmocka_unit_test(test_known_before_subordinate),
        cmocka_unit_test(test_files),       cmocka_unit_test(test_system),
        cmocka_unit_test(test_partial_map),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
