/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The text that identityd_last_error() gives, one per thread, and what the kinds of failure are as errno values. */
#pragma once

#include "common/failure.h"
#include "common/macros.h"

/* Sets this thread's text and returns `r`, which is negative. Control characters are replaced. */
int client_error(int r, const char *format, ...) _for_siblings_(client_error) _printf_(2, 3);

/* For out of memory and its like: "WHAT: strerror". Returns `r`. */
int client_errno(int r, const char *what) _for_siblings_(client_errno);

/* Puts "TEXT: " before this thread's text; returns `r`. */
int client_error_prefix(int r, const char *format, ...) _printf_(2, 3);

/* The negative errno of a failure of identityd; -EIO for those that no caller can act on. Never 0. */
int client_errno_of_kind(FailureKind kind);
