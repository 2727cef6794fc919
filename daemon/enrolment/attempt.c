/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps of an attempt: authentication, key, the enroller's job, and what it brings. */
#include "enrolment/attempt.h"

#include "device/log.h"
#include "enrolment/commit.h"
#include "enrolment/follow.h"
#include "enrolment/pending.h"
#include "enrolment/request-names.h"
#include "identity/identity-job.h"

#include <string.h>

Attempt *attempt_free(Attempt *attempt) {
    if (!attempt)
        return NULL;
    job_free(attempt->job);
    tpm_task_forget(attempt->task);
    stored_pending_clear(&attempt->pending);
    tpm_key_free(attempt->key);
    tpm_key_free(attempt->authenticator_key);
    bytes_clear(&attempt->authenticator_chain);
    free(attempt->credential);
    free(attempt->user);
    free(attempt);
    return NULL;
}

const AttemptStart *attempt_start(const Attempt *attempt) {
    return &attempt->start;
}

bool attempt_keeps_key(const Attempt *attempt) {
    return attempt->pending.same_key;
}

bool attempt_is_resumed(const Attempt *attempt) {
    return attempt->is_resumed;
}

/* ---- the end ---- */

/* The next attempt makes a new request. One that a CA had taken (202) and that was linked to its TLS session cannot be
 * linked to the next: who checks that again refuses it, and is shown the same key in a new request, by which it knows
 * it. */
static void drop_refused(Attempt *attempt, const AttemptEnd *how) {
    Store *store = identity_store(attempt->identity);

    if (attempt->is_resumed && how->failure.kind != FAILURE_CERTIFICATE_REJECTED &&
        csr_has_challenge(bytes_view(&attempt->pending.request))) {
        bytes_clear(&attempt->pending.request);
        if (store_pending_save(store, &attempt->pending, NULL) >= 0)
            return;
    }
    (void) store_pending_drop(store, NULL);
}

static void end(Attempt *attempt, AttemptEnd *how) {
    bool is_refused =
        how->result == ATTEMPT_FAILED && (how->permanent || how->failure.kind == FAILURE_CERTIFICATE_REJECTED);

    attempt->job = job_free(attempt->job);
    if (is_refused && attempt->has_pending)
        drop_refused(attempt, how);
    if (how->result == ATTEMPT_FAILED)
        (void) tpm_watch_note(device_tpm(identity_context(attempt->identity)->device), &how->failure);
    attempt->start.ended(attempt, how, attempt->start.userdata);
}

static void fail(Attempt *attempt, const Failure *failure) {
    AttemptEnd how = { .result = ATTEMPT_FAILED, .failure = *failure };

    end(attempt, &how);
}

/* ---- what the enroller brings ---- */

static void on_job_progress(const char *step, void *userdata) {
    const Attempt *attempt = userdata;

    log_entry(LOG_DEBUG, NULL, identity_name(attempt->identity), "Step: %s.", step);
}

static void on_job_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Attempt *attempt = userdata;
    AttemptEnd how = { .result = ATTEMPT_FAILED,
                       .failure = attempt->own_failure.kind != FAILURE_NONE ? attempt->own_failure : *failure,
                       .permanent = permanent,
                       .told = retry_after };

    end(attempt, &how);
}

