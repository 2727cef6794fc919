/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parent of all our keys: the storage root key that is already persistent, else one that we make and persist, else,
 * where the TPM's NV is full, one made anew in every epoch. Its Name is what says that this is still the same TPM. */
#include "tpm/internal.h"

#include <stdio.h>
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

/* Reads the public area of `object` and computes its Name. What ESYS holds, and salts sessions to, must be the same:
 * somebody between us and the TPM could answer twice differently. */
static int read_parent(Tpm *tpm, ESYS_TR object, TpmParent *ret, Failure *ret_failure) {
    _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
    _cleanup_esys_ TPM2B_NAME *name = NULL, *esys_name = NULL;
    TSS2_RC rc;

    rc = TPM_COMMAND(
        tpm, Esys_ReadPublic(tpm->esys, object, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, &name, NULL));
    if (rc == TSS2_RC_SUCCESS)
        rc = Esys_TR_GetName(tpm->esys, object, &esys_name);
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "reading the parent key", ret_failure);
    ret->public = *public;
    if (tpm_name_of(public, &ret->name) < 0 || !tpm_name_equal(&ret->name, name) ||
        !tpm_name_equal(&ret->name, esys_name))
        return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                           "TPM: the Name of its parent key does not fit the key: it uses an unsupported hash "
                           "algorithm, or something alters the TPM's answers");
    ret->object = object;
    return 0;
}

/* 1: found; 0: nothing is there. */
static int find_persistent(Tpm *tpm, TpmParent *ret, Failure *ret_failure) {
    TpmParent parent = { .persistent = true };
    ESYS_TR object = ESYS_TR_NONE;
    const char *fault;
    TSS2_RC rc;
    int r;

    rc = TPM_COMMAND_WITH_ROOM(
        tpm, Esys_TR_FromTPMPublic(tpm->esys, tpm->parent_handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &object));
    if (tpm_error_is_no_such_handle(rc))
        return 0;
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "looking for the parent key", ret_failure);
    r = read_parent(tpm, object, &parent, ret_failure);
    if (r < 0)
        return r;
    fault = fault_of(&parent.public.publicArea);
    if (fault)
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_TPM_UNAVAILABLE,
                           "TPM: the key at 0x%08x cannot be the parent of identity keys: %s; remove it "
                           "(tpm2_evictcontrol -c 0x%08x) or choose another place with ParentHandle= in identityd.conf",
                           tpm->parent_handle, fault, tpm->parent_handle);
    *ret = parent;
    return 1;
}

static int create_primary(Tpm *tpm, TpmParent *ret, Failure *ret_failure) {
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    TpmParent parent = { .persistent = false };
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    rc = Esys_TR_SetAuth(tpm->esys, ESYS_TR_RH_OWNER, &tpm->owner_authorization);
    if (rc == TSS2_RC_SUCCESS)
        rc = TPM_COMMAND_WITH_ROOM(tpm, Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_OWNER, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                                           ESYS_TR_NONE, &sensitive, &parent_template, &outside, &pcrs,
                                                           &object, NULL, NULL, NULL, NULL));
    if (rc != TSS2_RC_SUCCESS) {
        char what[128];
        (void) snprintf(what, sizeof what, "nothing is at 0x%08x, and making the parent key in the owner hierarchy",
                        tpm->parent_handle);
        return tpm_command_fail(tpm, rc, what, ret_failure);
    }
    r = read_parent(tpm, object, &parent, ret_failure);
    if (r < 0) {
        tpm_command_flush(tpm, &object);
        return r;
    }
    *ret = parent;
    return 0;
}

/* Makes `parent`, which stays loaded until then, persistent; where that is not possible it stays transient. */
static int persist(Tpm *tpm, TpmParent *parent, Failure *ret_failure) {
    TpmParent found;
    ESYS_TR persistent = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    rc = TPM_COMMAND(tpm, Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, parent->object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                            ESYS_TR_NONE, tpm->parent_handle, &persistent));
    switch (tpm_error_class(rc)) {
    case TPM_ERROR_NONE:
        tpm_command_flush(tpm, &parent->object);
        parent->object = persistent;
        parent->persistent = true;
        return 0;
    case TPM_ERROR_STALE:
    case TPM_ERROR_TRANSPORT:
    case TPM_ERROR_LOCKOUT:
        tpm_command_flush(tpm, &parent->object);
        return tpm_command_fail(tpm, rc, "making the parent key persistent", ret_failure);
    default:
        break;
    }
    /* Somebody else may have put one there meanwhile. */
    r = find_persistent(tpm, &found, ret_failure);
    if (r != 0)
        tpm_command_flush(tpm, &parent->object);
    if (r > 0)
        *parent = found;
    return r < 0 ? r : 0;
}

int tpm_parent_open(Tpm *tpm, Failure *ret_failure) {
    TpmParent parent = { .object = ESYS_TR_NONE };
    int r;

    r = find_persistent(tpm, &parent, ret_failure);
    if (r < 0)
        return r;
    if (r == 0) {
        r = create_primary(tpm, &parent, ret_failure);
        if (r < 0)
            return r;
        r = persist(tpm, &parent, ret_failure);
        if (r < 0)
            return r;
    }
    tpm->parent = parent;
    return 0;
}

int tpm_parent_check(Tpm *tpm, Failure *ret_failure) {
    TpmParent now = { .object = ESYS_TR_NONE };
    int r = read_parent(tpm, tpm->parent.object, &now, ret_failure);

    if (r >= 0 && !tpm_name_equal(&now.name, &tpm->parent.name))
        r = failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                        "TPM: the parent key is another one than a moment ago");
    if (r < 0)
        tpm->stale = true;
    return r;
}

int tpm_parent_for(Tpm *tpm, const TpmKey *key, ESYS_TR *ret, bool *ret_transient, Failure *ret_failure) {
    TpmParent primary;
    int r;

    if (tpm_name_equal(&key->parent_name, &tpm->parent.name)) {
        *ret = tpm->parent.object;
        *ret_transient = false;
        return 0;
    }
    if (key->parent_handle == TPM2_RH_OWNER && tpm->parent.persistent) {
        /* It was made while the NV was full; since then somebody put another key at our handle. */
        r = create_primary(tpm, &primary, ret_failure);
        if (r < 0)
            return r;
        if (tpm_name_equal(&key->parent_name, &primary.name)) {
            *ret = primary.object;
            *ret_transient = true;
            return 0;
        }
        tpm_command_flush(tpm, &primary.object);
    }
    return failure_set(
        ret_failure, -ESTALE, FAILURE_TPM_REPLACED,
        "TPM: this key was made under another parent key: the TPM was cleared or is another one, and the "
        "key is lost with it; enrol with a new key (idctl enroll)");
}
