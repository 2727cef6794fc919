/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Files that a configuration needs: whether identityd's own user can read them, whether anchors are certificates that
 * last, and whether credentials are there. */
#pragma once

#include "config/daemon-config.h"
#include "config/identity-config.h"
#include "idctl/findings.h"

#include <sys/types.h>

#define ANCHORS_SOON_SECONDS (30U * 86400U) /* an anchor that ends within is told */
#define READER_GROUPS_MAX    64

/* As whom files are read. */
typedef struct FileReader {
    bool is_other; /* as somebody else than us; only root can */
    char name[64]; /* for people */
    uid_t uid;
    gid_t gid, groups[READER_GROUPS_MAX];
    int group_count;
} FileReader;

/* The user of this number with his groups; we ourselves where that is our own, or where we are not root. */
void file_reader_by_uid(uid_t uid, FileReader *ret);
/* identityd's user as it is installed; we ourselves where there is none. */
void file_reader_installed(FileReader *ret);

/* Whether this user can open it for reading, found out by a process that becomes him: 0 or -errno. */
int file_reader_try(const FileReader *reader, const char *path);

/* Files that identityd reads itself: NULL-terminated. */
void check_readable(const char *identity, char *const *paths, const FileReader *reader, Findings *findings);

/* The bundles of one identity, each file once, as of `now` (seconds). */
void check_anchors(const IdentityConfig *config, const FileReader *reader, int64_t now, Findings *findings);

/* The credentials that one identity needs, in `directory`: where the running identityd has its own. */
void check_credentials(const IdentityConfig *config, const DaemonConfig *daemon, const char *directory,
                       Findings *findings);
/* The same for those that identityd.conf names. */
void check_daemon_credentials(const DaemonConfig *daemon, const char *directory, Findings *findings);
/* $CREDENTIALS_DIRECTORY, else where systemd has those of identityd.service. */
const char *check_credentials_directory(void);
