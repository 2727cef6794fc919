/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is wrong with a configuration: a list of complaints, each with file, line, key and what would be accepted. */
#pragma once

#include "common/macros.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct Problem {
    bool warning;  /* false: an error */
    char *file;    /* path */
    unsigned line; /* 0: the whole file */
    char *text;    /* "[Renewal] At=120%: must be …" */
} Problem;

typedef struct Problems {
    Problem *list; /* owned */
    size_t count;
} Problems;

#define PROBLEMS_MAX 256U /* listed; of further errors it is only said that there are some */

/* 0 or -ENOMEM. Control characters in the text are replaced. */
int problems_add(Problems *problems, bool warning, const char *file, unsigned line, const char *format, ...)
    _printf_(5, 6);
bool problems_have_errors(const Problems *problems);
/* Puts all of `from` behind `into` (within PROBLEMS_MAX) and empties it. 0 or -ENOMEM. */
int problems_move(Problems *into, Problems *from);
/* "FILE:LINE: TEXT", or NULL without memory; the caller frees. */
char *problem_to_string(const Problem *problem);
void problems_clear(Problems *problems);
#define _cleanup_problems_ _cleanup_(problems_clear)
