/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* When an enrolment or a renewal begins: by the timer, or because somebody asks. */
#include "manager/enrolment.h"

#include <string.h>

#define AT_ONCE 1
/* Seconds between two enrolments by AfterRevocation=enroll, if a tenth of the lifetime is not less: where a CA goes on
 * issuing what it has revoked already (its intermediate, say), nobody is asked without end. */
#define AFTER_REVOCATION_GAP 900

static bool enrolment_is_possible(const Identity *identity) {
    const Manager *manager = identity->manager;

    return identity->config && identity->store && !identity->malformed && identity->config->protocol == PROTOCOL_EST &&
           !identity->enrolment && manager->tpm_known && manager->tpm.state == TPM_STATE_READY;
}

static int64_t enrolment_after_revocation(Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    int64_t last = identity->stored.last_success;

    if (identity->config->after_revocation != AFTER_REVOCATION_ENROLL || identity->stored.hold)
        return 0;
    if (!leaf || last <= 0 || last > manager_now(identity->manager))
        return AT_ONCE;
    int64_t earliest = schedule_earliest(last, leaf->not_before, leaf->not_after);
    return earliest - last < AFTER_REVOCATION_GAP ? earliest : last + AFTER_REVOCATION_GAP;
}

static int64_t renewal_earliest(const Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    int64_t last = identity->stored.last_success;

    if (!leaf || last > manager_now(identity->manager))
        return 0;
    return schedule_earliest_renewal(last, leaf->not_before, leaf->not_after, identity_chain_end(identity),
                                     identity->chain_end_delay);
}

int64_t enrolment_renewal_when(const Identity *identity) {
    int64_t earliest = renewal_earliest(identity);

    return identity->renew_at == 0 || identity->renew_at > earliest ? identity->renew_at : earliest;
}

/* Whether the next step is a fresh enrolment, a renewal or nothing, and from when on (before retries are looked at). */
static int64_t enrolment_base(Identity *identity) {
    switch (identity->state) {
    case STATE_EMPTY:
    case STATE_EXPIRED:
        return AT_ONCE;
    case STATE_REVOKED:
        return enrolment_after_revocation(identity);
    case STATE_READY:
        return identity->boot_renewal_due ? AT_ONCE : enrolment_renewal_when(identity);
    default:
        return 0;
    }
}

/* A schedule that lies further away than we would ever put it was made while the clock was elsewhere: so was the
 * failure that it followed. */
void enrolment_check_schedule(Identity *identity) {
    if (identity->enrolment || identity->stored.next_attempt <= manager_now(identity->manager) + SCHEDULE_GAP_MAX)
        return;
    identity->stored.next_attempt = 0;
    identity->stored.failures = 0;
    identity_set_error(identity, NULL);
    identity_set_activity(identity, ACTIVITY_IDLE);
    (void) identity_save_state(identity);
}

/* Whether a request that the CA has taken is asked for again, whatever the state: somebody may have begun it to lead
 * out of `revoked` or `retired`. A renewal is authenticated with the certificate that it renews. */
static bool enrolment_resumes(const Identity *identity) {
    return identity->resumes == RESUMES_ENROLMENT ||
           (identity->resumes == RESUMES_RENEWAL && identity->state == STATE_READY);
}

bool enrolment_comes_by_itself(Identity *identity) {
    return enrolment_resumes(identity) || enrolment_base(identity) != 0;
}

int64_t enrolment_when(Identity *identity) {
    if (!enrolment_is_possible(identity))
        return 0;
    int64_t next = identity->stored.next_attempt;

    /* A schedule that lies further away than we would ever put it was made while the clock was elsewhere. */
    if (next > manager_now(identity->manager) + SCHEDULE_GAP_MAX)
        next = 0;
    if (enrolment_resumes(identity))
        return next != 0 ? next : AT_ONCE;
    int64_t base = enrolment_base(identity);
    if (base == 0)
        return 0;
    return next > base ? next : base;
}

static bool chain_has_ended(const Identity *identity) {
    return identity->chain.count > 0 && identity_chain_end(identity) < manager_now(identity->manager);
}

/* Where the chain has ended, the CA may refuse the certificate just as other peers do: then every other attempt is
 * authenticated like the first enrolment, as after the end of the certificate itself. */
static bool enrolment_falls_back(const Identity *identity) {
    const IdentityConfig *config = identity->config;

    return identity->stored.failures % 2 == 1 && chain_has_ended(identity) &&
           config->renewal_authenticate.kind == AUTHENTICATE_NONE && config->authenticate.kind != AUTHENTICATE_NONE;
}

