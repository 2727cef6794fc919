/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An epoch: opening the context, its end, and recovery. Guarantees that nothing which was loaded before a reset of the
 * TPM or a fault of its transport is used afterwards: an epoch ends by finalizing ESYS and TCTI, which forgets every
 * handle without a command, and the next one begins by opening both and finding the parent anew. */
#include "tpm/internal.h"

#include <stdio.h>

/* Forgets it without a command. */
static void drop(Tpm *tpm) {
    tpm_loaded_forget(tpm);
    tpm_guard_forget(tpm);
    tpm->parent.object = ESYS_TR_NONE;
    if (tpm->esys)
        tpm->epoch++;
    Esys_Finalize(&tpm->esys);
    Tss2_TctiLdr_Finalize(&tpm->tcti_context);
    tpm->stale = tpm->lost = false;
    tpm->endorsement_denied = false;
    tpm->last_answer = 0;
}

static void flush_everything(Tpm *tpm) {
    if (!tpm->esys)
        return;
    while (tpm_loaded_evict(tpm))
        ;
    tpm_guard_close(tpm);
    if (!tpm_parent_is_persistent(&tpm->parent))
        tpm_command_flush(tpm, &tpm->parent.object);
}

void tpm_epoch_end(Tpm *tpm) {
    flush_everything(tpm);
    drop(tpm);
}

static int connect_context(Tpm *tpm, Failure *ret_failure) {
    char what[160];
    TSS2_RC rc;

    rc = Tss2_TctiLdr_Initialize(tpm->tcti, &tpm->tcti_context);
    if (rc != TSS2_RC_SUCCESS) {
        /* tpm2-tss 4.0 to 4.1.3 leave the empty memory of what could not be opened here, and finalize none such; others
         * leave NULL. */
        free(tpm->tcti_context);
        tpm->tcti_context = NULL;
    } else
        rc = Esys_Initialize(&tpm->esys, tpm_answers_open(&tpm->answers, tpm->tcti_context), NULL);
    if (rc == TSS2_RC_SUCCESS)
        return 0;
    (void) snprintf(what, sizeof what, "opening \"%.100s\"", tpm->tcti ? tpm->tcti : "the default TCTI");
    return tpm_command_fail(tpm, rc, what, ret_failure);
}

static int begin(Tpm *tpm, Failure *ret_failure) {
    int r;

    if (tpm->esys)
        return 0;
    r = connect_context(tpm, ret_failure);
    if (r >= 0)
        r = tpm_properties_read(tpm, ret_failure);
    if (r >= 0)
        r = tpm_orphans_flush(tpm, ret_failure);
    if (r >= 0)
        r = tpm_parent_open(tpm, ret_failure);
    if (r < 0) {
        bool stale = tpm->stale;

        tpm_epoch_end(tpm);
        tpm->stale = stale;
        /* Whatever the code was, it is not the caller's argument that was wrong. */
        if (ret_failure && ret_failure->kind == FAILURE_INVALID_ARGUMENT)
            ret_failure->kind = FAILURE_TPM_UNAVAILABLE;
    }
    return r;
}

int tpm_epoch_request(Tpm *tpm, TpmStep step, void *data, Failure *ret_failure) {
    for (unsigned int attempt = 0;; attempt++) {
        int r;

        tpm->stale = false;
        r = begin(tpm, ret_failure);
        if (r < 0 && !tpm->stale && tpm->state == TPM_STATE_READY)
            tpm->state = TPM_STATE_UNAVAILABLE;
        if (r >= 0) {
            if (tpm->state == TPM_STATE_UNAVAILABLE)
                tpm->state = TPM_STATE_READY;
            r = step(tpm, data, ret_failure);
        }
        if (r >= 0)
            tpm->state = TPM_STATE_READY;
        if (r >= 0 || !tpm->stale)
            return r;
        drop(tpm);
        if (attempt > 0)
            return r;
        /* What is mended is no failure: some look at its kind alone. */
        if (ret_failure) {
            ret_failure->kind = FAILURE_NONE;
            ret_failure->text[0] = '\0';
        }
    }
}
