/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that idctl reads and writes: what is refused and how it is told, and that a file is replaced whole or stays. */
#include "idctl/file.h"

#include "common/macros.h"
#include "said.h"

#include <fcntl.h>
#include <glob.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/stat.h>

static BytesView view_of(const char *text) {
    return bytes_view_string(text);
}

static void assert_file(const char *path, const char *expected) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;

    assert_int_equal(bytes_read_file(path, 65536, &bytes), 0);
    assert_int_equal(bytes.size, strlen(expected));
    assert_memory_equal(bytes.data, expected, bytes.size);
}

/* Nothing but these many files whose names begin so. */
static void assert_files(const char *pattern, size_t count) {
    glob_t found;

    int r = glob(pattern, 0, NULL, &found);
    assert_true(r == 0 || r == GLOB_NOMATCH);
    assert_int_equal(r == 0 ? found.gl_pathc : 0, count);
    globfree(&found);
}

/* The one complaint, which names the file. */
static void expect_complaint(Said *said, const char *words) {
    const char *text = said_end(said);

    if (!strstr(text, words) || strcmp(strchr(text, '\n'), "\n") != 0)
        fail_msg("expected \"%s\" in: %s", words, text);
}

static void test_read(void **state) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;

    assert_int_equal(file_write("in", view_of("0123456789"), false), EXIT_OK);
    assert_int_equal(file_read("in", 10, &bytes), EXIT_OK);
    assert_int_equal(bytes.size, 10);
    assert_memory_equal(bytes.data, "0123456789", 10);
}

static void test_read_refused(void **state) {
    static const struct {
        const char *path;
        size_t maximum;
        const char *words;
    } cases[] = {
        { "in", 9, ": in is larger than 9 bytes.\n" },
        { "absent", 9, ": cannot open absent: No such file or directory.\n" },
        { ".", 9, ": cannot read .: Is a directory.\n" },
        { "in/below", 9, ": cannot open in/below: Not a directory.\n" },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Bytes bytes = BYTES_NULL;
        Said said;
        said_begin(stderr, &said);
        ExitCode code = file_read(cases[i].path, cases[i].maximum, &bytes);
        expect_complaint(&said, cases[i].words);
        assert_int_equal(code, EXIT_FAILED);
        assert_null(bytes.data);
    }
}

static void test_standard_input(void **state) {
    _cleanup_bytes_ Bytes bytes = BYTES_NULL;
    int fds[2], saved = dup(STDIN_FILENO), copy = -1;

    assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
    assert_int_equal(write(fds[1], "piped", 5), 5);
    close(fds[1]);
    assert_true(dup2(fds[0], STDIN_FILENO) >= 0);
    close(fds[0]);
    assert_int_equal(file_read("-", 5, &bytes), EXIT_OK);
    assert_memory_equal(bytes.data, "piped", 5);
    /* A descriptor of one's own: closing it leaves standard input. */
    assert_int_equal(file_open("-", &copy), EXIT_OK);
    assert_true(copy > STDERR_FILENO);
    assert_true(fcntl(copy, F_GETFD) & FD_CLOEXEC);
    close(copy);
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0);
    assert_true(dup2(saved, STDIN_FILENO) >= 0);
    close(saved);
}

/* As the umask has it, also over a file with other permissions, and without leaving anything beside it. */
static void test_replaced(void **state) {
    static const mode_t masks[] = { 022, 077, 002 };
    struct stat status;

    assert_int_equal(file_write("out", view_of("old and longer"), false), EXIT_OK);
    for (size_t i = 0; i < ARRAY_LENGTH(masks); i++) {
        assert_int_equal(chmod("out", 0640), 0);
        mode_t before = umask(masks[i]);
        assert_int_equal(file_write("out", view_of("new"), i % 2 == 0), EXIT_OK);
        assert_int_equal(umask(before), masks[i]);
        assert_file("out", "new");
        assert_int_equal(stat("out", &status), 0);
        assert_int_equal(status.st_mode & 07777, 0666 & ~masks[i]);
    }
    assert_files("out*", 1);
    assert_int_equal(file_write("out", view_of(""), false), EXIT_OK);
    assert_file("out", "");
}

