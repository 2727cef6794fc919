/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* idctl proxy becomes another program: which it may not find. */
#include "idctl/verbs.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <cmocka.h>

/* In a child, since it is replaced; what it leaves in the files "out" and "err". */
static int run(char *const *words) {
    char *argv[8] = { (char *) "proxy" };
    int status;

    for (size_t i = 0; words[i]; i++)
        argv[1 + i] = words[i];
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int out = open("out", O_WRONLY | O_CREAT | O_TRUNC, 0600),
            err = open("err", O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (dup2(out, STDOUT_FILENO) < 0 || dup2(err, STDERR_FILENO) < 0)
            _exit(99);
        int argc = 1;
        while (argv[argc])
            argc++;
        _exit(verb_proxy.pass_on(argc, argv));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}
#define RUN(...) run((char *[]) { __VA_ARGS__, NULL })

static void assert_holds(const char *path, const char *expected) {
    char text[512];
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    if (!strstr(text, expected))
        fail_msg("expected \"%s\" in %s:\n%s", expected, path, text);
}

static void write_program(const char *text, mode_t mode) {
    (void) unlink("program");
    FILE *file = fopen("program", "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod("program", mode), 0);
}

static void test_not_installed(void **state) {
    (void) unlink("program");
    assert_int_equal(RUN((char *) "--help"), EXIT_FAILED);
    assert_holds("err", "cannot run ./program: No such file or directory.");
}

static void test_no_program(void **state) {
    write_program("#!/bin/sh\n", 0600);
    assert_int_equal(RUN((char *) "--help"), EXIT_FAILED);
    assert_holds("err", "cannot run ./program: Permission denied.");
}

/* Nothing is taken apart or left out on the way, and the status is the program's. */
static void test_everything_is_passed_on(void **state) {
    write_program("#!/bin/sh\nprintf '<%s>' \"$@\"\nexit 4\n", 0700);
    assert_int_equal(RUN((char *) "--no-such-option", (char *) "a b", (char *) "--", (char *) "--help"), 4);
    assert_holds("out", "<--no-such-option><a b><--><--help>");
    assert_holds("err", "");
    assert_int_equal(run((char *[]) { NULL }), 4);
    assert_holds("out", "<>");
}

/* Complaints and the journal show whom they are of. */
static void test_its_name(void **state) {
    (void) unlink("program");
    assert_int_equal(symlink("/bin/sh", "program"), 0);
    assert_int_equal(RUN((char *) "-c", (char *) "echo $0"), 0);
    assert_holds("out", "identityd-proxy\n");
}

static char directory[] = "/tmp/identityd-test.XXXXXX";

static int setup(void **state) {
    return mkdtemp(directory) ? chdir(directory) : -1;
}

static int teardown(void **state) {
    for (const char *const *name = (const char *const[]) { "program", "out", "err", NULL }; *name; name++)
        (void) unlink(*name);
    return chdir("/") < 0 ? -1 : rmdir(directory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_installed),
        cmocka_unit_test(test_no_program),
        cmocka_unit_test(test_everything_is_passed_on),
        cmocka_unit_test(test_its_name),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
