/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Protocol=manual: a request out, a chain in. For factory lines, air gaps and the IDevIDs that authenticate everything
 * else. */
#include "manager/enrolment.h"

#include <string.h>

typedef struct ManualRequest {
    Manager *manager;
    uint64_t identity, id;
    StoredPending pending;
    TpmKey *key;
    OperationDone done;
    void *userdata;
} ManualRequest;

static ManualRequest *manual_request_free(ManualRequest *request) {
    if (!request)
        return NULL;
    stored_pending_clear(&request->pending);
    tpm_key_free(request->key);
    free(request);
    return NULL;
}
DEFINE_CLEANUP(ManualRequest, manual_request_free)

/* The identity, unless it was removed, retired or put out of use since the request began. */
static Identity *manual_identity(const ManualRequest *request, Failure *failure) {
    Identity *identity = identity_by_instance(request->manager, request->identity);

    if (identity && identity->manual_request == request->id)
        return identity;
    if (failure->kind == FAILURE_NONE)
        (void) failure_set(failure, -ECANCELED, FAILURE_NOT_READY,
                           "The identity was removed, retired or put out of use meanwhile; ask again.");
    return NULL;
}

static void manual_finish(ManualRequest *request, const Failure *failure, BytesView der) {
    Failure ignored = FAILURE_INIT;
    Identity *identity = manual_identity(request, &ignored);

    if (identity) {
        identity->manual_request = 0;
        identity_set_activity(identity, ACTIVITY_IDLE);
        if (failure->kind != FAILURE_NONE)
            log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity->name, "A request was not made: %s", failure->text);
    }
    request->done(failure, der, request->userdata);
    manual_request_free(request);
}

static void on_manual_request(const Failure *failure, BytesView der, void *userdata) {
    ManualRequest *request = userdata;
    Failure problem = *failure;
    Identity *identity = manual_identity(request, &problem);

    if (problem.kind == FAILURE_NONE) {
        int r = bytes_copy(der, &request->pending.request);
        if (r < 0)
            (void) failure_errno(&problem, r, "Keeping the request");
        else
            (void) store_pending_save(identity->store, &request->pending, &problem);
    }
    manual_finish(request, &problem, bytes_view(&request->pending.request));
}

static void manual_make_request(ManualRequest *request, Identity *identity) {
    Failure failure = FAILURE_INIT;
    RequestInput input = { .key = request->key, .renew = identity->generation > 0 && identity->state != STATE_RETIRED };

    if (request_start(identity, &input, on_manual_request, request, &failure) < 0)
        manual_finish(request, &failure, (BytesView) { NULL, 0 });
}

static void on_manual_key(const Failure *failure, TpmKey *key, void *userdata) {
    ManualRequest *request = userdata;
    Failure problem = *failure;
    Identity *identity = manual_identity(request, &problem);

    request->key = key;
    if (problem.kind == FAILURE_NONE && pending_from_key(key, &request->pending) < 0)
        (void) failure_errno(&problem, -ENOMEM, "Keeping the new key");
    if (problem.kind != FAILURE_NONE)
        manual_finish(request, &problem, (BytesView) { NULL, 0 });
    else
        manual_make_request(request, identity);
}

static int manual_check(const Identity *identity, Failure *ret_failure) {
    if (identity_is_malformed(identity, ret_failure))
        return -EBADMSG;
    if (identity->config->protocol != PROTOCOL_MANUAL)
        return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT,
                           "%s enrols by itself (Protocol=est); set Protocol=manual to do it by hand.", identity->name);
    if (identity->manual_request || identity->enrolment)
        return failure_set(ret_failure, -EBUSY, FAILURE_BUSY, "A request for %s is being made just now; ask again.",
                           identity->name);
    return 0;
}

