/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* See error.h. TPM 2.0 Library Part 1 §39 (response codes), TSS 2.0 Overview §3 (layers). */
#include "tpm/error.h"

#include <tss2/tss2_rc.h>
#include <tss2/tss2_tpm2_types.h>

#define LAYER_MASK        0x00ff0000U
#define FORMAT_ONE        0x080U /* bit 7: the code belongs to a handle, a session or a parameter … */
#define FORMAT_ONE_MASK   0x0bfU /* … whose number and kind the other bits give */
#define IS_OF_PARAMETER   0x040U
#define IS_OF_SESSION     0x800U
#define WARNING_NUMBER(x) ((x) &0xfffU)

static TpmErrorClass class_of_format_one(uint32_t code) {
    switch (code & FORMAT_ONE_MASK) {
    case TPM2_RC_HANDLE:
        return TPM_ERROR_STALE;
    case TPM2_RC_BAD_AUTH:
    case TPM2_RC_AUTH_FAIL:
        return TPM_ERROR_AUTHORIZATION;
    case TPM2_RC_HIERARCHY: /* disabled */
        return TPM_ERROR_OTHER;
    case TPM2_RC_VALUE:
        /* Of a handle: tpm2-abrmd passes its own on where it can no longer load the object, after a reset below it. */
        return code & (IS_OF_PARAMETER | IS_OF_SESSION) ? TPM_ERROR_REFUSED : TPM_ERROR_STALE;
    default:
        return TPM_ERROR_REFUSED;
    }
}

static TpmErrorClass class_of_format_zero(uint32_t code) {
    switch (WARNING_NUMBER(code)) {
    case TPM2_RC_RETRY:
    case TPM2_RC_YIELDED:
    case TPM2_RC_TESTING:
    case TPM2_RC_CANCELED:
    case TPM2_RC_NV_RATE:
    case TPM2_RC_NV_UNAVAILABLE:
        return TPM_ERROR_BUSY;
    case TPM2_RC_OBJECT_MEMORY:
    case TPM2_RC_OBJECT_HANDLES:
    case TPM2_RC_SESSION_MEMORY:
    case TPM2_RC_SESSION_HANDLES:
    case TPM2_RC_MEMORY:
    case TPM2_RC_CONTEXT_GAP:
        return TPM_ERROR_MEMORY;
    case TPM2_RC_INITIALIZE:
    case TPM2_RC_REFERENCE_H0:
    case TPM2_RC_REFERENCE_H1:
    case TPM2_RC_REFERENCE_H2:
    case TPM2_RC_REFERENCE_H3:
    case TPM2_RC_REFERENCE_H4:
    case TPM2_RC_REFERENCE_H5:
    case TPM2_RC_REFERENCE_H6:
    case TPM2_RC_REFERENCE_S0:
    case TPM2_RC_REFERENCE_S1:
    case TPM2_RC_REFERENCE_S2:
    case TPM2_RC_REFERENCE_S3:
    case TPM2_RC_REFERENCE_S4:
    case TPM2_RC_REFERENCE_S5:
    case TPM2_RC_REFERENCE_S6:
        return TPM_ERROR_STALE;
    case TPM2_RC_LOCKOUT:
        return TPM_ERROR_LOCKOUT;
    case TPM2_RC_NV_SPACE:
        return TPM_ERROR_NV_FULL;
    case TPM2_RC_COMMAND_CODE:
        return TPM_ERROR_REFUSED;
    default:
        return TPM_ERROR_OTHER;
    }
}

/* A resource manager says the same codes in layers of its own: Linux in one, tpm2-abrmd in both. */
static bool is_of_tpm(TSS2_RC rc) {
    uint32_t layer = rc & LAYER_MASK;

    return layer == TSS2_TPM_RC_LAYER || layer == TSS2_RESMGR_TPM_RC_LAYER || layer == TSS2_RESMGR_RC_LAYER;
}

TpmErrorClass tpm_error_class(TSS2_RC rc) {
    if (rc == TSS2_RC_SUCCESS)
        return TPM_ERROR_NONE;
    if (!is_of_tpm(rc))
        return TPM_ERROR_TRANSPORT;
    return rc & FORMAT_ONE ? class_of_format_one(rc) : class_of_format_zero(rc);
}

bool tpm_error_is_no_such_handle(TSS2_RC rc) {
    return is_of_tpm(rc) && (rc & FORMAT_ONE) && (rc & FORMAT_ONE_MASK) == TPM2_RC_HANDLE;
}

bool tpm_error_is_integrity(TSS2_RC rc) {
    return is_of_tpm(rc) && (rc & FORMAT_ONE) && (rc & FORMAT_ONE_MASK) == TPM2_RC_INTEGRITY;
}

bool tpm_error_is_not_started(TSS2_RC rc) {
    return is_of_tpm(rc) && (rc & ~LAYER_MASK) == TPM2_RC_INITIALIZE;
}

int tpm_error_failure(Failure *ret_failure, TSS2_RC rc, const char *what) {
    static const struct {
        int error;
        FailureKind kind;
        const char *advice;
    } classes[] = {
        [TPM_ERROR_BUSY] = { -EBUSY, FAILURE_TPM_UNAVAILABLE, "the TPM stayed busy; this is tried again" },
        [TPM_ERROR_MEMORY] = { -EBUSY, FAILURE_TPM_UNAVAILABLE,
                               "other programs fill the TPM's memory: use a resource manager (/dev/tpmrm0)" },
        [TPM_ERROR_STALE] = { -ENXIO, FAILURE_TPM_UNAVAILABLE, "the TPM was reset meanwhile; this is tried again" },
        [TPM_ERROR_TRANSPORT] = { -ENXIO, FAILURE_TPM_UNAVAILABLE,
                                  "the TPM cannot be reached or answered nonsense: check TCTI= and that its device is "
                                  "there and may be opened" },
        [TPM_ERROR_LOCKOUT] = { -EACCES, FAILURE_TPM_UNAVAILABLE,
                                "the TPM is in dictionary-attack lockout: wait until it ends, or end it with "
                                "tpm2_dictionarylockout --clear-lockout" },
        [TPM_ERROR_AUTHORIZATION] = { -EACCES, FAILURE_TPM_UNAVAILABLE,
                                      "an authorization value is set that is not known here: give it with "
                                      "OwnerAuthCredential= or EndorsementAuthCredential= in identityd.conf" },
        [TPM_ERROR_NV_FULL] = { -ENOSPC, FAILURE_TPM_UNAVAILABLE, "the TPM's non-volatile memory is full" },
        [TPM_ERROR_REFUSED] = { -EINVAL, FAILURE_INVALID_ARGUMENT, "the TPM refuses this request" },
        [TPM_ERROR_OTHER] = { -EIO, FAILURE_TPM_UNAVAILABLE, "the TPM cannot do this now" },
    };
    TpmErrorClass class = tpm_error_class(rc);

    return failure_set(ret_failure, classes[class].error, classes[class].kind, "TPM: %s failed: %s (0x%x); %s", what,
                       Tss2_RC_Decode(rc), rc, classes[class].advice);
}
