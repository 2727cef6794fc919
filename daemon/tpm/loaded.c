/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The few keys that are kept loaded, in order of use, and the room that one of them makes for something else. A loaded
 * key is bound to its epoch: nothing here outlives tpm_loaded_forget. */
#include "tpm/internal.h"

void tpm_loaded_forget(Tpm *tpm) {
    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++) {
        if (tpm->loaded[i].public_key)
            gnutls_pubkey_deinit(tpm->loaded[i].public_key);
        tpm->loaded[i] = (LoadedKey) { .object = ESYS_TR_NONE };
    }
}

void tpm_loaded_unload(Tpm *tpm, LoadedKey *loaded) {
    tpm_command_flush(tpm, &loaded->object);
    if (loaded->public_key)
        gnutls_pubkey_deinit(loaded->public_key);
    *loaded = (LoadedKey) { .object = ESYS_TR_NONE };
}

size_t tpm_loaded_count(const Tpm *tpm) {
    size_t count = 0;

    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++)
        if (tpm->loaded[i].object != ESYS_TR_NONE)
            count++;
    return count;
}

bool tpm_loaded_evict(Tpm *tpm) {
    LoadedKey *oldest = NULL;

    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++) {
        LoadedKey *loaded = &tpm->loaded[i];
        if (loaded->object != ESYS_TR_NONE && (!oldest || loaded->used < oldest->used))
            oldest = loaded;
    }
    if (!oldest)
        return false;
    tpm_loaded_unload(tpm, oldest);
    return true;
}

LoadedKey *tpm_loaded_find(Tpm *tpm, const TpmKey *key) {
    for (size_t i = 0; i < TPM_LOADED_KEYS_MAX; i++)
        if (tpm->loaded[i].object != ESYS_TR_NONE && tpm_name_equal(&tpm->loaded[i].name, &key->name))
            return &tpm->loaded[i];
    return NULL;
}

bool tpm_loaded_make_room(Tpm *tpm, TSS2_RC rc) {
    return tpm_error_class(rc) == TPM_ERROR_MEMORY && tpm_loaded_evict(tpm);
}
