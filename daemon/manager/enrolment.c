/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to get a certificate by EST, from its first step to its outcome. The old generation stays live until the
 * new one is committed; what is made on the way (key, request) is kept under pending/, so that a restart or a "later"
 * goes on with the same. */
#include "manager/enrolment.h"

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#define LATER_MAX (7 * 24 * 3600U) /* seconds that a 202 may put us off */

/* ---- the end of an attempt ---- */

Enrolment *enrolment_free(Enrolment *enrolment) {
    if (!enrolment)
        return NULL;
    job_free(enrolment->job);
    stored_pending_clear(&enrolment->pending);
    tpm_key_free(enrolment->key);
    tpm_key_free(enrolment->authenticator_key);
    bytes_clear(&enrolment->authenticator_chain);
    free(enrolment->credential);
    free(enrolment->user);
    free(enrolment);
    return NULL;
}

Enrolment *enrolment_abort(Enrolment *enrolment, const Failure *failure) {
    if (!enrolment)
        return NULL;
    operations_finish(&enrolment->operations, failure, (BytesView) { NULL, 0 });
    return enrolment_free(enrolment);
}

/* Takes the enrolment out of the identity; `activity` is what remains to be done. */
static void enrolment_end(Enrolment *enrolment, const Failure *failure, const char *result, IdentityActivity activity) {
    Identity *identity = enrolment->identity;
    Operation *operations = TAKE_PTR(enrolment->operations);

    identity->enrolment = NULL;
    enrolment_free(enrolment);
    /* Where nothing comes by itself, as after an admin's attempt out of `revoked`, nobody waits. */
    if (activity == ACTIVITY_WAITING && !enrolment_comes_by_itself(identity))
        activity = ACTIVITY_IDLE;
    identity_set_activity(identity, activity);
    identity_changed(identity);
    operations_finish(&operations, failure, bytes_view_string(result));
    (void) malloc_trim(0); /* chains were parsed: much more than what stays, and the next time is months away */
}

static uint32_t random_bits(void) {
    uint32_t value = 0;

    (void) gnutls_rnd(GNUTLS_RND_NONCE, &value, sizeof value);
    return value;
}

void enrolment_fail(Enrolment *enrolment, const Failure *failure, bool permanent, uint32_t retry_after) {
    Identity *identity = enrolment->identity;
    Manager *manager = identity->manager;
    const Certificate *leaf = identity_leaf(identity);
    int64_t now = manager_now(manager);
    bool ready = identity->state == STATE_READY, renewal = enrolment->renewal;
    Failure copy = *failure;
    char when[64] = "none by itself";

    if ((permanent || failure->kind == FAILURE_CERTIFICATE_REJECTED) && enrolment->has_pending)
        (void) store_pending_drop(identity->store, NULL); /* the next attempt makes a new request */
    else if (enrolment->resumed)
        identity->resumes = enrolment->renewal ? RESUMES_RENEWAL : RESUMES_ENROLMENT;
    if (permanent)
        identity->boot_renewal_due = false; /* the CA has answered */
    tpm_note_failure(manager, failure);
    identity->attempts_failed++;
    if (identity->stored.failures < UINT32_MAX)
        identity->stored.failures++;
    identity->stored.next_attempt = schedule_retry(now, identity->stored.failures, leaf ? leaf->not_before : 0,
                                                   identity_chain_end(identity), retry_after, random_bits());
    identity_set_error(identity, failure->text);
    (void) identity_save_state(identity);
    uint32_t attempt = identity->stored.failures;
    enrolment_end(enrolment, &copy, "", ACTIVITY_WAITING);
    if (enrolment_comes_by_itself(identity))
        (void) snprintf(when, sizeof when, "in %" PRId64 " s", identity->stored.next_attempt - now);
    log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity->name,
              "%s attempt %" PRIu32 " failed (%s live; the next attempt is %s): %s", renewal ? "Renewal" : "Enrolment",
              attempt, ready ? "the present certificate stays" : "nothing is", when, copy.text);
}

