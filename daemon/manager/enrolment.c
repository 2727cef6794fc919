/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One attempt to get a certificate by EST, from its first step to its outcome. The old generation stays live until the
 * new one is committed; what is made on the way (key, request) is kept under pending/, so that a restart or a "later"
 * goes on with the same. */
#include "manager/enrolment.h"

#include "common/certificate-verify.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LATER_MAX (7 * 24 * 3600U) /* seconds that a 202 may put us off */

/* ---- authentication ---- */

static const Authenticate *enrolment_authenticate(const Identity *identity, bool renewal) {
    static const Authenticate none = { .kind = AUTHENTICATE_NONE };
    const IdentityConfig *config = identity->config;

    if (!renewal)
        return &config->authenticate;
    return config->renewal_authenticate.kind != AUTHENTICATE_NONE ? &config->renewal_authenticate : &none;
}

static int enrolment_prepare_identity(Enrolment *enrolment, Identity *authenticator, Failure *ret_failure) {
    int r = identity_require_ready(authenticator, ret_failure);

    if (r < 0) {
        if (authenticator != enrolment->identity)
            enrolment->identity->waits_for_authenticator = true;
        return failure_prefix(ret_failure, r, "%s authenticates with %s", enrolment->identity->name,
                              authenticator->name);
    }
    enrolment->authenticator = authenticator->instance;
    enrolment->authenticator_generation = authenticator->generation;
    r = tpm_key_copy(authenticator->key, &enrolment->authenticator_key);
    if (r >= 0)
        r = certificate_list_to_pem(&authenticator->chain, &enrolment->authenticator_chain);
    return r < 0 ? failure_errno(ret_failure, r, "Preparing the authentication") : 0;
}

static int enrolment_prepare_credential(Enrolment *enrolment, const Authenticate *authenticate, Failure *ret_failure) {
    Identity *identity = enrolment->identity;
    Specifiers specifiers;
    const char *problem = NULL;

    int r = secret_from_credential(authenticate->name, &enrolment->password);
    if (r < 0)
        return failure_set(
            ret_failure, r, FAILURE_ENROLLMENT_FAILED,
            "%s authenticates with the systemd credential %s, which cannot be read (%s): add LoadCredential=%s:… to "
            "identityd.service.",
            identity->name, authenticate->name, strerror(-r), authenticate->name);
    r = identity_specifiers(identity, &specifiers);
    if (r >= 0)
        r = specifiers_expand(authenticate->user ? authenticate->user : "%d", &specifiers, false, &enrolment->user,
                              &problem);
    return r < 0
               ? failure_set(ret_failure, r, FAILURE_INVALID_ARGUMENT, "%s: [Enrollment] User=%s: %s.", identity->name,
                             authenticate->user ? authenticate->user : "%d", problem ? problem : strerror(-r))
               : 0;
}

static int enrolment_prepare(Enrolment *enrolment, Failure *ret_failure) {
    Identity *identity = enrolment->identity;
    const Authenticate *authenticate = enrolment_authenticate(identity, enrolment->renewal);

    identity->waits_for_authenticator = false;
    switch (authenticate->kind) {
    case AUTHENTICATE_IDENTITY: {
        Identity *authenticator = manager_find_identity(identity->manager, authenticate->name, ret_failure);
        if (!authenticator)
            return failure_prefix(ret_failure, -ENOENT, "%s: Authenticate=identity:%s", identity->name,
                                  authenticate->name);
        return enrolment_prepare_identity(enrolment, authenticator, ret_failure);
    }
    case AUTHENTICATE_CREDENTIAL:
        return enrolment_prepare_credential(enrolment, authenticate, ret_failure);
    case AUTHENTICATE_NONE:
        if (enrolment->renewal)
            return enrolment_prepare_identity(enrolment, identity, ret_failure);
        if (identity->state == STATE_EXPIRED)
            return failure_set(ret_failure, -EKEYEXPIRED, FAILURE_ENROLLMENT_FAILED,
                               "The certificate of %s has expired and nothing else may authenticate its enrolment: set "
                               "Authenticate= in "
                               "[Enrollment] (identity:NAME or credential:NAME).",
                               identity->name);
        return 0;
    }
    return -EINVAL;
}

/* ---- the end of an attempt ---- */

