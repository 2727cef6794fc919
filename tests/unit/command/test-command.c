/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments by table: what is taken, what is refused and with which words, and the help. */
#include "command/command.h"

#include "said.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static const Option options[] = {
    { "json", 'j', NULL, "x" },
    { "out", 'o', "FILE", "Where to" },
    { "one", 0, "NAME", "x", true },
    { "two", 0, "NAME", "x", true },
    { NULL },
};
static const Option program_options[] = {
    { "quiet", 'q', NULL, "Say less" },
    { NULL },
};
static const Program program = { .name = "prog", .page = "prog(8)", .options = program_options };
static const Verb verb = {
    .name = "try", .synopsis = "A [B]", .summary = "Try it", .options = options, .minimum = 1, .maximum = 2
};
/* A program without verbs, and without options of its own. */
static const Program plain_program = { .name = "plain", .page = "plain(1)" };
static const Verb plain_verb = { .synopsis = "", .summary = "Do it" };

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

static void test_options_of_the_program(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "-q", (char *) "a"), _EXIT_CONTINUE);
    assert_true(command_has(&command, "quiet"));
    assert_false(command_has(&command, "help") || command_has(&command, "json") || command_has(&command, "out"));
    assert_null(command_value(&command, "out"));
    assert_int_equal(PARSE(&command, (char *) "--quiet", (char *) "-j", (char *) "a"), _EXIT_CONTINUE);
    assert_true(command_has(&command, "quiet") && command_has(&command, "json"));
}

/* The last one counts, as everywhere. */
static void test_given_twice(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "--out=a", (char *) "x", (char *) "-o", (char *) "b"), _EXIT_CONTINUE);
    assert_string_equal(command_value(&command, "out"), "b");
}

static void test_abbreviations(void **state) {
    Command command;

    assert_int_equal(PARSE(&command, (char *) "--js", (char *) "a"), _EXIT_CONTINUE);
    assert_true(command_has(&command, "json"));
    Said said = said_begin(STDERR_FILENO);
    assert_int_equal(PARSE(&command, (char *) "--o=f", (char *) "a"), EXIT_USAGE); /* --out or --one? */
    assert_non_null(strstr(said_end(&said), "ambiguous"));
}

static void refuse(ExitCode code, Said *said, const char *text) {
    assert_int_equal(code, EXIT_USAGE);
    const char *all = said_end(said);
    if (!strstr(all, text))
        fail_msg("expected \"%s\" in:\n%s", text, all);
    assert_non_null(strstr(all, "Try \"prog try --help\".\n"));
}
#define REFUSE(text, ...)                                                                                              \
    do {                                                                                                               \
        Command untouched = { .count = 77 };                                                                           \
        Said said = said_begin(STDERR_FILENO);                                                                         \
        refuse(PARSE(&untouched, __VA_ARGS__), &said, text);                                                           \
        assert_int_equal(untouched.count, 77);                                                                         \
    } while (0)

static void test_parse_refusals(void **state) {
    REFUSE("unrecognized option '--frob'", (char *) "--frob", (char *) "a");
    REFUSE("invalid option -- 'x'", (char *) "-x", (char *) "a");
    REFUSE("option '--out' requires an argument", (char *) "a", (char *) "--out");
    REFUSE("requires an argument -- 'o'", (char *) "a", (char *) "-o");
    REFUSE("option '--json' doesn't allow an argument", (char *) "--json=yes", (char *) "a");
    REFUSE("try takes A [B].", (char *) "-j");
    REFUSE("try takes only A [B].", (char *) "a", (char *) "b", (char *) "c");
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

static void test_repeated_too_often(void **state) {
    char *argv[COMMAND_REPEATED_MAX + 4] = { (char *) "try", (char *) "a" };
    int argc = 2;
    Command command;

    for (unsigned i = 0; i < COMMAND_REPEATED_MAX; i++)
        argv[argc++] = (char *) (i % 2 ? "--one=x" : "--two=x");
    assert_int_equal(command_parse(&program, &verb, argc, argv, &command), _EXIT_CONTINUE);
    assert_int_equal(command.repeated_count, COMMAND_REPEATED_MAX);
    argv[argc++] = (char *) "--one=x";
    Said said = said_begin(STDERR_FILENO);
    assert_int_equal(command_parse(&program, &verb, argc, argv, &command), EXIT_USAGE);
    assert_non_null(strstr(said_end(&said), "--one: options that may be given several times have at most 32 values"));
}

static void test_help(void **state) {
    static const char expected[] = "prog try [OPTIONS] A [B]\n\nTry it.\n\n"
                                   "  -h --help                       Show this help\n"
                                   "  -q --quiet                      Say less\n"
                                   "  -j --json                       x\n"
                                   "  -o --out FILE                   Where to\n"
                                   "     --one NAME                   x\n"
                                   "     --two NAME                   x\n"
                                   "\nSee prog(8).\n";
    Command command;

    for (const char *const *word = (const char *const[]) { "--help", "-h", "-jh", NULL }; *word; word++) {
        Said said = said_begin(STDOUT_FILENO);
        ExitCode code = PARSE(&command, (char *) (uintptr_t) *word);
        assert_string_equal(said_end(&said), expected);
        assert_int_equal(code, EXIT_OK);
    }
}

static void test_a_program_without_verbs(void **state) {
    char *argv[] = { (char *) "/usr/libexec/plain", NULL, NULL };
    Command command;

    assert_int_equal(command_parse(&plain_program, &plain_verb, 1, argv, &command), _EXIT_CONTINUE);
    assert_int_equal(command.count, 0);
    assert_false(command_has(&command, "help"));
    argv[1] = (char *) "--help";
    Said said = said_begin(STDOUT_FILENO);
    assert_int_equal(command_parse(&plain_program, &plain_verb, 2, argv, &command), EXIT_OK);
    assert_string_equal(said_end(&said),
                        "plain [OPTIONS]\n\nDo it.\n\n  -h --help                       Show this help\n"
                        "\nSee plain(1).\n");
    argv[1] = (char *) "a";
    said = said_begin(STDERR_FILENO);
    assert_int_equal(command_parse(&plain_program, &plain_verb, 2, argv, &command), EXIT_USAGE);
    const char *text = said_end(&said);
    assert_non_null(strstr(text, "plain takes no arguments."));
    assert_non_null(strstr(text, "Try \"plain --help\".\n"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_options_of_the_program),
        cmocka_unit_test(test_given_twice),
        cmocka_unit_test(test_abbreviations),
        cmocka_unit_test(test_parse_refusals),
        cmocka_unit_test(test_repeated),
        cmocka_unit_test(test_repeated_too_often),
        cmocka_unit_test(test_help),
        cmocka_unit_test(test_a_program_without_verbs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