void enrolment_due(Identity *identity) {
    bool ready = identity->state == STATE_READY, expired = identity->state == STATE_EXPIRED;
    EnrolmentStart start = {
        .renewal = ready && !enrolment_falls_back(identity),
        .copy_names = ready || expired,
        .new_key = ready ? identity->config->rotate_key : true,
        .drop_pending = ready && chain_has_ended(identity), /* of an attempt that was of the other kind */
    };

    if (enrolment_resumes(identity)) {
        start.renewal = start.copy_names = identity->resumes == RESUMES_RENEWAL;
        start.new_key = !ready; /* with the old one, only what was begun so */
        start.drop_pending = false;
    }
    enrolment_begin(identity, &start);
}

void enrolment_stop_renewal(Identity *identity) {
    Failure stopping = FAILURE_INIT;

    if (identity->enrolment && !identity->enrolment->renewal && !identity->enrolment->pending.same_key)
        return;
    if (identity->enrolment) {
        (void) failure_set(&stopping, -ECANCELED, FAILURE_REVOKED, "%s was revoked by the CA while it was renewed.",
                           identity->name);
        identity->enrolment = enrolment_abort(identity->enrolment, &stopping);
        (void) store_pending_drop(identity->store, NULL);
    }
    if (identity->resumes == RESUMES_RENEWAL) {
        (void) store_pending_drop(identity->store, NULL);
        identity->resumes = RESUMES_NOTHING;
    }
    identity_set_activity(identity, identity->resumes == RESUMES_NOTHING ? ACTIVITY_IDLE : ACTIVITY_WAITING);
}

void enrolment_forget_expiry(Identity *identity) {
    Failure stopping = FAILURE_INIT;

    if (identity->enrolment && (identity->enrolment->renewal || identity->enrolment->operations))
        return; /* somebody asked for it */
    if (identity->enrolment) {
        (void) failure_set(&stopping, -ECANCELED, FAILURE_NOT_READY, "%s has not expired after all.", identity->name);
        identity->enrolment = enrolment_abort(identity->enrolment, &stopping);
    }
    identity->stored.next_attempt = 0;
    identity->stored.failures = 0;
    identity_set_error(identity, NULL);
    identity_set_activity(identity, ACTIVITY_IDLE);
    (void) identity_save_state(identity);
}

void enrolment_authenticator_ready(Manager *manager, const char *name) {
    for (size_t i = 0; i < manager->identity_count; i++) {
        Identity *identity = manager->identities[i];
        if (!identity->config || !identity->waits_for_authenticator)
            continue;
        const Authenticate *first = &identity->config->authenticate, *renewal = &identity->config->renewal_authenticate;
        if ((first->kind == AUTHENTICATE_IDENTITY && strcmp(first->name, name) == 0) ||
            (renewal->kind == AUTHENTICATE_IDENTITY && strcmp(renewal->name, name) == 0)) {
            identity->waits_for_authenticator = false;
            identity->stored.next_attempt = 0;
        }
    }
}

/* ---- asked for ---- */

static void refuse(const Failure *failure, OperationDone done, void *userdata) {
    if (done)
        done(failure, (BytesView) { NULL, 0 }, userdata);
}

static int require_est(const Identity *identity, Failure *ret_failure) {
    if (identity_is_malformed(identity, ret_failure))
        return -EBADMSG;
    if (identity->config->protocol != PROTOCOL_EST)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has Protocol=manual: get a request with `idctl request`, have it signed, and bring the "
                           "chain in with `idctl install`.",
                           identity->name);
    if (identity->manager->tpm.state != TPM_STATE_READY)
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "%s cannot be enrolled without its TPM: %s",
                           identity->name, identity->manager->tpm_failure.text);
    if (manager_tpm_is_hung(identity->manager))
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE,
                           "%s cannot be enrolled without its TPM: " TPM_HUNG_TEXT, identity->name);
    return 0;
}

/* Joins an attempt that runs already; -EBUSY where that does something else. */
static int join(Identity *identity, const EnrolmentStart *start, bool wants_new_key, OperationDone done, void *userdata,
                Failure *ret_failure) {
    if (identity->enrolment->renewal != start->renewal || wants_new_key)
        return failure_set(ret_failure, -EBUSY, FAILURE_BUSY,
                           "%s is being %s just now; ask again when that has ended (`idctl monitor`).", identity->name,
                           identity->enrolment->renewal ? "renewed" : "enrolled");
    int r = operation_add(&identity->enrolment->operations, done, userdata);
    return r < 0 ? failure_errno(ret_failure, r, "Waiting for the attempt that runs") : 0;
}

