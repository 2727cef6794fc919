/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Three configuration directories in a scratch directory of the test's own. */
#pragma once

#include "config/daemon-config.h"

typedef struct Fixture {
    char root[64];
    ConfigDirectories directories;
} Fixture;

/* cmocka's setup and teardown; *state is the Fixture. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

/* Writes ROOT/PATH, making the directories above it. */
void fixture_write(const Fixture *fixture, const char *path, const char *content);
/* ROOT/PATH, in one of four buffers used in turn. */
const char *fixture_path(const Fixture *fixture, const char *path);

/* The complaint whose text contains `text`; NULL if there is none. */
const Problem *find_problem(const Problems *problems, const char *text);
/* Exactly one complaint, of this kind, file (below the root; NULL: any) and line, whose text contains `text`. Clears
 * the list. */
void expect_problem(const Fixture *fixture, Problems *problems, bool warning, const char *path, unsigned line,
                    const char *text);
