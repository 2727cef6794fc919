/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The context: opening, closing and recovery. Guarantees that nothing which was loaded before a reset of the TPM or a
 * fault of its transport is used afterwards: an epoch ends by finalizing ESYS and TCTI, which forgets every handle
 * without a command, and the next one begins by opening both and finding the parent anew. */
#include "tpm/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define WAIT_FIRST_US 1000U
#define TRIES_BUSY    12U /* 1 + 2 + 4 + … + 2048 ms: a self-test of a slow chip takes about a second */
#define TRIES_MEMORY  6U  /* 63 ms: another user of the resource manager may be about to flush */

/* ---- options ---- */

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
    tpm_forget_loaded(tpm);
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
    if (r >= 0 && options->known_endorsement.size > 0)
        r = tpm_name_from_bytes(options->known_parent_name, &tpm->endorsement_parent);
    if (r >= 0 && options->known_endorsement.size > 0)
        r = bytes_copy(options->known_endorsement, &tpm->endorsement_spki);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(tpm);
    return 0;
}

/* ---- one epoch ---- */

static void drop_epoch(Tpm *tpm) {
    tpm_forget_loaded(tpm);
    tpm_guard_forget(tpm);
    tpm->parent.object = ESYS_TR_NONE;
    if (tpm->esys)
        tpm->epoch++;
    Esys_Finalize(&tpm->esys);
    Tss2_TctiLdr_Finalize(&tpm->tcti_context);
    tpm->stale = false;
    tpm->endorsement_denied = false;
    tpm->last_answer = 0;
}

/* A daemon that ends well leaves nothing behind on a TPM without a resource manager. */
static void flush_everything(Tpm *tpm) {
    if (!tpm->esys)
        return;
    while (tpm_evict_one(tpm))
        ;
    tpm_guard_close(tpm);
    if (!tpm->parent.persistent)
        tpm_flush(tpm, &tpm->parent.object);
}

Tpm *tpm_free(Tpm *tpm) {
    if (!tpm)
        return NULL;
    flush_everything(tpm);
    drop_epoch(tpm);
    explicit_bzero(&tpm->owner_authorization, sizeof tpm->owner_authorization);
    explicit_bzero(&tpm->endorsement_authorization, sizeof tpm->endorsement_authorization);
    bytes_clear(&tpm->endorsement_spki);
    free(tpm->tcti);
    free(tpm);
    return NULL;
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
        rc = Esys_Initialize(&tpm->esys, tpm->tcti_context, NULL);
    if (rc == TSS2_RC_SUCCESS)
        return 0;
    (void) snprintf(what, sizeof what, "opening \"%.100s\"", tpm->tcti ? tpm->tcti : "the default TCTI");
    return tpm_fail(tpm, rc, what, ret_failure);
}

TSS2_RC tpm_get_capability(Tpm *tpm, TPM2_CAP capability, uint32_t first, uint32_t count, TPMS_CAPABILITY_DATA **ret) {
    return TPM_COMMAND(tpm, Esys_GetCapability(tpm->esys, ESYS_TR_NONE, ESYS_TR_NONE, ESYS_TR_NONE, capability, first,
                                               count, NULL, ret));
}

/* The properties that we look at lie close together (Part 2 §6.13), so one command brings them all. */
#define PROPERTIES_FIRST TPM2_PT_MANUFACTURER
#define PROPERTIES_COUNT (TPM2_PT_NV_BUFFER_MAX - TPM2_PT_MANUFACTURER + 1U)

typedef struct Properties {
    uint32_t manufacturer, vendor[4], firmware[2], transient_min, nv_buffer_max;
} Properties;

static void take_property(Properties *properties, const TPMS_TAGGED_PROPERTY *property) {
    switch (property->property) {
    case TPM2_PT_MANUFACTURER:
        properties->manufacturer = property->value;
        break;
    case TPM2_PT_VENDOR_STRING_1:
    case TPM2_PT_VENDOR_STRING_2:
    case TPM2_PT_VENDOR_STRING_3:
    case TPM2_PT_VENDOR_STRING_4:
        properties->vendor[property->property - TPM2_PT_VENDOR_STRING_1] = property->value;
        break;
    case TPM2_PT_FIRMWARE_VERSION_1:
    case TPM2_PT_FIRMWARE_VERSION_2:
        properties->firmware[property->property - TPM2_PT_FIRMWARE_VERSION_1] = property->value;
        break;
    case TPM2_PT_HR_TRANSIENT_MIN:
        properties->transient_min = property->value;
        break;
    case TPM2_PT_NV_BUFFER_MAX:
        properties->nv_buffer_max = property->value;
        break;
    default:
        break;
    }
}