/* The request that is pending already: the same bytes again, since an ECDSA signature cannot be made twice. */
static bool manual_answer_pending(Identity *identity, OperationDone done, void *userdata) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    const TpmInformation *tpm = &identity->manager->tpm;
    Failure failure = FAILURE_INIT;
    int r = store_pending_load(identity->store, &pending, &failure);

    if (r == -ENOENT)
        return false;
    if (r >= 0 &&
        (!pending.manual || pending.request.size == 0 ||
         !bytes_view_equal(bytes_view(&pending.parent_name), (BytesView) { tpm->parent_name, tpm->parent_name_size })))
        return false;
    done(&failure, bytes_view(&pending.request), userdata);
    return true;
}

void identity_create_request(Identity *identity, bool new_key, OperationDone done, void *userdata) {
    Failure failure = FAILURE_INIT;

    if (manual_check(identity, &failure) < 0) {
        done(&failure, (BytesView) { NULL, 0 }, userdata);
        return;
    }
    if (!new_key && manual_answer_pending(identity, done, userdata))
        return;
    bool is_hung = manager_tpm_is_hung(identity->manager);
    if (identity->manager->tpm.state != TPM_STATE_READY || is_hung) {
        (void) failure_set(&failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "No request for %s without its TPM: %s",
                           identity->name, is_hung ? TPM_HUNG_TEXT : identity->manager->tpm_failure.text);
        done(&failure, (BytesView) { NULL, 0 }, userdata);
        return;
    }
    ManualRequest *request = calloc(1, sizeof *request);
    bool same_key = !new_key && !identity->config->rotate_key && identity->state == STATE_READY;
    int r = request ? 0 : -ENOMEM;
    if (r >= 0) {
        *request = (ManualRequest) {
            .manager = identity->manager,
            .identity = identity->instance,
            .id = ++identity->manager->next_id,
            .done = done,
            .userdata = userdata,
        };
        request->pending.manual = true;
        identity->manual_request = request->id;
        identity_set_activity(identity, ACTIVITY_ENROLLING);
        if (same_key) {
            r = tpm_key_copy(identity->key, &request->key);
            if (r >= 0)
                r = pending_from_key(request->key, &request->pending);
            request->pending.same_key = true;
        } else
            r = key_create_start(identity->manager, identity->config->algorithm, on_manual_key, request);
    }
    if (r < 0) {
        manual_request_free(request);
        identity->manual_request = 0;
        identity_set_activity(identity, ACTIVITY_IDLE);
        (void) failure_errno(&failure, r, "Making a request");
        done(&failure, (BytesView) { NULL, 0 }, userdata);
    } else if (same_key)
        manual_make_request(request, identity);
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
    if (!identity->key || !bytes_view_equal(bytes_view(&leaf->spki), tpm_key_spki(identity->key)))
        return failure_set(
            ret_failure, -EKEYREJECTED, FAILURE_CERTIFICATE_REJECTED,
            "No request is pending for %s, and the certificate is not for its present key: begin with `idctl request`.",
            identity->name);
    int r = pending_from_key(identity->key, ret);
    if (r < 0)
        return failure_errno(ret_failure, r, "Installing a chain");
    ret->same_key = ret->manual = true;
    return store_pending_save(identity->store, ret, ret_failure);
}

static int install(Identity *identity, const CertificateList *list, Failure *ret_failure) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };

    int r = store_pending_load(identity->store, &pending, ret_failure);
    if (r == -ENOENT || (r >= 0 && !pending.manual))
        r = pending_of_current(identity, list->list[0], &pending, ret_failure);
    if (r < 0)
        return r;
    CommitInput input = { .issued = list, .pending = &pending };
    return identity_commit(identity, &input, ret_failure);
}

void identity_install(Identity *identity, const BytesView *chain, size_t count, OperationDone done, void *userdata) {
    _cleanup_certificates_ CertificateList list = { 0 };
    Failure failure = FAILURE_INIT;

    int r = manual_check(identity, &failure);
    if (r >= 0)
        r = parse_chain(chain, count, &list, &failure);
    if (r >= 0)
        r = install(identity, &list, &failure);
    if (r < 0)
        log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity->name, "A chain was not installed: %s", failure.text);
    else
        failure = FAILURE_INIT;
    done(&failure, (BytesView) { NULL, 0 }, userdata);
}
