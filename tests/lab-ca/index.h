/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* DIR/index.txt: what was issued and what is revoked, in the format of `openssl ca`, so that `openssl ocsp -index`
 * and `openssl ca -gencrl` work on it. The file is the truth: every operation reads it under a lock, so the server
 * and subcommands beside it agree. */
#pragma once

#include "util.h"

#define INDEX_SERIAL_MAX  41U /* hex digits with NUL: 20 bytes, RFC 5280 §4.1.2.2 */
#define INDEX_REASON_MAX  32U
#define INDEX_ISSUER_MAX  32U
#define INDEX_SUBJECT_MAX 512U
#define INDEX_ENTRIES_MAX 1000000U

typedef struct IndexEntry {
    char status;                     /* V valid, R revoked */
    time_t expires;                  /* -1: 99991231235959Z */
    time_t revoked;                  /* where status is R */
    char reason[INDEX_REASON_MAX];   /* as openssl names it; empty: none */
    char serial[INDEX_SERIAL_MAX];   /* upper-case hex */
    char issuer[INDEX_ISSUER_MAX];   /* authority: "intermediate-1"; openssl's file name column */
    char subject[INDEX_SUBJECT_MAX]; /* /CN=…/O=… */
} IndexEntry;

int index_append(const char *directory, const IndexEntry *entry);

/* All entries; the caller frees the array. A file that cannot be read as an index is -EBADMSG, with the line said. */
int index_load(const char *directory, IndexEntry **ret, size_t *ret_count);

/* 1 and the entry, 0 without one. */
int index_find(const char *directory, const char *serial, IndexEntry *ret);

/* Marks what matches `serial` (hex, either case), or every valid certificate whose subject has `common_name`, as
 * revoked. Returns how many were changed, -ENOENT if none matches, -EINVAL for an unknown reason. */
int index_revoke(const char *directory, const char *serial, const char *common_name, const char *reason);

/* Takes back a certificateHold. Returns 1, or -ENOENT unless the certificate is on hold. */
int index_release(const char *directory, const char *serial);

/* Appends a certificate that `issuer` has just issued, by its serial number, dates and subject. */
int index_record(const char *directory, gnutls_x509_crt_t certificate, const char *issuer);

/* Upper-case hex of a certificate's serial number. 0 or -EIO. */
int serial_of_certificate(gnutls_x509_crt_t certificate, char ret[static INDEX_SERIAL_MAX]);