Enrolment *enrolment_free(Enrolment *enrolment) {
    if (!enrolment)
        return NULL;
    job_free(enrolment->job);
    stored_pending_clear(&enrolment->pending);
    tpm_key_free(enrolment->key);
    tpm_key_free(enrolment->authenticator_key);
    bytes_clear(&enrolment->authenticator_chain);
    secret_free(enrolment->password);
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
    identity_set_activity(identity, activity);
    identity_changed(identity);
    operations_finish(&operations, failure, bytes_view_string(result));
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
    char when[64];

    if ((permanent || failure->kind == FAILURE_CERTIFICATE_REJECTED) && enrolment->has_pending)
        (void) store_pending_drop(identity->store, NULL); /* the next attempt makes a new request */
    tpm_note_failure(manager, failure);
    identity->attempts_failed++;
    manager->enrolments_failed++;
    if (identity->stored.failures < UINT32_MAX)
        identity->stored.failures++;
    identity->stored.next_attempt = schedule_retry(now, identity->stored.failures, leaf ? leaf->not_before : 0,
                                                   leaf ? leaf->not_after : 0, retry_after, random_bits());
    identity_set_error(identity, failure->text);
    (void) identity_save_state(identity);
    snprintf(when, sizeof when, "%" PRId64, identity->stored.next_attempt - now);
    log_entry(LOG_WARNING, MESSAGE_ATTEMPT_FAILED, identity->name,
              "%s attempt %" PRIu32 " failed (%s live; the next attempt is in %s s): %s",
              enrolment->renewal ? "Renewal" : "Enrolment", identity->stored.failures,
              identity->state == STATE_READY ? "the present certificate stays" : "nothing is", when, failure->text);
    Failure copy = *failure;
    enrolment_end(enrolment, &copy, "", ACTIVITY_WAITING);
}

static void enrolment_fail_errno(Enrolment *enrolment, int r, const char *what) {
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
    snprintf(text, sizeof text, "The CA has taken the request and asks to come back in %" PRIu32 " s (HTTP 202).",
             seconds);
    identity_set_error(identity, text);
    (void) identity_save_state(identity);
    log_entry(LOG_INFO, MESSAGE_PENDING, identity->name, "%s", text);
    enrolment_end(enrolment, NULL, "pending", ACTIVITY_WAITING);
}

/* ---- what the enroller asks and brings ---- */

static Enrolment *enrolment_by_token(const EnrolmentToken *token) {
    Identity *identity = identity_by_instance(token->manager, token->identity);

    return identity && identity->enrolment && identity->enrolment->id == token->enrolment ? identity->enrolment : NULL;
}

static EnrolmentToken *enrolment_token(Enrolment *enrolment, const JobQuestion *question) {
    EnrolmentToken *token = malloc(sizeof *token);

    if (token)
        *token = (EnrolmentToken) { enrolment->identity->manager, enrolment->identity->instance, enrolment->id,
                                    question ? question->type : 0, question ? question->serial : 0 };
    return token;
}

static void enrolment_answer(Enrolment *enrolment, const EnrolmentToken *token, const Failure *failure,
                             BytesView body) {
    int r = job_answer(enrolment->job, token->type, token->serial, failure, body);

    if (r < 0)
        enrolment_fail_errno(enrolment, r, "Answering the enroller");
    else if (failure->kind != FAILURE_NONE)
        enrolment->own_failure = *failure; /* ours is the better text than what the enroller makes of it */
}

static void on_request_made(const Failure *failure, BytesView der, void *userdata) {
    _cleanup_free_ EnrolmentToken *token = userdata;
    Enrolment *enrolment = enrolment_by_token(token);
    Failure refusal = *failure;

    if (!enrolment)
        return;
    if (refusal.kind == FAILURE_NONE) {
        int r = bytes_copy(der, &enrolment->pending.request);
        if (r < 0)
            (void) failure_errno(&refusal, r, "Keeping the request");
        else
            (void) store_pending_save(enrolment->identity->store, &enrolment->pending, &refusal);
    }
    enrolment_answer(enrolment, token, &refusal, der);
}

static int question_check_request(const Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    const IdentityConfig *config = enrolment->identity->config;

    if (enrolment->pending.request.size > 0)
        return failure_set(ret_failure, -EPROTO, FAILURE_ENROLLMENT_FAILED,
                           "The enroller asked for a request although it was given one.");
    if (question->key_type >= 0 && (KeyAlgorithm) question->key_type != tpm_key_algorithm(enrolment->key))
        return failure_set(ret_failure, -EINVAL, FAILURE_ENROLLMENT_FAILED,
                           "The CA asks for a key of the type %s (/csrattrs) but %s has one of the type %s: set "
                           "Algorithm=%s in [Key].",
                           key_algorithm_to_string((KeyAlgorithm) question->key_type), enrolment->identity->name,
                           key_algorithm_to_string(tpm_key_algorithm(enrolment->key)),
                           key_algorithm_to_string((KeyAlgorithm) question->key_type));
    for (size_t i = 0; i < question->eku_count; i++) {
        bool client = strcmp(question->eku[i], EKU_CLIENT_AUTH) == 0,
             server = strcmp(question->eku[i], EKU_SERVER_AUTH) == 0;
        if ((client || server) && config->access[PURPOSE_DATA].count > 0)
            return failure_set(
                ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                "The CA asks for a TLS extended key usage (/csrattrs), which %s must not have since it grants `data`.",
                enrolment->identity->name);
        if (!client && !server)
            return failure_set(ret_failure, -EPERM, FAILURE_ENROLLMENT_FAILED,
                               "The CA asks for the extended key usage %s (/csrattrs); only TLS client and server "
                               "authentication are given.",
                               question->eku[i]);
    }
    return 0;
}

