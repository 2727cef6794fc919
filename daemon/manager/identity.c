/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One identity at run time: read from configuration and store, its state, and what changes of it are told to whom. The
 * state changes only in identity_event. */
#include "manager/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int identity_new(Manager *manager, const char *name, Identity **ret) {
    _cleanup_(identity_free_p) Identity *identity = calloc(1, sizeof *identity);

    if (!identity)
        return -ENOMEM;
    identity->manager = manager;
    identity->instance = ++manager->next_id;
    identity->state = STATE_UNAVAILABLE;
    identity->name = strdup(name);
    if (!identity->name)
        return -ENOMEM;
    *ret = TAKE_PTR(identity);
    return 0;
}

static void identity_drop_generation(Identity *identity) {
    identity->generation = 0;
    identity->generation_used = false;
    identity->key = tpm_key_free(identity->key);
    certificate_list_clear(&identity->chain);
    identity->renew_at = 0;
    identity->chain_end_said = false;
    identity->crls_judged = false;
}

/* Stops what is under way; those who wait are told why. */
static void identity_stop(Identity *identity, const Failure *why) {
    identity->enrolment = enrolment_abort(identity->enrolment, why);
    identity->check = revocation_abort(identity->check);
    identity->rollover = rollover_abort(identity->rollover);
    identity->manual_request = 0;
    identity->activity = ACTIVITY_IDLE;
}

Identity *identity_free(Identity *identity) {
    Failure stopping = FAILURE_INIT;

    if (!identity)
        return NULL;
    (void) failure_set(&stopping, -ESHUTDOWN, FAILURE_NOT_READY, "%s is no longer configured, or identityd stops.",
                       identity->name);
    identity_stop(identity, &stopping);
    identity_drop_generation(identity);
    free(identity->unused);
    certificate_list_clear(&identity->anchors);
    certificate_list_clear(&identity->peers);
    bytes_clear(&identity->crls_pem);
    bytes_clear(&identity->ocsp);
    identity_config_free(identity->config);
    store_free(identity->store);
    stored_state_clear(&identity->stored);
    free(identity->view_anchors);
    free(identity->malformed);
    free(identity->last_error);
    free(identity->name);
    free(identity);
    return NULL;
}

const char *identity_name(const Identity *identity) {
    return identity->name;
}

const Certificate *identity_leaf(const Identity *identity) {
    return identity->chain.count > 0 ? identity->chain.list[0] : NULL;
}

int64_t identity_chain_end(const Identity *identity) {
    const Certificate *first = chain_first_to_end(&identity->chain);

    return first ? first->not_after : 0;
}

Identity *identity_by_instance(Manager *manager, uint64_t instance) {
    for (size_t i = 0; i < manager->identity_count; i++)
        if (manager->identities[i]->instance == instance)
            return manager->identities[i];
    return NULL;
}

void identity_changed(Identity *identity) {
    Manager *manager = identity->manager;

    if (manager->callbacks.changed)
        manager->callbacks.changed(CHANGE_IDENTITY_PROPERTIES, identity, manager->callbacks.userdata);
}

void identity_set_activity(Identity *identity, IdentityActivity activity) {
    if (identity->activity == activity)
        return;
    identity->activity = activity;
    identity_changed(identity);
}

void identity_set_error(Identity *identity, const char *text) {
    Failure clean = FAILURE_INIT;

    /* What a configuration file or a state file says may be no UTF-8, which the bus would end our connection for. */
    if (text) {
        (void) failure_set(&clean, 0, FAILURE_INTERNAL, "%.*s", (int) sizeof identity->stored.last_error - 1, text);
        text = clean.text;
    }
    if (strcmp(identity->last_error ? identity->last_error : "", text ? text : "") == 0)
        return;
    free(identity->last_error);
    identity->last_error = text ? strdup(text) : NULL;
    snprintf(identity->stored.last_error, sizeof identity->stored.last_error, "%.*s",
             (int) sizeof identity->stored.last_error - 1, text ? text : "");
    identity_changed(identity);
}

int identity_save_state(Identity *identity) {
    Failure failure = FAILURE_INIT;
    /* Of a retired identity it is what no key that is still on the disk may be newer than: see below. */
    if (!identity->stored.retired || identity->generation > identity->stored.of_generation)
        identity->stored.of_generation = identity->generation;
    int r = store_state_save(identity->store, &identity->stored, &failure);

    if (r < 0)
        log_entry(LOG_ERR, MESSAGE_STORAGE, identity->name, "%s", failure.text);
    return r;
}

