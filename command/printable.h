/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Text that came from elsewhere, as a terminal or a log may have it: without control characters (common/text.h). */
#pragma once

#include <stdarg.h>

/* A copy that common/text.h has made harmless; NULL only without memory. The caller frees. */
char *printable_copy(const char *text);
/* The same of a format with its arguments. */
char *printable_format(const char *format, va_list arguments) __attribute__((format(printf, 1, 0)));
