/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the chip says of itself: who made it, and how much it has room for. */
#include "tpm/internal.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

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
int tpm_properties_read(Tpm *tpm, Failure *ret_failure) {
    _cleanup_esys_ TPMS_CAPABILITY_DATA *data = NULL;
    Properties properties = { .transient_min = 3, .nv_buffer_max = 512 };
    TSS2_RC rc;

    rc = tpm_command_capability(tpm, TPM2_CAP_TPM_PROPERTIES, PROPERTIES_FIRST, PROPERTIES_COUNT, &data);
    if (tpm_error_is_not_started(rc)) {
        rc = TPM_COMMAND(tpm, Esys_Startup(tpm->esys, TPM2_SU_CLEAR));
        if (rc == TSS2_RC_SUCCESS || tpm_error_is_not_started(rc)) /* somebody else was quicker */
            rc = tpm_command_capability(tpm, TPM2_CAP_TPM_PROPERTIES, PROPERTIES_FIRST, PROPERTIES_COUNT, &data);
    }
    if (rc != TSS2_RC_SUCCESS)
        return tpm_command_fail(tpm, rc, "reading its properties", ret_failure);
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
