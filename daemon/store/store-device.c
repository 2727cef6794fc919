/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is known of the TPM beside any identity: the public key that the device ID is the hash of, and the parent's Name
 * that says in which TPM it was found. A slow chip is asked for it once, and not at each start. */
#include "store/key-values.h"

#include <string.h>

#define DEVICE_FILE ".device" /* in the state directory itself; no identity has such a name */
#define FORMAT      2U        /* 1 had no checksum: the TPM is asked once more */

void stored_device_clear(StoredDevice *device) {
    bytes_clear(&device->parent_name);
    bytes_clear(&device->endorsement);
}

#define FIELDS(device, format)                                                                                         \
    {                                                                                                                  \
        { "format", VALUE_U32, (format), 0 }, { "parent-name", VALUE_HEX, &(device)->parent_name, PARENT_NAME_MAX },   \
            { "endorsement", VALUE_HEX, &(device)->endorsement, STORE_ENDORSEMENT_MAX },                               \
    }

int store_device_load(int state_fd, StoredDevice *ret, Failure *ret_failure) {
    _cleanup_(stored_device_clear) StoredDevice device = { 0 };
    _cleanup_free_ char *path = path_of_directory(state_fd, NULL);
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    uint32_t format = 0;
    const KeyValue fields[] = FIELDS(&device, &format);
    Place place = { state_fd, path };
    BytesView lines = { NULL, 0 };

    if (!path)
        return failure_errno(ret_failure, -ENOMEM, DEVICE_FILE);
    int r = place_read(place, DEVICE_FILE, KEY_VALUE_FILE_MAX, &content, ret_failure);
    if (r == -ENOENT) {
        *ret = (StoredDevice) { 0 };
        return 0;
    }
    if (r >= 0 && checksum_strip(bytes_view(&content), &lines) <= 0)
        r = place_malformed(place, DEVICE_FILE, 0, "its checksum is wrong or missing", ret_failure);
    if (r >= 0)
        r = key_values_read(place, DEVICE_FILE, lines, fields, ARRAY_LENGTH(fields), ret_failure);
    if (r < 0)
        return r;
    if (format != FORMAT)
        return place_malformed(place, DEVICE_FILE, 1, "format: must be 2; a newer identityd wrote this file",
                               ret_failure);
    if (device.parent_name.size == 0 || device.endorsement.size == 0)
        return place_malformed(place, DEVICE_FILE, 0, "parent-name and endorsement must not be empty", ret_failure);
    *ret = device;
    device = (StoredDevice) { 0 };
    return 0;
}

int store_device_save(int state_fd, BytesView parent_name, BytesView endorsement, Failure *ret_failure) {
    _cleanup_free_ char *path = path_of_directory(state_fd, NULL);
    _cleanup_bytes_ Bytes content = BYTES_NULL;
    uint32_t format = FORMAT;
    /* Borrowed for writing alone: nothing here is freed or changed. */
    StoredDevice device = {
        .parent_name = { .data = (uint8_t *) (uintptr_t) parent_name.data, .size = parent_name.size },
        .endorsement = { .data = (uint8_t *) (uintptr_t) endorsement.data, .size = endorsement.size },
    };
    const KeyValue fields[] = FIELDS(&device, &format);
    Place place = { state_fd, path };

    if (!path || key_values_write(fields, ARRAY_LENGTH(fields), &content) < 0 || checksum_append(&content) < 0)
        return failure_errno(ret_failure, -ENOMEM, DEVICE_FILE);
    return place_write(place, DEVICE_FILE, bytes_view(&content), ret_failure);
}