static int take_issued(Attempt *attempt, const JobResult *result, const CertificateList *cacerts, AttemptEnd *how) {
    _cleanup_certificates_ CertificateList issued = { 0 };
    LeftOut left_out = { 0 };
    Identity *identity = attempt->identity;

    if (result->has_issued && attempt->pending.request.size == 0) /* an old one, say, whose names are others */
        return failure_set(&how->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller brought a certificate without having asked for a request.");
    if (!result->has_issued)
        return failure_set(&how->failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller ended without a certificate.");
    int r = certificate_bundle_from_pkcs7(bytes_view(&result->issued), CHAIN_MAX, &issued, &left_out, &how->failure);
    if (r < 0)
        return failure_prefix(&how->failure, r, "The CA's answer to the enrolment");
    identity_tell_left_out(identity, "the CA's answer to the enrolment", &left_out);
    const CommitInput input = {
        .issued = &issued, .helpers = cacerts, .pending = &attempt->pending, .is_renewal = attempt->start.present_names
    };
    r = commit(identity, &input, &how->begins, &how->failure);
    if (r < 0 && how->failure.kind == FAILURE_CERTIFICATE_REJECTED)
        how->wasted_lifetime = issued.list[0]->not_after - identity_now(identity);
    if (r == COMMIT_EARLY) {
        r = pending_keep_issued(identity, &attempt->pending, &issued, cacerts, &how->failure);
        how->result = ATTEMPT_EARLY;
    }
    return r < 0 ? r : 0;
}

/* A password goes over TLS 1.2 as well; the certificate that renewals show goes over TLS 1.3 alone. Better said now
 * than by the first renewal. */
static void warn_of_tls12(const Attempt *attempt, const JobResult *result) {
    const IdentityConfig *config = identity_config(attempt->identity);
    const Authenticate *renewal = &config->renewal_authenticate;
    bool renews_by_certificate = renewal->identity || !renewal->credential;

    if (!result->tls || strncmp(result->tls, "TLS1.2 ", 7) != 0 || attempt->authenticator_key || config->allow_tls12 ||
        !renews_by_certificate)
        return;
    log_entry(
        LOG_WARNING, MESSAGE_CONFIGURATION, identity_name(attempt->identity),
        "%s was enrolled by password over TLS 1.2, and its renewals will want TLS 1.3, which a certificate is shown "
        "over: have the CA's server (%s) speak TLS 1.3, or set AllowTLS12=yes in [Enrollment].",
        identity_name(attempt->identity), result->server ? result->server : "?");
}

static int take_result(Attempt *attempt, const JobResult *result, AttemptEnd *how) {
    _cleanup_certificates_ CertificateList cacerts = { 0 };
    LeftOut left_out = { 0 };
    int r = 0;

    if (result->has_cacerts) {
        r = certificate_bundle_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &cacerts, &left_out, &how->failure);
        if (r < 0)
            return failure_prefix(&how->failure, r, "The CA's answer to /cacerts");
        identity_tell_left_out(attempt->identity, "the CA's answer to /cacerts", &left_out);
        r = follow_cacerts(attempt->identity, &cacerts, bytes_view(&result->server_chain), &how->failure);
    }
    if (r < 0)
        return r;
    if (result->is_later) {
        how->result = ATTEMPT_PUT_OFF;
        how->told = result->later;
        return 0;
    }
    return take_issued(attempt, result, &cacerts, how);
}

static void on_job_result(JobResult *result, void *userdata) {
    Attempt *attempt = userdata;
    AttemptEnd how = { .result = ATTEMPT_DONE };

    if (take_result(attempt, result, &how) < 0)
        how.result = ATTEMPT_FAILED;
    else if (result->has_issued)
        warn_of_tls12(attempt, result);
    end(attempt, &how);
}

/* ---- the job ---- */

static int on_job_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    Attempt *attempt = userdata;
    const IdentityConfig *config = identity_config(attempt->identity);

    if (identity_is_misconfigured(attempt->identity, ret_failure))
        return -EBADMSG;
    int r = attempt_password(attempt, &order->password, ret_failure);
    if (r < 0)
        return r;
    order->request = (JobRequest) {
        .kind = attempt_is_reenrolment(attempt) ? JOB_KIND_REENROLL : JOB_KIND_ENROLL,
        .client_chain = bytes_view(&attempt->authenticator_chain),
        .client_algorithm = attempt->authenticator_key ? tpm_key_algorithm(attempt->authenticator_key) : KEY_ECDSA_P256,
        .user = attempt->user,
        .password = order->password,
        .request = bytes_view(&attempt->pending.request),
        .allow_tls12 = config->allow_tls12,
    };
    return identity_job_prepare(attempt->identity, order, ret_failure);
}

static int begin_job(Attempt *attempt, Failure *ret_failure) {
    static const JobCallbacks callbacks = {
        .prepare = on_job_turn,
        .progress = on_job_progress,
        .question = attempt_question,
        .result = on_job_result,
        .failed = on_job_failed,
    };
    const IdentityJob start = { JOB_LINE_ENROLLER, &callbacks, attempt };

    return identity_job_start(attempt->identity, &start, &attempt->job, ret_failure);
}

/* ---- the key ---- */

static void note_kind(Attempt *attempt) {
    attempt->pending.reenroll = attempt_is_reenrolment(attempt);
    attempt->pending.present_names = attempt->start.present_names;
}

static void on_key_created(const Failure *failure, TpmKey *created, void *userdata) {
    Attempt *attempt = userdata;
    Failure problem = *failure;

    attempt->task = NULL;
    attempt->key = created;
    if (problem.kind == FAILURE_NONE && pending_from_key(created, &attempt->pending) < 0)
        (void) failure_errno(&problem, -ENOMEM, "Keeping the new key");
    if (problem.kind == FAILURE_NONE) {
        note_kind(attempt);
        attempt->has_pending = true;
        (void) store_pending_save(identity_store(attempt->identity), &attempt->pending, &problem);
    }
    if (problem.kind == FAILURE_NONE)
        (void) begin_job(attempt, &problem);
    if (problem.kind != FAILURE_NONE)
        fail(attempt, &problem);
}

/* A renewal copies the names that it has. What cannot be compared is taken for the same: making a new request would
 * fail of that, and say so. */
