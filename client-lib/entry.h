/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What every function begins with that other people's programs call: those of the libraries, and those that the
 * provider and the PKCS#11 module put into a table. tests/house finds the ones that do not. */
#pragma once

#include "common/macros.h"

static inline void restore_errno(const int *saved) {
    errno = *saved;
}

/* errno is afterwards what it was before. Programs look at it when a library says that something failed, whoever set it
 * last: Python makes an exception of it. Stands first, so that it is restored last. */
#define PRESERVE_ERRNO _cleanup_(restore_errno) _unused_ const int preserved_errno = errno
