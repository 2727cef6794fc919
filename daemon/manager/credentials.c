/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What programs are lent: credential handles, and one-shot signatures under the `data` right. Access is decided here,
 * from the caller as the bus vouches for it; every decision is logged, or counted where one user causes too many. */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static HandleRecord *handle_record_free(HandleRecord *record) {
    if (!record)
        return NULL;
    caller_clear(&record->caller);
    free(record);
    return NULL;
}
DEFINE_CLEANUP(HandleRecord, handle_record_free)

void handle_closed(uint64_t id, void *userdata) {
    Manager *manager = userdata;

    for (HandleRecord **link = &manager->handles; *link; link = &(*link)->next)
        if ((*link)->id == id) {
            HandleRecord *record = *link;
            *link = record->next;
            quota_give(manager->quota, record->caller.uid);
            handle_record_free(record);
            return;
        }
}

void handles_forget(Manager *manager) {
    while (manager->handles) {
        HandleRecord *record = manager->handles;
        manager->handles = record->next;
        handle_record_free(record);
    }
}

static void log_decision(const Identity *identity, Purpose purpose, const Caller *caller,
                         const AccessDecision *decision) {
    char uid[64], pid[64], unit[320], purpose_field[64];

    if (!manager_writes_access(identity->manager, decision->admitted, caller->uid))
        return;
    snprintf(uid, sizeof uid, "IDENTITYD_CALLER_UID=%" PRIu32, (uint32_t) caller->uid);
    snprintf(pid, sizeof pid, "IDENTITYD_CALLER_PID=%" PRId32, (int32_t) caller->pid);
    snprintf(unit, sizeof unit, "IDENTITYD_CALLER_UNIT=%s", caller->unit ? caller->unit : "");
    snprintf(purpose_field, sizeof purpose_field, "IDENTITYD_PURPOSE=%s", purpose_to_string(purpose));
    const char *const fields[] = { uid, pid, unit, purpose_field, NULL };
    log_fields(decision->admitted ? LOG_INFO : LOG_NOTICE,
               decision->admitted ? MESSAGE_ACCESS_GRANTED : MESSAGE_ACCESS_DENIED, identity->name, fields,
               "%s for %s to uid %" PRIu32 ", pid %" PRId32 "%s%s (%s).", decision->admitted ? "Granted" : "Denied",
               purpose_to_string(purpose), (uint32_t) caller->uid, (int32_t) caller->pid, caller->unit ? ", unit " : "",
               caller->unit ? caller->unit : "", decision->reason);
}

static int access_check(const Identity *identity, Purpose purpose, const Caller *caller, bool units,
                        AccessDecision *ret, Failure *ret_failure) {
    if (identity_is_malformed(identity, ret_failure))
        return -EBADMSG;
    access_decide(&identity->config->access[purpose], purpose, caller, units, &access_names_system, ret);
    log_decision(identity, purpose, caller, ret);
    return ret->admitted
               ? 0
               : failure_set(ret_failure, -EACCES, FAILURE_ACCESS_DENIED,
                             "%s is not lent to you for %s: %s. Add a rule to [Access] in identities/%s.conf.",
                             identity->name, purpose_to_string(purpose), ret->reason, identity->name);
}

static int quota_check(Manager *manager, const Caller *caller, Failure *ret_failure) {
    int r = quota_take(manager->quota, caller->uid);

    if (r == -EDQUOT)
        return failure_set(ret_failure, r, FAILURE_LIMITS_EXCEEDED,
                           "uid %" PRIu32 " holds %" PRIu32
                           " handles already, with those that have ended and were not closed: close some, or raise "
                           "HandlesPerUser= in identityd.conf.",
                           (uint32_t) caller->uid, manager->config->handles_per_user);
    if (r < 0)
        return failure_set(
            ret_failure, r, FAILURE_LIMITS_EXCEEDED,
            "All %" PRIu32 " handles are in use: raise Handles= in identityd.conf%s.", manager->handles_max,
            manager->handles_max < manager->config->handles ? " and LimitNOFILE= of identityd.service" : "");
    return 0;
}

bool identity_admits_units(const Identity *identity, Purpose purpose) {
    const AccessRules *rules = identity->config ? &identity->config->access[purpose] : NULL;

    for (size_t i = 0; rules && i < rules->count; i++)
        if (rules->rules[i].kind == ACCESS_RULE_UNIT)
            return true;
    return false;
}

static int handle_record_new(const Identity *identity, Purpose purpose, const Caller *caller, HandleRecord **ret) {
    _cleanup_(handle_record_free_p) HandleRecord *record = calloc(1, sizeof *record);

    if (!record)
        return -ENOMEM;
    record->caller = CALLER_INIT;
    record->id = ++identity->manager->next_id;
    record->purpose = purpose;
    strcpy(record->identity, identity->name);
    int r = caller_copy(caller, &record->caller);
    if (r < 0)
        return r;
    *ret = TAKE_PTR(record);
    return 0;
}

