/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a command is sent: again as long as its answer says that this helps, and what is made of one that failed. All
 * others of this room stand on it. */
#include "tpm/internal.h"

#include <time.h>

#define WAIT_FIRST_US 1000U
#define TRIES_BUSY    12U /* 1 + 2 + 4 + … + 2048 ms: a self-test of a slow chip takes about a second */
#define TRIES_MEMORY  6U  /* 63 ms: another user of the resource manager may be about to flush */

uint64_t tpm_command_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

bool tpm_command_again(Tpm *tpm, unsigned int *tries, TSS2_RC rc) {
    TpmErrorClass class = tpm_error_class(rc);
    struct timespec wait;
    uint64_t us;

    if (class == TPM_ERROR_NONE) {
        tpm->last_answer = tpm_command_now();
        return false;
    }
    if (class == TPM_ERROR_TRANSPORT)
        tpm->lost = true;
    if (class != TPM_ERROR_BUSY && class != TPM_ERROR_MEMORY)
        return false;
    if (*tries >= (class == TPM_ERROR_BUSY ? TRIES_BUSY : TRIES_MEMORY))
        return false;
    us = (uint64_t) WAIT_FIRST_US << (*tries)++;
    wait = (struct timespec) { .tv_sec = (time_t) (us / 1000000U), .tv_nsec = (long) (us % 1000000U) * 1000L };
    (void) nanosleep(&wait, NULL);
    return true;
}

int tpm_command_fail(Tpm *tpm, TSS2_RC rc, const char *what, Failure *ret_failure) {
    switch (tpm_error_class(rc)) {
    case TPM_ERROR_STALE:
    case TPM_ERROR_TRANSPORT:
        tpm->stale = true;
        tpm->state = TPM_STATE_UNAVAILABLE;
        break;
    case TPM_ERROR_LOCKOUT:
        tpm->state = TPM_STATE_LOCKOUT;
        break;
    case TPM_ERROR_OTHER:
        tpm->state = TPM_STATE_UNAVAILABLE;
        break;
    default:
        break;
    }
    if (rc == TSS2_TCTI_RC_MALFORMED_RESPONSE && tpm->answers.fault)
        return failure_set(ret_failure, -ENXIO, FAILURE_TPM_UNAVAILABLE,
                           "TPM: %s failed: the answer was refused since %s; check TCTI= and what stands between here "
                           "and the TPM",
                           what, tpm->answers.fault);
    return tpm_error_failure(ret_failure, rc, what);
}

void tpm_command_flush(Tpm *tpm, ESYS_TR *object) {
    if (*object == ESYS_TR_NONE)
        return;
    (void) TPM_COMMAND(tpm, Esys_FlushContext(tpm->esys, *object));
    *object = ESYS_TR_NONE;
}

TSS2_RC tpm_command_capability(Tpm *tpm, TPM2_CAP capability, uint32_t first, uint32_t count,
                               TPMS_CAPABILITY_DATA **ret) {
    return TPM_COMMAND(tpm, Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability, first,
                                               count, NULL, ret));
}
