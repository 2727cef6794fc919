/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests and chains that people carry. */
#include "enrolment/manual.h"

#include "device/log.h"
#include "enrolment/commit.h"
#include "enrolment/duties.h"
#include "enrolment/pending.h"
#include "enrolment/request-names.h"
#include "work/work.h"

#include <stdio.h>

/* The duty's part: the request that is being made. */
typedef struct Manual {
    bool is_running;
    StoredPending pending;
    TpmKey *key;
    TpmTask *task;
    Operation *operation;
} Manual;

static Operations *operations_of(const Identity *identity) {
    return work_operations(identity_context(identity)->work);
}

static void manual_clear(void *part) {
    Manual *manual = part;

    stored_pending_clear(&manual->pending);
    manual->key = tpm_key_free(manual->key);
    manual->task = tpm_task_forget(manual->task);
    manual->is_running = false;
}

static void finish(Identity *identity, const Failure *failure) {
    Manual *manual = identity_part(identity, &manual_duty);
    Operation *operation = TAKE_PTR(manual->operation);

    if (failure->kind != FAILURE_NONE)
        log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity_name(identity), "A request was not made: %s",
                  failure->text);
    identity_set_activity(identity, ACTIVITY_IDLE);
    operation_finish(operation, failure, bytes_view(&manual->pending.request));
    manual_clear(manual);
}

/* The store overwrites nothing that is damaged. Only who asks for a new key comes here with such a thing in the way,
 * and gives it up by that. */
static int keep_request(Identity *identity, const StoredPending *pending, Failure *ret_failure) {
    Store *store = identity_store(identity);
    int r = store_pending_save(store, pending, ret_failure);

    if (r != -EBADMSG)
        return r;
    r = store_pending_drop(store, ret_failure);
    if (r < 0)
        return r;
    *ret_failure = FAILURE_INIT;
    return store_pending_save(store, pending, ret_failure);
}

static void on_request(const Failure *failure, BytesView der, void *userdata) {
    Identity *identity = userdata;
    Manual *manual = identity_part(identity, &manual_duty);
    Failure problem = *failure;

    manual->task = NULL;
    if (problem.kind == FAILURE_NONE) {
        int r = bytes_copy(der, &manual->pending.request);
        if (r < 0)
            (void) failure_errno(&problem, r, "Keeping the request");
        else
            (void) keep_request(identity, &manual->pending, &problem);
    }
    finish(identity, &problem);
}

static int make_request(Identity *identity, Failure *ret_failure) {
    Manual *manual = identity_part(identity, &manual_duty);
    const RequestInput input = { .key = manual->key,
                                 .present_names =
                                     identity_generation(identity) > 0 && identity_state(identity) != STATE_RETIRED };

    return request_start(identity, &input, on_request, identity, &manual->task, ret_failure);
}

static void on_key(const Failure *failure, TpmKey *key, void *userdata) {
    Identity *identity = userdata;
    Manual *manual = identity_part(identity, &manual_duty);
    Failure problem = *failure;

    manual->task = NULL;
    manual->key = key;
    if (problem.kind == FAILURE_NONE && pending_from_key(key, &manual->pending) < 0)
        (void) failure_errno(&problem, -ENOMEM, "Keeping the new key");
    if (problem.kind != FAILURE_NONE || make_request(identity, &problem) < 0)
        finish(identity, &problem);
}

/* ---- asked for ---- */

static int check_manual(const Identity *identity, Failure *ret_failure) {
    const Manual *manual = identity_part(identity, &manual_duty);

    if (identity_is_misconfigured(identity, ret_failure))
        return -EBADMSG;
    if (identity_config(identity)->protocol != PROTOCOL_MANUAL)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s enrols by itself (Protocol=est); set Protocol=manual to do it by hand.",
                           identity_name(identity));
    if (!identity_store(identity))
        return failure_set(ret_failure, -EIO, FAILURE_STORAGE, "No request for %s: %s", identity_name(identity),
                           identity_error(identity));
    if (manual->is_running)
        return failure_set(ret_failure, -EBUSY, FAILURE_BUSY, "A request for %s is being made just now; ask again.",
                           identity_name(identity));
    return 0;
}

/* The request that is pending already: the same bytes again, since an ECDSA signature cannot be made twice. 1:
 * answered. What is damaged is for a person to look at: what was signed elsewhere may be for it. */
static int answer_pending(Identity *identity, Operation **operation, Failure *ret_failure) {
    BytesView parent = tpm_watch_parent_name(device_tpm(identity_context(identity)->device));
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    int r = store_pending_load(identity_store(identity), &pending, ret_failure);

    if (r >= 0 && pending.manual) /* a request whose key is lost leads nowhere */
        r = tpm_key_from_pem(bytes_view(&pending.key_pem), bytes_view(&pending.parent_name), &key, ret_failure);
    if (r < 0)
        return r == -ENOENT
                   ? 0
                   : failure_prefix(ret_failure, r,
                                    "Unfinished work in %s/pending cannot be read (mend it, or begin anew with "
                                    "`idctl request --new-key`)",
                                    identity_name(identity));
    if (!pending.manual || pending.request.size == 0 || !bytes_view_equal(bytes_view(&pending.parent_name), parent))
        return 0;
    operation_finish(TAKE_PTR(*operation), NULL, bytes_view(&pending.request));
    return 1;
}