/* Begins what was asked for, or joins what runs; `wants_new_key`: one that it would not get by joining. */
static void begin_or_join(Identity *identity, EnrolmentStart *start, bool wants_new_key, OperationDone done,
                          void *userdata) {
    Failure failure = FAILURE_INIT;
    Operation *operations = NULL;
    bool joins = identity->enrolment != NULL;
    int r;

    if (joins)
        r = join(identity, start, wants_new_key, done, userdata, &failure);
    else {
        r = operation_add(&operations, done, userdata);
        if (r < 0)
            (void) failure_errno(&failure, r, "Beginning an attempt");
    }
    if (r < 0)
        refuse(&failure, done, userdata);
    else if (!joins) {
        start->operations = &operations;
        enrolment_begin(identity, start);
    }
}

void identity_enroll(Identity *identity, bool new_key, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;
    bool leads_out = identity->state == STATE_REVOKED || identity->state == STATE_RETIRED || identity->replaced;

    if (require_est(identity, &failure) < 0) {
        refuse(&failure, done, userdata);
        return;
    }
    EnrolmentStart start = {
        .new_key = new_key || leads_out || identity->config->rotate_key,
        /* Of before the retirement, if its removal failed: that set next_attempt to 0. */
        .drop_pending = new_key || (identity->state == STATE_RETIRED && identity->stored.next_attempt == 0),
    };
    begin_or_join(identity, &start, new_key, done, userdata);
}

void identity_renew(Identity *identity, int rotate_key, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;
    int r = require_est(identity, &failure);

    if (r >= 0 && identity->state != STATE_EXPIRED)
        r = identity_require_ready(identity, &failure);
    if (r < 0) {
        refuse(&failure, done, userdata);
        return;
    }
    EnrolmentStart start = {
        .renewal = identity->state == STATE_READY,
        .copy_names = true,
        .new_key = rotate_key < 0 ? identity->config->rotate_key : rotate_key > 0,
        .drop_pending = rotate_key >= 0,
    };
    begin_or_join(identity, &start, rotate_key > 0 && !identity->config->rotate_key, done, userdata);
}

/* The highest that is or may be on the disk. */
static uint32_t highest_generation(const Identity *identity) {
    _cleanup_free_ uint32_t *numbers = NULL;
    uint32_t highest = identity->generation;
    size_t count = 0;

    if (identity->stored.last_generation > highest)
        highest = identity->stored.last_generation;
    if (store_list(identity->store, &numbers, &count, NULL) >= 0 && count > 0 && numbers[count - 1U] > highest)
        highest = numbers[count - 1U];
    return highest;
}

void identity_retire(Identity *identity, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT, stopping = FAILURE_INIT;
    int r = 0;

    if (!identity->store)
        r = failure_set(&failure, -EBADMSG, FAILURE_NOT_READY, "%s cannot be retired: %s", identity->name,
                        identity->malformed);
    if (r >= 0) {
        (void) failure_set(&stopping, -ECANCELED, FAILURE_RETIRED, "%s was retired.", identity->name);
        identity->enrolment = enrolment_abort(identity->enrolment, &stopping);
        identity->check = revocation_abort(identity->check);
        identity->rollover = rollover_abort(identity->rollover);
        identity->manual_request = 0;
        identity_set_activity(identity, ACTIVITY_IDLE);
        /* The mark first: a power cut in between leaves an identity that is retired and has files, never one that lives
         * on without a key. */
        identity->stored.retired = true;
        identity->stored.next_attempt = 0;
        identity->stored.failures = 0;
        identity->resumes = RESUMES_NOTHING;
        identity->stored.of_generation = highest_generation(identity);
        r = store_state_save(identity->store, &identity->stored, &failure);
        if (r < 0)
            identity->stored.retired = false;
    }
    if (r < 0) {
        refuse(&failure, done, userdata);
        return;
    }
    /* With the mark on the disk it is retired, whether or not every file could be deleted; who asked is told. */
    (void) store_retire(identity->store, &failure);
    (void) signing_remove_identity(identity->manager->signing, identity->name);
    identity->generation = 0;
    identity->replaced = false;
    identity->key = tpm_key_free(identity->key);
    certificate_list_clear(&identity->chain);
    identity->renew_at = 0;
    identity_set_error(identity, NULL);
    identity_event(identity, EVENT_RETIRED, NULL);
    if (failure.kind != FAILURE_NONE)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name,
                  "Retired, but not everything was deleted yet: %s; it is tried again.", failure.text);
    else
        log_entry(
            LOG_NOTICE, MESSAGE_RETIRED, identity->name,
            "Retired: the key is deleted here. A copy of key.pem that somebody made earlier stays usable on this TPM "
            "until the certificate expires or is "
            "revoked at the CA.");
    if (done)
        done(&failure, (BytesView) { NULL, 0 }, userdata);
}
