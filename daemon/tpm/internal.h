/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share and nobody else may include: the insides of Tpm and TpmKey, and the rule how a
 * command is sent. */
#pragma once

#include "tpm/error.h"
#include "tpm/tpm.h"

#include <gnutls/abstract.h>
#include <stdatomic.h>
#include <tss2/tss2_esys.h>
#include <tss2/tss2_tctildr.h>

#define TPM_PARENT_HANDLE_DEFAULT 0x81000001U
#define TPM_LOADED_KEYS_MAX       8U
#define TPM_TCTI_MAX              1024U

/* ESYS's own free(); for what ESYS returned. */
static inline void esys_free_p(void *pointer) {
    Esys_Free(*(void **) pointer);
}
#define _cleanup_esys_ _cleanup_(esys_free_p)

typedef struct TpmParent {
    ESYS_TR object;     /* ESYS_TR_NONE: none */
    TPM2_HANDLE handle; /* TPM2_RH_OWNER: the primary made from the template, transient */
    TPM2B_PUBLIC public;
    TPM2B_NAME name;
} TpmParent;

static inline bool tpm_parent_is_persistent(const TpmParent *parent) {
    return parent->object != ESYS_TR_NONE && parent->handle != TPM2_RH_OWNER;
}

typedef struct LoadedKey {
    ESYS_TR object; /* ESYS_TR_NONE: an empty place */
    TPM2B_NAME name;
    gnutls_pubkey_t public_key;
    bool verified; /* a signature of this load was verified */
    uint64_t used; /* order of use */
} LoadedKey;

/* An open session of guard.c. */
typedef struct TpmGuard {
    TPMI_SH_AUTH_SESSION handle; /* 0: none */
    TPM2B_NONCE nonce;           /* the TPM's last one */
} TpmGuard;

/* The TCTI of answer-tcti.c, and the answer that it has in its hands. */
typedef struct TpmAnswers {
    TSS2_TCTI_CONTEXT_COMMON_V2 common; /* first: ESYS knows no more of it */
    TSS2_TCTI_CONTEXT *inner;           /* the one that is configured */
    const char *fault;                  /* of the last answer: why it was refused; NULL: it was not */
    size_t command_size, size;          /* of the last command; of the answer to it, 0: it was handed on */
    uint8_t command[TPM2_MAX_COMMAND_SIZE], answer[TPM2_MAX_RESPONSE_SIZE];
} TpmAnswers;

struct Tpm {
    char *tcti;                                                /* NULL: tctildr's default */
    uint32_t parent_handle;                                    /* where the parent is looked for first */
    TPM2B_AUTH owner_authorization, endorsement_authorization; /* erased by tpm_free */
    size_t loaded_keys_wanted;

    /* One epoch: from opening the context until it is dropped. Nothing of this outlives it. */
    TSS2_TCTI_CONTEXT *tcti_context;
    TpmAnswers answers;
    ESYS_CONTEXT *esys; /* NULL: closed */
    bool resource_manager;
    size_t loaded_keys_max;
    size_t nv_buffer_max;
    TpmParent parent;
    LoadedKey loaded[TPM_LOADED_KEYS_MAX];
    TpmGuard guard;

    uint64_t epoch;
    uint64_t use_count;
    uint64_t last_answer; /* µs, CLOCK_MONOTONIC: when the last command of this epoch was answered */
    bool stale;           /* the present attempt met an error after which everything must be dropped */
    bool lost;            /* in this epoch the transport failed: nothing is sent any more */

    /* Facts about the chip, kept over epochs. */
    TpmState state;
    TPM2B_NAME parent_recorded; /* of the last parent, by this life or an earlier one; empty: none was */
    char parent_note[256];      /* why the parent is not the key at the configured handle, or "" */
    char vendor[32], firmware[32];
    Bytes endorsement_spki;        /* what the device ID is the hash of; with … */
    TPM2B_NAME endorsement_parent; /* … the parent's Name at that time: another one means another TPM */
    char device_id_problem[160];
    bool endorsement_denied; /* in this epoch: not asked again */
    TPM2B_NAME pss_parent;   /* likewise for what is known about PSS */
    enum { PSS_UNKNOWN, PSS_USABLE, PSS_UNUSABLE } pss[_KEY_ALGORITHM_COUNT];
};

struct TpmKey {
    atomic_uint references;
    KeyAlgorithm algorithm;
    Bytes public, private; /* TPM2B_PUBLIC and TPM2B_PRIVATE as a TPM wants them: as structures they take ten times
                              that. The private part is wrapped by the parent: no secret without this TPM */
    TPM2B_NAME name, parent_name;
    uint32_t parent_handle; /* persistent, or TPM2_RH_OWNER: the primary made from the template */
    size_t modulus_size;    /* bytes of an RSA key's modulus; 0: another key */
    Bytes spki;
};

