/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Storage keys: which can be the parent of our keys, and the one that we make. */
#include "tpm/internal.h"

#include <string.h>

#define PARENT_ATTRIBUTES                                                                                              \
    (TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN | TPMA_OBJECT_USERWITHAUTH |     \
     TPMA_OBJECT_NODA | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT)

/* The TCG's ECC P-256 storage root key with an empty `unique`, as tpm2-openssl and others make it too: a key file whose
 * parent is the owner hierarchy means this one. */
static const TPM2B_PUBLIC parent_template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = PARENT_ATTRIBUTES,
        .parameters.eccDetail = {
            .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
            .scheme.scheme = TPM2_ALG_NULL,
            .curveID = TPM2_ECC_NIST_P256,
            .kdf.scheme = TPM2_ALG_NULL,
        },
    },
};

/* What is wrong with a key as a parent, NULL if nothing. */
static const char *fault_of(const TPMT_PUBLIC *public) {
    static const struct {
        TPMA_OBJECT attribute;
        const char *fault;
    } wanted[] = {
        { TPMA_OBJECT_RESTRICTED, "it is not restricted" },
        { TPMA_OBJECT_DECRYPT, "it is not for decryption" },
        { TPMA_OBJECT_FIXEDTPM, "it is not fixed to this TPM (fixedTPM)" },
        { TPMA_OBJECT_FIXEDPARENT, "it is not fixed to its parent (fixedParent)" },
        { TPMA_OBJECT_SENSITIVEDATAORIGIN, "it was not created inside the TPM (sensitiveDataOrigin)" },
        { TPMA_OBJECT_USERWITHAUTH, "its use needs a policy (no userWithAuth)" },
        { TPMA_OBJECT_NODA, "it is subject to dictionary-attack lockout (no noDA), which unclean power cuts trigger" },
    };
    bool symmetric;

    if (public->type != TPM2_ALG_ECC && public->type != TPM2_ALG_RSA)
        return "it is neither an ECC nor an RSA key";
    if (public->objectAttributes & TPMA_OBJECT_SIGN_ENCRYPT)
        return "it is a signing key";
    for (size_t i = 0; i < ARRAY_LENGTH(wanted); i++)
        if (!(public->objectAttributes & wanted[i].attribute))
            return wanted[i].fault;
    symmetric = (public->type == TPM2_ALG_ECC ? public->parameters.eccDetail.symmetric.algorithm
                                              : public->parameters.rsaDetail.symmetric.algorithm) != TPM2_ALG_NULL;
    return symmetric ? NULL : "it is not a storage key";
}

bool tpm_storage_key_is_ours(const TPM2B_PUBLIC *public) {
    TPMT_PUBLIC bare = public->publicArea;
    const TPMT_PUBLIC *ours = &parent_template.publicArea;

    return bare.type == ours->type && bare.nameAlg == ours->nameAlg &&
           bare.objectAttributes == ours->objectAttributes && bare.authPolicy.size == 0 &&
           bare.parameters.eccDetail.curveID == ours->parameters.eccDetail.curveID &&
           bare.parameters.eccDetail.symmetric.algorithm == ours->parameters.eccDetail.symmetric.algorithm &&
           bare.parameters.eccDetail.symmetric.keyBits.aes == ours->parameters.eccDetail.symmetric.keyBits.aes &&
           bare.parameters.eccDetail.symmetric.mode.aes == ours->parameters.eccDetail.symmetric.mode.aes;
}

/* Reads the public area of `object` and computes its Name. What ESYS holds, and salts sessions to, must be the same:
 * somebody between us and the TPM could answer twice differently. */
int tpm_storage_key_read(Tpm *tpm, ESYS_TR object, TpmParent *ret, Failure *ret_failure) {
    _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
    _cleanup_esys_ TPM2B_NAME *name = NULL, *esys_name = NULL;
    TSS2_RC rc;

    rc = TPM_COMMAND(
        tpm, Esys_ReadPublic(tpm->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, &name, NULL));
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetName(tpm->esys, object, &esys_name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "reading a storage key", ret_failure);
    ret->public = *public;
    if (tpm_name_of(public, &ret->name) < 0 || !tpm_name_equal(&ret->name, name) ||
        !tpm_name_equal(&ret->name, esys_name))
        return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                           "TPM: the Name of a storage key does not fit the key: it uses an unsupported hash "
                           "algorithm, or something alters the TPM's answers");
    ret->object = object;
    return 0;
}

/* Asks the TPM to load nothing under the key, with an empty password: what it complains of, if the password is right,
 * is the nothing. A key with noDA does not count the attempts. */
static int has_authorization(Tpm *tpm, const TpmParent *parent, bool *ret, Failure *ret_failure) {
    const TPM2B_PRIVATE nothing = { .size = 0 };
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_Load(tpm->esys, parent->object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                      ESYS_TR_NONE, &nothing, &parent_template, &object));

    switch (tpm_error_class(rc)) {
    case TPM_ERROR_NONE:
        tpm_command_flush(tpm, &object);
        *ret = false;
        return 0;
    case TPM_ERROR_REFUSED:
    case TPM_ERROR_OTHER:
        *ret = false;
        return 0;
    case TPM_ERROR_AUTHORIZATION:
        *ret = true;
        return 0;
    default:
        return tpm_command_fail(tpm, rc, "trying the parent key", ret_failure);
    }
}

int tpm_storage_key_find(Tpm *tpm, TPM2_HANDLE handle, TpmParent *ret, const char **ret_fault, Failure *ret_failure) {
    TpmParent parent = { .handle = handle };
    ESYS_TR object = ESYS_TR_NONE;
    const char *fault;
    bool authorization = false;
    TSS2_RC rc;
    int r;

    rc = TPM_COMMAND_WITH_ROOM(
        tpm, Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object));
    if (tpm_error_is_no_such_handle(rc))
        return 0;
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "looking for the parent key", ret_failure);
    r = tpm_storage_key_read(tpm, object, &parent, ret_failure);
    if (r < 0)
        return r;
    fault = fault_of(&parent.public.publicArea);
    if (!fault) {
        r = has_authorization(tpm, &parent, &authorization, ret_failure);
        if (r < 0)
            return r;
    }
    *ret_fault = authorization ? "its use needs an authorization value" : fault;
    *ret = parent;
    return 1;
}

int tpm_storage_key_create(Tpm *tpm, TpmParent *ret, Failure *ret_failure) {
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    TpmParent parent = { .handle = TPM2_RH_OWNER };
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    rc = Esys_TR_SetAuth(tpm->esys, ESYS_TR_RH_OWNER, &tpm->owner_authorization);
    if (rc == TSS2_RC_SUCCESS)
        rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                           ESYS_TR_NONE, &sensitive, &parent_template, &outside, &pcrs,
                                                           &object, NULL, NULL, NULL, NULL));
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "making the parent key in the owner hierarchy", ret_failure);
    r = tpm_storage_key_read(tpm, object, &parent, ret_failure);
    if (r < 0) {
        tpm_command_flush(tpm, &object);
        return r;
    }
    *ret = parent;
    return 0;
}