/* A link is replaced like any file and never followed: in a directory like /tmp it may be anybody's. */
static void test_link(void **state) {
    struct stat status;

    assert_int_equal(file_write("target", view_of("kept"), false), EXIT_OK);
    assert_int_equal(symlink("target", "link"), 0);
    assert_int_equal(file_write("link", view_of("new"), false), EXIT_OK);
    assert_file("target", "kept");
    assert_file("link", "new");
    assert_int_equal(lstat("link", &status), 0);
    assert_true(S_ISREG(status.st_mode));
}

/* A link as /dev/stdout is one, with the stream redirected to a file: what was written before stays, and so does the
 * link. Not the device itself, which a fault here would replace on the machine that runs the test. */
static void test_links_to_streams(void **state) {
    static const char *const targets[] = { "/proc/self/fd/1", "/proc/self/fd/2" };
    FILE *const streams[] = { stdout, stderr };

    for (size_t i = 0; i < ARRAY_LENGTH(targets); i++) {
        struct stat status;
        Said said;
        assert_int_equal(symlink(targets[i], "stream"), 0);
        said_begin(streams[i], &said);
        fputs("before ", streams[i]);
        ExitCode code = file_write("stream", view_of("and this"), true);
        (void) said_end(&said);
        assert_int_equal(code, EXIT_OK);
        assert_string_equal(said.text, "before and this");
        assert_int_equal(lstat("stream", &status), 0);
        assert_true(S_ISLNK(status.st_mode));
        assert_int_equal(unlink("stream"), 0);
    }
}

static void test_not_regular(void **state) {
    char text[8] = "";

    assert_int_equal(mkfifo("fifo", 0600), 0);
    int fd = open("fifo", O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(file_write("fifo", view_of("through"), true), EXIT_OK);
    assert_int_equal(read(fd, text, sizeof text), 7);
    assert_memory_equal(text, "through", 7);
    close(fd);
    assert_files("fifo*", 1);
}

static void test_write_refused(void **state) {
    static const struct {
        const char *path, *words;
    } cases[] = {
        { "absent/out", ": cannot write absent/out: No such file or directory.\n" },
        { "directory", ": cannot write directory: Is a directory.\n" },
        { "/dev/full", ": cannot write /dev/full: No space left on device.\n" },
    };

    assert_int_equal(mkdir("directory", 0700), 0);
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        Said said;
        said_begin(stderr, &said);
        ExitCode code = file_write(cases[i].path, view_of("x"), false);
        expect_complaint(&said, cases[i].words);
        assert_int_equal(code, EXIT_FAILED);
    }
    assert_files("directory*", 1);
}

static void test_standard_output(void **state) {
    Said said;

    said_begin(stdout, &said);
    printf("before "); /* still in the stream's buffer */
    ExitCode code = file_write("-", (BytesView) { (const uint8_t *) "a\0b", 3 }, true);
    (void) said_end(&said);
    assert_int_equal(code, EXIT_OK);
    assert_memory_equal(said.text, "before a\0b", 10);
}

/* Bytes that are no text do not go to a terminal; text does. */
static void test_terminal(void **state) {
    char shown[64] = "";
    int master, slave, saved = dup(STDOUT_FILENO);
    Said said;

    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    fflush(stdout);
    assert_true(dup2(slave, STDOUT_FILENO) >= 0);
    said_begin(stderr, &said);
    ExitCode binary = file_write("-", view_of("\x1b[2J"), true), text = file_write("-", view_of("text"), false);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    expect_complaint(&said,
                     ": the result is binary and standard output is a terminal: name a file with --out, or use a "
                     "pipe.\n");
    assert_int_equal(binary, EXIT_USAGE);
    assert_int_equal(text, EXIT_OK);
    assert_int_equal(read(master, shown, sizeof shown - 1), 4);
    assert_string_equal(shown, "text");
    close(saved);
    close(slave);
    close(master);
}

static int setup(void **state) {
    char *directory = strdup("/tmp/identityd-test.XXXXXX");

    *state = directory;
    return !directory || !mkdtemp(directory) || chdir(directory) < 0;
}

static int teardown(void **state) {
    char command[96];

    assert_int_equal(chdir("/"), 0);
    (void) snprintf(command, sizeof command, "rm -r %s", (const char *) *state);
    free(*state);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_read_refused),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_link),
        cmocka_unit_test(test_links_to_streams),
        cmocka_unit_test(test_not_regular),
        cmocka_unit_test(test_write_refused),
        cmocka_unit_test(test_standard_output),
        cmocka_unit_test(test_terminal),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
