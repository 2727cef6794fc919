/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one type that holds secrets (authorization values, passwords). It erases itself, is kept out of
 * core dumps and swap as far as the limits allow, and is never logged. */
#pragma once

#include "common/bytes.h"

typedef struct Secret Secret;

#define SECRET_MAX 4096U /* bytes; longer is refused */

/* Copies `view`. 0, -E2BIG above SECRET_MAX, -ENOMEM. The caller erases the original. */
int secret_new(BytesView view, Secret **ret);

/* Reads $CREDENTIALS_DIRECTORY/NAME (systemd.exec(5), LoadCredential=). One trailing newline is dropped.
 * -ENXIO: no credentials directory; -ENOENT: no such credential; -EINVAL: a name with '/' or of more than
 * 255 bytes; -E2BIG; or -errno of reading. */
int secret_from_credential(const char *name, Secret **ret);

/* Borrowed, valid as long as the secret. NULL gives an empty view. */
BytesView secret_view(const Secret *secret);

/* Erases and frees; takes NULL; returns NULL. */
Secret *secret_free(Secret *secret);
DEFINE_CLEANUP(Secret, secret_free)
#define _cleanup_secret_ _cleanup_(secret_free_p)
