/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* /var/lib/identityd/NAME: generations, pending work, trust, and what must survive a restart (docs/design.md §6). Every
 * change is atomic against a power cut: the old or the new, never none and never a mix. The store moves bytes; it does
 * not judge certificates. One object per identity, used by one thread.
 *
 * Every complaint names the path. A file that cannot be read as what it should be is never overwritten by the store
 * itself. */
#pragma once

#include "common/bytes.h"
#include "common/failure.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct Store Store;

/* Opens NAME below the directory `state_fd`, creating it (0700) if `create`. Finishes or drops what a power cut left:
 * trash/, incomplete generations that are not current, temporary names. A file system that takes no change is read as
 * it is. STORE_SALVAGED: the link `current` is damaged, as the failure says; the newest generation is current all the
 * same, or none where that is not certain. -ENOENT without `create`. kind STORAGE. */
#define STORE_SALVAGED 1
int store_open(int state_fd, const char *name, bool create, Store **ret, Failure *ret_failure);
Store *store_free(Store *store);
DEFINE_CLEANUP(Store, store_free)
#define _cleanup_store_ _cleanup_(store_free_p)

#define STORE_KEY_MAX     (16U * 1024U)
#define STORE_CHAIN_MAX   (512U * 1024U)
#define STORE_REQUEST_MAX (16U * 1024U)
#define STORE_ISSUED_MAX  (4U * 1024U * 1024U)
#define STORE_ANCHORS_MAX (2U * 1024U * 1024U)
#define STORE_CRL_MAX     (8U * 1024U * 1024U)

/* One generation as bytes; the owner clears it. */
typedef struct StoredGeneration {
    uint32_t number;
    Bytes key_pem, chain_pem;
    Bytes parent_name; /* TPM Name, binary (hex in the file `parent`) */
    bool has_checksum; /* and it is right; one that was made before there were checksums has none */
} StoredGeneration;
void stored_generation_clear(StoredGeneration *generation);

/* Current generation number, 0: none. */
uint32_t store_current(const Store *store);
/* Numbers of all complete generations, ascending; the caller frees. */
int store_list(Store *store, uint32_t **ret, size_t *ret_count, Failure *ret_failure);
/* -EBADMSG, naming the file: it is damaged, as its checksum says, or not what it should be. */
int store_load(Store *store, uint32_t number, StoredGeneration *ret, Failure *ret_failure);
/* Gives a generation that has none its checksum, once somebody has found it good as it was loaded. */
int store_seal(Store *store, const StoredGeneration *generation, Failure *ret_failure);

/* pending/: a generation being made. */
typedef struct StoredPending {
    Bytes key_pem, parent_name;
    Bytes request;      /* PKCS#10 DER as sent; empty: not made yet */
    Bytes issued;       /* PEM of what came before its beginning, leaf first; empty: nothing did */
    bool reenroll;      /* made for /simplereenroll */
    bool present_names; /* with the names of the present certificate, else with those of the configuration */
    bool same_key;      /* the key is the current generation's (RotateKey=no) */
    bool manual;        /* made by CreateRequest */
} StoredPending;
void stored_pending_clear(StoredPending *pending);
int store_pending_load(Store *store, StoredPending *ret, Failure *ret_failure); /* -ENOENT: none */
int store_pending_save(Store *store, const StoredPending *pending, Failure *ret_failure);
int store_pending_drop(Store *store, Failure *ret_failure);

/* Makes pending key and `chain_pem` the next generation and current: docs/design.md §6 "Commit". pending/ is gone
 * afterwards. Numbers are never used twice, not even after a retirement. */
int store_commit(Store *store, BytesView chain_pem, uint32_t *ret_number, Failure *ret_failure);

/* Removes a generation (through trash/): -EBUSY if it is current. */
int store_remove(Store *store, uint32_t number, Failure *ret_failure);
/* Removes every key, generation and pending work; trust and state stay. */
int store_retire(Store *store, Failure *ret_failure);

/* Whether all that was discarded is gone from the disk. store_tidy tries again to remove the rest, as store_open does;
 * kind STORAGE where something still stays. */
bool store_is_tidy(const Store *store);
int store_tidy(Store *store, Failure *ret_failure);

/* trust/anchors.pem and trust/crls/ID.crl (DER). -ENOENT: none; -EBADMSG: damaged, as the anchors' checksum says.
 * STORE_UNSEALED: they have none, being of before there were checksums. `id` is [0-9a-f]{1,64}. */
#define STORE_UNSEALED 2
int store_anchors_load(Store *store, Bytes *ret_pem, Failure *ret_failure);
int store_anchors_save(Store *store, BytesView pem, Failure *ret_failure);
int store_anchors_drop(Store *store, Failure *ret_failure); /* by way of trash/; 0 also where there are none */
int store_crl_load(Store *store, const char *id, Bytes *ret_der, Failure *ret_failure);
int store_crl_save(Store *store, const char *id, BytesView der, Failure *ret_failure);
int store_crl_remove(Store *store, const char *id, Failure *ret_failure); /* 0 also where there is none */
int store_crl_list(Store *store, char ***ret_ids, Failure *ret_failure);  /* NULL-terminated, owned by the caller */

