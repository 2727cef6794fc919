/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What of an identity survives a restart beside keys and certificates: its store, and the file `state` in it. Setters
 * change what is in memory; identity_save writes it. */
#pragma once

#include "identity/base.h"
#include "rules/attempts.h"
#include "store/store.h"

/* NULL until record_load has succeeded: then nothing of the disk is known. */
Store *identity_store(const Identity *identity);

/* Writes the state; a failure is logged. 0 or -errno. */
int identity_save(Identity *identity);

/* How attempts have gone; of the enrolment. */
const Attempts *identity_attempts(const Identity *identity);
void identity_set_attempts(Identity *identity, const Attempts *attempts);
/* How they failed counts no more, and nothing is planned for that (attempts_forget). */
void identity_forget_attempts(Identity *identity);

/* What the CA says; of the revocation checks. */
typedef struct IdentityRevocation {
    bool revoked;
    bool hold;  /* certificateHold: ends by itself */
    int64_t at; /* when it was revoked, or the hold was said; seconds, 0: not known */
} IdentityRevocation;
IdentityRevocation identity_revocation(const Identity *identity);
void identity_set_revocation(Identity *identity, const IdentityRevocation *revocation);

bool identity_is_retired(const Identity *identity);

/* %H as recorded at the first enrolment; "" before. */
const char *identity_host_name(const Identity *identity);
void identity_set_host_name(Identity *identity, const char *host_name);

/* The latest instant that its authorities have signed; 0: none. */
int64_t identity_clock_floor(const Identity *identity);
void identity_set_clock_floor(Identity *identity, int64_t floor);

/* The last error, "" for none. */
const char *identity_error(const Identity *identity);
/* What [Enrollment] and [Renewal] were when attempts were last made, as a digest; "" before. */
const char *identity_settings(const Identity *identity);
void identity_set_settings(Identity *identity, const char *digest);

/* ---- for this room ---- */

typedef struct Record Record;
int record_new(Identity *identity);
void record_free(Identity *identity);

/* Opens the store and reads the state. kind STORAGE: -EBADMSG where what is there is none, else -errno of the disk. */
int record_load(Identity *identity, Failure *ret_failure);
/* Nothing of the disk is known any more. */
void record_unload(Identity *identity);
/* Generation `number` is in use from now on; 0: none. */
void record_note_generation(Identity *identity, uint32_t number);
void record_set_error(Identity *identity, const char *text);
/* The generation that the state is about: an older one than the current says that the power went between the commit of
 * that and the saving of this. */
uint32_t record_of_generation(const Identity *identity);
uint32_t record_last_generation(const Identity *identity);
/* After a commit: a new generation leads out of `revoked` and `retired`. */
int record_committed(Identity *identity, uint32_t number, BytesView parent_name);
/* Marks it as retired, on the disk; on failure it is as before. No key that is there may be newer than `of_generation`.
 */
int record_retire(Identity *identity, uint32_t of_generation, Failure *ret_failure);
