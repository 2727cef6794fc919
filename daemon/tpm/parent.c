/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parent of all our keys: the storage root key that others use too, where it can be that; else one of our own,
 * which we make and persist at the next free handle; else, where the TPM's NV is full, that one made anew in every
 * epoch. Its Name is what says that this is still the same TPM. What belongs to others is left as it is. */
#include "tpm/internal.h"

#include <stdio.h>

#define PLACES_MAX 16U         /* handles that are looked at, from the configured one on */
#define OWNER_LAST 0x817fffffU /* of the owner's persistent handles (TCG Registry of Reserved Handles, §2.3) */

typedef struct Search {
    TpmParent chosen;  /* object ESYS_TR_NONE: none yet */
    const char *fault; /* of the key at the configured handle; NULL: none, or there is no key */
    TPM2_HANDLE free;  /* 0: no place is */
} Search;

static void forget(Tpm *tpm, TpmParent *parent) {
    if (parent->object != ESYS_TR_NONE)
        (void) Esys_TR_Close(tpm->esys, &parent->object);
}

static bool is_recorded(const Tpm *tpm, const TpmParent *parent) {
    return parent->object != ESYS_TR_NONE &&
           (tpm->parent_recorded.size == 0 || tpm_name_equal(&tpm->parent_recorded, &parent->name));
}

static int search_first(Tpm *tpm, Search *search, Failure *ret_failure) {
    TpmParent found = { .object = ESYS_TR_NONE };
    int r = tpm_storage_key_find(tpm, tpm->parent_handle, &found, &search->fault, ret_failure);

    if (r == 0)
        search->free = tpm->parent_handle;
    if (r > 0 && search->fault)
        forget(tpm, &found);
    else if (r > 0)
        search->chosen = found;
    return r;
}

/* The key that is recorded replaces whatever was chosen; one that is as ours, only nothing. */
static int consider(Tpm *tpm, TPM2_HANDLE handle, Search *search, Failure *ret_failure) {
    TpmParent found = { .object = ESYS_TR_NONE };
    const char *fault = NULL;
    int r = tpm_storage_key_find(tpm, handle, &found, &fault, ret_failure);

    if (r <= 0)
        return r;
    bool recorded = tpm->parent_recorded.size > 0 && is_recorded(tpm, &found);
    bool wanted = recorded || (search->chosen.object == ESYS_TR_NONE && tpm_storage_key_is_ours(&found.public));
    if (fault || !wanted) {
        forget(tpm, &found);
        return 0;
    }
    forget(tpm, &search->chosen);
    search->chosen = found;
    return 0;
}

/* What is at the handles after the configured one, and which of them is free. */
static int search_further(Tpm *tpm, Search *search, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    TPM2_HANDLE next = tpm->parent_handle + 1, last = tpm->parent_handle + PLACES_MAX - 1;
    TSS2_RC rc = tpm_command_capability(tpm, TPM2_CAP_HANDLES, next, PLACES_MAX, &data);

    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "listing its persistent keys", ret_failure);
    if (last > OWNER_LAST)
        last = OWNER_LAST;
    for (uint32_t i = 0; data->capability == TPM2_CAP_HANDLES && i < data->data.handles.count && i < PLACES_MAX; i++) {
        TPM2_HANDLE handle = data->data.handles.handle[i];

        if (handle > last)
            break;
        if (handle == next)
            next++;
        int r = consider(tpm, handle, search, ret_failure);
        if (r < 0 || (tpm->parent_recorded.size > 0 && is_recorded(tpm, &search->chosen)))
            return r;
    }
    if (search->free == 0 && next <= last)
        search->free = next;
    return 0;
}

/* Makes the chosen key, which stays loaded until then, persistent; where that is not possible it stays transient. */
static int persist(Tpm *tpm, Search *search, Failure *ret_failure) {
    TpmParent *parent = &search->chosen, found = { .object = ESYS_TR_NONE };
    const char *fault = NULL;
    ESYS_TR persistent = ESYS_TR_NONE;
    TSS2_RC rc;
    int r;

    rc = TPM_COMMAND(tpm, Esys_EvictControl(tpm->esys, ESYS_TR_RH_OWNER, parent->object, ESYS_TR_PASSWORD, ESYS_TR_NONE,
                                            ESYS_TR_NONE, search->free, &persistent));
    switch (tpm_error_class(rc)) {
    case TPM_ERROR_NONE:
        tpm_command_flush(tpm, &parent->object);
        parent->object = persistent;
        parent->handle = search->free;
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
    r = tpm_storage_key_find(tpm, search->free, &found, &fault, ret_failure);
    if (r > 0 && fault) {
        forget(tpm, &found);
        r = 0;
    }
    if (r != 0)
        tpm_command_flush(tpm, &parent->object);
    if (r > 0)
        *parent = found;
    return r < 0 ? r : 0;
}

static int make(Tpm *tpm, Search *search, Failure *ret_failure) {
    int r = tpm_storage_key_create(tpm, &search->chosen, ret_failure);

    if (r < 0 && search->fault)
        return failure_prefix(ret_failure, r,
                              "the key at 0x%08x cannot be the parent of identity keys (%s), and there is no other",
                              tpm->parent_handle, search->fault);
    if (r < 0)
        return failure_prefix(ret_failure, r, "nothing is at 0x%08x", tpm->parent_handle);
    return search->free == 0 ? 0 : persist(tpm, search, ret_failure);
}

static void note(Tpm *tpm, const Search *search) {
    const TpmParent *parent = &search->chosen;
    char place[64] = "made anew each time, since there is no room for it";

    tpm->parent_note[0] = '\0';
    if (!search->fault)
        return;
    if (tpm_parent_is_persistent(parent))
        (void) snprintf(place, sizeof place, "at 0x%08x", parent->handle);
    (void) snprintf(tpm->parent_note, sizeof tpm->parent_note,
                    "the key at 0x%08x cannot be the parent of identity keys: %s; they have one of their own, %s",
                    tpm->parent_handle, search->fault, place);
}

int tpm_parent_open(Tpm *tpm, Failure *ret_failure) {
    Search search = { .chosen.object = ESYS_TR_NONE };
    int r = search_first(tpm, &search, ret_failure);

    if (r >= 0 && !is_recorded(tpm, &search.chosen))
        r = search_further(tpm, &search, ret_failure);
    if (r >= 0 && search.chosen.object == ESYS_TR_NONE)
        r = make(tpm, &search, ret_failure);
    if (r < 0)
        return r;
    note(tpm, &search);
    tpm->parent = search.chosen;
    tpm->parent_recorded = search.chosen.name;
    return 0;
}

int tpm_parent_check(Tpm *tpm, Failure *ret_failure) {
    TpmParent now = { .object = ESYS_TR_NONE };
    int r = tpm_storage_key_read(tpm, tpm->parent.object, &now, ret_failure);

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
    if (key->parent_handle == TPM2_RH_OWNER && tpm_parent_is_persistent(&tpm->parent)) {
        /* It was made while the NV was full; since then somebody put another key at our handle. */
        r = tpm_storage_key_create(tpm, &primary, ret_failure);
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
