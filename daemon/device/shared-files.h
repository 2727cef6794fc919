/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What many are given alike (the CRLs and anchors of a hundred identities), once: a sealed memfd for each content,
 * found again by that content, and kept as long as somebody has it. */
#pragma once

#include "common/bytes.h"

typedef struct SharedFile SharedFile;
typedef struct SharedFiles SharedFiles;

#define SHARED_KEY_SIZE 32U

/* -ENOMEM. */
int shared_files_new(SharedFiles **ret);
/* After the last of its files was given back. */
SharedFiles *shared_files_free(SharedFiles *files);
DEFINE_CLEANUP(SharedFiles, shared_files_free)

/* The file with this content, made where there is none; `name` is only for /proc. The caller owns a reference.
 * `content` is not empty. -ENOMEM, -EIO, or why there can be no memfd. */
int shared_file_get(SharedFiles *files, const char *name, BytesView content, SharedFile **ret);

/* The same for content that is known by a digest of what it is made from, so that it need not be made to be found. A
 * file has one such key, the first that it is given; NULL: none has this one. The caller owns a reference. */
SharedFile *shared_file_find(SharedFiles *files, const uint8_t key[static SHARED_KEY_SIZE]);
void shared_file_set_key(SharedFile *file, const uint8_t key[static SHARED_KEY_SIZE]);

SharedFile *shared_file_ref(SharedFile *file);
SharedFile *shared_file_unref(SharedFile *file); /* takes NULL, returns NULL */
DEFINE_CLEANUP(SharedFile, shared_file_unref)
#define _cleanup_shared_file_ _cleanup_(shared_file_unref_p)

/* Borrowed; -1 and empty for NULL. */
int shared_file_fd(const SharedFile *file);
BytesView shared_file_view(const SharedFile *file);