static int question_request(Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    int r = question_check_request(enrolment, question, ret_failure);

    if (r < 0)
        return r;
    _cleanup_free_ EnrolmentToken *token = enrolment_token(enrolment, question);
    if (!token)
        return failure_errno(ret_failure, -ENOMEM, "Making a request");
    RequestInput input = {
        .key = enrolment->key, .renew = enrolment->copy_names, .eku = question->eku, .eku_count = question->eku_count
    };
    r = request_start(enrolment->identity, &input, on_request_made, token, ret_failure);
    if (r >= 0)
        (void) TAKE_PTR(token);
    return r;
}

static void on_signed(const Failure *failure, BytesView signature, void *userdata) {
    _cleanup_free_ EnrolmentToken *token = userdata;
    Enrolment *enrolment = enrolment_by_token(token);

    if (!enrolment)
        return;
    if (failure->kind == FAILURE_NONE && enrolment->authenticator) {
        Identity *authenticator = identity_by_instance(token->manager, enrolment->authenticator);
        if (authenticator)
            identity_generation_used(authenticator, enrolment->authenticator_generation);
    }
    enrolment_answer(enrolment, token, failure, signature);
}

static int question_sign(Enrolment *enrolment, const JobQuestion *question, Failure *ret_failure) {
    uint8_t content[CERTIFICATE_VERIFY_MAX], digest[64];
    const SignatureScheme *scheme = question->scheme;
    int size;

    if (!enrolment->authenticator_key || !scheme_fits(scheme, tpm_key_algorithm(enrolment->authenticator_key)))
        return failure_set(ret_failure, -EINVAL, FAILURE_PURPOSE_VIOLATION,
                           "The enroller asked for a signature that its job has no key for (%s).", scheme->name);
    if (question->type == JOB_PACKET_SIGN_DIGEST) {
        size = (int) question->hash.size;
        if (question->hash.size != (size_t) scheme->hash)
            return failure_set(ret_failure, -EINVAL, FAILURE_INVALID_ARGUMENT, "A digest for %s has %d bytes, not %zu.",
                               scheme->name, (int) scheme->hash, question->hash.size);
        memcpy(digest, question->hash.data, question->hash.size);
    } else {
        size = scheme->tls ? certificate_verify_build(TLS_SIDE_CLIENT, question->hash, content) : -EINVAL;
        if (size >= 0)
            size = scheme_digest(scheme, content, (size_t) size, digest);
        if (size < 0)
            return failure_set(ret_failure, size, FAILURE_INVALID_ARGUMENT,
                               "The enroller asked for a signature on what is no TLS 1.3 transcript hash.");
    }
    Identity *authenticator = identity_by_instance(enrolment->identity->manager, enrolment->authenticator);
    if (!authenticator || identity_require_ready(authenticator, ret_failure) < 0)
        return authenticator
                   ? -EPERM
                   : failure_set(ret_failure, -ENOENT, FAILURE_NO_SUCH_IDENTITY,
                                 "The identity that %s authenticates with was removed.", enrolment->identity->name);
    _cleanup_free_ EnrolmentToken *token = enrolment_token(enrolment, question);
    int r = !token ? -ENOMEM
                   : sign_start(enrolment->identity->manager, enrolment->authenticator_key, scheme,
                                (BytesView) { digest, (size_t) size }, on_signed, token);
    if (r < 0)
        return failure_errno(ret_failure, r, "Signing for the enroller");
    (void) TAKE_PTR(token);
    return 0;
}

static void on_job_question(const JobQuestion *question, void *userdata) {
    Enrolment *enrolment = userdata;
    Failure failure = FAILURE_INIT;
    int r = question->type == JOB_PACKET_CREATE_REQUEST ? question_request(enrolment, question, &failure)
                                                        : question_sign(enrolment, question, &failure);

    if (r < 0) {
        EnrolmentToken token = { .type = question->type, .serial = question->serial };
        enrolment_answer(enrolment, &token, &failure, (BytesView) { NULL, 0 });
    }
}

