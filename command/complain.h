/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a program for the command line says what went wrong. */
#pragma once

#include "common/macros.h"

/* "PROGRAM: …" on standard error, in one line, without control characters: parts of the text may come from elsewhere.
 */
void complain(const char *format, ...) _printf_(1, 2);
