/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Enroll, Renew and Retire. */
#include "enrolment/asked.h"

#include "device/log.h"
#include "enrolment/enrolment.h"

#include <stdio.h>

static Operations *operations_of(const Identity *identity) {
    return work_operations(identity_context(identity)->work);
}

static int require_est(const Identity *identity, Failure *ret_failure) {
    char what[128];

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    if (identity_config(identity)->protocol != PROTOCOL_EST)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s has Protocol=manual: get a request with `idctl request`, have it signed, and bring the "
                           "chain in with `idctl install`.",
                           identity_name(identity));
    if (!identity_store(identity))
        return failure_set(ret_failure, -EIO, FAILURE_STORAGE, "%s cannot be enrolled: %s", identity_name(identity),
                           identity_error(identity));
    (void) snprintf(what, sizeof what, "%s cannot be enrolled", identity_name(identity));
    return tpm_watch_require(device_tpm(identity_context(identity)->device), what, ret_failure);
}

/* Joins an attempt that runs already; -EBUSY where that does something else than was asked for. */
static int may_join(const Identity *identity, const Plan *how, bool is_exact, Failure *ret_failure) {
    const AttemptStart *running = attempt_start(enrolment_attempt(identity));

    if (running->means == how->means && running->present_names == how->present_names &&
        (!is_exact || running->new_key == how->new_key))
        return 0;
    return failure_set(ret_failure, -EBUSY, FAILURE_BUSY,
                       "%s is being %s just now%s; ask again when that has ended (`idctl monitor`).",
                       identity_name(identity), running->means == MEANS_ITSELF ? "renewed" : "enrolled",
                       running->new_key ? " with a new key" : "");
}

/* Past the end, what comes by itself asks for the names of before, and an admin for those that are configured by now.
 */
static bool steps_aside(Identity *identity, const Plan *how) {
    const AttemptStart *running = attempt_start(enrolment_attempt(identity));

    return running->means == how->means && running->present_names && !how->present_names &&
           enrolment_give_way(identity);
}

/* Begins what was asked for, or joins what runs. `is_exact`: which key it gets was asked for too. */
static void begin_or_join(Identity *identity, const Plan *how, bool is_exact, OperationDone done, void *userdata) {
    Operation *operation = NULL;
    Failure failure = FAILURE_INIT;
    bool joins = enrolment_attempt(identity) && !steps_aside(identity, how);
    int r = joins ? may_join(identity, how, is_exact, &failure) : 0;

    if (r >= 0) {
        r = operation_new(operations_of(identity), done, userdata, &operation);
        if (r < 0)
            (void) failure_errno(&failure, r, "Beginning an attempt");
    }
    if (r < 0)
        operation_answer(operations_of(identity), done, userdata, &failure);
    else if (joins)
        enrolment_join(identity, operation);
    else
        enrolment_begin(identity, how, operation);
}

void asked_enroll(Identity *identity, bool new_key, OperationDone done, void *userdata) {
    IdentityState state = identity_state(identity);
    bool leads_out = state == STATE_REVOKED || state == STATE_RETIRED || identity_is_replaced(identity);
    Failure failure = FAILURE_INIT;

    if (require_est(identity, &failure) < 0) {
        operation_answer(operations_of(identity), done, userdata, &failure);
        return;
    }
    const Plan how = {
        .step = PLAN_ENROL,
        .means = MEANS_ENROLMENT,
        .new_key = new_key || leads_out || identity_config(identity)->rotate_key,
        /* Of before the retirement, if its removal failed: that left nothing planned. */
        .drop_pending = new_key || (state == STATE_RETIRED && identity_attempts(identity)->next.kind == INSTANT_NEVER),
    };
    begin_or_join(identity, &how, new_key, done, userdata);
}

void asked_renew(Identity *identity, int rotate_key, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;
    int r = require_est(identity, &failure);

    if (r >= 0 && identity_state(identity) != STATE_EXPIRED)
        r = identity_require_ready(identity, &failure);
    if (r < 0) {
        operation_answer(operations_of(identity), done, userdata, &failure);
        return;
    }
    const IdentityConfig *config = identity_config(identity);
    bool is_ready = identity_state(identity) == STATE_READY;
    const Plan how = {
        .step = PLAN_RENEW,
        .means = identity_config_is_renewed_by_others(config) ? MEANS_RENEWAL
                 : is_ready                                   ? MEANS_ITSELF
                                                              : MEANS_ENROLMENT,
        .present_names = true,
        .new_key = rotate_key < 0 ? config->rotate_key : rotate_key > 0,
        .drop_pending = rotate_key >= 0,
    };
    begin_or_join(identity, &how, rotate_key >= 0, done, userdata);
}

void asked_retire(Identity *identity, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;
    int r = identity_retire(identity, &failure);

    if (r >= 0 && failure.kind != FAILURE_NONE)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity_name(identity),
                  "Retired, but not everything was deleted yet: %s; it is tried again.", failure.text);
    else if (r >= 0)
        log_entry(
            LOG_NOTICE, MESSAGE_RETIRED, identity_name(identity),
            "Retired: the key is deleted here. A copy of key.pem that somebody made earlier stays usable on this TPM "
            "until the certificate expires or is revoked at the CA.");
    operation_answer(operations_of(identity), done, userdata, &failure);
}
