/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a program for the command line and its verbs are, and how their arguments are taken apart. One table feeds
 * getopt_long, the help and (through the help) the completion and the test of the manual page, so that none of them can
 * differ from the code. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stddef.h>

/* The exit statuses of idctl(1). */
typedef enum ExitCode {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
    EXIT_NOT_FOUND = 3,
    EXIT_DENIED = 4,
    _EXIT_CONTINUE = -1, /* only from command_parse(): go on */
} ExitCode;

typedef struct Option {
    const char *name;     /* long name, by which the verb asks for it too */
    char letter;          /* short form, or 0 */
    const char *argument; /* what the help calls its value; NULL: a flag */
    const char *help;     /* one line */
    bool repeats;         /* may be given several times: command_next() */
} Option;

typedef struct Command Command;

typedef struct Program {
    const char *name;
    const char *page;      /* that describes it: "idctl(1)" */
    const Option *options; /* that all its verbs have, beside --help; ends with a NULL name */
} Program;

typedef struct Verb {
    const char *name;        /* NULL: the program has but this one, and is called without a verb */
    const char *synopsis;    /* positional arguments as the help shows them */
    const char *summary;     /* one line */
    const Option *options;   /* ends with a NULL name; NULL: none beside the program's */
    size_t minimum, maximum; /* positional arguments */
    ExitCode (*run)(const Command *command);
    ExitCode (*pass_on)(int argc, char **argv); /* in place of run and what it needs: the arguments as they came */
} Verb;

#define COMMAND_OPTIONS_MAX  40U
#define COMMAND_REPEATED_MAX 32U /* values of all options that may be given several times */

struct Command {
    const Program *program;
    const Verb *verb;
    const char *values[COMMAND_OPTIONS_MAX]; /* by the option's place: NULL, its value, or "" for a flag */
    struct {
        const Option *option;
        const char *value;
    } repeated[COMMAND_REPEATED_MAX]; /* in the order given */
    size_t repeated_count;
    char *const *arguments; /* positional, NULL-terminated; borrowed from argv */
    size_t count;
};

/* Takes apart `argv`, whose element 0 is the name of the verb, or of the program. _EXIT_CONTINUE: `ret` is filled in;
 * else the status to end with, after the help or a complaint has been printed. */
ExitCode command_parse(const Program *program, const Verb *verb, int argc, char **argv, Command *ret);

/* Whether an option was given; its value, or NULL. Asking for an option that the verb does not have is a bug. */
bool command_has(const Command *command, const char *option);
const char *command_value(const Command *command, const char *option);

/* The values of an option that repeats, one a call; `position` begins as 0. NULL after the last. */
const char *command_next(const Command *command, const char *option, size_t *position);

/* The verb's help on standard output. */
void command_help(const Program *program, const Verb *verb);