void enrolment_fail_errno(Enrolment *enrolment, int r, const char *what) {
    Failure failure = FAILURE_INIT;

    (void) failure_errno(&failure, r, what);
    enrolment_fail(enrolment, &failure, false, 0);
}

static void enrolment_later(Enrolment *enrolment, uint32_t seconds) {
    Identity *identity = enrolment->identity;
    char text[160];

    if (seconds < 1)
        seconds = 1;
    if (seconds > LATER_MAX)
        seconds = LATER_MAX;
    identity->stored.next_attempt = manager_now(identity->manager) + seconds;
    identity->resumes = enrolment->renewal ? RESUMES_RENEWAL : RESUMES_ENROLMENT;
    snprintf(text, sizeof text, "The CA has taken the request and asks to come back in %" PRIu32 " s (HTTP 202).",
             seconds);
    identity_set_error(identity, text);
    (void) identity_save_state(identity);
    log_entry(LOG_INFO, MESSAGE_PENDING, identity->name, "%s", text);
    enrolment_end(enrolment, NULL, "pending", ACTIVITY_WAITING);
}

/* ---- what the enroller brings ---- */

static void on_job_progress(const char *step, void *userdata) {
    Enrolment *enrolment = userdata;

    log_entry(LOG_DEBUG, NULL, enrolment->identity->name, "Step: %s.", step);
}

static void on_job_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Enrolment *enrolment = userdata;

    enrolment_fail(enrolment, enrolment->own_failure.kind != FAILURE_NONE ? &enrolment->own_failure : failure,
                   permanent, retry_after);
}

/* With a clock that is behind, "not yet valid" proves nothing. */
static int64_t bootstrap_time(Manager *manager, const CertificateList *cacerts) {
    int64_t now = manager_now(manager);

    return manager->clock.below_floor ? certificate_list_begun(cacerts, now) : now;
}

/* /cacerts: the first anchors by fingerprint, or a rollover of those that are there. */
static int enrolment_take_cacerts(Enrolment *enrolment, const CertificateList *cacerts, BytesView server_chain,
                                  Failure *ret_failure) {
    Identity *identity = enrolment->identity;

    if (identity->anchors.count == 0 && identity->config->has_anchors_fingerprint) {
        _cleanup_certificates_ CertificateList anchors = { 0 };
        _cleanup_certificate_ Certificate *anchor = NULL;
        int r = trust_bootstrap(cacerts, identity->config->anchors_fingerprint,
                                bootstrap_time(identity->manager, cacerts), &anchor, ret_failure);
        if (r < 0)
            return r;
        r = certificate_list_add(&anchors, TAKE_PTR(anchor));
        return r < 0 ? failure_errno(ret_failure, r, "Keeping the anchor")
                     : identity_set_anchors(identity, &anchors, ret_failure);
    }
    /* Logs; a rollover that is refused does not hinder a renewal under the old root. */
    if (identity->anchors.count > 0)
        (void) identity_follow_rollover(identity, cacerts, server_chain);
    return 0;
}

static int enrolment_take_result(Enrolment *enrolment, const JobResult *result, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList issued = { 0 }, cacerts = { 0 };
    int r = 0;

    if (result->has_cacerts) {
        r = certificate_list_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &cacerts, ret_failure);
        if (r < 0)
            return failure_prefix(ret_failure, r, "The CA's answer to /cacerts");
        r = enrolment_take_cacerts(enrolment, &cacerts, bytes_view(&result->server_chain), ret_failure);
    }
    if (r < 0 || result->is_later)
        return r;
    if (!result->has_issued)
        return failure_set(ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller ended without a certificate.");
    r = certificate_list_from_pkcs7(bytes_view(&result->issued), CHAIN_MAX, &issued, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "The CA's answer to the enrolment");
    CommitInput input = {
        .issued = &issued, .helpers = &cacerts, .pending = &enrolment->pending, .renewal = enrolment->copy_names
    };
    return identity_commit(enrolment->identity, &input, ret_failure);
}