/* ---- loading ---- */

static void identity_set_malformed(Identity *identity, const char *why) {
    free(identity->malformed);
    identity->malformed = strdup(why);
    identity_set_error(identity, why);
    log_entry(LOG_ERR, MESSAGE_CONFIGURATION, identity->name,
              "%s This identity is out of use until that is mended; the others go on.", why);
}

static bool identity_is_certified(const Identity *identity) {
    _cleanup_store_ Store *store = NULL;

    if (identity->store)
        return store_current(identity->store) != 0;
    /* What is wrong with it is told when it is loaded. */
    return store_open(identity->manager->state_fd, identity->name, false, &store, NULL) >= 0 &&
           store_current(store) != 0;
}

static int identity_load_config(Identity *identity) {
    Manager *manager = identity->manager;
    _cleanup_(strings_free_p) char **paths = NULL;
    _cleanup_(problems_clear) Problems problems = { 0 };
    _cleanup_identity_config_ IdentityConfig *config = NULL;
    int r = config_identity_paths(&manager->directories, identity->name, &paths);

    if (r >= 0)
        r = identity_is_certified(identity) ? identity_config_load_certified(identity->name, paths, &problems, &config)
                                            : identity_config_load(identity->name, paths, &problems, &config);
    for (size_t i = 0; i < problems.count; i++) {
        _cleanup_free_ char *text = problem_to_string(&problems.list[i]);
        if (problems.list[i].warning)
            log_entry(LOG_WARNING, MESSAGE_CONFIGURATION, identity->name, "%s", text ? text : "out of memory");
        else if (r >= 0 || !identity->malformed)
            identity_set_malformed(identity, text ? text : "out of memory");
    }
    if (r < 0) {
        if (!identity->malformed)
            identity_set_malformed(identity, strerror(-r));
        return r;
    }
    /* What was to be certified is no longer what is wanted; a renewal copies the names that it has. */
    if (identity->config && identity->resumes == RESUMES_ENROLMENT && !identity->enrolment &&
        !identity_config_same_request(identity->config, config)) {
        log_entry(LOG_NOTICE, MESSAGE_CONFIGURATION, identity->name,
                  "The request that the CA has taken is given up: the configuration asks for something else now.");
        (void) store_pending_drop(identity->store, NULL);
        identity->resumes = RESUMES_NOTHING;
        identity->stored.next_attempt = 0;
    }
    if (!identity->config || identity->config->check_crl != config->check_crl ||
        identity->config->check_ocsp != config->check_ocsp)
        identity->crls_judged = false;
    identity_config_free(identity->config);
    identity->config = TAKE_PTR(config);
    return 0;
}

static int identity_load_generation(Identity *identity, Failure *ret_failure) {
    _cleanup_(stored_generation_clear) StoredGeneration stored = { 0 };
    _cleanup_certificates_ CertificateList chain = { 0 };
    _cleanup_tpm_key_ TpmKey *key = NULL;
    uint32_t number = store_current(identity->store);

    identity_drop_generation(identity);
    if (number == 0)
        return 0;
    int r = store_load(identity->store, number, &stored, ret_failure);
    if (r < 0)
        return r;
    r = tpm_key_from_pem(bytes_view(&stored.key_pem), bytes_view(&stored.parent_name), &key, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "%s/generations/%" PRIu32 "/key.pem", identity->name, number);
    r = certificate_list_from_pem(bytes_view(&stored.chain_pem), CHAIN_MAX, &chain, ret_failure);
    if (r < 0)
        return failure_prefix(ret_failure, r, "%s/generations/%" PRIu32 "/chain.pem", identity->name, number);
    if (!bytes_view_equal(bytes_view(&chain.list[0]->spki), tpm_key_spki(key)))
        return failure_set(ret_failure, -EBADMSG, FAILURE_STORAGE,
                           "%s/generations/%" PRIu32
                           ": the first certificate of chain.pem is not for the key in key.pem.",
                           identity->name, number);
    identity->generation = number;
    identity->key = TAKE_PTR(key);
    identity->chain = chain;
    chain = (CertificateList) { 0 };
    return 0;
}

/* The power went in the middle of something that is to be ended as it was begun: a commit whose state was not saved
 * leads out of `revoked` and `retired` all the same, and a retirement that had begun leaves no key. */
