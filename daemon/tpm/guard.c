/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A session that binds a command to the key it is meant for. The password session says nothing about the key: a handle
 * is a number, and a TPM without a resource manager that was reset, or flushed by others, may have given that number to
 * another key. In an HMAC session the TPM computes the command's digest with the Name of the key that it really is
 * about to use (Part 1 §19.4) and refuses where that is not the one meant; and after a reset the session is gone. It is
 * neither salted nor bound, since nothing here is secret: its key is empty, and what it proves is sameness, not who
 * asks.
 *
 * ESYS has such sessions, but spends more on one than TPM2_Sign takes (docs/facts.md, "Costs"), so the few lines are
 * here, on ESYS's own system context. */
#include "tpm/internal.h"

#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <string.h>
#include <tss2/tss2_mu.h>
#include <tss2/tss2_sys.h>

#define NONCE_SIZE  16U
#define DIGEST_SIZE 32U
#define TEXT_MAX    (DIGEST_SIZE + 2U * sizeof(TPMU_HA) + 1U)

void tpm_guard_forget(Tpm *tpm) {
    tpm->guard = (TpmGuard) { .handle = 0 };
}

void tpm_guard_close(Tpm *tpm) {
    TSS2_SYS_CONTEXT *sys;

    if (tpm->guard.handle != 0 && tpm->esys && Esys_GetSysContext(tpm->esys, &sys) == TSS2_RC_SUCCESS)
        (void) TPM_COMMAND(tpm, Tss2_Sys_FlushContext(sys, tpm->guard.handle));
    tpm_guard_forget(tpm);
}

static TSS2_RC make_nonce(TPM2B_NONCE *ret) {
    ret->size = NONCE_SIZE;
    return gnutls_rnd(GNUTLS_RND_NONCE, ret->buffer, NONCE_SIZE) < 0 ? TSS2_ESYS_RC_GENERAL_FAILURE : TSS2_RC_SUCCESS;
}

/* Without patience: whoever finds no room for a session verifies instead. */
static TSS2_RC guard_open(Tpm *tpm, TSS2_SYS_CONTEXT *sys) {
    const TPM2B_ENCRYPTED_SECRET no_salt = { .size = 0 };
    const TPMT_SYM_DEF none = { .algorithm = TPM2_ALG_NULL };
    TPM2B_NONCE ours;
    TpmGuard guard = { .nonce.size = sizeof guard.nonce.buffer };

    if (tpm->guard.handle != 0)
        return TSS2_RC_SUCCESS;
    TSS2_RC rc = make_nonce(&ours);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Sys_StartAuthSession(sys, TPM2_RH_NULL, TPM2_RH_NULL, NULL, &ours, &no_salt, TPM2_SE_HMAC, &none,
                                       TPM2_ALG_SHA256, &guard.handle, &guard.nonce, NULL);
    if (rc == TSS2_RC_SUCCESS)
        tpm->guard = guard;
    return rc;
}

/* H(parts one after the other), for cpHash and rpHash (Part 1 §16). */
static TSS2_RC hash_parts(const BytesView *parts, size_t count, uint8_t ret[static DIGEST_SIZE]) {
    gnutls_hash_hd_t hash;
    int code = gnutls_hash_init(&hash, GNUTLS_DIG_SHA256);

    if (code < 0)
        return TSS2_ESYS_RC_MEMORY;
    for (size_t i = 0; i < count && code >= 0; i++)
        code = gnutls_hash(hash, parts[i].data, parts[i].size);
    gnutls_hash_deinit(hash, ret);
    return code < 0 ? TSS2_ESYS_RC_GENERAL_FAILURE : TSS2_RC_SUCCESS;
}

/* HMAC(digest ‖ newer nonce ‖ older nonce ‖ attributes) with the empty key (Part 1 §19.6.5). */
static TSS2_RC authenticate(const uint8_t digest[static DIGEST_SIZE], const TPM2B_NONCE *newer,
                            const TPM2B_NONCE *older, TPMA_SESSION attributes, TPM2B_AUTH *ret) {
    uint8_t text[TEXT_MAX];
    size_t size = DIGEST_SIZE;

    memcpy(text, digest, DIGEST_SIZE);
    memcpy(text + size, newer->buffer, newer->size);
    size += newer->size;
    memcpy(text + size, older->buffer, older->size);
    size += older->size;
    text[size++] = attributes;
    ret->size = DIGEST_SIZE;
    return gnutls_hmac_fast(GNUTLS_MAC_SHA256, "", 0, text, size, ret->buffer) < 0 ? TSS2_ESYS_RC_GENERAL_FAILURE
                                                                                   : TSS2_RC_SUCCESS;
}

static const uint8_t command_code[4] = { 0, 0, TPM2_CC_Sign >> 8, TPM2_CC_Sign & 0xff };
static const uint8_t success[4] = { 0 };