int identity_open_handle(Identity *identity, Purpose purpose, Caller *caller, int *ret_fd, Failure *ret_failure) {
    Manager *manager = identity->manager;
    _cleanup_(handle_record_free_p) HandleRecord *record = NULL;
    AccessDecision decision;
    int sockets[2];

    int r = access_check(identity, purpose, caller, true, &decision, ret_failure);
    if (r >= 0)
        r = identity_require_ready(identity, ret_failure);
    if (r < 0)
        return r;
    if (decision.by_unit && (caller->pid <= 0 || caller->pidfd < 0))
        return failure_set(ret_failure, -EACCES, FAILURE_ACCESS_DENIED,
                           "%s is lent to a unit, and which process asks could not be established.", identity->name);
    r = handle_record_new(identity, purpose, caller, &record);
    if (r < 0)
        return failure_errno(ret_failure, r, "Opening a credential handle");
    r = quota_check(manager, caller, ret_failure);
    if (r < 0)
        return r;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) < 0) {
        r = -errno;
        quota_give(manager->quota, caller->uid);
        return failure_errno(ret_failure, r, "Opening a credential handle");
    }
    SigningHandle handle = {
        .id = record->id,
        .identity = identity->name,
        .purpose = purpose,
        .socket = sockets[0],
        .first_sender = decision.by_unit ? caller->pid : 0,
        .first_sender_pidfd = decision.by_unit ? TAKE_FD(caller->pidfd) : -1,
    };
    r = signing_open_handle(manager->signing, &handle);
    if (r < 0) {
        close_safe(sockets[1]);
        quota_give(manager->quota, caller->uid);
        return failure_errno(ret_failure, r, "Opening a credential handle");
    }
    record->next = manager->handles;
    manager->handles = TAKE_PTR(record);
    *ret_fd = sockets[1];
    return 0;
}

/* After the configuration changed: who is no longer admitted loses the handle. */
void handles_recheck(Manager *manager, Identity *identity) {
    for (HandleRecord *record = manager->handles; record; record = record->next) {
        AccessDecision decision = { .admitted = false };
        if (strcmp(record->identity, identity->name) != 0)
            continue;
        if (identity->config)
            access_decide(&identity->config->access[record->purpose], record->purpose, &record->caller, true,
                          &access_names_system, &decision);
        if (!decision.admitted) {
            if (manager_writes_access(manager, false, record->caller.uid))
                log_entry(LOG_NOTICE, MESSAGE_ACCESS_DENIED, identity->name,
                          "The handle of uid %" PRIu32 " for %s is closed: its configuration admits it no more.",
                          (uint32_t) record->caller.uid, purpose_to_string(record->purpose));
            (void) signing_close_handle(manager->signing, record->id);
        }
    }
}

/* ---- Sign on the bus ---- */

typedef struct SignOperation {
    Manager *manager;
    uint64_t identity; /* instance */
    uint32_t generation;
    OperationDone done;
    void *userdata;
} SignOperation;

static void on_bus_signature(const Failure *failure, BytesView signature, void *userdata) {
    _cleanup_free_ SignOperation *operation = userdata;
    Identity *identity = identity_by_instance(operation->manager, operation->identity);

    if (identity && failure->kind == FAILURE_NONE)
        identity_generation_used(identity, operation->generation);
    operation->done(failure, signature, operation->userdata);
}

static int sign_check(Identity *identity, const Caller *caller, const char *scheme_name, BytesView message,
                      const SignatureScheme **ret_scheme, uint8_t ret_digest[static 64], size_t *ret_size,
                      Failure *ret_failure) {
    AccessDecision decision;
    int r = access_check(identity, PURPOSE_DATA, caller, false, &decision, ret_failure);

    if (r >= 0)
        r = identity_require_ready(identity, ret_failure);
    if (r < 0)
        return r;
    if (message.size > PACKET_PAYLOAD_MAX)
        return failure_set(ret_failure, -EMSGSIZE, FAILURE_INVALID_ARGUMENT,
                           "A message to sign has at most %u bytes, not %zu.", PACKET_PAYLOAD_MAX, message.size);
    const SignatureScheme *scheme = scheme_by_name(scheme_name);
    if (!scheme)
        return failure_set(
            ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
            "There is no signature scheme of the name given; known are the IANA TLS SignatureScheme names, e.g. "
            "ecdsa_secp256r1_sha256.");
    if (!scheme_fits(scheme, tpm_key_algorithm(identity->key)))
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has a key of the type %s, which cannot sign with %s.", identity->name,
                           key_algorithm_to_string(tpm_key_algorithm(identity->key)), scheme->name);
    *ret_scheme = scheme;
    return purpose_check(PURPOSE_DATA, HANDLE_SIGN_MESSAGE, scheme, message, ret_digest, ret_size, ret_failure);
}

void identity_sign(Identity *identity, const Caller *caller, const char *scheme_name, BytesView message,
                   OperationDone done, void *userdata) {
    const SignatureScheme *scheme = NULL;
    Failure failure = FAILURE_INIT;
    uint8_t digest[64];
    size_t size;

    int r = sign_check(identity, caller, scheme_name, message, &scheme, digest, &size, &failure);
    if (r >= 0) {
        SignOperation *operation = malloc(sizeof *operation);
        r = operation ? 0 : -ENOMEM;
        if (operation)
            *operation =
                (SignOperation) { identity->manager, identity->instance, identity->generation, done, userdata };
        if (r >= 0)
            r = sign_start(identity->manager, identity->key, scheme, (BytesView) { digest, size }, on_bus_signature,
                           operation);
        if (r >= 0)
            return;
        free(operation);
        (void) failure_errno(&failure, r, "Signing");
    }
    done(&failure, (BytesView) { NULL, 0 }, userdata);
}