static int identity_finish_what_was_cut(Identity *identity, Failure *ret_failure) {
    StoredState *stored = &identity->stored;

    if (identity->generation > stored->of_generation) {
        stored->revoked = stored->hold = stored->retired = false;
        stored->revoked_at = stored->next_attempt = 0;
        stored->failures = 0;
        identity_set_error(identity, NULL);
        return identity_save_state(identity);
    }
    /* Without generations it is through, and what is pending was begun after it. */
    if (!stored->retired || store_current(identity->store) == 0)
        return 0;
    identity_drop_generation(identity);
    return store_retire(identity->store, ret_failure);
}

static int identity_load_store(Identity *identity, Failure *ret_failure) {
    int r = 0;

    if (!identity->store)
        r = store_open(identity->manager->state_fd, identity->name, true, &identity->store, ret_failure);
    if (r < 0)
        return r;
    stored_state_clear(&identity->stored);
    r = store_state_load(identity->store, &identity->stored, ret_failure);
    if (r < 0)
        return r;
    clock_learn(identity->manager, identity->stored.clock_floor);
    identity_set_error(identity, identity->stored.last_error[0] ? identity->stored.last_error : NULL);
    r = identity_load_generation(identity, ret_failure);
    return r < 0 ? r : identity_finish_what_was_cut(identity, ret_failure);
}

static Resumes identity_pending_request(const Identity *identity) {
    _cleanup_(stored_pending_clear) StoredPending pending = { 0 };

    if (store_pending_load(identity->store, &pending, NULL) < 0 || pending.manual || pending.request.size == 0)
        return RESUMES_NOTHING;
    return pending.reenroll ? RESUMES_RENEWAL : RESUMES_ENROLMENT;
}

void identity_schedule(Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    uint8_t fingerprint[32];

    identity->renew_at = 0;
    if (!leaf || !identity->config || identity->config->protocol != PROTOCOL_EST ||
        certificate_fingerprint(leaf, fingerprint) < 0)
        return;
    /* The lifetime is what peers see of it: they refuse the leaf as soon as any part of its chain has ended. */
    ScheduleCertificate certificate = { leaf->not_before,
                                        identity_chain_end(identity),
                                        { fingerprint, sizeof fingerprint } };
    BytesView seed = bytes_view_string(identity->manager->tpm.device_id);
    identity->renew_at = schedule_renewal(&certificate, identity->config, seed);
    identity->chain_end_delay = schedule_chain_end_delay(&certificate, seed);
}

void identity_load(Identity *identity) {
    Failure failure = FAILURE_INIT;
    bool first = !identity->store;
    _cleanup_free_ char *was_malformed = TAKE_PTR(identity->malformed);

    /* What is read from the disk begins where a start of the daemon begins: a state of what was in memory before would
     * speak of a certificate that may be gone. */
    if (first)
        identity->state = STATE_UNAVAILABLE;
    int r = identity_load_config(identity);
    if (r < 0 && !first) {
        /* A faulty edit: what the identity may do is no longer known, so nobody may use it. */
        (void) failure_set(&failure, r, FAILURE_NOT_READY, "%s",
                           identity->malformed ? identity->malformed : "its configuration cannot be read");
        identity_stop(identity, &failure);
        identity->config = identity_config_free(identity->config);
    }
    if (r >= 0) {
        if (first)
            r = identity_load_store(identity, &failure);
        if (r >= 0)
            r = identity_load_anchors(identity, &failure);
        if (r >= 0)
            r = identity_load_peers(identity, &failure);
        if (r < 0) {
            identity_set_malformed(identity, failure.text);
            identity_stop(identity, &failure);
            identity->config = identity_config_free(identity->config);
            identity->store = store_free(identity->store);
            identity_drop_generation(identity);
            identity->replaced = false;
        }
    }
    if (was_malformed && !identity->malformed && !first)
        identity_set_error(identity, NULL);
    if (identity->stored.retired)
        identity->state = STATE_RETIRED;
    if (!identity->malformed) {
        if (identity->config->protocol == PROTOCOL_MANUAL && identity->activity == ACTIVITY_WAITING)
            identity->activity = ACTIVITY_IDLE; /* nothing comes by itself any more */
        revocation_load(identity);
        if (first) {
            identity_note_old_generations(identity);
            if (identity->stored.next_attempt != 0) { /* a failure or a 202 of before the start */
                identity->resumes = identity_pending_request(identity);
                identity_set_activity(identity, ACTIVITY_WAITING);
            }
        }
        identity_schedule(identity);
    }
    identity_evaluate(identity);
    identity_publish(identity);
}