/* The command as it was prepared, with the session's authorization for the key of this Name. */
static TSS2_RC authorize(TSS2_SYS_CONTEXT *sys, const TpmGuard *guard, const TPM2B_NAME *name,
                         const TPM2B_NONCE *ours) {
    TSS2L_SYS_AUTH_COMMAND auths = { .count = 1 };
    TPMS_AUTH_COMMAND *auth = &auths.auths[0];
    uint8_t digest[DIGEST_SIZE];
    const uint8_t *parameters;
    size_t size;

    *auth = (TPMS_AUTH_COMMAND) {
        .sessionHandle = guard->handle,
        .nonce = *ours,
        .sessionAttributes = TPMA_SESSION_CONTINUESESSION,
    };
    TSS2_RC rc = Tss2_Sys_GetCpBuffer(sys, &size, &parameters);
    if (rc == TSS2_RC_SUCCESS)
        rc = hash_parts((BytesView[]) { { command_code, 4 }, { name->name, name->size }, { parameters, size } }, 3,
                        digest);
    if (rc == TSS2_RC_SUCCESS)
        rc = authenticate(digest, ours, &guard->nonce, auth->sessionAttributes, &auth->hmac);
    return rc == TSS2_RC_SUCCESS ? Tss2_Sys_SetCmdAuths(sys, &auths) : rc;
}

/* Takes the session on, and the answer only if it is whole. */
static TSS2_RC check_answer(TSS2_SYS_CONTEXT *sys, TpmGuard *guard, const TPM2B_NONCE *ours) {
    TSS2L_SYS_AUTH_RESPONSE auths = { .count = 1 };
    uint8_t digest[DIGEST_SIZE];
    const uint8_t *parameters;
    TPM2B_AUTH expected;
    size_t size;

    TSS2_RC rc = Tss2_Sys_GetRspAuths(sys, &auths);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Sys_GetRpBuffer(sys, &size, &parameters);
    if (rc == TSS2_RC_SUCCESS)
        rc = hash_parts((BytesView[]) { { success, 4 }, { command_code, 4 }, { parameters, size } }, 3, digest);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    const TPMS_AUTH_RESPONSE *auth = &auths.auths[0];
    rc = authenticate(digest, &auth->nonce, ours, auth->sessionAttributes, &expected);
    if (rc != TSS2_RC_SUCCESS)
        return rc;
    if (auth->hmac.size != expected.size || memcmp(auth->hmac.buffer, expected.buffer, expected.size) != 0)
        return TSS2_ESYS_RC_RSP_AUTH_FAILED;
    guard->nonce = auth->nonce;
    return TSS2_RC_SUCCESS;
}

/* One try: each takes a nonce of its own, since a command that was refused has used up nothing. */
static TSS2_RC sign_once(Tpm *tpm, TSS2_SYS_CONTEXT *sys, TPM2_HANDLE handle, const TpmGuardedSign *wanted,
                         TPMT_SIGNATURE *ret) {
    TPM2B_NONCE ours;

    TSS2_RC rc = make_nonce(&ours);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Sys_Sign_Prepare(sys, handle, wanted->digest, wanted->scheme, wanted->ticket);
    if (rc == TSS2_RC_SUCCESS)
        rc = authorize(sys, &tpm->guard, wanted->name, &ours);
    if (rc == TSS2_RC_SUCCESS)
        rc = Tss2_Sys_Execute(sys);
    if (rc == TSS2_RC_SUCCESS)
        rc = check_answer(sys, &tpm->guard, &ours);
    return rc == TSS2_RC_SUCCESS ? Tss2_Sys_Sign_Complete(sys, ret) : rc;
}

TSS2_RC tpm_guard_sign(Tpm *tpm, const TpmGuardedSign *wanted, bool *ret_guarded, TPMT_SIGNATURE *ret) {
    TSS2_SYS_CONTEXT *sys;
    TPM2_HANDLE handle;

    *ret_guarded = false;
    TSS2_RC rc = Esys_GetSysContext(tpm->esys, &sys);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetTpmHandle(tpm->esys, wanted->object, &handle);
    if (rc == TSS2_RC_SUCCESS)
        rc = guard_open(tpm, sys);
    if (rc != TSS2_RC_SUCCESS) {
        TpmErrorClass class = tpm_error_class(rc);
        *ret_guarded = class == TPM_ERROR_STALE || class == TPM_ERROR_TRANSPORT; /* no time for another try */
        return rc;
    }
    *ret_guarded = true;
    rc = TPM_COMMAND(tpm, sign_once(tpm, sys, handle, wanted, ret));
    /* That the session's HMAC is wrong means that the key is not the one of this Name, or the session not ours. */
    if (tpm_error_class(rc) == TPM_ERROR_AUTHORIZATION || rc == TSS2_ESYS_RC_RSP_AUTH_FAILED)
        tpm->stale = true;
    /* Where an answer was lost or altered the TPM may have gone on to its next nonce, and would refuse whatever we send
     * in this session. */
    if (rc != TSS2_RC_SUCCESS)
        tpm_guard_close(tpm);
    return rc;
}
