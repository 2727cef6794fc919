/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the store's files share: directories by descriptor, and writes that a power cut cannot halve. Not for other
 * rooms. */
#pragma once

#include "store/store.h"

#include <stdbool.h>

struct Store {
    int fd;           /* the identity's directory */
    char *path;       /* for complaints */
    uint32_t current; /* 0: none */
    bool untidy;      /* something stayed in trash/ */
};

/* Names that begin so are unfinished work of a write, never content. */
#define TEMPORARY_PREFIX ".#"
#define TRASH            "trash"
#define GENERATIONS      "generations"
#define CURRENT          "current"
#define PENDING          "pending"
#define PENDING_NEW      TEMPORARY_PREFIX "pending"
#define TRUST            "trust"
#define STATE_FILE       "state"
#define KEY_FILE         "key.pem"
#define CHAIN_FILE       "chain.pem"
#define PARENT_FILE      "parent"
#define CHECKSUM_FILE    "checksum"
#define PENDING_CHECKSUM "checksum.pending"
#define REQUEST_FILE     "request.der"
#define ISSUED_FILE      "issued.pem"
#define FLAGS_FILE       "flags"

#define PARENT_NAME_MAX       68U /* bytes of a TPM Name */
#define DIRECTORY_ENTRIES_MAX 4096U

/* A directory and how to name it in a complaint. */
typedef struct Place {
    int fd; /* borrowed */
    const char *path;
} Place;

static inline Place store_place(const Store *store) {
    return (Place) { store->fd, store->path };
}

/* "PATH/NAME cannot be WHAT: reason; advice", kind STORAGE; returns `r`. `what` is a participle: "read", "written". */
int place_failure(Place place, const char *name, int r, const char *what, Failure *ret_failure);
/* "PATH/NAME: TEXT", for what is not as it should be; -EBADMSG, kind STORAGE. `line` 0: none. */
int place_malformed(Place place, const char *name, unsigned line, const char *text, Failure *ret_failure);

/* Opens a directory below, never through a symbolic link. -errno, nothing said. */
int place_open_directory(Place place, const char *name);
/* What to say of that: what is no directory holds nothing that could be read (-EBADMSG). */
int place_open_failure(Place place, const char *name, int r, Failure *ret_failure);
/* The same, made (0700) and made durable when it is not there. */
int place_make_directory(Place place, const char *name, int *ret_fd, Failure *ret_failure);

/* Reads a regular file whole. -ENOENT without a failure text; else with one (-EBADMSG for an empty file or what is no
 * file). */
int place_read(Place place, const char *name, size_t maximum, Bytes *ret, Failure *ret_failure);

/* Writes NAME atomically: temporary name, fsync, rename, fsync of the directory. Mode 0600. */
int place_write(Place place, const char *name, BytesView content, Failure *ret_failure);
/* Writes a new file in a directory that nobody sees yet: fsync of the file alone, if `durable`. -errno. */
int place_write_new(Place place, const char *name, BytesView content, mode_t mode, bool durable);

/* fsync of the directory itself. -errno. */
int place_sync(Place place);

/* Calls `each` for every entry but "." and ".."; ends at its first error. -E2BIG above DIRECTORY_ENTRIES_MAX. */
int place_each(Place place, int (*each)(Place place, const char *name, void *data), void *data);

/* Removes NAME, a file or a tree of at most four levels. 0 also when it is not there; -errno. */
int place_remove_tree(Place place, const char *name);

/* rename(2) of a directory of files; where the file system refuses that (EXDEV), a copy takes its place, synced but for
 * its name. PLACE_COPIED: NAME is still there, and the caller's to remove. -errno. */
#define PLACE_COPIED 1
int place_move_directory(Place from, const char *name, Place to, const char *as);
/* Removes a directory that cannot be moved: its keys first, so that what a power cut leaves is nothing whole. -errno.
 */
int place_remove_in_place(Place place, const char *name);

/* Moves NAME into trash/ of the store, syncs, and then removes for good what is in trash/. `place` is where NAME is; it
 * is gone for all who look as soon as this returns 0, and stays as it was if the move failed. What cannot be removed
 * then is a matter for store_tidy. Not there: 0. */
int store_discard(Store *store, Place place, const char *name, Failure *ret_failure);

/* A generation's directory, PATH in `ret_path`: a descriptor or -errno. */
int store_open_generation(Store *store, uint32_t number, char **ret_path);

/* ID.crl of one directory; in store-crls.c. -EINVAL for what is no id. */
#define CRL_SUFFIX    ".crl"
#define CRL_ID_MAX    64U
#define CRL_NAME_SIZE (CRL_ID_MAX + sizeof(CRL_SUFFIX))
int crl_file_name(const char *where, const char *id, char ret[static CRL_NAME_SIZE], Failure *ret_failure);
int crl_file_remove(Place place, const char *id, Failure *ret_failure); /* 0 also where there is none */
/* The ids, sorted, NULL-terminated, owned by the caller; of no directory (a negative descriptor) none. */
int crl_files_list(Place place, char ***ret_ids, Failure *ret_failure);

/* A TPM Name as a line of hex. `ret_line`: that line, for its checksum: what the name makes again need not be it, since
 * digits of either case are read. */
int parent_name_read(Place place, Bytes *ret, Bytes *ret_line, Failure *ret_failure);
int parent_name_encode(BytesView name, Bytes *ret_line);

#define CHECKSUM_HEX 64U /* digits of a SHA-256 */
#define CHECKSUM_MAX 8192U

int checksum_hex(BytesView content, char ret[static CHECKSUM_HEX + 1U]); /* -EIO, -ENOMEM */
/* The line "checksum=…" over what is there already. -EIO, -ENOMEM. */
int checksum_append(Bytes *content);
/* 1: the lines before a checksum that is theirs; 0: there is none; -EBADMSG: it is another's. */
int checksum_strip(BytesView content, BytesView *ret_lines);

/* Adds a file's line to a list of checksums. -EIO, -ENOMEM. */
int checksum_list_add(Bytes *lines, const char *name, BytesView content);
/* Whether a line of the list is for this content; a file may have two, while it is replaced. -EBADMSG, naming it. */
int checksum_list_verify(Place place, const Bytes *lines, const char *name, BytesView content, Failure *ret_failure);

/* Writes the file `checksum` beside a pending key, for the generation that it becomes with this chain. */
int generation_write_checksum(Place place, const StoredPending *pending, BytesView chain_pem, Failure *ret_failure);

/* Whether the highest number ever used is recorded as at least `number`; records it otherwise. */
int store_state_reserve(Store *store, uint32_t number, Failure *ret_failure);

/* "PATH/NAME", for complaints; NULL without memory. */
char *path_join(const char *path, const char *name);
/* The path of an open directory, or of NAME in it, as far as /proc tells; for complaints. NULL without memory. */
char *path_of_directory(int fd, const char *name);
