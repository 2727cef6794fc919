/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a killed process left in a TPM that no resource manager tidies up. Such a TPM must be ours alone: every
 * transient object and loaded session found when the context is opened is nobody's. Saved sessions are spared: an
 * admin's tools keep them in files, we never make any. */
#include "tpm/internal.h"

#include <tss2/tss2_mu.h>
#include <tss2/tss2_tcti.h>

#define HANDLES_MAX     64U
#define TRANSIENT_FIRST 0x80000000U /* the TSS's constants shift into the sign bit */
#define SESSION_FIRST   0x02000000U
#define HANDLE_MASK     0x00ffffffU
#define RM_HANDLE_BASE                                                                                                 \
    16U /* no chip has so many transient places; resource managers count down from 0xff, 0xffffff                      \
         */
#define COMMAND_SIZE 14U

/* ESYS flushes only what it knows, and it cannot learn of sequence objects: so the command is sent by itself. */
static TSS2_RC flush_handle(Tpm *tpm, TPM2_HANDLE handle) {
    uint8_t command[COMMAND_SIZE], answer[TPM2_MAX_RESPONSE_SIZE];
    size_t size = 0, answer_size = sizeof answer, offset = 6;
    TSS2_TCTI_CONTEXT *tcti = NULL;
    TSS2_RC rc;
    uint32_t code = 0;

    rc = Esys_GetTcti(tpm->esys, &tcti);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_UINT16_Marshal(TPM2_ST_NO_SESSIONS, command, sizeof command, &size);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_UINT32_Marshal(COMMAND_SIZE, command, sizeof command, &size);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_UINT32_Marshal(TPM2_CC_FlushContext, command, sizeof command, &size);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_UINT32_Marshal(handle, command, sizeof command, &size);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Tcti_Transmit(tcti, size, command);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Tcti_Receive(tcti, &answer_size, answer, TSS2_TCTI_TIMEOUT_BLOCK);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_MU_UINT32_Unmarshal(answer, answer_size, &offset, &code);
    return rc == TSS2_RC_SUCCESS ? code : rc;
}

/* Flushes what the TPM lists from `first` on. */
static int flush_listed(Tpm *tpm, uint32_t first, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc;

    rc = tpm_command_capability(tpm, TPM2_CAP_HANDLES, first, HANDLES_MAX, &data);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "listing its objects", ret_failure);
    if (data->capability != TPM2_CAP_HANDLES)
        return 0;
    for (uint32_t i = 0; i < data->data.handles.count && i < TPM2_MAX_CAP_HANDLES; i++) {
        rc = TPM_COMMAND(tpm, flush_handle(tpm, data->data.handles.handle[i]));
        if (rc != TSS2_RC_SUCCESS && !tpm_error_is_no_such_handle(rc))
            return tpm_command_fail(tpm, rc, "flushing what an earlier process left", ret_failure);
    }
    return 0;
}

/* A resource manager gives handles of its own: seen at any transient object, the cheapest being a hash sequence. In
 * doubt there is one, since then nothing of others is touched. */
static bool detect_resource_manager(Tpm *tpm) {
    TPM2B_AUTH none = { .size = 0 };
    TPM2_HANDLE handle = 0;
    ESYS_TR sequence = ESYS_TR_NONE;
    TSS2_RC rc;

    rc = TPM_COMMAND(tpm, Esys_HashSequenceStart(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &none,
                                                 TPM2_ALG_SHA256, &sequence));
    if (rc != TSS2_RC_SUCCESS)
        return true;
    rc = Esys_TR_GetTpmHandle(tpm->esys, sequence, &handle);
    tpm_command_flush(tpm, &sequence);
    return rc != TSS2_RC_SUCCESS || (handle & HANDLE_MASK) >= RM_HANDLE_BASE;
}

int tpm_orphans_flush(Tpm *tpm, Failure *ret_failure) {
    /* A resource manager lists no transient objects but our own, and there is none yet; sessions it lists of
     * everybody. */
    int r = flush_listed(tpm, TRANSIENT_FIRST, ret_failure);

    if (r < 0)
        return r;
    tpm->resource_manager = detect_resource_manager(tpm);
    if (tpm->resource_manager) {
        /* It swaps every loaded object of ours around each command (docs/facts.md, "TPM"). */
        if (tpm->loaded_keys_max > 2)
            tpm->loaded_keys_max = 2;
        return 0;
    }
    return flush_listed(tpm, SESSION_FIRST, ret_failure);
}