static void on_job_result(JobResult *result, void *userdata) {
    Enrolment *enrolment = userdata;
    Failure failure = FAILURE_INIT;

    int r = enrolment_take_result(enrolment, result, &failure);
    if (r < 0) {
        enrolment_fail(enrolment, &failure, false, 0);
        return;
    }
    if (result->is_later) {
        enrolment_later(enrolment, result->later);
        return;
    }
    enrolment_end(enrolment, NULL, "done", ACTIVITY_IDLE);
}

/* ---- beginning ---- */

static int on_job_turn(JobOrder *order, void *userdata, Failure *ret_failure) {
    Enrolment *enrolment = userdata;

    int r = enrolment_password(enrolment, &order->password, ret_failure);
    if (r < 0)
        return r;
    order->request = (JobRequest) {
        .kind = enrolment->renewal ? JOB_KIND_REENROLL : JOB_KIND_ENROLL,
        .client_chain = bytes_view(&enrolment->authenticator_chain),
        .client_algorithm =
            enrolment->authenticator_key ? tpm_key_algorithm(enrolment->authenticator_key) : KEY_ECDSA_P256,
        .user = enrolment->user,
        .password = order->password,
        .request = bytes_view(&enrolment->pending.request),
        .allow_tls12 = enrolment->identity->config->allow_tls12,
    };
    return identity_job_prepare(enrolment->identity, order, ret_failure);
}

static void enrolment_connect(Enrolment *enrolment) {
    static const JobCallbacks callbacks = {
        .prepare = on_job_turn,
        .progress = on_job_progress,
        .question = enrolment_question,
        .result = on_job_result,
        .failed = on_job_failed,
    };
    Failure failure = FAILURE_INIT;

    if (identity_job_start(enrolment->identity, JOB_LINE_ENROLLER, &callbacks, enrolment, &enrolment->job, &failure) <
        0)
        enrolment_fail(enrolment, &failure, false, 0);
}

static void on_key_created(const Failure *failure, TpmKey *created, void *userdata) {
    _cleanup_free_ EnrolmentToken *token = userdata;
    _cleanup_tpm_key_ TpmKey *key = created;
    Enrolment *enrolment = enrolment_by_token(token);
    Failure problem = *failure;

    if (!enrolment)
        return;
    if (problem.kind != FAILURE_NONE) {
        enrolment_fail(enrolment, &problem, false, 0);
        return;
    }
    enrolment->key = TAKE_PTR(key);
    int r = pending_from_key(enrolment->key, &enrolment->pending);
    if (r >= 0) {
        enrolment->pending.reenroll = enrolment->renewal;
        enrolment->has_pending = true;
        (void) store_pending_save(enrolment->identity->store, &enrolment->pending, &problem);
    } else
        (void) failure_errno(&problem, r, "Keeping the new key");
    if (problem.kind != FAILURE_NONE)
        enrolment_fail(enrolment, &problem, false, 0);
    else
        enrolment_connect(enrolment);
}

int pending_from_key(const TpmKey *key, StoredPending *pending) {
    int r = tpm_key_to_pem(key, &pending->key_pem);

    return r < 0 ? r : bytes_copy(tpm_key_parent_name(key), &pending->parent_name);
}

/* Whether work that was left under pending/ is still what this attempt would do. */
static bool pending_fits(const Enrolment *enrolment, const StoredPending *pending, const TpmKey *key, bool new_key) {
    const Identity *identity = enrolment->identity;
    const TpmInformation *tpm = &identity->manager->tpm;

    /* Where a new key is a must (revoked, say), a request that was begun with the old one is none to go on with. */
    return !pending->manual && !(new_key && pending->same_key) && pending->reenroll == enrolment->renewal &&
           tpm_key_algorithm(key) == identity->config->algorithm &&
           bytes_view_equal(bytes_view(&pending->parent_name), (BytesView) { tpm->parent_name, tpm->parent_name_size });
}