/* What follows is in the order of the calls, which only go up in this list: a file calls those before it. */

/* ---- answer.c ---- */

/* Whether `command` is one that we send, whose answer can be checked. */
bool tpm_answer_is_foreseen(BytesView command);
/* Why the answer to `command` must not reach the TSS, static text that goes on from "since"; NULL: it may. Every size
 * and count in it fits what it is of, and every area ends where it has to; what it says is for others to judge. */
const char *tpm_answer_fault(BytesView command, BytesView answer);

/* ---- answer-tcti.c ---- */

/* Puts `answers` before `inner`, which stays the caller's to finalize; both live as long as ESYS has the result. */
TSS2_TCTI_CONTEXT *tpm_answers_open(TpmAnswers *answers, TSS2_TCTI_CONTEXT *inner);

/* ---- command.c ---- */

uint64_t tpm_command_now(void); /* µs, CLOCK_MONOTONIC */

/* Whether to send a postponed command again; has waited then. `tries` counts and begins with 0. */
bool tpm_command_again(Tpm *tpm, unsigned int *tries, TSS2_RC rc);

/* Sends `call` until it is through or patience ends; the value is the last response code. After a fault of the
 * transport nothing is sent in this epoch any more: it would reach nobody, and tcti-swtpm (tpm2-tss 3.2) forgets to
 * close the socket of the try before. */
#define TPM_COMMAND(tpm, call) TPM_COMMAND_WHILE((tpm), false, call)
/* The same, where one of our loaded keys may be flushed for room. */
#define TPM_COMMAND_WITH_ROOM(tpm, call) TPM_COMMAND_WHILE((tpm), tpm_loaded_make_room((tpm), _rc), call)
#define TPM_COMMAND_WHILE(tpm, mended, call)                                                                           \
    ({                                                                                                                 \
        unsigned int _tries = 0;                                                                                       \
        TSS2_RC _rc;                                                                                                   \
        do                                                                                                             \
            _rc = (tpm)->lost ? TSS2_TCTI_RC_IO_ERROR : (call);                                                        \
        while ((mended) || tpm_command_again((tpm), &_tries, _rc));                                                    \
        _rc;                                                                                                           \
    })

/* tpm_error_failure, and notes in `tpm` what must follow: dropping everything, or the lockout state. */
int tpm_command_fail(Tpm *tpm, TSS2_RC rc, const char *what, Failure *ret_failure);

/* Flushes a transient object or session; errors do not matter then: what cannot be flushed is not there. */
void tpm_command_flush(Tpm *tpm, ESYS_TR *object);

TSS2_RC tpm_command_capability(Tpm *tpm, TPM2_CAP capability, uint32_t first, uint32_t count,
                               TPMS_CAPABILITY_DATA **ret);

/* ---- public-key.c ---- */

/* TPM Name: algorithm and digest of the public area (Part 1 §16). -EINVAL: a name algorithm other than SHA-256,
 * SHA-384 and SHA-512. */
int tpm_name_of(const TPM2B_PUBLIC *public, TPM2B_NAME *ret);
bool tpm_name_equal(const TPM2B_NAME *a, const TPM2B_NAME *b);
int tpm_name_from_bytes(BytesView bytes, TPM2B_NAME *ret); /* -EINVAL: not a Name */

/* The public key of an RSA or ECC public area. -EINVAL: not one of our types, curves and sizes. */
int tpm_public_import(const TPMT_PUBLIC *public, gnutls_pubkey_t *ret);
int tpm_public_spki(const TPMT_PUBLIC *public, Bytes *ret); /* DER SubjectPublicKeyInfo */

static inline void gnutls_pubkey_cleanup(gnutls_pubkey_t *key) {
    if (*key)
        gnutls_pubkey_deinit(*key);
}
#define _cleanup_pubkey_ _cleanup_(gnutls_pubkey_cleanup)

/* ---- loaded.c ---- */

/* Flushes the least recently used key; false if none is loaded. */
bool tpm_loaded_evict(Tpm *tpm);
/* Flushes a key as that, where `rc` says that the TPM has no room: the command can be sent again then. */
bool tpm_loaded_make_room(Tpm *tpm, TSS2_RC rc);
void tpm_loaded_unload(Tpm *tpm, LoadedKey *loaded);
size_t tpm_loaded_count(const Tpm *tpm);
LoadedKey *tpm_loaded_find(Tpm *tpm, const TpmKey *key); /* NULL: it is not loaded */
/* Forgets all loaded keys without a command, since the epoch is over. */
void tpm_loaded_forget(Tpm *tpm);

/* ---- properties.c ---- */

