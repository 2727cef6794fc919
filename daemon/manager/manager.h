/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The set of identities: started, reloaded, walked by one timer, and told of to the bus by one callback. Everything
 * that main's thread owns hangs here; nothing here waits. */
#pragma once

#include "common/failure.h"
#include "common/macros.h"
#include "device/device.h"
#include "identity/set.h"
#include "lending/lending.h"

#include <systemd/sd-event.h>

typedef struct Manager Manager;

typedef enum ManagerChange {
    CHANGE_MANAGER_PROPERTIES, /* TpmState, DeviceId … (identity NULL) */
    CHANGE_IDENTITY_ADDED,
    CHANGE_IDENTITY_REMOVED, /* still valid during the call */
    CHANGE_IDENTITY_PROPERTIES,
} ManagerChange;

typedef struct ManagerCallbacks {
    /* In a turn of the loop of its own, or at the end of the one in which it came to be. */
    void (*changed)(ManagerChange change, Identity *identity, void *userdata);
    void *userdata;
} ManagerCallbacks;

/* Reads configuration and state and starts the signing thread; no TPM is needed to succeed. */
int manager_new(sd_event *loop, Manager **ret);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager, manager_free)
void manager_set_callbacks(Manager *manager, const ManagerCallbacks *callbacks);

/* Once the TPM has been looked at for the first time, whatever came out of it: for READY=1. */
bool manager_is_settled(const Manager *manager);
/* Whether both loops showed life since the last call: for WATCHDOG=1. */
bool manager_is_alive(Manager *manager);
/* The signing thread is inside a TPM command just now; manager_free would wait for its end. */
bool manager_waits_for_tpm(const Manager *manager);

int manager_reload(Manager *manager, Failure *ret_failure);
/* Forgets what was learned of the time in the trust domain of an identity, for all that are in it. */
int manager_reset_clock(Manager *manager, const Identity *identity, Failure *ret_failure);

Device *manager_device(const Manager *manager);
Lending *manager_lending(const Manager *manager);
const IdentitySet *manager_identities(const Manager *manager);

const char *manager_tpm_state(const Manager *manager); /* ready, unavailable, replaced, lockout */
/* Why it is not ready, for a person; empty where it is. Borrowed until the loop turns. */
const char *manager_tpm_problem(const Manager *manager);

/* OpenMetrics text; the caller frees. metrics.c. */
int manager_metrics(const Manager *manager, char **ret);