bool identity_is_malformed(const Identity *identity, Failure *ret_failure) {
    if (!identity->malformed)
        return false;
    (void) failure_set(ret_failure, -EBADMSG, FAILURE_NOT_READY,
                       "%s is out of use: %s Mend that, then run `idctl reload`.", identity->name, identity->malformed);
    return true;
}

/* ---- state ---- */

void identity_event(Identity *identity, IdentityEvent event, const char *reason) {
    IdentityState old = identity->state, next = identity_state_next(old, event);

    if (next == _STATE_INVALID) {
        log_entry(LOG_ERR, MESSAGE_STATE_CHANGED, identity->name,
                  "Bug: the event %s must not happen in the state %s; nothing was changed.",
                  identity_event_to_string(event), identity_state_to_string(old));
        return;
    }
    if (next == old)
        return;
    identity->state = next;

    char old_field[64], event_field[64], new_field[64];
    snprintf(old_field, sizeof old_field, "IDENTITYD_OLD_STATE=%s", identity_state_to_string(old));
    snprintf(event_field, sizeof event_field, "IDENTITYD_EVENT=%s", identity_event_to_string(event));
    snprintf(new_field, sizeof new_field, "IDENTITYD_STATE=%s", identity_state_to_string(next));
    const char *const fields[] = { old_field, event_field, new_field, NULL };
    log_fields(next == STATE_REVOKED || next == STATE_EXPIRED ? LOG_WARNING : LOG_NOTICE,
               next == STATE_REVOKED ? MESSAGE_REVOKED : MESSAGE_STATE_CHANGED, identity->name, fields,
               "%s → %s (%s)%s%s", identity_state_to_string(old), identity_state_to_string(next),
               identity_event_to_string(event), reason ? ": " : "", reason ? reason : "");

    if (next == STATE_REVOKED) {
        enrolment_stop_renewal(identity);
        (void) signing_close_identity(identity->manager->signing, identity->name);
    }
    identity_publish(identity);
    identity_changed(identity);
    if (next == STATE_READY)
        enrolment_authenticator_ready(identity->manager, identity->name);
}

static bool identity_parent_differs(const Identity *identity) {
    const TpmInformation *tpm = &identity->manager->tpm;

    return identity->key && !bytes_view_equal(tpm_key_parent_name(identity->key),
                                              (BytesView) { tpm->parent_name, tpm->parent_name_size });
}

static bool identity_is_expired(Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);

    return leaf && manager_now(identity->manager) > leaf->not_after;
}

/* The state is the leaf's; only peers see the rest. A leaf that ends itself becomes `expired`. */
int64_t identity_chain_end_when(const Identity *identity) {
    const Certificate *leaf = identity_leaf(identity);
    int64_t end = identity_chain_end(identity);

    return leaf && identity->state == STATE_READY && !identity->chain_end_said && end < leaf->not_after ? end + 1 : 0;
}

static void identity_note_chain_end(Identity *identity) {
    int64_t when = identity_chain_end_when(identity);
    char who[CERTIFICATE_DESCRIPTION_MAX], end[CERTIFICATE_TIME_MAX], leaf_end[CERTIFICATE_TIME_MAX];

    if (when == 0 || manager_now(identity->manager) < when)
        return;
    identity->chain_end_said = true;
    const Certificate *first = chain_first_to_end(&identity->chain);
    log_entry(
        LOG_WARNING, MESSAGE_CHAIN_ENDED, identity->name,
        "The CA certificate %s in its chain ended at %s: peers refuse the chain, though the certificate itself is "
        "valid until %s. %s",
        certificate_describe(first, who), certificate_time(first->not_after, end),
        certificate_time(identity_leaf(identity)->not_after, leaf_end),
        identity->config->protocol == PROTOCOL_EST
            ? "Renewals are tried until the CA issues under one that is valid."
            : "Have it certified under one that is valid, and bring the chain in with `idctl install`.");
}