/* Four characters of a property; what is not printable becomes a space, runs of spaces become one. */
static void append_word(char *text, size_t size, uint32_t word) {
    size_t length = strlen(text);

    for (int shift = 24; shift >= 0 && length + 1 < size; shift -= 8) {
        char c = (char) (word >> shift & 0xffU);
        if (!isgraph((unsigned char) c))
            c = ' ';
        if (c == ' ' && (length == 0 || text[length - 1] == ' '))
            continue;
        text[length++] = c;
        text[length] = '\0';
    }
}

static void describe(Tpm *tpm, const Properties *properties) {
    size_t length;

    tpm->vendor[0] = '\0';
    append_word(tpm->vendor, sizeof tpm->vendor, properties->manufacturer);
    append_word(tpm->vendor, sizeof tpm->vendor, 0);
    for (size_t i = 0; i < ARRAY_LENGTH(properties->vendor); i++)
        append_word(tpm->vendor, sizeof tpm->vendor, properties->vendor[i]);
    length = strlen(tpm->vendor);
    if (length > 0 && tpm->vendor[length - 1] == ' ')
        tpm->vendor[length - 1] = '\0';
    (void) snprintf(tpm->firmware, sizeof tpm->firmware, "%x.%x", properties->firmware[0], properties->firmware[1]);
}

/* The first command of an epoch. A TPM that nobody started after its reset is started: without a resource manager
 * that is our business, with one this never happens. */
static int read_properties(Tpm *tpm, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    Properties properties = { .transient_min = 3, .nv_buffer_max = 512 };
    TSS2_RC rc;

    rc = tpm_get_capability(tpm, TPM2_CAP_TPM_PROPERTIES, PROPERTIES_FIRST, PROPERTIES_COUNT, &data);
    if (tpm_error_is_not_started(rc)) {
        rc = TPM_COMMAND(tpm, Esys_Startup(tpm->esys, TPM2_SU_CLEAR));
        if (rc == TSS2_RC_SUCCESS || tpm_error_is_not_started(rc)) /* somebody else was quicker */
            rc = tpm_get_capability(tpm, TPM2_CAP_TPM_PROPERTIES, PROPERTIES_FIRST, PROPERTIES_COUNT, &data);
    }
    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(tpm, rc, "reading its properties", ret_failure);
    if (data->capability == TPM2_CAP_TPM_PROPERTIES)
        for (uint32_t i = 0; i < data->data.tpmProperties.count && i < TPM2_MAX_TPM_PROPERTIES; i++)
            take_property(&properties, &data->data.tpmProperties.tpmProperty[i]);
    describe(tpm, &properties);
    tpm->nv_buffer_max = properties.nv_buffer_max >= 64 ? properties.nv_buffer_max : 64;

    /* One place stays free: creating and loading under a persistent parent takes two for a moment, and the parent
     * itself takes one where it is transient. */
    tpm->loaded_keys_max = properties.transient_min > 2 ? properties.transient_min - 1U : 1U;
    if (tpm->loaded_keys_max > TPM_LOADED_KEYS_MAX)
        tpm->loaded_keys_max = TPM_LOADED_KEYS_MAX;
    if (tpm->loaded_keys_wanted > 0 && tpm->loaded_keys_wanted < tpm->loaded_keys_max)
        tpm->loaded_keys_max = tpm->loaded_keys_wanted;
    return 0;
}

static int open_epoch(Tpm *tpm, Failure *ret_failure) {
    int r;

    if (tpm->esys)
        return 0;
    r = connect_context(tpm, ret_failure);
    if (r >= 0)
        r = read_properties(tpm, ret_failure);
    if (r >= 0)
        r = tpm_flush_orphans(tpm, ret_failure);
    if (r >= 0)
        r = tpm_parent_open(tpm, ret_failure);
    if (r < 0) {
        bool stale = tpm->stale;

        flush_everything(tpm);
        drop_epoch(tpm);
        tpm->stale = stale;
        /* Whatever the code was, it is not the caller's argument that was wrong. */
        if (ret_failure && ret_failure->kind == FAILURE_INVALID_ARGUMENT)
            ret_failure->kind = FAILURE_TPM_UNAVAILABLE;
    }
    return r;
}

/* ---- commands ---- */

uint64_t tpm_now(void) {
    struct timespec now;

    (void) clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t) now.tv_sec * 1000000U + (uint64_t) now.tv_nsec / 1000U;
}