static void on_job_progress(const char *step, void *userdata) {
    Enrolment *enrolment = userdata;

    log_entry(LOG_DEBUG, NULL, enrolment->identity->name, "Step: %s.", step);
}

static void on_job_failed(const Failure *failure, bool permanent, uint32_t retry_after, void *userdata) {
    Enrolment *enrolment = userdata;

    enrolment_fail(enrolment, enrolment->own_failure.kind != FAILURE_NONE ? &enrolment->own_failure : failure,
                   permanent, retry_after);
}

/* /cacerts: the first anchors by fingerprint, or a rollover of those that are there. */
static int enrolment_take_cacerts(Enrolment *enrolment, const CertificateList *cacerts, Failure *ret_failure) {
    Identity *identity = enrolment->identity;

    if (identity->anchors.count == 0 && identity->config->has_anchors_fingerprint) {
        _cleanup_certificates_ CertificateList anchors = { 0 };
        _cleanup_certificate_ Certificate *anchor = NULL;
        int r = trust_bootstrap(cacerts, identity->config->anchors_fingerprint,
                                manager_verification_time(identity->manager, NULL), &anchor, ret_failure);
        if (r < 0)
            return r;
        r = certificate_list_add(&anchors, TAKE_PTR(anchor));
        return r < 0 ? failure_errno(ret_failure, r, "Keeping the anchor")
                     : identity_set_anchors(identity, &anchors, ret_failure);
    }
    if (identity->anchors.count > 0)
        (void) identity_follow_rollover(
            identity, cacerts); /* logs; a rollover that is refused does not hinder a renewal under the old root */
    return 0;
}

static int enrolment_take_result(Enrolment *enrolment, const JobResult *result, Failure *ret_failure) {
    _cleanup_certificates_ CertificateList issued = { 0 }, cacerts = { 0 };
    int r = 0;

    if (result->has_cacerts) {
        r = certificate_list_from_pkcs7(bytes_view(&result->cacerts), BUNDLE_MAX, &cacerts, ret_failure);
        if (r < 0)
            return failure_prefix(ret_failure, r, "The CA's answer to /cacerts");
        r = enrolment_take_cacerts(enrolment, &cacerts, ret_failure);
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
    Identity *identity = enrolment->identity;
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
    identity->manager->enrolments_succeeded++;
    enrolment_end(enrolment, NULL, "done", ACTIVITY_IDLE);
}

/* ---- beginning ---- */

static void enrolment_connect(Enrolment *enrolment) {
    Identity *identity = enrolment->identity;
    Manager *manager = identity->manager;
    const IdentityConfig *config = identity->config;
    _cleanup_bytes_ Bytes server_anchors = BYTES_NULL;
    _cleanup_free_ char *path = NULL;
    Failure failure = FAILURE_INIT;
    static const JobCallbacks callbacks = { on_job_progress, on_job_question, on_job_result, on_job_failed };

    int r = identity_server_anchors(identity, &server_anchors, &failure);
    if (r >= 0 && asprintf(&path, "%s/%s", manager->runtime_directory, IDENTITYD_ENROLLER_SOCKET) < 0)
        r = failure_errno(&failure, -ENOMEM, "Finding the enroller");
    if (r < 0) {
        enrolment_fail(enrolment, &failure, false, 0);
        return;
    }
    JobRequest request = {
        .kind = enrolment->renewal ? JOB_KIND_REENROLL : JOB_KIND_ENROLL,
        .identity = identity->name,
        .servers = (const char *const *) config->servers,
        .server_anchors = bytes_view(&server_anchors),
        .fingerprint = server_anchors.size == 0 && config->has_anchors_fingerprint ? config->anchors_fingerprint : NULL,
        .proxy = config->proxy,
        .time = (uint64_t) manager_now(manager),
        .time_is_floor = manager->clock.below_floor,
        .client_chain = bytes_view(&enrolment->authenticator_chain),
        .client_algorithm =
            enrolment->authenticator_key ? tpm_key_algorithm(enrolment->authenticator_key) : KEY_ECDSA_P256,
        .user = enrolment->user,
        .password = enrolment->password,
        .request = bytes_view(&enrolment->pending.request),
        .allow_tls12 = config->allow_tls12,
    };
    r = job_start(&manager->jobs, path, &request, &callbacks, enrolment, &enrolment->job, &failure);
    enrolment->password = secret_free(enrolment->password);
    if (r < 0)
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
