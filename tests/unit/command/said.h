/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is said on standard output or standard error meanwhile. */
#pragma once

typedef struct Said {
    int stream, file, before;
} Said;

/* `stream`: STDOUT_FILENO or STDERR_FILENO. */
Said said_begin(int stream);
/* All of it; static, until the next. */
const char *said_end(Said *said);