bool tpm_patience(Tpm *tpm, TpmPatience *patience, TSS2_RC rc) {
    TpmErrorClass class = tpm_error_class(rc);
    struct timespec wait;
    uint64_t us;

    if (class == TPM_ERROR_NONE) {
        tpm->last_answer = tpm_now();
        return false;
    }
    if (class != TPM_ERROR_BUSY && class != TPM_ERROR_MEMORY)
        return false;
    if (class == TPM_ERROR_MEMORY && patience->may_evict && tpm_evict_one(tpm))
        return true;
    if (patience->tries >= (class == TPM_ERROR_BUSY ? TRIES_BUSY : TRIES_MEMORY))
        return false;
    us = (uint64_t) WAIT_FIRST_US << patience->tries++;
    wait = (struct timespec) { .tv_sec = (time_t) (us / 1000000U), .tv_nsec = (long) (us % 1000000U) * 1000L };
    (void) nanosleep(&wait, NULL);
    return true;
}

int tpm_fail(Tpm *tpm, TSS2_RC rc, const char *what, Failure *ret_failure) {
    switch (tpm_error_class(rc)) {
    case TPM_ERROR_STALE:
    case TPM_ERROR_TRANSPORT:
        tpm->stale = true;
        tpm->state = TPM_STATE_UNAVAILABLE;
        break;
    case TPM_ERROR_LOCKOUT:
        tpm->state = TPM_STATE_LOCKOUT;
        break;
    case TPM_ERROR_OTHER:
        tpm->state = TPM_STATE_UNAVAILABLE;
        break;
    default:
        break;
    }
    return tpm_error_failure(ret_failure, rc, what);
}

void tpm_flush(Tpm *tpm, ESYS_TR *object) {
    if (*object == ESYS_TR_NONE)
        return;
    (void) TPM_COMMAND(tpm, Esys_FlushContext(tpm->esys, *object));
    *object = ESYS_TR_NONE;
}

int tpm_request(Tpm *tpm, TpmStep step, void *data, Failure *ret_failure) {
    for (unsigned int attempt = 0;; attempt++) {
        int r;

        tpm->stale = false;
        r = open_epoch(tpm, ret_failure);
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
        drop_epoch(tpm);
        if (attempt > 0)
            return r;
        /* What is mended is no failure: some look at its kind alone. */
        if (ret_failure) {
            ret_failure->kind = FAILURE_NONE;
            ret_failure->text[0] = '\0';
        }
    }
}

/* ---- probing ---- */

typedef struct Probe {
    bool was_open;
} Probe;

/* Lockout ends by time or by an admin: the TPM says so. */
static int check_lockout(Tpm *tpm, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    TSS2_RC rc = tpm_get_capability(tpm, TPM2_CAP_TPM_PROPERTIES, TPM2_PT_PERMANENT, 1, &data);

    if (rc != TSS2_RC_SUCCESS)
        return tpm_fail(tpm, rc, "reading its lockout state", ret_failure);
    if (data->capability == TPM2_CAP_TPM_PROPERTIES && data->data.tpmProperties.count >= 1 &&
        data->data.tpmProperties.tpmProperty[0].property == TPM2_PT_PERMANENT &&
        (data->data.tpmProperties.tpmProperty[0].value & TPMA_PERMANENT_INLOCKOUT))
        return tpm_fail(tpm, TPM2_RC_LOCKOUT, "using a key", ret_failure);
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
    ret->parent_is_persistent = tpm->parent.persistent;
    if (tpm->parent.object != ESYS_TR_NONE) {
        ret->parent_name_size = tpm->parent.name.size;
        memcpy(ret->parent_name, tpm->parent.name.name, tpm->parent.name.size);
    }
    if (tpm->endorsement_spki.size > 0 && tpm->endorsement_spki.size <= sizeof ret->endorsement) {
        ret->endorsement_size = tpm->endorsement_spki.size;
        memcpy(ret->endorsement, tpm->endorsement_spki.data, tpm->endorsement_spki.size);
    }
    strcpy(ret->device_id_problem, tpm->device_id_problem);
    if (tpm_device_id(tpm, salt, ret->device_id) < 0 && ret->device_id_problem[0] == '\0')
        strcpy(ret->device_id_problem, "the hash function is not available");
}

int tpm_probe(Tpm *tpm, const char *device_id_salt, TpmInformation *ret, Failure *ret_failure) {
    Probe probe = { .was_open = tpm->esys != NULL };
    int r = tpm_request(tpm, probe_step, &probe, ret_failure);

    if (r < 0 && tpm->state == TPM_STATE_READY)
        tpm->state = TPM_STATE_UNAVAILABLE;
    fill_information(tpm, device_id_salt, ret);
    return r;
}
