/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The device ID (docs/design.md §4): which public key of the TPM stands for the device, and its hash. An EK certificate
 * in NV comes first, since a fleet can compute the ID from the maker's certificates; else the EK of TCG template L-2.
 */
#include "tpm/internal.h"

#include "tpm/certificate-spki.h"

#include <gnutls/crypto.h>
#include <stdio.h>
#include <string.h>

/* In the order of preference (docs/facts.md, "TPM"). */
static const TPM2_HANDLE certificate_indices[] = { 0x01C0000AU, 0x01C00002U, 0x01C00014U, 0x01C00012U, 0x01C00016U };

#define CERTIFICATE_MAX    4096U /* bytes of one NV index */
#define CERTIFICATES_FIRST 0x01C00000U
#define CERTIFICATES_COUNT 64U

/* TCG EK Credential Profile 2.3, §B.3.4 template L-2 (ECC P-256, storage), and its PolicyA. */
static const TPM2B_PUBLIC endorsement_template = {
    .publicArea = {
        .type = TPM2_ALG_ECC,
        .nameAlg = TPM2_ALG_SHA256,
        .objectAttributes = TPMA_OBJECT_FIXEDTPM | TPMA_OBJECT_FIXEDPARENT | TPMA_OBJECT_SENSITIVEDATAORIGIN |
                            TPMA_OBJECT_ADMINWITHPOLICY | TPMA_OBJECT_RESTRICTED | TPMA_OBJECT_DECRYPT,
        .authPolicy = {
            .size = 32,
            .buffer = { 0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xB3, 0xF8, 0x1A, 0x90, 0xCC, 0x8D, 0x46, 0xA5, 0xD7, 0x24,
                        0xFD, 0x52, 0xD7, 0x6E, 0x06, 0x52, 0x0B, 0x64, 0xF2, 0xA1, 0xDA, 0x1B, 0x33, 0x14, 0x69, 0xAA },
        },
        .parameters.eccDetail = {
            .symmetric = { .algorithm = TPM2_ALG_AES, .keyBits.aes = 128, .mode.aes = TPM2_ALG_CFB },
            .scheme.scheme = TPM2_ALG_NULL,
            .curveID = TPM2_ECC_NIST_P256,
            .kdf.scheme = TPM2_ALG_NULL,
        },
        .unique.ecc = { .x.size = 32, .y.size = 32 },
    },
};

/* Which of our indices are there: one command. */
static int list_indices(Tpm *tpm, bool ret[static ARRAY_LENGTH(certificate_indices)], Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = tpm_command_capability(tpm, TPM2_CAP_HANDLES, CERTIFICATES_FIRST, CERTIFICATES_COUNT, &data);

    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "listing its NV indices", ret_failure);
    if (data->capability != TPM2_CAP_HANDLES)
        return 0;
    for (uint32_t i = 0; i < data->data.handles.count && i < TPM2_MAX_CAP_HANDLES; i++)
        for (size_t k = 0; k < ARRAY_LENGTH(certificate_indices); k++)
            if (data->data.handles.handle[i] == certificate_indices[k])
                ret[k] = true;
    return 0;
}

static int read_index_data(Tpm *tpm, ESYS_TR index, ESYS_TR authorization, uint16_t size, Bytes *content,
                           Failure *ret_failure) {
    while (content->size < size) {
        _cleanup_esys_ TPM2B_MAX_NV_BUFFER *part = NULL;
        size_t wanted = size - content->size;
        TSS2_RC rc;

        if (wanted > tpm->nv_buffer_max)
            wanted = tpm->nv_buffer_max;
        rc = TPM_COMMAND(tpm, Esys_NV_Read(tpm->esys, authorization, index, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                           ESYS_TR_NONE, (uint16_t) wanted, (uint16_t) content->size, &part));
        if (rc != TSS2_RC_SUCCESS)
            return tpm_command_fail(tpm, rc, "reading an EK certificate", ret_failure);
        if (part->size != wanted)
            return failure_set(ret_failure, -EBADMSG, FAILURE_TPM_UNAVAILABLE,
                               "TPM: an EK certificate's NV index gives fewer bytes than it says");
        if (bytes_append(content, (BytesView) { part->buffer, part->size }) < 0)
            return failure_errno(ret_failure, -ENOMEM, "reading an EK certificate");
    }
    return 0;
}

/* 1 and the content; 0: nothing is written there, or nothing of a certificate's size. */
static int read_index(Tpm *tpm, TPM2_HANDLE handle, Bytes *content, Failure *ret_failure) {
    _cleanup_esys_ TPM2B_NV_PUBLIC *public = NULL;
    _cleanup_esys_ TPM2B_NAME *name = NULL;
    ESYS_TR index = ESYS_TR_NONE, authorization;
    TPMA_NV attributes;
    TSS2_RC rc;
    int r;

    rc = TPM_COMMAND(tpm, Esys_TR_FromTPMPublic(tpm->esys, handle, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &index));
    if (rc == TSS2_RC_SUCCESS)
        rc = TPM_COMMAND(
            tpm, Esys_NV_ReadPublic(tpm->esys, index, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, &public, &name));
    if (rc != TSS2_RC_SUCCESS) {
        r = tpm_command_fail(tpm, rc, "looking at an EK certificate's NV index", ret_failure);
        goto finish;
    }
    attributes = public->nvPublic.attributes;
    r = 0;
    if (!(attributes & TPMA_NV_WRITTEN) || public->nvPublic.dataSize == 0 ||
        public->nvPublic.dataSize > CERTIFICATE_MAX)
        goto finish;
    /* The index's own authorization is empty where the TCG's profile is kept; else the owner may read. */
    authorization = attributes & TPMA_NV_AUTHREAD ? index : ESYS_TR_RH_OWNER;
    if (authorization == ESYS_TR_RH_OWNER)
        (void) Esys_TR_SetAuth(tpm->esys, ESYS_TR_RH_OWNER, &tpm->owner_authorization);
    r = read_index_data(tpm, index, authorization, public->nvPublic.dataSize, content, ret_failure);
    if (r >= 0)
        r = 1;
finish:
    if (index != ESYS_TR_NONE)
        (void) Esys_TR_Close(tpm->esys, &index);
    return r;
}

