/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of connections: who is found, whose process has ended, and whose place somebody new takes. */
#include "access/access.h"

#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static pid_t spawn(void) {
    pid_t pid = fork();

    if (pid == 0) {
        (void) prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nobody behind */
        for (;;)
            pause();
    }
    assert_true(pid > 0);
    return pid;
}

static void end(pid_t pid) {
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* Puts a caller with a process of its own, or ours, under the name ":1.NUMBER". */
static int put(CallerCache *cache, unsigned number, uid_t uid, pid_t pid, const char *unit) {
    _cleanup_caller_ Caller caller = CALLER_INIT;
    char name[32];

    (void) snprintf(name, sizeof name, ":1.%u", number);
    caller.uid = caller.party = uid;
    caller.pid = pid;
    caller.pidfd = pidfd_open(pid, 0);
    caller.bus_name = strdup(name);
    caller.unit = unit ? strdup(unit) : NULL;
    caller.unit_is_known = unit != NULL;
    caller.groups = calloc(2, sizeof *caller.groups);
    caller.groups[0] = uid;
    caller.groups[1] = 42;
    caller.group_count = 2;
    return caller_cache_put(cache, &caller);
}

/* How many are kept: each holds a pidfd of its own. */
static size_t kept(void) {
    size_t count = 0;
    DIR *directory = opendir("/proc/self/fd");

    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));) {
        char target[64] = "";

        (void) !readlinkat(dirfd(directory), entry->d_name, target, sizeof target - 1);
        count += strstr(target, "pidfd") != NULL;
    }
    (void) closedir(directory);
    return count;
}

static const Caller *find(CallerCache *cache, unsigned number) {
    char name[32];

    (void) snprintf(name, sizeof name, ":1.%u", number);
    return caller_cache_find(cache, name);
}

static void test_found_as_put(void **state) {
    _cleanup_caller_cache_ CallerCache *cache = NULL;

    assert_int_equal(caller_cache_new(4, 4, &cache), 0);
    assert_null(find(cache, 1));
    assert_int_equal(put(cache, 1, 1000, getpid(), "a.service"), 0);
    assert_int_equal(put(cache, 2, 1001, getpid(), NULL), 0);
    const Caller *known = find(cache, 1);
    assert_non_null(known);
    assert_int_equal(known->uid, 1000);
    assert_int_equal(known->pid, getpid());
    assert_string_equal(known->unit, "a.service");
    assert_true(known->unit_is_known);
    assert_int_equal(known->group_count, 2);
    assert_int_equal(known->groups[1], 42);
    assert_true(caller_is_alive(known));
    known = find(cache, 2);
    assert_null(known->unit);
    assert_false(known->unit_is_known);
    assert_null(find(cache, 10)); /* ":1.1" is no prefix of anything */

    /* More is known later: it replaces what was, and takes no second place. */
    assert_int_equal(put(cache, 2, 1001, getpid(), "b.service"), 0);
    assert_string_equal(find(cache, 2)->unit, "b.service");
    assert_int_equal(kept(), 2);
}

static void test_nothing_without_a_process(void **state) {
    _cleanup_caller_cache_ CallerCache *cache = NULL;
    _cleanup_caller_ Caller caller = CALLER_INIT;

    assert_int_equal(caller_cache_new(4, 4, &cache), 0);
    caller.uid = caller.party = 1000;
    caller.bus_name = strdup(":1.1");
    assert_int_equal(caller_cache_put(cache, &caller), -EINVAL);
    caller.pidfd = pidfd_open(getpid(), 0);
    free(caller.bus_name);
    caller.bus_name = NULL;
    assert_int_equal(caller_cache_put(cache, &caller), -EINVAL);
    assert_int_equal(kept(), 1); /* the caller's own */
}

/* Without a descriptor for it nothing is known of a caller, and what was known of others stays. */
static void test_no_descriptor_left(void **state) {
    _cleanup_caller_cache_ CallerCache *cache = NULL;
    _cleanup_caller_ Caller caller = CALLER_INIT;
    struct rlimit before, few;

    assert_int_equal(caller_cache_new(4, 4, &cache), 0);
    assert_int_equal(put(cache, 1, 1000, getpid(), NULL), 0);
    caller.pidfd = pidfd_open(getpid(), 0);
    caller.bus_name = strdup(":1.2");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t) caller.pidfd + 1U; /* every number below is in use: they are given in order */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    int r = caller_cache_put(cache, &caller);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(r, -EMFILE);
    assert_null(find(cache, 2));
    assert_non_null(find(cache, 1));
    assert_null(caller_cache_free(NULL));
}

/* The process that a connection belonged to is gone: what is known of it counts for nobody, whoever has its number. */
static void test_ended(void **state) {
    _cleanup_caller_cache_ CallerCache *cache = NULL;
    pid_t pid = spawn(), another = spawn();

    assert_int_equal(caller_cache_new(4, 4, &cache), 0);
    assert_int_equal(put(cache, 1, 1000, pid, "a.service"), 0);
    assert_int_equal(put(cache, 2, 1000, another, "a.service"), 0);
    assert_non_null(find(cache, 1));
    end(pid);
    assert_null(find(cache, 1));
    assert_int_equal(kept(), 1);
    end(another);
    assert_int_equal(kept(), 1); /* nobody asked, nobody came … */
    assert_int_equal(put(cache, 3, 1000, getpid(), NULL), 0);
    assert_int_equal(kept(), 1); /* … until now */
    assert_non_null(find(cache, 3));
}

static void test_bounds(void **state) {
    _cleanup_caller_cache_ CallerCache *cache = NULL;

    assert_int_equal(caller_cache_new(6, 3, &cache), 0);
    assert_int_equal(put(cache, 1, 1, getpid(), NULL), 0);
    assert_int_equal(put(cache, 2, 2, getpid(), NULL), 0);
    /* However many connections one user opens, he pushes out only himself. */
    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(put(cache, 100 + i, 1000, getpid(), NULL), 0);
        assert_true(kept() <= 5);
    }
    assert_non_null(find(cache, 1));
    assert_non_null(find(cache, 2));
    assert_null(find(cache, 1096));
    assert_non_null(find(cache, 1097));
    /* The one that was used last stays, the one that was not goes. */
    assert_int_equal(put(cache, 2000, 1000, getpid(), NULL), 0);
    assert_null(find(cache, 1098));
    assert_non_null(find(cache, 1097));
    /* Full of several users: the oldest of all makes room. */
    assert_int_equal(put(cache, 3, 3, getpid(), NULL), 0);
    assert_int_equal(kept(), 6);
    assert_non_null(find(cache, 2));
    assert_int_equal(put(cache, 4, 4, getpid(), NULL), 0);
    assert_int_equal(kept(), 6);
    assert_null(find(cache, 1099));
    assert_non_null(find(cache, 1));
    assert_non_null(find(cache, 2));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_as_put),
        cmocka_unit_test(test_nothing_without_a_process),
        cmocka_unit_test(test_no_descriptor_left),
        cmocka_unit_test(test_ended),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
