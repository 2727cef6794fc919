/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments by table: what is taken, what is refused. */
#include "command/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

static const Option options[] = {
    { "json", 'j', NULL, "x" },
    { "out", 'o', "FILE", "x" },
    { "one", 0, "NAME", "x", true },
    { "two", 0, "NAME", "x", true },
    { NULL },
};
static const Option program_options[] = {
    { "quiet", 'q', NULL, "x" },
    { NULL },
};
static const Program program = { .name = "prog", .page = "prog(8)", .options = program_options };
static const Verb verb = {
    .name = "try", .synopsis = "A [B]", .summary = "x", .options = options, .minimum = 1, .maximum = 2
};

/* The command borrows from argv, which therefore has to live as long. */
#define ARGV(...) ((char *[]) { (char *) "try", __VA_ARGS__, NULL })
#define PARSE(command, ...)                                                                                            \
    command_parse(&program, &verb, (int) ARRAY_LENGTH(ARGV(__VA_ARGS__)) - 1, ARGV(__VA_ARGS__), command)

static void test_parse(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "a", (char *) "--out=f", (char *) "b"), _EXIT_CONTINUE);
    assert_int_equal(command.count, 2);
    assert_string_equal(command.arguments[0], "a");
    assert_string_equal(command.arguments[1], "b");
    assert_string_equal(command_value(&command, "out"), "f");
    assert_false(command_has(&command, "json"));
    assert_int_equal(PARSE(&command, (char *) "-jo", (char *) "f", (char *) "--", (char *) "-q"), _EXIT_CONTINUE);
    assert_true(command_has(&command, "json"));
    assert_false(command_has(&command, "quiet"));
    assert_string_equal(command.arguments[0], "-q");
}

static void test_parse_refusals(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "--frob", (char *) "a"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "a", (char *) "--out"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "--json=yes", (char *) "a"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "-j"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "a", (char *) "b", (char *) "c"), EXIT_USAGE);
    assert_int_equal(PARSE(&command, (char *) "--help"), EXIT_OK);
}

static void test_repeated(void **state) {
    size_t one = 0, two = 0;
    Command command;

    assert_int_equal(
        PARSE(&command, (char *) "--one=a", (char *) "x", (char *) "--two", (char *) "b", (char *) "--one=c"),
        _EXIT_CONTINUE);
    assert_string_equal(command_next(&command, "one", &one), "a");
    assert_string_equal(command_next(&command, "two", &two), "b");
    assert_string_equal(command_next(&command, "one", &one), "c");
    assert_null(command_next(&command, "one", &one));
    assert_null(command_next(&command, "two", &two));
    assert_string_equal(command_value(&command, "one"), "c");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_parse_refusals),
        cmocka_unit_test(test_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
