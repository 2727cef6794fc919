/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that a person names on the command line; "-" is standard input or output. */
#pragma once

#include "command/command.h"
#include "common/bytes.h"

/* Whole contents; complains, also where it is larger than `maximum`. */
ExitCode file_read(const char *path, size_t maximum, Bytes *ret);

/* Opens for reading; "-" gives a duplicate of standard input. Complains. */
ExitCode file_open(const char *path, int *ret);

/* Writes the whole, replacing what is there; a file that could not be written whole is not left behind as if it were.
 * "-" and a link to a standard stream, such as /dev/stdout, are that stream: `binary` refuses it where it is a terminal
 * (EXIT_USAGE). Any other link is replaced, not followed. Complains. */
ExitCode file_write(const char *path, BytesView data, bool binary);
