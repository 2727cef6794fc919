/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The manager owns everything that main's thread owns: configuration, identities, stores, timers, enroller jobs,
 * quotas, and the signing thread's handle. bus/ calls it; it tells bus/ of changes through one callback. Nothing here
 * waits. */
#pragma once

#include "access/access.h"
#include "common/access-rule.h"
#include "common/bytes.h"
#include "common/failure.h"
#include "rules/state.h"
#include "tpm/tpm.h"

#include <systemd/sd-event.h>

typedef struct Manager Manager;
typedef struct Identity Identity;

typedef enum ManagerChange {
    CHANGE_MANAGER_PROPERTIES, /* TpmState, DeviceId … (identity NULL) */
    CHANGE_IDENTITY_ADDED,
    CHANGE_IDENTITY_REMOVED, /* still valid during the call */
    CHANGE_IDENTITY_PROPERTIES,
} ManagerChange;

typedef struct ManagerCallbacks {
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

int manager_reload(Manager *manager, Failure *ret_failure);

const char *manager_tpm_state(const Manager *manager); /* ready, unavailable, replaced, lockout */
const TpmInformation *manager_tpm_information(const Manager *manager);

/* The thread has been inside one TPM command for longer than any TPM takes. */
bool manager_tpm_is_hung(const Manager *manager);
/* The thread is inside a TPM command just now; manager_free would wait for its end. */
bool manager_waits_for_tpm(const Manager *manager);

/* OpenMetrics text; the caller frees. */
int manager_metrics(Manager *manager, char **ret);

/* Identities, sorted by name. */
size_t manager_identity_count(const Manager *manager);
Identity *manager_identity_at(const Manager *manager, size_t index);
Identity *manager_find_identity(const Manager *manager, const char *name, Failure *ret_failure);

/* What the bus shows of one identity; borrowed, valid until the loop turns. */
typedef struct IdentityView {
    const char *name, *state, *activity, *last_error;
    uint32_t generation;
    const char *subject, *serial_number, *issuer, *key_algorithm;
    uint64_t not_before, not_after, next_attempt; /* µs since the epoch, 0: none */
    uint64_t next_renewal;
    BytesView public_key;
    const BytesView *certificates, *anchors; /* DER */
    size_t certificate_count, anchor_count;
} IdentityView;
void identity_view(Identity *identity, IdentityView *ret);
const char *identity_name(const Identity *identity);

/* Asynchronous operations: `done` is called exactly once, perhaps before the function returns. `result` is borrowed. */
typedef void (*OperationDone)(const Failure *failure /* kind NONE: success */, BytesView result, void *userdata);

void identity_enroll(Identity *identity, bool new_key, OperationDone done,
                     void *userdata); /* result "done" or "pending" */
void identity_renew(Identity *identity, int rotate_key /* -1: as configured */, OperationDone done, void *userdata);
void identity_create_request(Identity *identity, bool new_key, OperationDone done, void *userdata); /* result: DER */
void identity_install(Identity *identity, const BytesView *chain, size_t count, OperationDone done, void *userdata);
void identity_retire(Identity *identity, OperationDone done, void *userdata);
/* Signs a message under the `data` right of `caller` (user: and group: rules). */
void identity_sign(Identity *identity, const Caller *caller, const char *scheme, BytesView message, OperationDone done,
                   void *userdata);
/* Tests what an enrolment would meet at the CA, without enrolling: result is JSON-free text lines. */
void identity_probe_server(Identity *identity, OperationDone done, void *userdata);

/* Whether a decision about what that user wants is to be written to the log, or is one of too many: those are told in
 * one line, later. Counts it for the metrics. */
bool manager_writes_access(Manager *manager, bool granted, uid_t uid);

/* Whether any rule for this purpose names a unit, so that the caller's must be looked up. */
bool identity_admits_units(const Identity *identity, Purpose purpose);

/* Opens a handle for `caller`: the holder's end, which the caller of this function owns. */
int identity_open_handle(Identity *identity, Purpose purpose, Caller *caller, int *ret_fd, Failure *ret_failure);