static int begin(Identity *identity, bool new_key, Failure *ret_failure) {
    Manual *manual = identity_part(identity, &manual_duty);
    char what[128];
    bool same_key = !new_key && !identity_config(identity)->rotate_key && identity_state(identity) == STATE_READY;

    (void) snprintf(what, sizeof what, "No request for %s", identity_name(identity));
    int r = tpm_watch_require(device_tpm(identity_context(identity)->device), what, ret_failure);
    if (r < 0)
        return r;
    manual->pending.manual = true;
    if (!same_key) {
        r = key_task_start(identity_context(identity)->work, identity_config(identity)->algorithm, on_key, identity,
                           &manual->task);
        return r < 0 ? failure_errno(ret_failure, r, "Making a request") : 0;
    }
    manual->key = tpm_key_ref(identity_key(identity));
    r = pending_from_key(manual->key, &manual->pending);
    if (r < 0)
        return failure_errno(ret_failure, r, "Making a request");
    manual->pending.same_key = true;
    return make_request(identity, ret_failure);
}

void manual_create_request(Identity *identity, bool new_key, OperationDone done, void *userdata) {
    Manual *manual = identity_part(identity, &manual_duty);
    Operation *operation = NULL;
    Failure failure = FAILURE_INIT;
    int r = check_manual(identity, &failure);

    if (r >= 0) {
        r = operation_new(operations_of(identity), done, userdata, &operation);
        if (r < 0)
            (void) failure_errno(&failure, r, "Making a request");
    }
    if (r < 0) {
        operation_answer(operations_of(identity), done, userdata, &failure);
        return;
    }
    if (!new_key)
        r = answer_pending(identity, &operation, &failure);
    if (r == 0)
        r = begin(identity, new_key, &failure);
    if (r < 0) {
        manual_clear(manual);
        operation_finish(operation, &failure, (BytesView) { NULL, 0 });
    } else if (operation) {
        manual->is_running = true;
        manual->operation = operation;
        identity_set_activity(identity, ACTIVITY_ENROLLING);
    }
}

/* ---- installing ---- */

static int parse_chain(const BytesView *chain, size_t count, CertificateList *ret, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList list = { 0 };

    if (count == 0 || count > CHAIN_MAX)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "A chain has 1 to %u certificates, leaf first; %zu came.", CHAIN_MAX, count);
    for (size_t i = 0; i < count; i++) {
        _cleanup_certificate_ Certificate *certificate = NULL;
        int r = certificate_from_der(chain[i], &certificate, ret_failure);
        if (r >= 0)
            r = certificate_list_add(&list, TAKE_PTR(certificate));
        if (r < 0)
            return failure_prefix(ret_failure, r, "Certificate %zu of the chain", i + 1);
    }
    *ret = list;
    list = (CertificateList) { 0 };
    return 0;
}

/* Without a pending request, a chain for the present key may be brought in: the CA certified it anew. */
static int pending_of_current(Identity *identity, const Certificate *leaf, StoredPending *ret, Failure *ret_failure) {
    const TpmKey *key = identity_key(identity);

    if (!key || !bytes_view_equal(leaf->spki, tpm_key_spki(key)))
        return failure_set(ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
                           "No request is pending for %s, and the certificate is not for its present key: begin with "
                           "`idctl request`.",
                           identity_name(identity));
    int r = pending_from_key(key, ret);
    if (r < 0)
        return failure_errno(ret_failure, r, "Installing a chain");
    ret->same_key = ret->manual = true;
    return store_pending_save(identity_store(identity), ret, ret_failure);
}

static int install(Identity *identity, const CertificateList *list, Failure *ret_failure) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    char when[CERTIFICATE_TIME_MAX];
    int64_t begins = 0;

    int r = store_pending_load(identity_store(identity), &pending, ret_failure);
    if (r == -ENOENT || (r >= 0 && !pending.manual))
        r = pending_of_current(identity, list->list[0], &pending, ret_failure);
    if (r < 0)
        return r;
    const CommitInput input = { .issued = list, .pending = &pending };
    r = commit(identity, &input, &begins, ret_failure);
    if (r != COMMIT_EARLY)
        return r;
    return failure_set(ret_failure, -EAGAIN, FAILURE_CERTIFICATE_REJECTED,
                       "The certificate for %s begins at %s, and the present one works: install it then.",
                       identity_name(identity), certificate_time(begins, when));
}

void manual_install(Identity *identity, const BytesView *chain, size_t count, OperationDone done, void *userdata) {
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    int r = check_manual(identity, &failure);
    if (r >= 0)
        r = parse_chain(chain, count, &list, &failure);
    if (r >= 0)
        r = install(identity, &list, &failure);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity_name(identity), "A chain was not installed: %s",
                  failure.text);
    else
        failure = FAILURE_INIT;
    operation_answer(operations_of(identity), done, userdata, &failure);
}

static void manual_stop(Identity *identity, const Failure *why) {
    Manual *manual = identity_part(identity, &manual_duty);

    operation_finish(TAKE_PTR(manual->operation), why, (BytesView) { NULL, 0 });
    manual_clear(manual);
}

const Duty manual_duty = {
    .name = "manual",
    .part_size = sizeof(Manual),
    .clear = manual_clear,
    .stop = manual_stop,
};
