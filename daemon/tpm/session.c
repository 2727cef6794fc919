/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sessions that prove that it is the parent's TPM which answers: an HMAC session whose salt only the holder of the
 * parent's private part can read. For commands whose answer we believe (Create); it costs 1.6 ms of CPU for each
 * command in ESYS, so signing uses a password session, in which nothing is believed that is not verified, or the
 * guard.c session. */
#include "tpm/internal.h"

int tpm_session_open(Tpm *tpm, ESYS_TR parent, ESYS_TR *ret, Failure *ret_failure) {
    const TPMT_SYM_DEF symmetric = {
        .algorithm = TPM2_ALG_AES,
        .keyBits = { .aes = 128 },
        .mode = { .aes = TPM2_ALG_CFB },
    };
    ESYS_TR session = ESYS_TR_NONE;
    TSS2_RC rc;

    rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_StartAuthSession(tpm->esys, parent, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE,
                                                          ESYS_TR_NONE, NULL, TPM2_SE_HMAC, &symmetric, TPM2_ALG_SHA256,
                                                          &session));
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "starting a session salted to the parent key", ret_failure);

    /* continueSession stays clear: the TPM ends the session with the command. */
    rc = Esys_TRSess_SetAttributes(tpm->esys, session, 0, TPMA_SESSION_CONTINUESESSION);
    if (rc != TSS2_RC_SUCCESS) {
        tpm_command_flush(tpm, &session);
        return tpm_command_fail(tpm, rc, "preparing a session", ret_failure);
    }
    *ret = session;
    return 0;
}