/* 1 and the SubjectPublicKeyInfo of the first EK certificate; 0: there is none. An index that holds something else is
 * passed over; one that cannot be read is an error, lest the device change its ID for a moment. */
static int from_certificates(Tpm *tpm, Bytes *ret, Failure *ret_failure) {
    bool present[ARRAY_LENGTH(certificate_indices)] = { false };
    int r = list_indices(tpm, present, ret_failure);

    if (r < 0)
        return r;
    for (size_t i = 0; i < ARRAY_LENGTH(certificate_indices); i++) {
        _cleanup_bytes_ Bytes content = BYTES_NULL;

        if (!present[i])
            continue;
        r = read_index(tpm, certificate_indices[i], &content, ret_failure);
        if (r < 0)
            return r;
        if (r == 0)
            continue;
        r = certificate_spki(bytes_view(&content), ret);
        if (r == -ENOMEM)
            return failure_errno(ret_failure, r, "reading an EK certificate");
        if (r >= 0)
            return 1;
    }
    return 0;
}

static int from_template(Tpm *tpm, Bytes *ret, Failure *ret_failure) {
    const TPM2B_SENSITIVE_CREATE sensitive = { .size = 0 };
    const TPM2B_DATA outside = { .size = 0 };
    const TPML_PCR_SELECTION pcrs = { .count = 0 };
    _cleanup_esys_ TPM2B_PUBLIC *public = NULL;
    ESYS_TR object = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    rc = Esys_TR_SetAuth(tpm->esys, ESYS_TR_RH_ENDORSEMENT, &tpm->endorsement_authorization);
    if (rc == TSS2_RC_SUCCESS)
        rc =
            TPM_COMMAND_WITH_ROOM(tpm, Esys_CreatePrimary(tpm->esys, ESYS_TR_RH_ENDORSEMENT, ESYS_TR_PASSWORD,
                                                          ESYS_TR_NONE, ESYS_TR_NONE, &sensitive, &endorsement_template,
                                                          &outside, &pcrs, &object, &public, NULL, NULL, NULL));
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "making the endorsement key", ret_failure);
    tpm_command_flush(tpm, &object);
    r = tpm_public_spki(&public->publicArea, ret);
    if (r < 0)
        return failure_set(ret_failure, r, FAILURE_TPM_UNAVAILABLE, "TPM: the endorsement key has no valid public key");
    return 0;
}

int tpm_endorsement_read(Tpm *tpm, Failure *ret_failure) {
    _cleanup_bytes_ Bytes spki = BYTES_NULL;
    Failure failure = FAILURE_INIT;
    TpmState state = tpm->state;
    int r;

    if (tpm->endorsement_spki.size > 0 && tpm_name_equal(&tpm->endorsement_parent, &tpm->parent.name))
        return 0;
    if (tpm->endorsement_denied)
        return 0;
    bytes_clear(&tpm->endorsement_spki);
    r = from_certificates(tpm, &spki, &failure);
    if (r == 0)
        r = from_template(tpm, &spki, &failure);
    if (r < 0 && tpm->stale) {
        if (ret_failure)
            *ret_failure = failure;
        return r;
    }
    if (r < 0) {
        tpm->state = state; /* keys work without a device ID */
        tpm->endorsement_denied = r == -EACCES;
        (void) snprintf(tpm->device_id_problem, sizeof tpm->device_id_problem, "no device ID: %.*s",
                        (int) sizeof tpm->device_id_problem - 20, failure.text);
        return 0;
    }
    tpm->device_id_problem[0] = '\0';
    tpm->endorsement_spki = spki;
    spki = BYTES_NULL;
    tpm->endorsement_parent = tpm->parent.name;
    return 0;
}

int tpm_endorsement_device_id(const Tpm *tpm, const char *salt, char ret[static 65]) {
    static const char digits[] = "0123456789abcdef";
    const Bytes *spki = &tpm->endorsement_spki;
    uint8_t digest[32];
    int r;

    ret[0] = '\0';
    if (spki->size == 0)
        return 0;
    /* With a salt: HMAC-SHA-256 keyed with it, so that two owners' IDs of one device cannot be joined. */
    r = salt && salt[0] != '\0'
            ? gnutls_hmac_fast(GNUTLS_MAC_SHA256, salt, strlen(salt), spki->data, spki->size, digest)
            : gnutls_hash_fast(GNUTLS_DIG_SHA256, spki->data, spki->size, digest);
    if (r < 0)
        return -EIO;
    for (size_t i = 0; i < sizeof digest; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 0xfU];
    }
    ret[64] = '\0';
    return 0;
}