/* trust/ocsp: of when the newest OCSP answer about a certificate was, so that an older one is known as such after a
 * restart too. Replaced as a whole. */
#define STORE_OCSP_MAX 16U
typedef struct StoredOcsp {
    char certificate[65]; /* SHA-256, lower-case hex */
    int64_t this_update;  /* seconds */
} StoredOcsp;
/* No file: count 0. -EBADMSG with the line. */
int store_ocsp_load(Store *store, StoredOcsp ret[static STORE_OCSP_MAX], size_t *ret_count, Failure *ret_failure);
int store_ocsp_save(Store *store, const StoredOcsp *list, size_t count, Failure *ret_failure);

/* The file `state`: what survives a restart, as strict KEY=VALUE lines with a checksum. */
typedef struct StoredState {
    bool revoked, hold, retired;
    int64_t revoked_at;         /* seconds; 0 unknown */
    uint32_t failures;          /* failed attempts in a row … */
    uint32_t failures_past_end; /* … and since the end of the chain */
    int64_t next_attempt;       /* seconds; 0: none */
    int64_t last_success;
    int64_t late;             /* seconds that it came after it was due */
    int64_t clock_floor;      /* of this identity: notBefore, thisUpdate seen */
    uint32_t last_generation; /* highest number ever used */
    uint32_t of_generation;   /* the one that all of this is about; an older one than `current`: the power went between
                               * the   commit of that and the saving of this */
    Bytes parent_name;        /* of the last key */
    char last_error[512];     /* one line */
    char host_name[256];      /* %H as recorded at the first enrolment */
    char settings[65];        /* digest of the settings under which attempts were made; "": not known */
} StoredState;
void stored_state_clear(StoredState *state);
/* No file: all zero, 0. STORE_SALVAGED: it is damaged, as the failure says, and `ret` is what counts of it, on the side
 * of caution: what may have been revoked or retired is on hold. -EPROTO: of a later version. */
int store_state_load(Store *store, StoredState *ret, Failure *ret_failure);
int store_state_save(Store *store, const StoredState *state, Failure *ret_failure);

/* ---- what is there of whom ---- */

/* The identities that have a directory in the state directory, sorted and NULL-terminated; the caller frees. STORAGE.
 */
int store_names(int state_fd, char ***ret, Failure *ret_failure);
/* Whether that identity has a generation, so that it is or was certified; in doubt it has. For one that nobody has
 * open. */
bool store_has_generations(int state_fd, const char *name);
/* Removes all that an identity has, for good. Nobody may have it open. STORAGE. */
int store_erase(int state_fd, const char *name, Failure *ret_failure);
/* Goes on with removals that were cut off. */
void store_finish_erasing(int state_fd);

/* ---- `.peer-crls/` of the state directory: CRLs of peers' CAs, which belong to no identity ---- */

/* As store_crl_load and so on: ID.crl, DER, ids of [0-9a-f]{1,64}. -ENOENT without a text: none. */
int store_peer_crl_load(int state_fd, const char *id, Bytes *ret_der, Failure *ret_failure);
int store_peer_crl_save(int state_fd, const char *id, BytesView der, Failure *ret_failure);
int store_peer_crl_remove(int state_fd, const char *id, Failure *ret_failure); /* 0 also where there is none */
int store_peer_crl_list(int state_fd, char ***ret_ids, Failure *ret_failure);

/* ---- the file `.device` of the state directory: what is known of the TPM, of which a disk's clone has another ---- */

#define STORE_ENDORSEMENT_MAX 1024U

typedef struct StoredDevice {
    Bytes parent_name; /* TPM Name of the parent key in whose TPM … */
    Bytes endorsement; /* … this was found: DER SubjectPublicKeyInfo that the device ID is the hash of */
} StoredDevice;
void stored_device_clear(StoredDevice *device);
int store_device_load(int state_fd, StoredDevice *ret, Failure *ret_failure); /* no file: empty, 0; -EBADMSG, … */
int store_device_save(int state_fd, BytesView parent_name, BytesView endorsement, Failure *ret_failure);

/* ---- published files: /run/identityd/NAME/ (0755, files 0644), replaced as a set ---- */

typedef struct PublishedFile {
    const char *name; /* "chain.pem" */
    BytesView content;
} PublishedFile;
/* Writes the set beside and swaps it in with one rename (RENAME_EXCHANGE), so that a reader who has the directory open
 * never sees a mix. A set that is there already is left alone, since programs are reloaded when it changes. No file:
 * the directory is removed. */
int publish_set(int runtime_fd, const char *name, const PublishedFile *files, size_t count, Failure *ret_failure);
/* Whose sets there are, sorted and NULL-terminated; the caller frees. Directories that are no such sets are not listed.
 */
int publish_names(int runtime_fd, char ***ret, Failure *ret_failure);
