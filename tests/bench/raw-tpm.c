/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One TPM2_Sign and nothing around it. */
#include "bench/raw-tpm.h"

#include <string.h>
#include <tss2/tss2_tctildr.h>

#define PARENT 0x81000001U

static int of_rc(TSS2_RC rc) {
    return rc == TSS2_RC_SUCCESS ? 0 : -EIO;
}

int raw_tpm_load(RawTpm *raw, ESYS_TR *ret) {
    return of_rc(Esys_Load(raw->esys, raw->parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, raw->private,
                           raw->public, ret));
}

int raw_tpm_sign_hash(const RawTpm *raw, ESYS_TR key, const void *hash, size_t size, TPMT_SIGNATURE **ret) {
    const TPMT_SIG_SCHEME scheme = { .scheme = TPM2_ALG_ECDSA, .details.ecdsa.hashAlg = TPM2_ALG_SHA256 };
    const TPMT_TK_HASHCHECK ticket = { .tag = TPM2_ST_HASHCHECK, .hierarchy = TPM2_RH_NULL };
    TPM2B_DIGEST digest = { .size = 32 };

    if (size != digest.size)
        return -EINVAL;
    memcpy(digest.buffer, hash, size);
    return of_rc(
        Esys_Sign(raw->esys, key, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &digest, &scheme, &ticket, ret));
}

int raw_tpm_sign(RawTpm *raw, ESYS_TR key) {
    const uint8_t zeros[32] = { 0 };
    TPMT_SIGNATURE *signature = NULL;
    int r = raw_tpm_sign_hash(raw, key, zeros, sizeof zeros, &signature);

    Esys_Free(signature);
    return r;
}

RawTpm *raw_tpm_free(RawTpm *raw) {
    TSS2_TCTI_CONTEXT *tcti = NULL;

    if (!raw)
        return NULL;
    if (raw->key != ESYS_TR_NONE)
        (void) Esys_FlushContext(raw->esys, raw->key);
    Esys_Free(raw->public);
    Esys_Free(raw->private);
    if (raw->esys && Esys_GetTcti(raw->esys, &tcti) == TSS2_RC_SUCCESS) {
        Esys_Finalize(&raw->esys);
        Tss2_TctiLdr_Finalize(&tcti);
    }
    free(raw);
    return NULL;
}

int raw_tpm_open(const char *tcti_text, RawTpm **ret) {
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    const TPM2B_PUBLIC template = {
        .publicArea = {
            .type = TPM2_ALG_ECC,
            .nameAlg = TPM2_ALG_SHA256,
            .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                                TPMA_OBJECT_USERWITHAUTH | TPMA_OBJECT_NODA | TPMA_OBJECT_SIGN_ENCRYPT,
            .parameters.eccDetail = { .symmetric.algorithm = TPM2_ALG_NULL,
                                      .scheme.scheme = TPM2_ALG_NULL,
                                      .curveID = TPM2_ECC_NIST_P256,
                                      .kdf.scheme = TPM2_ALG_NULL },
        },
    };
    TSS2_TCTI_CONTEXT *tcti = NULL;
    _cleanup_(raw_tpm_free_p) RawTpm *raw = calloc(1, sizeof *raw);

    if (!raw)
        return -ENOMEM;
    raw->parent = raw->key = ESYS_TR_NONE;
    TSS2_RC rc = Tss2_TctiLdr_Initialize(tcti_text, &tcti);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Initialize(&raw->esys, tcti, NULL);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_FromTPMPublic(raw->esys, PARENT, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &raw->parent);
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_Create(raw->esys, raw->parent, ESYS_TR_PASSWORD, ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &template,
                         &outside, &pcrs, &raw->private, &raw->public, NULL, NULL, NULL);
    int r = rc == TSS2_RC_SUCCESS ? raw_tpm_load(raw, &raw->key) : -EIO;
    if (r >= 0)
        *ret = TAKE_PTR(raw);
    return r;
}
