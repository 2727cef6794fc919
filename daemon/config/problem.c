/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The list of complaints: bounded, and an error is never lost to the bound. */
#include "config/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* What an editor or a terminal would take for something else than text is shown as '?', since values are quoted. */
static void replace_controls(char *text) {
    for (unsigned char *p = (unsigned char *) text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
}

/* On success the strings are the list's. */
static int append(Problems *problems, Problem problem) {
    Problem *grown = reallocarray(problems->list, problems->count + 1, sizeof(*grown));

    if (!grown)
        return -ENOMEM;
    grown[problems->count++] = problem;
    problems->list = grown;
    return 0;
}

int problems_add(Problems *problems, bool warning, const char *file, unsigned line, const char *format, ...) {
    _cleanup_free_ char *text = NULL, *path = NULL;
    va_list arguments;

    if (problems->count > PROBLEMS_MAX || (problems->count == PROBLEMS_MAX && warning))
        return 0;
    va_start(arguments, format);
    int r = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (r < 0) {
        text = NULL; /* undefined by vasprintf(3) */
        return -ENOMEM;
    }
    if (problems->count == PROBLEMS_MAX) {
        free(text);
        text = strdup("and more errors, which are not listed");
    }
    path = strdup(file);
    if (!path || !text)
        return -ENOMEM;
    replace_controls(text);
    r = append(problems, (Problem) { .warning = warning, .file = path, .line = line, .text = text });
    if (r < 0)
        return r;
    (void) TAKE_PTR(path);
    (void) TAKE_PTR(text);
    return 0;
}

int problems_move(Problems *into, Problems *from) {
    for (size_t i = 0; i < from->count; i++) {
        const Problem *problem = &from->list[i];
        int r = problems_add(into, problem->warning, problem->file, problem->line, "%s", problem->text);
        if (r < 0)
            return r;
    }
    problems_clear(from);
    return 0;
}

bool problems_have_errors(const Problems *problems) {
    for (size_t i = 0; i < problems->count; i++)
        if (!problems->list[i].warning)
            return true;
    return false;
}

char *problem_to_string(const Problem *problem) {
    char *text = NULL;
    int r = problem->line > 0 ? asprintf(&text, "%s:%u: %s", problem->file, problem->line, problem->text)
                              : asprintf(&text, "%s: %s", problem->file, problem->text);

    return r < 0 ? NULL : text;
}

void problems_clear(Problems *problems) {
    for (size_t i = 0; i < problems->count; i++) {
        free(problems->list[i].file);
        free(problems->list[i].text);
    }
    free(problems->list);
    *problems = (Problems) { NULL, 0 };
}
