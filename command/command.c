/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Arguments by table: see command.h. */
#include "command/command.h"

#include "command/complain.h"

#include <assert.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>

static const Option help_option = { "help", 'h', NULL, "Show this help" };

/* The element of a list that ends with a NULL name; without one `position` is less by the length of the list. */
static const Option *option_in(const Option *list, size_t *position) {
    for (; list && list->name; list++)
        if ((*position)-- == 0)
            return list;
    return NULL;
}

/* The option at a place: --help, the program's, the verb's. NULL past the end. */
static const Option *option_at(const Program *program, const Verb *verb, size_t place) {
    if (place == 0)
        return &help_option;
    place--;
    const Option *option = option_in(program->options, &place);
    return option ? option : option_in(verb->options, &place);
}

static size_t option_place(const Command *command, const char *name) {
    const Option *option;

    for (size_t i = 0; (option = option_at(command->program, command->verb, i)); i++)
        if (strcmp(option->name, name) == 0)
            return i;
    assert(!"no such option in the verb's table");
    return 0;
}

bool command_has(const Command *command, const char *option) {
    return command->values[option_place(command, option)];
}

const char *command_value(const Command *command, const char *option) {
    return command->values[option_place(command, option)];
}

const char *command_next(const Command *command, const char *option, size_t *position) {
    const Option *wanted = option_at(command->program, command->verb, option_place(command, option));

    while (*position < command->repeated_count) {
        size_t i = (*position)++;
        if (command->repeated[i].option == wanted)
            return command->repeated[i].value;
    }
    return NULL;
}

void command_help(const Program *program, const Verb *verb) {
    const Option *option;

    printf("%s%s%s [OPTIONS]%s%s\n\n%s.\n\n", program->name, verb->name ? " " : "", verb->name ? verb->name : "",
           verb->synopsis[0] ? " " : "", verb->synopsis, verb->summary);
    for (size_t i = 0; (option = option_at(program, verb, i)); i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "",
                 option->argument ? option->argument : "");
        if (option->letter)
            printf("  -%c %-28s %s\n", option->letter, left, option->help);
        else
            printf("     %-28s %s\n", left, option->help);
    }
    printf("\nSee %s.\n", program->page);
}

/* The values of struct option's `val` are places + 1, so that letters cannot collide with them. */
static void getopt_tables(const Program *program, const Verb *verb, struct option *ret_long, char *ret_short) {
    const Option *option;
    size_t count = 0, length = 0;

    for (; (option = option_at(program, verb, count)); count++) {
        assert(count + 1 < COMMAND_OPTIONS_MAX);
        ret_long[count] = (struct option) { option->name, option->argument ? required_argument : no_argument, NULL,
                                            0x100 + (int) count };
        if (option->letter) {
            ret_short[length++] = option->letter;
            if (option->argument)
                ret_short[length++] = ':';
        }
    }
    ret_long[count] = (struct option) { 0 };
    ret_short[length] = '\0';
}

static size_t place_of(const Program *program, const Verb *verb, int value) {
    const Option *option;

    if (value >= 0x100)
        return (size_t) value - 0x100;
    for (size_t i = 0; (option = option_at(program, verb, i)); i++)
        if (option->letter == value)
            return i;
    assert(!"getopt_long returned a letter that it was not given");
    return 0;
}

static void say_where_help_is(const Program *program, const Verb *verb) {
    fprintf(stderr, "Try \"%s%s%s --help\".\n", program->name, verb->name ? " " : "", verb->name ? verb->name : "");
}

static bool keep_repeated(Command *command, const Option *option, const char *value) {
    if (command->repeated_count == COMMAND_REPEATED_MAX) {
        complain("--%s: options that may be given several times have at most %u values together.", option->name,
                 COMMAND_REPEATED_MAX);
        return false;
    }
    command->repeated[command->repeated_count].option = option;
    command->repeated[command->repeated_count++].value = value;
    return true;
}

ExitCode command_parse(const Program *program, const Verb *verb, int argc, char **argv, Command *ret) {
    struct option long_options[COMMAND_OPTIONS_MAX];
    char short_options[2 * COMMAND_OPTIONS_MAX + 1];
    Command command = { .program = program, .verb = verb };

    getopt_tables(program, verb, long_options, short_options);
    optind = 0;
    for (;;) {
        int value = getopt_long(argc, argv, short_options, long_options, NULL);
        if (value < 0)
            break;
        if (value == '?') {
            say_where_help_is(program, verb);
            return EXIT_USAGE;
        }
        const Option *option = option_at(program, verb, place_of(program, verb, value));
        command.values[place_of(program, verb, value)] = option && option->argument ? optarg : "";
        if (option && option->repeats && !keep_repeated(&command, option, optarg))
            return EXIT_USAGE;
    }
    if (command_has(&command, "help")) {
        command_help(program, verb);
        return EXIT_OK;
    }
    command.arguments = argv + optind;
    command.count = (size_t) (argc - optind);
    if (command.count < verb->minimum || command.count > verb->maximum) {
        complain("%s takes %s%s.", verb->name ? verb->name : program->name,
                 command.count < verb->minimum || !verb->synopsis[0] ? "" : "only ",
                 verb->synopsis[0] ? verb->synopsis : "no arguments");
        say_where_help_is(program, verb);
        return EXIT_USAGE;
    }
    *ret = command;
    return _EXIT_CONTINUE;
}