/* The first command of an epoch: vendor, firmware, and what there is room for. */
int tpm_properties_read(Tpm *tpm, Failure *ret_failure);

/* ---- orphans.c ---- */

/* At the beginning of an epoch: finds out whether a resource manager stands between us and the TPM, and flushes what an
 * earlier life left in a TPM without one. */
int tpm_orphans_flush(Tpm *tpm, Failure *ret_failure);

/* ---- session.c ---- */

/* An HMAC session salted to the parent, for one command: it ends with that. Flush it where the command failed. */
int tpm_session_open(Tpm *tpm, ESYS_TR parent, ESYS_TR *ret, Failure *ret_failure);

/* ---- guard.c ---- */

typedef struct TpmGuardedSign {
    ESYS_TR object;
    const TPM2B_NAME *name; /* of the key that is meant */
    const TPM2B_DIGEST *digest;
    const TPMT_SIG_SCHEME *scheme;
    const TPMT_TK_HASHCHECK *ticket;
} TpmGuardedSign;

/* TPM2_Sign that the TPM itself refuses if the object is not the key of that Name, or if the TPM was reset since the
 * session began; the epoch is marked as stale then. `ret_guarded` false: there was no room for a session, and nothing
 * was signed.
 * For a TPM without a resource manager, which would have to swap the session. */
TSS2_RC tpm_guard_sign(Tpm *tpm, const TpmGuardedSign *wanted, bool *ret_guarded, TPMT_SIGNATURE *ret);

void tpm_guard_close(Tpm *tpm);  /* flushes the session */
void tpm_guard_forget(Tpm *tpm); /* without a command, since the epoch is over */

/* ---- storage-key.c ---- */

/* Reads a key's public area, which must have the Name that the TPM and ESYS say. */
int tpm_storage_key_read(Tpm *tpm, ESYS_TR object, TpmParent *ret, Failure *ret_failure);
/* 1: there is a key at a persistent handle; `ret_fault` (static text) says why it cannot be the parent of ours, NULL:
 * it can. 0: nothing is there. */
int tpm_storage_key_find(Tpm *tpm, TPM2_HANDLE handle, TpmParent *ret, const char **ret_fault, Failure *ret_failure);
/* Whether a key was made from our template, but for the key itself. */
bool tpm_storage_key_is_ours(const TPM2B_PUBLIC *public);
/* Makes the primary of our template, which is the same in each life of a TPM; the caller flushes it. */
int tpm_storage_key_create(Tpm *tpm, TpmParent *ret, Failure *ret_failure);

/* ---- parent.c ---- */

/* Finds or makes the parent of this epoch. -EACCES, -EINVAL, … with the reason. */
int tpm_parent_open(Tpm *tpm, Failure *ret_failure);

/* Whether the parent still is the one of this epoch: one command. Anything else marks the epoch as stale. */
int tpm_parent_check(Tpm *tpm, Failure *ret_failure);

/* The object under which a key of this parent Name and handle can be loaded. `ret_transient` is set where it was made
 * for this one load: the caller flushes it. -ESTALE with kind TPM_REPLACED: there is none. */
int tpm_parent_for(Tpm *tpm, const TpmKey *key, ESYS_TR *ret, bool *ret_transient, Failure *ret_failure);

/* ---- endorsement.c ---- */

/* Finds out what the device ID is the hash of, unless it is known for the present parent. Failing at that alone is no
 * failure: `device_id_problem` then says why. */
int tpm_endorsement_read(Tpm *tpm, Failure *ret_failure);

/* The device ID in hexadecimal, or "". */
int tpm_endorsement_device_id(const Tpm *tpm, const char *salt, char ret[static 65]);

/* ---- epoch.c ---- */

/* One request of the outside: opens the context if need be, runs `step`, and when a step or the opening met an error
 * that makes the epoch invalid, drops everything and does it once more. */
typedef int (*TpmStep)(Tpm *tpm, void *data, Failure *ret_failure);
int tpm_epoch_request(Tpm *tpm, TpmStep step, void *data, Failure *ret_failure);

/* Flushes what is loaded, and closes: a daemon that ends well leaves nothing behind on a TPM without a resource
 * manager. Does nothing where nothing is open. */
void tpm_epoch_end(Tpm *tpm);

/* ---- key.c ---- */

/* A key from its parts, which are checked as tpm_key_from_pem says. */
int tpm_key_new(const TPM2B_PUBLIC *public, const TPM2B_PRIVATE *private, const TPM2B_NAME *parent_name,
                uint32_t parent_handle, TpmKey **ret, Failure *ret_failure);

/* The parts again, for a command. -EINVAL: never, with a key that tpm_key_new made. */
int tpm_key_parts(const TpmKey *key, TPM2B_PUBLIC *ret_public, TPM2B_PRIVATE *ret_private);
