/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Complaints: whose they are, in one line whatever is in them, and coloured on a terminal only. */
#include "command/complain.h"

#include "command/colour.h"

#include "said.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <cmocka.h>

static void test_a_complaint(void **state) {
    char expected[256];

    Said said = said_begin(STDERR_FILENO);
    complain("cannot open \"%s\": %d.", "x", 7);
    snprintf(expected, sizeof expected, "%s: cannot open \"x\": 7.\n", program_invocation_short_name);
    assert_string_equal(said_end(&said), expected);
}

static void test_control_characters(void **state) {
    Said said = said_begin(STDERR_FILENO);

    complain("peer: %s.", "CN=a\nroot: \033]0;x\007");
    const char *text = said_end(&said);
    assert_non_null(strstr(text, "peer: CN=a root: ?]0;x?.\n"));
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

/* ---- terminals ---- */

typedef struct Terminal {
    int master;
    FILE *stream;
} Terminal;

static Terminal terminal_open(void) {
    Terminal terminal = { .master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC) };

    assert_true(terminal.master >= 0);
    assert_int_equal(grantpt(terminal.master), 0);
    assert_int_equal(unlockpt(terminal.master), 0);
    int fd = open(ptsname(terminal.master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(fd >= 0);
    terminal.stream = fdopen(fd, "w");
    assert_non_null(terminal.stream);
    return terminal;
}

static void terminal_close(Terminal *terminal) {
    fclose(terminal->stream);
    close(terminal->master);
}

static void set(const char *name, const char *value) {
    if (value)
        assert_int_equal(setenv(name, value, 1), 0);
    else
        assert_int_equal(unsetenv(name), 0);
}

static void test_who_gets_colours(void **state) {
    static const struct {
        const char *term, *no_color;
        bool shown;
    } cases[] = {
        { "xterm", NULL, true }, { "xterm", "", true },   { "xterm", "1", false },
        { "xterm", "0", false }, { "dumb", NULL, false }, { NULL, NULL, false },
    };
    Terminal terminal = terminal_open();

    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        set("TERM", cases[i].term);
        set("NO_COLOR", cases[i].no_color);
        assert_int_equal(colour_is_shown(terminal.stream), cases[i].shown);
        assert_string_equal(colour_of(terminal.stream, COLOUR_BAD), cases[i].shown ? "\033[1;31m" : "");
        assert_string_equal(colour_of(terminal.stream, COLOUR_NONE), cases[i].shown ? "\033[0m" : "");
    }
    terminal_close(&terminal);
}

static void test_each_colour_is_another(void **state) {
    static const Colour all[] = { COLOUR_NONE, COLOUR_GOOD, COLOUR_BAD, COLOUR_ATTENTION, COLOUR_FAINT, COLOUR_STRONG };
    Terminal terminal = terminal_open();

    set("TERM", "xterm");
    set("NO_COLOR", NULL);
    for (size_t i = 0; i < ARRAY_LENGTH(all); i++) {
        assert_int_equal(colour_of(terminal.stream, all[i])[0], '\033');
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(colour_of(terminal.stream, all[i]), colour_of(terminal.stream, all[k]));
    }
    terminal_close(&terminal);
}

static void test_a_file_gets_none(void **state) {
    set("TERM", "xterm");
    set("NO_COLOR", NULL);
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_false(colour_is_shown(file));
    assert_string_equal(colour_of(file, COLOUR_BAD), "");
    fclose(file);
}

static void test_a_complaint_on_a_terminal(void **state) {
    Terminal terminal = terminal_open();
    char text[256], expected[256];

    set("TERM", "xterm");
    set("NO_COLOR", NULL);
    fflush(stderr);
    int before = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    assert_true(dup2(fileno(terminal.stream), STDERR_FILENO) >= 0);
    complain("no");
    fflush(stderr);
    assert_true(dup2(before, STDERR_FILENO) >= 0);
    close(before);
    ssize_t size = read(terminal.master, text, sizeof text - 1);
    assert_true(size > 0);
    text[size] = '\0';
    snprintf(expected, sizeof expected, "\033[1;31m%s:\033[0m no\r\n", program_invocation_short_name);
    assert_string_equal(text, expected);
    terminal_close(&terminal);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_complaint),      cmocka_unit_test(test_control_characters),
        cmocka_unit_test(test_who_gets_colours), cmocka_unit_test(test_each_colour_is_another),
        cmocka_unit_test(test_a_file_gets_none), cmocka_unit_test(test_a_complaint_on_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
