/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A strict reader of sections and KEY=VALUE lines: what a person could have meant otherwise is an error with file and
 * line. Duplicate sections and keys, lines without '=', bytes that are no text, overlong lines: all refused. No
 * quoting, no continuation lines. A '#' begins a comment at the start of a line or after white space. */
#pragma once

#include "common/bytes.h"
#include "config/problem.h"

#define INI_FILE_MAX  (128U * 1024U)
#define INI_LINE_MAX  8192U
#define INI_LINES_MAX 4096U
#define INI_NAME_MAX  64U /* of a section or key */

typedef struct IniEntry {
    const char *section;
    const char *key;   /* NULL: the entry is the section's own header */
    const char *value; /* trimmed; may be empty */
    unsigned line;
} IniEntry;

typedef struct IniFile {
    char *path;
    Bytes text;        /* what the entries point into */
    IniEntry *entries; /* in the file's order */
    size_t count;
} IniFile;

/* Parses `text`, which is copied; `path` is only for complaints. What is wrong is in `problems`, the good lines are in
 * the result all the same, so that one run shows every fault. 0 or -ENOMEM. */
int ini_parse(const char *path, BytesView text, Problems *problems, IniFile **ret);

/* The same from a file. -errno of opening and reading, -EFBIG, -EBADFD for what is no regular file; these are in
 * `problems` too. */
int ini_read(const char *path, Problems *problems, IniFile **ret);

IniFile *ini_file_free(IniFile *file);
DEFINE_CLEANUP(IniFile, ini_file_free)
#define _cleanup_ini_file_ _cleanup_(ini_file_free_p)