/* 1: goes on with what is there; 0: there is nothing that fits. What cannot be read is left for a person to look at. */
static int enrolment_resume(Enrolment *enrolment, bool new_key, Failure *ret_failure) {
    Identity *identity = enrolment->identity;
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    int r = store_pending_load(identity->store, &pending, ret_failure);

    if (r == -ENOENT)
        return 0;
    if (r >= 0)
        r = tpm_key_from_pem(bytes_view(&pending.key_pem), bytes_view(&pending.parent_name), &key, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r,
                              "Unfinished work in %s/pending cannot be read (mend it, or drop it with `idctl enroll "
                              "--new-key`)",
                              identity->name);
    if (!pending_fits(enrolment, &pending, key, new_key)) {
        log_entry(LOG_NOTICE, NULL, identity->name,
                  "Unfinished work is dropped: it does not fit the configuration any more.");
        (void) store_pending_drop(identity->store, NULL);
        return 0;
    }
    enrolment->pending = pending;
    pending = (StoredPending) { 0 };
    enrolment->has_pending = true;
    enrolment->resumed = enrolment->pending.request.size > 0;
    enrolment->key = TAKE_PTR(key);
    return 1;
}

static int enrolment_same_key(Enrolment *enrolment, Failure *ret_failure) {
    Identity *identity = enrolment->identity;

    int r = tpm_key_copy(identity->key, &enrolment->key);
    if (r >= 0)
        r = pending_from_key(enrolment->key, &enrolment->pending);
    if (r < 0)
        return failure_errno(ret_failure, r, "Preparing the renewal");
    enrolment->pending.same_key = true;
    enrolment->pending.reenroll = enrolment->renewal;
    enrolment->has_pending = true;
    return store_pending_save(identity->store, &enrolment->pending, ret_failure);
}

void enrolment_begin(Identity *identity, const EnrolmentStart *start) {
    Manager *manager = identity->manager;
    Failure failure = FAILURE_INIT;
    Enrolment *enrolment = calloc(1, sizeof *enrolment);

    if (!enrolment) {
        (void) failure_errno(&failure, -ENOMEM, "Starting an enrolment");
        if (start->operations)
            operations_finish(start->operations, &failure, (BytesView) { NULL, 0 });
        return;
    }
    enrolment->identity = identity;
    enrolment->id = ++manager->next_id;
    enrolment->renewal = start->renewal;
    enrolment->copy_names = start->copy_names && identity_leaf(identity);
    enrolment->operations = start->operations ? TAKE_PTR(*start->operations) : NULL;
    identity->enrolment = enrolment;
    identity->resumes = RESUMES_NOTHING;
    identity->attempts++;
    identity_set_activity(identity, identity->generation > 0 && identity->state == STATE_READY ? ACTIVITY_RENEWING
                                                                                               : ACTIVITY_ENROLLING);

    int r = enrolment_prepare(enrolment, &failure);
    if (r < 0) {
        enrolment_fail(enrolment, &failure, false, 0);
        return;
    }
    if (start->drop_pending)
        (void) store_pending_drop(identity->store, NULL);
    r = enrolment_resume(enrolment, start->new_key, &failure);
    if (r < 0) {
        enrolment_fail(enrolment, &failure, false, 0);
        return;
    }
    if (r > 0) {
        enrolment_connect(enrolment);
        return;
    }
    if (!start->new_key && identity->key && identity->state == STATE_READY &&
        tpm_key_algorithm(identity->key) == identity->config->algorithm) {
        r = enrolment_same_key(enrolment, &failure);
        if (r < 0)
            enrolment_fail(enrolment, &failure, false, 0);
        else
            enrolment_connect(enrolment);
        return;
    }
    EnrolmentToken *token = enrolment_token(enrolment, NULL);
    r = !token ? -ENOMEM : key_create_start(manager, identity->config->algorithm, on_key_created, token);
    if (r < 0) {
        free(token);
        enrolment_fail_errno(enrolment, r, "Creating a key");
    }
}