void identity_evaluate(Identity *identity) {
    Manager *manager = identity->manager;

    if (identity->malformed || !manager->tpm_known || identity->state == STATE_RETIRED)
        return;
    enrolment_check_schedule(identity);
    bool was_replaced = identity->replaced;
    identity->replaced = manager->tpm.state == TPM_STATE_READY && identity_parent_differs(identity);
    if (manager->tpm.state != TPM_STATE_READY || identity->replaced) {
        const char *reason =
            identity->replaced ? "this TPM is not the one that the key was made in; nothing is deleted; `idctl enroll` "
                                 "with a new key leads out"
                               : manager->tpm_failure.text;
        if (identity->replaced && (!was_replaced || identity->state != STATE_UNAVAILABLE))
            identity_set_error(identity, reason);
        identity_event(identity, EVENT_TPM_LOST, reason);
        return;
    }
    if (was_replaced)
        identity_set_error(identity, NULL);

    bool revoked = identity->stored.revoked || identity->stored.hold, expired = identity_is_expired(identity);
    if (identity->state == STATE_UNAVAILABLE)
        identity_event(identity,
                       identity->generation == 0 ? (revoked ? EVENT_TPM_BACK_REVOKED : EVENT_TPM_BACK_EMPTY)
                       : revoked                 ? EVENT_TPM_BACK_REVOKED
                       : expired                 ? EVENT_TPM_BACK_EXPIRED
                                                 : EVENT_TPM_BACK_READY,
                       NULL);
    else if (revoked && identity->state != STATE_EMPTY)
        identity_event(identity, EVENT_REVOKED, identity->stored.hold ? "on hold at the CA" : NULL);
    else if (!revoked && identity->state == STATE_REVOKED)
        identity_event(identity, EVENT_HOLD_ENDED, NULL);
    if (expired && identity->state == STATE_READY)
        identity_event(identity, EVENT_EXPIRED, NULL);
    if (!expired && identity->state == STATE_EXPIRED) {
        enrolment_forget_expiry(identity);
        identity_event(identity, EVENT_UNEXPIRED, NULL);
    }
    identity_note_chain_end(identity);
}

int identity_require_ready(Identity *identity, Failure *ret_failure) {
    if (identity_is_malformed(identity, ret_failure))
        return -EBADMSG;
    if (manager_tpm_is_hung(identity->manager))
        return failure_set(ret_failure, -ENODEV, FAILURE_TPM_UNAVAILABLE, "%s cannot sign: " TPM_HUNG_TEXT,
                           identity->name);
    if (identity_state_signs(identity->state))
        return 0;
    FailureKind kind = identity_state_failure(identity->state, identity->replaced);
    static const char *const advice[_STATE_COUNT] = {
        [STATE_EMPTY] = "it has no certificate yet; see `idctl show` for what its enrolment waits for",
        [STATE_EXPIRED] = "its certificate has expired and was not renewed; see `idctl show` for why",
        [STATE_REVOKED] = "its certificate was revoked by the CA; `idctl enroll --new-key` makes a new one",
        [STATE_UNAVAILABLE] = "the TPM cannot be used; see `idctl show`",
        [STATE_RETIRED] = "it was retired and its key destroyed; `idctl enroll` makes a new one",
    };
    return failure_set(ret_failure, -EAGAIN, kind, "%s cannot sign: %s.", identity->name,
                       identity->state == STATE_UNAVAILABLE && identity->replaced
                           ? "its key was made in another TPM than this one; `idctl enroll` makes a new one"
                           : advice[identity->state]);
}

/* ---- generations ---- */

int identity_adopt(Identity *identity, uint32_t number, TpmKey *key, CertificateList *chain) {
    identity_drop_generation(identity);
    identity->generation = number;
    identity->key = key;
    identity->chain = *chain;
    *chain = (CertificateList) { 0 };
    bytes_clear(&identity->ocsp);

    StoredState *stored = &identity->stored;
    BytesView parent = tpm_key_parent_name(key);
    bool was_revoked = stored->revoked;
    stored->revoked = stored->hold = stored->retired = false;
    stored->revoked_at = 0;
    stored->failures = 0;
    stored->next_attempt = 0;
    stored->last_success = manager_now(identity->manager);
    stored->last_generation = number;
    if (identity->chain.list[0]->not_before > stored->clock_floor)
        stored->clock_floor = identity->chain.list[0]->not_before;
    bytes_clear(&stored->parent_name);
    int r = bytes_copy(parent, &stored->parent_name);
    clock_learn(identity->manager, identity->chain.list[0]->not_before);
    identity->replaced = false;
    identity->boot_renewal_due = false;
    identity->resumes = RESUMES_NOTHING;
    identity->next_check = 0;
    identity_set_error(identity, NULL);
    if (r >= 0)
        r = identity_save_state(identity);
    identity_schedule(identity);

    IdentityState before = identity->state;
    identity_event(identity, EVENT_INSTALLED, NULL);
    if (identity->state == before) { /* a renewal: the state is as it was, all else is not */
        identity_publish(identity);
        identity_changed(identity);
    }
    if (was_revoked)
        identity_drop_old_generations(identity);
    identity_evaluate(identity);
    return r;
}
