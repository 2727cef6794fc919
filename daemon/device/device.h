/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What all identities share and none owns: configuration, directories, the clock, the TPM and the signing thread. It
 * knows no identity; what changes here is told by callbacks, each in a turn of the loop of its own. */
#pragma once

#include "common/secret.h"
#include "config/daemon-config.h"
#include "device/directories.h"
#include "device/domains.h"
#include "device/shared-files.h"
#include "device/tpm-watch.h"
#include "signing/signing.h"

typedef struct Device Device;

typedef struct DeviceCallbacks {
    void (*tpm_looked)(void *userdata);  /* the TPM was looked at: all that depends on it is to be looked at again */
    void (*tpm_changed)(void *userdata); /* a hang began or ended: what is shown of the TPM is another */
    /* of the signing thread, as in signing.h */
    void (*handle_closed)(uint64_t handle_id, void *userdata);
    void (*generation_used)(const char *identity, uint32_t generation, void *userdata);
    void (*generation_unused)(const char *identity, uint32_t generation, void *userdata);
    void *userdata;
} DeviceCallbacks;

/* Reads identityd.conf and starts the signing thread; no TPM is needed to succeed. Says what is wrong. 0 or -errno. */
int device_new(sd_event *loop, const DeviceCallbacks *callbacks, Device **ret);

/* Ends the signing thread, which delivers what is owed from inside: see signing_free. */
void device_stop(Device *device);
Device *device_free(Device *device);
DEFINE_CLEANUP(Device, device_free)

/* Reads identityd.conf again; what it says of the TPM takes effect at the next start, which is said. */
int device_reload(Device *device, Failure *ret_failure);

sd_event *device_loop(const Device *device);
const DaemonConfig *device_config(const Device *device);
const Directories *device_directories(const Device *device);
Domains *device_domains(const Device *device);
SharedFiles *device_shared_files(const Device *device);
TpmWatch *device_tpm(const Device *device);
Signing *device_signing(const Device *device);
const char *device_machine_id(const Device *device); /* %m; "" where there is none */
const Secret *device_serial(const Device *device);   /* %s; NULL where there is none */

/* Looks at the TPM. */
void device_look_at_tpm(Device *device);

/* A number that was never given before. */
uint64_t device_next_id(Device *device);