static bool has_other_names(const Attempt *attempt, const StoredPending *pending) {
    return pending->request.size > 0 && !pending->present_names &&
           request_has_configured_names(attempt->identity, bytes_view(&pending->request), NULL) == 0;
}

/* Whether work that was left under pending/ is still what this attempt would do. */
static bool pending_fits(const Attempt *attempt, const StoredPending *pending, const TpmKey *key) {
    const Identity *identity = attempt->identity;
    BytesView parent = tpm_watch_parent_name(device_tpm(identity_context(identity)->device));

    /* Where a new key is a must (revoked, say), a request that was begun with the old one is none to go on with. */
    return !pending->manual && !(attempt->start.new_key && pending->same_key) &&
           tpm_key_algorithm(key) == identity_config(identity)->algorithm &&
           bytes_view_equal(bytes_view(&pending->parent_name), parent) && !has_other_names(attempt, pending);
}

/* 1: goes on with what is there; 0: there is nothing that fits. What is damaged is no reason to stop: it is put aside.
 */
static int resume(Attempt *attempt, Failure *ret_failure) {
    Identity *identity = attempt->identity;
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    int r = store_pending_load(identity_store(identity), &pending, ret_failure);

    if (r == -ENOENT)
        return 0;
    if (r >= 0)
        r = tpm_key_from_pem(bytes_view(&pending.key_pem), bytes_view(&pending.parent_name), &key, ret_failure);
    /* -EINVAL: what is there is no key. */
    if (r < 0 && r != -EBADMSG && r != -EINVAL)
        return r;
    if (r < 0 || !pending_fits(attempt, &pending, key)) {
        log_entry(LOG_NOTICE, MESSAGE_STORAGE, identity_name(identity), "Unfinished work (pending/) is dropped: %s",
                  r < 0 ? ret_failure->text : "it does not fit what is to be done any more.");
        *ret_failure = FAILURE_INIT;
        return store_pending_drop(identity_store(identity), ret_failure);
    }
    attempt->pending = pending;
    pending = (StoredPending) { 0 };
    attempt->has_pending = true;
    if (attempt->pending.reenroll != attempt_is_reenrolment(attempt) ||
        attempt->pending.present_names != attempt->start.present_names) { /* the key is as good, the names may differ */
        bytes_clear(&attempt->pending.request);
        note_kind(attempt);
    }
    attempt->is_resumed = attempt->pending.request.size > 0;
    attempt->key = TAKE_PTR(key);
    return 1;
}

static int keep_key(Attempt *attempt, Failure *ret_failure) {
    Identity *identity = attempt->identity;

    attempt->key = tpm_key_ref(identity_key(identity));
    int r = pending_from_key(attempt->key, &attempt->pending);
    if (r < 0)
        return failure_errno(ret_failure, r, "Preparing the renewal");
    attempt->pending.same_key = true;
    note_kind(attempt);
    attempt->has_pending = true;
    return store_pending_save(identity_store(identity), &attempt->pending, ret_failure);
}

static bool may_keep_key(const Attempt *attempt) {
    const Identity *identity = attempt->identity;

    return !attempt->start.new_key && identity_key(identity) && identity_state(identity) == STATE_READY &&
           tpm_key_algorithm(identity_key(identity)) == identity_config(identity)->algorithm;
}

static int begin(Attempt *attempt, Failure *ret_failure) {
    Identity *identity = attempt->identity;
    int r = attempt_authenticate(attempt, ret_failure);

    if (r >= 0 && attempt->start.drop_pending)
        (void) store_pending_drop(identity_store(identity), NULL);
    if (r >= 0)
        r = resume(attempt, ret_failure);
    if (r < 0)
        return r;
    if (r > 0)
        return begin_job(attempt, ret_failure);
    if (may_keep_key(attempt)) {
        r = keep_key(attempt, ret_failure);
        return r < 0 ? r : begin_job(attempt, ret_failure);
    }
    r = key_task_start(identity_context(identity)->work, identity_config(identity)->algorithm, on_key_created, attempt,
                       &attempt->task);
    return r < 0 ? failure_errno(ret_failure, r, "Creating a key") : 0;
}

int attempt_begin(Identity *identity, const AttemptStart *start, Attempt **ret, AttemptEnd *ret_end) {
    _cleanup_(attempt_free_p) Attempt *attempt = calloc(1, sizeof *attempt);

    *ret_end = (AttemptEnd) { .result = ATTEMPT_FAILED };
    if (!attempt)
        return failure_errno(&ret_end->failure, -ENOMEM, "Beginning an attempt");
    attempt->identity = identity;
    attempt->start = *start;
    attempt->start.present_names = start->present_names && identity_leaf(identity);
    int r = begin(attempt, &ret_end->failure);
    if (r < 0) {
        ret_end->waits_for_authenticator = attempt->waits_for_authenticator;
        return r;
    }
    *ret = TAKE_PTR(attempt);
    return 0;
}
