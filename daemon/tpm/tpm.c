/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The room's front: what a Tpm is made with, and what it says of itself. */
#include "tpm/internal.h"

#include <string.h>

static int copy_authorization(const Secret *secret, TPM2B_AUTH *ret) {
    BytesView view = secret_view(secret);

    if (view.size > TPM_AUTHORIZATION_MAX)
        return -E2BIG;
    ret->size = (uint16_t) view.size;
    if (view.size > 0)
        memcpy(ret->buffer, view.data, view.size);
    return 0;
}

int tpm_new(const TpmOptions *options, Tpm **ret) {
    _cleanup_tpm_ Tpm *tpm = calloc(1, sizeof *tpm);
    int r;

    if (!tpm)
        return -ENOMEM;
    tpm_loaded_forget(tpm);
    tpm->parent.object = ESYS_TR_NONE;
    tpm->state = TPM_STATE_UNAVAILABLE;
    tpm->parent_handle = options->parent_handle ? options->parent_handle : TPM_PARENT_HANDLE_DEFAULT;
    tpm->loaded_keys_wanted = options->loaded_keys_max;
    if (options->tcti && options->tcti[0] != '\0') {
        if (strlen(options->tcti) > TPM_TCTI_MAX)
            return -E2BIG;
        tpm->tcti = strdup(options->tcti);
        if (!tpm->tcti)
            return -ENOMEM;
    }
    r = copy_authorization(options->owner_authorization, &tpm->owner_authorization);
    if (r < 0)
        return r;
    r = copy_authorization(options->endorsement_authorization, &tpm->endorsement_authorization);
    if (r >= 0 && options->known_parent_name.size > 0)
        r = tpm_name_from_bytes(options->known_parent_name, &tpm->parent_recorded);
    if (r >= 0 && options->known_endorsement.size > 0)
        r = bytes_copy(options->known_endorsement, &tpm->endorsement_spki);
    if (r < 0)
        return r;
    tpm->endorsement_parent = tpm->parent_recorded;
    *ret = TAKE_PTR(tpm);
    return 0;
}

Tpm *tpm_free(Tpm *tpm) {
    if (!tpm)
        return NULL;
    tpm_epoch_end(tpm);
    explicit_bzero(&tpm->owner_authorization, sizeof tpm->owner_authorization);
    explicit_bzero(&tpm->endorsement_authorization, sizeof tpm->endorsement_authorization);
    bytes_clear(&tpm->endorsement_spki);
    free(tpm->tcti);
    free(tpm);
    return NULL;
}

/* ---- probing ---- */

typedef struct Probe {
    bool was_open;
} Probe;

/* Lockout ends by time or by an admin: the TPM says so. */
static int check_lockout(Tpm *tpm, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = tpm_command_capability(tpm, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_PERMANENT, 1, &data);

    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "reading its lockout state", ret_failure);
    if (data->capability == TPM2_CAP_TPM_PROPERTIES && data->data.tpmProperties.count >= 1 &&
        data->data.tpmProperties.tpmProperty[0].property == TPM2_PT_PERMANENT &&
        (data->data.tpmProperties.tpmProperty[0].value & TPMA_PERMANENT_INLOCKOUT))
        return tpm_command_fail(tpm, TPM2_RC_LOCKOUT, "using a key", ret_failure);
    tpm->state = TPM_STATE_READY;
    return 0;
}

static int probe_step(Tpm *tpm, void *data, Failure *ret_failure) {
    const Probe *probe = data;
    int r;

    if (probe->was_open && tpm->last_answer != 0) {
        r = tpm_parent_check(tpm, ret_failure);
        if (r < 0)
            return r;
    }
    if (tpm->state == TPM_STATE_LOCKOUT) {
        r = check_lockout(tpm, ret_failure);
        if (r < 0)
            return r;
    }
    return tpm_endorsement_read(tpm, ret_failure);
}

static void fill_information(const Tpm *tpm, const char *salt, TpmInformation *ret) {
    memset(ret, 0, sizeof *ret);
    ret->state = tpm->state;
    ret->epoch = tpm->epoch;
    strcpy(ret->vendor, tpm->vendor);
    strcpy(ret->firmware, tpm->firmware);
    if (!tpm->esys)
        return;
    ret->resource_manager = tpm->resource_manager;
    ret->parent_is_persistent = tpm_parent_is_persistent(&tpm->parent);
    strcpy(ret->parent_note, tpm->parent_note);
    if (tpm->parent.object != ESYS_TR_NONE) {
        ret->parent_name_size = tpm->parent.name.size;
        memcpy(ret->parent_name, tpm->parent.name.name, tpm->parent.name.size);
    }
    if (tpm->endorsement_spki.size > 0 && tpm->endorsement_spki.size <= sizeof ret->endorsement) {
        ret->endorsement_size = tpm->endorsement_spki.size;
        memcpy(ret->endorsement, tpm->endorsement_spki.data, tpm->endorsement_spki.size);
    }
    strcpy(ret->device_id_problem, tpm->device_id_problem);
    if (tpm_endorsement_device_id(tpm, salt, ret->device_id) < 0 && ret->device_id_problem[0] == '\0')
        strcpy(ret->device_id_problem, "the hash function is not available");
}

int tpm_probe(Tpm *tpm, const char *device_id_salt, TpmInformation *ret, Failure *ret_failure) {
    Probe probe = { .was_open = tpm->esys != NULL };
    int r = tpm_epoch_request(tpm, probe_step, &probe, ret_failure);

    if (r < 0 && tpm->state == TPM_STATE_READY)
        tpm->state = TPM_STATE_UNAVAILABLE;
    fill_information(tpm, device_id_salt, ret);
    return r;
}
