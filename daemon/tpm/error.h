/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* TSS2 response codes end here: a code becomes a class that decides what happens next, and a text that a person can
 * read. No other room sees a TSS2_RC. */
#pragma once

#include "common/failure.h"

#include <stdbool.h>
#include <tss2/tss2_common.h>

typedef enum TpmErrorClass {
    TPM_ERROR_NONE,      /* success */
    TPM_ERROR_BUSY,      /* RETRY, YIELDED, TESTING, NV_RATE, NV_UNAVAILABLE: the same again a little later */
    TPM_ERROR_MEMORY,    /* no room for an object or a session: flush one of ours, then again */
    TPM_ERROR_STALE,     /* INITIALIZE, REFERENCE_…, HANDLE: what we hold is not there any more (reset, cleared) */
    TPM_ERROR_TRANSPORT, /* the TCTI, or an answer that ESYS does not understand or whose HMAC is wrong */
    TPM_ERROR_LOCKOUT,   /* dictionary-attack lockout (0x921) */
    TPM_ERROR_AUTHORIZATION, /* a hierarchy's or an object's authorization value is not the one we know */
    TPM_ERROR_NV_FULL,       /* nothing persistent can be added */
    TPM_ERROR_REFUSED,       /* a parameter: altered key blob, unsupported algorithm or scheme */
    TPM_ERROR_OTHER,         /* failure mode, disabled hierarchy, … */
} TpmErrorClass;

TpmErrorClass tpm_error_class(TSS2_RC rc);

/* Whether the code says that a handle that was asked for does not exist (TPM_RC_HANDLE, any position). */
bool tpm_error_is_no_such_handle(TSS2_RC rc);

/* TPM_RC_INTEGRITY: a wrapped object or a saved context is not this TPM's, or not of this life of it. */
bool tpm_error_is_integrity(TSS2_RC rc);

/* TPM_RC_INITIALIZE: nobody has sent TPM2_Startup since the last reset. */
bool tpm_error_is_not_started(TSS2_RC rc);

/* Fills in `ret_failure` (may be NULL) with "WHAT: decoded text (0xCODE)" and what to do, and returns the errno of the
 * class: BUSY and MEMORY -EBUSY, STALE and TRANSPORT -ENXIO, LOCKOUT and AUTHORIZATION -EACCES, NV_FULL -ENOSPC,
 * REFUSED -EINVAL with kind INVALID_ARGUMENT, OTHER -EIO; the kind is TPM_UNAVAILABLE for all others. */
int tpm_error_failure(Failure *ret_failure, TSS2_RC rc, const char *what);
