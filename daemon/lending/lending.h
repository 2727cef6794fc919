/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs are lent: credential handles (handles.c), one-shot signatures (signatures.c), and published files
 * (publication.c, a duty). Access is decided here, from the caller as the bus vouches for it; every decision is logged,
 * or counted where one user causes too many. */
#pragma once

#include "access/access.h"
#include "identity/identity.h"
#include "lending/access-log.h"
#include "work/operation.h"

typedef struct Lending Lending;

int lending_new(Device *device, Lending **ret);
/* After device_stop: then every handle is closed. */
Lending *lending_free(Lending *lending);
DEFINE_CLEANUP(Lending, lending_free)

/* The limits of the configuration, after it was read anew. */
void lending_apply_limits(Lending *lending);

AccessLog *lending_log(const Lending *lending);

/* ---- handles.c ---- */

/* Whether any rule for this purpose names a unit, so that the caller's must be looked up. */
bool handles_admit_units(const Identity *identity, Purpose purpose);

/* Opens a handle for `caller`: the holder's end, which the caller of this function owns. */
typedef struct HandleRequest {
    Identity *identity;
    Purpose purpose;
    Caller *caller; /* its pidfd may be taken */
} HandleRequest;
int handles_open(Lending *lending, const HandleRequest *request, int *ret_fd, Failure *ret_failure);

/* The signing thread says that it is gone (DeviceCallbacks). */
void handles_closed(Lending *lending, uint64_t id);

/* After the configuration changed: who is no longer admitted loses the handle. */
void handles_recheck(Lending *lending, const Identity *identity);

/* ---- signatures.c ---- */

/* Signs a message under the `data` right of `caller`, or `data-raw` (user: and group: rules). `framing`: "cms" and
 * "cose", whose message is what is signed, as identityd-handle(7) has it; "identityd", which is put around the message
 * here; "raw", the one that needs `data-raw`. */
typedef struct SignatureRequest {
    Identity *identity;
    const Caller *caller;
    const char *framing;
    const char *scheme;
    BytesView message;
} SignatureRequest;
void signatures_sign(Lending *lending, const SignatureRequest *request, OperationDone done, void *userdata);

/* ---- duties ---- */

extern const Duty publication_duty; /* what the outside sees */
extern const Duty signatures_duty;  /* nothing by itself */
extern const Duty tidy_duty;        /* what is no longer needed goes from the disk */

/* The signing thread says that nobody holds it any more, and that somebody signed with it (DeviceCallbacks). */
void tidy_note_unused(Identity *identity, uint32_t generation);
void tidy_note_used(Identity *identity, uint32_t generation);

/* Takes the published files of an identity that is gone away. */
void publication_withdraw(const Device *device, const char *name);
